// compare: the same aggregate one period earlier.
//
// `… | stats a = AGG by KEY, … | compare to 7d` runs the stages before it once more over the query's range moved back by the period
// and puts beside each row, by its keys, the earlier value of each other column as NAME_prev, and for numbers and durations
// NAME_change = (now - before) / before: 0.5 is half as much again. A key that is a time (bin(1h), timeseries) is matched with the
// time one period before. Stages behind the grouping that only choose among groups (where, sort, limit, tail, sample, and the N
// of top and timeseries) are left out of the earlier run: a group that is shown now is compared wherever it ranked then.
// What was not there then has null; so has a change from null or zero. Groups that were there then and are not now are not
// rows of the answer (absent finds those).
#include <algorithm>

#include "query/join.h"
#include "query/stage.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

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
    if (top->with_others) return binder.fail(binder.span(), "compare cannot follow 'with others': the rest was another one then", {}, ErrorCode::unsupported);
    g::StatsStage stats;
    stats.keys = top->keys;
    stats.aggregates = top->aggregates;
    if (stats.aggregates.empty()) {
      const g::Name count{{"count"}, false, {}};
      stats.aggregates.push_back({std::nullopt, g::ExprPtr(g::Expr{g::Call{count, {}}, {}}), {}});
    }
    grouping.node = std::move(stats);
    grouping.name.text = "stats";
  } else if (const auto* series = grouping.as<g::TimeseriesStage>(); series && series->limit) {
    return binder.fail(binder.span(), "compare cannot follow a limit on series: the rest was another one then", "choose the series with where first",
                       ErrorCode::unsupported);
  }
  stages.push_back(std::move(grouping));
  for (size_t i = last + 1; i < query.stages.size(); ++i)
    if (!only_chooses(query.stages[i])) stages.push_back(query.stages[i]);
  query.stages = std::move(stages);
  return true;
}

bool bind(StageBinder& binder) {
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
  if (!query || !widen_prefix(*query, binder)) return false;
  if (!binder.grouped()) return binder.fail(binder.span(), "compare needs groups: put it behind stats, top or timeseries");

  const std::vector<StageColumn> columns = binder.visible();
  auto spec = std::make_shared<JoinSpec>();
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
    const auto at = then_of(c.name);
    if (!at) continue;
    const Type type = spec->table->columns[*at].type;
    if (binder.is_group_key(c.slot)) {
      spec->keys.push_back(make_slot(c.slot, c.type));
      NodePtr theirs = make_slot(*at, type);
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
  binder.push(make_join(std::move(spec), binder.run()), true);
  if (!changes.empty()) binder.push(make_compute(std::move(changes), binder.text()), true);
  return true;
}

constexpr std::string_view kWords[] = {"to"};

}  // namespace

namespace stage_detail {
extern const StageSpec kCompare{"compare", "compare to D", "The same aggregates one period earlier, and how they changed", kWords, bind};
}

}  // namespace sluice::query
