#include "ingest/source/scalar_text.h"

#include <algorithm>
#include <array>

namespace sluice::ingest {
namespace {

// mantissa × 10^exponent, with the mantissa's digits beyond 19 cut off (`cut`: whether one of them was not zero).
struct Decimal {
  bool negative = false, cut = false;
  uint64_t mantissa = 0;
  int exponent = 0;
};

constexpr std::array<uint64_t, 20> kPowers = [] {
  std::array<uint64_t, 20> powers{1};
  for (size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::optional<Decimal> parse_decimal(std::string_view word) {
  Decimal d;
  // "0.004266", "1591367999.305988": what nearly all of them look like.
  if (const size_t dot = word.find('.'); dot != std::string_view::npos && word.size() <= 19) {
    uint64_t whole = 0, part = 0;
    const std::string_view digits = word.substr(dot + 1);
    if (parse_number(word.substr(0, dot), UINT64_MAX, whole) && parse_number(digits, UINT64_MAX, part)) {
      d.mantissa = whole * kPowers[digits.size()] + part;
      d.exponent = -static_cast<int>(digits.size());
      return d;
    }
  }
  if (!word.empty() && (word[0] == '-' || word[0] == '+')) {
    d.negative = word[0] == '-';
    word.remove_prefix(1);
  }
  size_t i = 0, digits = 0;
  int significant = 0;
  bool fraction = false;
  for (; i < word.size(); ++i) {
    const char c = word[i];
    if (c == '.' && !fraction) {
      fraction = true;
      continue;
    }
    if (!is_digit(c)) break;
    ++digits;
    if (significant < 19) {
      d.mantissa = d.mantissa * 10 + static_cast<uint64_t>(c - '0');
      significant += d.mantissa != 0;
      d.exponent -= fraction;
    } else {
      d.cut |= c != '0';
      d.exponent += !fraction;
    }
  }
  // Longer texts are no numbers anybody writes, and their exponents could run over.
  if (digits == 0 || word.size() > 400) return std::nullopt;
  if (i == word.size()) return d;
  if (word[i] != 'e' && word[i] != 'E') return std::nullopt;
  ++i;
  bool negative = false;
  if (i < word.size() && (word[i] == '-' || word[i] == '+')) negative = word[i++] == '-';
  if (i == word.size()) return std::nullopt;
  int exponent = 0;
  for (; i < word.size(); ++i) {
    if (!is_digit(word[i])) return std::nullopt;
    exponent = std::min(exponent * 10 + (word[i] - '0'), 10'000);
  }
  d.exponent += negative ? -exponent : exponent;
  return d;
}

// mantissa × 10^exponent as a whole number; `exact` tells whether nothing was cut. False beyond 64 bits.
bool scale_up(uint64_t mantissa, int exponent, uint64_t& out, bool& exact) {
  exact = true;
  if (exponent > 0 && exponent < static_cast<int>(kPowers.size())) {
    out = mantissa;
    return !__builtin_mul_overflow(mantissa, kPowers[static_cast<size_t>(exponent)], &out);
  }
  if (exponent < 0 && -exponent < static_cast<int>(kPowers.size())) {
    const uint64_t unit = kPowers[static_cast<size_t>(-exponent)];
    exact = mantissa % unit == 0;
    out = mantissa / unit;
    return true;
  }
  for (; exponent > 0 && mantissa != 0; --exponent)
    if (__builtin_mul_overflow(mantissa, uint64_t{10}, &mantissa)) return false;
  for (; exponent < 0 && mantissa != 0; ++exponent) {
    exact &= mantissa % 10 == 0;
    mantissa /= 10;
  }
  out = mantissa;
  return true;
}

std::optional<int64_t> scaled(const Decimal& d, int scale) {
  uint64_t value = 0;
  bool exact = false;
  if (!scale_up(d.mantissa, d.exponent + scale, value, exact) || value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return d.negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

struct Protocol {
  std::string_view name;
  uint8_t number;
};
// As /etc/protocols, Zeek, Suricata, Hubble and the clouds write them.
constexpr Protocol kProtocols[] = {
    {"tcp", 6},        {"udp", 17},    {"icmp", 1},   {"ipv6-icmp", 58}, {"icmpv6", 58}, {"icmp6", 58}, {"icmpv4", 1},
    {"sctp", 132},     {"gre", 47},    {"esp", 50},   {"ah", 51},        {"igmp", 2},    {"ipip", 4},   {"ipv4", 4},
    {"ipencap", 4},    {"ipv6", 41},   {"ospf", 89},  {"ospfigp", 89},   {"pim", 103},   {"vrrp", 112}, {"eigrp", 88},
    {"dccp", 33},      {"rsvp", 46},   {"l2tp", 115}, {"ipv6-route", 43}, {"ipv6-frag", 44}, {"ipv6-nonxt", 59},
    {"ipv6-opts", 60}, {"hopopt", 0},  {"udplite", 136}, {"etherip", 97}, {"mpls-in-ip", 137},
};

}  // namespace

bool parse_whole(std::string_view word, uint64_t max, uint64_t& out) {
  if (parse_number(word, max, out)) return true;
  const auto d = parse_decimal(word);
  uint64_t value = 0;
  bool exact = false;
  if (!d || d->cut || !scale_up(d->mantissa, d->exponent, value, exact) || !exact || value > max) return false;
  if (d->negative && value != 0) return false;
  out = value;
  return true;
}

std::optional<int64_t> parse_scaled(std::string_view word, int scale) {
  const auto d = parse_decimal(word);
  return d ? scaled(*d, scale) : std::nullopt;
}

std::optional<TimestampNs> parse_epoch(std::string_view word) {
  uint64_t whole = 0;
  constexpr uint64_t kMillisFrom = 100'000'000'000, kMicrosFrom = 100'000'000'000'000, kNanosFrom = 100'000'000'000'000'000;
  if (parse_number(word, UINT64_MAX, whole)) {
    const uint64_t unit = whole < kMillisFrom ? kSecond : whole < kMicrosFrom ? kMillisecond : whole < kNanosFrom ? kMicrosecond : 1;
    if (__builtin_mul_overflow(whole, unit, &whole) || whole > static_cast<uint64_t>(kTimestampMax)) return std::nullopt;
    return static_cast<TimestampNs>(whole);
  }
  const auto d = parse_decimal(word);
  if (!d) return std::nullopt;
  if (const auto seconds = scaled(*d, 0); !seconds || *seconds >= static_cast<int64_t>(kMillisFrom)) {
    // Milliseconds with a fraction, as some shippers turn them into.
    if (!seconds || *seconds >= static_cast<int64_t>(kMicrosFrom)) return std::nullopt;
    return scaled(*d, 6);
  }
  return scaled(*d, 9);
}

std::optional<uint8_t> parse_protocol(std::string_view word) {
  if (word.empty() || word.size() > 12) return std::nullopt;
  uint64_t number = 0;
  if (parse_number(word, 255, number)) return static_cast<uint8_t>(number);
  char lower[12];
  for (size_t i = 0; i < word.size(); ++i) lower[i] = word[i] >= 'A' && word[i] <= 'Z' ? static_cast<char>(word[i] + 32) : word[i];
  const std::string_view name(lower, word.size());
  for (const Protocol& p : kProtocols)
    if (p.name == name) return p.number;
  return std::nullopt;
}

}  // namespace sluice::ingest
