#include "storage/store/rows.h"

#include <array>
#include <bitset>

#include "storage/model/limits.h"

namespace sluice::store {

namespace {

Status check_flows(const Batch& batch) {
  if (!batch.schema || batch.schema->size() != batch.columns.size())
    return Error{ErrorCode::invalid_argument, "a batch's schema and columns differ"};
  if (batch.rows > limits::kSegmentRowsMax)
    return Error{ErrorCode::too_large, "a batch has more rows than a segment holds: " + std::to_string(batch.rows)};
  std::bitset<kColumnCount> seen;
  for (size_t i = 0; i < batch.columns.size(); ++i) {
    const Field& field = (*batch.schema)[i];
    const Column& column = batch.columns[i];
    if (!field.column || column.type() != column_spec(*field.column).physical || column.size() != batch.rows)
      return Error{ErrorCode::invalid_argument, "not a column of flows: " + field.name};
    const auto id = static_cast<size_t>(*field.column);
    if (seen[id]) return Error{ErrorCode::invalid_argument, "a column comes twice: " + field.name};
    seen.set(id);
  }
  if (batch.rows == 0) return {};
  const auto end = batch.find(ColumnId::flow_end);
  if (!end || batch.columns[*end].has_nulls()) return Error{ErrorCode::invalid_argument, "a flow without flow_end"};
  return {};
}

}  // namespace

TimestampNs partition_of(TimestampNs time, DurationNs width) {
  const int64_t quotient = time / width - (time % width < 0 ? 1 : 0);
  int64_t start = 0;
  return __builtin_mul_overflow(quotient, width, &start) ? kTimestampMin : start;
}

Batch join(std::span<const Batch* const> batches) {
  std::bitset<kColumnCount> present;
  Batch out;
  for (const Batch* b : batches) {
    out.rows += b->rows;
    for (const Field& f : *b->schema) present.set(static_cast<size_t>(*f.column));
  }
  auto schema = std::make_shared<Schema>();
  for (size_t id = 0; id < kColumnCount; ++id) {
    if (!present[id]) continue;
    schema->push_back(Field::of(static_cast<ColumnId>(id)));
    Column column(schema->back().physical);
    column.reserve(out.rows);
    for (const Batch* b : batches) {
      if (const auto at = b->find(static_cast<ColumnId>(id)))
        column.append_range(b->columns[*at], 0, b->rows);
      else
        column.append_nulls(b->rows);
    }
    out.columns.push_back(std::move(column));
  }
  out.schema = std::move(schema);
  return out;
}

namespace {

void add(Piece& piece, std::shared_ptr<const Batch> rows, TimestampNs first, TimestampNs last) {
  piece.rows += rows->rows;
  piece.first = std::min(piece.first, first);
  piece.last = std::max(piece.last, last);
  piece.batches.push_back(std::move(rows));
}

// A batch of this many rows is worth no more copying: a query over a few times more batches is as fast.
constexpr size_t kLargeRows = 16'384;

// Joins small neighbours while they stay within a block.
void join_small(Piece& piece) {
  if (piece.batches.size() < 2) return;
  std::vector<std::shared_ptr<const Batch>> joined;
  std::vector<const Batch*> group;
  for (size_t i = 0; i < piece.batches.size();) {
    group.clear();
    size_t rows = 0, end = i;
    while (end < piece.batches.size() &&
           (end == i || (piece.batches[i]->rows < kLargeRows && piece.batches[end]->rows < kLargeRows &&
                         rows + piece.batches[end]->rows <= limits::kBatchRows))) {
      rows += piece.batches[end]->rows;
      group.push_back(piece.batches[end++].get());
    }
    joined.push_back(group.size() == 1 ? piece.batches[i] : std::make_shared<const Batch>(join(group)));
    i = end;
  }
  piece.batches = std::move(joined);
}

// Smallest and largest flow_end. REQUIRES: check_flows, rows > 0
std::pair<TimestampNs, TimestampNs> bounds(const Batch& batch) {
  TimestampNs first = kTimestampMax, last = kTimestampMin;
  for (const TimestampNs t : batch.columns[*batch.find(ColumnId::flow_end)].values<int64_t>()) {
    first = std::min(first, t);
    last = std::max(last, t);
  }
  return {first, last};
}

}  // namespace

Result<Piece> piece_of(std::vector<Batch> batches) {
  Piece piece;
  for (Batch& batch : batches) {
    SLUICE_TRY(check_flows(batch));
    if (batch.rows == 0) continue;
    const auto [first, last] = bounds(batch);
    piece.bytes += batch.byte_size();
    add(piece, std::make_shared<const Batch>(std::move(batch)), first, last);
  }
  return piece;
}

namespace {

const Batch& batch_of(const Batch& batch) { return batch; }
const Batch& batch_of(const std::shared_ptr<const Batch>& batch) { return *batch; }
std::shared_ptr<const Batch> share(const Batch& batch) { return std::make_shared<const Batch>(batch); }
std::shared_ptr<const Batch> share(const std::shared_ptr<const Batch>& batch) { return batch; }

// The rows of a batch with these numbers.
std::shared_ptr<const Batch> picked(const Batch& batch, const std::vector<uint32_t>& rows) {
  auto out = std::make_shared<Batch>();
  out->schema = batch.schema;
  out->rows = rows.size();
  for (const Column& c : batch.columns) out->columns.push_back(c.gather(rows));
  return out;
}

Error too_scattered(DurationNs width) {
  return Error{ErrorCode::too_large, "the flows' times lie in more than " + std::to_string(limits::kPartitionsPerAppendMax) +
                                         " time partitions of " + format_duration(width) +
                                         "; send less at once, in the order of time"};
}

template <typename Source>
Result<std::map<TimestampNs, Piece>> split(std::span<const Source> sources, DurationNs width) {
  std::map<TimestampNs, Piece> pieces;
  for (const Source& source : sources) {
    const Batch& batch = batch_of(source);
    SLUICE_TRY(check_flows(batch));
    if (batch.rows == 0) continue;
    const auto times = batch.columns[*batch.find(ColumnId::flow_end)].values<int64_t>();

    // Mostly all rows of a batch lie in one partition.
    const auto [first, last] = bounds(batch);
    const TimestampNs first_partition = partition_of(first, width);
    if (first_partition == partition_of(last, width)) {
      add(pieces[first_partition], share(source), first, last);
      continue;
    }

    struct Part {
      std::vector<uint32_t> rows;
      TimestampNs first = kTimestampMax, last = kTimestampMin;
    };
    std::map<TimestampNs, Part> parts;
    TimestampNs start = 0, end = 0;  // of the current part, [start, end]: neighbours mostly share one
    Part* part = nullptr;
    for (uint32_t r = 0; r < batch.rows; ++r) {
      const TimestampNs t = times[r];
      if (part == nullptr || t < start || t > end) {
        start = partition_of(t, width);
        if (__builtin_add_overflow(start, width - 1, &end)) end = kTimestampMax;
        if (start == kTimestampMin) end = t;  // the odd first partition: ask again for the next row
        part = &parts[start];
        if (parts.size() > limits::kPartitionsPerAppendMax) return too_scattered(width);
      }
      part->rows.push_back(r);
      part->first = std::min(part->first, t);
      part->last = std::max(part->last, t);
    }
    for (const auto& [partition, p] : parts) {
      add(pieces[partition], picked(batch, p.rows), p.first, p.last);
    }
  }
  if (pieces.size() > limits::kPartitionsPerAppendMax) return too_scattered(width);
  for (auto& [partition, piece] : pieces) {
    join_small(piece);
    for (const auto& b : piece.batches) piece.bytes += b->byte_size();
  }
  return pieces;
}

}  // namespace

Result<std::map<TimestampNs, Piece>> split_by_partition(std::span<const Batch> batches, DurationNs width) { return split(batches, width); }

Result<std::map<TimestampNs, Piece>> split_shared_by_partition(std::span<const std::shared_ptr<const Batch>> batches, DurationNs width) {
  return split(batches, width);
}

Status for_each_span(std::span<const std::shared_ptr<const Batch>> batches, DurationNs span, const SpanVisit& visit) {
  const auto number_of = [&](TimestampNs time) { return time / span - (time % span < 0 ? 1 : 0); };
  struct Part {
    size_t batch = 0;
    std::vector<uint32_t> rows;
  };
  std::map<int64_t, std::vector<Part>> parts;
  for (size_t b = 0; b < batches.size(); ++b) {
    const Batch& batch = *batches[b];
    SLUICE_TRY(check_flows(batch));
    if (batch.rows == 0) continue;
    const auto times = batch.columns[*batch.find(ColumnId::flow_end)].values<int64_t>();
    std::vector<Part>* of = nullptr;
    int64_t last = 0;
    for (uint32_t r = 0; r < batch.rows; ++r) {
      const int64_t number = number_of(times[r]);
      if (of == nullptr || number != last) of = &parts[last = number];
      if (of->empty() || of->back().batch != b) of->push_back({b, {}});
      of->back().rows.push_back(r);
    }
  }
  std::vector<std::shared_ptr<const Batch>> rows;
  for (const auto& [number, of] : parts) {
    rows.clear();
    for (const Part& part : of) rows.push_back(part.rows.size() == batches[part.batch]->rows ? batches[part.batch] : picked(*batches[part.batch], part.rows));
    SLUICE_TRY(visit(number, rows));
  }
  return {};
}

bool may_be_scattered(std::span<const std::shared_ptr<const Batch>> batches, DurationNs width) {
  TimestampNs first = kTimestampMax, last = kTimestampMin;
  for (const auto& batch : batches) {
    const auto column = batch->find(ColumnId::flow_end);
    if (!column || batch->rows == 0) continue;
    const auto [from, to] = bounds(*batch);
    first = std::min(first, from);
    last = std::max(last, to);
  }
  DurationNs length = 0;
  return first <= last && (__builtin_sub_overflow(last, first, &length) || length / width + 1 >= static_cast<int64_t>(limits::kPartitionsPerAppendMax));
}

std::vector<std::shared_ptr<const Batch>> slice(std::span<const std::shared_ptr<const Batch>> batches, uint64_t begin, uint64_t end) {
  std::vector<std::shared_ptr<const Batch>> out;
  uint64_t at = 0;
  for (const auto& batch : batches) {
    const uint64_t from = std::max(begin, at), to = std::min(end, at + batch->rows);
    if (from < to) {
      if (to - from == batch->rows) {
        out.push_back(batch);
      } else {
        std::vector<uint32_t> rows;
        for (uint64_t r = from; r < to; ++r) rows.push_back(static_cast<uint32_t>(r - at));
        out.push_back(picked(*batch, rows));
      }
    }
    at += batch->rows;
  }
  return out;
}

}  // namespace sluice::store
