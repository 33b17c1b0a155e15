// The state of one rule on a stream. There is a kind for each shape of a rule: windows that stand side by side or overlap (window_groups.h), and
// sessions (session_groups.h), sequences (sequence_state.h).
//
//   take( flows )        into the state; of a rising rule, what they touched is looked at at once
//   advance( watermark ) settles what has ended: all of it is looked at; a flow that comes later, but within the rule's grace, has it
//                        looked at again; then it is forgotten
//
// What is told depends on which flows there are, and not on the order or the batches in which they came. So the state need not be kept: it
// is made again from the stored flows, from frontier() on, with what checkpoint() says.
//
// State is bounded (limits::kRuleGroupsMax and following). At the bound windows let go of their lighter groups (shortfall.h); elsewhere groups that
// are known count on, and flows of others are dropped for this rule: counted, and of how many groups they are is estimated.
//
// Thread rule: one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "query/continuous/rule.h"
#include "query/run_state.h"

namespace sluice::query::continuous {

// Times outside are no flow's, and keep sums of times and windows from overflowing.
inline constexpr TimestampNs kEarliest = -4'000'000'000 * kSecond, kLatest = 8'000'000'000 * kSecond;

// Rows of one window that the rule's conditions let through.
struct Finding {
  const Rule& rule;
  TimestampNs window = 0;  // its start; of a rule of sessions each row says its own, see Rule::Session
  bool is_settled = false;
  const Chunk& rows;       // by Rule::plan.output's slots
  // Where rows are laid out otherwise: as many columns of the same names. null: as the plan says
  const std::vector<OutputColumn>* output = nullptr;
  bool is_partial = false; // aggregates may lack flows, and are at least what they should be less that; see shortfall.h
  const std::vector<OutputColumn>& columns() const { return output ? *output : rule.plan.output; }
};
using FindingSink = std::function<void(const Finding&)>;

struct WindowStats {
  uint64_t rows = 0;          // flows that met the filter; of a rule that is asked: again in each answer that read them
  uint64_t late_rows = 0;     // of those: too late, not counted
  uint64_t dropped_rows = 0;  // of those: not counted, or not in every window, because the state was at its bound
  uint64_t lost_groups = 0;   // groups that are not known, or not whole, for either reason, about; see lost_groups.h
  uint64_t let_go_groups = 0; // each time that one was let go at the bound
  uint64_t excepted_rows = 0; // flows that met the filter, and that an exception left out
  uint64_t settled = 0;       // windows
  uint64_t groups = 0, bytes = 0, windows = 0;  // now
  uint64_t partial_groups = 0;                  // of groups: those that may lack flows
  bool overflow = false;      // an integer became too large once
  bool is_sketch = false;     // first_seen knows its keys by sketches, see key_history.h
};

// Where a state begins.
struct Resume {
  TimestampNs frontier = kEarliest;
  std::string checkpoint;  // as an earlier life gave it; empty: there was none
};

// What all rules together have left of their bound. Scarce: those that can let go of groups do; none: no flow is counted.
enum class Room : uint8_t { plenty, scarce, none };

class RuleState {
 public:
  virtual ~RuleState() = default;
  RuleState(const RuleState&) = delete;
  RuleState& operator=(const RuleState&) = delete;

  // Rows in the frame of the rule's scan, which have met its filter. Flows at or beyond `horizon` (now, and a bit for clocks that
  // run ahead) do not lead. `room`: that all rules together have left.
  Status take(Chunk rows, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink);
  // Never goes back; a lesser watermark changes nothing.
  virtual Status advance(TimestampNs watermark, Worker& worker, const FindingSink& sink) = 0;
  // Once stored flows have been read (set_learning), which looks at nothing: what a rising rule would have found by now in what is open.
  // After an advance() to where the stream stands, so that it is no more than that; see look_again() in stream.h.
  virtual Status look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink) = 0;

  // The stored flows from here on, with checkpoint(), are all that is needed to make this state again.
  virtual TimestampNs frontier() const = 0;
  // What is told before it has been told: of windows that begin, or sessions that end, before.
  virtual TimestampNs settled_before() const = 0;
  // Versioned text, see Resume; empty where the frontier says all.
  virtual std::string checkpoint() const { return {}; }
  // Of a state that was just made: from where on the stored flows are read. With first_seen that is where it begins to look back, and
  // flows from here to the frontier are only learned from.
  virtual TimestampNs history_from() const { return frontier(); }
  // While stored flows are read to make the state again, in whatever order: from history_from() on, and none of them is late.
  virtual void set_learning(bool learns) { is_learning_ = learns; }
  // Whether they had better come in order of time, some at a time; then read_before( t ) says when all before t have come.
  virtual bool reads_in_order() const { return false; }
  virtual void read_before(TimestampNs) {}

  // The first flow that is known of, by whoever knows: what begins less than the rule's `learn` behind it alerts nobody. The
  // earliest that is said counts.
  void set_known_since(TimestampNs since) { known_since_ = std::min(known_since_, since); }
  TimestampNs known_since() const { return known_since_; }
  // The same as an earlier life knew, of flows that may be kept no more: the rule does not begin to learn anew. What first_seen looks back on was in
  // those flows, and is known no more either: its look-back, where that is no longer than what there is to learn, counts from known_since.
  void set_learns_since(TimestampNs since) { earlier_since_ = std::min(earlier_since_, since); }
  TimestampNs learns_since() const { return std::min(known_since_, earlier_since_); }
  // From when on it alerts; kTimestampMax: nothing is known yet.
  TimestampNs learned_at() const;
  // Flows that were counted in an earlier life are not counted twice.
  void forget_counts() { stats_.rows = stats_.late_rows = stats_.dropped_rows = stats_.lost_groups = stats_.let_go_groups = stats_.excepted_rows = 0; }

  const RulePtr& rule() const { return rule_; }
  TimestampNs watermark() const { return watermark_; }
  const WindowStats& stats() const { return stats_; }

 protected:
  explicit RuleState(RulePtr rule);
  // take(), of what the rule's exceptions and the stages in front of the grouping let through.
  virtual Status take_ready(const Chunk& ready, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) = 0;
  // The rows through the rule's operators [from, end).
  Status run_stages(size_t from, size_t end, Chunk rows, Worker& worker, const Emit& last);
  bool is_learned(TimestampNs begins) const { return rule_->learn == 0 || begins >= learned_at(); }

  const RulePtr rule_;
  bool is_learning_ = false;
  TimestampNs known_since_ = kTimestampMax;
  TimestampNs watermark_ = kTimestampMin;
  WindowStats stats_;

 private:
  TimestampNs earlier_since_ = kTimestampMax;
};

// `keeps_settled`: what has settled waits for late flows as long as the rule's grace; not where all flows are there already, as in a replay.
std::unique_ptr<RuleState> make_state(RulePtr rule, const Resume& from, bool keeps_settled = true);

// The start of the slide that holds t, for the times that rules take; see kEarliest and kLatest.
TimestampNs slide_start(TimestampNs t, DurationNs slide);

}  // namespace sluice::query::continuous
