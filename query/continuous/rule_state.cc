#include "query/continuous/rule_state.h"

#include <algorithm>
#include <numeric>

#include "query/continuous/sequence_state.h"
#include "query/continuous/session_groups.h"
#include "query/continuous/window_groups.h"

namespace sluice::query::continuous {

TimestampNs slide_start(TimestampNs t, DurationNs slide) { return bin_start(std::clamp(t, kEarliest, kLatest), slide); }

RuleState::RuleState(RulePtr rule) : rule_(std::move(rule)) {
  if (rule_->learn == 0) known_since_ = kEarliest;
}

TimestampNs RuleState::learned_at() const {
  const auto behind = [](TimestampNs since, DurationNs by) { return since == kTimestampMax ? kTimestampMax : std::max(since, kEarliest) + by; };
  const TimestampNs learned = behind(learns_since(), rule_->learn);
  return rule_->first_seen ? std::max(learned, behind(known_since_, std::min(rule_->learn, rule_->first_seen->lookback))) : learned;
}

Status RuleState::run_stages(size_t from, size_t end, Chunk rows, Worker& worker, const Emit& last) {
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  if (rows.rows == 0) return {};
  if (from == end) return last(std::move(rows));
  return rule_->plan.operators[from]->push(std::move(rows), worker, [&](Chunk out) { return run_stages(from + 1, end, std::move(out), worker, last); });
}

Status RuleState::take(Chunk rows, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) {
  if (!rule_->exceptions.empty()) {
    std::vector<uint8_t> mask(rows.rows);
    std::vector<uint32_t> stay(rows.rows);
    std::iota(stay.begin(), stay.end(), 0u);
    for (const PredicatePtr& exception : rule_->exceptions) {
      evaluate(*exception, rows, worker.eval, nullptr, mask.data());
      std::erase_if(stay, [&](uint32_t row) { return mask[row] == 0; });
    }
    if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
    stats_.excepted_rows += rows.rows - stay.size();
    if (stay.empty()) return {};
    if (stay.size() < rows.rows) rows = rows.gather(stay, worker.eval);
  }
  const Status status =
      run_stages(0, rule_->plan.window->group, std::move(rows), worker, [&](Chunk ready) { return take_ready(ready, worker, horizon, room, sink); });
  stats_.overflow = stats_.overflow || worker.eval.overflow;
  return status;
}

std::unique_ptr<RuleState> make_state(RulePtr rule, const Resume& from, bool keeps_settled) {
  if (rule->sequence) return std::make_unique<SequenceState>(std::move(rule), from, keeps_settled);
  if (rule->session) return std::make_unique<SessionGroups>(std::move(rule), from, keeps_settled);
  return std::make_unique<WindowGroups>(std::move(rule), from, keeps_settled);
}

}  // namespace sluice::query::continuous
