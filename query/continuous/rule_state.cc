#include "query/continuous/rule_state.h"

#include <algorithm>

#include "query/continuous/session_groups.h"
#include "query/continuous/window_groups.h"

namespace sluice::query::continuous {

TimestampNs slide_start(TimestampNs t, DurationNs slide) { return bin_start(std::clamp(t, kEarliest, kLatest), slide); }

RuleState::RuleState(RulePtr rule) : rule_(std::move(rule)) {
  if (rule_->learn == 0) known_since_ = kEarliest;
}

Status RuleState::run_stages(size_t from, size_t end, Chunk rows, Worker& worker, const Emit& last) {
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  if (rows.rows == 0) return {};
  if (from == end) return last(std::move(rows));
  return rule_->plan.operators[from]->push(std::move(rows), worker, [&](Chunk out) { return run_stages(from + 1, end, std::move(out), worker, last); });
}

std::unique_ptr<RuleState> make_state(RulePtr rule, const Resume& from, bool keeps_settled) {
  if (rule->session) return std::make_unique<SessionGroups>(std::move(rule), from, keeps_settled);
  return std::make_unique<WindowGroups>(std::move(rule), from.frontier, keeps_settled);
}

}  // namespace sluice::query::continuous
