// Rows kept by operators that need all of them before they can answer: chunks appended to plain columns, one for each slot.
// Not thread safe. Memory: whoever keeps one has a MemoryClaim for it, which append() raises before it copies; set the claim to
// byte_size(), and what else the owner has, afterwards.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "query/operator.h"

namespace sluice::query {

class RowBuffer {
 public:
  // A slot that one of the chunks does not fill is not kept: where a block's facts answer a condition, the scan does not read its column,
  // and what is needed later every chunk has. Errors: `claim`, which has what is here already, can't take so much more.
  Status append(const Chunk& chunk, MemoryClaim& claim);
  Status append_rows(const Chunk& chunk, std::span<const uint32_t> rows, EvalContext& context, MemoryClaim& claim) {
    return append(chunk.gather(rows, context), claim);
  }
  // All rows of another buffer, after those here: column by column, so that no more than one is there twice.
  void take(RowBuffer&& other);
  size_t rows() const { return rows_; }
  bool has(size_t slot) const { return slot < columns_.size() && columns_[slot].has_value(); }
  const Column& slot(size_t slot) const { return *columns_[slot]; }  // REQUIRES: has(slot)
  // The same as a column that expressions and tables take; good while the buffer is not changed.
  ColumnPtr shared(size_t slot) const { return ColumnPtr(ColumnPtr(), &*columns_[slot]); }
  // The rows given, in that order, in all slots.
  Chunk gather(std::span<const uint32_t> rows, EvalContext& context) const;
  // Leaves only the rows given, in that order.
  void keep(std::span<const uint32_t> rows);
  void clear();
  size_t byte_size() const;

 private:
  std::vector<std::optional<Column>> columns_;
  size_t rows_ = 0;
};

// Rows that are emitted at a time; fewer where they are wide beside the query's memory.
inline constexpr size_t kEmitRows = 16'384;

// The rows given, in that order, in pieces; the deadline is looked at before each.
Status emit_in_pieces(const RowBuffer& rows, std::span<const uint32_t> order, Worker& worker, const Emit& emit);
// A whole table of columns, in pieces. REQUIRES: columns of equal size
Status emit_columns(std::vector<Column> columns, Worker& worker, const Emit& emit);

}  // namespace sluice::query
