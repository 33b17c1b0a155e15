#include "storage/codec/bitpack.h"

#include <algorithm>
#include <iterator>
#include <type_traits>

#include "storage/codec/unpack_simd.h"

namespace sluice::codec {
namespace {

// One load, shift and mask per value; the compiler keeps everything in registers. Enough for widths up to 57 bits, since a
// value then never leaves the eight bytes that begin at its first byte.
template <typename T>
void unpack_plain(const uint8_t* bytes, unsigned width, size_t first, size_t count, T* out, T add) {
  if (width == 0) {
    for (size_t i = 0; i < count; ++i) out[i] = add;
    return;
  }
  if (width == 8 * sizeof(T)) {
    std::memcpy(out, bytes + first * sizeof(T), count * sizeof(T));
    if (add != 0)
      for (size_t i = 0; i < count; ++i) out[i] = static_cast<T>(out[i] + add);
    return;
  }
  if (width > 57) {
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<T>(unpack_one(bytes, width, first + i) + add);
    return;
  }
  const uint64_t mask = (uint64_t{1} << width) - 1;
  size_t bit = first * width;
  for (size_t i = 0; i < count; ++i, bit += width)
    out[i] = static_cast<T>(((load<uint64_t>(bytes + bit / 8) >> (bit % 8)) & mask) + add);
}

}  // namespace

void pack_bits(const uint64_t* values, size_t count, unsigned width, std::string& out) {
  if (width == 0 || count == 0) return;
  const size_t start = out.size();
  const size_t size = packed_bytes(count, width);
  out.resize(start + size + 8);  // room for the whole-word stores below
  char* p = out.data() + start;
  const uint64_t mask = width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
  uint64_t word = 0;
  unsigned filled = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t v = values[i] & mask;
    word |= v << filled;
    if (filled + width >= 64) {
      std::memcpy(p, &word, 8);
      p += 8;
      const unsigned used = 64 - filled;
      word = used == 64 ? 0 : v >> used;
      filled = filled + width - 64;
    } else {
      filled += width;
    }
  }
  std::memcpy(p, &word, 8);
  out.resize(start + size);
}

namespace {

// The part that begins at a multiple of eight values and is whole groups goes eight at a time, the rest one by one.
template <typename T>
void unpack_fast(const uint8_t* bytes, unsigned width, unsigned width_max, size_t first, size_t count, T* out, T add) {
  if (width == 0 || width > width_max || width == 8 * sizeof(T) || count < 16) return unpack_plain(bytes, width, first, count, out, add);
  const size_t before = std::min(count, (8 - first % 8) % 8);
  unpack_plain(bytes, width, first, before, out, add);
  const size_t groups = (count - before) / 8;
  unpack_groups(bytes + (first + before) / 8 * width, width, groups, out + before, add);
  const size_t done = before + groups * 8;
  unpack_plain(bytes, width, first + done, count - done, out + done, add);
}

}  // namespace

void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint8_t* out, uint8_t add) {
  if (width == 0 || width == 8 || count < 64) return unpack_plain(bytes, width, first, count, out, add);
  // By way of wider values: narrowing them is nearly free.
  uint16_t buffer[1'024];
  for (size_t done = 0; done < count;) {
    const size_t n = std::min(count - done, std::size(buffer));
    unpack_fast(bytes, width, kSimdWidth16, first + done, n, buffer, uint16_t{add});
    for (size_t i = 0; i < n; ++i) out[done + i] = static_cast<uint8_t>(buffer[i]);
    done += n;
  }
}
void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint16_t* out, uint16_t add) {
  unpack_fast(bytes, width, kSimdWidth16, first, count, out, add);
}
void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint32_t* out, uint32_t add) {
  unpack_fast(bytes, width, kSimdWidth32, first, count, out, add);
}
void unpack_bits(const uint8_t* bytes, unsigned width, size_t first, size_t count, uint64_t* out, uint64_t add) {
  unpack_fast(bytes, width, kSimdWidth64, first, count, out, add);
}

}  // namespace sluice::codec
