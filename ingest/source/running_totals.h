// Flows whose exporter reports running totals (elements 85 and 86) instead of what came since its last report: RFC 5102 counts them from the
// flow's begin, so a flow that is reported every minute would be counted again and again.
//
// Thread rule: one decoder's. No clock: time comes in. Memory: `limit` flows; beyond, the one silent for longest is forgotten, and its next
// report counts from the flow's begin again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>

#include "storage/model/time.h"

namespace sluice::ingest {

struct TotalCounters {
  uint64_t bytes = 0, packets = 0, reverse_bytes = 0, reverse_packets = 0;
  bool operator==(const TotalCounters&) const = default;
};

class RunningTotals {
 public:
  // What came since the last report of the flow `key`, or all when none is known. Where `has_start` says that the key names the flow's
  // begin, totals below those known are a report that came late: nothing is new. Else the flow has begun anew.
  // `remember`: false when there is no room for one more.
  TotalCounters since_last(uint64_t key, const TotalCounters& now, bool has_start, TimestampNs at, bool remember);
  bool knows(uint64_t key) const { return by_key_.contains(key); }
  size_t size() const { return flows_.size(); }
  // REQUIRES: size() > 0
  void forget_oldest();
  // Forgets flows silent since before; how many.
  size_t expire(TimestampNs before);

 private:
  struct Flow {
    uint64_t key;
    TotalCounters last;
    TimestampNs at;
  };
  std::list<Flow> flows_;  // the one heard last first
  std::unordered_map<uint64_t, std::list<Flow>::iterator> by_key_;
};

}  // namespace sluice::ingest
