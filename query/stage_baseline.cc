// baseline: an aggregate by bins, beside what the look-back says is usual for that key at that time.
//
// `baseline AGG by KEY, … every W over D [seasonal S] [min N]` computes AGG for each bin of W and each key, over the query's range
// and over the D before it (the stages before it are asked of both). A row of the answer is a bin and key of the range:
//   expected   the median of the look-back's bins of the key; with `seasonal S` (a whole number of bins, such as 1d or 1w), only of
//              bins that lie a whole number of S before, or one bin to either side of that
//   deviation  the robust standard deviation of the same bins: 1.4826 × MAD, the median of |value - median|. Where that is zero,
//              1.2533 × the mean of |value - median| (Iglewicz and Hoaglin 1993, as SPSS has it); where that is zero too, the
//              greater of 1 and a twentieth of |expected|, so that a change after a constant past has a finite score
//   score      (value - expected) / deviation
//   samples    how many bins that was
// With fewer than N samples (5 unless it says) the first three are null: there is no opinion yet. A bin without rows counts as zero
// for counts and sums, from the key's first bin of the look-back on; for all else (avg, max, quantiles …) it is no sample.
// Without keys there is one series.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "query/group.h"
#include "query/key_index.h"
#include "query/limits.h"
#include "query/stage.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

constexpr uint64_t kSamplesMin = 5;

struct BaselineSpec {
  size_t keys = 0;      // slots: ts, keys, value
  std::shared_ptr<SubTable> past;  // the same columns
  DurationNs every = 0, over = 0;
  uint64_t season = 1;             // in bins; 1: every bin is like the others
  uint64_t least = kSamplesMin;
  bool gaps_are_zero = false;
  TimestampNs first_bin = 0;       // of the look-back
  uint64_t bins = 0;               // of the look-back
  std::string text;
};

// What is usual for one key at one place of the season.
struct Usual {
  double expected = 0, deviation = 0;
  uint64_t samples = 0;
};

double median(std::vector<double>& values) {
  const size_t n = values.size(), half = n / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(half), values.end());
  const double upper = values[half];
  if (n % 2 == 1) return upper;
  return (*std::max_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(half)) + upper) / 2;
}

Usual usual_of(std::vector<double>& values) {
  Usual out;
  out.samples = values.size();
  if (values.empty()) return out;
  out.expected = median(values);
  double sum = 0;
  for (double& v : values) {
    v = std::fabs(v - out.expected);
    sum += v;
  }
  out.deviation = 1.4826 * median(values);
  if (out.deviation == 0) out.deviation = 1.2533 * sum / static_cast<double>(values.size());
  if (out.deviation == 0) out.deviation = std::max(1.0, std::fabs(out.expected) / 20);
  return out;
}

class Baseline final : public Operator {
 public:
  Baseline(std::shared_ptr<const BaselineSpec> spec, RunState* run) : spec_(std::move(spec)), claim_(run) {}

  Status push(Chunk chunk, Worker&, const Emit&) override {
    SLUICE_TRY(rows_.append(chunk, claim_));
    return claim_.set(rows_.byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (size_t i = 0; i < spec_->keys + 2; ++i) slots.push_back(i);
  }
  std::string describe() const override { return spec_->text; }

  Status finish(Worker& worker, const Emit& emit) override {
    const size_t count = rows_.rows(), k = spec_->keys;
    if (count == 0) return {};
    // The past of each key, in order of bins.
    const RowBuffer& past = spec_->past->rows;
    std::vector<ColumnPtr> past_keys, keys;
    for (size_t i = 0; i < k; ++i) {
      past_keys.push_back(past.shared(i + 1));
      keys.push_back(rows_.shared(i + 1));
    }
    KeyIndex index;
    if (!index.build(past_keys, past.rows(), true, worker.eval.meter)) return worker.eval.meter.stopped;
    SLUICE_TRY(claim_.set(rows_.byte_size() + index.byte_size() + past.rows() * 8));
    const std::vector<double> past_values = as_doubles(past.slot(k + 1));

    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    std::vector<Column> sorted_by;
    for (size_t i = 0; i <= k; ++i) sorted_by.push_back(rows_.slot(i));
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return row_less(sorted_by, a, b); });

    // By the first row of the key's past (none: kNone) and the place in the season.
    std::map<std::pair<uint32_t, uint64_t>, Usual> known;
    Column expected(PhysicalType::F64), deviation(PhysicalType::F64), score(PhysicalType::F64), samples(PhysicalType::U64);
    const Column& values = rows_.slot(k + 1);
    const std::vector<double> numbers = as_doubles(values);
    size_t charged = 0;
    for (uint32_t row : order) {
      const uint32_t first = index.first(keys, row);
      const uint64_t place = season_place(rows_.slot(0).int_at(row));
      auto [it, fresh] = known.try_emplace({first, place});
      if (fresh && first != KeyIndex::kNone) {
        std::vector<double> found;
        if (!collect(index, first, past_values, place, found, worker)) return worker.eval.meter.stopped;
        it->second = usual_of(found);
      }
      if (known.size() > charged + 4'096) {
        charged = known.size();
        SLUICE_TRY(claim_.set(rows_.byte_size() + index.byte_size() + past.rows() * 8 + charged * 96));
      }
      const Usual& usual = it->second;
      samples.append(usual.samples);
      if (usual.samples < spec_->least) {
        expected.append_null();
        deviation.append_null();
        score.append_null();
        continue;
      }
      expected.append(usual.expected);
      deviation.append(usual.deviation);
      if (values.is_null(row))
        score.append_null();
      else
        score.append((numbers[row] - usual.expected) / usual.deviation);
    }
    std::vector<Column> out;
    for (size_t i = 0; i < k + 2; ++i) out.push_back(rows_.slot(i).gather(order));
    for (Column* c : {&expected, &deviation, &score, &samples}) out.push_back(std::move(*c));
    return emit_columns(std::move(out), worker, emit);
  }

 private:
  int64_t bin_of(TimestampNs t) const { return (t - spec_->first_bin) / spec_->every; }
  uint64_t season_place(TimestampNs t) const { return static_cast<uint64_t>(bin_of(t)) % spec_->season; }
  // Whether a bin of the look-back stands for this place of the season.
  bool like(uint64_t bin, uint64_t place) const {
    const uint64_t away = (bin % spec_->season + spec_->season - place) % spec_->season;
    return away <= 1 || away + 1 == spec_->season;
  }
  bool collect(const KeyIndex& index, uint32_t first, const std::vector<double>& values, uint64_t place, std::vector<double>& found, Worker& worker) const {
    const Column &times = spec_->past->rows.slot(0), &column = spec_->past->rows.slot(spec_->keys + 1);
    std::vector<std::pair<uint64_t, double>> bins;  // with rows
    uint64_t from = spec_->bins;
    for (uint32_t row = first; row != KeyIndex::kNone; row = index.next(row)) {
      if (!worker.eval.meter.spend(1)) return false;
      const int64_t bin = bin_of(times.int_at(row));
      if (bin < 0 || static_cast<uint64_t>(bin) >= spec_->bins) continue;
      from = std::min(from, static_cast<uint64_t>(bin));
      if (!column.is_null(row) && like(static_cast<uint64_t>(bin), place)) bins.emplace_back(static_cast<uint64_t>(bin), values[row]);
    }
    for (const auto& [bin, value] : bins) found.push_back(value);
    if (!spec_->gaps_are_zero) return true;
    // How many bins are like this one from the key's first on; those without rows were zero.
    uint64_t alike = 0;
    for (uint64_t b = from; b < spec_->bins; ++b) alike += like(b, place);
    if (!worker.eval.meter.spend(spec_->bins - std::min(from, spec_->bins))) return false;
    if (alike > found.size()) found.resize(alike, 0.0);
    return true;
  }

  std::shared_ptr<const BaselineSpec> spec_;
  RowBuffer rows_;
  MemoryClaim claim_;
};

// Whether no rows mean nothing: counts and sums.
bool empty_is_zero(const g::Expr& aggregate) {
  const auto* call = aggregate.as<g::Call>();
  if (!call) return false;
  const std::string name = lower_case(call->function.text());
  for (std::string_view n : {"count", "countif", "sum", "sumif", "dcount", "count_distinct"})
    if (name == n) return true;
  return name == "rate" && call->arguments.size() == 1 && empty_is_zero(*call->arguments[0]);
}

bool bind_baseline(StageBinder& binder) {
  auto spec = std::make_shared<BaselineSpec>();
  const auto aggregate = binder.args.expression();
  if (!aggregate) return binder.expected("an aggregate such as count() or sum(bytes)");
  std::optional<g::Name> name;
  if (binder.args.word("as")) {
    name = binder.args.name();
    if (!name) return binder.expected("a name");
  }
  std::vector<g::ExprPtr> keys;
  if (binder.args.word("by")) {
    keys = binder.args.expressions();
    if (keys.empty()) return binder.expected("a key");
  }
  if (!binder.args.word("every")) return binder.expected("'every' and the width of a bin");
  const auto width = binder.args.duration();
  if (!width) return binder.expected("a duration such as 1h");
  const auto every = binder.duration_of(**width, "every");
  if (!every) return false;
  if (!binder.args.word("over")) return binder.expected("'over' and the length of the look-back");
  const g::Span over_at = binder.args.place();
  const auto over = binder.duration("over");
  if (!over) return false;
  spec->every = *every;
  spec->over = *over;
  if (binder.args.word("seasonal")) {
    const g::Span at = binder.args.place();
    const auto season = binder.duration("seasonal");
    if (!season) return false;
    if (*season % *every != 0 || *season == *every)
      return binder.fail(at, "a season is a whole number of bins, two or more; bins here are of " + format_duration(*every));
    if (*season > *over) return binder.fail(at, "the season is longer than the look-back, which is " + format_duration(*over));
    spec->season = static_cast<uint64_t>(*season / *every);
  }
  if (binder.args.word("min")) {
    const g::Span at = binder.args.place();
    const auto n = binder.count("a count of samples");
    if (!n) return false;
    if (*n == 0) return binder.fail(at, "an opinion needs at least 1 sample");
    spec->least = *n;
  }
  if (!binder.end()) return false;
  const TimeRange now = binder.range();
  if (now.from == kTimestampMin)
    return binder.fail(binder.span(), "baseline needs to know where the look-back ends", "give the query a range with a start, such as last 1h");
  if (*over < *every) return binder.fail(over_at, "the look-back is shorter than a bin of " + format_duration(*every));
  spec->bins = static_cast<uint64_t>((*over + *every - 1) / *every);
  if (spec->bins > limits::kBaselineBinsMax)
    return binder.fail(over_at, "the look-back has more bins than the limit: " + std::to_string(limits::kBaselineBinsMax), {}, ErrorCode::too_large);
  const TimestampNs end = bin_start(now.from, *every);
  TimestampNs begin;
  if (__builtin_sub_overflow(end, static_cast<int64_t>(spec->bins) * *every, &begin)) return binder.fail(over_at, "that look-back begins before all time");
  spec->first_bin = begin;
  spec->gaps_are_zero = empty_is_zero(**aggregate);

  const g::ExprPtr bin(g::Expr{g::Call{g::Name{{"bin"}, false, binder.span()}, {*width}}, binder.span()});
  std::vector<g::NamedExpr> grouping = {binder.named("ts", bin)};
  for (const auto& e : keys) grouping.push_back({std::nullopt, e, e->span});
  const std::vector<g::NamedExpr> aggregates = {{name, *aggregate, (*aggregate)->span}};
  auto query = binder.prefix();
  if (!query) return false;
  query->stages.push_back({g::Keyword{"stats", binder.span()}, g::StatsStage{aggregates, grouping, std::nullopt}, binder.span()});
  // The range's own errors come first: they have the better places.
  if (!binder.stats(aggregates, grouping)) return false;
  spec->past = binder.subquery(*query, TimeRange{begin, end}, "the look-back");
  if (!spec->past) return false;
  std::vector<StageColumn> columns = binder.visible();
  spec->keys = keys.size();
  for (size_t i = 0; i < columns.size(); ++i) {
    // What comes out of arithmetic over aggregates lies in a slot of its own.
    if (columns[i].slot != i) return binder.fail((*aggregate)->span, "baseline takes one plain aggregate", "compute the rest with extend behind it");
  }
  const StageColumn& value = columns[spec->keys + 1];
  if (!is_number(value.type.logical)) return binder.fail((*aggregate)->span, "baseline needs a number, and this is " + std::string(to_string(class_of(value.type.logical))));
  spec->text = binder.text();
  const size_t key_count = spec->keys + 1;
  const Type number = Type::of(LogicalType::float64);
  for (std::string_view n : {"expected", "deviation", "score", "samples"}) {
    if (!binder.free_name(n, binder.span())) return false;
    columns.push_back({std::string(n), 0, n == "samples" ? Type::of(LogicalType::uint) : number});
  }
  binder.push_frame(std::make_unique<Baseline>(std::move(spec), binder.run()), std::move(columns), key_count);
  return true;
}

constexpr std::string_view kBaselineWords[] = {"by", "every", "over", "seasonal", "min"};

}  // namespace

namespace stage_detail {
extern const StageSpec kBaseline{"baseline", "baseline AGG [by KEY, …] every W over D [seasonal S] [min N]", "An aggregate by bins, and what is usual for it", kBaselineWords, bind_baseline};
}

}  // namespace sluice::query
