// What was seen of the flows of one body, by the hash of what names them: an open-addressing table that grows up to a bound. Two flows
// of one hash share an entry; at 64 bits that is one in millions of bodies.
//
// Thread rule: as std::vector. Pointers are good until the next find().
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::ingest {

// REQUIRES: Entry has `uint64_t key = 0`, which is the table's.
template <typename Entry>
class BoundedTable {
 public:
  // Room is made at once for `entries_expected`, where they are at least as many as a table begins with.
  explicit BoundedTable(size_t entries_max, size_t entries_expected = 0) : entries_max_(entries_max) {
    const size_t places = std::bit_ceil(std::min(entries_expected, entries_max) * 4 / 3);
    if (places > kPlacesMin) entries_.resize(places);
  }

  // Begins to fetch an entry.
  void prefetch(uint64_t key) const {
    if (!entries_.empty()) __builtin_prefetch(&entries_[key & (entries_.size() - 1)]);
  }

  // The entry of this key; a new one is as Entry is made, but for its key. nullptr when there are so many as may be: those that are known are
  // still found.
  Entry* find(uint64_t key) {
    if (key == 0) key = 1;  // 0 is an empty place
    if ((used_ + 1) * 4 > entries_.size() * 3) {
      if (used_ >= entries_max_) {
        Entry* e = entries_.empty() ? nullptr : probe(key);
        return e != nullptr && e->key == key ? e : nullptr;
      }
      std::vector<Entry> old(std::max(kPlacesMin, entries_.size() * 2));
      old.swap(entries_);
      for (Entry& e : old)
        if (e.key != 0) *probe(e.key) = std::move(e);
    }
    Entry* e = probe(key);
    if (e->key == 0) {
      if (used_ >= entries_max_) return nullptr;
      e->key = key;
      ++used_;
    }
    return e;
  }

  // Calls `f` with each entry, in no order.
  template <typename F>
  void each(F&& f) const {
    for (const Entry& e : entries_)
      if (e.key != 0) f(e);
  }

 private:
  Entry* probe(uint64_t key) {
    for (size_t i = key & (entries_.size() - 1);; i = (i + 1) & (entries_.size() - 1))
      if (entries_[i].key == key || entries_[i].key == 0) return &entries_[i];
  }

  static constexpr size_t kPlacesMin = 1'024;

  const size_t entries_max_;
  std::vector<Entry> entries_;  // a power of two of places, at most three quarters of them used
  size_t used_ = 0;
};

}  // namespace sluice::ingest
