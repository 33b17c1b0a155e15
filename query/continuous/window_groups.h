// The state of one rule: groups and their aggregates, by window of flow_end.
//
// Each window keeps its groups; where windows overlap, a flow is counted in each that holds it. What a window yields does not depend
// on the order or the batches in which its flows came.
//
//   take( flows )        into their windows; of a rising rule, the groups that they touched are looked at at once
//   advance( watermark ) settles windows that have ended, in order of time: all their groups are looked at; a flow that comes
//                        later, but within the rule's grace, has its window looked at again; then windows are forgotten
//
// A rising rule (Rule::is_rising) alerts early. With hopping windows that is decided in the oldest that is open and holds the flow: in
// order of time it has seen what the others have, and more. Whatever that misses is found when a window is settled.
//
// State is bounded (limits::kRuleGroupsMax and following). At the bound flows are dropped for this rule, and counted.
//
// Thread rule: one thread at a time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "query/continuous/key_history.h"
#include "query/continuous/rule.h"
#include "query/run_state.h"

namespace sluice::query::continuous {

// Times outside are no flow's, and keep sums of times and windows from overflowing.
inline constexpr TimestampNs kEarliest = -4'000'000'000 * kSecond, kLatest = 8'000'000'000 * kSecond;

// Groups and aggregates of some flows.
class Groups {
 public:
  explicit Groups(const GroupSpec& spec);
  // Adds rows. `touched`: gets the group of each row, repeats included; may be null.
  void push(const Chunk& rows, EvalContext& context, std::vector<uint32_t>* touched);
  // Keys, then aggregates, one slot each.
  Chunk rows(std::span<const uint32_t> groups, EvalContext& context) const;
  size_t size() const { return spec_.keys.empty() ? 1 : table_.size(); }
  size_t byte_size() const;

 private:
  void push_side(const Chunk& rows, std::vector<ColumnPtr> keys, EvalContext& context, std::vector<uint32_t>* touched);

  const GroupSpec& spec_;
  GroupTable table_;
  std::vector<std::unique_ptr<Aggregate>> aggregates_;
  std::vector<uint32_t> numbers_;
};

// Rows of one window that the rule's conditions let through.
struct Finding {
  const Rule& rule;
  TimestampNs window = 0;  // its start
  bool is_settled = false;
  const Chunk& rows;       // by Rule::plan.output's slots
  // Where rows are laid out otherwise: as many columns of the same names. null: as the plan says
  const std::vector<OutputColumn>* output = nullptr;
  const std::vector<OutputColumn>& columns() const { return output ? *output : rule.plan.output; }
};
using FindingSink = std::function<void(const Finding&)>;

struct WindowStats {
  uint64_t rows = 0;          // flows that met the filter
  uint64_t late_rows = 0;     // of those: too late, not counted
  uint64_t dropped_rows = 0;  // of those: not counted, because the state was at its bound
  uint64_t settled = 0;       // windows
  uint64_t groups = 0, bytes = 0, windows = 0;  // now
  bool overflow = false;      // an integer became too large once
  bool is_sketch = false;     // first_seen knows its keys by sketches, see key_history.h
};

class WindowGroups {
 public:
  // Flows before `frontier` are late. Rounded up to a slide. `keeps_settled`: settled windows wait for late flows as long as the rule's
  // grace; not where all flows are there already, as in a replay.
  WindowGroups(RulePtr rule, TimestampNs frontier, bool keeps_settled = true);

  // Rows in the frame of the rule's scan, which have met its filter. Flows at or beyond `horizon` (now, and a bit for clocks that
  // run ahead) do not lead. `room`: false when all rules together are at their bound.
  Status take(Chunk rows, Worker& worker, TimestampNs horizon, bool has_room, const FindingSink& sink);
  // Where first_seen begins to look back: flows from here to the frontier are only learned from. As far back as the frontier without one.
  TimestampNs history_from() const { return rule_->first_seen ? std::max(kEarliest, frontier_ - rule_->first_seen->lookback) : frontier_; }
  // Flows before the frontier are learned from, and are not late: while history_from() to the frontier is read from the store.
  void set_learning(bool learns) { is_learning_ = learns; }
  // The first flow that is known of, by whoever knows: windows that begin less than the rule's `learn` behind it alert nobody. The
  // earliest that is said counts.
  void set_known_since(TimestampNs since) { known_since_ = std::min(known_since_, since); }
  TimestampNs known_since() const { return known_since_; }

  // Never goes back; a lesser watermark changes nothing.
  Status advance(TimestampNs watermark, Worker& worker, const FindingSink& sink);

  // After many takes with a horizon of kTimestampMin, which look at nothing: what a rising rule would have found by now in
  // windows that are open.
  Status look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink);

  // Flows that were counted in an earlier life are not counted twice.
  void forget_counts() { stats_.rows = stats_.late_rows = stats_.dropped_rows = 0; }

  const RulePtr& rule() const { return rule_; }
  // Flows before it are late: what begins there is all that is needed to make this state again.
  TimestampNs frontier() const { return frontier_; }
  // Windows that begin before it have been settled.
  TimestampNs settled_before() const { return settled_before_; }
  TimestampNs watermark() const { return watermark_; }
  const WindowStats& stats() const { return stats_; }

 private:
  Status take_piece(const Chunk& rows, TimestampNs slide, Worker& worker, TimestampNs horizon, bool has_room, const FindingSink& sink);
  Status look(const Groups& groups, std::span<const uint32_t> numbers, TimestampNs window, bool is_settled, Worker& worker, const FindingSink& sink);
  Status look_at_all(TimestampNs window, bool is_settled, Worker& worker, const FindingSink& sink);
  Status run_stages(size_t from, size_t end, Chunk rows, Worker& worker, const Emit& last);
  void account();
  bool hops() const { return length_ != slide_; }

  // The keys of rows that are ready to be grouped, into the history.
  void learn(const Chunk& rows, TimestampNs window, EvalContext& context);

  const RulePtr rule_;
  std::optional<KeyHistory> history_;
  bool is_learning_ = false;
  TimestampNs known_since_ = kTimestampMax;
  const DurationNs length_, slide_, grace_;
  std::map<TimestampNs, Groups> windows_;  // by start
  std::set<TimestampNs> late_windows_;    // settled, and flows have come since
  TimestampNs frontier_, settled_before_ = kTimestampMin, watermark_ = kTimestampMin, late_looked_at_ = kTimestampMin;
  uint64_t rows_since_account_ = 0;
  WindowStats stats_;
};

// The start of the slide that holds t, for the times that rules take; see kEarliest and kLatest.
TimestampNs slide_start(TimestampNs t, DurationNs slide);

}  // namespace sluice::query::continuous
