#include "query/row_buffer.h"

#include <algorithm>
#include <numeric>

namespace sluice::query {

void RowBuffer::append(const Chunk& chunk) {
  if (columns_.size() < chunk.slots.size()) columns_.resize(chunk.slots.size());
  for (size_t s = 0; s < chunk.slots.size(); ++s) {
    if (!chunk.slots[s]) continue;
    if (!columns_[s]) columns_[s].emplace(chunk.slots[s]->type());
    columns_[s]->append_range(*chunk.slots[s], 0, chunk.rows);
  }
  rows_ += chunk.rows;
}

void RowBuffer::take(RowBuffer&& other) {
  if (rows_ == 0) {
    *this = std::move(other);
  } else {
    for (size_t s = 0; s < other.columns_.size(); ++s)
      if (other.columns_[s]) columns_[s]->append_range(*other.columns_[s], 0, other.rows_);
    rows_ += other.rows_;
  }
  other.clear();
}

Chunk RowBuffer::gather(std::span<const uint32_t> rows) const {
  Chunk out;
  out.rows = rows.size();
  out.slots.resize(columns_.size());
  for (size_t s = 0; s < columns_.size(); ++s)
    if (columns_[s]) out.slots[s] = std::make_shared<Column>(columns_[s]->gather(rows));
  return out;
}

void RowBuffer::keep(std::span<const uint32_t> rows) {
  for (auto& column : columns_)
    if (column) column = column->gather(rows);
  rows_ = rows.size();
}

void RowBuffer::clear() {
  columns_.clear();
  rows_ = 0;
}

size_t RowBuffer::byte_size() const {
  size_t n = 0;
  for (const auto& c : columns_)
    if (c) n += c->byte_size();
  return n;
}

Status emit_in_pieces(const RowBuffer& rows, std::span<const uint32_t> order, Worker& worker, const Emit& emit) {
  for (size_t i = 0; i < order.size(); i += kEmitRows) {
    SLUICE_TRY(worker.run.check());
    SLUICE_TRY(emit(rows.gather(order.subspan(i, std::min(kEmitRows, order.size() - i)))));
  }
  return {};
}

Status emit_columns(std::vector<Column> columns, Worker& worker, const Emit& emit) {
  const size_t rows = columns.empty() ? 0 : columns[0].size();
  Chunk whole;
  whole.rows = rows;
  for (Column& c : columns) whole.slots.push_back(std::make_shared<Column>(std::move(c)));
  if (rows <= kEmitRows) return rows == 0 ? Status() : emit(std::move(whole));
  std::vector<uint32_t> piece;
  for (size_t i = 0; i < rows; i += kEmitRows) {
    SLUICE_TRY(worker.run.check());
    piece.resize(std::min(kEmitRows, rows - i));
    std::iota(piece.begin(), piece.end(), static_cast<uint32_t>(i));
    SLUICE_TRY(emit(whole.gather(piece)));
  }
  return {};
}

}  // namespace sluice::query
