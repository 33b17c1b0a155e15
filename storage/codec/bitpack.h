// Bit-packing: value i of width w occupies bits [i·w, (i+1)·w) of a little-endian bit string.
//
// The unpackers read whole words, so up to kUnpackSlack bytes behind the last bit must be readable; encodings that use them
// end in that many spare bytes. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "storage/codec/byte_io.h"

namespace sluice::codec {

inline constexpr size_t kUnpackSlack = 16;

// Bytes of `count` values of `width` bits.
inline constexpr size_t packed_bytes(size_t count, unsigned width) { return (count * width + 7) / 8; }

// Appends packed_bytes(count, width) bytes. Bits of values above `width` are ignored. REQUIRES: width <= 64
void pack_bits(const uint64_t* values, size_t count, unsigned width, std::string& out);

// out[i] = value (first + i) + add, modulo 2^bits(T), for i in [0, count). REQUIRES: width <= bits of T; the bytes up to
// packed_bytes(first + count, width) + kUnpackSlack are readable.
void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint8_t* out, uint8_t add);
void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint16_t* out, uint16_t add);
void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint32_t* out, uint32_t add);
void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint64_t* out, uint64_t add);

// The plain twin of unpack_bits, one value. Same requirements.
inline uint64_t unpack_one(const uint8_t* bytes, unsigned width, size_t index) {
  if (width == 0) return 0;
  const size_t bit = index * width;
  const uint8_t* p = bytes + bit / 8;
  const unsigned shift = bit % 8;
  uint64_t value = load<uint64_t>(p) >> shift;
  if (shift + width > 64) value |= static_cast<uint64_t>(p[8]) << (64 - shift);
  return width == 64 ? value : value & ((uint64_t{1} << width) - 1);
}

}  // namespace sluice::codec
