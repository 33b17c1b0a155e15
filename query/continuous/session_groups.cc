#include "query/continuous/session_groups.h"

#include <algorithm>
#include <numeric>

#include "query/continuous/checkpoint.h"
#include "query/continuous/key_history.h"
#include "query/continuous/limits.h"
#include "query/sessions.h"

namespace sluice::query::continuous {
namespace {


std::vector<Type> types_of_keys(const GroupSpec& spec, size_t keys) {
  std::vector<Type> types = key_types(spec);
  types.resize(keys);
  return types;
}

}  // namespace

SessionGroups::SessionGroups(RulePtr rule, const Resume& from, bool keeps_settled)
    : RuleState(std::move(rule)),
      spec_(*rule_->groups),
      keys_(rule_->session->start),
      gap_(rule_->session->gap),
      grace_(keeps_settled ? rule_->grace : 0),
      round_(std::clamp<DurationNs>(gap_ / 8, kSecond, kMinute)),
      began_at_(std::max(kEarliest, from.frontier)),
      table_(types_of_keys(spec_, keys_)),
      states_(spec_) {
  if (const auto checkpoint = checkpoint_of(from.checkpoint)) resumed_before_ = checkpoint->told_before;
}

TimestampNs SessionGroups::told_before() const {
  if (watermark_ <= kEarliest) return resumed_before_;
  return std::max(resumed_before_, watermark_ - 2 * gap_ - grace_);
}

std::string SessionGroups::checkpoint() const { return to_text({told_before(), {}, {}}); }

TimestampNs SessionGroups::frontier() const {
  if (told_before() <= kEarliest) return began_at_;
  TimestampNs least = late_before();
  for (const Session& s : sessions_) {
    if (s.key == kNone) continue;
    // Of one that was cut off another so much of that, that the cut comes out at the same place.
    least = std::min(least, s.begins == kTimestampMin ? s.first : s.begins - limits::kSessionLengthMax - gap_);
  }
  return std::max(began_at_, least);
}

void SessionGroups::set_learning(bool learns) {
  is_learning_ = learns;
  if (!learns) read_before(kLatest);
}

void SessionGroups::read_before(TimestampNs t) {
  const TimestampNs over_before = std::min(told_before(), t - gap_);
  for (uint32_t i = 0; i < sessions_.size(); ++i)
    if (sessions_[i].key != kNone && sessions_[i].last < over_before) forget(i);
  account();
}

Status SessionGroups::take_ready(const Chunk& rows, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) {
  stats_.rows += rows.rows;
  if (room == Room::none || stats_.bytes >= limits::kRuleBytesMax + limits::kRuleBytesMax / 4) {
    stats_.dropped_rows += rows.rows;
    return {};
  }
  std::vector<ColumnPtr> keys;
  for (size_t k = 0; k < keys_; ++k) keys.push_back(spec_.keys[k].node->eval(rows, worker.eval));
  // Close to the bound the table takes in no keys that there would be no session for.
  Chunk admitted;
  const size_t keys_left = stats_.bytes >= limits::kRuleBytesMax ? 0 : limits::kRuleGroupsMax - std::min<size_t>(live_, limits::kRuleGroupsMax);
  if (keys_left < rows.rows && !keys.empty()) {
    const auto all_times = rows.slots[rule_->plan.window->time_slot]->values<int64_t>();
    const auto stay = known_.admit(*table_, keys, rows.rows, keys_left, worker.eval, [&](uint32_t row, uint64_t key) {
      if (all_times[row] < began_at_ || all_times[row] > kLatest || (!is_learning_ && all_times[row] < late_before())) {
        ++stats_.late_rows;
        return;
      }
      ++stats_.dropped_rows;
      lost_.add(key);
    });
    if (stay.empty()) {
      account();
      return {};
    }
    if (stay.size() < rows.rows) {
      admitted = rows.gather(stay, worker.eval);
      for (ColumnPtr& k : keys) k = keep(k->gather(stay), worker.eval);
    }
  }
  const Chunk& ready = admitted.rows > 0 ? admitted : rows;
  const auto times = ready.slots[rule_->plan.window->time_slot]->values<int64_t>();
  if (keys.empty())
    numbers_.assign(ready.rows, 0);
  else
    table_->find(keys, ready.rows, numbers_);
  first_of_.resize(keys.empty() ? 1 : table_->size(), kNone);
  // In order of time the flows of a key extend its session one after the other, and make no pieces that have to be put together.
  order_.resize(ready.rows);
  std::iota(order_.begin(), order_.end(), 0u);
  if (!std::is_sorted(times.begin(), times.end())) std::stable_sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) { return times[a] < times[b]; });
  std::vector<uint32_t> slot_of_row(ready.rows, kNone), slots, picked, touched;
  for (const uint32_t row : order_) {
    const TimestampNs t = times[row];
    if (t < began_at_ || t > kLatest) {
      ++stats_.late_rows;
      continue;
    }
    known_since_ = std::min(known_since_, t);
    const uint64_t dropped = stats_.dropped_rows;
    const uint32_t s = session_of(numbers_[row], t, stats_.groups < limits::kRuleGroupsMax && stats_.bytes < limits::kRuleBytesMax);
    if (stats_.dropped_rows > dropped) lost_.add(KeyHistory::fingerprint(keys, row));
    if (s == kNone) continue;
    // The slot stays the session's, also when that is united with another.
    slot_of_row[row] = sessions_[s].slot;
    if (rule_->is_rising && t <= horizon && (touched.empty() || touched.back() != s)) touched.push_back(s);
  }
  for (uint32_t row = 0; row < ready.rows; ++row) {
    if (slot_of_row[row] == kNone) continue;
    picked.push_back(row);
    slots.push_back(slot_of_row[row]);
  }
  states_.resize(same_as_.size());
  if (!picked.empty()) states_.update(slots.data(), picked.size() == ready.rows ? ready : ready.gather(picked, worker.eval), worker.eval);
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  rows_since_compact_ += ready.rows;
  account();
  if (touched.empty()) return {};
  // One that was put together has to be made one first. That walks all of them, and is done for so many rows at a time that it does not
  // count; what waits is looked at once it is done, at the latest when it settles.
  std::erase_if(touched, [&](uint32_t s) { return sessions_[s].key == kNone; });
  if (std::any_of(touched.begin(), touched.end(), [&](uint32_t s) { return is_split(sessions_[s]); })) {
    if (rows_since_compact_ >= same_as_.size()) {
      compact(worker);
      touched.insert(touched.end(), waiting_.begin(), waiting_.end());
      waiting_.clear();
    } else {
      for (const uint32_t s : touched)
        if (is_split(sessions_[s])) waiting_.push_back(s);
    }
    std::erase_if(touched, [&](uint32_t s) { return sessions_[s].key == kNone || is_split(sessions_[s]); });
  }
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  return look(touched, false, worker, sink);
}

uint32_t SessionGroups::session_of(uint32_t key, TimestampNs t, bool has_room) {
  uint32_t found = kNone, cut_off = kNone;
  for (uint32_t at = first_of_[key]; at != kNone;) {
    const uint32_t i = at;
    at = sessions_[i].next;
    Session& s = sessions_[i];
    if (t < s.first - gap_ || t > s.last + gap_) continue;
    if (t >= s.cut) {
      cut_off = i;
      continue;
    }
    if (t < s.begins) continue;
    if (found == kNone) {
      found = i;
      continue;
    }
    // It lies between two. Where both together would be cut they stay as they are.
    const bool is_later = s.first > sessions_[found].first;
    const uint32_t earlier = is_later ? found : i, later = is_later ? i : found;
    Session &a = sessions_[earlier], &b = sessions_[later];
    if (b.begins == kTimestampMin && b.last < a.cut) {
      unite(earlier, later);
    } else if (b.begins == kTimestampMin && b.first >= a.cut) {
      b.begins = a.cut;
      if (b.last < a.cut + limits::kSessionLengthMax) b.cut = a.cut + limits::kSessionLengthMax;
    }
    found = earlier;
  }
  if (found == kNone) {
    if (!is_learning_ && t < late_before()) {
      ++stats_.late_rows;
      return kNone;
    }
    if (!has_room) {
      ++stats_.dropped_rows;
      return kNone;
    }
    if (cut_off != kNone) return begin(key, t, sessions_[cut_off].cut, sessions_[cut_off].cut + limits::kSessionLengthMax);
    return begin(key, t, kTimestampMin, session_cut(t));
  }
  Session& s = sessions_[found];
  if (t < s.first) {
    s.first = t;
    if (s.begins == kTimestampMin && s.last < session_cut(t)) s.cut = session_cut(t);
  }
  s.last = std::max(s.last, t);
  if (s.is_settled) {
    s.is_settled = false;
    queue(found);
  }
  return found;
}

uint32_t SessionGroups::begin(uint32_t key, TimestampNs t, TimestampNs begins, TimestampNs cut) {
  uint32_t i;
  if (free_.empty()) {
    i = static_cast<uint32_t>(sessions_.size());
    sessions_.emplace_back();
  } else {
    i = free_.back();
    free_.pop_back();
  }
  Session& s = sessions_[i];
  s = Session{t, t, begins, cut, 0, key, static_cast<uint32_t>(same_as_.size()), first_of_[key], false};
  first_of_[key] = i;
  same_as_.push_back(s.slot);
  parts_.push_back(1);
  ++live_;
  ++stats_.groups;
  queue(i);
  return i;
}

void SessionGroups::unite(uint32_t into, uint32_t other) {
  Session &a = sessions_[into], &b = sessions_[other];
  a.first = std::min(a.first, b.first);
  a.last = std::max(a.last, b.last);
  const uint32_t root = slot_of(a.slot), theirs = slot_of(b.slot);
  same_as_[theirs] = root;
  parts_[root] += parts_[theirs];
  a.slot = root;
  if (a.is_settled) {
    a.is_settled = false;
    queue(into);
  }
  forget(other);
}

void SessionGroups::forget(uint32_t session) {
  Session& s = sessions_[session];
  uint32_t* link = &first_of_[s.key];
  while (*link != session) link = &sessions_[*link].next;
  *link = s.next;
  s.key = kNone;
  free_.push_back(session);
  --live_;
}

void SessionGroups::queue(uint32_t session) {
  Session& s = sessions_[session];
  const TimestampNs when = s.is_settled ? s.last + 2 * gap_ + grace_ : end_of(s);
  s.due = bin_start(when, round_);
  due_[s.due].push_back(session);
}

uint32_t SessionGroups::slot_of(uint32_t slot) {
  while (same_as_[slot] != slot) slot = same_as_[slot] = same_as_[same_as_[slot]];
  return slot;
}

void SessionGroups::compact(Worker& worker) {
  rows_since_compact_ = 0;
  std::vector<uint32_t> number_of(same_as_.size(), kNoGroup), map(same_as_.size(), kNoGroup);
  uint32_t slots = 0;
  for (Session& s : sessions_)
    if (s.key != kNone) number_of[slot_of(s.slot)] = slots++;
  for (uint32_t slot = 0; slot < map.size(); ++slot) map[slot] = number_of[slot_of(slot)];
  GroupStates states(spec_);
  states.resize(slots);
  states_.resize(same_as_.size());
  states.take(states_, map, worker.eval);
  states_ = std::move(states);
  for (Session& s : sessions_)
    if (s.key != kNone) s.slot = number_of[slot_of(s.slot)];
  same_as_.resize(slots);
  std::iota(same_as_.begin(), same_as_.end(), 0u);
  parts_.assign(slots, 1);
  // Keys of which no session is left.
  if (keys_ == 0 || table_->size() <= 2 * live_ + limits::kGoneGroupsMin) return;
  std::vector<uint32_t> stay;
  for (uint32_t key = 0; key < first_of_.size(); ++key)
    if (first_of_[key] != kNone) stay.push_back(key);
  std::vector<uint32_t> numbers;
  GroupTable table = table_of(*table_, types_of_keys(spec_, keys_), stay, numbers, worker.eval);
  std::vector<uint32_t> first_of(stay.size(), kNone);
  for (size_t i = 0; i < stay.size(); ++i) first_of[numbers[i]] = first_of_[stay[i]];
  table_.emplace(std::move(table));
  known_.forget();
  first_of_ = std::move(first_of);
  for (uint32_t key = 0; key < first_of_.size(); ++key)
    for (uint32_t i = first_of_[key]; i != kNone; i = sessions_[i].next) sessions_[i].key = key;
}

void SessionGroups::account() {
  stats_.groups = stats_.windows = live_;
  if (lost_.byte_size() > 0) stats_.lost_groups = lost_.count();
  stats_.bytes = table_->byte_size() + known_.byte_size() + states_.byte_size() + sessions_.capacity() * (sizeof(Session) + 2 * sizeof(uint32_t)) +
                 (first_of_.capacity() + same_as_.capacity() + parts_.capacity() + free_.capacity()) * sizeof(uint32_t);
}

Status SessionGroups::look(std::span<const uint32_t> sessions, bool is_settled, Worker& worker, const FindingSink& sink) {
  std::vector<uint32_t> keys, slots;
  for (size_t from = 0; from < sessions.size(); from += limits::kGroupsPiece) {
    keys.clear();
    slots.clear();
    Column starts(PhysicalType::I64), ends(PhysicalType::I64);
    for (const uint32_t i : sessions.subspan(from, std::min(limits::kGroupsPiece, sessions.size() - from))) {
      const Session& s = sessions_[i];
      if (!is_learned(s.first)) continue;
      keys.push_back(s.key);
      slots.push_back(s.slot);
      starts.append(s.first);
      ends.append(end_of(s));
    }
    if (keys.empty()) continue;
    Chunk rows;
    rows.rows = keys.size();
    for (size_t k = 0; k < keys_; ++k) rows.slots.push_back(keep(table_->keys(k, keys), worker.eval));
    rows.slots.push_back(keep(std::move(starts), worker.eval));
    rows.slots.push_back(keep(std::move(ends), worker.eval));
    states_.append(slots, rows, worker.eval);
    SLUICE_TRY(run_stages(rule_->plan.window->group + 1, rule_->plan.operators.size(), std::move(rows), worker, [&](Chunk out) -> Status {
      sink(Finding{*rule_, kTimestampMin, is_settled, out});
      return {};
    }));
  }
  return {};
}

Status SessionGroups::look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink) {
  if (!rule_->is_rising) return {};
  compact(worker);
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i < sessions_.size(); ++i)
    if (sessions_[i].key != kNone && !sessions_[i].is_settled && sessions_[i].first <= horizon) open.push_back(i);
  std::sort(open.begin(), open.end(), [&](uint32_t a, uint32_t b) { return std::pair(sessions_[a].first, a) < std::pair(sessions_[b].first, b); });
  return look(open, false, worker, sink);
}

Status SessionGroups::advance(TimestampNs watermark, Worker& worker, const FindingSink& sink) {
  watermark = std::min(watermark, kLatest + limits::kRuleWindowMax);
  if (watermark <= watermark_ || watermark <= kEarliest) return {};
  watermark_ = watermark;
  std::vector<uint32_t> visited, over;
  while (!due_.empty() && due_.begin()->first <= watermark) {
    for (const uint32_t i : due_.begin()->second)
      if (sessions_[i].key != kNone && sessions_[i].due == due_.begin()->first) visited.push_back(i);
    due_.erase(due_.begin());
  }
  // (One that went and came again may be there twice.)
  std::sort(visited.begin(), visited.end());
  visited.erase(std::unique(visited.begin(), visited.end()), visited.end());
  bool split = false;
  for (const uint32_t i : visited)
    if (!sessions_[i].is_settled && end_of(sessions_[i]) < watermark) {
      over.push_back(i);
      split = split || is_split(sessions_[i]);
    }
  if (split || same_as_.size() > 2 * live_ + limits::kGoneGroupsMin || (keys_ > 0 && table_->size() > 2 * live_ + limits::kGoneGroupsMin)) {
    compact(worker);
    std::erase_if(waiting_, [&](uint32_t s) { return sessions_[s].key == kNone; });
    const auto waiting = std::move(waiting_);
    waiting_.clear();
    SLUICE_TRY(look(waiting, false, worker, sink));
  }
  std::sort(over.begin(), over.end(), [&](uint32_t a, uint32_t b) { return std::pair(sessions_[a].first, a) < std::pair(sessions_[b].first, b); });
  SLUICE_TRY(look(over, true, worker, sink));
  stats_.settled += over.size();
  for (const uint32_t i : over) sessions_[i].is_settled = true;
  for (const uint32_t i : visited) {
    if (sessions_[i].is_settled && sessions_[i].last < told_before())
      forget(i);
    else
      queue(i);
  }
  account();
  return {};
}

}  // namespace sluice::query::continuous
