#include "storage/model/column.h"

namespace sluice {

void Bitmap::resize(size_t size, bool value) {
  const size_t old = size_;
  words_.resize((size + 63) / 64, value ? ~uint64_t{0} : 0);
  size_ = size;
  if (value && size > old && old % 64 != 0) words_[old / 64] |= ~uint64_t{0} << (old % 64);
  if (size % 64 != 0 && !words_.empty()) words_.back() &= ~(~uint64_t{0} << (size % 64));
}

size_t Bitmap::count() const {
  size_t n = 0;
  for (uint64_t w : words_) n += static_cast<size_t>(std::popcount(w));
  return n;
}

Column::Column(PhysicalType type) : type_(type) {
  switch (type) {
    case PhysicalType::U8: data_ = std::vector<uint8_t>(); break;
    case PhysicalType::U16: data_ = std::vector<uint16_t>(); break;
    case PhysicalType::U32: data_ = std::vector<uint32_t>(); break;
    case PhysicalType::U64: data_ = std::vector<uint64_t>(); break;
    case PhysicalType::I64: data_ = std::vector<int64_t>(); break;
    case PhysicalType::F64: data_ = std::vector<double>(); break;
    case PhysicalType::Ip: data_ = std::vector<IpAddress>(); break;
    case PhysicalType::Str: data_ = StringVector(); break;
  }
}

Column Column::coded(std::shared_ptr<const Dictionary> dictionary, std::vector<uint32_t> codes, Bitmap validity) {
  Column c(dictionary->type());
  c.size_ = codes.size();
  c.data_ = std::move(codes);
  c.validity_ = std::move(validity);
  c.dictionary_ = std::move(dictionary);
  return c;
}

Column Column::nulls(PhysicalType type, size_t size) {
  Column c(type);
  c.append_nulls(size);
  return c;
}

Column Column::of(StringVector values, Bitmap validity) {
  Column c(PhysicalType::Str);
  c.size_ = values.size();
  c.data_ = std::move(values);
  c.validity_ = std::move(validity);
  return c;
}

uint64_t Column::uint_at(size_t row) const {
  switch (type_) {
    case PhysicalType::U8: return std::get<std::vector<uint8_t>>(data_)[row];
    case PhysicalType::U16: return std::get<std::vector<uint16_t>>(data_)[row];
    case PhysicalType::U32: return std::get<std::vector<uint32_t>>(data_)[row];
    case PhysicalType::U64: return std::get<std::vector<uint64_t>>(data_)[row];
    case PhysicalType::I64: return static_cast<uint64_t>(std::get<std::vector<int64_t>>(data_)[row]);
    default: SLUICE_CHECK_MSG(false, "uint_at on a column that holds no integers");
  }
}

void Column::reserve(size_t rows) {
  std::visit(
      [&](auto& v) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(v)>, StringVector>)
          v.reserve(rows, rows * 8);
        else
          v.reserve(rows);
      },
      data_);
}

void Column::append_nulls(size_t count) {
  SLUICE_CHECK(!is_coded());
  if (count == 0) return;
  if (!has_nulls()) validity_.resize(size_, true);
  validity_.resize(size_ + count, false);
  size_ += count;
  std::visit(
      [&](auto& v) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(v)>, StringVector>)
          for (size_t i = 0; i < count; ++i) v.push_back({});
        else
          v.resize(size_);
      },
      data_);
}

void Column::append_uint(uint64_t value) {
  switch (type_) {
    case PhysicalType::U8: append(static_cast<uint8_t>(value)); break;
    case PhysicalType::U16: append(static_cast<uint16_t>(value)); break;
    case PhysicalType::U32: append(static_cast<uint32_t>(value)); break;
    case PhysicalType::U64: append(value); break;
    case PhysicalType::I64: append(static_cast<int64_t>(value)); break;
    default: SLUICE_CHECK_MSG(false, "append_uint on a column that holds no integers");
  }
}

void Column::append_from(const Column& other, size_t row) { append_range(other, row, row + 1); }

void Column::append_range(const Column& other, size_t from, size_t to) {
  SLUICE_CHECK(!is_coded() && other.type_ == type_ && from <= to && to <= other.size_);
  const size_t count = to - from;
  if (count == 0) return;
  if (has_nulls() || other.has_nulls()) {
    if (!has_nulls()) validity_.resize(size_, true);
    if (!other.has_nulls())
      validity_.resize(size_ + count, true);
    else
      for (size_t i = from; i < to; ++i) validity_.push_back(other.validity_.get(i));
  }
  if (other.is_coded()) {
    const auto codes = other.codes();
    for (size_t i = from; i < to; ++i) {
      // A null's slot may hold any code, even one beyond an empty dictionary.
      const bool null = other.is_null(i);
      if (type_ == PhysicalType::Ip)
        std::get<std::vector<IpAddress>>(data_).push_back(null ? IpAddress{} : other.dictionary_->ip_at(codes[i]));
      else
        std::get<StringVector>(data_).push_back(null ? std::string_view{} : other.dictionary_->string_at(codes[i]));
    }
  } else {
    std::visit(
        [&](auto& v) {
          using V = std::remove_cvref_t<decltype(v)>;
          const V& o = std::get<V>(other.data_);
          if constexpr (std::is_same_v<V, StringVector>)
            for (size_t i = from; i < to; ++i) v.push_back(o[i]);
          else
            v.insert(v.end(), o.begin() + static_cast<ptrdiff_t>(from), o.begin() + static_cast<ptrdiff_t>(to));
        },
        data_);
  }
  size_ += count;
}

void Column::truncate(size_t size) {
  SLUICE_CHECK(!is_coded() && size <= size_);
  size_ = size;
  if (has_nulls()) {
    validity_.resize(size);
    if (validity_.count() == size) validity_.clear();
  }
  std::visit(
      [&](auto& v) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(v)>, StringVector>)
          v.truncate(size);
        else
          v.resize(size);
      },
      data_);
}

Column Column::gather(std::span<const uint32_t> rows) const {
  Column out(type_);
  out.size_ = rows.size();
  if (has_nulls()) {
    Bitmap validity(rows.size(), false);
    size_t valid = 0;
    for (size_t i = 0; i < rows.size(); ++i)
      if (validity_.get(rows[i])) {
        validity.set(i, true);
        ++valid;
      }
    if (valid != rows.size()) out.validity_ = std::move(validity);
  }
  if (is_coded()) {
    std::vector<uint32_t> picked(rows.size());
    const auto from = codes();
    for (size_t i = 0; i < rows.size(); ++i) picked[i] = from[rows[i]];
    out.data_ = std::move(picked);
    out.dictionary_ = dictionary_;
    return out;
  }
  std::visit(
      [&](const auto& v) {
        using V = std::remove_cvref_t<decltype(v)>;
        V picked;
        if constexpr (std::is_same_v<V, StringVector>) {
          picked.reserve(rows.size(), 0);
          for (uint32_t r : rows) picked.push_back(v[r]);
        } else {
          picked.resize(rows.size());
          for (size_t i = 0; i < rows.size(); ++i) picked[i] = v[rows[i]];
        }
        out.data_ = std::move(picked);
      },
      data_);
  return out;
}

Column Column::decoded() const {
  if (!is_coded()) return *this;
  Column out(type_);
  out.reserve(size_);
  out.append_range(*this, 0, size_);
  return out;
}

size_t Column::byte_size() const {
  const size_t nulls = validity_.words().size() * 8;
  return nulls + std::visit(
                     [](const auto& v) -> size_t {
                       if constexpr (std::is_same_v<std::remove_cvref_t<decltype(v)>, StringVector>)
                         return v.byte_size();
                       else
                         return v.size() * sizeof(v[0]);
                     },
                     data_);
}

}  // namespace sluice
