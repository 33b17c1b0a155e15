// About how many groups a state did not take in once it was at its bound.
//
// Linear counting (Whang, Vander-Zanden and Taylor, "A linear-time probabilistic counting algorithm for database applications", 1990) over
// 2^20 bits: within 1% up to some 5 million groups. Beyond 11 million all bits are set, and it says that many. 128 KiB, from the first group on.
//
// Thread rule: one thread at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace sluice::query::continuous {

class LostGroups {
 public:
  // 64 well-mixed bits of the group's key (KeyHistory::fingerprint).
  void add(uint64_t key) {
    if (bits_.empty()) bits_.resize(kBits / 64, 0);
    uint64_t& word = bits_[key % kBits / 64];
    const uint64_t bit = uint64_t{1} << (key % 64);
    set_ += (word & bit) == 0;
    word |= bit;
  }
  uint64_t count() const {
    const double free = std::max(1.0, static_cast<double>(kBits) - static_cast<double>(set_));
    return static_cast<uint64_t>(std::llround(-static_cast<double>(kBits) * std::log(free / static_cast<double>(kBits))));
  }
  size_t byte_size() const { return bits_.capacity() * sizeof(uint64_t); }

 private:
  static constexpr uint64_t kBits = uint64_t{1} << 20;
  std::vector<uint64_t> bits_;
  uint64_t set_ = 0;
};

}  // namespace sluice::query::continuous
