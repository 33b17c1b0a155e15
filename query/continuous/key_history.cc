#include "query/continuous/key_history.h"

#include <algorithm>

#include "query/aggregate.h"
#include "query/group.h"

namespace sluice::query::continuous {

uint64_t KeyHistory::fingerprint(std::span<const ColumnPtr> columns, size_t row) {
  uint64_t h = 0x9e3779b97f4a7c15ull;
  for (const ColumnPtr& c : columns) {
    h = (h ^ (c->is_null(row) ? 0x5bd1e995u : hash_at(*c, row))) * 0xff51afd7ed558ccdull;
    h ^= h >> 33;
  }
  h *= 0xc4ceb9fe1a85ec53ull;
  return h ^ (h >> 33);
}

void KeyHistory::sketch(uint64_t key, TimestampNs window) {
  eighths_.try_emplace(bin_start(window, eighth()), limits::kRuleKeySketchBits).first->second.add(key);
}

void KeyHistory::keep(uint64_t key, TimestampNs window) {
  if (is_sketch_) return sketch(key, window);
  TimestampNs& latest = latest_.try_emplace(key, window).first->second;
  latest = std::max(latest, window);
  if (latest_.size() <= keys_max_) return;
  is_sketch_ = true;
  for (const auto& [k, w] : latest_) sketch(k, w);
  latest_ = {};
}

void KeyHistory::add(uint64_t key, TimestampNs window) {
  if (window < frontier_) {
    if (window >= frontier_ - lookback_) keep(key, window);
    return;
  }
  recent_[window].insert(key);
}

bool KeyHistory::seen(uint64_t key, TimestampNs from, TimestampNs before) const {
  for (auto it = recent_.lower_bound(from); it != recent_.end() && it->first < before; ++it)
    if (it->second.contains(key)) return true;
  if (is_sketch_) {
    for (const auto& [start, keys] : eighths_)
      if (start + eighth() > from && start < before && keys.may_have(key)) return true;
    return false;
  }
  const auto at = latest_.find(key);
  return at != latest_.end() && at->second >= from && at->second < before;
}

void KeyHistory::settle(TimestampNs frontier) {
  if (frontier <= frontier_) return;
  frontier_ = frontier;
  while (!recent_.empty() && recent_.begin()->first < frontier) {
    for (const uint64_t key : recent_.begin()->second) keep(key, recent_.begin()->first);
    recent_.erase(recent_.begin());
  }
  // What the look-back does not reach any more; not with each window, because it walks all keys.
  const TimestampNs forget_before = frontier - lookback_;
  if (swept_at_ != kTimestampMin && forget_before - swept_at_ < eighth()) return;
  swept_at_ = forget_before;
  std::erase_if(latest_, [&](const auto& k) { return k.second < forget_before; });
  while (!eighths_.empty() && eighths_.begin()->first + eighth() <= forget_before) eighths_.erase(eighths_.begin());
}

size_t KeyHistory::byte_size() const {
  // A node of the hash tables: key, value, link, and its place among the buckets.
  size_t bytes = latest_.size() * 40 + eighths_.size() * (limits::kRuleKeySketchBits / 8);
  for (const auto& [window, keys] : recent_) bytes += keys.size() * 32;
  return bytes;
}

}  // namespace sluice::query::continuous
