#include "query/interner.h"

#include <array>
#include <cstring>
#include <string_view>

namespace sluice::query {
namespace {

constexpr uint32_t kNoNumber = NumberTable::kNone;
constexpr uint32_t kPending = kNoNumber - 1;  // in a cache: being looked up

uint64_t hash_value(const IpAddress& ip) { return hash_of(ip); }
uint64_t hash_value(std::string_view text) {
  // Eight bytes a step; the length keeps "a" and "a\0" apart.
  uint64_t h = text.size() * 0x9e3779b97f4a7c15ull;
  const char* p = text.data();
  for (size_t left = text.size(); left > 0;) {
    const size_t n = std::min<size_t>(left, 8);
    uint64_t v = 0;
    std::memcpy(&v, p, n);
    h = (h ^ v) * 0xd6e8feb86659fd93ull;
    h ^= h >> 32;
    p += n;
    left -= n;
  }
  h *= 0x9e3779b97f4a7c15ull;
  return h ^ (h >> 29);
}

}  // namespace

uint32_t Interner::null_id() {
  if (null_ == kNoNumber) {
    null_ = static_cast<uint32_t>(values_.size());
    values_.append_null();
  }
  return null_;
}

template <typename T, typename Value>
void Interner::number(size_t count, uint32_t* out, Growth* growth, Value value) {
  std::array<T, NumberTable::kStep> step;
  std::array<uint64_t, NumberTable::kStep> hashes;
  for (size_t from = 0; from < count; from += step.size()) {
    const size_t n = std::min(step.size(), count - from);
    for (size_t i = 0; i < n; ++i) {
      step[i] = value(from + i);
      hashes[i] = hash_value(step[i]);
    }
    table_.find(
        hashes.data(), n, out + from,
        [&](uint32_t id) {
          if constexpr (std::is_same_v<T, IpAddress>) __builtin_prefetch(&values_.values<IpAddress>()[id]);
        },
        [&](size_t i, uint32_t id) {
          if constexpr (std::is_same_v<T, IpAddress>)
            return values_.values<IpAddress>()[id] == step[i];
          else
            return values_.strings()[id] == step[i];
        },
        [&](size_t i) {
          if constexpr (std::is_same_v<T, IpAddress>)
            values_.append(step[i]);
          else
            values_.append_string(!growth || growth->add(step[i].size()) ? step[i] : std::string_view());
          return static_cast<uint32_t>(values_.size() - 1);
        });
  }
}

// A column of plain values.
void Interner::number_column(const Column& column, uint32_t* out, Growth* growth) {
  if (!column.has_nulls()) {
    if (values_.type() == PhysicalType::Ip) {
      const auto values = column.values<IpAddress>();
      number<IpAddress>(column.size(), out, growth, [&](size_t i) { return values[i]; });
    } else {
      const StringVector& values = column.strings();
      number<std::string_view>(column.size(), out, growth, [&](size_t i) { return values[i]; });
    }
    return;
  }
  missing_rows_.clear();
  for (uint32_t i = 0; i < column.size(); ++i) {
    if (column.is_null(i))
      out[i] = null_id();
    else
      missing_rows_.push_back(i);
  }
  found_.resize(missing_rows_.size());
  if (values_.type() == PhysicalType::Ip)
    number<IpAddress>(found_.size(), found_.data(), growth, [&](size_t i) { return column.ip_at(missing_rows_[i]); });
  else
    number<std::string_view>(found_.size(), found_.data(), growth, [&](size_t i) { return column.string_at(missing_rows_[i]); });
  for (size_t i = 0; i < found_.size(); ++i) out[missing_rows_[i]] = found_[i];
}

void Interner::ids(const Column& column, std::vector<uint32_t>& out, Growth* growth) {
  out.resize(column.size());
  if (!column.is_coded()) return number_column(column, out.data(), growth);
  std::vector<uint32_t>& known = cache_of(column.dictionary()).ids;
  const auto codes = column.codes();
  missing_rows_.clear();
  missing_codes_.clear();
  // A null's code may be anything, so it is not looked at.
  auto miss = [&](uint32_t row) {
    missing_rows_.push_back(row);
    if (known[codes[row]] != kNoNumber) return;
    known[codes[row]] = kPending;
    missing_codes_.push_back(codes[row]);
  };
  if (column.has_nulls()) {
    for (uint32_t i = 0; i < out.size(); ++i) {
      if (column.is_null(i))
        out[i] = null_id();
      else if ((out[i] = known[codes[i]]) >= kPending)
        miss(i);
    }
  } else {
    for (uint32_t i = 0; i < out.size(); ++i)
      if ((out[i] = known[codes[i]]) >= kPending) miss(i);
  }
  if (missing_rows_.empty()) return;
  const Dictionary& dictionary = *column.dictionary();
  found_.resize(missing_codes_.size());
  if (values_.type() == PhysicalType::Ip)
    number<IpAddress>(found_.size(), found_.data(), growth, [&](size_t i) { return dictionary.ip_at(missing_codes_[i]); });
  else
    number<std::string_view>(found_.size(), found_.data(), growth, [&](size_t i) { return dictionary.string_at(missing_codes_[i]); });
  for (size_t i = 0; i < found_.size(); ++i) known[missing_codes_[i]] = found_[i];
  for (const uint32_t row : missing_rows_) out[row] = known[codes[row]];
}

void Interner::numbers_of(const Dictionary& dictionary, std::span<const uint32_t> codes, uint32_t* out, Growth* growth) {
  if (values_.type() == PhysicalType::Ip)
    number<IpAddress>(codes.size(), out, growth, [&](size_t i) { return dictionary.ip_at(codes[i]); });
  else
    number<std::string_view>(codes.size(), out, growth, [&](size_t i) { return dictionary.string_at(codes[i]); });
}

std::vector<uint32_t> Interner::merge(const Interner& other, Growth* growth) {
  std::vector<uint32_t> map(other.values_.size());
  number_column(other.values_, map.data(), growth);
  return map;
}

size_t Interner::byte_size() const {
  size_t n = values_.byte_size() + table_.byte_size();
  for (const auto& c : caches_) n += c.ids.capacity() * 4;
  return n + (missing_rows_.capacity() + missing_codes_.capacity() + found_.capacity()) * 4;
}

void Interner::drop_scratch() {
  caches_ = std::vector<CodeCache>();
  for (auto* numbers : {&missing_rows_, &missing_codes_, &found_}) *numbers = std::vector<uint32_t>();  // assigning {} would keep the memory
}

// Few at a time: workers go through one segment after the other.
Interner::CodeCache& Interner::cache_of(const std::shared_ptr<const Dictionary>& dictionary) {
  for (size_t i = 0; i < caches_.size(); ++i)
    if (caches_[i].dictionary == dictionary) {
      if (i > 0) std::swap(caches_[i], caches_[i - 1]);
      return caches_[i > 0 ? i - 1 : 0];
    }
  if (caches_.size() >= 4) caches_.pop_back();
  caches_.insert(caches_.begin(), {dictionary, std::vector<uint32_t>(dictionary->size(), kNoNumber)});
  return caches_.front();
}

}  // namespace sluice::query
