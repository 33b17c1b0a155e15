#include "storage/store/contained_rows.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice::store {
namespace {

void add_bytes(std::string& out, const void* bytes, size_t size) { out.append(static_cast<const char*>(bytes), size); }

// Appends the value's column and bytes; nothing for a null.
void add_value(std::string& out, ColumnId id, const Column& column, size_t row) {
  if (column.is_null(row)) return;
  out.push_back(static_cast<char>(id));
  switch (column.type()) {
    case PhysicalType::Ip: {
      const IpAddress ip = column.ip_at(row);
      add_bytes(out, ip.bytes.data(), ip.bytes.size());
      break;
    }
    case PhysicalType::Str: {
      const std::string_view text = column.string_at(row);
      const uint64_t size = text.size();
      add_bytes(out, &size, sizeof size);
      out.append(text);
      break;
    }
    case PhysicalType::F64: {
      const double value = column.float_at(row);
      add_bytes(out, &value, sizeof value);
      break;
    }
    default: {
      const uint64_t value = column.uint_at(row);
      add_bytes(out, &value, sizeof value);
    }
  }
}

}  // namespace

Status each_block(const segment::Segment& segment, const std::function<Status(Batch&&)>& take) {
  std::vector<ColumnId> ids;
  auto schema = std::make_shared<Schema>();
  for (const ColumnSpec& spec : flow_columns())
    if (segment.has(spec.id)) {
      ids.push_back(spec.id);
      schema->push_back(Field::of(spec.id));
    }
  for (uint32_t block = 0; block < segment.block_count(); ++block) {
    Batch batch;
    batch.schema = schema;
    batch.rows = segment.block_rows(block);
    for (const ColumnId id : ids) {
      SLUICE_ASSIGN(Column column, segment.read(id, block, 0, segment.block_rows(block), nullptr));
      batch.columns.push_back(std::move(column));
    }
    SLUICE_TRY(take(std::move(batch)));
  }
  return {};
}

void ContainedRows::prints(const Batch& batch, std::vector<Print>& out) {
  // In the order of the schema table, whatever the batch's own order is.
  std::vector<std::pair<ColumnId, const Column*>> columns;
  for (size_t i = 0; i < batch.columns.size(); ++i)
    if (const auto id = (*batch.schema)[i].column) columns.emplace_back(*id, &batch.columns[i]);
  std::sort(columns.begin(), columns.end());
  std::string row_bytes;
  for (size_t row = 0; row < batch.rows; ++row) {
    row_bytes.clear();
    for (const auto& [id, column] : columns) add_value(row_bytes, id, *column, row);
    const XXH128_hash_t hash = XXH3_128bits(row_bytes.data(), row_bytes.size());
    out.emplace_back(hash.high64, hash.low64);
  }
}

Result<ContainedRows> ContainedRows::of(const segment::Segment& segment) {
  std::vector<Print> all;
  all.reserve(segment.rows());
  SLUICE_TRY(each_block(segment, [&](Batch&& batch) -> Status {
    prints(batch, all);
    return {};
  }));
  std::sort(all.begin(), all.end());
  ContainedRows rows;
  rows.left_ = all.size();
  for (const Print& print : all) {
    if (rows.wanted_.empty() || rows.wanted_.back().first != print) rows.wanted_.emplace_back(print, 0);
    ++rows.wanted_.back().second;
  }
  return rows;
}

void ContainedRows::found(const Batch& batch) {
  scratch_.clear();
  prints(batch, scratch_);
  for (const Print& print : scratch_) {
    const auto at = std::lower_bound(wanted_.begin(), wanted_.end(), print, [](const auto& w, const Print& p) { return w.first < p; });
    if (at == wanted_.end() || at->first != print || at->second == 0) continue;
    --at->second;
    --left_;
  }
}

}  // namespace sluice::store
