// Column: a typed vector of values with optional nulls, the building block of a Batch.
//
// Values lie in one std::vector of the physical type, or, for Ip and Str, optionally as codes into a shared dictionary
// (as segments store them). Nulls are a bitmap, empty while there are none. The slot of a null holds a zero value and
// must not be read as one.
//
// Thread rule: as std::vector. Filled columns are passed on as const and shared freely.
#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "storage/model/flow_schema.h"
#include "storage/model/ip.h"
#include "storage/model/result.h"

namespace sluice {

// A set of bits, one per row. Bits at and beyond size() are zero.
class Bitmap {
 public:
  Bitmap() = default;
  explicit Bitmap(size_t size, bool value = false) { resize(size, value); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() {
    words_.clear();
    size_ = 0;
  }
  void resize(size_t size, bool value = false);
  void push_back(bool value) {
    if (size_ % 64 == 0) words_.push_back(0);
    words_[size_ / 64] |= static_cast<uint64_t>(value) << (size_ % 64);
    ++size_;
  }
  bool get(size_t i) const { return words_[i / 64] >> (i % 64) & 1; }
  void set(size_t i, bool value) {
    const uint64_t bit = uint64_t{1} << (i % 64);
    words_[i / 64] = value ? words_[i / 64] | bit : words_[i / 64] & ~bit;
  }
  size_t count() const;  // ones
  std::span<const uint64_t> words() const { return words_; }
  std::span<uint64_t> words() { return words_; }
  bool operator==(const Bitmap&) const = default;

 private:
  std::vector<uint64_t> words_;
  size_t size_ = 0;
};

// Strings end to end, with one more offset than strings.
class StringVector {
 public:
  size_t size() const { return offsets_.size() - 1; }
  std::string_view operator[](size_t i) const {
    return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  void push_back(std::string_view text) {
    bytes_.append(text);
    offsets_.push_back(bytes_.size());
  }
  void reserve(size_t strings, size_t bytes) {
    offsets_.reserve(strings + 1);
    bytes_.reserve(bytes);
  }
  void clear() {
    bytes_.clear();
    offsets_.assign(1, 0);
  }
  void truncate(size_t size) {
    offsets_.resize(size + 1);
    bytes_.resize(offsets_.back());
  }
  size_t byte_size() const { return bytes_.size() + offsets_.size() * sizeof(uint64_t); }
  const std::string& bytes() const { return bytes_; }
  bool operator==(const StringVector&) const = default;

 private:
  std::string bytes_;
  std::vector<uint64_t> offsets_{0};
};

// The distinct values that a coded column points into. Codes are 0..size()-1. Implemented by segments (sorted, in mapped
// memory) and by MemoryDictionary. Thread rule: immutable, any thread. A Column keeps its dictionary alive.
class Dictionary {
 public:
  virtual ~Dictionary() = default;
  virtual PhysicalType type() const = 0;  // Ip or Str
  virtual uint32_t size() const = 0;
  virtual bool sorted() const = 0;  // whether code order is value order (bytewise)
  // REQUIRES: type() == Ip, code < size()
  virtual IpAddress ip_at(uint32_t code) const = 0;
  // REQUIRES: type() == Str, code < size(). Valid while the dictionary lives.
  virtual std::string_view string_at(uint32_t code) const = 0;
};

class MemoryDictionary final : public Dictionary {
 public:
  explicit MemoryDictionary(std::vector<IpAddress> ips, bool sorted) : values_(std::move(ips)), sorted_(sorted) {}
  explicit MemoryDictionary(StringVector strings, bool sorted) : values_(std::move(strings)), sorted_(sorted) {}
  PhysicalType type() const override { return values_.index() == 0 ? PhysicalType::Ip : PhysicalType::Str; }
  uint32_t size() const override {
    return static_cast<uint32_t>(values_.index() == 0 ? std::get<0>(values_).size() : std::get<1>(values_).size());
  }
  bool sorted() const override { return sorted_; }
  IpAddress ip_at(uint32_t code) const override { return std::get<0>(values_)[code]; }
  std::string_view string_at(uint32_t code) const override { return std::get<1>(values_)[code]; }

 private:
  std::variant<std::vector<IpAddress>, StringVector> values_;
  bool sorted_;
};

namespace column_detail {
template <PhysicalType>
struct PhysicalOf;
template <> struct PhysicalOf<PhysicalType::U8> { using type = std::vector<uint8_t>; };
template <> struct PhysicalOf<PhysicalType::U16> { using type = std::vector<uint16_t>; };
template <> struct PhysicalOf<PhysicalType::U32> { using type = std::vector<uint32_t>; };
template <> struct PhysicalOf<PhysicalType::U64> { using type = std::vector<uint64_t>; };
template <> struct PhysicalOf<PhysicalType::I64> { using type = std::vector<int64_t>; };
template <> struct PhysicalOf<PhysicalType::F64> { using type = std::vector<double>; };
template <> struct PhysicalOf<PhysicalType::Ip> { using type = std::vector<IpAddress>; };
template <> struct PhysicalOf<PhysicalType::Str> { using type = StringVector; };
}  // namespace column_detail

class Column {
 public:
  explicit Column(PhysicalType type);
  // A coded column. REQUIRES: every code of a row that is not null < dictionary->size()
  static Column coded(std::shared_ptr<const Dictionary> dictionary, std::vector<uint32_t> codes, Bitmap validity = {});
  // `size` nulls.
  static Column nulls(PhysicalType type, size_t size);

  PhysicalType type() const { return type_; }
  size_t size() const { return size_; }
  bool is_coded() const { return dictionary_ != nullptr; }
  const std::shared_ptr<const Dictionary>& dictionary() const { return dictionary_; }
  std::span<const uint32_t> codes() const { return std::get<std::vector<uint32_t>>(data_); }  // REQUIRES: is_coded()

  bool has_nulls() const { return !validity_.empty(); }
  bool is_null(size_t row) const { return has_nulls() && !validity_.get(row); }
  const Bitmap& validity() const { return validity_; }  // empty: no nulls
  size_t null_count() const { return has_nulls() ? size_ - validity_.count() : 0; }

  // Direct access to values. REQUIRES: T is the physical type's and !is_coded(). T in uint8_t … IpAddress.
  template <typename T>
  std::span<const T> values() const {
    return std::get<std::vector<T>>(data_);
  }
  const StringVector& strings() const { return std::get<StringVector>(data_); }

  // One value, whatever the layout. REQUIRES: row < size(), not null, type fits.
  uint64_t uint_at(size_t row) const;            // U8..U64, I64 reinterpreted
  int64_t int_at(size_t row) const { return static_cast<int64_t>(uint_at(row)); }
  double float_at(size_t row) const { return std::get<std::vector<double>>(data_)[row]; }
  IpAddress ip_at(size_t row) const {
    return is_coded() ? dictionary_->ip_at(codes()[row]) : std::get<std::vector<IpAddress>>(data_)[row];
  }
  std::string_view string_at(size_t row) const {
    return is_coded() ? dictionary_->string_at(codes()[row]) : std::string_view(std::get<StringVector>(data_)[row]);
  }

  // Building. A coded column is not appended to.
  void reserve(size_t rows);
  void append_null() { append_nulls(1); }
  void append_nulls(size_t count);
  template <typename T>
  void append(T value) {  // REQUIRES: T is exactly the physical type's
    std::get<std::vector<T>>(data_).push_back(value);
    ++size_;
    if (has_nulls()) validity_.push_back(true);
  }
  // Any unsigned value into U8..U64/I64; values beyond the width are cut, so callers clamp first where that can happen.
  void append_uint(uint64_t value);
  // Room for `count` more valid values, which the caller writes at once. REQUIRES: T is exactly the physical type's (not
  // Str), !is_coded(). The pointer is good until the column is next changed.
  template <typename T>
  T* extend(size_t count) {
    auto& values = std::get<std::vector<T>>(data_);
    values.resize(size_ + count);
    if (has_nulls()) validity_.resize(size_ + count, true);
    T* const first = values.data() + size_;
    size_ += count;
    return first;
  }
  void append_string(std::string_view text) {
    std::get<StringVector>(data_).push_back(text);
    ++size_;
    if (has_nulls()) validity_.push_back(true);
  }
  // Rows of another column of the same physical type; either may be coded (the result is plain).
  void append_from(const Column& other, size_t row);
  void append_range(const Column& other, size_t from, size_t to);
  // Drops the rows at and beyond `size`. REQUIRES: size <= this->size(), !is_coded()
  void truncate(size_t size);
  // Takes over a whole vector of valid values. REQUIRES: T is exactly the physical type's.
  template <typename T>
  static Column of(PhysicalType type, std::vector<T> values, Bitmap validity = {}) {
    Column c(type);
    c.size_ = values.size();
    std::get<std::vector<T>>(c.data_) = std::move(values);
    c.validity_ = std::move(validity);
    return c;
  }
  static Column of(StringVector values, Bitmap validity = {});

  // The rows at `rows`, in that order; keeps a dictionary.
  Column gather(std::span<const uint32_t> rows) const;
  // Plain values instead of codes; a plain column is copied as it is.
  Column decoded() const;
  // Heap bytes, the shared dictionary not counted.
  size_t byte_size() const;

 private:
  using Data = std::variant<std::vector<uint8_t>, std::vector<uint16_t>, std::vector<uint32_t>, std::vector<uint64_t>,
                            std::vector<int64_t>, std::vector<double>, std::vector<IpAddress>, StringVector>;
  PhysicalType type_;
  size_t size_ = 0;
  Data data_;
  Bitmap validity_;
  std::shared_ptr<const Dictionary> dictionary_;
};

}  // namespace sluice
