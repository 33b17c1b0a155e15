// Unpacking eight values at a time with vector instructions; internal to bitpack.cc. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::codec {

// The widest values that each takes.
inline constexpr unsigned kSimdWidth16 = 16, kSimdWidth32 = 25, kSimdWidth64 = 57;

// out[i] = value i + add for 8 · groups values that begin at a byte. Reads up to 16 bytes behind the last one's.
// REQUIRES: 0 < width <= the constant above
void unpack_groups(const uint8_t* in, unsigned width, size_t groups, uint16_t* out, uint16_t add);
void unpack_groups(const uint8_t* in, unsigned width, size_t groups, uint32_t* out, uint32_t add);
void unpack_groups(const uint8_t* in, unsigned width, size_t groups, uint64_t* out, uint64_t add);

}  // namespace sluice::codec
