// Numbers, times and addresses written as text, read fast: they are most of every text source.
// Thread rule: none shared. `out` holds a value only where the answer is true.
#pragma once

#include <cstdint>
#include <string_view>

#include "storage/model/ip.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// Decimal digits and nothing else, at most `max`.
inline bool parse_number(std::string_view word, uint64_t max, uint64_t& out) {
  if (word.empty() || word.size() > 20) return false;
  uint64_t value = 0;
  if (word.size() <= 18) {
    for (const char c : word) {
      const unsigned digit = static_cast<unsigned>(static_cast<unsigned char>(c)) - '0';
      if (digit > 9) return false;
      value = value * 10 + digit;
    }
  } else {
    for (const char c : word) {
      const unsigned digit = static_cast<unsigned>(static_cast<unsigned char>(c)) - '0';
      if (digit > 9 || __builtin_mul_overflow(value, uint64_t{10}, &value) || __builtin_add_overflow(value, digit, &value))
        return false;
    }
  }
  out = value;
  return value <= max;
}

// Unix time in seconds, or in milliseconds as some exports write it: 10^11 s is the year 5138, 10^11 ms is 1973.
inline bool parse_unix_time(std::string_view word, TimestampNs& out) {
  constexpr uint64_t kMillisFrom = 100'000'000'000, kMillisTo = 100'000'000'000'000;
  uint64_t value = 0;
  if (!parse_number(word, kMillisTo, value)) return false;
  if (value < kMillisFrom) {
    if (value > static_cast<uint64_t>(kTimestampMax / kSecond)) return false;
    out = static_cast<TimestampNs>(value) * kSecond;
  } else {
    if (value > static_cast<uint64_t>(kTimestampMax / kMillisecond)) return false;
    out = static_cast<TimestampNs>(value) * kMillisecond;
  }
  return true;
}

// Dotted IPv4 is nearly every address there is; parse_ip knows the rest.
inline bool parse_address(std::string_view word, IpAddress& out) {
  const char* p = word.data();
  const char* const end = p + word.size();
  uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0 && (p == end || *p++ != '.')) goto other;
    if (p == end) goto other;
    unsigned v = static_cast<unsigned char>(*p) - '0';
    if (v > 9) goto other;
    ++p;
    for (int i = 0; i < 2 && p != end && v != 0; ++i) {
      const unsigned digit = static_cast<unsigned char>(*p) - '0';
      if (digit > 9) break;
      v = v * 10 + digit;
      ++p;
    }
    if (v > 255) goto other;
    value = value << 8 | v;
  }
  if (p != end) goto other;
  out = IpAddress::v4(value);
  return true;
other:
  const auto ip = parse_ip(word);
  if (!ip) return false;
  out = *ip;
  return true;
}

}  // namespace sluice::ingest
