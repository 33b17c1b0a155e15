#include "storage/model/batch.h"

namespace sluice {

Field Field::of(ColumnId id) {
  const ColumnSpec& spec = column_spec(id);
  return Field{std::string(spec.name), spec.type, spec.physical, spec.enumeration, std::string(spec.unit), id};
}

std::optional<size_t> Batch::find(ColumnId id) const {
  for (size_t i = 0; i < schema->size(); ++i)
    if ((*schema)[i].column == id) return i;
  return std::nullopt;
}

size_t Batch::byte_size() const {
  size_t n = 0;
  for (const Column& c : columns) n += c.byte_size();
  return n;
}

FlowBatchBuilder::FlowBatchBuilder() = default;

void FlowBatchBuilder::abandon_row() {
  SLUICE_CHECK(rows_ > 0);
  --rows_;
  for (auto& c : columns_)
    if (c && c->size() > rows_) c->truncate(rows_);
}

size_t FlowBatchBuilder::byte_size() const {
  size_t n = 0;
  for (const auto& c : columns_)
    if (c) n += c->byte_size();
  return n;
}

Batch FlowBatchBuilder::finish() {
  auto schema = std::make_shared<Schema>();
  Batch batch;
  batch.rows = rows_;
  for (size_t i = 0; i < kColumnCount; ++i) {
    auto& c = columns_[i];
    if (!c) continue;
    // A row taken back may leave a column that holds nothing but nulls; such a column is absent.
    if (c->null_count() < c->size()) {
      c->append_nulls(rows_ - c->size());
      schema->push_back(Field::of(static_cast<ColumnId>(i)));
      batch.columns.push_back(std::move(*c));
    }
    c.reset();
  }
  rows_expected_ = rows_;
  rows_ = 0;
  batch.schema = std::move(schema);
  return batch;
}

}  // namespace sluice
