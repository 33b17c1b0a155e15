// Columns that a decoder makes all at once or many rows at a time, beside those it fills row by row. Thread rule: none shared.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/model/batch.h"

namespace sluice::ingest {

// The same number in every row. REQUIRES: T is the physical type of the column
template <typename T>
Column repeated(ColumnId id, size_t rows, T value) {
  return Column::of<T>(column_spec(id).physical, std::vector<T>(rows, value));
}
// The same text in every row.
Column repeated_text(std::string_view text, size_t rows);

// Adds columns that the batch does not have; the columns are in the order of their ids afterwards.
void add_columns(Batch& batch, std::vector<std::pair<ColumnId, Column>> columns);

// A column in the making whose rows come many at a time, some of them null.
//
//   (append* column)*      rows left out before an append are null; column() empties it
template <typename T>
class ColumnLane {
 public:
  // Rows from `first` on. Bit i of `valid` says whether values[i] is one, and bits beyond the values are not set; nullptr: all are.
  // REQUIRES: rows in order; what is not valid is zero
  void append(size_t first, std::span<const T> values, const uint64_t* valid = nullptr) {
    pad(first);
    values_.insert(values_.end(), values.begin(), values.end());
    if (valid != nullptr) {
      if (validity_.empty()) validity_.resize(first, true);
      validity_.resize(values_.size(), false);
      const auto words = validity_.words();
      const size_t word = first / 64, shift = first % 64;
      for (size_t i = 0; i * 64 < values.size(); ++i) {
        words[word + i] |= valid[i] << shift;
        if (shift != 0 && word + i + 1 < words.size()) words[word + i + 1] |= valid[i] >> (64 - shift);
      }
    } else if (!validity_.empty()) {
      validity_.resize(values_.size(), true);
    }
  }
  // The column of `rows` rows, nullopt when nothing was appended. REQUIRES: rows >= all rows appended; T is the physical type of the column
  std::optional<Column> column(ColumnId id, size_t rows) {
    if (values_.empty()) return std::nullopt;
    pad(rows);
    Column out = Column::of<T>(column_spec(id).physical, std::move(values_), std::move(validity_));
    values_ = {};
    validity_ = {};
    values_.reserve(rows);
    return out;
  }

 private:
  void pad(size_t rows) {
    if (values_.size() == rows) return;
    if (validity_.empty()) validity_.resize(values_.size(), true);
    validity_.resize(rows, false);
    values_.resize(rows);
  }

  std::vector<T> values_;
  Bitmap validity_;  // empty: no nulls
};

}  // namespace sluice::ingest
