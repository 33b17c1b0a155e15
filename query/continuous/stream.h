// The stream: all enabled rules over everything that is appended.
//
//   ( add | remove )* ( push | tick )*
//
// What a window yields is decided by which flows lie in it, never by when or in what batches they came. So the state of a rule
// need not be kept beside the data: it is made again from the store (read_stored), from the rule's frontier on, which is all that
// has to be kept.
//
// A large batch goes through several rules at once, each on one thread: what a rule says depends on its own state alone.
//
// Thread rule: one thread at a time. Findings are told one at a time as well, in no order among rules, and from any thread of the executor while push()
// or tick() waits for it.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "query/continuous/shared_filter.h"
#include "query/continuous/watermarks.h"
#include "query/continuous/rule_state.h"

namespace sluice::query::continuous {

// A run without a deadline, for rules. Holds what a RunState refers to.
class RuleRun {
 public:
  // `now` of the context is not asked; names and corrections of sampling rates may be null. `threads` may work at once.
  RuleRun(std::shared_ptr<const SamplingRules> sampling_rules, std::shared_ptr<const NameBook> names, size_t threads = 1);
  size_t threads() const { return workers_.size(); }
  Worker& worker(size_t thread = 0) { return *workers_[thread]; }
  // For what is loaded once for all threads.
  Worker& loader() { return loader_; }
  const SamplingRules* sampling_rules() const { return context_.sampling_rules.get(); }

 private:
  ManualClock clock_{0};
  QueryRequest request_;
  QueryContext context_;
  RunState run_;
  Worker loader_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

class Stream {
 public:
  // REQUIRES: the executor, if any, outlives it
  explicit Stream(Executor* executor = nullptr) : executor_(executor) { set_context(nullptr, nullptr); }

  // Corrections and names from here on; either may be null.
  void set_context(std::shared_ptr<const SamplingRules> sampling_rules, std::shared_ptr<const NameBook> names) {
    run_ = std::make_unique<RuleRun>(std::move(sampling_rules), std::move(names), executor_ ? executor_->width() : 1);
  }

  // A rule with its state so far. One of the same name takes its place.
  void add(std::unique_ptr<RuleState> state);
  void remove(const std::string& name);
  const RuleState* find(const std::string& name) const;
  // Why flows could not go through a rule, the last time that happened; empty: they always could. The other rules are not touched by it.
  const std::string& trouble(const std::string& name) const;
  std::vector<const RuleState*> all() const;
  size_t size() const { return rules_.size(); }

  // Flows that arrived at `now`, through all rules; then windows settle as far as the watermark has come.
  void push(std::shared_ptr<const Batch> flows, TimestampNs now, const FindingSink& sink);
  // No flows have come, but time goes on.
  void tick(TimestampNs now, const FindingSink& sink);

  Watermarks& watermarks() { return watermarks_; }
  const Watermarks& watermarks() const { return watermarks_; }
  TimestampNs watermark() const { return watermark_; }
  // Where a tick would take it.
  TimestampNs watermark_at(TimestampNs now) const { return std::max(watermark_, watermarks_.at(now)); }
  // Sums of all rules, for bounds and metrics.
  uint64_t state_bytes() const;
  size_t distinct_tests() const { return filter_.distinct_tests(); }

  // Where a rule that is new now should begin: with the first window that has not ended; of sessions with those that have not, as far as they
  // began within limits::kRuleSessionGapsRead gaps; of a sequence with what may be its beginning.
  static Resume beginning(const Rule& rule, TimestampNs watermark);

 private:
  struct Entry {
    std::unique_ptr<RuleState> state;
    SharedFilter::Use use;
    std::string trouble;
  };
  // `work` for each rule, by several threads where `is_large`.
  using RuleWork = std::function<void(Entry&, Worker&, const FindingSink&)>;
  void each_rule(bool is_large, const FindingSink& sink, const RuleWork& work);
  void note(Entry& entry, const Status& status, Worker& worker);
  Executor* const executor_;
  std::unique_ptr<RuleRun> run_;
  SharedFilter filter_;
  std::map<std::string, Entry> rules_;
  Watermarks watermarks_;
  TimestampNs watermark_ = kTimestampMin;
};

// Reads the stored flows of [range.from, range.to) into a rule's windows, by all threads of the executor, and looks at nothing on the
// way: look_at_open() or advance() follow. `run` brings snapshot, executor and what may end it. Damaged segments are told as by
// queries, and left out. `room`: bytes that the other rules leave; beyond, flows are dropped and counted.
Status read_stored(RuleState& state, RunState& run, TimeRange range, ScanStats& stats, uint64_t room = UINT64_MAX);
// Of the flows that a snapshot holds; from behind to where there are none.
TimeRange range_of(const store::Snapshot& snapshot);
// All that makes a state again: the stored flows from RuleState::history_from() on.
Status read_again(RuleState& state, RunState& run, ScanStats& stats, uint64_t room = UINT64_MAX);
// Of a state that was made again: what has settled by `watermark`, the stream's, and then what is open, as far as it would have been told of
// by `now`. What an earlier life told of is told again, and nothing that it would not have.
Status look_again(RuleState& state, TimestampNs watermark, TimestampNs now, Worker& worker, const FindingSink& sink);

}  // namespace sluice::query::continuous
