// Mixes the bits of a number, so that tables that look at a few of them spread their keys.
//
// Thread rule: a pure function.
#pragma once

#include <cstdint>

namespace sluice::query {

// Two rounds of multiply and fold; the finalizer of MurmurHash3 has the same form. No defence against keys that were chosen to collide.
constexpr uint64_t mix(uint64_t v) {
  v *= 0x9e3779b97f4a7c15ull;
  v ^= v >> 32;
  v *= 0xd6e8feb86659fd93ull;
  return v ^ (v >> 32);
}

}  // namespace sluice::query
