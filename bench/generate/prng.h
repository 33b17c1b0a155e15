// The generator's own random numbers: the same seed gives the same flows on every machine and compiler.
//
// The standard library leaves the distributions to its implementers, and libm's log and pow differ in the last bit, so
// everything here is integer arithmetic. xoshiro256** 1.0 and splitmix64 by Blackman and Vigna (public domain,
// prng.di.unimi.it). Not thread safe, not for secrets.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::generate {

// One step of splitmix64, also used as a mixing function of a counter.
constexpr uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

class Prng {
 public:
  // Streams of one seed are independent: give each part of a workload its own, and changing one leaves the others.
  explicit Prng(uint64_t seed, uint64_t stream = 0) {
    uint64_t x = mix(seed) ^ mix(stream * 0x632be59bd9b4e019ull + 1);
    for (uint64_t& word : state_) {
      x += 0x9e3779b97f4a7c15ull;
      word = mix(x);
    }
  }

  uint64_t next() {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  uint32_t next32() { return static_cast<uint32_t>(next() >> 32); }

  // 0 .. n-1. REQUIRES: n > 0. The bias is below n / 2^32.
  uint32_t below(uint32_t n) { return static_cast<uint32_t>((uint64_t{next32()} * n) >> 32); }
  // first .. last, both included. REQUIRES: first <= last, last - first < 2^32 - 1
  int64_t between(int64_t first, int64_t last) {
    return first + static_cast<int64_t>(below(static_cast<uint32_t>(last - first) + 1));
  }
  // True `parts` times in `whole`.
  bool chance(uint32_t parts, uint32_t whole) { return below(whole) < parts; }

  // 0 .. n-1 with a long tail: floor(n · u^power). Rank r comes up about as r^(1/power - 1), so power 1 is uniform and
  // larger powers crowd the low ranks. REQUIRES: n > 0, power >= 1
  uint32_t ranked(uint32_t n, unsigned power) {
    const uint64_t u = next32();
    uint64_t x = u;
    for (unsigned i = 1; i < power; ++i) x = (x * u) >> 32;
    return static_cast<uint32_t>((x * n) >> 32);
  }

  // 1, 2, 3 … with mean near `mean`, halving every mean·ln 2: how long things last. REQUIRES: mean > 0
  uint64_t geometric(uint64_t mean) {
    // Number of leading zeros is geometric with ratio 1/2; the fraction fills between the powers.
    const uint64_t bits = next();
    const unsigned zeros = bits == 0 ? 63 : static_cast<unsigned>(__builtin_clzll(bits));
    const uint64_t fraction = next32() >> 8;  // 24 bits
    return 1 + ((mean * ((uint64_t{zeros} << 24) + fraction)) * 45 >> 24) / 65;  // ln 2 ≈ 45/65
  }

 private:
  static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4];
};

}  // namespace sluice::generate
