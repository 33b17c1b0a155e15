#include "grammar/literals.h"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "grammar/characters.h"

namespace sluice::grammar {
namespace {

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// "12.50" as whole part and fraction; scaled to units of `scale` without leaving integers, so 0.1s is exact.
struct Decimal {
  uint64_t whole = 0;
  std::string_view fraction;
};

// Steps `text` past digits[.digits]. nullopt if there are none or the whole part does not fit.
std::optional<Decimal> take_decimal(std::string_view& text) {
  Decimal number;
  size_t i = 0;
  while (i < text.size() && is_digit(text[i])) {
    if (__builtin_mul_overflow(number.whole, 10, &number.whole)) return std::nullopt;
    if (__builtin_add_overflow(number.whole, text[i] - '0', &number.whole)) return std::nullopt;
    ++i;
  }
  if (i == 0) return std::nullopt;
  if (i + 1 < text.size() && text[i] == '.' && is_digit(text[i + 1])) {
    const size_t start = ++i;
    while (i < text.size() && is_digit(text[i])) ++i;
    number.fraction = text.substr(start, i - start);
  }
  text.remove_prefix(i);
  return number;
}

// whole.fraction * scale, rounded down. nullopt on overflow.
std::optional<uint64_t> scale_decimal(const Decimal& number, uint64_t scale) {
  uint64_t value = 0;
  if (__builtin_mul_overflow(number.whole, scale, &value)) return std::nullopt;
  unsigned __int128 numerator = 0;
  unsigned __int128 denominator = 1;
  for (size_t i = 0; i < number.fraction.size() && i < 18; ++i) {
    numerator = numerator * 10 + static_cast<unsigned>(number.fraction[i] - '0');
    denominator *= 10;
  }
  const auto part = static_cast<uint64_t>(numerator * scale / denominator);
  if (__builtin_add_overflow(value, part, &value)) return std::nullopt;
  return value;
}

struct DurationUnit {
  std::string_view name;
  uint64_t nanoseconds;
};
constexpr DurationUnit kDurationUnits[] = {
    {"w", 604'800'000'000'000}, {"d", 86'400'000'000'000}, {"h", 3'600'000'000'000}, {"m", 60'000'000'000},
    {"s", 1'000'000'000},       {"ms", 1'000'000},         {"us", 1'000},            {"ns", 1},
};

bool read_v4(std::string_view text, uint8_t* out) {
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (text.empty() || text[0] != '.') return false;
      text.remove_prefix(1);
    }
    size_t digits = 0;
    unsigned value = 0;
    while (digits < text.size() && digits < 4 && is_digit(text[digits])) value = value * 10 + (text[digits++] - '0');
    if (digits == 0 || digits > 3 || value > 255 || (digits > 1 && text[0] == '0')) return false;
    out[part] = static_cast<uint8_t>(value);
    text.remove_prefix(digits);
  }
  return text.empty();
}

bool read_v6(std::string_view text, AddressBytes& out) {
  std::array<uint8_t, 16> head{};
  size_t used = 0;       // bytes written
  int gap = -1;          // where "::" stands
  size_t i = 0;
  if (text.starts_with("::")) {
    gap = 0;
    i = 2;
  } else if (text.starts_with(":")) {
    return false;
  }
  while (i < text.size()) {
    size_t end = i;
    while (end < text.size() && hex_value(text[end]) >= 0) ++end;
    if (end < text.size() && text[end] == '.') {  // trailing dotted quad
      if (used + 4 > 16 || !read_v4(text.substr(i), head.data() + used)) return false;
      used += 4;
      i = text.size();
      break;
    }
    if (end == i || end - i > 4 || used + 2 > 16) return false;
    unsigned value = 0;
    for (size_t k = i; k < end; ++k) value = value << 4 | static_cast<unsigned>(hex_value(text[k]));
    head[used++] = static_cast<uint8_t>(value >> 8);
    head[used++] = static_cast<uint8_t>(value);
    i = end;
    if (i == text.size()) break;
    if (text[i] != ':') return false;
    ++i;
    if (i < text.size() && text[i] == ':') {
      if (gap >= 0) return false;
      gap = static_cast<int>(used);
      ++i;
    } else if (i == text.size()) {
      return false;  // a single trailing colon
    }
  }
  if (gap < 0) {
    if (used != 16) return false;
    out = head;
    return true;
  }
  if (used > 14) return false;  // "::" stands for at least one group
  out.fill(0);
  for (int k = 0; k < gap; ++k) out[k] = head[k];
  for (size_t k = gap; k < used; ++k) out[16 - used + k] = head[k];
  return true;
}

// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
int64_t days_from_civil(int64_t y, unsigned m, unsigned d) {
  y -= m <= 2;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const auto yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146'097 + static_cast<int64_t>(doe) - 719'468;
}

unsigned days_in_month(unsigned y, unsigned m) {
  constexpr unsigned kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  return m == 2 && leap ? 29 : kDays[m - 1];
}

// Exactly `width` digits; steps past them.
std::optional<unsigned> take_digits(std::string_view& text, size_t width) {
  if (text.size() < width) return std::nullopt;
  unsigned value = 0;
  for (size_t i = 0; i < width; ++i) {
    if (!is_digit(text[i])) return std::nullopt;
    value = value * 10 + static_cast<unsigned>(text[i] - '0');
  }
  text.remove_prefix(width);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<uint64_t> read_integer(std::string_view text) {
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && lower(text[1]) == 'x') {
    base = 16;
    text.remove_prefix(2);
  }
  uint64_t value = 0;
  bool after_digit = false;
  for (const char c : text) {
    if (c == '_' && after_digit) {
      after_digit = false;
      continue;
    }
    const int digit = hex_value(c);
    if (digit < 0 || digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) return std::nullopt;
    after_digit = true;
  }
  if (!after_digit) return std::nullopt;
  return value;
}

std::optional<double> read_float(std::string_view text) {
  if (text.empty() || !is_digit(text[0])) return std::nullopt;
  // from_chars also takes "1." and plain integers; this language does not.
  size_t i = 0;
  while (i < text.size() && is_digit(text[i])) ++i;
  bool marked = false;
  if (i < text.size() && text[i] == '.') {
    if (i + 1 >= text.size() || !is_digit(text[i + 1])) return std::nullopt;
    marked = true;
  }
  for (const char c : text) marked = marked || lower(c) == 'e';
  if (!marked) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::general);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<int64_t> read_duration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  uint64_t total = 0;
  size_t next_unit = 0;
  while (!text.empty()) {
    const auto number = take_decimal(text);
    if (!number) return std::nullopt;
    size_t letters = 0;
    while (letters < text.size() && !is_digit(text[letters])) ++letters;
    std::string_view unit = text.substr(0, letters);
    if (unit == "\u00b5s" || unit == "\u03bcs") unit = "us";
    size_t which = next_unit;
    while (which < std::size(kDurationUnits) && kDurationUnits[which].name != unit) ++which;
    if (which == std::size(kDurationUnits)) return std::nullopt;
    const auto part = scale_decimal(*number, kDurationUnits[which].nanoseconds);
    if (!part || __builtin_add_overflow(total, *part, &total) || total > INT64_MAX) return std::nullopt;
    text.remove_prefix(letters);
    next_unit = which + 1;
  }
  return static_cast<int64_t>(total);
}

bool is_duration_too_long(std::string_view text) {
  bool any = false;
  size_t next_unit = 0;
  while (!text.empty()) {
    if (!take_decimal(text)) return false;
    size_t letters = 0;
    while (letters < text.size() && !is_digit(text[letters])) ++letters;
    size_t which = next_unit;
    while (which < std::size(kDurationUnits) && kDurationUnits[which].name != text.substr(0, letters)) ++which;
    if (which == std::size(kDurationUnits)) return false;
    text.remove_prefix(letters);
    next_unit = which + 1;
    any = true;
  }
  return any;
}

std::optional<uint64_t> read_size(std::string_view text) {
  const auto number = take_decimal(text);
  if (!number || text.empty() || text.size() > 3 || lower(text.back()) != 'b') return std::nullopt;
  text.remove_suffix(1);
  uint64_t scale = 1;
  if (!text.empty()) {
    const bool binary = text.size() == 2;
    if (binary && lower(text[1]) != 'i') return std::nullopt;
    const size_t power = std::string_view("kmgtpe").find(lower(text[0]));
    if (power == std::string_view::npos) return std::nullopt;
    for (size_t i = 0; i <= power; ++i) scale *= binary ? 1'024 : 1'000;
  }
  return scale_decimal(*number, scale);
}

std::optional<uint64_t> read_bit_rate(std::string_view text) {
  const auto number = take_decimal(text);
  if (!number || text.size() < 3 || text.size() > 4) return std::nullopt;
  uint64_t scale = 1;
  if (text.size() == 4) {
    const size_t power = std::string_view("kmgt").find(lower(text[0]));
    if (power == std::string_view::npos) return std::nullopt;
    for (size_t i = 0; i <= power; ++i) scale *= 1'000;
    text.remove_prefix(1);
  }
  if (lower(text[0]) != 'b' || lower(text[1]) != 'p' || lower(text[2]) != 's') return std::nullopt;
  return scale_decimal(*number, scale);
}

std::optional<AddressBytes> read_address(std::string_view text) {
  AddressBytes address{};
  if (text.find(':') == std::string_view::npos) {
    address[10] = address[11] = 0xff;
    if (!read_v4(text, address.data() + 12)) return std::nullopt;
    return address;
  }
  if (!read_v6(text, address)) return std::nullopt;
  return address;
}

bool is_ipv4(const AddressBytes& address) {
  for (int i = 0; i < 10; ++i)
    if (address[i] != 0) return false;
  return address[10] == 0xff && address[11] == 0xff;
}

std::optional<std::array<uint8_t, 6>> read_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  std::array<uint8_t, 6> octets{};
  for (size_t i = 0; i < 6; ++i) {
    const int high = hex_value(text[i * 3]);
    const int low = hex_value(text[i * 3 + 1]);
    if (high < 0 || low < 0 || (i < 5 && text[i * 3 + 2] != ':')) return std::nullopt;
    octets[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return octets;
}

std::optional<int64_t> read_timestamp(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || *month < 1 || *month > 12 || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || *day < 1 || *day > days_in_month(*year, *month)) return std::nullopt;
  int64_t seconds = days_from_civil(*year, *month, *day) * 86'400;
  int64_t fraction = 0;
  if (!text.empty()) {
    if (!take(text, 'T') && !take(text, 't') && !take(text, ' ')) return std::nullopt;
    const auto hour = take_digits(text, 2);
    if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
    const auto minute = take_digits(text, 2);
    if (!minute || *minute > 59) return std::nullopt;
    seconds += *hour * 3'600 + *minute * 60;
    if (take(text, ':')) {
      const auto second = take_digits(text, 2);
      if (!second || *second > 60) return std::nullopt;  // 60: a leap second, counted as the next second's start
      seconds += *second;
      if (take(text, '.')) {
        size_t digits = 0;
        int64_t unit = 100'000'000;
        while (digits < text.size() && is_digit(text[digits])) {
          fraction += (text[digits++] - '0') * unit;
          unit /= 10;
        }
        if (digits == 0) return std::nullopt;
        text.remove_prefix(digits);
      }
    }
    if (!text.empty() && !take(text, 'Z') && !take(text, 'z')) {
      const bool east = text[0] == '+';
      if (!take(text, '+') && !take(text, '-')) return std::nullopt;
      const auto hours = take_digits(text, 2);
      if (!hours || *hours > 23) return std::nullopt;
      take(text, ':');
      const auto minutes = take_digits(text, 2);
      if (!minutes || *minutes > 59) return std::nullopt;
      const int64_t offset = static_cast<int64_t>(*hours) * 3'600 + static_cast<int64_t>(*minutes) * 60;
      seconds -= east ? offset : -offset;
    }
    if (!text.empty()) return std::nullopt;
  }
  int64_t result = 0;
  // Before the epoch the product alone may pass the lower end although the sum does not.
  const __int128 exact = static_cast<__int128>(seconds) * 1'000'000'000 + fraction;
  if (exact < INT64_MIN || exact > INT64_MAX) return std::nullopt;
  result = static_cast<int64_t>(exact);
  return result;
}

std::string write_float(double value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, error == std::errc() ? end : buffer);
  // Keep it a float when read back: "100" would be an integer.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string write_duration(int64_t nanoseconds) {
  if (nanoseconds <= 0) return "0s";
  std::string text;
  auto rest = static_cast<uint64_t>(nanoseconds);
  for (const auto& unit : kDurationUnits) {
    if (rest < unit.nanoseconds) continue;
    if (unit.name == "w" && rest % unit.nanoseconds != 0) continue;  // 30d, not 4w2d
    text += std::to_string(rest / unit.nanoseconds);
    text += unit.name;
    rest %= unit.nanoseconds;
  }
  return text;
}

namespace {
// The largest power that divides the value evenly, so that nothing is lost.
std::string write_scaled(uint64_t value, uint64_t base, const char* prefixes, const char* infix, const char* unit) {
  size_t power = 0;
  while (prefixes[power] != 0 && value != 0 && value % base == 0) {
    value /= base;
    ++power;
  }
  std::string text = std::to_string(value);
  if (power > 0) {
    text += prefixes[power - 1];
    text += infix;
  }
  return text + unit;
}
}  // namespace

std::string write_size(uint64_t bytes) {
  if (bytes != 0 && bytes % 1'000 != 0 && bytes % 1'024 == 0) return write_scaled(bytes, 1'024, "KMGTPE", "i", "B");
  return write_scaled(bytes, 1'000, "KMGTPE", "", "B");
}

std::string write_bit_rate(uint64_t bits_per_second) {
  return write_scaled(bits_per_second, 1'000, "kMGT", "", "bps");
}

std::string write_address(const AddressBytes& address) {
  char buffer[48];
  if (is_ipv4(address)) {
    std::snprintf(buffer, sizeof buffer, "%u.%u.%u.%u", address[12], address[13], address[14], address[15]);
    return buffer;
  }
  // RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::".
  unsigned groups[8];
  for (int i = 0; i < 8; ++i) groups[i] = static_cast<unsigned>(address[i * 2]) << 8 | address[i * 2 + 1];
  int best = -1;
  int best_length = 1;
  for (int i = 0; i < 8;) {
    int length = 0;
    while (i + length < 8 && groups[i + length] == 0) ++length;
    if (length > best_length) {
      best = i;
      best_length = length;
    }
    i += length == 0 ? 1 : length;
  }
  std::string text;
  for (int i = 0; i < 8; ++i) {
    if (i == best) {
      text += "::";
      i += best_length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    std::snprintf(buffer, sizeof buffer, "%x", groups[i]);
    text += buffer;
  }
  return text;
}

std::string write_mac(const std::array<uint8_t, 6>& octets) {
  char buffer[18];
  std::snprintf(buffer, sizeof buffer, "%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1], octets[2], octets[3],
                octets[4], octets[5]);
  return buffer;
}

std::string write_timestamp(int64_t nanoseconds) {
  int64_t seconds = nanoseconds / 1'000'000'000;
  int64_t fraction = nanoseconds % 1'000'000'000;
  if (fraction < 0) {
    fraction += 1'000'000'000;
    --seconds;
  }
  int64_t days = seconds / 86'400;
  int64_t rest = seconds % 86'400;
  if (rest < 0) {
    rest += 86'400;
    --days;
  }
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const auto doe = static_cast<unsigned>(days - era * 146'097);
  const unsigned yoe = (doe - doe / 1'460 + doe / 36'524 - doe / 146'096) / 365;
  const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const unsigned mp = (5 * doy + 2) / 153;
  const unsigned day = doy - (153 * mp + 2) / 5 + 1;
  const unsigned month = mp < 10 ? mp + 3 : mp - 9;
  const int64_t year = static_cast<int64_t>(yoe) + era * 400 + (month <= 2 ? 1 : 0);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02uT%02u:%02u:%02u", static_cast<int>(year), month, day,
                static_cast<unsigned>(rest / 3'600), static_cast<unsigned>(rest / 60 % 60), static_cast<unsigned>(rest % 60));
  std::string text = buffer;
  if (fraction != 0) {
    const bool milli = fraction % 1'000'000 == 0;
    const bool micro = fraction % 1'000 == 0;
    if (milli) {
      std::snprintf(buffer, sizeof buffer, ".%03d", static_cast<int>(fraction / 1'000'000));
    } else if (micro) {
      std::snprintf(buffer, sizeof buffer, ".%06d", static_cast<int>(fraction / 1'000));
    } else {
      std::snprintf(buffer, sizeof buffer, ".%09d", static_cast<int>(fraction));
    }
    text += buffer;
  }
  return text + "Z";
}

}  // namespace sluice::grammar
