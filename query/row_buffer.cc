#include "query/row_buffer.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace sluice::query {
namespace {

// What rows take once they are here. Codes become the text that they stand for, which may be much more than the chunk has.
size_t bytes_of(const Chunk& chunk) {
  size_t n = chunk.byte_size();
  for (const auto& c : chunk.slots) {
    if (!c || !c->is_coded()) continue;
    n += chunk.rows * (c->type() == PhysicalType::Ip ? sizeof(IpAddress) : sizeof(uint64_t));
    if (c->type() != PhysicalType::Str) continue;
    for (size_t i = 0; i < chunk.rows; ++i)
      if (!c->is_null(i)) n += c->string_at(i).size();
  }
  return n;
}

}  // namespace

Status RowBuffer::append(const Chunk& chunk, MemoryClaim& claim) {
  SLUICE_TRY(claim.set(claim.bytes() + bytes_of(chunk)));
  const auto filled = [&](size_t s) { return s < chunk.slots.size() && chunk.slots[s] != nullptr; };
  if (rows_ == 0) {  // also from a chunk without rows: a table of none has its columns all the same
    columns_.clear();
    for (const ColumnPtr& c : chunk.slots)
      if (c)
        columns_.emplace_back(c->type());
      else
        columns_.emplace_back();
  }
  for (size_t s = 0; s < columns_.size(); ++s) {
    if (!columns_[s] || chunk.rows == 0) continue;
    if (filled(s))
      columns_[s]->append_range(*chunk.slots[s], 0, chunk.rows);
    else
      columns_[s].reset();
  }
  rows_ += chunk.rows;
  return {};
}

void RowBuffer::take(RowBuffer&& other) {
  if (other.rows_ == 0 && !columns_.empty()) return;
  if (rows_ == 0) {
    columns_ = std::move(other.columns_);
  } else {
    for (size_t s = 0; s < columns_.size(); ++s) {
      if (!columns_[s]) continue;
      if (other.has(s)) {
        columns_[s]->append_range(*other.columns_[s], 0, other.rows_);
        other.columns_[s].reset();
      } else {
        columns_[s].reset();
      }
    }
  }
  rows_ += other.rows_;
  other.clear();
}

Chunk RowBuffer::gather(std::span<const uint32_t> rows, EvalContext& context) const {
  Chunk out;
  out.rows = rows.size();
  out.slots.resize(columns_.size());
  for (size_t s = 0; s < columns_.size(); ++s)
    if (columns_[s]) out.slots[s] = query::keep(columns_[s]->gather(rows), context);
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
  const size_t piece = worker.run.batch_rows(rows.rows() == 0 ? 0 : rows.byte_size() / rows.rows(), kEmitRows, 1);
  for (size_t i = 0; i < order.size(); i += piece) {
    SLUICE_TRY(worker.run.check());
    SLUICE_TRY(emit(rows.gather(order.subspan(i, std::min(piece, order.size() - i)), worker.eval)));
  }
  return {};
}

Status emit_columns(std::vector<Column> columns, Worker& worker, const Emit& emit) {
  const size_t rows = columns.empty() ? 0 : columns[0].size();
  if (rows == 0) return {};
  Chunk whole;
  whole.rows = rows;
  for (Column& c : columns) whole.slots.push_back(keep(std::move(c), worker.eval));
  const size_t piece_rows = worker.run.batch_rows(whole.byte_size() / rows, kEmitRows, 1);
  if (rows <= piece_rows) return emit(std::move(whole));
  std::vector<uint32_t> piece;
  for (size_t i = 0; i < rows; i += piece_rows) {
    SLUICE_TRY(worker.run.check());
    piece.resize(std::min(piece_rows, rows - i));
    std::iota(piece.begin(), piece.end(), static_cast<uint32_t>(i));
    SLUICE_TRY(emit(whole.gather(piece, worker.eval)));
  }
  return {};
}

}  // namespace sluice::query
