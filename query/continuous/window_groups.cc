#include "query/continuous/window_groups.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "query/continuous/checkpoint.h"
#include "query/continuous/limits.h"

namespace sluice::query::continuous {
namespace {

// Windows that got flows after they were settled are looked at again when time has moved on by so much, not with each batch.
constexpr DurationNs kLateRound = 10 * kSecond;

}  // namespace

WindowGroups::WindowGroups(RulePtr rule, const Resume& from, bool keeps_settled)
    : RuleState(std::move(rule)), length_(rule_->window()), slide_(rule_->slide()), grace_(keeps_settled ? rule_->grace : 0) {
  frontier_ = from.frontier <= kEarliest ? kEarliest : slide_start(from.frontier - 1, slide_) + slide_;
  if (const auto checkpoint = checkpoint_of(from.checkpoint))
    for (const auto& held : checkpoint->held) held_[held.window].insert(held.key);
  settled_before_ = frontier_;  // windows that begin before it would lack flows
  if (rule_->first_seen) {
    history_.emplace(rule_->first_seen->lookback);
    history_->settle(frontier_);
  }
}

void WindowGroups::learn(const Chunk& rows, TimestampNs window, EvalContext& context) {
  std::vector<ColumnPtr> keys;
  for (const size_t k : rule_->first_seen->keys) keys.push_back(rule_->groups->keys[k].node->eval(rows, context));
  for (size_t i = 0; i < rows.rows; ++i) history_->add(KeyHistory::fingerprint(keys, i), window);
}

Status WindowGroups::take_ready(const Chunk& ready, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) {
  stats_.rows += ready.rows;
  // Mostly all rows lie in one pane or two.
  const auto times = ready.slots[rule_->plan.window->time_slot]->values<int64_t>();
  std::map<TimestampNs, std::vector<uint32_t>> by_pane;
  TimestampNs pane = kTimestampMin;
  std::vector<uint32_t>* picked = nullptr;
  for (uint32_t i = 0; i < ready.rows; ++i) {
    const TimestampNs t = times[i];
    if (t > kLatest || (t < frontier_ && !history_)) {
      ++stats_.late_rows;
      continue;
    }
    if (t < frontier_ && !is_learning_) ++stats_.late_rows;  // and known all the same
    known_since_ = std::min(known_since_, t);
    if (!picked || t < pane || t >= pane + slide_) {
      pane = slide_start(t, slide_);
      picked = &by_pane[pane];
    }
    picked->push_back(i);
  }
  if (history_)
    for (const auto& [start, numbers] : by_pane) learn(numbers.size() == ready.rows ? ready : ready.gather(numbers, worker.eval), start, worker.eval);
  for (const auto& [start, numbers] : by_pane) {
    if (start < frontier_) continue;
    SLUICE_TRY(take_piece(numbers.size() == ready.rows ? ready : ready.gather(numbers, worker.eval), start, worker, horizon, room, sink));
  }
  return {};
}

Status WindowGroups::take_piece(const Chunk& rows, TimestampNs start, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) {
  const auto is_full = [&] { return stats_.groups >= limits::kRuleGroupsMax || stats_.bytes >= limits::kRuleBytesMax; };
  if ((is_full() || (room != Room::plenty && stats_.bytes >= limits::kRuleLetGoBytesMin)) && let_go(worker)) room = Room::plenty;
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  // Where that was of no help what is known counts on; states that grow with each value do so up to the last quarter.
  const bool knows_only = is_full();
  const bool drops = room == Room::none || stats_.bytes >= limits::kRuleBytesMax + limits::kRuleBytesMax / 4;
  uint64_t left_out = 0;
  const bool looks = rule_->is_rising && (is_learning_ || start <= horizon);
  // Of a rising rule: the oldest window that is open, or, where none is any more, the newest that late flows still count in.
  const TimestampNs oldest = std::max(frontier_, start + slide_ - length_);
  const TimestampNs looked_at = std::min(std::max(oldest, settled_before_), start);
  std::vector<uint32_t> touched;
  for (TimestampNs w = oldest; w <= start; w += slide_) {
    Groups& groups = windows_.try_emplace(w, *rule_->groups).first->second;
    const bool looked = looks && w == looked_at;
    rows_since_let_go_ += rows.rows;
    if (drops) {
      groups.lack_rows();
      continue;
    }
    if (knows_only)
      left_out = std::max(left_out, groups.push_known(rows, worker.eval, looked ? &touched : nullptr, lost_));
    else
      groups.push(rows, worker.eval, looked ? &touched : nullptr);
    // Windows that were settled without these rows, unless these are looked at right now.
    if (!looked && w < settled_before_) late_windows_.insert(w);
  }
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  if (drops) {
    stats_.dropped_rows += rows.rows;
    return {};
  }
  if (left_out > 0) {
    stats_.dropped_rows += left_out;
    stats_.lost_groups = lost_.count();
  }
  rows_since_account_ += rows.rows;
  account();
  if (touched.empty()) return {};
  if (is_learning_) {
    Led& led = led_[start];
    led.window = looked_at;
    led.groups.resize(windows_.at(looked_at).size());
    for (const uint32_t g : touched) led.groups[g] = true;
    return {};
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  return look(windows_.at(looked_at), touched, looked_at, false, worker, sink);
}

Status WindowGroups::look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink) {
  std::map<TimestampNs, std::vector<uint32_t>> by_window;
  for (const auto& [start, led] : std::exchange(led_, {})) {
    // What has settled was looked at whole.
    if (start > horizon || led.window < settled_before_) continue;
    auto& numbers = by_window[led.window];
    for (uint32_t g = 0; g < led.groups.size(); ++g)
      if (led.groups[g]) numbers.push_back(g);
  }
  for (auto& [window, numbers] : by_window) {
    // (Several slides lead in the first window.)
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    SLUICE_TRY(look(windows_.at(window), numbers, window, false, worker, sink));
  }
  return {};
}

bool WindowGroups::let_go(Worker& worker) {
  // It walks all groups, and is done for so many flows at a time that it does not count.
  if (stats_.groups < limits::kRuleLetGoMin || rows_since_let_go_ < stats_.groups / 4 || rule_->groups->keys.empty()) return false;
  rows_since_let_go_ = 0;
  // The largest windows down to one size, so that half is left in all.
  std::vector<size_t> sizes;
  for (const auto& window : windows_) sizes.push_back(window.second.size());
  std::sort(sizes.begin(), sizes.end());
  size_t left = stats_.groups / 2, most = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    most = left / (sizes.size() - i);
    if (sizes[i] > most) break;
    left -= sizes[i];
  }
  static const std::unordered_set<uint64_t> kNone;
  for (auto& [start, groups] : windows_) {
    if (groups.size() <= most || most == 0) continue;
    const auto held = held_.find(start);
    const size_t before = groups.size();
    const std::vector<uint32_t> map = groups.keep_heaviest(most, held == held_.end() ? kNone : held->second, lost_, worker.eval);
    stats_.let_go_groups += before - groups.size();
    for (auto& [slide, led] : led_) {
      if (led.window != start) continue;
      std::vector<bool> now(groups.size(), false);
      for (size_t g = 0; g < led.groups.size(); ++g)
        if (led.groups[g] && map[g] != kNoGroup) now[map[g]] = true;
      led.groups = std::move(now);
    }
  }
  stats_.lost_groups = lost_.count();
  rows_since_account_ = UINT64_MAX;
  account();
  return true;
}

std::string WindowGroups::checkpoint() const {
  size_t windows = 0;
  for (const auto& window : windows_) windows += window.second.shortfall() != nullptr;
  if (windows == 0) return {};
  Checkpoint out;
  EvalContext context;
  for (const auto& [start, groups] : windows_) {
    if (!groups.shortfall() || rule_->groups->keys.empty()) continue;
    for (const uint64_t key : groups.heaviest_keys(limits::kRuleHeldKeysMax / windows, context)) {
      if (out.held.size() >= limits::kRuleHeldKeysMax) break;
      out.held.push_back({start, key});
    }
  }
  return out.held.empty() ? std::string() : to_text(out);
}

void WindowGroups::account() {
  uint64_t groups = 0, partial = 0;
  for (const auto& [start, window] : windows_) {
    groups += window.size();
    if (window.shortfall()) partial += window.shortfall()->partial_groups();
  }
  stats_.groups = groups;
  stats_.partial_groups = partial;
  stats_.windows = windows_.size();
  // The account of bytes walks all windows; not more often than it pays. (Of rows that are a group each some are always fewer than the groups.)
  if (rows_since_account_ < groups / 4) return;
  rows_since_account_ = 0;
  uint64_t bytes = 0;
  for (const auto& [start, window] : windows_) bytes += window.byte_size();
  if (history_) {
    bytes += history_->byte_size();
    stats_.is_sketch = history_->is_sketch();
  }
  stats_.bytes = bytes;
}

Status WindowGroups::look(const Groups& groups, std::span<const uint32_t> numbers, TimestampNs window, bool is_settled, Worker& worker, const FindingSink& sink) {
  // Still learning: what is not known yet cannot be told from what is new.
  if (!is_learned(window)) return {};
  if (!groups.shortfall() || groups.shortfall()->partial_groups() == 0) return look_at(groups, numbers, window, is_settled, false, worker, sink);
  std::vector<uint32_t> whole, partial;
  for (const uint32_t g : numbers) (groups.shortfall()->is_whole(g) ? whole : partial).push_back(g);
  SLUICE_TRY(look_at(groups, whole, window, is_settled, false, worker, sink));
  return rule_->is_rising ? look_at(groups, partial, window, is_settled, true, worker, sink) : Status();
}

Status WindowGroups::look_at(const Groups& groups, std::span<const uint32_t> numbers, TimestampNs window, bool is_settled, bool is_partial, Worker& worker,
                             const FindingSink& sink) {
  for (size_t i = 0; i < numbers.size(); i += limits::kGroupsPiece) {
    Chunk rows = groups.rows(numbers.subspan(i, std::min(limits::kGroupsPiece, numbers.size() - i)), worker.eval);
    if (history_) {
      std::vector<ColumnPtr> keys;
      for (const size_t k : rule_->first_seen->keys) keys.push_back(rows.slots[k]);
      std::vector<uint32_t> fresh;
      for (uint32_t r = 0; r < rows.rows; ++r)
        if (!history_->seen(KeyHistory::fingerprint(keys, r), window - rule_->first_seen->lookback, window)) fresh.push_back(r);
      if (fresh.size() < rows.rows) rows = rows.gather(fresh, worker.eval);
    }
    SLUICE_TRY(run_stages(rule_->plan.window->group + 1, rule_->plan.operators.size(), std::move(rows), worker, [&](Chunk out) -> Status {
      sink(Finding{*rule_, window, is_settled, out, nullptr, is_partial});
      return {};
    }));
  }
  return {};
}

Status WindowGroups::look_at_all(TimestampNs window, bool is_settled, Worker& worker, const FindingSink& sink) {
  const auto at = windows_.find(window);
  if (at == windows_.end()) return {};
  std::vector<uint32_t> numbers(at->second.size());
  std::iota(numbers.begin(), numbers.end(), 0u);
  return look(at->second, numbers, window, is_settled, worker, sink);
}

Status WindowGroups::advance(TimestampNs watermark, Worker& worker, const FindingSink& sink) {
  watermark = std::min(watermark, kLatest + limits::kRuleWindowMax);
  if (watermark <= watermark_ || watermark <= kEarliest) return {};
  watermark_ = watermark;
  // Windows that have ended, of those that have flows.
  const TimestampNs ended_before = slide_start(watermark - length_, slide_) + slide_;
  if (ended_before > settled_before_) {
    for (auto it = windows_.lower_bound(settled_before_); it != windows_.end() && it->first < ended_before; ++it) {
      SLUICE_TRY(look_at_all(it->first, true, worker, sink));
      ++stats_.settled;
    }
    settled_before_ = ended_before;
  }
  const TimestampNs forget_before = slide_start(watermark - length_ - grace_, slide_) + slide_;
  const bool forgets = forget_before > frontier_;
  if (!late_windows_.empty() && (forgets || late_looked_at_ == kTimestampMin || watermark - late_looked_at_ >= kLateRound)) {
    late_looked_at_ = watermark;
    const auto windows = std::move(late_windows_);
    late_windows_.clear();
    for (const TimestampNs w : windows) SLUICE_TRY(look_at_all(w, true, worker, sink));
  }
  if (forgets) {
    frontier_ = forget_before;
    windows_.erase(windows_.begin(), windows_.lower_bound(frontier_));
    held_.erase(held_.begin(), held_.lower_bound(frontier_));
    if (history_) history_->settle(frontier_);
    rows_since_account_ = UINT64_MAX;
    account();
  }
  return {};
}

}  // namespace sluice::query::continuous
