// Rows as columns, for data frames and files: the Arrow IPC streaming format, and Parquet.
//
//   open_writer (rows* finish)?
//
// The writers stand in the optional Arrow module (ingest/source/arrow_module.h), which is loaded when the first such answer is asked for; a
// build without Apache Arrow has none. Bytes go to `take` piece by piece while rows come, so what is held is bounded (server/columnar/limits.h).
// A writer that is dropped before finish() writes nothing more.
//
// Types, by the logical type of a column (docs/http.md has the same table):
//   uint, port, protocol  unsigned integers of the column's own width; int64; float64 (NaN and infinities are null, as in JSON); boolean
//   timestamp             timestamp[ns, UTC]
//   duration              duration[ns]; Parquet has no such type: INT64 of nanoseconds, which Arrow's readers know again by ARROW:schema
//   enumeration           dictionary<int8, utf8> of all its names, sent once, ahead of the first rows
//   string, ip, mac, flags  utf8, the text of other answers, bytes that are not UTF-8 as U+FFFD. No dictionaries: rows stream out of segments
//                         with dictionaries of their own, so each batch would replace the one before, which many readers refuse and data
//                         frames have to unify again. Parquet encodes with dictionaries anyhow.
//   list                  list<utf8>
//   extra                 map<utf8, utf8>; of a key said twice the first value
// Nulls are validity bitmaps. A field's metadata has `sluice.type`, the logical type, and `sluice.unit` where there is one.
// What comes behind the rows, the summary: in Arrow, `sluice.summary` is custom metadata of a last record batch without rows; in Parquet,
// key-value metadata of the footer.
//
// Thread rule: a writer belongs to one thread.
// Source: Arrow Columnar Format 1.5 (IPC streaming format); Apache Parquet format 2.11.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/model/batch.h"
#include "storage/model/result.h"

namespace sluice::columnar {

enum class Format : uint8_t { arrow_stream, parquet };

// False: nobody wants more.
using Take = std::function<bool(std::string&& bytes)>;

class Writer {
 public:
  virtual ~Writer() = default;
  // The first `rows` rows of the batch. REQUIRES: its columns are the schema's, by place and type.
  // Errors: cancelled (`take` said so); too_large (limits::kColumnarMemoryBytesMax); io (what the library says).
  virtual Status rows(const Batch& batch, size_t rows) = 0;
  // The rest, with the summary. The same errors.
  virtual Status finish(std::string_view summary) = 0;
};

// Whether this build has writers; loads the module. Error: not_built, with why.
Status is_built();
// Error: not_built; as Writer::rows.
Result<std::unique_ptr<Writer>> open_writer(Format format, const Schema& schema, Take take);

// The module's symbol, as sluice_decode_parquet is one.
constexpr char kOpenSymbol[] = "sluice_open_columnar_writer";
using OpenFunction = void(Format format, const Schema& schema, Take take, std::optional<Result<std::unique_ptr<Writer>>>& result);

}  // namespace sluice::columnar

extern "C" sluice::columnar::OpenFunction sluice_open_columnar_writer;
