// Stages that group: stats, top, timeseries, distinct.
#include <algorithm>
#include <cmath>

#include "grammar/nearest.h"
#include "grammar/print.h"
#include "query/bind.h"
#include "query/function.h"
#include "query/limits.h"
#include "query/sessions.h"
#include "query/spread.h"
#include "query/words.h"
#include "storage/model/counted.h"

namespace sluice::query {
namespace {
namespace g = grammar;

// How docs/http.md calls so much of a unit in a second; "" for what has no such name.
std::string_view unit_per_second(std::string_view unit) {
  if (unit == "bytes") return "bytes/s";
  if (unit == "packets") return "packets/s";
  return unit.empty() ? "1/s" : "";
}
}  // namespace

bool Binder::has_aggregate(const g::Expr& expr) const {
  if (const auto* call = expr.as<g::Call>()) {
    const std::string name = lower_case(call->function.text());
    if (find_aggregate(name) || name == "rate") return true;
    return std::any_of(call->arguments.begin(), call->arguments.end(), [&](const g::ExprPtr& a) { return has_aggregate(*a); });
  }
  if (const auto* a = expr.as<g::Arithmetic>()) return has_aggregate(*a->left) || has_aggregate(*a->right);
  if (const auto* u = expr.as<g::Unary>()) return has_aggregate(*u->operand);
  return false;
}

bool Binder::bind_keys(const std::vector<g::NamedExpr>& keys, BoundGroup& group) {
  for (const auto& k : keys) {
    if (!has_room(group.slots.size(), k.span)) return false;
    GroupKey key;
    std::string name;
    if (has_aggregate(*k.value)) {
      fail(k.span, "a key cannot be an aggregate");
      return false;
    }
    if (mentions_either(*k.value)) {
      side_ = Side::source;
      key.node = bind_value(k.value);
      side_ = Side::destination;
      if (key.node) key.other_side = bind_value(k.value);
      side_ = Side::none;
      if (!key.node || !key.other_side) return false;
      name = name_of(k);
    } else {
      key.node = bind_value(k.value);
      if (!key.node) return false;
      name = name_of(k);
    }
    for (const std::string& n : group.names)
      if (equal_ignoring_case(n, name)) {
        fail(k.span, "two columns are called '" + name + "'", "name one of them: other = …");
        return false;
      }
    Type type = key.node->type;
    if (key.other_side || !key.node->slot()) type.column.reset();
    group.slots.push_back({name, type, std::nullopt});
    group.names.push_back(name);
    group.outputs.push_back({name, group.slots.size() - 1, std::nullopt});
    group.spec->keys.push_back(std::move(key));
  }
  return true;
}

NodePtr Binder::bind_aggregate(const g::Call& call, const g::Span& span) {
  const std::string name = lower_case(call.function.text());
  BoundGroup& group = *group_;
  if (name == "rate") {
    // Per second of the bin, or of the whole range.
    if (call.arguments.size() != 1 || !has_aggregate(*call.arguments[0])) return fail(span, "rate() takes an aggregate, as in rate(sum(bytes))");
    std::optional<DurationNs> width = bin_width_;
    if (!width && plan_.scan.range.from != kTimestampMin && plan_.scan.range.to != kTimestampMax)
      width = plan_.scan.range.to - plan_.scan.range.from;
    if (!width || *width <= 0) return fail(span, "rate() needs to know over what time", "give the query a range, such as last 1h, or group by bin(1m)");
    NodePtr inner = bind_value(call.arguments[0]);
    if (!inner) return nullptr;
    const std::string_view unit = inner->type.unit;
    auto node = make_arithmetic(Arithmetic::divide, std::move(inner),
                                make_constant(Value::float64(static_cast<double>(*width) / static_cast<double>(kSecond))), options_.widen);
    if (!node.ok()) return fail(span, node.error().message);
    return is_number((*node)->type.logical) ? with_unit(std::move(node).value(), unit_per_second(unit)) : std::move(node).value();
  }
  if (!has_room(group.slots.size(), span)) return nullptr;
  const AggregateSpec* spec = find_aggregate(name);
  const size_t given = call.arguments.size();
  if (given < spec->args_min || given > spec->args_max)
    return fail(span, name + "() takes " + (spec->args_max == spec->args_min ? "" : std::to_string(spec->args_min) + " to ") + counted(spec->args_max, "argument"),
                std::string(spec->signature));
  // Arguments are of the rows, not of the groups: a bin in them parts no groups.
  group_ = nullptr;
  const auto bin_width = bin_width_;
  GroupAggregate aggregate;
  bool ok = true;
  const size_t values = spec->base ? given - 1 : given;
  for (size_t i = 0; i < values && ok; ++i) {
    NodePtr node = bind_value(call.arguments[i]);
    ok = node != nullptr;
    if (ok) aggregate.args.push_back(std::move(node));
  }
  if (ok && spec->base) {
    aggregate.filter = bind_condition(call.arguments[given - 1]);
    ok = aggregate.filter != nullptr;
  }
  if (ok && spec->needs_time) {
    NodePtr time = find_name(g::Name{{"ts"}, false, call.function.span});
    if (!time) fail(span, name + "() needs the column ts");
    ok = time != nullptr;
    if (ok) aggregate.args.push_back(std::move(time));
  }
  group_ = &group;
  bin_width_ = bin_width;
  if (!ok || error_) return nullptr;
  auto make = (spec->base ? spec->base : spec)->bind(aggregate.args, options_.widen);
  if (!make.ok()) return fail(span, make.error().message, std::string(spec->signature));
  aggregate.make = std::move(make).value();
  aggregate.adds_up = (spec->base ? spec->base : spec)->name == "sum";
  // The constants n and q have been read.
  if (name == "quantile" || name == "values") aggregate.args.resize(1);
  const size_t slot = group.slots.size();
  group.slots.push_back({g::print(g::Expr{call, span}), aggregate.make.result, std::nullopt});
  group.spec->aggregates.push_back(std::move(aggregate));
  return make_slot(slot, group.slots[slot].type);
}

bool Binder::bind_aggregates(const std::vector<g::NamedExpr>& aggregates, BoundGroup& group) {
  struct Outer {
    std::string name;
    NodePtr node;
  };
  std::vector<Outer> outer;
  for (const auto& a : aggregates) {
    if (!has_aggregate(*a.value)) {
      // A call of what is neither aggregate nor function is most likely a slip of the pen.
      const auto* call = a.value->as<g::Call>();
      std::string name = call ? call->function.text() : "";
      for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      if (call && !find_function(name)) {
        std::vector<std::string_view> known;
        for (const AggregateSpec* spec : query::aggregates()) known.push_back(spec->name);
        fail(call->function.span, "unknown aggregate '" + call->function.text() + "'", g::did_you_mean(name, known));
      } else {
        // `stats count`, `top 10 src_ip by bytes`
        const auto* word = a.value->as<g::Name>();
        std::string hint;
        if (word) {
          name = lower_case(word->text());
          if (const AggregateSpec* spec = find_aggregate(name))
            hint = "did you mean '" + (name == "count" ? std::string("count()") : std::string(spec->signature)) + "'?";
          else if (const NodePtr column = find_name(*word); column && is_number(column->type.logical))
            hint = "did you mean 'sum(" + word->text() + ")'?";
        }
        if (!error_) fail(a.span, "expected an aggregate such as count() or sum(bytes)", std::move(hint));
      }
      return false;
    }
    group_ = &group;
    NodePtr node = bind_value(a.value);
    group_ = nullptr;
    if (!node) return false;
    const std::string name = name_of(a);
    for (const std::string& n : group.names)
      if (equal_ignoring_case(n, name)) {
        fail(a.span, "two columns are called '" + name + "'", "name one of them: other = …");
        return false;
      }
    group.names.push_back(name);
    outer.push_back({name, std::move(node)});
  }
  for (Outer& o : outer) {
    std::optional<size_t> slot = o.node->slot();
    if (!slot) {
      slot = group.slots.size();
      Type type = o.node->type;
      type.column.reset();
      group.slots.push_back({o.name, type, std::nullopt});
      group.after.push_back({*slot, o.node});
    } else {
      group.slots[*slot].name = o.name;
    }
    group.outputs.push_back({o.name, slot, std::nullopt});
  }
  return true;
}

bool Binder::bind_rest_marker(BoundGroup& group, const g::Span& span) {
  constexpr const char* kName = "others";
  if (!has_room(group.slots.size(), span)) return false;
  for (const std::string& n : group.names)
    if (equal_ignoring_case(n, kName)) {
      fail(span, "the column 'others' marks the row of the rest", "call the other column something else: name = …");
      return false;
    }
  group.names.push_back(kName);
  group.outputs.push_back({kName, group.slots.size(), std::nullopt});
  group.slots.push_back({kName, Type::of(LogicalType::boolean), std::nullopt});
  return true;
}

void Binder::enter_group_frame(BoundGroup& group, const std::string& text) {
  flows_ = false;
  closed_ = false;
  pushable_ = false;
  dropped_.clear();
  group_keys_.clear();
  for (size_t k = 0; k < group.spec->keys.size(); ++k) group_keys_.push_back(k);
  frame_slots_ = std::move(group.slots);
  visible_ = std::move(group.outputs);
  indexed_ = false;
  // (Stages that follow read the groups' frame, whose slots are all filled.)
  if (!group.after.empty()) plan_.operators.push_back(make_compute(std::move(group.after), text));
}

// A session's key stands behind the others. On a stream whoever keeps the sessions makes its values, and says in one more slot, which is not
// shown, where each session ends.
bool Binder::bind_session_window(const g::StatsStage& stage, BoundGroup& group, const std::string& text) {
  const g::Window& window = *stage.window;
  if (!in_scan_frame_) {
    fail(window.span, "a window parts flows by their time, and behind a grouping there are no flows", {}, ErrorCode::unsupported);
    return false;
  }
  const auto gap = duration_of(*window.size, "gap");
  if (!gap) return false;
  if (*gap > limits::kSessionGapMax) {
    fail(window.size->span, "the gap of a session window is at most " + format_duration(limits::kSessionGapMax));
    return false;
  }
  for (const auto& k : stage.keys)
    if (mentions_either(*k.value)) {
      fail(k.span, "sessions need to know which side is meant", "src_" + g::print(*k.value) + " or dst_" + g::print(*k.value));
      return false;
    }
  if (!bind_keys(stage.keys, group)) return false;
  for (const std::string& name : group.names)
    if (equal_ignoring_case(name, "session")) {
      fail(window.span, "two columns are called 'session'", "name the other one: other = …");
      return false;
    }
  const NodePtr time = slot_of(ScanSource{ScanSource::Kind::stored, ColumnId::flow_end, {}, {}});
  const auto add_key = [&](const char* name, NodePtr node, bool shown) {
    if (!has_room(group.slots.size(), window.span)) return false;
    group.slots.push_back({name, Type::of(LogicalType::timestamp), std::nullopt});
    GroupKey key;
    key.node = std::move(node);
    group.spec->keys.push_back(std::move(key));
    if (!shown) return true;
    group.names.push_back(name);
    group.outputs.push_back({name, group.slots.size() - 1, std::nullopt});
    return true;
  };
  if (options_.continuous) {
    plan_.window = PlanWindow{2 * limits::kSessionLengthMax, *gap, *time->slot(), plan_.operators.size()};
    return add_key("session", time, true) && add_key("\001session_end", time, false);
  }
  // Keys that are computed, once for both: for who finds the sessions and for who groups.
  SessionsSpec spec;
  std::vector<Computed> computed;
  for (size_t i = 0; i < group.spec->keys.size(); ++i) {
    NodePtr& node = group.spec->keys[i].node;
    if (!node->slot()) {
      if (!has_room(scan_slots_.size(), window.span)) return false;
      Type type = node->type;
      type.column.reset();
      scan_slots_.push_back({group.slots[i].name, type, std::nullopt});
      const size_t slot = scan_slots_.size() - 1;
      computed.push_back({slot, std::move(node)});
      node = make_slot(slot, type);
    }
    spec.keys.push_back({group.slots[i].name, *node->slot(), node->type});
  }
  if (!computed.empty()) plan_.operators.push_back(make_compute(std::move(computed), text));
  if (!has_room(scan_slots_.size(), window.span)) return false;
  spec.session = scan_slots_.size();
  scan_slots_.push_back({"\001session", Type::of(LogicalType::timestamp), std::nullopt});
  spec.time = *time->slot();
  spec.gap = *gap;
  spec.is_cut = true;
  spec.text = text;
  const NodePtr session = make_slot(spec.session, Type::of(LogicalType::timestamp));
  plan_.operators.push_back(make_sessions(std::move(spec), options_.run));
  return add_key("session", session, true);
}

bool Binder::bind_window(const g::Window& window) {
  if (!options_.continuous) {
    fail(window.span, "windows belong to rules; over stored flows, group by bin(5m)", {}, ErrorCode::unsupported);
    return false;
  }
  if (!in_scan_frame_) {
    fail(window.span, "a window parts flows by their time, and behind a grouping there are no flows", {}, ErrorCode::unsupported);
    return false;
  }
  const auto length = duration_of(*window.size, "window");
  if (!length) return false;
  PlanWindow bound{*length, *length, 0, plan_.operators.size()};
  if (window.slide) {
    const auto slide = duration_of(**window.slide, "slide");
    if (!slide) return false;
    bound.slide = *slide;
    if (*slide > *length || *length % *slide != 0) {
      fail((*window.slide)->span, "the slide must go into the window a whole number of times, so that windows share their parts", "such as window 5m slide 30s");
      return false;
    }
  }
  bound.time_slot = *slot_of(ScanSource{ScanSource::Kind::stored, ColumnId::flow_end, {}, {}})->slot();
  bin_width_ = *length;
  plan_.window = bound;
  return true;
}

// `stats … by K | sort M desc | limit N` keeps the groups that `top N K by M` does, ties by the lesser keys in both, and finds them as soon.
std::optional<uint64_t> Binder::heaviest_wanted(std::span<const g::Stage> after, BoundGroup& group) {
  const auto* sort = after.size() < 2 ? nullptr : after[0].as<g::SortStage>();
  const auto* limit = sort ? after[1].as<g::LimitStage>() : nullptr;
  const size_t keys = group.spec->keys.size();
  if (!limit || keys == 0 || !group.after.empty() || sort->keys.size() != 1) return std::nullopt;
  const g::SortKey& by = sort->keys.front();
  const auto* name = by.value->as<g::Name>();
  if (!name || !by.descending || by.nulls == g::SortKey::Nulls::kFirst) return std::nullopt;
  for (size_t rank = keys; rank < group.outputs.size(); ++rank) {
    if (!equal_ignoring_case(group.outputs[rank].name, name->text())) continue;
    if (!is_number(group.slots[rank].type.logical) || group.slots.size() != group.outputs.size()) return std::nullopt;
    const auto wanted = count_of(*limit->count, "a count of rows");
    if (!wanted || *wanted == 0) return std::nullopt;
    // Slots are as the aggregates are; what is shown stays in its order.
    const auto to_front = [&](auto first) { std::rotate(first, first + static_cast<ptrdiff_t>(rank - keys), first + static_cast<ptrdiff_t>(rank - keys) + 1); };
    to_front(group.spec->aggregates.begin());
    to_front(group.slots.begin() + static_cast<ptrdiff_t>(keys));
    for (size_t a = keys; a < rank; ++a) group.outputs[a].slot = a + 1;
    group.outputs[rank].slot = keys;
    return wanted;
  }
  return std::nullopt;
}

bool Binder::bind_stats(const g::StatsStage& stage, std::span<const g::Stage> after, const std::string& text) {
  bin_width_.reset();
  BoundGroup group;
  group.spec = std::make_shared<GroupSpec>();
  const bool has_sessions = stage.window && stage.window->kind == g::Window::Kind::kSession;
  if (stage.window && !(has_sessions ? bind_session_window(stage, group, text) : bind_window(*stage.window))) return false;
  if ((!has_sessions && !bind_keys(stage.keys, group)) || !bind_aggregates(stage.aggregates, group)) return false;
  const std::optional<uint64_t> wanted = stage.window ? std::nullopt : heaviest_wanted(after, group);
  if (error_) return false;
  // A sort that follows orders by all columns anyway.
  const bool sorted = after.empty() || !after.front().as<g::SortStage>();
  OperatorPtr op = wanted ? make_top(group.spec, options_.run, *wanted, false, text) : make_group(group.spec, options_.run, sorted, text);
  const size_t at = plan_.operators.size();
  plan_.operators.push_back(std::move(op));
  if (in_scan_frame_) scan_operators_ = at + 1, in_scan_frame_ = false;
  enter_group_frame(group, text);
  return true;
}

bool Binder::bind_top(const g::TopStage& stage, const std::string& text) {
  const auto count = count_of(*stage.count, "how many groups to keep");
  if (!count) return false;
  bin_width_.reset();
  BoundGroup group;
  group.spec = std::make_shared<GroupSpec>();
  std::vector<g::NamedExpr> aggregates = stage.aggregates;
  if (aggregates.empty()) {
    const g::Name name{{"count"}, false, {}};
    aggregates.push_back({std::nullopt, g::ExprPtr(g::Expr{g::Call{name, {}}, {}}), {}});
  }
  if (!bind_keys(stage.keys, group) || !bind_aggregates(aggregates, group)) return false;
  OperatorPtr op;
  const bool plain = group.after.empty();
  if (!plain) {
    // Ranked by an expression over aggregates: all groups, then a sort.
    if (stage.with_others) {
      fail(stage.count->span, "'with others' needs a plain aggregate to rank by", "use by sum(…) and compute the rest with extend");
      return false;
    }
    op = make_group(group.spec, options_.run, false, text);
  } else {
    if (stage.with_others && !bind_rest_marker(group, stage.count->span)) return false;
    op = make_top(group.spec, options_.run, *count, stage.with_others, text);
  }
  const size_t rank = *group.outputs[stage.keys.size()].slot;
  const size_t keys = stage.keys.size();
  const size_t at = plan_.operators.size();
  plan_.operators.push_back(std::move(op));
  if (in_scan_frame_) scan_operators_ = at + 1, in_scan_frame_ = false;
  enter_group_frame(group, text);
  if (!plain) {
    std::vector<SortKeySpec> by = {{make_slot(rank, frame_slots_[rank].type), true, false}};
    std::vector<size_t> tiebreak;
    for (size_t k = 0; k < keys; ++k) tiebreak.push_back(k);
    plan_.operators.push_back(make_sort(options_.run, std::move(by), std::move(tiebreak), *count, text));
  }
  return true;
}

bool Binder::bind_distinct(const g::DistinctStage& stage, const std::string& text) {
  std::vector<g::NamedExpr> keys = stage.columns;
  if (keys.empty())
    for (const Visible& v : visible_) {
      const g::Name name{{v.name}, true, {}};
      keys.push_back({std::nullopt, g::ExprPtr(g::Expr{name, {}}), {}});
    }
  BoundGroup group;
  group.spec = std::make_shared<GroupSpec>();
  if (!bind_keys(keys, group)) return false;
  OperatorPtr op = make_group(group.spec, options_.run, true, text);
  const size_t at = plan_.operators.size();
  plan_.operators.push_back(std::move(op));
  if (in_scan_frame_) scan_operators_ = at + 1, in_scan_frame_ = false;
  enter_group_frame(group, text);
  return true;
}

// Each flow becomes a row for each of its bins, and sums take shares.
bool Binder::bind_spread(TimeseriesSpec& series, const g::Span& span, const std::string& text) {
  if (!in_scan_frame_) {
    fail(span, "'spread' needs flows as they came, with their start and end");
    return false;
  }
  auto spec = std::make_shared<SpreadSpec>();
  spec->every = series.every;
  spec->range = plan_.scan.range;
  spec->text = text;
  spec->start = find_name(g::Name{{"flow_start"}, false, span});
  spec->end = find_name(g::Name{{"flow_end"}, false, span});
  if (!spec->start || !spec->end || spec->start->type.logical != LogicalType::timestamp || spec->end->type.logical != LogicalType::timestamp) {
    fail(span, "'spread' needs the columns flow_start and flow_end");
    return false;
  }
  auto new_slot = [&](Type type) -> std::optional<size_t> {
    if (!has_room(scan_slots_.size(), span)) return std::nullopt;
    type.column.reset();
    scan_slots_.push_back({"\001part", type, std::nullopt});
    return scan_slots_.size() - 1;
  };
  const auto bin = new_slot(Type::of(LogicalType::timestamp));
  if (!bin) return false;
  spec->bin_slot = *bin;
  series.group.keys[0].node = make_slot(*bin, Type::of(LogicalType::timestamp));
  for (GroupAggregate& a : series.group.aggregates) {
    if (!a.adds_up) continue;
    const auto slot = new_slot(a.args[0]->type);
    if (!slot) return false;
    spec->values.push_back({a.args[0], *slot});
    a.args[0] = make_slot(*slot, scan_slots_[*slot].type);
  }
  plan_.operators.push_back(make_spread(std::move(spec)));
  return true;
}

bool Binder::bind_timeseries(const g::TimeseriesStage& stage, const std::string& text) {
  const auto every = duration_of(*stage.every, "every");
  if (!every) return false;
  bin_width_ = *every;
  auto spec = std::make_shared<TimeseriesSpec>();
  spec->every = *every;
  spec->range = plan_.scan.range;
  BoundGroup group;
  group.spec = std::shared_ptr<GroupSpec>(spec, &spec->group);
  // The bin is the first key.
  const g::Span span = stage.every->span;
  const g::ExprPtr bin(g::Expr{g::Call{g::Name{{"bin"}, false, span}, {stage.every}}, span});
  std::vector<g::NamedExpr> keys = {{g::Name{{"ts"}, false, span}, bin, span}};
  keys.insert(keys.end(), stage.keys.begin(), stage.keys.end());
  if (!bind_keys(keys, group) || !bind_aggregates(stage.aggregates, group)) return false;
  if (stage.limit && stage.keys.empty()) {
    fail((*stage.limit)->span, "'limit' in a timeseries says how many of the series that 'by' makes are kept, and there is no 'by'", "timeseries … every 1m by KEY limit 5; … | limit 5 keeps rows");
    return false;
  }
  if (stage.limit) {
    const auto n = count_of(**stage.limit, "how many series to keep");
    if (!n) return false;
    spec->series_max = *n;
    spec->rest_slot = group.slots.size();
    if (!bind_rest_marker(group, (*stage.limit)->span)) return false;
  }
  for (const auto& a : spec->group.aggregates) {
    // How many there were in an empty bin is known: none. What their sum, least or mean was is not.
    spec->zero.push_back(a.make.empty_is_zero);
  }
  using Fill = g::TimeseriesStage::Fill;
  switch (stage.fill) {
    case Fill::kUnsaid: spec->fill = TimeseriesSpec::Fill::unsaid; break;
    case Fill::kNull: spec->fill = TimeseriesSpec::Fill::null; break;
    case Fill::kPrevious: spec->fill = TimeseriesSpec::Fill::previous; break;
    case Fill::kValue: {
      spec->fill = TimeseriesSpec::Fill::value;
      const auto v = constant_of(**stage.fill_value, Type::of(LogicalType::float64));
      if (error_) return false;
      if (!v || !v->is_number()) {
        fail((*stage.fill_value)->span, "expected a number to fill gaps with");
        return false;
      }
      spec->fill_value = v->as_double();
      for (const auto& a : spec->group.aggregates) {
        const Type& type = a.make.result;
        if (!is_number(type.logical) || type.physical == PhysicalType::F64) continue;
        const bool whole = spec->fill_value == std::floor(spec->fill_value) && std::fabs(spec->fill_value) < 9e18;
        if (whole && (spec->fill_value >= 0 || type.physical == PhysicalType::I64)) continue;
        fail((*stage.fill_value)->span, type.physical == PhysicalType::I64 ? "this series is of whole numbers, and its gaps are too" : "this series is of whole numbers from 0 on, and its gaps are too",
             "fill 0, null or previous; 1.0 * sum(bytes) is a series of floats");
        return false;
      }
    }
  }
  if (stage.spread && !bind_spread(*spec, stage.every->span, text)) return false;
  OperatorPtr op = make_timeseries(spec, options_.run, text);
  const size_t at = plan_.operators.size();
  plan_.operators.push_back(std::move(op));
  if (in_scan_frame_) scan_operators_ = at + 1, in_scan_frame_ = false;
  enter_group_frame(group, text);
  return true;
}

}  // namespace sluice::query
