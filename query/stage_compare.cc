// compare: the same aggregate one period earlier.
//
// `… | stats a = AGG by KEY, … | compare to 7d` runs the stages before it once more over the query's range moved back by the period
// and puts beside each row, by its keys, the earlier value of each other column as NAME_prev, and for numbers and durations
// NAME_change = (now - before) / before: 0.5 is half as much again. A key that is a time (bin(1h), timeseries) is matched with the
// time one period before. Stages behind the grouping that only choose among groups (where, sort, limit, tail, sample, and the N
// of top and timeseries) are left out of the earlier run: a group that is shown now is compared wherever it ranked then.
// What was not there then has null; so has a change from null or zero. Groups that were there then and are not now are not
// rows of the answer (absent finds those).
//
// Behind `top … with others` and a timeseries with a limit the rest of then is what the groups that are not shown now were then, each bin
// by itself. It is told from the aggregates of those groups, so these must be counts, sums, least or greatest values.
#include <algorithm>
#include <map>
#include <numeric>

#include "query/join.h"
#include "query/key_index.h"
#include "query/stage.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

// How an aggregate of all groups follows from those of each.
enum class Fold { sum, least, greatest };

// The left join of compare where one row (or one of each bin) stands for all groups that are not shown.
struct RestSpec {
  JoinSpec join;
  std::vector<Fold> folds;     // of join.added
  size_t others = 0;           // slot that marks the row of the rest
  std::optional<size_t> time;  // which of join.keys is the bin of a series
};

class CompareRest final : public Operator {
 public:
  CompareRest(std::shared_ptr<const RestSpec> spec, RunState* run) : spec_(std::move(spec)), claim_(run), index_claim_(run) {}

  Status push(Chunk chunk, Worker&, const Emit&) override {
    SLUICE_TRY(rows_.append(chunk, claim_));
    return claim_.set(rows_.byte_size());
  }
  Status finish(Worker& worker, const Emit& emit) override {
    const JoinSpec& join = spec_->join;
    const RowBuffer& then = join.table->rows;
    const size_t count = rows_.rows();
    if (count == 0) return {};
    Chunk whole;
    whole.rows = then.rows();
    for (size_t i = 0; i < join.table->columns.size(); ++i) whole.slots.push_back(then.shared(i));
    std::vector<ColumnPtr> keys;
    for (const NodePtr& node : join.table_keys) keys.push_back(node->eval(whole, worker.eval));
    SLUICE_TRY(worker.eval.meter.stopped);
    const ColumnPtr then_time = spec_->time ? keys[*spec_->time] : nullptr;
    SLUICE_TRY(index_claim_.set(then.rows() * 29));
    KeyIndex index;
    if (!index.build(std::move(keys), then.rows(), true, worker.eval.meter)) return worker.eval.meter.stopped;

    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    Chunk now = rows_.gather(order, worker.eval);
    SLUICE_TRY(worker.eval.meter.stopped);
    std::vector<ColumnPtr> mine;
    for (const NodePtr& node : join.keys) mine.push_back(node->eval(now, worker.eval));
    const Column& others = *now.slots[spec_->others];
    const auto is_rest = [&](size_t row) { return !others.is_null(row) && others.uint_at(row) != 0; };

    // Who is shown has a partner of his own; what nobody took is the rest's.
    std::vector<uint32_t> partner(count, KeyIndex::kNone);
    std::vector<uint8_t> taken(then.rows());
    for (uint32_t row = 0; row < count; ++row) {
      if (is_rest(row)) continue;
      partner[row] = index.first(mine, row);
      if (partner[row] != KeyIndex::kNone) taken[partner[row]] = 1;
    }
    std::map<TimestampNs, std::vector<uint32_t>> rest;  // rows of then, by bin; one bin where there are none
    for (uint32_t row = 0; row < then.rows(); ++row) {
      if (!worker.eval.meter.spend(1)) return worker.eval.meter.stopped;
      if (!taken[row] && !(then_time && then_time->is_null(row))) rest[then_time ? then_time->int_at(row) : 0].push_back(row);
    }
    for (size_t a = 0; a < join.added.size(); ++a) {
      const Column& from = then.slot(join.added[a].column);
      Column out(from.type());
      for (uint32_t row = 0; row < count; ++row) {
        if (!is_rest(row)) {
          partner[row] == KeyIndex::kNone ? out.append_null() : out.append_from(from, partner[row]);
          continue;
        }
        const auto found = rest.find(spec_->time ? mine[*spec_->time]->int_at(row) : 0);
        found == rest.end() ? out.append_null() : fold(from, found->second, spec_->folds[a], worker.eval, out);
      }
      if (now.slots.size() <= join.added[a].slot) now.slots.resize(join.added[a].slot + 1);
      now.slots[join.added[a].slot] = keep(std::move(out), worker.eval);
    }
    return emit(std::move(now));
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const NodePtr& node : spec_->join.keys) node->collect_slots(slots);
    slots.push_back(spec_->others);
  }
  std::string describe() const override { return spec_->join.text; }

 private:
  template <typename T>
  static T folded(const Column& from, const std::vector<uint32_t>& rows, Fold how, EvalContext& context, bool& any, T (*at)(const Column&, size_t)) {
    T value{};
    for (uint32_t row : rows) {
      if (from.is_null(row)) continue;
      const T one = at(from, row);
      if (!any)
        value = one;
      else if (how == Fold::least)
        value = std::min(value, one);
      else if (how == Fold::greatest)
        value = std::max(value, one);
      else if constexpr (std::is_floating_point_v<T>)
        value += one;
      else
        context.overflow = __builtin_add_overflow(value, one, &value) || context.overflow;
      any = true;
    }
    return value;
  }
  static void fold(const Column& from, const std::vector<uint32_t>& rows, Fold how, EvalContext& context, Column& out) {
    bool any = false;
    if (from.type() == PhysicalType::F64) {
      const double v = folded<double>(from, rows, how, context, any, [](const Column& c, size_t i) { return c.float_at(i); });
      any ? out.append(v) : out.append_null();
    } else if (from.type() == PhysicalType::I64) {
      const int64_t v = folded<int64_t>(from, rows, how, context, any, [](const Column& c, size_t i) { return c.int_at(i); });
      any ? out.append(v) : out.append_null();
    } else if (from.type() == PhysicalType::Ip) {
      const auto v = extreme<IpAddress>(from, rows, how, any, [](const Column& c, size_t i) { return c.ip_at(i); });
      any ? out.append(v) : out.append_null();
    } else if (from.type() == PhysicalType::Str) {
      const auto v = extreme<std::string_view>(from, rows, how, any, [](const Column& c, size_t i) { return c.string_at(i); });
      any ? out.append_string(v) : out.append_null();
    } else {
      const uint64_t v = folded<uint64_t>(from, rows, how, context, any, [](const Column& c, size_t i) { return c.uint_at(i); });
      any ? out.append_uint(v) : out.append_null();
    }
  }
  template <typename T, typename At>
  static T extreme(const Column& from, const std::vector<uint32_t>& rows, Fold how, bool& any, At at) {
    T value{};
    for (uint32_t row : rows) {
      if (from.is_null(row)) continue;
      const T one = at(from, row);
      if (!any || (how == Fold::least ? one < value : value < one)) value = one;
      any = true;
    }
    return value;
  }

  std::shared_ptr<const RestSpec> spec_;
  RowBuffer rows_;
  MemoryClaim claim_, index_claim_;
};

struct Folds {
  std::map<std::string, Fold> by_name;  // lower case
  bool is_series = false;
};

// What the grouping before says of its aggregates, where one row stands for the rest of them. nullopt and no error: there is no such row.
std::optional<Folds> folds_of(const g::Query& query, StageBinder& binder) {
  const g::Stage* grouping = nullptr;
  for (const g::Stage& s : query.stages)
    if (s.as<g::TopStage>() || s.as<g::TimeseriesStage>() || s.as<g::StatsStage>() || s.as<g::DistinctStage>()) grouping = &s;
  const auto* top = grouping ? grouping->as<g::TopStage>() : nullptr;
  const auto* series = grouping ? grouping->as<g::TimeseriesStage>() : nullptr;
  if (!(top && top->with_others) && !(series && series->limit)) return std::nullopt;
  for (const g::Stage* s = grouping + 1; s != query.stages.data() + query.stages.size(); ++s)
    if (!s->as<g::SortStage>() && !s->as<g::RenderStage>()) {
      binder.fail(binder.span(), "compare stands right behind a grouping whose rest is one row", "move '" + s->name.text + "' behind compare");
      return std::nullopt;
    }
  Folds folds{{}, series != nullptr};
  const auto& aggregates = top ? top->aggregates : series->aggregates;
  if (aggregates.empty()) folds.by_name["count"] = Fold::sum;
  for (const g::NamedExpr& a : aggregates) {
    const auto* call = a.value->as<g::Call>();
    const std::string function = call ? lower_case(call->function.text()) : "";
    std::optional<Fold> fold;
    if (function == "count" || function == "countif" || function == "sum" || function == "sumif") fold = Fold::sum;
    if (function == "min") fold = Fold::least;
    if (function == "max") fold = Fold::greatest;
    if (!fold) {
      binder.fail(a.span, "what the rest was then can be told of count, countif, sum, sumif, min and max, and not of this", "leave the rest out, or this", ErrorCode::unsupported);
      return std::nullopt;
    }
    folds.by_name[lower_case(a.name ? a.name->text() : Binder::default_name(*call))] = *fold;
  }
  return folds;
}

bool only_chooses(const g::Stage& stage) {
  return stage.as<g::WhereStage>() || stage.as<g::SortStage>() || stage.as<g::LimitStage>() || stage.as<g::TailStage>() || stage.as<g::SampleStage>() ||
         stage.as<g::RenderStage>();
}
bool groups(const g::Stage& stage) { return stage.as<g::StatsStage>() || stage.as<g::TopStage>() || stage.as<g::TimeseriesStage>() || stage.as<g::DistinctStage>(); }

// The earlier run's stages. False: an error is set.
bool widen_prefix(g::Query& query, StageBinder& binder) {
  size_t last = query.stages.size();
  for (size_t i = query.stages.size(); i-- > 0 && last == query.stages.size();)
    if (groups(query.stages[i])) last = i;
  if (last == query.stages.size()) return binder.fail(binder.span(), "compare needs groups: put it behind stats, top or timeseries");
  std::vector<g::Stage> stages(query.stages.begin(), query.stages.begin() + static_cast<ptrdiff_t>(last));
  g::Stage grouping = query.stages[last];
  if (const auto* top = grouping.as<g::TopStage>()) {
    g::StatsStage stats;
    stats.keys = top->keys;
    stats.aggregates = top->aggregates;
    if (stats.aggregates.empty()) {
      const g::Name count{{"count"}, false, {}};
      stats.aggregates.push_back({std::nullopt, g::ExprPtr(g::Expr{g::Call{count, {}}, {}}), {}});
    }
    grouping.node = std::move(stats);
    grouping.name.text = "stats";
  } else if (const auto* series = grouping.as<g::TimeseriesStage>()) {
    g::TimeseriesStage all = *series;
    all.limit.reset();
    grouping.node = std::move(all);
  }
  stages.push_back(std::move(grouping));
  for (size_t i = last + 1; i < query.stages.size(); ++i)
    if (!only_chooses(query.stages[i])) stages.push_back(query.stages[i]);
  query.stages = std::move(stages);
  return true;
}

bool bind_compare(StageBinder& binder) {
  if (!binder.args.word("to")) return binder.expected("'to' and a duration");
  const auto period = binder.duration("to");
  if (!period || !binder.end()) return false;
  const TimeRange now = binder.range();
  if (now.from == kTimestampMin || now.to == kTimestampMax)
    return binder.fail(binder.span(), "compare needs to know what to move back", "give the query a range, such as last 24h");
  if (const auto width = binder.bin_width(); width && *period % *width != 0)
    return binder.fail(binder.span(), "the period must be a whole number of bins of " + format_duration(*width));
  TimeRange before;
  if (__builtin_sub_overflow(now.from, *period, &before.from) || __builtin_sub_overflow(now.to, *period, &before.to))
    return binder.fail(binder.span(), "that period lies before all time");
  auto query = binder.prefix();
  if (!query) return false;
  const auto folds = folds_of(*query, binder);
  if (binder.failed() || !widen_prefix(*query, binder)) return false;
  if (!binder.grouped()) return binder.fail(binder.span(), "compare needs groups: put it behind stats, top or timeseries");

  const std::vector<StageColumn> columns = binder.visible();
  auto rest = std::make_shared<RestSpec>();
  JoinSpec* const spec = &rest->join;
  spec->kind = JoinSpec::Kind::left;
  spec->nulls_match = true;
  spec->table = binder.subquery(*query, before, "the period before");
  if (!spec->table) return false;
  const auto then_of = [&](const std::string& name) -> std::optional<size_t> {
    for (size_t i = 0; i < spec->table->columns.size(); ++i)
      if (equal_ignoring_case(spec->table->columns[i].name, name)) return i;
    return std::nullopt;
  };
  std::vector<Computed> changes;
  size_t compared = 0;
  for (const StageColumn& c : columns) {
    if (folds && c.name == "others") rest->others = c.slot;
    const auto at = then_of(c.name);
    if (!at) continue;
    const Type type = spec->table->columns[*at].type;
    if (binder.is_group_key(c.slot)) {
      spec->keys.push_back(make_slot(c.slot, c.type));
      NodePtr theirs = make_slot(*at, type);
      if (folds && folds->is_series && c.name == "ts") rest->time = spec->keys.size() - 1;
      if (type.logical == LogicalType::timestamp) {
        auto moved = make_arithmetic(Arithmetic::add, theirs, make_constant(Value::duration(*period)), false);
        if (!moved.ok()) return binder.fail(binder.span(), moved.error().message);
        theirs = std::move(moved).value();
      }
      spec->table_keys.push_back(std::move(theirs));
      continue;
    }
    ++compared;
    if (!binder.free_name(c.name + "_prev", binder.span())) return false;
    const auto previous = binder.add_column(c.name + "_prev", type);
    if (!previous) return false;
    spec->added.push_back({*at, *previous});
    if (folds) {
      const auto fold = folds->by_name.find(lower_case(c.name));
      SLUICE_CHECK(fold != folds->by_name.end());
      rest->folds.push_back(fold->second);
    }
    if (!is_number(c.type.logical) && c.type.logical != LogicalType::duration) continue;
    if (!binder.free_name(c.name + "_change", binder.span())) return false;
    const Type number = c.type.logical == LogicalType::duration ? c.type : Type::of(LogicalType::float64);
    auto as_number = [&](NodePtr n) { return n->type.physical == number.physical ? n : make_cast(std::move(n), number); };
    const NodePtr a = as_number(make_slot(c.slot, c.type)), b = as_number(make_slot(*previous, type));
    auto difference = make_arithmetic(Arithmetic::subtract, a, b, false);
    if (!difference.ok()) return binder.fail(binder.span(), difference.error().message);
    auto change = make_arithmetic(Arithmetic::divide, std::move(difference).value(), b, false);
    if (!change.ok()) return binder.fail(binder.span(), change.error().message);
    const auto slot = binder.add_column(c.name + "_change", (*change)->type);
    if (!slot) return false;
    changes.push_back({*slot, std::move(change).value()});
  }
  if (compared == 0) return binder.fail(binder.span(), "there is nothing to compare: all columns here are keys");
  // Without keys, the one row of then beside the one row of now.
  spec->text = binder.text();
  if (folds)
    binder.push(std::make_unique<CompareRest>(std::move(rest), binder.run()), true);
  else
    binder.push(make_join(std::shared_ptr<const JoinSpec>(rest, spec), binder.run()), true);
  if (!changes.empty()) binder.push(make_compute(std::move(changes), binder.text()), true);
  return true;
}

constexpr std::string_view kCompareWords[] = {"to"};

}  // namespace

namespace stage_detail {
extern const StageSpec kCompare{"compare", "compare to D", "The same aggregates one period earlier, and how they changed", kCompareWords, bind_compare};
}

}  // namespace sluice::query
