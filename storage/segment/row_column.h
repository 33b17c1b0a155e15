// One column of all rows of a segment in the making: the batches' parts put end to end, text and addresses as codes.
// Internal to the writer.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "storage/model/batch.h"
#include "storage/model/column.h"

namespace sluice::segment {

// The same column of each batch; nullptr where a batch has none.
using ColumnParts = std::vector<const Column*>;

struct RowColumn {
  std::variant<std::vector<uint8_t>, std::vector<uint16_t>, std::vector<uint32_t>, std::vector<uint64_t>, std::vector<std::string_view>> values;
  Bitmap validity;  // empty: no nulls

  bool constant = false;  // no nulls, and every row has the value of the first

  bool is_null(uint32_t row) const { return !validity.empty() && !validity.get(row); }
  // Fills out[i] with the value of rows[i]. REQUIRES: not text
  void gather(std::span<const uint32_t> rows, uint64_t* out) const {
    std::visit(
        [&](const auto& v) {
          using V = typename std::remove_cvref_t<decltype(v)>::value_type;
          if constexpr (!std::is_same_v<V, std::string_view>)
            for (size_t i = 0; i < rows.size(); ++i) out[i] = v[rows[i]];
        },
        values);
  }
};

// Bits of all rows, or empty if none is null.
Bitmap join_validity(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows);
// REQUIRES: integers or F64 (as its bits)
RowColumn join_numbers(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows);
// The strings themselves. REQUIRES: Str; the batches outlive the result
RowColumn join_text(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows);

// Numbers the values of an Ip or Str column by a dictionary builder (dictionary.h). Values that a coded part does not use are
// not added. The numbers are the builder's, not yet codes.
template <typename Builder>
RowColumn join_codes(const ColumnParts& parts, std::span<const Batch* const> batches, size_t rows, Builder& builder) {
  constexpr uint32_t kNone = UINT32_MAX;
  RowColumn out;
  out.validity = join_validity(parts, batches, rows);
  std::vector<uint32_t> codes(rows, 0);
  size_t at = 0;
  for (size_t b = 0; b < batches.size(); at += batches[b]->rows, ++b) {
    const Column* c = parts[b];
    if (!c) continue;
    auto number_at = [&](size_t row) {
      if constexpr (requires { builder.add(IpAddress{}); })
        return builder.add(c->ip_at(row));
      else
        return builder.add(c->string_at(row));
    };
    if (c->is_coded()) {
      std::vector<uint32_t> numbers(c->dictionary()->size(), kNone);
      const auto from = c->codes();
      for (size_t i = 0; i < c->size(); ++i) {
        if (c->is_null(i)) continue;
        uint32_t& n = numbers[from[i]];
        if (n == kNone) n = number_at(i);
        codes[at + i] = n;
      }
    } else if constexpr (requires { builder.add(IpAddress{}); }) {
      // Whole stretches of rows that are not null.
      const auto ips = c->values<IpAddress>();
      for (size_t i = 0, end; i < ips.size(); i = end) {
        end = c->has_nulls() ? i + 1 : ips.size();
        if (!c->is_null(i)) builder.add(ips.subspan(i, end - i), codes.data() + at + i);
      }
    } else {
      for (size_t i = 0; i < c->size(); ++i)
        if (!c->is_null(i)) codes[at + i] = number_at(i);
    }
  }
  out.values = std::move(codes);
  return out;
}

}  // namespace sluice::segment
