#include "ingest/source/running_totals.h"

namespace sluice::ingest {

TotalCounters RunningTotals::since_last(uint64_t key, const TotalCounters& now, bool has_start, TimestampNs at, bool remember) {
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) {
    if (remember) {
      flows_.push_front({key, now, at, false, false});
      by_key_.emplace(key, flows_.begin());
    }
    return now;
  }
  Flow& flow = *known->second;
  const TotalCounters last = flow.last;
  const bool is_less = now.bytes < last.bytes || now.packets < last.packets || now.reverse_bytes < last.reverse_bytes || now.reverse_packets < last.reverse_packets;
  flow.at = at;
  flow.is_saved = false;
  flows_.splice(flows_.begin(), flows_, known->second);
  if (is_less && has_start) return {};
  flow.last = now;
  if (is_less) return now;
  return {now.bytes - last.bytes, now.packets - last.packets, now.reverse_bytes - last.reverse_bytes, now.reverse_packets - last.reverse_packets};
}

void RunningTotals::forget_oldest() {
  by_key_.erase(flows_.back().key);
  flows_.pop_back();
}

void RunningTotals::restore(uint64_t key, const TotalCounters& last, TimestampNs at) {
  if (knows(key)) return;
  flows_.push_front({key, last, at, true, true});
  by_key_.emplace(key, flows_.begin());
}

void RunningTotals::settle_restored() {
  flows_.sort([](const Flow& a, const Flow& b) { return a.at > b.at; });
}

}  // namespace sluice::ingest
