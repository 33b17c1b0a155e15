// JSON looked at 64 bytes at a time: where brackets stand outside strings, and what no JSON has where it stands. What is made of it (where an
// object ends, where one begins behind damage) is for json_records.h, which cuts bodies that cannot be
// parsed as one.
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
    uint64_t brackets = 0;  // of objects and lists, outside strings
    uint64_t control = 0;   // below 0x20 inside a string: not allowed
    uint64_t stray = 0;     // capital letters other than E, '^', '_' outside a string: not allowed
  };

  // The next bytes of a text that begins outside a string. Looks for strays only `kStray`.
  // REQUIRES: 0 < size <= kStep, and all steps but the last are of kStep bytes
  template <bool kStray>
  [[gnu::always_inline]] inline Step next(const char* p, size_t size) {
    char last[kStep];
    if (size != kStep) {
      std::memset(last, ' ', sizeof last);
      std::memcpy(last, p, size);
      p = last;
    }
    const Masks m = masks_of<kStray>(p);
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
    return {m.brackets & ~inside, m.control & inside, m.stray & ~inside};
  }

 private:
  struct Masks {
    uint64_t quote = 0, backslash = 0, brackets = 0, control = 0, stray = 0;
  };

#ifdef __SSE2__
  // What hardly any step has is asked of all 64 bytes at once, and of each only then.
  template <bool kStray>
  [[gnu::always_inline]] static inline Masks masks_of(const char* p) {
    __m128i v[4];
    for (int i = 0; i < 4; ++i) v[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
    const auto bits = [&v](auto test) {
      uint64_t all = 0;
      for (int i = 0; i < 4; ++i) all |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(test(v[i])))) << (16 * i);
      return all;
    };
    const auto rare_bits = [&v, &bits](auto test) {
      const __m128i any = _mm_or_si128(_mm_or_si128(test(v[0]), test(v[1])), _mm_or_si128(test(v[2]), test(v[3])));
      return _mm_movemask_epi8(any) == 0 ? 0 : bits(test);
    };
    const auto equal = [](char c) { return [c](__m128i x) { return _mm_cmpeq_epi8(x, _mm_set1_epi8(c)); }; };
    // '[' 0x5b, '{' 0x7b; ']' 0x5d, '}' 0x7d: equal but for one bit.
    const auto bracket = [](__m128i x) {
      const __m128i folded = _mm_or_si128(x, _mm_set1_epi8(0x20));
      return _mm_or_si128(_mm_cmpeq_epi8(folded, _mm_set1_epi8('{')), _mm_cmpeq_epi8(folded, _mm_set1_epi8('}')));
    };
    Masks m;
    m.quote = bits(equal('"'));
    m.brackets = bits(bracket);
    m.backslash = rare_bits(equal('\\'));
    m.control = rare_bits([](__m128i x) { return _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x); });
    if constexpr (kStray)
      m.stray = bits([bracket](__m128i x) {
        // From 'A' to '_', but for what may stand there.
        const __m128i from_a = _mm_sub_epi8(x, _mm_set1_epi8('A'));
        const __m128i middle = _mm_cmpeq_epi8(_mm_min_epu8(from_a, _mm_set1_epi8('_' - 'A')), from_a);
        const __m128i fine = _mm_or_si128(bracket(x), _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\\')), _mm_cmpeq_epi8(x, _mm_set1_epi8('E'))));
        return _mm_andnot_si128(fine, middle);
      });
    return m;
  }
#else
  template <bool kStray>
  static Masks masks_of(const char* p) {
    Masks m;
    for (int i = 0; i < 64; ++i) {
      const auto c = static_cast<uint8_t>(p[i]);
      const uint64_t bit = uint64_t{1} << i;
      if (c == '"') m.quote |= bit;
      if (c == '\\') m.backslash |= bit;
      if (c == '{' || c == '[' || c == '}' || c == ']') m.brackets |= bit;
      if (c < 0x20) m.control |= bit;
      if (kStray && c > 0x40 && c < 0x60 && c != '[' && c != ']' && c != '\\' && c != 'E') m.stray |= bit;
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
