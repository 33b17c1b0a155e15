// The state of one rule: groups and their aggregates, by window of flow_end.
//
// Each window keeps its groups; where windows overlap, a flow is counted in each that holds it. What a window yields does not depend
// on the order or the batches in which its flows came.
//
// A rising rule (Rule::is_rising) alerts early. With hopping windows that is decided in the oldest that is open and holds the flow: in
// order of time it has seen what the others have, and more. Whatever that misses is found when a window is settled.
// A state that is made again from stored flows notes which groups those would have had looked at, and where, so that it tells of the same
// windows as one that saw them come. All open windows would be more: an alert that is in a newer window already would not go on with what
// is found in an older.
//
// At the bound of the state the windows with the most groups let go of the lighter ones, so that who comes later finds room (shortfall.h). A group that
// may lack flows for that reason alerts if the flows that it has suffice (a rising rule), which its alert says; if more flows could undo what the
// rule asks for, it is not looked at. Either may miss an alert, and neither makes one up. After a restart windows are made again from all of their
// flows, in another order: what is whole is the same, and the heaviest keys, which checkpoint() says, are whole then.
//
// Thread rule: one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_set>

#include "query/continuous/groups.h"
#include "query/continuous/key_history.h"
#include "query/continuous/rule_state.h"

namespace sluice::query::continuous {

class WindowGroups final : public RuleState {
 public:
  // Flows before the frontier are late. Rounded up to a slide. `keeps_settled`: see make_state().
  WindowGroups(RulePtr rule, const Resume& from, bool keeps_settled = true);

  Status advance(TimestampNs watermark, Worker& worker, const FindingSink& sink) override;
  Status look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink) override;
  TimestampNs history_from() const override { return rule_->first_seen ? std::max(kEarliest, frontier_ - rule_->first_seen->lookback) : frontier_; }
  // Flows before it are late.
  TimestampNs frontier() const override { return frontier_; }
  // The heaviest keys of windows that let go of others.
  std::string checkpoint() const override;
  // Windows that begin before it have been settled.
  TimestampNs settled_before() const override { return settled_before_; }

 private:
  Status take_ready(const Chunk& ready, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) override;
  Status take_piece(const Chunk& rows, TimestampNs slide, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink);
  // At the bound: the lighter groups go, until half of them are left. False: it does not pay, or has just been done.
  bool let_go(Worker& worker);
  Status look(const Groups& groups, std::span<const uint32_t> numbers, TimestampNs window, bool is_settled, Worker& worker, const FindingSink& sink);
  Status look_at(const Groups& groups, std::span<const uint32_t> numbers, TimestampNs window, bool is_settled, bool is_partial, Worker& worker, const FindingSink& sink);
  Status look_at_all(TimestampNs window, bool is_settled, Worker& worker, const FindingSink& sink);
  void account();

  // The keys of rows that are ready to be grouped, into the history.
  void learn(const Chunk& rows, TimestampNs window, EvalContext& context);

  std::optional<KeyHistory> history_;
  const DurationNs length_, slide_, grace_;
  std::map<TimestampNs, Groups> windows_;  // by start
  std::set<TimestampNs> late_windows_;    // settled, and flows have come since
  // While it learns, by slide: the window that flows of it would have had looked at, and there which groups.
  struct Led {
    TimestampNs window = 0;
    std::vector<bool> groups;
  };
  std::map<TimestampNs, Led> led_;
  TimestampNs frontier_, settled_before_ = kTimestampMin, late_looked_at_ = kTimestampMin;
  uint64_t rows_since_account_ = 0, rows_since_let_go_ = 0;
  std::map<TimestampNs, std::unordered_set<uint64_t>> held_;  // of the checkpoint: keys that are not let go
  LostGroups lost_;
};

}  // namespace sluice::query::continuous
