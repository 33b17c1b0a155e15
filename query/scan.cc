#include "query/scan.h"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <utility>

#include "query/growth.h"
#include "query/sampling.h"
#include "query/scan_prune.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::query {
namespace {

using segment::kGranuleRows;
using segment::Segment;

// The stored columns that a derived one is made of; the second may be absent.
std::pair<ColumnId, ColumnId> parts_of(DerivedColumn derived) {
  switch (derived) {
    case DerivedColumn::bytes: return {ColumnId::raw_bytes, ColumnId::sampling_rate};
    case DerivedColumn::packets: return {ColumnId::raw_packets, ColumnId::sampling_rate};
    case DerivedColumn::reverse_bytes: return {ColumnId::raw_reverse_bytes, ColumnId::sampling_rate};
    case DerivedColumn::reverse_packets: return {ColumnId::raw_reverse_packets, ColumnId::sampling_rate};
    case DerivedColumn::duration: return {ColumnId::flow_end, ColumnId::flow_start};
  }
  return {};
}

ColumnPtr find_key(const Column* extra, const std::string& key, size_t rows, EvalContext& context) {
  TextBuilder out(context, rows);
  for (size_t i = 0; i < rows; ++i) {
    std::optional<std::string> value;
    if (extra && !extra->is_null(i)) value = find_extra(extra->string_at(i), key);
    if (value)
      out.append(*value);
    else
      out.append_null();
  }
  return keep(out.finish(), context);
}

ColumnPtr null_column(const SlotSpec& slot, size_t rows, EvalContext& context) { return keep(Column::nulls(slot.type.physical, rows), context); }

std::vector<uint32_t> rows_of_mask(const std::vector<uint8_t>& mask) {
  std::vector<uint32_t> rows(mask.size());
  size_t n = 0;
  for (size_t i = 0; i < mask.size(); ++i) {
    rows[n] = static_cast<uint32_t>(i);
    n += mask[i];
  }
  rows.resize(n);
  return rows;
}

}  // namespace

ColumnPtr derive(DerivedColumn derived, const Column* first, const Column* second, size_t rows, EvalContext& context) {
  if (derived == DerivedColumn::duration) {
    if (!first || !second) return keep(Column::nulls(PhysicalType::I64, rows), context);
    const auto end = as_ints(*first), start = as_ints(*second);
    Bitmap valid = both_valid(*first, *second);
    std::vector<int64_t> out(rows);
    for (size_t i = 0; i < rows; ++i) {
      if (!valid.empty() && !valid.get(i)) continue;
      if (__builtin_sub_overflow(end[i], start[i], &out[i])) out[i] = INT64_MAX;
    }
    return keep(Column::of<int64_t>(PhysicalType::I64, std::move(out), std::move(valid)), context);
  }
  if (!first) return keep(Column::nulls(PhysicalType::U64, rows), context);
  std::vector<uint64_t> out = as_uints(*first);
  if (second) {
    const auto rates = second->values<uint32_t>();
    for (size_t i = 0; i < rows; ++i) {
      // A rate of 0 is some exporters' way to say none.
      const uint64_t rate = second->is_null(i) || rates[i] == 0 ? 1 : rates[i];
      if (first->is_null(i)) continue;
      if (__builtin_mul_overflow(out[i], rate, &out[i])) [[unlikely]] {
        context.beyond_count = true;
        out[i] = UINT64_MAX;
      }
    }
  }
  return keep(Column::of<uint64_t>(PhysicalType::U64, std::move(out), first->validity()), context);
}

ColumnPtr BatchColumns::stored(ColumnId id) const {
  const auto at = batch_->find(id);
  if (!at) return nullptr;
  asked_.set(static_cast<size_t>(id));
  // Shares the batch's column; it keeps the batch alive.
  if (some_.empty()) return ColumnPtr(batch_, &batch_->columns[*at]);
  return keep(batch_->columns[*at].gather(some_), context_);
}

uint64_t BatchColumns::bytes_read() const {
  uint64_t bytes = 0;
  for (size_t c = 0; c < asked_.size(); ++c)
    if (asked_[c]) bytes += batch_->columns[*batch_->find(static_cast<ColumnId>(c))].byte_size();
  return bytes;
}

Result<ColumnPtr> BatchColumns::rates() {
  if (rates_) return *rates_;
  ColumnPtr rates = stored(ColumnId::sampling_rate);
  if (rules_) {
    SLUICE_ASSIGN(rates, corrected_rates(*rules_, std::move(rates), rows(), [&](ColumnId id) -> Result<ColumnPtr> { return stored(id); }, context_));
  }
  rates_ = rates;
  return rates;
}

Result<ColumnPtr> BatchColumns::load(const ScanSource& source, const Type& type) {
  if (source.kind == ScanSource::Kind::stored) {
    ColumnPtr c = stored(source.id);
    return c ? c : keep(Column::nulls(type.physical, rows()), context_);
  }
  if (source.kind == ScanSource::Kind::extra) return find_key(stored(ColumnId::extra).get(), source.key, rows(), context_);
  const auto [first, second] = parts_of(source.derived);
  ColumnPtr other;
  if (second == ColumnId::sampling_rate) {
    SLUICE_ASSIGN(other, rates());
  } else {
    other = stored(second);
  }
  return derive(source.derived, stored(first).get(), other.get(), rows(), context_);
}

struct Scan::SegmentWork {
  struct Block {
    uint32_t block = 0;
    std::vector<std::pair<uint32_t, uint32_t>> runs;  // rows [from, to) of the block
    std::vector<bool> decided;                        // by conjunct: holds for every row
  };
  std::shared_ptr<const Segment> segment;
  SegmentLeaves leaves;
  std::vector<Block> blocks;
  PruneCounts prunes;
  std::mutex mutex;
  bool damaged = false;
  bool read = false;  // its dictionaries, or more
  std::atomic<bool> scanned{false};
};

// One run of one block: loads slots for all rows of the run, or for those selected so far.
struct Scan::BlockReader {
  const ScanPlan& plan;
  const Segment& segment;
  uint32_t block, from, to;
  Worker& worker;
  segment::ReadStats& reads;  // of the block
  bool selected = false;
  std::vector<uint32_t> rows;  // of the block, when selected
  const SamplingRules* rules = nullptr;  // that may hold for rows of the segment
  std::optional<std::pair<size_t, ColumnPtr>> rates;  // as corrected, of that many rows; rows only become fewer

  size_t size() const { return selected ? rows.size() : to - from; }

  Result<ColumnPtr> read(ColumnId id) {
    if (!segment.has(id)) return ColumnPtr();
    if (!selected) {
      SLUICE_ASSIGN(Column c, segment.read(id, block, from, to, &reads));
      return keep(std::move(c), worker.eval);
    }
    // Above a quarter of the run, reading it all and picking is quicker than finding single rows.
    if (rows.size() * 4 > to - from) {
      SLUICE_ASSIGN(Column c, segment.read(id, block, from, to, &reads));
      std::vector<uint32_t> picks(rows.size());
      for (size_t i = 0; i < rows.size(); ++i) picks[i] = rows[i] - from;
      return keep(c.gather(picks), worker.eval);
    }
    SLUICE_ASSIGN(Column c, segment.read_rows(id, block, rows, &reads));
    return keep(std::move(c), worker.eval);
  }

  // Whether every row's sampling rate is 1, by the zone.
  bool unsampled() const {
    if (!segment.has(ColumnId::sampling_rate)) return false;
    const segment::Zone z = segment.zone(ColumnId::sampling_rate, block);
    return z.has_range && z.nulls == 0 && z.min == 1 && z.max == 1;
  }

  Result<ColumnPtr> load(const SlotSpec& slot) {
    const ScanSource& source = *slot.source;
    if (source.kind == ScanSource::Kind::stored) {
      SLUICE_ASSIGN(ColumnPtr c, read(source.id));
      return c ? c : null_column(slot, size(), worker.eval);
    }
    if (source.kind == ScanSource::Kind::extra) {
      SLUICE_ASSIGN(const ColumnPtr c, read(ColumnId::extra));
      return find_key(c.get(), source.key, size(), worker.eval);
    }
    const auto [first_id, second_id] = parts_of(source.derived);
    SLUICE_ASSIGN(const ColumnPtr first, read(first_id));
    if (source.derived != DerivedColumn::duration && rules) {
      SLUICE_ASSIGN(const ColumnPtr corrected, corrected_rate());
      return derive(source.derived, first.get(), corrected.get(), size(), worker.eval);
    }
    if (source.derived != DerivedColumn::duration && first && (!segment.has(second_id) || unsampled())) return first;
    SLUICE_ASSIGN(const ColumnPtr second, read(second_id));
    return derive(source.derived, first.get(), second.get(), size(), worker.eval);
  }

  Result<ColumnPtr> corrected_rate() {
    if (rates && rates->first == size()) return rates->second;
    SLUICE_ASSIGN(ColumnPtr stored, read(ColumnId::sampling_rate));
    SLUICE_ASSIGN(ColumnPtr corrected, corrected_rates(*rules, std::move(stored), size(), [this](ColumnId id) { return read(id); }, worker.eval));
    rates = {size(), corrected};
    return corrected;
  }

  Result<uint64_t> unknown_rates() {
    if (rules) {
      SLUICE_ASSIGN(const ColumnPtr corrected, corrected_rate());
      return corrected ? uint64_t{corrected->null_count()} : uint64_t{size()};
    }
    if (!segment.has(ColumnId::sampling_rate)) return uint64_t{size()};
    if (segment.zone(ColumnId::sampling_rate, block).nulls == 0) return uint64_t{0};
    SLUICE_ASSIGN(const ColumnPtr c, read(ColumnId::sampling_rate));
    return uint64_t{c->null_count()};
  }
};

void add_up(ScanStats& sum, const ScanStats& more) {
  sum.rows_scanned += more.rows_scanned;
  sum.rows_matched += more.rows_matched;
  sum.bytes_read += more.bytes_read;
  sum.segments += more.segments;
  sum.segments_pruned += more.segments_pruned;
  sum.blocks += more.blocks;
  sum.blocks_pruned += more.blocks_pruned;
  sum.granules_pruned += more.granules_pruned;
  sum.open_rows += more.open_rows;
  sum.memory_bytes = std::max(sum.memory_bytes, more.memory_bytes);
}

Scan::Scan(const ScanPlan& plan, const store::Snapshot& snapshot, RunState& run) : plan_(plan), snapshot_(snapshot), run_(run) {
  work_.resize(snapshot.segments.size());
}
Scan::~Scan() = default;

void Scan::damaged(SegmentWork& work, const Error& error, Worker& worker) {
  {
    const std::lock_guard lock(work.mutex);
    if (work.damaged) return;
    work.damaged = true;
  }
  worker.warnings.push_back("segment " + std::to_string(work.segment->info().id) + " is damaged, rows of it are missing: " + error.message);
  if (run_.context.report_damage) run_.context.report_damage(work.segment->info().id, error.message);
}

Status Scan::prepare(size_t index, Worker& worker) {
  work_[index] = std::make_unique<SegmentWork>();
  SegmentWork& work = *work_[index];
  work.segment = snapshot_.segments[index];
  const Segment& segment = *work.segment;
  const bool zones = run_.options.use_zones;
  ++worker.stats.segments;
  worker.stats.blocks += segment.block_count();
  auto pruned = [&](uint64_t& counter) -> Status {
    ++counter;
    ++worker.stats.segments_pruned;
    worker.stats.blocks_pruned += segment.block_count();
    return {};
  };
  if (plan_.range.empty()) return pruned(work.prunes.segments_by_time);
  // With `overlap`, a flow that ends after the range may still have begun in it.
  const TimeRange range{plan_.range.from, plan_.overlap ? kTimestampMax : plan_.range.to};
  if (zones && !range.meets(segment.info().first, segment.info().last)) return pruned(work.prunes.segments_by_time);

  work.read = true;
  auto leaves = resolve_leaves(plan_, segment, worker.eval.meter);
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  if (!leaves.ok()) {
    damaged(work, leaves.error(), worker);
    return {};
  }
  work.leaves = std::move(leaves).value();
  for (const Conjunct& c : plan_.conjuncts)
    if (judge_segment(*c.predicate, work.leaves) == Verdict::none) return pruned(work.prunes.segments_by_values);

  std::optional<Bitmap> granules;
  if (run_.options.use_postings) {
    segment::ReadStats reads;
    for (const Conjunct& c : plan_.conjuncts) {
      auto bits = candidate_granules(*c.predicate, work.leaves, segment, &reads);
      if (!bits.ok()) {
        damaged(work, bits.error(), worker);
        return {};
      }
      if (!bits.value()) continue;
      if (!granules) {
        granules = std::move(bits).value();
        continue;
      }
      for (size_t w = 0; w < granules->words().size(); ++w) granules->words()[w] &= bits.value()->words()[w];
    }
    worker.stats.bytes_read += reads.bytes_read;
    if (granules && granules->count() == 0) return pruned(work.prunes.segments_by_values);
  }

  constexpr uint32_t kGranulesPerBlock = limits::kBlockRows / kGranuleRows;
  for (uint32_t block = 0; block < segment.block_count(); ++block) {
    SegmentWork::Block out;
    out.block = block;
    const uint32_t rows = segment.block_rows(block);
    if (granules) {
      uint32_t kept = 0;
      const uint32_t count = (rows + kGranuleRows - 1) / kGranuleRows;
      for (uint32_t g = 0; g < count; ++g) {
        if (!granules->get(size_t{block} * kGranulesPerBlock + g)) continue;
        ++kept;
        const uint32_t from = g * kGranuleRows, to = std::min(rows, from + kGranuleRows);
        if (!out.runs.empty() && out.runs.back().second == from)
          out.runs.back().second = to;
        else
          out.runs.emplace_back(from, to);
      }
      if (kept == 0) {
        ++work.prunes.blocks_by_posting;
        ++worker.stats.blocks_pruned;
        continue;
      }
      worker.stats.granules_pruned += count - kept;
    } else {
      out.runs.emplace_back(0, rows);
    }
    bool none = false;
    out.decided.assign(plan_.conjuncts.size(), false);
    for (size_t c = 0; zones && c < plan_.conjuncts.size() && !none; ++c) {
      const Verdict v = judge_block(*plan_.conjuncts[c].predicate, work.leaves, segment, block);
      none = v == Verdict::none;
      out.decided[c] = v == Verdict::all;
    }
    if (none) {
      ++work.prunes.blocks_by_zone;
      ++worker.stats.blocks_pruned;
      continue;
    }
    work.blocks.push_back(std::move(out));
  }
  return {};
}

void Scan::add_units(size_t segment, std::vector<ScanUnit>& units) const {
  for (size_t b = 0; b < work_[segment]->blocks.size(); ++b) units.push_back({segment, b});
}

void Scan::add_open_units(std::vector<ScanUnit>& units) const {
  for (size_t i = 0; i < snapshot_.open.size(); ++i) units.push_back({SIZE_MAX, i});
}

void Scan::release(size_t segment) {
  if (!work_[segment]) return;
  work_[segment]->leaves = {};
  work_[segment]->blocks = {};
}

void Scan::begin_again() {
  for (auto& work : work_) work.reset();
}

std::vector<store::DamagedSegment> Scan::lost() const {
  std::vector<store::DamagedSegment> out;
  for (const auto& work : work_) {
    if (!work || !work->read) continue;
    const Status intact = work->segment->intact(work->scanned.load(std::memory_order_relaxed));
    if (intact.ok()) continue;
    out.push_back({work->segment->info(), intact.error().message});
    if (run_.context.report_damage) run_.context.report_damage(work->segment->info().id, intact.error().message);
  }
  return out;
}

PruneCounts Scan::prunes(size_t segment) const { return work_[segment] ? work_[segment]->prunes : PruneCounts{}; }

bool Scan::is_sound(size_t segment) const {
  SegmentWork& work = *work_[segment];
  const std::lock_guard lock(work.mutex);
  return !work.damaged && work.segment->intact(work.scanned.load(std::memory_order_relaxed)).ok();
}

Status Scan::scan(const ScanUnit& unit, Worker& worker, const Emit& emit) {
  if (unit.segment == SIZE_MAX) return scan_open(unit.index, worker, emit);
  work_[unit.segment]->scanned.store(true, std::memory_order_relaxed);
  return scan_block(*work_[unit.segment], unit.index, worker, emit);
}

Status Scan::scan_block(SegmentWork& work, size_t index, Worker& worker, const Emit& emit) {
  const SegmentWork::Block& block = work.blocks[index];
  const size_t piece = run_.options.batch_rows > 0 ? run_.options.batch_rows : std::min(piece_, rows_max_);
  std::vector<uint8_t> mask;
  segment::ReadStats reads;
  const SamplingRules* rules = run_.context.sampling_rules.get();
  if (rules && !may_correct(*rules, work.segment->info().first, work.segment->info().last)) rules = nullptr;
  for (const auto& [run_from, run_to] : block.runs) {
    for (uint32_t from = run_from; from < run_to;) {
      SLUICE_TRY(run_.check());
      const auto to = static_cast<uint32_t>(std::min<size_t>(run_to, from + piece));
      BlockReader reader{plan_, *work.segment, block.block, from, to, worker, reads, false, {}, rules, {}};
      from = to;
      worker.stats.rows_scanned += to - reader.from;
      Chunk chunk;
      chunk.rows = to - reader.from;
      chunk.slots.resize(plan_.slots.size());
      auto load = [&](size_t slot) -> Status {
        if (chunk.slots[slot]) return {};
        SLUICE_ASSIGN(chunk.slots[slot], reader.load(plan_.slots[slot]));
        return worker.eval.meter.stopped;
      };
      auto read_and_filter = [&]() -> Status {
        for (size_t c = 0; c < plan_.conjuncts.size() && chunk.rows > 0; ++c) {
          const Conjunct& conjunct = plan_.conjuncts[c];
          if (block.decided[c]) continue;
          for (size_t s : conjunct.slots) SLUICE_TRY(load(s));
          if (!worker.eval.meter.spend(chunk.rows)) return worker.eval.meter.stopped;
          mask.resize(chunk.rows);
          evaluate(*conjunct.predicate, chunk, worker.eval, &work.leaves.facts, mask.data());
          if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
          const std::vector<uint32_t> kept = rows_of_mask(mask);
          if (kept.size() == chunk.rows) continue;
          // What neither a later conjunct nor the output reads is dropped rather than copied.
          for (size_t s = 0; s < chunk.slots.size(); ++s) {
            if (!chunk.slots[s] || plan_.output[s]) continue;
            bool later = false;
            for (size_t n = c + 1; n < plan_.conjuncts.size() && !later; ++n)
              later = std::find(plan_.conjuncts[n].slots.begin(), plan_.conjuncts[n].slots.end(), s) != plan_.conjuncts[n].slots.end();
            if (!later) chunk.slots[s].reset();
          }
          chunk = chunk.gather(kept, worker.eval);
          if (!reader.selected) {
            reader.rows.resize(kept.size());
            for (size_t i = 0; i < kept.size(); ++i) reader.rows[i] = reader.from + kept[i];
            reader.selected = true;
          } else {
            for (size_t i = 0; i < kept.size(); ++i) reader.rows[i] = reader.rows[kept[i]];
            reader.rows.resize(kept.size());
          }
        }
        if (chunk.rows == 0) return {};
        for (size_t s = 0; s < plan_.slots.size(); ++s)
          if (plan_.output[s] && plan_.slots[s].source) SLUICE_TRY(load(s));
        if (plan_.scales) {
          SLUICE_ASSIGN(const uint64_t unknown, reader.unknown_rates());
          worker.eval.unknown_sampling_rows += unknown;
        }
        return {};
      };
      const Status read = read_and_filter();
      worker.stats.bytes_read += std::exchange(reads.bytes_read, 0);
      if (!read.ok()) {
        if (read.error().code != ErrorCode::corrupt && read.error().code != ErrorCode::io) return read;
        damaged(work, read.error(), worker);
        return {};
      }
      if (chunk.rows == 0) continue;
      worker.stats.rows_matched += chunk.rows;
      SLUICE_TRY(emit(std::move(chunk)));
      if (worker.enough || run_.stop.load(std::memory_order_relaxed)) return {};
    }
  }
  return {};
}

Status Scan::scan_open(size_t index, Worker& worker, const Emit& emit) {
  const std::shared_ptr<const Batch>& batch = snapshot_.open[index];
  const size_t piece = run_.options.batch_rows > 0 ? run_.options.batch_rows : std::clamp<size_t>(batch->rows, 1, rows_max_);
  worker.stats.open_rows += batch->rows;
  worker.stats.rows_scanned += batch->rows;
  for (size_t from = 0; from < batch->rows; from += piece) {
    SLUICE_TRY(run_.check());
    const size_t to = std::min(batch->rows, from + piece);
    std::vector<uint32_t> some;
    if (to - from < batch->rows) {
      some.resize(to - from);
      std::iota(some.begin(), some.end(), static_cast<uint32_t>(from));
    }
    Chunk chunk;
    chunk.rows = to - from;
    chunk.slots.resize(plan_.slots.size());
    BatchColumns columns(batch, std::move(some), run_.context.sampling_rules.get(), worker.eval);
    for (size_t s = 0; s < plan_.slots.size(); ++s) {
      if (!plan_.slots[s].source) continue;
      SLUICE_ASSIGN(chunk.slots[s], columns.load(*plan_.slots[s].source, plan_.slots[s].type));
    }
    ColumnPtr rates;
    if (plan_.scales) {
      SLUICE_ASSIGN(rates, columns.rates());
    }
    if (from == 0) worker.stats.bytes_read += columns.bytes_read();  // every piece reads the same columns
    std::vector<uint8_t> mask(chunk.rows, 1), one(chunk.rows);
    for (const Conjunct& c : plan_.conjuncts) {
      if (!worker.eval.meter.spend(chunk.rows)) return worker.eval.meter.stopped;
      evaluate(*c.predicate, chunk, worker.eval, nullptr, one.data());
      if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
      for (size_t i = 0; i < mask.size(); ++i) mask[i] &= one[i];
    }
    const std::vector<uint32_t> kept = rows_of_mask(mask);
    if (kept.empty()) continue;
    if (plan_.scales) {
      if (!rates)
        worker.eval.unknown_sampling_rows += kept.size();
      else if (rates->has_nulls())
        for (uint32_t r : kept) worker.eval.unknown_sampling_rows += rates->is_null(r);
    }
    for (size_t s = 0; s < chunk.slots.size(); ++s)
      if (!plan_.output[s]) chunk.slots[s].reset();
    if (kept.size() < chunk.rows) chunk = chunk.gather(kept, worker.eval);
    worker.stats.rows_matched += chunk.rows;
    SLUICE_TRY(emit(std::move(chunk)));
    if (worker.enough || run_.stop.load(std::memory_order_relaxed)) return {};
  }
  return {};
}

}  // namespace sluice::query
