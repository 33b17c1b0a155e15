// The registry of aggregates, and what one is: columnar state of many groups at once, one instance per worker, merged at
// the end. An aggregate is one entry in an aggregate_*.cc and one line in aggregate.cc's table.
//
// Merging is exact: the result does not depend on how rows were spread over workers, batches or segments (floating-point
// sums aside, whose last digits may differ).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "query/expression.h"
#include "query/growth.h"

namespace sluice::query {

// In a map of groups: of those that are not wanted any more.
inline constexpr uint32_t kNoGroup = UINT32_MAX;

class Aggregate {
 public:
  virtual ~Aggregate() = default;
  // Makes room for groups [0, count); new ones are empty. Never shrinks.
  virtual void resize(size_t count) = 0;
  // Row i belongs to groups[i]; groups == nullptr: all rows belong to group 0. REQUIRES: every group < resized count
  // States that a batch of rows can make much larger tell a Growth (growth.h) so.
  virtual void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) = 0;
  // Group g of `other` joins group map[g] of this. `other` is of the same make and is left in an unspecified state. What map says
  // of a group without rows is not looked at, where plain() is true. A group whose number is kNoGroup is left out.
  virtual void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext& context) = 0;
  // The results of the groups given, in that order, laid out as the result type.
  virtual Column finish(std::span<const uint32_t> groups, EvalContext& context) const = 0;
  // Whether the result of one of these groups is not exact. The answer then says AggregateMake::estimate_note.
  virtual bool estimates(std::span<const uint32_t>) const { return false; }
  // Whether a group costs little and merging it no more than some rows: then it pays to aggregate each segment for itself.
  virtual bool plain() const { return false; }
  // What it holds. Quick: asked for each batch.
  virtual size_t byte_size() const = 0;
};

struct AggregateMake {
  Type result;
  std::function<std::unique_ptr<Aggregate>()> make;
  // How far results are off that are estimates; said only where there are some. Empty: all are exact.
  std::string estimate_note;
  bool empty_is_zero = false;  // counts: no rows are 0 of them, not unknown
  // The result is the same to the last digit in whatever order states are merged, and merge() leaves the other state as it was, also while
  // others merge it: states may be kept and merged again (segment_memory.h).
  bool can_be_kept = false;
  // Counts and sums of whole numbers that are not negative, in 64 bits: more rows are never less, and the whole is the sum of its parts.
  bool is_total = false;
};

struct AggregateSpec {
  std::string_view name;
  std::string_view signature;
  std::string_view doc;
  size_t args_min, args_max;
  // countif, sumif, avgif: the last argument is a condition that rows must meet; `base` does the rest.
  const AggregateSpec* base;
  bool needs_time;  // first, last: the binder adds the time of the row as last argument
  // `widen`: integer sums in floats (the second try after an overflow).
  Result<AggregateMake> (*bind)(std::span<const NodePtr> args, bool widen);
};

std::span<const AggregateSpec* const> aggregates();
const AggregateSpec* find_aggregate(std::string_view lower_case_name);

Error wrong_aggregate_argument(std::string_view name, size_t index, std::string_view what);
// A constant count within bounds, or an error that names them.
Result<uint64_t> constant_count(std::string_view name, std::span<const NodePtr> args, size_t index, uint64_t most);

// Order of two values of one column type: <0, 0, >0. Neither is null.
int compare_values(const Value& a, const Value& b);
// 64 well-mixed bits of the value in a row, equal for equal values of any layout. REQUIRES: not null
uint64_t hash_at(const Column& column, size_t row);

namespace aggregate_detail {
extern const AggregateSpec kCount, kCountIf, kSum, kSumIf, kAvg, kAvgIf, kStdev, kMin, kMax, kAny, kArgMin, kArgMax, kFirst, kLast, kDcount,
    kCountDistinct, kEntropy, kValues, kQuantile, kP50, kP90, kP95, kP99, kMedian, kTrw;
}  // namespace aggregate_detail

}  // namespace sluice::query
