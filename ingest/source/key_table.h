// What may stand in an object, and what it is here: a closed set of names, found by their first and last eight bytes.
//
//   constexpr KeyTable<Key> kKeys{{"src_ip", Key::src_ip}, {"dest_ip", Key::dest_ip}};
//   if (const Key* known = kKeys.find(name)) …
//
// Thread rule: immutable. A table with more names than have room, or with one twice, does not compile.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string_view>
#include <type_traits>

#include "storage/model/byte_scan.h"

namespace sluice::ingest::json {

// `kNamesMax`: names that have room.
template <typename Id, size_t kNamesMax = 64>
class KeyTable {
 public:
  struct Entry {
    std::string_view name;
    Id id;
  };
  constexpr KeyTable(std::initializer_list<Entry> entries) {
    size_t size = 16;
    while (size < entries.size() * 4) size *= 2;
    if (size > slots_.size()) throw "more names than have room";
    mask_ = size - 1;
    for (const Entry& e : entries) {
      const Words words = words_of(e.name);
      size_t i = hash(words, e.name.size()) & mask_;
      for (; !slots_[i].name.empty(); i = (i + 1) & mask_)
        if (slots_[i].name == e.name) throw "a name that is there already";
      slots_[i] = {words, e.name, e.id};
    }
  }
  // nullptr for a key that is not in the table.
  const Id* find(std::string_view name) const {
    const Words words = words_of(name);
    for (size_t i = hash(words, name.size()) & mask_; !slots_[i].name.empty(); i = (i + 1) & mask_) {
      const Slot& s = slots_[i];
      if (s.words.first == words.first && s.words.last == words.last && s.name.size() == name.size() &&
          (name.size() <= 16 || std::memcmp(s.name.data() + 8, name.data() + 8, name.size() - 16) == 0))
        return &s.id;
    }
    return nullptr;
  }

 private:
  // Up to 16 bytes these are the whole name.
  struct Words {
    uint64_t first = 0, last = 0;
  };
  struct Slot {
    Words words;
    std::string_view name;
    Id id{};
  };

  static constexpr uint64_t word(const char* p, size_t n) {
    if (!std::is_constant_evaluated()) return load_bytes(p, n);
    uint64_t v = 0;
    for (size_t i = 0; i < n; ++i) v |= static_cast<uint64_t>(static_cast<uint8_t>(p[i])) << 8 * i;
    return v;
  }
  static constexpr Words words_of(std::string_view name) {
    if (name.size() >= 8) return {word(name.data(), 8), word(name.data() + name.size() - 8, 8)};
    return {name.empty() ? 0 : word(name.data(), name.size()), 0};
  }
  static constexpr size_t hash(const Words& words, size_t size) {
    const uint64_t h = (words.first ^ (words.last << 23 | words.last >> 41) ^ size) * 0x9e3779b97f4a7c15ull;
    return static_cast<size_t>(h ^ h >> 32);
  }

  std::array<Slot, kNamesMax * 4> slots_{};  // at most a quarter of them used
  size_t mask_ = 0;
};

}  // namespace sluice::ingest::json
