// Time as the whole project keeps it: signed nanoseconds since 1970-01-01T00:00:00Z, UTC, no leap seconds.
// Covers 1677-09-21 to 2262-04-11; parsers reject what lies outside.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// A span of time in nanoseconds. A plain number on purpose: it is a column type.
using DurationNs = int64_t;
// A point in time, nanoseconds since the epoch.
using TimestampNs = int64_t;

inline constexpr DurationNs kMicrosecond = 1'000;
inline constexpr DurationNs kMillisecond = 1'000'000;
inline constexpr DurationNs kSecond = 1'000'000'000;
inline constexpr DurationNs kMinute = 60 * kSecond;
inline constexpr DurationNs kHour = 60 * kMinute;
inline constexpr DurationNs kDay = 24 * kHour;
inline constexpr DurationNs kWeek = 7 * kDay;

inline constexpr TimestampNs kTimestampMin = INT64_MIN;
inline constexpr TimestampNs kTimestampMax = INT64_MAX;

// [from, to): the half-open range that every query, segment and partition uses.
struct TimeRange {
  TimestampNs from = kTimestampMin;
  TimestampNs to = kTimestampMax;

  bool empty() const { return from >= to; }
  bool contains(TimestampNs t) const { return t >= from && t < to; }
  // Whether this range meets the closed interval [first, last].
  bool meets(TimestampNs first, TimestampNs last) const { return first < to && last >= from; }
  TimeRange intersect(TimeRange other) const {
    return {from > other.from ? from : other.from, to < other.to ? to : other.to};
  }
  bool operator==(const TimeRange&) const = default;
};

// RFC 3339 / ISO 8601: "2026-11-20", "2026-11-20T08:00Z", "2026-11-20 08:00:01.5+02:00". No offset means UTC.
// Fractions beyond nanoseconds are cut. nullopt for anything else, with trailing text included.
std::optional<TimestampNs> parse_timestamp(std::string_view text);

// RFC 3339 with as many fraction digits (0, 3, 6 or 9) as the value needs, always "Z".
std::string format_timestamp(TimestampNs time);

// "1h30m", "250ms", "90s", "1.5h", "2w", with units ns us ms s m h d w. nullopt for anything else or on overflow.
std::optional<DurationNs> parse_duration(std::string_view text);

// The shortest text that parse_duration reads back to the same value: "1h30m", "0s".
std::string format_duration(DurationNs duration);

// The only door to the wall clock; server/ owns the real one, tests bring their own.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimestampNs now() const = 0;
};

// A clock that stands where it is put. For tests and replays; not thread safe.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(TimestampNs start) : now_(start) {}
  TimestampNs now() const override { return now_; }
  void set(TimestampNs time) { now_ = time; }
  void advance(DurationNs by) { now_ += by; }

 private:
  TimestampNs now_;
};

}  // namespace sluice
