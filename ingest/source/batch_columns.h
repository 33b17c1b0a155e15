// Columns that a decoder makes all at once, beside those it fills row by row. Thread rule: none shared.
#pragma once

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

}  // namespace sluice::ingest
