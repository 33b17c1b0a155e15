// Little-endian numbers and varints in byte strings: what all encodings of this room are written with.
//
// Reading is bounds-checked: a ByteReader that runs past its end fails for good and yields zeros, so a decoder reads its
// header straight through and asks ok() once. Thread rule: values, no sharing.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace sluice::codec {

static_assert(std::endian::native == std::endian::little, "encodings are little-endian and copied as they lie");

using Bytes = std::span<const uint8_t>;

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// The low `width` bytes of a number. REQUIRES: width <= 8
inline void put_bytes(std::string& out, uint64_t value, unsigned width) {
  out.append(reinterpret_cast<const char*>(&value), width);
}

// LEB128: seven bits per byte, low first.
inline void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// A varint written over kPaddedVarintBytes of room, once its number is known: continuation bits fill what it does not need.
// REQUIRES: value < 2^35
inline constexpr size_t kPaddedVarintBytes = 5;
inline void put_padded_varint(std::string& out, size_t at, uint64_t value) {
  for (size_t k = 0; k < kPaddedVarintBytes; ++k) {
    const auto seven = static_cast<uint8_t>(value >> (7 * k) & 0x7f);
    out[at + k] = static_cast<char>(k + 1 < kPaddedVarintBytes ? seven | 0x80 : seven);
  }
}

template <typename T>
T load(const uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

inline uint64_t load_bytes(const uint8_t* p, unsigned width) {
  uint64_t value = 0;
  std::memcpy(&value, p, width);
  return value;
}

// Bytes that a number needs: 0 for 0, 8 at most.
inline unsigned bytes_for(uint64_t value) { return static_cast<unsigned>(std::bit_width(value) + 7) / 8; }
inline unsigned varint_size(uint64_t value) { return value == 0 ? 1 : (static_cast<unsigned>(std::bit_width(value)) + 6) / 7; }

inline uint64_t zigzag(uint64_t v) { return (v << 1) ^ (0 - (v >> 63)); }
inline uint64_t unzigzag(uint64_t v) { return (v >> 1) ^ (0 - (v & 1)); }

class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t left() const { return bytes_.size(); }

  template <typename T>
  T get() {
    if (bytes_.size() < sizeof(T)) return fail<T>();
    const T value = load<T>(bytes_.data());
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const uint8_t b = bytes_[0];
      bytes_ = bytes_.subspan(1);
      value |= static_cast<uint64_t>(b & 0x7f) << shift;
      if (b < 0x80) return value;
    }
    return fail<uint64_t>();
  }
  Bytes take(size_t count) {
    if (bytes_.size() < count) return fail<Bytes>();
    const Bytes taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  Bytes rest() { return take(bytes_.size()); }

 private:
  template <typename T>
  T fail() {
    ok_ = false;
    bytes_ = {};
    return T{};
  }
  Bytes bytes_;
  bool ok_ = true;
};

}  // namespace sluice::codec
