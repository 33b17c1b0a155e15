// JSON looked at 64 bytes at a time: where brackets stand outside strings, and what no JSON has where it stands. What is made of it (where an
// object ends, where one begins behind damage) is for json_body.h and json_records.h, which cut bodies that cannot be parsed as one.
//
// Thread rule: as std::vector.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <cstring>

namespace sluice::ingest {

class JsonScan {
 public:
  static constexpr size_t kStep = 64;

  // Bit i: of byte i of the step.
  struct Step {
    uint64_t open = 0, close = 0;  // brackets of objects and lists, outside strings
    uint64_t control = 0;          // below 0x20 inside a string: not allowed
    uint64_t stray = 0;            // capital letters other than E, '^', '_' outside a string: not allowed
  };

  // The next bytes of a text that begins outside a string. REQUIRES: 0 < size <= kStep, and all steps but the last are of kStep bytes
  Step next(const char* p, size_t size) {
    Masks m;
    if (size == kStep) {
      m = masks_of(p);
    } else {
      char last[kStep];
      std::memset(last, ' ', sizeof last);
      std::memcpy(last, p, size);
      m = masks_of(last);
    }
    // Escapes are rare: walk them.
    uint64_t escaped = escaped_ ? 1 : 0;
    escaped_ = false;
    for (uint64_t slashes = m.backslash & ~escaped; slashes != 0;) {
      const int i = std::countr_zero(slashes);
      slashes &= slashes - 1;
      if (i == 63) {
        escaped_ = true;
      } else {
        escaped |= uint64_t{1} << (i + 1);
        slashes &= ~(uint64_t{1} << (i + 1));
      }
    }
    // Set from the opening quote to before the closing one.
    const uint64_t inside = parity_up_to(m.quote & ~escaped) ^ inside_;
    inside_ = static_cast<uint64_t>(static_cast<int64_t>(inside) >> 63);
    return {m.open & ~inside, m.close & ~inside, m.control & inside, m.stray & ~inside};
  }

 private:
  struct Masks {
    uint64_t quote = 0, backslash = 0, open = 0, close = 0, control = 0, stray = 0;
  };

#ifdef __SSE2__
  static Masks masks_of(const char* p) {
    Masks m;
    for (int i = 0; i < 4; ++i) {
      const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
      const auto equal = [&](char c) { return _mm_cmpeq_epi8(v, _mm_set1_epi8(c)); };
      const auto bits = [&](__m128i x) { return static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(x))) << (16 * i); };
      // '[' 0x5b, '{' 0x7b; ']' 0x5d, '}' 0x7d: equal but for one bit.
      const __m128i folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
      const __m128i open = _mm_cmpeq_epi8(folded, _mm_set1_epi8('{')), close = _mm_cmpeq_epi8(folded, _mm_set1_epi8('}'));
      const __m128i backslash = equal('\\');
      // Bytes beyond ASCII are negative in this comparison: not within (0x40, 0x60), and below 0x20 only if not negative.
      const __m128i middle = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(0x40)), _mm_cmplt_epi8(v, _mm_set1_epi8(0x60)));
      const __m128i fine = _mm_or_si128(_mm_or_si128(open, close), _mm_or_si128(backslash, equal('E')));
      const __m128i control = _mm_andnot_si128(_mm_cmplt_epi8(v, _mm_setzero_si128()), _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
      m.quote |= bits(equal('"'));
      m.backslash |= bits(backslash);
      m.open |= bits(open);
      m.close |= bits(close);
      m.control |= bits(control);
      m.stray |= bits(_mm_andnot_si128(fine, middle));
    }
    return m;
  }
#else
  static Masks masks_of(const char* p) {
    Masks m;
    for (int i = 0; i < 64; ++i) {
      const auto c = static_cast<uint8_t>(p[i]);
      const uint64_t bit = uint64_t{1} << i;
      if (c == '"') m.quote |= bit;
      if (c == '\\') m.backslash |= bit;
      if (c == '{' || c == '[') m.open |= bit;
      if (c == '}' || c == ']') m.close |= bit;
      if (c < 0x20) m.control |= bit;
      if (c > 0x40 && c < 0x60 && c != '[' && c != ']' && c != '\\' && c != 'E') m.stray |= bit;
    }
    return m;
  }
#endif

  // Bit i of the result: whether an odd number of bits up to i, i included, is set.
  static uint64_t parity_up_to(uint64_t bits) {
    for (int shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
    return bits;
  }

  uint64_t inside_ = 0;   // all ones when the step before ended inside a string
  bool escaped_ = false;  // whether its last byte was a backslash that escapes the next
};

}  // namespace sluice::ingest
