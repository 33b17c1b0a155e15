#include "query/continuous/sequence_state.h"

#include <algorithm>
#include <numeric>

#include "query/continuous/key_history.h"
#include "query/continuous/limits.h"

namespace sluice::query::continuous {
namespace {

constexpr DurationNs kMinuteOfEnd = limits::kRuleRecordWindow;
// Rows of a key that are worth to keep how far its steps have come; fewer are looked at again each time.
constexpr size_t kProgressRows = 32;

}  // namespace

SequenceState::SequenceState(RulePtr rule, const Resume& from, bool keeps_settled)
    : RuleState(std::move(rule)),
      spec_(*rule_->sequence),
      least_rows_(std::accumulate(spec_.steps.begin(), spec_.steps.end(), uint64_t{0}, [](uint64_t sum, const SequenceStep& s) { return sum + s.count; })),
      scratch_(spec_),
      grace_(keeps_settled ? rule_->grace : 0),
      began_at_(std::max(kEarliest, from.frontier)),
      table_(types_of(spec_.keys)) {
  if (const auto checkpoint = checkpoint_of(from.checkpoint)) {
    resumed_before_ = checkpoint->told_before;
    for (const auto& mark : checkpoint->marks) marks_.emplace(mark.key, mark);
  }
}

TimestampNs SequenceState::told_before() const {
  if (watermark_ <= kEarliest) return resumed_before_;
  return std::max(resumed_before_, std::min(watermark_ - grace_, settled_before_));
}

TimestampNs SequenceState::frontier() const { return told_before() <= kEarliest ? began_at_ : std::max(began_at_, told_before() - spec_.within); }

std::string SequenceState::checkpoint() const {
  Checkpoint out{told_before(), {}, {}};
  const TimestampNs from = frontier();
  for (const Key& key : keys_) {
    std::optional<Checkpoint::Mark> mark = key.used;
    for (const Found& f : key.found)
      if (f.end.time < out.told_before) mark = Checkpoint::Mark{key.fingerprint, f.end.time, f.end.mask, f.equal};
    if (mark && mark->time >= from) out.marks.push_back(*mark);
  }
  for (const auto& [fingerprint, mark] : marks_)
    if (mark.time >= from) out.marks.push_back(mark);
  const auto by_time = [](const auto& a, const auto& b) { return std::pair(a.time, a.key) > std::pair(b.time, b.key); };
  std::sort(out.marks.begin(), out.marks.end(), by_time);
  if (out.marks.size() > limits::kRuleMarksMax) out.marks.resize(limits::kRuleMarksMax);
  return to_text(out);
}

void SequenceState::set_learning(bool learns) {
  is_learning_ = learns;
  if (learns) return;
  // What ended before was told, if it was to be told.
  look_at_changed();
  for (Key& key : keys_)
    for (Found& f : key.found) f.is_told = f.is_settled = f.end.time < told_before();
}

Status SequenceState::take_ready(const Chunk& ready, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) {
  stats_.rows += ready.rows;
  const auto times = ready.slots[spec_.time]->values<int64_t>();
  sequence_masks(spec_, ready, worker.eval, masks_);
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  const TimestampNs late_before = is_learning_ ? began_at_ : std::max(began_at_, told_before());
  std::vector<uint32_t> kept;
  for (uint32_t i = 0; i < ready.rows; ++i) {
    if (times[i] < late_before || times[i] > kLatest) {
      ++stats_.late_rows;
      continue;
    }
    known_since_ = std::min(known_since_, times[i]);
    if (masks_[i] != 0) kept.push_back(i);
  }
  if (kept.empty()) return {};
  if (room == Room::none || stats_.bytes >= limits::kRuleBytesMax + limits::kRuleBytesMax / 4) {
    stats_.dropped_rows += kept.size();
    return {};
  }
  std::vector<ColumnPtr> keys;
  for (const StageColumn& k : spec_.keys) keys.push_back(kept.size() == ready.rows ? ready.slots[k.slot] : keep(ready.slots[k.slot]->gather(kept), worker.eval));
  // Close to the bound the table takes in no keys that there is no room for.
  const size_t keys_left = stats_.bytes >= limits::kRuleBytesMax ? 0 : limits::kRuleGroupsMax - std::min<size_t>(live_, limits::kRuleGroupsMax);
  if (keys_left < kept.size()) {
    const auto stay = known_.admit(*table_, keys, kept.size(), keys_left, worker.eval, [&](uint32_t, uint64_t key) {
      ++stats_.dropped_rows;
      lost_.add(key);
    });
    if (stay.size() < kept.size()) {
      for (ColumnPtr& k : keys) k = keep(k->gather(stay), worker.eval);
      for (size_t i = 0; i < stay.size(); ++i) kept[i] = kept[stay[i]];
      kept.resize(stay.size());
    }
  }
  table_->find(keys, kept.size(), numbers_);
  keys_.resize(table_->size());
  for (size_t i = 0; i < kept.size(); ++i) {
    Key& key = keys_[numbers_[i]];
    if (key.fingerprint == 0) {
      const uint64_t fingerprint = KeyHistory::fingerprint(keys, i);
      if (live_ >= limits::kRuleGroupsMax || stats_.bytes >= limits::kRuleBytesMax) {
        ++stats_.dropped_rows;
        lost_.add(fingerprint);
        continue;
      }
      ++live_;
      key.fingerprint = fingerprint;
      if (const auto at = marks_.find(fingerprint); at != marks_.end()) {
        key.used = at->second;
        marks_.erase(at);
      }
    }
    add(key, {times[kept[i]], masks_[kept[i]]});
    if (!key.is_changed) {
      key.is_changed = true;
      changed_.push_back(numbers_[i]);
    }
  }
  account();
  // Where nothing is looked at there is more to come, in no order.
  if (is_learning_ || horizon == kTimestampMin) return {};
  const std::vector<uint32_t> touched = changed_;
  look_at_changed();
  return rule_->is_rising ? tell(touched, horizon, false, worker, sink) : Status();
}

void SequenceState::add(Key& key, SequenceRow row) {
  if (key.used) {
    const SequenceRow used{key.used->time, key.used->mask};
    if (row < used) return;
    if (row == used && key.used_again < key.used->count) {
      ++key.used_again;
      return;
    }
  }
  if (key.sorted == key.rows.size() && (key.rows.empty() || !(row < key.rows.back()))) ++key.sorted;
  key.rows.push_back(row);
  ++rows_kept_;
}

void SequenceState::look_at(Key& key) {
  key.is_changed = false;
  const bool is_in_order = key.sorted == key.rows.size();
  if (!is_in_order) {
    const auto middle = key.rows.begin() + static_cast<ptrdiff_t>(key.sorted);
    std::sort(middle, key.rows.end());
    std::inplace_merge(key.rows.begin(), middle, key.rows.end());
    key.sorted = key.rows.size();
  }
  if (!key.progress && key.rows.size() < std::max<uint64_t>(least_rows_, 1)) return;
  if (key.progress) {
    progress_bytes_ -= key.progress->byte_size();
  } else if (key.rows.size() >= kProgressRows) {
    key.progress = std::make_unique<SequenceProgress>(spec_);
    key.seen = 0;
  }
  SequenceProgress& progress = key.progress ? *key.progress : scratch_;
  std::vector<Found> before;
  if (!key.progress || !is_in_order || key.seen == 0) {
    progress.clear();
    key.seen = 0;
    before.swap(key.found);
  }
  for (; key.seen < key.rows.size(); ++key.seen) {
    const SequenceRow& row = key.rows[key.seen];
    const auto began = progress.row(row);
    if (!began) continue;
    progress.clear();
    uint32_t equal = 1;
    for (size_t i = key.seen; i > 0 && key.rows[i - 1] == row; --i) ++equal;
    // (Of those that the mark took there are none here any more.)
    if (key.used && SequenceRow{key.used->time, key.used->mask} == row) equal += key.used->count;
    key.found.push_back({*began, row, equal, false, false});
  }
  for (Found& f : key.found)
    for (const Found& old : before)
      if (f.is_same(old)) f.is_told = old.is_told, f.is_settled = old.is_settled;
  if (key.progress) progress_bytes_ += key.progress->byte_size();
}

void SequenceState::look_at_changed() {
  for (const uint32_t k : changed_) {
    Key& key = keys_[k];
    if (!key.is_changed) continue;
    look_at(key);
    if (std::any_of(key.found.begin(), key.found.end(), [](const Found& f) { return !f.is_settled; })) open_.push_back(k);
  }
  changed_.clear();
}

Status SequenceState::tell(std::span<const uint32_t> keys, TimestampNs until, bool is_settled, Worker& worker, const FindingSink& sink) {
  std::map<TimestampNs, std::vector<Telling>> by_minute;
  for (const uint32_t k : keys)
    for (Found& f : keys_[k].found) {
      if (f.end.time >= until || (is_settled ? f.is_settled : f.is_told)) continue;
      f.is_told = true;
      f.is_settled = f.is_settled || is_settled;
      const TimestampNs minute = slide_start(f.end.time, kMinuteOfEnd);
      if (is_learned(minute)) by_minute[minute].push_back({k, &f});
    }
  for (const auto& minute : by_minute) {
    std::vector<uint32_t> numbers;
    Column began(PhysicalType::I64), ended(PhysicalType::I64), took(PhysicalType::I64);
    for (const Telling& t : minute.second) {
      numbers.push_back(t.key);
      began.append(t.found->began);
      ended.append(t.found->end.time);
      took.append(static_cast<int64_t>(t.found->end.time - t.found->began));
    }
    Chunk rows;
    rows.rows = numbers.size();
    for (size_t k = 0; k < spec_.keys.size(); ++k) rows.slots.push_back(keep(table_->keys(k, numbers), worker.eval));
    for (Column* c : {&began, &ended, &took}) rows.slots.push_back(keep(std::move(*c), worker.eval));
    const TimestampNs start = minute.first;
    SLUICE_TRY(run_stages(rule_->plan.window->group + 1, rule_->plan.operators.size(), std::move(rows), worker, [&](Chunk out) -> Status {
      sink(Finding{*rule_, start, is_settled, out});
      return {};
    }));
  }
  return {};
}

Status SequenceState::look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink) {
  look_at_changed();
  if (!rule_->is_rising) return {};
  std::vector<uint32_t> open = open_;
  std::sort(open.begin(), open.end());
  open.erase(std::unique(open.begin(), open.end()), open.end());
  return tell(open, horizon, false, worker, sink);
}

Status SequenceState::advance(TimestampNs watermark, Worker& worker, const FindingSink& sink) {
  watermark = std::min(watermark, kLatest + limits::kRuleWindowMax);
  if (watermark <= watermark_ || watermark <= kEarliest) return {};
  watermark_ = watermark;
  look_at_changed();
  std::sort(open_.begin(), open_.end());
  open_.erase(std::unique(open_.begin(), open_.end()), open_.end());
  const TimestampNs before = settled_before_;
  settled_before_ = std::max(settled_before_, slide_start(watermark, kMinuteOfEnd));
  SLUICE_TRY(tell(open_, settled_before_, true, worker, sink));
  std::erase_if(open_, [&](uint32_t k) { return std::all_of(keys_[k].found.begin(), keys_[k].found.end(), [](const Found& f) { return f.is_settled; }); });
  if (before != kTimestampMin) stats_.settled += static_cast<uint64_t>((settled_before_ - before) / kMinuteOfEnd);
  // It walks all keys: not with each batch.
  if (swept_at_ == kTimestampMin || watermark - swept_at_ >= std::clamp<DurationNs>(spec_.within / 8, kSecond, kMinute)) sweep(worker);
  account();
  return {};
}

void SequenceState::sweep(Worker& worker) {
  swept_at_ = watermark_;
  const TimestampNs final_before = told_before(), needed_from = frontier();
  for (Key& key : keys_) {
    if (key.fingerprint == 0) continue;
    size_t gone = 0;
    const auto kept_found = std::find_if(key.found.begin(), key.found.end(), [&](const Found& f) { return f.end.time >= final_before || !f.is_settled; });
    if (kept_found != key.found.begin()) {
      const Found& last = *std::prev(kept_found);
      gone = static_cast<size_t>(std::upper_bound(key.rows.begin(), key.rows.end(), last.end) - key.rows.begin());
      // Of equal rows those behind the one that ended it stay.
      while (gone > 0 && key.rows[gone - 1] == last.end) --gone;
      const uint32_t before = key.used && SequenceRow{key.used->time, key.used->mask} == last.end ? key.used->count : 0;
      gone += last.equal - before;
      key.used = Checkpoint::Mark{key.fingerprint, last.end.time, last.end.mask, last.equal};
      key.used_again = last.equal;
      key.found.erase(key.found.begin(), kept_found);
    }
    gone = std::max(gone, static_cast<size_t>(std::find_if(key.rows.begin() + static_cast<ptrdiff_t>(gone), key.rows.end(), [&](const SequenceRow& r) { return r.time >= needed_from; }) - key.rows.begin()));
    if (gone > 0) {
      rows_kept_ -= gone;
      key.rows.erase(key.rows.begin(), key.rows.begin() + static_cast<ptrdiff_t>(gone));
      if (key.rows.capacity() > 2 * key.rows.size() + 8) key.rows.shrink_to_fit();
      key.sorted = key.rows.size();
      key.seen = key.seen > gone ? key.seen - gone : 0;
      // (Rows that are too old take no part in what its progress finds; but where all are gone it begins anew.)
      if (key.progress && key.rows.size() < kProgressRows) {
        progress_bytes_ -= key.progress->byte_size();
        key.progress.reset();
      }
    }
    if (key.used && key.used->time < needed_from) key.used.reset();
    if (key.rows.empty() && key.found.empty() && !key.used) {
      key.fingerprint = 0;
      --live_;
    }
  }
  std::erase_if(marks_, [&](const auto& m) { return m.second.time < needed_from; });
  if (table_->size() <= 2 * live_ + limits::kGoneGroupsMin) return;
  // Numbers anew.
  look_at_changed();
  std::vector<uint32_t> stay, numbers, number_of(keys_.size(), UINT32_MAX);
  for (uint32_t k = 0; k < keys_.size(); ++k)
    if (keys_[k].fingerprint != 0) stay.push_back(k);
  GroupTable table = table_of(*table_, types_of(spec_.keys), stay, numbers, worker.eval);
  std::vector<Key> keys(stay.size());
  for (size_t i = 0; i < stay.size(); ++i) {
    number_of[stay[i]] = numbers[i];
    keys[numbers[i]] = std::move(keys_[stay[i]]);
  }
  table_.emplace(std::move(table));
  known_.forget();
  keys_ = std::move(keys);
  for (uint32_t& k : open_) k = number_of[k];
  std::erase(open_, UINT32_MAX);
}

void SequenceState::account() {
  stats_.groups = live_;
  stats_.windows = open_.size();
  if (lost_.byte_size() > 0) stats_.lost_groups = lost_.count();
  stats_.bytes = table_->byte_size() + known_.byte_size() + keys_.capacity() * sizeof(Key) + rows_kept_ * 2 * sizeof(SequenceRow) + progress_bytes_ + marks_.size() * 64;
}

}  // namespace sluice::query::continuous
