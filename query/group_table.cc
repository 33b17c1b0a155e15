#include <algorithm>
#include <bit>
#include <cstring>

#include "query/group.h"

namespace sluice::query {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

uint64_t mix(uint64_t v) {
  v *= 0x9e3779b97f4a7c15ull;
  v ^= v >> 32;
  v *= 0xd6e8feb86659fd93ull;
  return v ^ (v >> 32);
}

// Values of one key column (addresses or text) to dense numbers. Null is a value like any other here.
class Interner {
 public:
  explicit Interner(PhysicalType type) : values_(type) { slots_.assign(64, kNone); }

  void ids(const Column& column, std::vector<uint32_t>& out) {
    out.resize(column.size());
    if (!column.is_coded()) {
      for (size_t i = 0; i < out.size(); ++i) out[i] = column.is_null(i) ? null_id() : id_of(column, i);
      return;
    }
    std::vector<uint32_t>& known = codes_of(column.dictionary());
    const auto codes = column.codes();
    const bool nulls = column.has_nulls();
    for (size_t i = 0; i < out.size(); ++i) {
      if (nulls && column.is_null(i)) {
        out[i] = null_id();
        continue;
      }
      uint32_t& id = known[codes[i]];
      if (id == kNone) id = id_of(column, i);
      out[i] = id;
    }
  }
  // Numbers here of all values of another.
  std::vector<uint32_t> merge(const Interner& other) {
    std::vector<uint32_t> map(other.values_.size());
    for (size_t i = 0; i < map.size(); ++i) map[i] = other.values_.is_null(i) ? null_id() : id_of(other.values_, i);
    return map;
  }
  const Column& values() const { return values_; }
  size_t size() const { return values_.size(); }
  size_t byte_size() const {
    size_t n = values_.byte_size() + slots_.capacity() * 4;
    for (const auto& c : caches_) n += c.ids.capacity() * 4;
    return n;
  }

 private:
  struct CodeCache {
    std::shared_ptr<const Dictionary> dictionary;
    std::vector<uint32_t> ids;
  };

  uint32_t null_id() {
    if (null_ == kNone) {
      null_ = static_cast<uint32_t>(values_.size());
      values_.append_null();
    }
    return null_;
  }
  uint32_t id_of(const Column& column, size_t row) {
    const uint64_t hash = hash_at(column, row);
    for (size_t s = hash & (slots_.size() - 1);; s = (s + 1) & (slots_.size() - 1)) {
      const uint32_t id = slots_[s];
      if (id == kNone) {
        const auto added = static_cast<uint32_t>(values_.size());
        slots_[s] = added;
        values_.append_from(column, row);
        if (values_.size() * 2 > slots_.size()) grow();
        return added;
      }
      if (equal(id, column, row)) return id;
    }
  }
  bool equal(uint32_t id, const Column& column, size_t row) const {
    if (values_.is_null(id)) return false;
    return values_.type() == PhysicalType::Ip ? values_.values<IpAddress>()[id] == column.ip_at(row)
                                              : values_.strings()[id] == column.string_at(row);
  }
  void grow() {
    slots_.assign(slots_.size() * 2, kNone);
    for (uint32_t id = 0; id < values_.size(); ++id) {
      if (values_.is_null(id)) continue;
      size_t s = hash_at(values_, id) & (slots_.size() - 1);
      while (slots_[s] != kNone) s = (s + 1) & (slots_.size() - 1);
      slots_[s] = id;
    }
  }
  // Few at a time: workers go through one segment after the other, and a column's dictionary may serve two keys.
  std::vector<uint32_t>& codes_of(const std::shared_ptr<const Dictionary>& dictionary) {
    for (size_t i = 0; i < caches_.size(); ++i)
      if (caches_[i].dictionary == dictionary) {
        if (i > 0) std::swap(caches_[i], caches_[i - 1]);
        return caches_[i > 0 ? i - 1 : 0].ids;
      }
    if (caches_.size() >= 4) caches_.pop_back();
    caches_.insert(caches_.begin(), {dictionary, std::vector<uint32_t>(dictionary->size(), kNone)});
    return caches_.front().ids;
  }

  Column values_;
  std::vector<uint32_t> slots_;
  uint32_t null_ = kNone;
  std::vector<CodeCache> caches_;
};

struct Part {
  Type type;
  std::optional<Interner> interner;
  int bits = 0;
  size_t word = 0;
  int shift = 0;
  size_t null_word = 0;  // of keys that are not interned: one bit that says null
  int null_shift = 0;
};

int bits_of(PhysicalType type) { return static_cast<int>(width_of(type) * 8); }

}  // namespace

struct GroupTable::State {
  std::vector<Part> parts;
  size_t words = 1;
  int total_bits = 0;
  bool ids_are_groups = false;     // one interned key: its number is the group
  std::vector<uint32_t> direct;    // all keys within 17 bits: a table instead of a hash
  std::vector<uint32_t> slots;     // open addressing, group numbers
  std::vector<uint64_t> packed;    // `words` per group
  size_t groups = 0;
  std::vector<uint64_t> scratch;
  std::vector<uint32_t> ids;

  void grow() {
    slots.assign(std::max<size_t>(1'024, slots.size() * 2), kNone);
    for (uint32_t g = 0; g < groups; ++g) {
      size_t s = hash(&packed[g * words]) & (slots.size() - 1);
      while (slots[s] != kNone) s = (s + 1) & (slots.size() - 1);
      slots[s] = g;
    }
  }
  uint64_t hash(const uint64_t* key) const {
    uint64_t h = mix(key[0]);
    for (size_t w = 1; w < words; ++w) h = mix(h ^ key[w]);
    return h;
  }
  bool equal(uint32_t group, const uint64_t* key) const {
    const uint64_t* known = &packed[group * words];
    for (size_t w = 0; w < words; ++w)
      if (known[w] != key[w]) return false;
    return true;
  }
  uint32_t add(const uint64_t* key) {
    packed.insert(packed.end(), key, key + words);
    return static_cast<uint32_t>(groups++);
  }
  uint32_t find(const uint64_t* key, uint64_t h) {
    for (size_t s = h & (slots.size() - 1);; s = (s + 1) & (slots.size() - 1)) {
      const uint32_t g = slots[s];
      if (g == kNone) {
        const uint32_t added = add(key);
        slots[s] = added;
        if (groups * 2 > slots.size()) grow();
        return added;
      }
      if (equal(g, key)) return g;
    }
  }
  uint32_t find_direct(uint64_t key) {
    uint32_t& g = direct[key];
    if (g == kNone) g = add(&key);
    return g;
  }
};

GroupTable::GroupTable(std::vector<Type> keys) : state_(std::make_unique<State>()) {
  State& s = *state_;
  for (Type& type : keys) {
    Part part;
    part.type = type;
    if (type.physical == PhysicalType::Ip || type.physical == PhysicalType::Str) {
      part.interner.emplace(type.physical);
      part.bits = 32;
    } else {
      part.bits = bits_of(type.physical);
    }
    s.parts.push_back(std::move(part));
  }
  s.ids_are_groups = s.parts.size() == 1 && s.parts[0].interner;
  // First fit, widest first, so that the usual keys take one or two words.
  std::vector<int> used;
  auto place = [&](int bits, size_t& word, int& shift) {
    s.total_bits += bits;
    for (size_t w = 0; w < used.size(); ++w)
      if (used[w] + bits <= 64) {
        word = w, shift = used[w];
        used[w] += bits;
        return;
      }
    word = used.size(), shift = 0;
    used.push_back(bits);
  };
  std::vector<Part*> order;
  for (Part& p : s.parts) order.push_back(&p);
  std::stable_sort(order.begin(), order.end(), [](const Part* a, const Part* b) { return a->bits > b->bits; });
  for (Part* p : order) place(p->bits, p->word, p->shift);
  for (Part* p : order)
    if (!p->interner) place(1, p->null_word, p->null_shift);
  s.words = std::max<size_t>(1, used.size());
  if (s.words == 1 && s.total_bits <= 17 && !s.ids_are_groups) s.direct.assign(size_t{1} << s.total_bits, kNone);
  if (!s.ids_are_groups && s.direct.empty()) s.grow();
}
GroupTable::~GroupTable() = default;
GroupTable::GroupTable(GroupTable&&) noexcept = default;

void GroupTable::find(std::span<const ColumnPtr> columns, size_t rows, std::vector<uint32_t>& groups) {
  State& s = *state_;
  groups.resize(rows);
  if (s.ids_are_groups) {
    s.parts[0].interner->ids(*columns[0], groups);
    s.groups = s.parts[0].interner->size();
    return;
  }
  s.scratch.assign(rows * s.words, 0);
  for (size_t p = 0; p < s.parts.size(); ++p) {
    Part& part = s.parts[p];
    const Column& c = *columns[p];
    uint64_t* out = s.scratch.data() + part.word;
    auto pack = [&](auto values) {
      for (size_t i = 0; i < rows; ++i) out[i * s.words] |= static_cast<uint64_t>(values[i]) << part.shift;
    };
    if (part.interner) {
      part.interner->ids(c, s.ids);
      pack(std::span<const uint32_t>(s.ids));
      continue;
    }
    switch (c.type()) {
      case PhysicalType::U8: pack(c.values<uint8_t>()); break;
      case PhysicalType::U16: pack(c.values<uint16_t>()); break;
      case PhysicalType::U32: pack(c.values<uint32_t>()); break;
      case PhysicalType::U64: pack(c.values<uint64_t>()); break;
      case PhysicalType::I64: pack(c.values<int64_t>()); break;
      case PhysicalType::F64: {
        const auto values = c.values<double>();
        for (size_t i = 0; i < rows; ++i)
          out[i * s.words] |= std::bit_cast<uint64_t>(values[i] == 0 ? 0.0 : values[i]) << part.shift;
        break;
      }
      default: SLUICE_CHECK(false);
    }
    if (c.has_nulls()) {
      // A null's slot may hold anything: only its bit counts.
      const uint64_t keep = part.bits == 64 ? 0 : ~(((uint64_t{1} << part.bits) - 1) << part.shift);
      for (size_t i = 0; i < rows; ++i) {
        if (!c.is_null(i)) continue;
        out[i * s.words] &= keep;
        s.scratch[i * s.words + part.null_word] |= uint64_t{1} << part.null_shift;
      }
    }
  }
  if (!s.direct.empty()) {
    for (size_t i = 0; i < rows; ++i) groups[i] = s.find_direct(s.scratch[i]);
    return;
  }
  // Two passes over the rows in small steps: hashes and prefetches first, then the look-ups, so that misses overlap.
  constexpr size_t kStep = 32;
  uint64_t hashes[kStep];
  for (size_t from = 0; from < rows; from += kStep) {
    const size_t count = std::min(kStep, rows - from);
    for (size_t i = 0; i < count; ++i) {
      hashes[i] = s.hash(&s.scratch[(from + i) * s.words]);
      __builtin_prefetch(&s.slots[hashes[i] & (s.slots.size() - 1)]);
    }
    for (size_t i = 0; i < count; ++i) {
      const uint32_t g = s.slots[hashes[i] & (s.slots.size() - 1)];
      if (g != kNone) __builtin_prefetch(&s.packed[g * s.words]);
    }
    for (size_t i = 0; i < count; ++i) groups[from + i] = s.find(&s.scratch[(from + i) * s.words], hashes[i]);
  }
}

std::vector<uint32_t> GroupTable::merge(const GroupTable& other) {
  State& s = *state_;
  const State& o = *other.state_;
  std::vector<std::vector<uint32_t>> ids(s.parts.size());
  for (size_t p = 0; p < s.parts.size(); ++p)
    if (s.parts[p].interner) ids[p] = s.parts[p].interner->merge(*o.parts[p].interner);
  if (s.ids_are_groups) {
    s.groups = s.parts[0].interner->size();
    return std::move(ids[0]);
  }
  std::vector<uint32_t> map(o.groups);
  std::vector<uint64_t> key(s.words);
  for (size_t g = 0; g < o.groups; ++g) {
    std::copy_n(&o.packed[g * s.words], s.words, key.begin());
    for (size_t p = 0; p < s.parts.size(); ++p) {
      const Part& part = s.parts[p];
      if (!part.interner) continue;
      uint64_t& word = key[part.word];
      const auto id = static_cast<uint32_t>(word >> part.shift);
      word = (word & ~(uint64_t{UINT32_MAX} << part.shift)) | static_cast<uint64_t>(ids[p][id]) << part.shift;
    }
    map[g] = s.direct.empty() ? s.find(key.data(), s.hash(key.data())) : s.find_direct(key[0]);
  }
  return map;
}

size_t GroupTable::size() const { return state_->groups; }

Column GroupTable::keys(size_t key, std::span<const uint32_t> groups) const {
  const State& s = *state_;
  const Part& part = s.parts[key];
  if (s.ids_are_groups) return part.interner->values().gather(groups);
  if (part.interner) {
    std::vector<uint32_t> ids;
    ids.reserve(groups.size());
    for (uint32_t g : groups) ids.push_back(static_cast<uint32_t>(s.packed[g * s.words + part.word] >> part.shift));
    return part.interner->values().gather(ids);
  }
  Column out(part.type.physical);
  out.reserve(groups.size());
  const uint64_t mask = part.bits == 64 ? ~uint64_t{0} : (uint64_t{1} << part.bits) - 1;
  for (uint32_t g : groups) {
    if (s.packed[g * s.words + part.null_word] >> part.null_shift & 1) {
      out.append_null();
      continue;
    }
    const uint64_t v = s.packed[g * s.words + part.word] >> part.shift & mask;
    if (part.type.physical == PhysicalType::F64)
      out.append(std::bit_cast<double>(v));
    else
      out.append_uint(v);
  }
  return out;
}

size_t GroupTable::byte_size() const {
  const State& s = *state_;
  size_t n = s.slots.capacity() * 4 + s.direct.capacity() * 4 + s.packed.capacity() * 8 + s.scratch.capacity() * 8;
  for (const Part& p : s.parts)
    if (p.interner) n += p.interner->byte_size();
  return n;
}

}  // namespace sluice::query
