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

class Timeseries final : public Operator {
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

  Status finish(Worker& worker, const Emit& emit) override {
    const size_t key_count = spec_->group.keys.size();
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
      for (size_t k = 1; k < key_count; ++k) columns.push_back(std::make_shared<Column>(grouping_->table().keys(k, all)));
      table.find(columns, all.size(), series);
      series_count = table.size();
      std::vector<uint32_t> order(series_count);
      std::iota(order.begin(), order.end(), 0u);
      for (size_t k = 0; k < types.size(); ++k) series_keys.push_back(table.keys(k, order));
      std::vector<uint32_t> place = rank(series, series_count, series_keys, order);
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

    constexpr size_t kPiece = 16'384;
    std::vector<uint32_t> previous(shown, UINT32_MAX);  // by series: the last cell with rows
    for (size_t from = 0; from < cell_of.size(); from += kPiece) {
      SLUICE_TRY(worker.run.check());
      const size_t to = std::min(cell_of.size(), from + kPiece);
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
      out.slots.push_back(std::make_shared<Column>(std::move(ts)));
      for (size_t k = 0; k < series_keys.size(); ++k) {
        Column column(types[k].physical);
        for (size_t c = from; c < to; ++c) {
          const size_t s = c % shown;
          if (s < kept)
            column.append_from(series_keys[k], s);
          else
            append_rest_key(column, types[k]);
        }
        out.slots.push_back(std::make_shared<Column>(std::move(column)));
      }
      for (size_t a = 0; a < values.size(); ++a) {
        Column column(values[a].type());
        for (size_t c = from; c < to; ++c) {
          if (cell_of[c] != UINT32_MAX)
            column.append_from(values[a], cell_of[c]);
          else
            fill(column, a, values[a], fill_from[c - from]);
        }
        out.slots.push_back(std::make_shared<Column>(std::move(column)));
      }
      if (spec_->series_max) {
        Column is_rest(PhysicalType::U8);
        for (size_t c = from; c < to; ++c) is_rest.append(static_cast<uint8_t>(c % shown >= kept));
        out.slots.resize(std::max(out.slots.size(), spec_->rest_slot + 1));
        out.slots[spec_->rest_slot] = std::make_shared<Column>(std::move(is_rest));
      }
      SLUICE_TRY(emit(std::move(out)));
    }
    return {};
  }

 private:
  // Where each series stands: by the first aggregate's sum over its bins, greatest first, then by its keys. `order`
  // becomes the series in that order. Without a limit the keys alone decide.
  std::vector<uint32_t> rank(const std::vector<uint32_t>& series, size_t count, const std::vector<Column>& keys, std::vector<uint32_t>& order) {
    std::vector<double> totals(count, 0);
    if (spec_->series_max && *spec_->series_max < count) {
      std::vector<uint32_t> all(series.size());
      std::iota(all.begin(), all.end(), 0u);
      const Column first = grouping_->aggregate(0, all);
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

  void fill(Column& column, size_t aggregate, const Column& values, uint32_t previous) const {
    using Fill = TimeseriesSpec::Fill;
    const bool number = column.type() != PhysicalType::Ip && column.type() != PhysicalType::Str;
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
