// Rows: parting batches by time partition, and joining small batches to larger ones.
// Thread rule: pure functions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "storage/model/batch.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::store {

// Start of the partition that holds this time: the greatest multiple of `width` that is not above it. Times too near the
// beginning of time for that are in the partition of kTimestampMin. REQUIRES: width > 0
TimestampNs partition_of(TimestampNs time, DurationNs width);

// Rows of one partition, all of one append.
struct Piece {
  std::vector<std::shared_ptr<const Batch>> batches;  // never empty ones
  uint64_t rows = 0;
  size_t bytes = 0;
  TimestampNs first = kTimestampMax, last = kTimestampMin;  // flow_end
};

// Copies the batches' rows into one piece per partition; small batches of a piece are joined up to limits::kBatchRows.
// Errors: invalid_argument (not a flow batch, no flow_end, a null flow_end, a column twice), too_large.
Result<std::map<TimestampNs, Piece>> split_by_partition(std::span<const Batch> batches, DurationNs width);
// The same, sharing instead of copying a batch whose rows all lie in one partition. REQUIRES: none is null
Result<std::map<TimestampNs, Piece>> split_shared_by_partition(std::span<const std::shared_ptr<const Batch>> batches, DurationNs width);

// Visits the rows of each span of time that has any, in order of time, until `visit` fails. A row is in the span whose number is its
// flow_end over `span`, rounded down: that follows from its own time alone, whatever rows come with it. Only the rows being
// visited are copied, and not those of a batch that lies in one span. REQUIRES: span > 0, none is null
// Errors: as above, and what `visit` fails with.
using SpanVisit = std::function<Status(int64_t number, std::span<const std::shared_ptr<const Batch>> batches)>;
Status for_each_span(std::span<const std::shared_ptr<const Batch>> batches, DurationNs span, const SpanVisit& visit);

// Whether the rows may lie in more partitions than one append takes: false when their first and last time are near enough.
bool may_be_scattered(std::span<const std::shared_ptr<const Batch>> batches, DurationNs width);

// The rows [begin, end) of batches that stand end to end. REQUIRES: begin <= end <= rows of all, flow batches
std::vector<std::shared_ptr<const Batch>> slice(std::span<const std::shared_ptr<const Batch>> batches, uint64_t begin, uint64_t end);

// Takes batches over as one piece, wherever their rows lie. Errors as above.
Result<Piece> piece_of(std::vector<Batch> batches);

// One batch of all rows, in order; columns that a batch lacks are null there. Coded columns become plain.
// REQUIRES: flow batches, at least one
Batch join(std::span<const Batch* const> batches);

}  // namespace sluice::store
