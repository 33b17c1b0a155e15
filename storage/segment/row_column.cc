#include "storage/segment/row_column.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <type_traits>

namespace sluice::segment {
namespace {

template <typename To, typename From>
void join(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows, RowColumn& out) {
  static_assert(sizeof(To) == sizeof(From));
  std::vector<To> values;
  values.reserve(rows);
  for (size_t b = 0; b < batches.size(); ++b) {
    if (!parts[b]) {
      values.resize(values.size() + batches[b]->rows);
      continue;
    }
    const auto from = parts[b]->values<From>();
    if constexpr (std::is_same_v<To, From>)
      values.insert(values.end(), from.begin(), from.end());
    else
      std::transform(from.begin(), from.end(), std::back_inserter(values), [](From v) { return std::bit_cast<To>(v); });
  }
  out.values = std::move(values);
}

}  // namespace

Bitmap join_validity(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows) {
  bool any = false;
  for (size_t b = 0; b < batches.size(); ++b) any |= batches[b]->rows > 0 && (!parts[b] || parts[b]->null_count() > 0);
  if (!any) return {};
  Bitmap map(rows, false);
  size_t at = 0;
  for (size_t b = 0; b < batches.size(); at += batches[b]->rows, ++b) {
    if (!parts[b]) continue;
    for (size_t i = 0; i < batches[b]->rows; ++i)
      if (!parts[b]->is_null(i)) map.set(at + i, true);
  }
  return map;
}

RowColumn join_numbers(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows) {
  RowColumn out;
  out.validity = join_validity(parts, batches, rows);
  PhysicalType type = PhysicalType::U64;
  for (const Column* c : parts)
    if (c) type = c->type();
  switch (type) {
    case PhysicalType::U8: join<uint8_t, uint8_t>(parts, batches, rows, out); break;
    case PhysicalType::U16: join<uint16_t, uint16_t>(parts, batches, rows, out); break;
    case PhysicalType::U32: join<uint32_t, uint32_t>(parts, batches, rows, out); break;
    case PhysicalType::U64: join<uint64_t, uint64_t>(parts, batches, rows, out); break;
    case PhysicalType::I64: join<uint64_t, int64_t>(parts, batches, rows, out); break;
    case PhysicalType::F64: join<uint64_t, double>(parts, batches, rows, out); break;
    case PhysicalType::Ip:
    case PhysicalType::Str: SLUICE_CHECK_MSG(false, "join_numbers of a column that holds none");
  }
  return out;
}

RowColumn join_text(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows) {
  RowColumn out;
  out.validity = join_validity(parts, batches, rows);
  std::vector<std::string_view> values(rows);
  size_t at = 0;
  for (size_t b = 0; b < batches.size(); at += batches[b]->rows, ++b) {
    if (!parts[b]) continue;
    for (size_t i = 0; i < batches[b]->rows; ++i)
      if (!parts[b]->is_null(i)) values[at + i] = parts[b]->string_at(i);
  }
  out.values = std::move(values);
  return out;
}

}  // namespace sluice::segment
