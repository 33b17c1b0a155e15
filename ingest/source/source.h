// A source: one format of flow records. Bytes in, rows out; HTTP bodies, files, bucket objects and Kafka records all meet
// here. Packet formats (NetFlow, IPFIX, sFlow) have exporters and templates and stand in ingest/source/netflow*.h; they
// share FlowSink and DecodeReport.
//
// Thread rule: a decoder belongs to one thread at a time. Errors: a bad record costs only itself and is reported with its
// place; only a body that makes no sense at all is an Error.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/memory_share.h"
#include "ingest/source/limits.h"
#include "storage/model/batch.h"
#include "storage/model/flow_schema.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

struct RecordError {
  uint64_t record = 0;  // 1-based line or record number in the body
  std::string reason;   // fixed part first, values last; hostile bytes escaped and cut
};

// A column of a header, or of a configured list of fields, that no field of the source is called. Its values are kept in `extra`.
struct UnknownColumn {
  uint64_t record = 0;  // line of the header; 0: of the configured list
  std::string name;     // as written
  // Names that the header lacks and that may have been meant. Of static storage.
  std::vector<std::string_view> absent;
  bool is_open = false;  // scripts add columns of their own: worth a word only where one of those names is near
};

// What became of one body. Counts are exact; `errors` lists the first limits::kReportedErrorsMax.
struct DecodeReport {
  uint64_t accepted = 0;         // rows made
  uint64_t rejected = 0;         // records that could not be read
  uint64_t no_data = 0;          // records that say "no traffic" (AWS NODATA …): liveness, not flows
  uint64_t skipped_data = 0;     // records that say "lost here" (AWS SKIPDATA …): loss, not flows
  uint64_t ignored = 0;          // known and of no interest (control messages, counters)
  uint64_t clamped_times = 0;
  uint64_t cut_strings = 0;
  std::vector<RecordError> errors;
  std::vector<UnknownColumn> unknown_columns;  // each name once; the first limits::kUnknownColumnsMax
  // Time covered by skipped_data records, so that answers over it can say so.
  TimeRange skipped_range{kTimestampMax, kTimestampMin};

  void reject(uint64_t record, std::string reason) {
    ++rejected;
    if (errors.size() < limits::kReportedErrorsMax) errors.push_back({record, std::move(reason)});
  }
  void note_unknown_column(const UnknownColumn& column) {
    if (unknown_columns.size() >= limits::kUnknownColumnsMax) return;
    if (std::none_of(unknown_columns.begin(), unknown_columns.end(), [&](const UnknownColumn& known) { return known.name == column.name; })) unknown_columns.push_back(column);
  }
  // Adds what became of a part. `place` turns the numbers of its records into those of the whole.
  template <typename F>
  void merge(const DecodeReport& part, F&& place) {
    accepted += part.accepted;
    rejected += part.rejected;
    no_data += part.no_data;
    skipped_data += part.skipped_data;
    ignored += part.ignored;
    clamped_times += part.clamped_times;
    cut_strings += part.cut_strings;
    skipped_range.from = std::min(skipped_range.from, part.skipped_range.from);
    skipped_range.to = std::max(skipped_range.to, part.skipped_range.to);
    for (const RecordError& error : part.errors) {
      if (errors.size() >= limits::kReportedErrorsMax) break;
      errors.push_back({place(error.record), error.reason});
    }
    for (const UnknownColumn& column : part.unknown_columns) note_unknown_column(column);
  }
  void merge(const DecodeReport& part) {
    merge(part, [](uint64_t record) { return record; });
  }
};

class AzureMemory;     // ingest/source/azure_memory.h
struct ExporterStats;  // ingest/source/exporter.h

struct DecodeContext {
  TimestampNs received_at = 0;
  std::string format;  // the source's own setting, e.g. an AWS field list "${version} ${vpc-id} …"; empty: by header or default
  AzureMemory* azure = nullptr;  // what Azure's flows said in bodies before; nullptr: each body stands alone
  MemoryShare* memory = nullptr;  // that what a decoder unpacks is taken from; nullptr: its own bounds are enough
  std::vector<ExporterStats>* exporters = nullptr;  // gets those whose packets lie in a body of packets; nullptr: nobody asks
};

// Gets finished batches of at most limits::kBatchRows rows. A failed sink stops the decoder with its error.
using FlowSink = std::function<Status(Batch&&)>;

// Decodes one whole (already inflated) body.
using BodyDecoder = Result<DecodeReport> (*)(std::string_view body, const DecodeContext& context, const FlowSink& sink);

struct SourceSpec {
  std::string_view name;         // as in POST /v1/ingest/{name} and column `source`
  Source id;                     // unknown: each record tells
  std::string_view description;  // one line for `sluice sources`
  BodyDecoder decode;            // nullptr for packet sources: their bodies are captures, see packet_body.h
  bool splittable_lines;         // clients may cut a file at any line end and repeat the header line
  // For those: whether a line says how those behind it are read (`first`: it is the first of its object). nullptr: no headers.
  bool (*is_header)(std::string_view line, bool first) = nullptr;
};

// The table of sources; a format joins with one row in source_table.cc.
std::span<const SourceSpec> sources();
const SourceSpec* find_source(std::string_view name);

}  // namespace sluice::ingest
