// Reading flows: what can be left out by time, zone, dictionary and posting, then predicate columns, then the rest.
//
//   ( prepare scan* )*      for each segment; scan alone for open batches
//
// Thread rule: different segments may be prepared, and different units scanned, by different workers at once; a segment is
// prepared before any of its units is scanned.
#pragma once

#include <bitset>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "query/plan.h"
#include "query/run_state.h"
#include "storage/model/limits.h"
#include "storage/store/store.h"

namespace sluice::query {

// One block of a segment, or one open batch.
struct ScanUnit {
  size_t segment = SIZE_MAX;  // in the snapshot; SIZE_MAX: open
  size_t index = 0;           // of the block's work, or of the open batch
};

// What pruning did, for explain.
struct PruneCounts {
  uint64_t segments_by_time = 0, segments_by_values = 0, blocks_by_zone = 0, blocks_by_posting = 0;
};

class Scan {
 public:
  Scan(const ScanPlan& plan, const store::Snapshot& snapshot, RunState& run);
  ~Scan();

  size_t segment_count() const { return snapshot_.segments.size(); }
  // Decides what of the segment must be read. Errors: cancelled, deadline.
  Status prepare(size_t segment, Worker& worker);
  // Units of a prepared segment, in order; then of the open batches.
  void add_units(size_t segment, std::vector<ScanUnit>& units) const;
  void add_open_units(std::vector<ScanUnit>& units) const;
  // Emits the matching rows of a unit. Errors: of emit, deadline, memory. Damage is a warning, not an error.
  Status scan(const ScanUnit& unit, Worker& worker, const Emit& emit);
  // A prepared segment's dictionaries and bitmaps are not needed any more.
  void release(size_t segment);
  // Nothing has been prepared nor read.
  void begin_again();

  PruneCounts prunes(size_t segment) const;
  // Segments that were read and whose files have failed since (Segment::intact); they are reported as damaged.
  std::vector<store::DamagedSegment> lost() const;

  // No damage was found in what was read of a prepared segment, and its file has not failed since.
  bool is_sound(size_t segment) const;

  // Rows read at a time where nothing else says; for queries that want few rows.
  void set_piece(size_t rows) { piece_ = rows; }
  // Rows of a batch at most, of open batches too; for queries that make much of each row.
  void set_rows_max(size_t rows) { rows_max_ = rows; }

 private:
  struct SegmentWork;
  struct BlockReader;
  Status scan_block(SegmentWork& work, size_t index, Worker& worker, const Emit& emit);
  Status scan_open(size_t index, Worker& worker, const Emit& emit);
  void damaged(SegmentWork& work, const Error& error, Worker& worker);

  const ScanPlan& plan_;
  const store::Snapshot& snapshot_;
  RunState& run_;
  size_t piece_ = limits::kBlockRows;
  size_t rows_max_ = SIZE_MAX;
  std::vector<std::unique_ptr<SegmentWork>> work_;
};

// Columns of rows that lie in memory: what a scan reads of open batches, and rules of what is appended. Not thread safe.
class BatchColumns {
 public:
  // `some`: the rows meant; empty: all. `rules`: corrections of sampling rates, or nullptr.
  BatchColumns(std::shared_ptr<const Batch> batch, std::vector<uint32_t> some, const SamplingRules* rules, EvalContext& context)
      : batch_(std::move(batch)), some_(std::move(some)), rules_(rules), context_(context) {}

  size_t rows() const { return some_.empty() ? batch_->rows : some_.size(); }
  // nullptr: no row has a value.
  ColumnPtr stored(ColumnId id) const;
  // A column as queries see it, laid out as `type`.
  Result<ColumnPtr> load(const ScanSource& source, const Type& type);
  // The sampling rates, corrected once for all columns that they scale. nullptr: none is known.
  Result<ColumnPtr> rates();
  // Bytes in memory of all rows of the columns that were asked for, each column once.
  uint64_t bytes_read() const;

 private:
  const std::shared_ptr<const Batch> batch_;
  const std::vector<uint32_t> some_;
  const SamplingRules* const rules_;
  EvalContext& context_;
  std::optional<ColumnPtr> rates_;
  mutable std::bitset<kColumnCount> asked_;
};

// What was read, added up; the most memory of the two, and no time: parts may have been read side by side.
void add_up(ScanStats& sum, const ScanStats& more);

// raw × rate for derived columns; rate null or column absent: 1.
ColumnPtr derive(DerivedColumn derived, const Column* first, const Column* second, size_t rows, EvalContext& context);

}  // namespace sluice::query
