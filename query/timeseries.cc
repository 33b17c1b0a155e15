// timeseries: groups by bin and key, laid out on a regular grid.
#include <algorithm>
#include <numeric>

#include "query/group.h"

namespace sluice::query {

TimestampNs bin_start(TimestampNs t, DurationNs width) {
  // 1970-01-01 was a Thursday; weeks begin on Monday.
  const int64_t origin = width % kWeek == 0 ? 4 * kDay : 0;
  int64_t shifted, out;
  if (__builtin_sub_overflow(t, origin, &shifted)) return t;
  int64_t remainder = shifted % width;
  if (remainder < 0) remainder += width;
  return __builtin_sub_overflow(t, remainder, &out) ? t : out;
}

namespace {

class Timeseries final : public Operator, public GroupsFirst {
 public:
  Timeseries(std::shared_ptr<const TimeseriesSpec> spec, RunState* run, std::string text)
      : spec_(std::move(spec)), run_(run), text_(std::move(text)) {
    if (run) grouping_.emplace(spec_->group, *run);
  }
  Status push(Chunk chunk, Worker& worker, const Emit&) override { return grouping_->push(chunk, worker); }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Timeseries>(spec_, &run, text_); }
  Status join(std::unique_ptr<Operator> other, Worker& worker) override {
    return grouping_->join(*static_cast<Timeseries&>(*other).grouping_, worker);
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& k : spec_->group.keys) {
      k.node->collect_slots(slots);
      if (k.other_side) k.other_side->collect_slots(slots);
    }
    for (const auto& a : spec_->group.aggregates) {
      for (const auto& n : a.args) n->collect_slots(slots);
      if (a.filter) query::collect_slots(*a.filter, slots);
    }
  }
  std::string describe() const override { return text_; }
  Grouping& groups() override { return *grouping_; }

  Status finish(Worker& worker, const Emit& emit) override {
    SLUICE_TRY(grouping_->settle(worker));
    const size_t key_count = spec_->group.keys.size();
    // Numbers of groups, bins, series and cells, and the keys of series twice over.
    MemoryClaim claim(run_);
    SLUICE_TRY(claim.set(grouping_->size() * (3 * sizeof(uint32_t) + sizeof(int64_t) + key_count * 2 * sizeof(IpAddress))));
    std::vector<uint32_t> all(grouping_->size());
    std::iota(all.begin(), all.end(), 0u);
    const Column bins = grouping_->table().keys(0, all);

    // The grid.
    TimestampNs first = kTimestampMax, last = kTimestampMin;
    for (uint32_t g : all) {
      if (bins.is_null(g)) continue;
      first = std::min(first, bins.int_at(g));
      last = std::max(last, bins.int_at(g));
    }
    const TimeRange& range = spec_->range;
    if (range.from != kTimestampMin) first = bin_start(range.from, spec_->every);
    if (range.to != kTimestampMax && !range.empty()) last = bin_start(range.to - 1, spec_->every);
    if (first > last) return {};
    const auto bin_count = static_cast<uint64_t>((static_cast<__int128>(last) - first) / spec_->every) + 1;

    // Series: the keys behind the bin, ranked.
    std::vector<Type> types;
    for (size_t k = 1; k < key_count; ++k) types.push_back(spec_->group.keys[k].node->type);
    std::vector<uint32_t> series(all.size(), 0);
    std::vector<Column> series_keys;
    size_t series_count = 1;
    if (!types.empty()) {
      GroupTable table(types);
      std::vector<ColumnPtr> columns;
      for (size_t k = 1; k < key_count; ++k) columns.push_back(keep(grouping_->table().keys(k, all), worker.eval));
      Growth growth(worker.eval);
      table.find(columns, all.size(), series, &growth);
      if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
      series_count = table.size();
      std::vector<uint32_t> order(series_count);
      std::iota(order.begin(), order.end(), 0u);
      for (size_t k = 0; k < types.size(); ++k) series_keys.push_back(table.keys(k, order));
      std::vector<uint32_t> place = rank(series, series_count, series_keys, order, worker);
      for (uint32_t& s : series) s = place[s];
      for (Column& c : series_keys) c = c.gather(order);
    }
    const size_t kept = std::min<uint64_t>(series_count, spec_->series_max.value_or(series_count));
    const bool others = kept < series_count;
    const size_t shown = kept + others;
    if (shown == 0) return {};
    if (bin_count > worker.run.limits.rows_max / shown)
      return Error{ErrorCode::too_large, "the timeseries has more rows than the limit: rows_max = " + std::to_string(worker.run.limits.rows_max) +
                                             ", and " + std::to_string(bin_count) + " bins of " + std::to_string(shown) + " series are more"};

    // Cells that have rows, each a group of its own after the series beyond the limit became one.
    SLUICE_TRY(claim.set(claim.bytes() + bin_count * shown * sizeof(uint32_t)));
    std::vector<uint32_t> cell_of(bin_count * shown, UINT32_MAX);
    std::vector<uint32_t> part_of(all.size());
    uint32_t parts = 0;
    for (uint32_t g : all) {
      const int64_t offset = bins.is_null(g) ? -1 : bins.int_at(g) - first;
      const auto bin = static_cast<uint64_t>(offset / spec_->every);
      if (offset < 0 || bin >= bin_count) {  // outside the grid: `active between` finds such flows
        part_of[g] = parts++;
        continue;
      }
      uint32_t& cell = cell_of[bin * shown + std::min<size_t>(series[g], kept)];
      if (cell == UINT32_MAX) cell = parts++;
      part_of[g] = cell;
    }
    const std::vector<Column> values = grouping_->combined(part_of, parts, worker);
    size_t value_bytes = 0;
    for (const Column& c : values) value_bytes += c.byte_size();
    SLUICE_TRY(claim.set(claim.bytes() + value_bytes));
    if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;

    constexpr size_t kPieceMost = 16'384;
    const size_t piece = worker.run.batch_rows(parts == 0 ? 0 : value_bytes / parts, kPieceMost, 1);
    std::vector<uint32_t> previous(shown, UINT32_MAX);  // by series: the last cell with rows
    for (size_t from = 0; from < cell_of.size(); from += piece) {
      SLUICE_TRY(worker.run.check());
      const size_t to = std::min(cell_of.size(), from + piece);
      std::vector<uint32_t> fill_from(to - from, UINT32_MAX);
      for (size_t c = from; c < to; ++c) {
        uint32_t& before = previous[c % shown];
        if (cell_of[c] != UINT32_MAX) before = cell_of[c];
        fill_from[c - from] = before;
      }
      Chunk out;
      out.rows = to - from;
      Column ts(PhysicalType::I64);
      for (size_t c = from; c < to; ++c) ts.append(static_cast<int64_t>(first + static_cast<int64_t>(c / shown) * spec_->every));
      out.slots.push_back(keep(std::move(ts), worker.eval));
      for (size_t k = 0; k < series_keys.size(); ++k) {
        out.slots.push_back(make_column(types[k].physical, to - from, worker.eval, [&](auto& column, size_t row) {
          const size_t s = (from + row) % shown;
          if (s < kept)
            column.append_from(series_keys[k], s);
          else
            append_rest_key(column, types[k]);
        }));
      }
      for (size_t a = 0; a < values.size(); ++a) {
        out.slots.push_back(make_column(values[a].type(), to - from, worker.eval, [&](auto& column, size_t row) {
          if (const uint32_t cell = cell_of[from + row]; cell != UINT32_MAX)
            column.append_from(values[a], cell);
          else
            fill(column, a, values[a], fill_from[row]);
        }));
      }
      if (spec_->series_max) {
        Column is_rest(PhysicalType::U8);
        for (size_t c = from; c < to; ++c) is_rest.append(static_cast<uint8_t>(c % shown >= kept));
        out.slots.resize(std::max(out.slots.size(), spec_->rest_slot + 1));
        out.slots[spec_->rest_slot] = keep(std::move(is_rest), worker.eval);
      }
      SLUICE_TRY(emit(std::move(out)));
    }
    return {};
  }

 private:
  // Where each series stands: by the first aggregate's sum over its bins, greatest first, then by its keys. `order`
  // becomes the series in that order. Without a limit the keys alone decide.
  std::vector<uint32_t> rank(const std::vector<uint32_t>& series, size_t count, const std::vector<Column>& keys, std::vector<uint32_t>& order,
                             Worker& worker) {
    std::vector<double> totals(count, 0);
    if (spec_->series_max && *spec_->series_max < count) {
      std::vector<uint32_t> all(series.size());
      std::iota(all.begin(), all.end(), 0u);
      const Column first = grouping_->aggregate(0, all, worker);
      if (first.type() != PhysicalType::Ip && first.type() != PhysicalType::Str) {
        const auto values = as_doubles(first);
        for (size_t g = 0; g < series.size(); ++g)
          if (!first.is_null(g)) totals[series[g]] += values[g];
      }
    }
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      if (totals[a] != totals[b]) return totals[a] > totals[b];
      return row_less(keys, a, b);
    });
    // Those shown come in key order.
    const size_t kept = std::min<uint64_t>(count, spec_->series_max.value_or(count));
    std::sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept), [&](uint32_t a, uint32_t b) { return row_less(keys, a, b); });
    std::vector<uint32_t> place(count);
    for (uint32_t i = 0; i < count; ++i) place[order[i]] = i;
    return place;
  }

  // put(column, row) appends a row; text asks for memory as it grows.
  template <typename F>
  static ColumnPtr make_column(PhysicalType type, size_t rows, EvalContext& context, F put) {
    if (type == PhysicalType::Str) {
      TextBuilder text(context, rows);
      for (size_t row = 0; row < rows; ++row) put(text, row);
      return keep(text.finish(), context);
    }
    Column column(type);
    for (size_t row = 0; row < rows; ++row) put(column, row);
    return keep(std::move(column), context);
  }

  void fill(TextBuilder& column, size_t, const Column& values, uint32_t previous) const {
    if (spec_->fill == TimeseriesSpec::Fill::previous && previous != UINT32_MAX)
      column.append_from(values, previous);
    else
      column.append_null();
  }
  void fill(Column& column, size_t aggregate, const Column& values, uint32_t previous) const {
    using Fill = TimeseriesSpec::Fill;
    // Numbers are filled with the number, durations with none at all; what is no amount has no value in a gap.
    const LogicalType type = spec_->group.aggregates[aggregate].make.result.logical;
    const bool number = is_number(type) || (type == LogicalType::duration && spec_->fill_value == 0);
    switch (spec_->fill) {
      case Fill::unsaid: return spec_->zero[aggregate] ? append_value(column, Value::uint(0)) : column.append_null();
      case Fill::null: return column.append_null();
      case Fill::previous: return previous == UINT32_MAX ? column.append_null() : column.append_from(values, previous);
      case Fill::value: return number ? append_value(column, Value::float64(spec_->fill_value)) : column.append_null();
    }
  }

  std::shared_ptr<const TimeseriesSpec> spec_;
  RunState* run_;
  std::string text_;
  std::optional<Grouping> grouping_;
};

}  // namespace

OperatorPtr make_timeseries(std::shared_ptr<const TimeseriesSpec> spec, RunState* run, std::string text) {
  return std::make_unique<Timeseries>(std::move(spec), run, std::move(text));
}

}  // namespace sluice::query
