// Grouping: keys to dense group numbers, and the operators that aggregate by them.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "query/aggregate.h"
#include "query/group_table.h"
#include "query/operator.h"

namespace sluice::query {

struct GroupKey {
  NodePtr node;
  NodePtr other_side;  // of an either-side key: the destination's; else null
};
struct GroupAggregate {
  std::vector<NodePtr> args;
  PredicatePtr filter;  // countif and its kin; null: all rows
  AggregateMake make;
  bool adds_up = false;  // a sum: of a value that can be shared out among parts of a row
};
struct GroupSpec {
  std::vector<GroupKey> keys;
  std::vector<GroupAggregate> aggregates;
};

// Groups and their aggregates; shared by stats, top, distinct and timeseries.
class Grouping {
 public:
  Grouping(const GroupSpec& spec, RunState& run);
  Status push(const Chunk& chunk, Worker& worker);
  Status join(Grouping& other, Worker& worker);
  size_t size() const { return spec_.keys.empty() ? 1 : table_.size(); }
  // Keys, then aggregates, one slot each. What is an estimate is said in the worker's warnings.
  Chunk rows(std::span<const uint32_t> groups, Worker& worker) const;
  Column aggregate(size_t index, std::span<const uint32_t> groups) const { return aggregates_[index]->finish(groups); }
  const GroupTable& table() const { return table_; }
  // All groups given, as one: the aggregates' values over all of them. Estimates are said as by rows().
  // REQUIRES: called once, last
  std::vector<Column> combined(std::span<const uint32_t> part_of, size_t parts, Worker& worker);

 private:
  Status push_side(const Chunk& chunk, std::vector<ColumnPtr> keys, Worker& worker);
  void tell_estimates(size_t index, const Aggregate& aggregate, std::span<const uint32_t> groups, Worker& worker) const;
  const GroupSpec& spec_;
  GroupTable table_;
  std::vector<std::unique_ptr<Aggregate>> aggregates_;
  std::vector<uint32_t> groups_;
  MemoryClaim claim_;
  uint64_t rows_since_account_ = 0;
};

// Output slots: keys, then aggregates, in key order.
OperatorPtr make_group(std::shared_ptr<const GroupSpec> spec, RunState* run, bool sorted, std::string text);

// The `count` groups with the greatest value of aggregate 0; ties by the lesser keys. With others: one more row that sums up
// the rest, if there is one, its keys as `append_rest_key` says, and one more slot that is true in that row alone.
OperatorPtr make_top(std::shared_ptr<const GroupSpec> spec, RunState* run, uint64_t count, bool others, std::string text);

struct TimeseriesSpec {
  GroupSpec group;  // key 0 is the bin
  DurationNs every = 0;
  std::optional<uint64_t> series_max;
  size_t rest_slot = 0;  // with series_max: of the marker. It may lie behind slots that are computed later.
  enum class Fill { unsaid, null, previous, value } fill = Fill::unsaid;
  double fill_value = 0;
  TimeRange range;        // the grid; open ends are taken from the rows
  std::vector<bool> zero;  // by aggregate: an empty bin is 0 rather than null when fill is unsaid
};
// Output slots: as of make_group. With series_max, the slot rest_slot is true in the rows of the series that sums up the rest.
OperatorPtr make_timeseries(std::shared_ptr<const TimeseriesSpec> spec, RunState* run, std::string text);

// The key of a row that sums up the groups not shown: text says "other"; other types have no such value and are null.
void append_rest_key(Column& column, const Type& type);

// The start of t's bin; weeks begin on Monday.
TimestampNs bin_start(TimestampNs t, DurationNs width);

// Less than, over rows of key columns; nulls last. For orders that must not depend on arrival.
bool row_less(std::span<const Column> columns, uint32_t a, uint32_t b);
int compare_rows(const Column& column, uint32_t a, uint32_t b);  // nulls last

}  // namespace sluice::query
