#include "storage/model/time.h"

#include <array>
#include <charconv>
#include <cstdio>

namespace sluice {
namespace {

// Days from 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
constexpr int64_t days_from_civil(int64_t y, unsigned m, unsigned d) {
  y -= m <= 2;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const unsigned yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<int64_t>(doe) - 719468;
}

struct Civil {
  int64_t year;
  unsigned month, day;
};

constexpr Civil civil_from_days(int64_t z) {
  z += 719468;
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const unsigned doe = static_cast<unsigned>(z - era * 146097);
  const unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const int64_t y = static_cast<int64_t>(yoe) + era * 400;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  const unsigned d = doy - (153 * mp + 2) / 5 + 1;
  const unsigned m = mp < 10 ? mp + 3 : mp - 9;
  return {y + (m <= 2), m, d};
}

constexpr bool is_leap(int64_t y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }

constexpr unsigned days_in_month(int64_t y, unsigned m) {
  constexpr std::array<unsigned, 12> days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return m == 2 && is_leap(y) ? 29 : days[m - 1];
}

// Reads exactly `width` digits.
bool take_digits(std::string_view& s, size_t width, unsigned& out) {
  if (s.size() < width) return false;
  unsigned v = 0;
  for (size_t i = 0; i < width; ++i) {
    if (s[i] < '0' || s[i] > '9') return false;
    v = v * 10 + static_cast<unsigned>(s[i] - '0');
  }
  s.remove_prefix(width);
  out = v;
  return true;
}

// What a time stamp nearly always begins with, "2024-05-01T12:00:00": taken at once where it stands there.
struct DateTime {
  unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};
bool take_date_time(std::string_view& s, DateTime& out) {
  constexpr size_t kSize = 19;
  if (s.size() < kSize || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':') return false;
  unsigned odd = 0;
  const auto two = [&](size_t at) {
    const unsigned high = static_cast<unsigned char>(s[at]) - unsigned{'0'}, low = static_cast<unsigned char>(s[at + 1]) - unsigned{'0'};
    odd |= static_cast<unsigned>(high > 9) | static_cast<unsigned>(low > 9);
    return high * 10 + low;
  };
  const DateTime t{two(0) * 100 + two(2), two(5), two(8), two(11), two(14), two(17)};
  if (odd != 0) return false;
  out = t;
  s.remove_prefix(kSize);
  return true;
}

bool take_char(std::string_view& s, char c) {
  if (s.empty() || s.front() != c) return false;
  s.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<TimestampNs> parse_timestamp(std::string_view s) {
  DateTime t;
  int64_t fraction_ns = 0, offset_s = 0;
  const bool whole = take_date_time(s, t);
  auto& [year, month, day, hour, minute, second] = t;
  if (!whole && (!take_digits(s, 4, year) || !take_char(s, '-') || !take_digits(s, 2, month) || !take_char(s, '-') || !take_digits(s, 2, day))) return std::nullopt;
  if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) return std::nullopt;
  if (whole || !s.empty()) {
    bool has_seconds = whole;
    if (!whole) {
      if (!take_char(s, 'T') && !take_char(s, 't') && !take_char(s, ' ')) return std::nullopt;
      if (!take_digits(s, 2, hour) || !take_char(s, ':') || !take_digits(s, 2, minute)) return std::nullopt;
      has_seconds = take_char(s, ':');
      if (has_seconds && !take_digits(s, 2, second)) return std::nullopt;
    }
    if (has_seconds && take_char(s, '.')) {
      int64_t unit = 100'000'000;
      size_t digits = 0;
      while (!s.empty() && s.front() >= '0' && s.front() <= '9') {
        fraction_ns += (s.front() - '0') * unit;
        unit /= 10;
        s.remove_prefix(1);
        ++digits;
      }
      if (digits == 0) return std::nullopt;
    }
    if (hour > 24 || minute > 59 || second > 60) return std::nullopt;
    if (hour == 24 && (minute != 0 || second != 0 || fraction_ns != 0)) return std::nullopt;
    if (take_char(s, 'Z') || take_char(s, 'z')) {
    } else if (!s.empty() && (s.front() == '+' || s.front() == '-')) {
      const int64_t sign = s.front() == '+' ? 1 : -1;
      s.remove_prefix(1);
      unsigned oh = 0, om = 0;
      if (!take_digits(s, 2, oh)) return std::nullopt;
      if (!s.empty()) {
        take_char(s, ':');
        if (!take_digits(s, 2, om)) return std::nullopt;
      }
      if (oh > 23 || om > 59) return std::nullopt;
      offset_s = sign * static_cast<int64_t>(oh * 3600 + om * 60);
    }
    if (!s.empty()) return std::nullopt;
  }
  const int64_t seconds =
      days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s;
  int64_t ns = 0;
  if (__builtin_mul_overflow(seconds, kSecond, &ns) || __builtin_add_overflow(ns, fraction_ns, &ns)) return std::nullopt;
  return ns;
}

std::string format_timestamp(TimestampNs time) {
  int64_t seconds = time / kSecond, ns = time % kSecond;
  if (ns < 0) {
    ns += kSecond;
    --seconds;
  }
  int64_t days = seconds / 86400, sod = seconds % 86400;
  if (sod < 0) {
    sod += 86400;
    --days;
  }
  const Civil c = civil_from_days(days);
  char buffer[48];
  int n = std::snprintf(buffer, sizeof buffer, "%04lld-%02u-%02uT%02lld:%02lld:%02lld", static_cast<long long>(c.year),
                        c.month, c.day, static_cast<long long>(sod / 3600), static_cast<long long>(sod / 60 % 60),
                        static_cast<long long>(sod % 60));
  if (ns != 0) {
    if (ns % kMillisecond == 0)
      n += std::snprintf(buffer + n, sizeof buffer - n, ".%03lld", static_cast<long long>(ns / kMillisecond));
    else if (ns % kMicrosecond == 0)
      n += std::snprintf(buffer + n, sizeof buffer - n, ".%06lld", static_cast<long long>(ns / kMicrosecond));
    else
      n += std::snprintf(buffer + n, sizeof buffer - n, ".%09lld", static_cast<long long>(ns));
  }
  return std::string(buffer, static_cast<size_t>(n)) + "Z";
}

namespace {
struct DurationUnit {
  std::string_view name;
  DurationNs ns;
};
// Longest unit first, as format_duration wants them; parse matches the longest name.
constexpr std::array<DurationUnit, 8> kUnits{{{"w", kWeek},
                                              {"d", kDay},
                                              {"h", kHour},
                                              {"m", kMinute},
                                              {"s", kSecond},
                                              {"ms", kMillisecond},
                                              {"us", kMicrosecond},
                                              {"ns", 1}}};
}  // namespace

std::optional<DurationNs> parse_duration(std::string_view s) {
  if (s.empty()) return std::nullopt;
  const bool negative = take_char(s, '-');
  DurationNs total = 0;
  if (s.empty()) return std::nullopt;
  while (!s.empty()) {
    size_t digits = 0;
    while (digits < s.size() && ((s[digits] >= '0' && s[digits] <= '9') || s[digits] == '.')) ++digits;
    const std::string_view number = s.substr(0, digits);
    s.remove_prefix(digits);
    size_t letters = 0;
    while (letters < s.size() && ((s[letters] | 0x20) >= 'a' && (s[letters] | 0x20) <= 'z')) ++letters;
    const std::string_view unit = s.substr(0, letters);
    s.remove_prefix(letters);
    const DurationUnit* found = nullptr;
    for (const auto& u : kUnits)
      if (u.name == unit) found = &u;
    if (found == nullptr || number.empty()) return std::nullopt;
    const size_t dot = number.find('.');
    int64_t whole = 0;
    const std::string_view whole_text = number.substr(0, dot);
    if (!whole_text.empty()) {
      auto [p, ec] = std::from_chars(whole_text.data(), whole_text.data() + whole_text.size(), whole);
      if (ec != std::errc() || p != whole_text.data() + whole_text.size()) return std::nullopt;
    }
    int64_t part = 0;
    if (__builtin_mul_overflow(whole, found->ns, &part)) return std::nullopt;
    if (dot != std::string_view::npos) {
      const std::string_view fraction = number.substr(dot + 1);
      if (fraction.empty() || fraction.find('.') != std::string_view::npos) return std::nullopt;
      double scale = 1, value = 0;
      for (char c : fraction) {
        scale /= 10;
        value += (c - '0') * scale;
      }
      part += static_cast<int64_t>(value * static_cast<double>(found->ns) + 0.5);
    }
    if (__builtin_add_overflow(total, part, &total)) return std::nullopt;
  }
  return negative ? -total : total;
}

std::string format_duration(DurationNs duration) {
  if (duration == 0) return "0s";
  std::string out;
  uint64_t left = static_cast<uint64_t>(duration);
  if (duration < 0) {
    out = "-";
    left = 0 - left;
  }
  for (const auto& u : kUnits) {
    const uint64_t n = left / static_cast<uint64_t>(u.ns);
    if (n == 0) continue;
    left -= n * static_cast<uint64_t>(u.ns);
    out += std::to_string(n);
    out += u.name;
  }
  return out;
}

}  // namespace sluice
