#include "query/continuous/watermarks.h"
#include "storage/model/limits.h"

#include <algorithm>

namespace sluice::query::continuous {

void Watermarks::see(const Batch& flows, TimestampNs now) {
  const auto end_at = flows.find(ColumnId::flow_end);
  if (!end_at) return;
  const auto times = flows.columns[*end_at].values<int64_t>();
  const auto column = [&](ColumnId id) -> const Column* {
    const auto at = flows.find(id);
    return at ? &flows.columns[*at] : nullptr;
  };
  const Column* source = column(ColumnId::source);
  const Column* exporter = column(ColumnId::exporter_ip);
  const TimestampNs latest = now >= kTimestampMax - limits::kClockSkewMax ? kTimestampMax : now + limits::kClockSkewMax;
  Key key;
  TimestampNs newest = kTimestampMin;
  for (size_t i = 0; i < flows.rows; ++i) {
    Key mine;
    if (source && !source->is_null(i)) mine.source = static_cast<uint8_t>(source->uint_at(i));
    if (exporter && !exporter->is_null(i)) mine.exporter = exporter->ip_at(i);
    if (i > 0 && mine != key) {
      see(key, newest, now);
      newest = kTimestampMin;
    }
    key = mine;
    newest = std::max(newest, std::min(times[i], latest));
  }
  if (flows.rows > 0) see(key, newest, now);
}

void Watermarks::see(Key key, TimestampNs newest, TimestampNs now) {
  auto at = sources_.find(key);
  if (at == sources_.end()) {
    if (sources_.size() >= limits::kRuleSourcesMax) key.exporter = {};
    at = sources_.try_emplace(key).first;
  }
  SourceState& state = at->second;
  state.newest = std::max(state.newest, newest);
  if (state.first_at == kTimestampMin) {
    state.first_at = now;
  } else if (now > state.arrived_at) {
    const DurationNs gap = silent_for(state, now);
    if (const auto ordinary = ordinary_silence(state); !ordinary || gap < *ordinary) state.gap = std::max(state.gap, gap);
  }
  if (now >= state.arrived_at) {
    state.arrived_at = now;
    state.unheard = 0;
  }
}

DurationNs Watermarks::silent_for(const SourceState& s, TimestampNs now) { return now > s.arrived_at ? std::max<DurationNs>(0, now - s.arrived_at - s.unheard) : 0; }

std::optional<DurationNs> Watermarks::ordinary_silence(const SourceState& state) {
  if (state.first_at == kTimestampMin || state.arrived_at - state.first_at < limits::kSourceLearning) return std::nullopt;
  return std::max(limits::kRuleSourceIdle, 2 * std::min(state.gap, kDay * 30));
}

TimestampNs Watermarks::at(TimestampNs now) const {
  std::optional<Key> nobody;
  return at(now, nobody);
}

std::optional<Watermarks::Key> Watermarks::waited_for(TimestampNs now) const {
  std::optional<Key> key;
  at(now, key);
  return key;
}

TimestampNs Watermarks::at(TimestampNs now, std::optional<Key>& waited) const {
  const auto plus = [](TimestampNs t, DurationNs d) {
    TimestampNs sum;
    return __builtin_add_overflow(t, d, &sum) ? kTimestampMax : sum;
  };
  TimestampNs furthest = kTimestampMin;
  for (const auto& [key, s] : sources_)
    if (s.newest != kTimestampMin) furthest = std::max(furthest, plus(s.newest, silent_for(s, now)));
  if (furthest == kTimestampMin) return kTimestampMin;
  TimestampNs least = kTimestampMax;
  for (const auto& [key, s] : sources_) {
    if (s.newest == kTimestampMin || silent_for(s, now) >= limits::kRuleSourceIdle) continue;
    if (plus(s.newest, limits::kRuleSourceLagMax) < furthest) continue;
    if (s.newest >= least) continue;
    least = s.newest;
    waited = key;
  }
  if (least == kTimestampMax) least = furthest;
  return least < kTimestampMin + limits::kRuleTolerance ? kTimestampMin : least - limits::kRuleTolerance;
}

}  // namespace sluice::query::continuous
