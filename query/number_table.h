// Open addressing from hashes to dense numbers 0, 1, 2 …; what the numbers stand for lies with the caller.
//
// A slot holds 32 bits of the hash beside the number, so that nearly all look-ups touch the caller's values once, to
// confirm, and growth does not touch them at all. The place comes from the hash's highest bits: growth keeps the order of
// slots and thus goes through memory from end to end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "query/huge_vector.h"

namespace sluice::query {

class NumberTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kStep = 32;  // look-ups under way at a time

  NumberTable() : slots_(size_t{1} << bits_, kFree) {}

  // Numbers of `count` <= kStep values by their hashes, so that the misses overlap. prefetch(number) is told what will be
  // compared; equal(i, number) compares; add(i) takes in value i and returns its number.
  template <typename Prefetch, typename Equal, typename Add>
  void find(const uint64_t* hashes, size_t count, uint32_t* numbers, Prefetch prefetch, Equal equal, Add add) {
    while ((used_ + count) * 4 > slots_.size() * 3) grow();
    for (size_t i = 0; i < count; ++i) __builtin_prefetch(&slots_[place(tag_of(hashes[i]))]);
    for (size_t i = 0; i < count; ++i) {
      const uint64_t slot = slots_[place(tag_of(hashes[i]))];
      if (slot != kFree) prefetch(static_cast<uint32_t>(slot));
    }
    const size_t mask = slots_.size() - 1;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t tag = tag_of(hashes[i]);
      for (size_t s = place(tag);; s = (s + 1) & mask) {
        const uint64_t slot = slots_[s];
        if (slot == kFree) {
          numbers[i] = add(i);
          slots_[s] = tag << 32 | numbers[i];
          ++used_;
          break;
        }
        if (slot >> 32 == tag && equal(i, static_cast<uint32_t>(slot))) {
          numbers[i] = static_cast<uint32_t>(slot);
          break;
        }
      }
    }
  }
  size_t byte_size() const { return slots_.capacity() * 8; }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;  // no number is kNone

  static uint64_t tag_of(uint64_t hash) { return hash >> 32; }
  size_t place(uint64_t tag) const { return tag >> (32 - bits_); }
  void grow() {
    ++bits_;
    HugeVector<uint64_t> old(size_t{1} << bits_, kFree);
    old.swap(slots_);
    const size_t mask = slots_.size() - 1;
    for (const uint64_t slot : old) {
      if (slot == kFree) continue;
      size_t s = place(slot >> 32);
      while (slots_[s] != kFree) s = (s + 1) & mask;
      slots_[s] = slot;
    }
  }

  int bits_ = 8;
  size_t used_ = 0;
  HugeVector<uint64_t> slots_;
};

}  // namespace sluice::query
