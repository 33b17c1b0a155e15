// Short texts looked at 16 bytes at a time: most texts of a record need nothing done to them, and to see that byte by byte costs more
// than all else that is done with them.
//
// Thread rule: pure functions. Nothing outside the text is read.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice {

// The first `n` bytes at `p`, the first of them in the lowest byte; zeros above. REQUIRES: 0 < n <= 8
inline uint64_t load_bytes(const char* p, size_t n) {
  if constexpr (std::endian::native == std::endian::little) {
    // Two loads that overlap; a loop over so few bytes is a mispredicted branch.
    if (n >= 4) {
      uint32_t low, high;
      std::memcpy(&low, p, 4);
      std::memcpy(&high, p + n - 4, 4);
      return low | static_cast<uint64_t>(high) << 8 * (n - 4);
    }
    const auto at = [p](size_t i) { return static_cast<uint64_t>(static_cast<uint8_t>(p[i])) << 8 * i; };
    return at(0) | at(n / 2) | at(n - 1);
  }
  uint64_t v = 0;
  for (size_t i = 0; i < n; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(p[i])) << 8 * i;
  return v;
}

#ifdef __SSE2__

// The same for up to 16 bytes. REQUIRES: 0 < n <= 16
inline __m128i load_16(const char* p, size_t n) {
  if (n < 8) return _mm_cvtsi64_si128(static_cast<int64_t>(load_bytes(p, n)));
  uint64_t low, high;
  std::memcpy(&low, p, 8);
  std::memcpy(&high, p + n - 8, 8);
  if (n < 16) high = high >> 8 * (15 - n) >> 8;
  return _mm_set_epi64x(static_cast<int64_t>(high), static_cast<int64_t>(low));
}

namespace byte_scan_detail {

// Whether `test`, which gives bytes of all ones for those it looks for, finds one.
template <typename Test>
bool any(std::string_view text, Test&& test) {
  const char* p = text.data();
  const size_t n = text.size();
  const auto found = [&](__m128i v) { return static_cast<uint32_t>(_mm_movemask_epi8(test(v))); };
  if (n < 16) return n != 0 && (found(load_16(p, n)) & ((1u << n) - 1)) != 0;
  for (const char* const last = p + n - 16; p < last; p += 16)
    if (found(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))) != 0) return true;
  return found(_mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + n - 16))) != 0;
}

}  // namespace byte_scan_detail

#endif

// Whether one of the bytes is one of these.
template <char... kWanted>
bool has_byte(std::string_view text) {
#ifdef __SSE2__
  return byte_scan_detail::any(text, [](__m128i v) {
    __m128i found = _mm_setzero_si128();
    ((found = _mm_or_si128(found, _mm_cmpeq_epi8(v, _mm_set1_epi8(kWanted)))), ...);
    return found;
  });
#else
  for (const char c : text)
    if (((c == kWanted) || ...)) return true;
  return false;
#endif
}

// Whether all bytes are from ' ' to '~': text that needs no cleaning.
inline bool is_printable_ascii(std::string_view text) {
#ifdef __SSE2__
  // Signed comparison: bytes beyond ASCII are negative, so one test finds them and the control characters.
  return !byte_scan_detail::any(text, [](__m128i v) { return _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))); });
#else
  for (const char c : text)
    if (static_cast<uint8_t>(c) < ' ' || static_cast<uint8_t>(c) >= 0x7f) return false;
  return true;
#endif
}

}  // namespace sluice
