// Which keys may have been added: a Bloom filter (Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", 1970) with four bits a key,
// placed by two halves of its fingerprint (Kirsch and Mitzenmacher, "Less Hashing, Same Performance", 2006).
//
// What was added is always known. What was not is taken for added with a chance of (1 - e^(-4 n / bits))^4 after n keys: 1% at bits = 10 n.
//
// Thread rule: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::query::continuous {

class KeyFilter {
 public:
  // REQUIRES: a power of two, at least 64
  explicit KeyFilter(uint64_t bits) : words_(bits / 64, 0), mask_(bits - 1) {}

  // 64 well-mixed bits (KeyHistory::fingerprint).
  void add(uint64_t key) {
    for (uint64_t i = 0, at = key; i < kPlaces; ++i, at += step(key)) words_[place(at) / 64] |= uint64_t{1} << (place(at) % 64);
  }
  bool may_have(uint64_t key) const {
    for (uint64_t i = 0, at = key; i < kPlaces; ++i, at += step(key))
      if ((words_[place(at) / 64] >> (place(at) % 64) & 1) == 0) return false;
    return true;
  }
  size_t byte_size() const { return words_.capacity() * sizeof(uint64_t); }

 private:
  static constexpr uint64_t kPlaces = 4;
  static uint64_t step(uint64_t key) { return ((key >> 32) | 1) * 0x9e3779b97f4a7c15ull; }
  uint64_t place(uint64_t at) const { return (at ^ at >> 29) & mask_; }

  std::vector<uint64_t> words_;
  uint64_t mask_;
};

}  // namespace sluice::query::continuous
