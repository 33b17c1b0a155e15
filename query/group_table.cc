#include "query/group_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "query/interner.h"
#include "query/mix.h"

namespace sluice::query {
namespace {

constexpr uint32_t kNone = NumberTable::kNone;
// Rows whose packed keys are made and looked up at a time: they stay in the first-level cache.
constexpr size_t kPiece = 1'024;

struct KeyPart {
  Type type;
  Interner* interner = nullptr;  // addresses and text; two keys of one type share it, as they share dictionaries
  int bits = 0;
  size_t word = 0;
  int shift = 0;
  size_t null_word = 0;  // of keys that are not interned: one bit that says null
  int null_shift = 0;
};

int bits_of(PhysicalType type) { return static_cast<int>(width_of(type) * 8); }

// Calls f with the values of a column of integers.
template <typename F>
auto with_integers(const Column& c, F f) {
  switch (c.type()) {
    case PhysicalType::U8: return f(c.values<uint8_t>());
    case PhysicalType::U16: return f(c.values<uint16_t>());
    case PhysicalType::U32: return f(c.values<uint32_t>());
    case PhysicalType::U64: return f(c.values<uint64_t>());
    default: return f(c.values<int64_t>());
  }
}

// The few values of a wide column in one chunk (bins of a time, say) as small numbers.
class FewValues {
 public:
  static constexpr uint32_t kMost = 64;
  // False: there are more than kMost.
  template <typename T>
  bool codes(std::span<const T> values, uint32_t* out) {
    slots_.fill({});
    count_ = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto v = static_cast<uint64_t>(values[i]);
      size_t s = v * 0x9e3779b97f4a7c15ull >> 56;
      while (slots_[s].value != v || slots_[s].code == 0) {
        if (slots_[s].code == 0) {
          if (count_ == kMost) return false;
          slots_[s] = {v, ++count_};
          break;
        }
        s = (s + 1) % slots_.size();
      }
      out[i] = slots_[s].code - 1;
    }
    return true;
  }
  uint32_t count() const { return count_; }

 private:
  struct Slot {
    uint64_t value = 0;
    uint32_t code = 0;  // + 1; 0: free
  };
  std::array<Slot, 256> slots_;
  uint32_t count_ = 0;
};

// Whether there are but two values, the least and the greatest: as 0 and 1.
template <typename T>
bool two_values(std::span<const T> values, T least, T greatest, uint32_t* out) {
  bool two = true;
  for (size_t i = 0; i < values.size(); ++i) {
    const bool is_greatest = values[i] == greatest;
    out[i] = is_greatest;
    two &= is_greatest | (values[i] == least);
  }
  return two;
}

// Text of groups, which is often the same for many of them, is not copied.
class InternedTexts final : public Dictionary {
 public:
  explicit InternedTexts(std::shared_ptr<const Interner> of) : of_(std::move(of)), size_(static_cast<uint32_t>(of_->size())) {}
  PhysicalType type() const override { return PhysicalType::Str; }
  uint32_t size() const override { return size_; }
  bool sorted() const override { return false; }
  IpAddress ip_at(uint32_t) const override { SLUICE_CHECK_MSG(false, "ip_at of a dictionary of text"); }
  std::string_view string_at(uint32_t code) const override { return of_->values().strings()[code]; }

 private:
  std::shared_ptr<const Interner> of_;
  uint32_t size_;
};

}  // namespace

struct GroupTable::State {
  std::vector<KeyPart> parts;
  std::unique_ptr<Interner> addresses;
  std::shared_ptr<Interner> texts;
  mutable std::shared_ptr<const Dictionary> text_dictionary;  // of the texts when keys were last asked for
  size_t words = 1;
  bool ids_are_groups = false;  // one interned key: its number is the group
  NumberTable table;
  HugeVector<uint64_t> packed;  // `words` per group
  size_t groups = 0;
  std::vector<uint64_t> scratch;
  std::vector<std::vector<uint32_t>> ids;  // by part: of the rows at hand, where it is interned
  std::vector<uint32_t> codes, more_codes, group_of_code;
  int dense_failures = 0;

  // Groups of `count` packed keys.
  template <size_t W>
  void find_packed(const uint64_t* keys, size_t count, uint32_t* out) {
    const size_t width = W == 0 ? words : W;
    std::array<uint64_t, NumberTable::kStep> hashes;
    for (size_t from = 0; from < count; from += hashes.size(), keys += hashes.size() * width) {
      const size_t n = std::min(hashes.size(), count - from);
      for (size_t i = 0; i < n; ++i) {
        const uint64_t* key = keys + i * width;
        uint64_t h = mix(key[0]);
        for (size_t w = 1; w < width; ++w) h = mix(h ^ key[w]);
        hashes[i] = h;
      }
      table.find(
          hashes.data(), n, out + from, [&](uint32_t g) { __builtin_prefetch(&packed[g * width]); },
          [&](size_t i, uint32_t g) {
            const uint64_t *known = &packed[g * width], *key = keys + i * width;
            for (size_t w = 0; w < width; ++w)
              if (known[w] != key[w]) return false;
            return true;
          },
          [&](size_t i) {
            const uint64_t* key = keys + i * width;
            for (size_t w = 0; w < width; ++w) packed.push_back(key[w]);
            return static_cast<uint32_t>(groups++);
          });
    }
  }
  void find_keys(const uint64_t* keys, size_t count, uint32_t* out) {
    switch (words) {
      case 1: return find_packed<1>(keys, count, out);
      case 2: return find_packed<2>(keys, count, out);
      default: return find_packed<0>(keys, count, out);
    }
  }

  // Packed keys of rows [from, to) into scratch.
  void pack(std::span<const ColumnPtr> columns, size_t from, size_t to) {
    scratch.assign((to - from) * words, 0);
    for (size_t p = 0; p < parts.size(); ++p) {
      const KeyPart& part = parts[p];
      uint64_t* const out = scratch.data() + part.word;
      auto put = [&](const auto& values) {
        for (size_t i = from; i < to; ++i) out[(i - from) * words] |= static_cast<uint64_t>(values[i]) << part.shift;
      };
      if (part.interner) {
        put(ids[p]);
        continue;
      }
      const Column& c = *columns[p];
      if (c.type() == PhysicalType::F64) {
        const auto values = c.values<double>();
        for (size_t i = from; i < to; ++i)
          out[(i - from) * words] |= std::bit_cast<uint64_t>(values[i] == 0 ? 0.0 : values[i]) << part.shift;
      } else {
        with_integers(c, put);
      }
      if (!c.has_nulls()) continue;
      // A null's slot may hold anything: only its bit counts.
      const uint64_t keep = part.bits == 64 ? 0 : ~(((uint64_t{1} << part.bits) - 1) << part.shift);
      for (size_t i = from; i < to; ++i) {
        if (!c.is_null(i)) continue;
        out[(i - from) * words] &= keep;
        scratch[(i - from) * words + part.null_word] |= uint64_t{1} << part.null_shift;
      }
    }
  }

  // Small numbers for the values of one key in these rows; how many there may be, or nothing when that is above `most`.
  std::optional<uint64_t> small_codes(size_t p, const Column& c, uint64_t most, std::vector<uint32_t>& out) {
    if (parts[p].interner) {
      if (parts[p].interner->size() > most) return std::nullopt;
      out = ids[p];
      return parts[p].interner->size();
    }
    if (c.type() == PhysicalType::F64) return std::nullopt;
    return with_integers(c, [&](const auto& values) -> std::optional<uint64_t> {
      out.resize(values.size());
      auto least = values[0], greatest = values[0];
      for (const auto v : values) {
        least = std::min(least, v);
        greatest = std::max(greatest, v);
      }
      const uint64_t range = static_cast<uint64_t>(greatest) - static_cast<uint64_t>(least);
      uint64_t count = range + 1;
      if (range < most) {
        for (size_t i = 0; i < values.size(); ++i)
          out[i] = static_cast<uint32_t>(static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(least));
      } else if (two_values(values, least, greatest, out.data())) {
        count = 2;
      } else {
        FewValues few;
        if (!few.codes(values, out.data())) return std::nullopt;
        count = few.count();
      }
      if (!c.has_nulls()) return count;
      for (size_t i = 0; i < values.size(); ++i)
        if (c.is_null(i)) out[i] = static_cast<uint32_t>(count);
      return count + 1;
    });
  }

  // Few combinations of values in these rows: an array instead of the hash table. False: there are too many.
  bool find_dense(std::span<const ColumnPtr> columns, size_t rows, uint32_t* groups_out) {
    uint64_t most = std::clamp<uint64_t>(rows * 2, 1'024, size_t{1} << 17), combinations = 1;
    // Numbers of interned values say at once whether they are too many.
    for (const KeyPart& part : parts)
      if (part.interner) combinations *= std::min<uint64_t>(part.interner->size(), most + 1);
    if (combinations > most) return false;
    combinations = 1;
    for (size_t p = 0; p < parts.size(); ++p) {
      std::vector<uint32_t>& out = p == 0 ? codes : more_codes;
      const auto count = small_codes(p, *columns[p], most / combinations, out);
      if (!count || combinations * *count > most) return false;
      if (p > 0) {
        const auto factor = static_cast<uint32_t>(combinations);
        for (size_t i = 0; i < rows; ++i) codes[i] += more_codes[i] * factor;
      }
      combinations *= *count;
    }
    group_of_code.assign(combinations, kNone);
    for (size_t i = 0; i < rows; ++i) {
      uint32_t& g = group_of_code[codes[i]];
      if (g == kNone) {
        pack(columns, i, i + 1);
        find_keys(scratch.data(), 1, &g);
      }
      groups_out[i] = g;
    }
    return true;
  }
};

GroupTable::GroupTable(std::vector<Type> keys) : state_(std::make_unique<State>()) {
  State& s = *state_;
  for (Type& type : keys) {
    KeyPart part;
    part.type = type;
    if (type.physical == PhysicalType::Ip || type.physical == PhysicalType::Str) {
      if (type.physical == PhysicalType::Ip) {
        if (!s.addresses) s.addresses = std::make_unique<Interner>(type.physical);
        part.interner = s.addresses.get();
      } else {
        if (!s.texts) s.texts = std::make_shared<Interner>(type.physical);
        part.interner = s.texts.get();
      }
      part.bits = 32;
    } else {
      part.bits = bits_of(type.physical);
    }
    s.parts.push_back(std::move(part));
  }
  s.ids.resize(s.parts.size());
  s.ids_are_groups = s.parts.size() == 1 && s.parts[0].interner;
  // First fit, widest first, so that the usual keys take one or two words.
  std::vector<int> used;
  auto place = [&](int bits, size_t& word, int& shift) {
    for (size_t w = 0; w < used.size(); ++w)
      if (used[w] + bits <= 64) {
        word = w, shift = used[w];
        used[w] += bits;
        return;
      }
    word = used.size(), shift = 0;
    used.push_back(bits);
  };
  std::vector<KeyPart*> order;
  for (KeyPart& p : s.parts) order.push_back(&p);
  std::stable_sort(order.begin(), order.end(), [](const KeyPart* a, const KeyPart* b) { return a->bits > b->bits; });
  for (KeyPart* p : order) place(p->bits, p->word, p->shift);
  for (KeyPart* p : order)
    if (!p->interner) place(1, p->null_word, p->null_shift);
  s.words = std::max<size_t>(1, used.size());
}
GroupTable::~GroupTable() = default;
GroupTable::GroupTable(GroupTable&&) noexcept = default;

void GroupTable::find(std::span<const ColumnPtr> columns, size_t rows, std::vector<uint32_t>& groups, Growth* growth) {
  State& s = *state_;
  groups.resize(rows);
  if (rows == 0) return;
  if (s.ids_are_groups) {
    s.parts[0].interner->ids(*columns[0], groups, growth);
    s.groups = s.parts[0].interner->size();
    return;
  }
  for (size_t p = 0; p < s.parts.size(); ++p)
    if (s.parts[p].interner) s.parts[p].interner->ids(*columns[p], s.ids[p], growth);
  // Where chunk after chunk has too many, looking for few is given up.
  constexpr int kDenseTries = 8;
  if (s.dense_failures < kDenseTries) {
    if (s.find_dense(columns, rows, groups.data())) {
      s.dense_failures = 0;
      return;
    }
    ++s.dense_failures;
  }
  for (size_t from = 0; from < rows; from += kPiece) {
    const size_t to = std::min(rows, from + kPiece);
    s.pack(columns, from, to);
    s.find_keys(s.scratch.data(), to - from, groups.data() + from);
  }
}

bool GroupTable::is_of_values() const { return state_->ids_are_groups; }

void GroupTable::find_values(const Dictionary& dictionary, std::span<const uint32_t> codes, uint32_t* groups, Growth* growth) {
  State& s = *state_;
  s.parts[0].interner->numbers_of(dictionary, codes, groups, growth);
  s.groups = s.parts[0].interner->size();
}

std::vector<uint32_t> GroupTable::merge(const GroupTable& other, Growth* growth) {
  State& s = *state_;
  const State& o = *other.state_;
  std::vector<uint32_t> addresses, texts;
  if (s.addresses) addresses = s.addresses->merge(*o.addresses, growth);
  if (s.texts) texts = s.texts->merge(*o.texts, growth);
  if (s.ids_are_groups) {
    s.groups = s.parts[0].interner->size();
    return s.addresses ? std::move(addresses) : std::move(texts);
  }
  std::vector<uint32_t> map(o.groups);
  for (size_t from = 0; from < o.groups; from += kPiece) {
    const size_t count = std::min(kPiece, o.groups - from);
    s.scratch.assign(o.packed.begin() + static_cast<ptrdiff_t>(from * s.words),
                     o.packed.begin() + static_cast<ptrdiff_t>((from + count) * s.words));
    for (const KeyPart& part : s.parts) {
      if (!part.interner) continue;
      const auto& ids = part.interner == s.addresses.get() ? addresses : texts;
      for (size_t i = 0; i < count; ++i) {
        uint64_t& word = s.scratch[i * s.words + part.word];
        const auto id = static_cast<uint32_t>(word >> part.shift);
        word = (word & ~(uint64_t{UINT32_MAX} << part.shift)) | static_cast<uint64_t>(ids[id]) << part.shift;
      }
    }
    s.find_keys(s.scratch.data(), count, map.data() + from);
  }
  return map;
}

size_t GroupTable::size() const { return state_->groups; }

Column GroupTable::keys(size_t key, std::span<const uint32_t> groups) const {
  const State& s = *state_;
  const KeyPart& part = s.parts[key];
  if (part.interner) {
    std::vector<uint32_t> ids(groups.begin(), groups.end());
    if (!s.ids_are_groups)
      for (uint32_t& id : ids) id = static_cast<uint32_t>(s.packed[id * s.words + part.word] >> part.shift);
    const Column& values = part.interner->values();
    if (values.type() == PhysicalType::Ip) return values.gather(ids);
    Bitmap valid;
    if (values.has_nulls()) {
      valid.resize(ids.size());
      for (size_t i = 0; i < ids.size(); ++i) valid.set(i, !values.is_null(ids[i]));
    }
    if (!s.text_dictionary || s.text_dictionary->size() != s.texts->size()) s.text_dictionary = std::make_shared<InternedTexts>(s.texts);
    return Column::coded(s.text_dictionary, std::move(ids), std::move(valid));
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

void GroupTable::drop_scratch() {
  State& s = *state_;
  s.scratch = std::vector<uint64_t>();  // assigning {} would keep the memory
  s.ids = std::vector<std::vector<uint32_t>>(s.parts.size());
  for (auto* codes : {&s.codes, &s.more_codes, &s.group_of_code}) *codes = std::vector<uint32_t>();
  if (s.addresses) s.addresses->drop_scratch();
  if (s.texts) s.texts->drop_scratch();
}

size_t GroupTable::byte_size() const {
  const State& s = *state_;
  size_t n = s.table.byte_size() + s.packed.capacity() * 8 + s.scratch.capacity() * 8;
  n += (s.codes.capacity() + s.more_codes.capacity() + s.group_of_code.capacity()) * 4;
  for (const auto& ids : s.ids) n += ids.capacity() * 4;
  if (s.addresses) n += s.addresses->byte_size();
  if (s.texts) n += s.texts->byte_size();
  return n;
}

}  // namespace sluice::query
