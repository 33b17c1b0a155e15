#include "storage/model/batch.h"

#include <algorithm>

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

void FlowBatchBuilder::settle(ColumnId id) {
  Repeat& r = repeats_[static_cast<size_t>(id)];
  Column& c = *columns_[static_cast<size_t>(id)];
  auto fill = [&]<typename T>(T value) {
    std::memcpy(&value, r.value, sizeof value);
    std::fill_n(c.extend<T>(r.count), r.count, value);
  };
  switch (c.type()) {
    case PhysicalType::U8: fill(uint8_t{}); break;
    case PhysicalType::U16: fill(uint16_t{}); break;
    case PhysicalType::U32: fill(uint32_t{}); break;
    case PhysicalType::U64: fill(uint64_t{}); break;
    case PhysicalType::I64: fill(int64_t{}); break;
    case PhysicalType::F64: fill(double{}); break;
    case PhysicalType::Ip: fill(IpAddress{}); break;
    case PhysicalType::Str: SLUICE_CHECK_MSG(false, "text is not repeated"); break;
  }
  r.count = 0;
}

void FlowBatchBuilder::abandon_row() {
  SLUICE_CHECK(rows_ > 0);
  for (size_t i = 0; i < kColumnCount; ++i)
    if (repeats_[i].count > 0) settle(static_cast<ColumnId>(i));
  --rows_;
  for (auto& c : columns_)
    if (c && c->size() > rows_) c->truncate(rows_);
}

size_t FlowBatchBuilder::byte_size() const {
  size_t n = 0;
  for (size_t i = 0; i < kColumnCount; ++i)
    if (columns_[i]) n += columns_[i]->byte_size() + repeats_[i].count * width_of(columns_[i]->type());
  return n;
}

Batch FlowBatchBuilder::finish() {
  auto schema = std::make_shared<Schema>();
  Batch batch;
  batch.rows = rows_;
  for (size_t i = 0; i < kColumnCount; ++i) {
    auto& c = columns_[i];
    if (!c) continue;
    if (repeats_[i].count > 0) settle(static_cast<ColumnId>(i));
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
