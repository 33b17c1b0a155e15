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

// The groups of some rows, apart from the query that made them. Merging it into a Grouping leaves it as it was.
struct GroupPart {
  GroupTable table;
  std::vector<std::unique_ptr<Aggregate>> aggregates;
  size_t groups = 0;

  size_t byte_size() const;
};

// Groups and their aggregates; shared by stats, top, distinct and timeseries.
class Grouping {
 public:
  Grouping(const GroupSpec& spec, RunState& run);
  Status push(const Chunk& chunk, Worker& worker);
  Status join(Grouping& other, Worker& worker);
  Status join(const GroupPart& part, Worker& worker);
  // Whether take_part() may be called: all aggregates can be kept.
  bool can_be_kept() const;
  // What there is so far, which is nothing of this any more. REQUIRES: can_be_kept(); called once, last
  Result<GroupPart> take_part(Worker& worker);
  // What was grouped by a segment's codes becomes groups like the others. REQUIRES: called before anything is asked of the groups
  Status settle(Worker& worker);
  size_t size() const { return spec_.keys.empty() ? 1 : table_.size(); }
  // Keys, then aggregates, one slot each. What is an estimate is said in the worker's warnings.
  Chunk rows(std::span<const uint32_t> groups, Worker& worker);
  Column aggregate(size_t index, std::span<const uint32_t> groups, Worker& worker) const { return aggregates_[index]->finish(groups, worker.eval); }
  size_t byte_size() const { return claim_.bytes(); }  // as of the last push() or join()
  const GroupTable& table() const { return table_; }
  const GroupSpec& spec() const { return spec_; }
  // All groups given, as one: the aggregates' values over all of them. Estimates are said as by rows().
  // REQUIRES: called once, last
  std::vector<Column> combined(std::span<const uint32_t> part_of, size_t parts, Worker& worker);

 private:
  Status push_side(const Chunk& chunk, std::vector<ColumnPtr> keys, Worker& worker);
  // One segment's rows by the codes of its dictionary, while its rows come: the codes are the groups, and values are looked up
  // once each when the segment is through.
  struct ByCode {
    std::shared_ptr<const Dictionary> dictionary;
    std::vector<uint8_t> seen;  // by code
    std::vector<std::unique_ptr<Aggregate>> aggregates;
  };
  bool begin_by_code(const Column& key, size_t rows, Worker& worker, Status& status);
  Status update(std::vector<std::unique_ptr<Aggregate>>& aggregates, const uint32_t* groups, size_t size, const Chunk& chunk, Worker& worker);
  Status account();
  void tell_estimates(size_t index, const Aggregate& aggregate, std::span<const uint32_t> groups, Worker& worker) const;
  const GroupSpec& spec_;
  GroupTable table_;
  std::vector<std::unique_ptr<Aggregate>> aggregates_;
  bool plain_ = true;  // all aggregates are
  std::optional<ByCode> by_code_;
  std::shared_ptr<const Dictionary> met_;  // by the last rows that had a dictionary
  size_t met_rows_ = 0;                    // rows in a row that had it
  std::vector<uint32_t> groups_;
  MemoryClaim claim_;
};

// An operator that begins with a Grouping, and whose answer depends on its rows by that alone.
class GroupsFirst {
 public:
  virtual ~GroupsFirst() = default;
  virtual Grouping& groups() = 0;
  // The answer depends on no other groups than so many that have the most of aggregate 0, and on those that have as much as the last of them.
  virtual std::optional<uint64_t> wants_heaviest() const { return std::nullopt; }
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
void append_rest_key(TextBuilder& column, const Type& type);

// The start of t's bin; weeks begin on Monday.
TimestampNs bin_start(TimestampNs t, DurationNs width);

// Less than, over rows of key columns; nulls last. For orders that must not depend on arrival.
bool row_less(std::span<const Column> columns, uint32_t a, uint32_t b);
int compare_rows(const Column& column, uint32_t a, uint32_t b);  // nulls last
bool same_value(const Column& a, const Column& b, size_t row);   // of one type; null is the same as null
std::vector<Type> key_types(const GroupSpec& spec);

}  // namespace sluice::query
