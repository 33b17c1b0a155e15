// Which keys were seen, and in which windows: the memory of `first_seen` in a rule.
//
//   add( key, window )        in any order; windows before the frontier too
//   seen( key, from, before ) whether it was seen in a window that begins in [from, before)
//   settle( frontier )        windows before it change seldom from here on, and are kept as one: each key with its latest
//
// Keys are 64 well-mixed bits (fingerprint()): of two million keys, one that is new is taken for a known one with a chance of 10^-13.
//
// Memory is bounded. Up to limits::kRuleKeysMax keys are exact. Beyond, settled windows become filters (key_filter.h), one for each eighth of the
// look-back (limits::kRuleKeySketchBits each): a key may then be taken for known that is not (1% of the time at
// 7 million keys an eighth), or that was seen up to an eighth longer ago than the look-back; none is taken for new that was seen.
//
// Thread rule: one thread at a time.
#pragma once

#include <map>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "query/continuous/key_filter.h"
#include "query/continuous/limits.h"
#include "query/expression.h"

namespace sluice::query::continuous {

class KeyHistory {
 public:
  explicit KeyHistory(DurationNs lookback, size_t keys_max = limits::kRuleKeysMax) : lookback_(lookback), keys_max_(keys_max) {}

  void add(uint64_t key, TimestampNs window);
  bool seen(uint64_t key, TimestampNs from, TimestampNs before) const;
  void settle(TimestampNs frontier);

  bool is_sketch() const { return is_sketch_; }
  size_t keys() const { return latest_.size(); }  // exact and settled
  size_t byte_size() const;

  // Of the values in a row.
  static uint64_t fingerprint(std::span<const ColumnPtr> columns, size_t row);

 private:
  void keep(uint64_t key, TimestampNs window);
  void sketch(uint64_t key, TimestampNs window);
  DurationNs eighth() const { return std::max<DurationNs>(1, lookback_ / 8); }

  const DurationNs lookback_;
  const size_t keys_max_;
  TimestampNs frontier_ = kTimestampMin, swept_at_ = kTimestampMin;
  std::map<TimestampNs, std::unordered_set<uint64_t>> recent_;  // by window, from the frontier on
  std::unordered_map<uint64_t, TimestampNs> latest_;            // before the frontier
  bool is_sketch_ = false;
  std::map<TimestampNs, KeyFilter> eighths_;                    // by start; instead of latest_
};

}  // namespace sluice::query::continuous
