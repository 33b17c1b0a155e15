#include "storage/segment/dictionary.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <random>

#include "storage/codec/compress.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice::segment {

using codec::Bytes;
using codec::put;

namespace {

constexpr size_t kFirstSlots = 1u << 12;

// Values come from the network: a seed of this process's own keeps anybody from choosing ones that collide.
uint64_t seed() {
  static const uint64_t value = (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  return value;
}
// Values whose places are made and asked for at a time: enough for the memory to answer while the next ones are made.
constexpr size_t kProbesStep = 32;

}  // namespace

// --- addresses ----------------------------------------------------------------------------------------------------

IpDictionaryBuilder::IpDictionaryBuilder() : seed_(seed()), v4_slots_(kFirstSlots), other_slots_(kFirstSlots, 0) {}

size_t IpDictionaryBuilder::place_of(uint32_t v4) const { return XXH3_64bits_withSeed(&v4, sizeof v4, seed_) & (v4_slots_.size() - 1); }
size_t IpDictionaryBuilder::place_of(const IpAddress& ip) const {
  return XXH3_64bits_withSeed(ip.bytes.data(), ip.bytes.size(), seed_) & (other_slots_.size() - 1);
}

uint32_t IpDictionaryBuilder::add(const IpAddress& ip) {
  uint32_t number = 0;
  add({&ip, 1}, &number);
  return number;
}

void IpDictionaryBuilder::add(std::span<const IpAddress> ips, uint32_t* numbers) {
  std::array<size_t, kProbesStep> places;
  for (size_t from = 0; from < ips.size(); from += kProbesStep, numbers += kProbesStep) {
    const auto step = ips.subspan(from, std::min(kProbesStep, ips.size() - from));
    reserve(step.size());
    for (size_t i = 0; i < step.size(); ++i) {
      // Exporters and next hops repeat for many rows.
      if (i > 0 && step[i] == step[i - 1]) {
        places[i] = places[i - 1];
      } else if (step[i].is_v4()) {
        places[i] = place_of(step[i].v4_value());
        __builtin_prefetch(&v4_slots_[places[i]]);
      } else {
        places[i] = place_of(step[i]);
        __builtin_prefetch(&other_slots_[places[i]]);
      }
    }
    for (size_t i = 0; i < step.size(); ++i)
      numbers[i] = step[i].is_v4() ? find_or_add(step[i].v4_value(), places[i]) : find_or_add(step[i], places[i]);
  }
}

uint32_t IpDictionaryBuilder::new_number(const IpAddress& ip) {
  values_.push_back(ip);
  return static_cast<uint32_t>(values_.size()) - 1;
}

uint32_t IpDictionaryBuilder::find_or_add(uint32_t v4, size_t place) {
  const size_t mask = v4_slots_.size() - 1;
  for (;; place = (place + 1) & mask) {
    V4Slot& slot = v4_slots_[place];
    if (slot.number == 0) {
      slot = {v4, new_number(IpAddress::v4(v4)) + 1};
      ++v4_count_;
    }
    if (slot.value == v4) return slot.number - 1;
  }
}

uint32_t IpDictionaryBuilder::find_or_add(const IpAddress& ip, size_t place) {
  const size_t mask = other_slots_.size() - 1;
  for (;; place = (place + 1) & mask) {
    uint32_t& slot = other_slots_[place];
    if (slot == 0) slot = new_number(ip) + 1;
    if (values_[slot - 1] == ip) return slot - 1;
  }
}

void IpDictionaryBuilder::reserve(size_t more) {
  if ((v4_count_ + more) * 2 > v4_slots_.size()) {
    std::vector<V4Slot> old(v4_slots_.size() * 4);
    old.swap(v4_slots_);
    for (const V4Slot& slot : old) {
      if (slot.number == 0) continue;
      size_t i = place_of(slot.value);
      while (v4_slots_[i].number != 0) i = (i + 1) & (v4_slots_.size() - 1);
      v4_slots_[i] = slot;
    }
  }
  if ((values_.size() - v4_count_ + more) * 2 > other_slots_.size()) {
    std::vector<uint32_t> old(other_slots_.size() * 4, 0);
    old.swap(other_slots_);
    for (uint32_t slot : old) {
      if (slot == 0) continue;
      size_t i = place_of(values_[slot - 1]);
      while (other_slots_[i] != 0) i = (i + 1) & (other_slots_.size() - 1);
      other_slots_[i] = slot;
    }
  }
}

void IpDictionaryBuilder::finish() {
  // IPv4 addresses, most of them, sort as numbers; the others stand before and behind them.
  std::vector<uint64_t> v4;
  v4.reserve(v4_count_);
  for (const V4Slot& slot : v4_slots_)
    if (slot.number != 0) v4.push_back(uint64_t{slot.value} << 32 | (slot.number - 1));
  std::sort(v4.begin(), v4.end());
  v4_slots_ = {};
  struct Other {
    IpAddress ip;
    uint32_t number;
  };
  std::vector<Other> others;
  for (uint32_t slot : other_slots_)
    if (slot != 0) others.push_back({values_[slot - 1], slot - 1});
  std::sort(others.begin(), others.end(), [](const Other& a, const Other& b) { return a.ip < b.ip; });
  other_slots_ = {};

  ranks_.resize(values_.size());
  uint32_t rank = 0;
  const auto take = [&](const IpAddress& ip, uint32_t number) {
    ranks_[number] = rank;
    values_[rank++] = ip;
  };
  auto other = others.begin();
  for (; other != others.end() && other->ip < IpAddress::v4(0); ++other) take(other->ip, other->number);
  for (uint64_t v : v4) take(IpAddress::v4(static_cast<uint32_t>(v >> 32)), static_cast<uint32_t>(v));
  for (; other != others.end(); ++other) take(other->ip, other->number);
}

void IpDictionaryBuilder::write(std::string& out) const {
  const auto first_v4 = std::lower_bound(values_.begin(), values_.end(), IpAddress::v4(0));
  const auto end_v4 = std::upper_bound(values_.begin(), values_.end(), IpAddress::v4(0xffffffff));
  put(out, static_cast<uint32_t>(first_v4 - values_.begin()));
  put(out, static_cast<uint32_t>(end_v4 - first_v4));
  put(out, static_cast<uint32_t>(values_.end() - end_v4));
  put(out, uint32_t{0});
  for (auto it = values_.begin(); it != values_.end(); ++it) {
    if (it >= first_v4 && it < end_v4)
      put(out, it->v4_value());
    else
      put(out, it->bytes);
  }
}

// --- text ---------------------------------------------------------------------------------------------------------

TextDictionaryBuilder::TextDictionaryBuilder() : slots_(kFirstSlots) {}

uint32_t TextDictionaryBuilder::add(std::string_view text) {
  const auto hashed = static_cast<uint32_t>(XXH3_64bits_withSeed(text.data(), text.size(), seed()));
  const size_t mask = slots_.size() - 1;
  for (size_t i = hashed & mask;; i = (i + 1) & mask) {
    Slot& s = slots_[i];
    if (s.number == 0) {
      values_.push_back(text);
      hashes_.push_back(hashed);
      text_bytes_ += text.size();
      s = {static_cast<uint32_t>(values_.size()), hashed};
      if (values_.size() * 2 > slots_.size()) grow();
      return static_cast<uint32_t>(values_.size()) - 1;
    }
    if (s.hash == hashed && values_[s.number - 1] == text) return s.number - 1;
  }
}

void TextDictionaryBuilder::grow() {
  slots_.assign(slots_.size() * 4, Slot{});
  const size_t mask = slots_.size() - 1;
  for (size_t v = 0; v < values_.size(); ++v) {
    size_t i = hashes_[v] & mask;
    while (slots_[i].number != 0) i = (i + 1) & mask;
    slots_[i] = {static_cast<uint32_t>(v) + 1, hashes_[v]};
  }
}

void TextDictionaryBuilder::finish() {
  std::vector<uint32_t> order(values_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return values_[a] < values_[b]; });
  ranks_.resize(values_.size());
  std::vector<std::string_view> sorted(values_.size());
  for (size_t i = 0; i < order.size(); ++i) {
    ranks_[order[i]] = static_cast<uint32_t>(i);
    sorted[i] = values_[order[i]];
  }
  values_ = std::move(sorted);
  slots_ = {};
}

void TextDictionaryBuilder::write(std::string& out) const {
  SLUICE_CHECK(text_bytes_ <= UINT32_MAX - 8 * (values_.size() + 1));
  std::string raw;
  uint32_t start = 0;
  for (std::string_view v : values_) {
    put(raw, start);
    start += static_cast<uint32_t>(v.size());
  }
  put(raw, start);
  for (std::string_view v : values_) raw += v;
  // A small dictionary stays as it is.
  if (raw.size() >= 4'096) {
    std::string piece;
    codec::compress_piece(Bytes(reinterpret_cast<const uint8_t*>(raw.data()), raw.size()), piece);
    if (piece.size() < raw.size() - raw.size() / 4) {
      put(out, uint32_t{1});
      put(out, static_cast<uint32_t>(raw.size()));
      out += piece;
      return;
    }
  }
  put(out, uint32_t{0});
  put(out, uint32_t{0});
  out += raw;
}

// --- reading ------------------------------------------------------------------------------------------------------

namespace {

class IpDictionary final : public MappedDictionary {
 public:
  PhysicalType type() const override { return PhysicalType::Ip; }
  uint32_t size() const override { return below_ + v4_ + above_; }
  IpAddress ip_at(uint32_t code) const override {
    if (code >= below_ && code - below_ < v4_) return IpAddress::v4(codec::load<uint32_t>(v4s_ + size_t{code - below_} * 4));
    const uint8_t* p = code < below_ ? belows_ + size_t{code} * 16 : aboves_ + size_t{code - below_ - v4_} * 16;
    return IpAddress::v6_bytes(p);
  }
  std::string_view string_at(uint32_t) const override { return {}; }
  uint32_t lower_bound(const IpAddress& ip) const override {
    uint32_t lo = 0, hi = size();
    while (lo < hi) {
      const uint32_t mid = lo + (hi - lo) / 2;
      if (ip_at(mid) < ip)
        lo = mid + 1;
      else
        hi = mid;
    }
    return lo;
  }
  uint32_t lower_bound(std::string_view) const override { return 0; }

  static Result<std::shared_ptr<const MappedDictionary>> open(Bytes chunk, uint32_t size, std::shared_ptr<const void> keep) {
    auto d = std::make_shared<IpDictionary>();
    codec::ByteReader in(chunk);
    d->below_ = in.get<uint32_t>();
    d->v4_ = in.get<uint32_t>();
    d->above_ = in.get<uint32_t>();
    in.get<uint32_t>();
    d->belows_ = in.take(size_t{d->below_} * 16).data();
    d->v4s_ = in.take(size_t{d->v4_} * 4).data();
    d->aboves_ = in.take(size_t{d->above_} * 16).data();
    if (!in.ok() || in.left() != 0 || uint64_t{d->below_} + d->v4_ + d->above_ != size)
      return Error{ErrorCode::corrupt, "address dictionary: sizes do not agree"};
    for (uint32_t i = 1; i < size; ++i) {
      // Within the IPv4 part a comparison of numbers does; at its ends and beyond, of addresses.
      const bool ordered = i > d->below_ && i - d->below_ < d->v4_
                               ? codec::load<uint32_t>(d->v4s_ + size_t{i - 1 - d->below_} * 4) <
                                     codec::load<uint32_t>(d->v4s_ + size_t{i - d->below_} * 4)
                               : d->ip_at(i - 1) < d->ip_at(i);
      if (!ordered) return Error{ErrorCode::corrupt, "address dictionary: not in order"};
    }
    d->keep_ = std::move(keep);
    return std::shared_ptr<const MappedDictionary>(std::move(d));
  }

 private:
  uint32_t below_ = 0, v4_ = 0, above_ = 0;
  const uint8_t *belows_ = nullptr, *v4s_ = nullptr, *aboves_ = nullptr;
  std::shared_ptr<const void> keep_;
};

class TextDictionary final : public MappedDictionary {
 public:
  PhysicalType type() const override { return PhysicalType::Str; }
  uint32_t size() const override { return size_; }
  IpAddress ip_at(uint32_t) const override { return {}; }
  std::string_view string_at(uint32_t code) const override {
    const uint32_t start = codec::load<uint32_t>(starts_ + size_t{code} * 4);
    return {text_ + start, codec::load<uint32_t>(starts_ + size_t{code} * 4 + 4) - start};
  }
  uint32_t lower_bound(const IpAddress&) const override { return 0; }
  uint32_t lower_bound(std::string_view text) const override {
    uint32_t lo = 0, hi = size_;
    while (lo < hi) {
      const uint32_t mid = lo + (hi - lo) / 2;
      if (string_at(mid) < text)
        lo = mid + 1;
      else
        hi = mid;
    }
    return lo;
  }

  static Result<std::shared_ptr<const MappedDictionary>> open(Bytes chunk, uint32_t size) {
    auto d = std::make_shared<TextDictionary>();
    codec::ByteReader in(chunk);
    const auto kind = in.get<uint32_t>();
    const auto raw_bytes = in.get<uint32_t>();
    Bytes raw = in.rest();
    if (!in.ok() || kind > 1) return Error{ErrorCode::corrupt, "text dictionary: bad kind"};
    if (kind == 1) {
      if (raw_bytes > raw.size() * size_t{65'536}) return Error{ErrorCode::corrupt, "text dictionary: expands too far"};
      d->own_.resize(raw_bytes);
      SLUICE_TRY(codec::expand_piece(raw, reinterpret_cast<uint8_t*>(d->own_.data()), raw_bytes));
      raw = Bytes(reinterpret_cast<const uint8_t*>(d->own_.data()), d->own_.size());
    } else {
      // Copied, as one that was compressed is: places of texts that have been checked must not change with the file.
      d->own_.assign(reinterpret_cast<const char*>(raw.data()), raw.size());
      raw = Bytes(reinterpret_cast<const uint8_t*>(d->own_.data()), d->own_.size());
    }
    const uint64_t starts_bytes = (uint64_t{size} + 1) * 4;
    if (raw.size() < starts_bytes) return Error{ErrorCode::corrupt, "text dictionary: cut short"};
    const uint64_t text_bytes = raw.size() - starts_bytes;
    d->size_ = size;
    d->starts_ = raw.data();
    d->text_ = reinterpret_cast<const char*>(raw.data() + starts_bytes);
    uint32_t previous = codec::load<uint32_t>(d->starts_);
    if (previous != 0) return Error{ErrorCode::corrupt, "text dictionary: bad start"};
    for (uint32_t i = 1; i <= size; ++i) {
      const auto start = codec::load<uint32_t>(d->starts_ + size_t{i} * 4);
      if (start < previous || start > text_bytes) return Error{ErrorCode::corrupt, "text dictionary: bad start"};
      previous = start;
    }
    if (previous != text_bytes) return Error{ErrorCode::corrupt, "text dictionary: sizes do not agree"};
    for (uint32_t i = 1; i < size; ++i)
      if (d->string_at(i - 1) >= d->string_at(i)) return Error{ErrorCode::corrupt, "text dictionary: not in order"};
    return std::shared_ptr<const MappedDictionary>(std::move(d));
  }

 private:
  uint32_t size_ = 0;
  const uint8_t* starts_ = nullptr;
  const char* text_ = nullptr;
  std::string own_;
};

}  // namespace

Result<std::shared_ptr<const MappedDictionary>> open_dictionary(Bytes chunk, PhysicalType type, uint32_t size,
                                                                std::shared_ptr<const void> keep) {
  return type == PhysicalType::Ip ? IpDictionary::open(chunk, size, std::move(keep)) : TextDictionary::open(chunk, size);
}

}  // namespace sluice::segment
