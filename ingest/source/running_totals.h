// Flows whose exporter reports running totals (elements 85 and 86) instead of what came since its last report: RFC 5102 counts them from the
// flow's begin, so a flow that is reported every minute would be counted again and again.
//
// Thread rule: one decoder's. No clock: time comes in. Memory: `limit` flows; beyond, the one silent for longest is forgotten, and its next
// report counts from the flow's begin again.
//
// So that a restart does not count flows from their begin again, changes are given out to be kept (take_unsaved), and given back (restore).
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
  struct Flow {
    uint64_t key = 0;
    TotalCounters last;
    TimestampNs at = 0;
    bool is_saved = false;  // as it is now
    bool was_saved = false;
  };
  // The one silent for longest. REQUIRES: size() > 0
  const Flow& oldest() const { return flows_.back(); }
  void forget_oldest();
  // Calls `f` with each flow that has changed since it was given out last, at most `most` of them. Those beyond are not given out before
  // they change again.
  template <typename F>
  void take_unsaved(size_t most, F&& f) {
    // Whoever changes goes to the front.
    for (Flow& flow : flows_) {
      if (flow.is_saved || most-- == 0) break;
      f(flow);
      flow.is_saved = flow.was_saved = true;
    }
  }
  template <typename F>
  void each(F&& f) const {
    for (const Flow& flow : flows_) f(flow);
  }
  // What was kept, in any order; then settle_restored() once.
  void restore(uint64_t key, const TotalCounters& last, TimestampNs at);
  void settle_restored();

 private:
  std::list<Flow> flows_;  // the one heard last first
  std::unordered_map<uint64_t, std::list<Flow>::iterator> by_key_;
};

}  // namespace sluice::ingest
