// Times that a clock never set, or far ahead, has written: put right in one way for every source. A record without a usable end would
// stand in a partition of the year 1970 (or of next year), where no question about today finds it and retention takes it at once.
//
// Thread rule: functions share nothing.
#pragma once

#include <algorithm>
#include <optional>

#include "storage/model/flow_schema.h"
#include "storage/model/limits.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// A flow of an earlier time comes from a clock that was never set.
inline constexpr TimestampNs kPlausibleFrom = 946'684'800 * kSecond;  // the year 2000

struct FlowTimes {
  std::optional<TimestampNs> start, end;  // as the record says; then as the row says, which always has an end
  TimeQuality quality = TimeQuality::exact;
  // What settle() took out of `start` and `end`, for `extra`.
  std::optional<TimestampNs> said_start, said_end;
  bool clamped() const { return quality == TimeQuality::clamped; }

  // An end that is not told is the start, else `event_time` (when the record was made; 0: not said), else the arrival: estimated. The same of
  // one before kPlausibleFrom, and the arrival of one beyond the clock skew allowed: clamped. A start before kPlausibleFrom is not known,
  // one after the end becomes the end: estimated. `received_at`: 0 where it is not known; then only their order is put right.
  void settle(TimestampNs event_time, TimestampNs received_at) {
    const auto is_early = [&](TimestampNs time) { return received_at != 0 && time < kPlausibleFrom; };
    const auto is_late = [&](TimestampNs time) { return received_at != 0 && time > received_at + limits::kClockSkewMax; };
    if (start && is_early(*start)) {
      said_start = start;
      start.reset();
      quality = TimeQuality::estimated;
    }
    if (!end || is_early(*end)) {
      said_end = end;
      quality = end ? TimeQuality::clamped : TimeQuality::estimated;
      end = start ? *start : event_time != 0 && !is_early(event_time) ? event_time : received_at;
    }
    if (start && *start > *end) {
      said_start = start;
      start = end;
      if (quality == TimeQuality::exact) quality = TimeQuality::estimated;
    }
    if (is_late(*end)) {
      if (!said_end) said_end = end;
      end = received_at;
      if (start) start = std::min(*start, *end);
      quality = TimeQuality::clamped;
    }
  }
};

}  // namespace sluice::ingest
