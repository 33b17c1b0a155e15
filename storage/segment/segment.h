// Segment: one immutable, checksummed, memory-mapped file of the rows of one time partition. Format: FORMAT.md.
//
// A segment offers facts (zones, dictionaries, candidate granules, columns) and knows no predicates. Rows are grouped in
// blocks of limits::kBlockRows (the last may be shorter), blocks in granules of kGranuleRows.
//
// Thread rule: immutable after open; every method is const and may be called from any thread. Columns and dictionaries
// that it hands out keep the mapping alive.
// Errors: every chunk of values, dictionary and head of postings is verified against its checksum when it is first read, chunks and
// heads again after each forget_checks(); a damaged one gives ErrorCode::corrupt, whose message names file, column and block. Nothing here aborts on hostile bytes, nor when the file is cut short or its disk fails
// while it is open (mapping.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "storage/model/batch.h"
#include "storage/model/column.h"
#include "storage/model/flow_schema.h"
#include "storage/model/limits.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::segment {

// Rows that one posting stands for: a posting names granules, and the codes of those 1,024 rows decide the rest.
inline constexpr uint32_t kGranuleRows = 1'024;

struct SegmentInfo {
  uint64_t id = 0;
  std::string path;
  TimestampNs partition_start = 0;  // start of its time partition
  uint64_t rows = 0;
  TimestampNs first = 0, last = 0;  // smallest and largest flow_end, both inclusive
  uint64_t file_bytes = 0;
};

// What is known of one column's values in one block. Integers (and flags, enumerations, booleans) as values, I64
// reinterpreted as uint64_t; dictionary columns as codes. Columns without order (F64, undictionaried Str) have no range.
struct Zone {
  uint32_t rows = 0;
  uint32_t nulls = 0;
  bool has_range = false;  // false: nothing known, or all rows null
  uint64_t min = 0, max = 0;
};

// A closed range of codes (dictionary columns) or values (all others).
struct ValueRange {
  uint64_t first = 0, last = 0;
};

struct ColumnStats {
  ColumnId id{};
  std::string codecs;           // for people: "bitpack×12 constant×4"
  uint64_t data_bytes = 0;      // encoded values and null maps
  uint64_t dictionary_bytes = 0;
  uint64_t posting_bytes = 0;
  uint64_t distinct = 0;        // dictionary size, 0 when there is none
};

// Filled by readers, for explain analyze and the answer's account. Plain: one per worker, added up afterwards.
struct ReadStats {
  uint64_t bytes_read = 0;  // encoded bytes of chunks, dictionaries and postings touched
  uint64_t chunks_read = 0;
  std::unordered_set<const void*> counted;  // where the pieces that are in the numbers above lie in the mapped file

  // However often a piece of the file is read, it counts once.
  void count(std::span<const uint8_t> piece) {
    if (piece.empty() || !counted.insert(piece.data()).second) return;
    bytes_read += piece.size();
    ++chunks_read;
  }
};

class Segment {
 public:
  // Maps the file and checks header, footer and their checksums. Errors: corrupt, unsupported (a newer format), io.
  static Result<std::shared_ptr<const Segment>> open(const std::string& path);
  virtual ~Segment() = default;

  virtual const SegmentInfo& info() const = 0;
  uint32_t rows() const { return static_cast<uint32_t>(info().rows); }
  uint32_t block_count() const { return (rows() + limits::kBlockRows - 1) / limits::kBlockRows; }
  uint32_t block_rows(uint32_t block) const {
    const uint32_t start = block * limits::kBlockRows;
    return rows() - start < limits::kBlockRows ? rows() - start : limits::kBlockRows;
  }
  uint32_t granule_count() const { return (rows() + kGranuleRows - 1) / kGranuleRows; }

  // A column that is not here is null in every row.
  virtual bool has(ColumnId id) const = 0;
  // REQUIRES: has(id), block < block_count()
  virtual Zone zone(ColumnId id, uint32_t block) const = 0;

  // The sorted dictionary of a column, or nullptr if it has none (integers, and text that is not worth one).
  virtual Result<std::shared_ptr<const Dictionary>> dictionary(ColumnId id) const = 0;
  // The codes of values in [first, last] (bytewise order), as a half-open range [begin, end) of codes; empty: begin == end.
  // REQUIRES: the column has a dictionary of that type
  virtual Result<std::pair<uint32_t, uint32_t>> codes_between(ColumnId id, const IpAddress& first, const IpAddress& last) const = 0;
  virtual Result<std::optional<uint32_t>> code_of(ColumnId id, std::string_view text) const = 0;

  // Granules that may hold rows whose value lies in one of the ranges: a bitmap of granule_count() bits. Exact at the
  // granule: a zero bit means no row there matches. nullopt: this column has no postings here. Nulls are in no posting.
  virtual Result<std::optional<Bitmap>> candidates(ColumnId id, std::span<const ValueRange> ranges, ReadStats* stats) const = 0;

  // Rows [from, to) of a block. Ip and Str columns come coded where the segment has a dictionary.
  // REQUIRES: has(id), from <= to <= block_rows(block)
  virtual Result<Column> read(ColumnId id, uint32_t block, uint32_t from, uint32_t to, ReadStats* stats) const = 0;
  // The given rows of a block, ascending.
  virtual Result<Column> read_rows(ColumnId id, uint32_t block, std::span<const uint32_t> rows, ReadStats* stats) const = 0;

  virtual std::vector<ColumnStats> column_stats() const = 0;
  // Reads and checks every byte. The first damage found is the error.
  virtual Status verify() const = 0;
  // Whether the file was cut short, or could not be read, since it was opened. Reads say so too, but values of dictionaries are
  // looked up later, and would be zeros: whoever has used them asks at the end, before what came of them is kept or believed.
  // Looking at the file's length is a system call, and finds what a lost page does not: the rest of the last page of a file cut
  // short reads as zeros. Error: corrupt.
  virtual Status intact(bool look_at_length = true) const = 0;
  // From now on each chunk is verified again when it is next read: a disk may have changed what was read in from it. Lets go of the text
  // dictionaries that nobody uses.
  virtual void forget_checks() const = 0;
};

struct WriteOptions {
  bool postings = true;  // off: for tests that compare with and without
  bool sync = true;      // fsync file and folder before returning
  // Asked between blocks of rows, where set; true: the write gives up, with the error cancelled.
  std::function<bool()> is_abandoned = {};
};

// Writes flow batches (schemas may differ; columns may be coded) as one segment: sorted by flow_end, rows reordered inside
// blocks where that pays, codecs chosen by size. The file is complete and, unless told otherwise, durable on return; a
// failed write leaves no file. REQUIRES: at least one row, at most limits::kSegmentRowsMax
Result<SegmentInfo> write_segment(const std::string& path, uint64_t id, TimestampNs partition_start, std::span<const Batch> batches,
                                  const WriteOptions& options = {});
// The same, of batches that lie anywhere. REQUIRES: none is null
Result<SegmentInfo> write_segment_of(const std::string& path, uint64_t id, TimestampNs partition_start, std::span<const Batch* const> batches,
                                     const WriteOptions& options = {});

}  // namespace sluice::segment
