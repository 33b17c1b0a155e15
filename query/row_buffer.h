// Rows kept by operators that need all of them before they can answer: chunks appended to plain columns, one for each slot.
// Not thread safe. Whoever keeps one charges byte_size() to the query's memory after each append.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "query/operator.h"

namespace sluice::query {

class RowBuffer {
 public:
  // REQUIRES: every chunk fills the same slots
  void append(const Chunk& chunk);
  void append_rows(const Chunk& chunk, std::span<const uint32_t> rows) { append(chunk.gather(rows)); }
  // All rows of another buffer, after those here.
  void take(RowBuffer&& other);
  size_t rows() const { return rows_; }
  bool has(size_t slot) const { return slot < columns_.size() && columns_[slot].has_value(); }
  const Column& slot(size_t slot) const { return *columns_[slot]; }  // REQUIRES: has(slot)
  // The same as a column that expressions and tables take; good while the buffer is not changed.
  ColumnPtr shared(size_t slot) const { return ColumnPtr(ColumnPtr(), &*columns_[slot]); }
  // The rows given, in that order, in all slots.
  Chunk gather(std::span<const uint32_t> rows) const;
  // Leaves only the rows given, in that order.
  void keep(std::span<const uint32_t> rows);
  void clear();
  size_t byte_size() const;

 private:
  std::vector<std::optional<Column>> columns_;
  size_t rows_ = 0;
};

// Rows that are emitted at a time.
inline constexpr size_t kEmitRows = 16'384;

// The rows given, in that order, in pieces; the deadline is looked at before each.
Status emit_in_pieces(const RowBuffer& rows, std::span<const uint32_t> order, Worker& worker, const Emit& emit);
// A whole table of columns, in pieces. REQUIRES: columns of equal size
Status emit_columns(std::vector<Column> columns, Worker& worker, const Emit& emit);

}  // namespace sluice::query
