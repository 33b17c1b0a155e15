// Numbers, times and addresses written as text, read fast: they are most of every text source.
// What is read several bytes at a time has a plain twin beside it, which says the same of every text; tests hold the two together.
//
// Thread rule: none shared. `out` holds a value only where the answer is true. Nothing outside the text is read.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "storage/model/byte_scan.h"
#include "storage/model/ip.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// Decimal digits and nothing else, at most `max`. Digit by digit: for what parse_number below does not read 8 at a time.
inline bool parse_number_plain(std::string_view word, uint64_t max, uint64_t& out) {
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

// The number that `n` digits write, the first of them in the lowest byte of `digits`. False when one of them is none.
// REQUIRES: 0 < n <= 8
inline bool eight_digits(uint64_t digits, size_t n, uint64_t& out) {
  // The digits to the end that counts most, zeros before them.
  const auto shift = static_cast<unsigned>(8 - n) * 8;
  const uint64_t d = ((digits << shift) | (0x3030303030303030ull >> 1 >> (63 - shift))) ^ 0x3030303030303030ull;
  if (((d + 0x7676767676767676ull) | d) & 0x8080808080808080ull) return false;
  // Pairs, then the four pairs by one multiplication each of the even and the odd ones.
  const uint64_t pairs = d * 10 + (d >> 8);
  out = static_cast<uint32_t>(((pairs & 0x000000ff000000ffull) * 0x000f424000000064ull + (pairs >> 16 & 0x000000ff000000ffull) * 0x0000271000000001ull) >> 32);
  return true;
}

// The same as parse_number_plain. Lengths of numbers follow no pattern, so that a loop over their digits ends in a mispredicted branch.
inline bool parse_number(std::string_view word, uint64_t max, uint64_t& out) {
  const size_t n = word.size();
  const char* const p = word.data();
  if (n - 1 < 8) {
    uint64_t value = 0;
    if (!eight_digits(load_bytes(p, n), n, value)) return false;
    out = value;
    return value <= max;
  }
  if (n - 1 < 16) {
    uint64_t high = 0, low = 0;
    if (!eight_digits(load_bytes(p, n - 8), n - 8, high) || !eight_digits(load_bytes(p + (n - 8), 8), 8, low)) return false;
    out = high * 100'000'000 + low;
    return out <= max;
  }
  return parse_number_plain(word, max, out);
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

// Dotted IPv4 byte by byte; parse_ip knows the rest.
inline bool parse_address_plain(std::string_view word, IpAddress& out) {
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

#ifdef __SSE2__
// Dotted IPv4 of `size` bytes at `p`. False for all else, also for what parse_address_plain may still know.
// REQUIRES: 20 bytes at `p` may be read
inline bool parse_dotted(const char* p, size_t size, IpAddress& out) {
  if (size - 7 >= 9) return false;  // "0.0.0.0" to "255.255.255.255"
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const auto dots = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('.'))));
  uint32_t ends = (dots & ((1u << size) - 1)) | 1u << size, value = 0, odd = 0;
  unsigned begin = 0;
  for (int part = 0; part < 4; ++part, ends &= ends - 1) {
    if (ends == 0) return false;
    const auto end = static_cast<unsigned>(std::countr_zero(ends));
    const unsigned n = end - begin;
    if (n - 1 > 2) return false;
    uint32_t w;
    std::memcpy(&w, p + begin, 4);
    const unsigned shift = (4 - n) * 8;
    const uint32_t d = ((w << shift) | (0x30303030u >> 1 >> (31 - shift))) ^ 0x30303030u;
    const uint32_t number = (d >> 8 & 0xff) * 100 + (d >> 16 & 0xff) * 10 + (d >> 24);
    // Not a digit, above 255, or a zero in front.
    odd |= ((d + 0x76767676u) | d) & 0x80808080u;
    odd |= static_cast<uint32_t>(number > 255) | static_cast<uint32_t>(n > 1 && p[begin] == '0');
    value = value << 8 | number;
    begin = end + 1;
  }
  if ((odd | ends) != 0) return false;
  out = IpAddress::v4(value);
  return true;
}
#else
inline bool parse_dotted(const char*, size_t, IpAddress&) { return false; }
#endif

// The same as parse_address_plain. Dotted IPv4 is nearly every address there is.
inline bool parse_address(std::string_view word, IpAddress& out) {
#ifdef __SSE2__
  if (word.size() - 7 < 9) {
    char text[20] = {};  // parts are read with some bytes behind them
    _mm_storeu_si128(reinterpret_cast<__m128i*>(text), load_16(word.data(), word.size()));
    if (parse_dotted(text, word.size(), out)) return true;
  }
#endif
  return parse_address_plain(word, out);
}

}  // namespace sluice::ingest
