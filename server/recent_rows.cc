#include "server/recent_rows.h"

#include <algorithm>

namespace sluice::server {
namespace {

// Where rows that are wanted lie: an open batch, or a block of a segment.
struct Part {
  TimestampNs last = 0;  // flow_end of its newest row
  size_t rows = 0;
  const Batch* open = nullptr;
  const segment::Segment* segment = nullptr;
  uint32_t block = 0;
};

TimestampNs newest_of(const Batch& batch) {
  TimestampNs newest = kTimestampMin;
  if (const auto at = batch.find(ColumnId::flow_end)) {
    const Column& end = batch.columns[*at];
    for (size_t row = 0; row < batch.rows; ++row)
      if (!end.is_null(row)) newest = std::max(newest, end.int_at(row));
  }
  return newest;
}

}  // namespace

Status each_recent_batch(const store::Snapshot& snapshot, std::span<const ColumnId> columns, DurationNs age, size_t rows_max,
                         const std::function<void(const Batch&)>& take) {
  std::vector<Part> parts;
  TimestampNs newest = kTimestampMin;
  for (const auto& batch : snapshot.open) {
    parts.push_back({newest_of(*batch), batch->rows, batch.get(), nullptr, 0});
    newest = std::max(newest, parts.back().last);
  }
  for (const auto& segment : snapshot.segments) newest = std::max(newest, segment->info().last);
  const TimestampNs from = newest < kTimestampMin + age ? kTimestampMin : newest - age;
  for (const auto& segment : snapshot.segments) {
    if (segment->info().last < from) continue;
    for (uint32_t block = 0; block < segment->block_count(); ++block) {
      const segment::Zone zone = segment->zone(ColumnId::flow_end, block);
      const auto last = zone.has_range ? static_cast<TimestampNs>(zone.max) : segment->info().last;
      parts.push_back({last, segment->block_rows(block), nullptr, segment.get(), block});
    }
  }
  std::erase_if(parts, [&](const Part& part) { return part.last < from; });
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.last < b.last; });
  size_t rows = 0, first = parts.size();
  while (first > 0 && rows < rows_max) rows += parts[--first].rows;

  for (; first < parts.size(); ++first) {
    const Part& part = parts[first];
    if (part.open) {
      take(*part.open);
      continue;
    }
    Batch batch;
    auto schema = std::make_shared<Schema>();
    batch.rows = part.rows;
    segment::ReadStats stats;
    for (const ColumnId id : columns) {
      if (!part.segment->has(id)) continue;
      SLUICE_ASSIGN(Column column, part.segment->read(id, part.block, 0, static_cast<uint32_t>(part.rows), &stats));
      schema->push_back(Field::of(id));
      batch.columns.push_back(std::move(column));
    }
    batch.schema = std::move(schema);
    SLUICE_TRY(part.segment->intact());
    take(batch);
  }
  return {};
}

}  // namespace sluice::server
