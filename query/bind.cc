// Stages.
#include "query/bind.h"

#include <algorithm>

#include "grammar/nearest.h"
#include "grammar/print.h"
#include "grammar/words.h"
#include "query/limits.h"
#include "query/stage.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

// What `from flows` shows when no stage says otherwise: stored columns that the data has, with volumes scaled.
std::vector<ScanSource> default_columns(const std::set<ColumnId>* present) {
  std::vector<ScanSource> out;
  for (const ColumnSpec& c : flow_columns()) {
    if (present && !present->contains(c.id)) continue;
    auto derived = [&](DerivedColumn d) { out.push_back({ScanSource::Kind::derived, {}, d, {}}); };
    switch (c.id) {
      case ColumnId::raw_bytes: derived(DerivedColumn::bytes); break;
      case ColumnId::raw_packets: derived(DerivedColumn::packets); break;
      case ColumnId::raw_reverse_bytes: derived(DerivedColumn::reverse_bytes); break;
      case ColumnId::raw_reverse_packets: derived(DerivedColumn::reverse_packets); break;
      default: out.push_back({ScanSource::Kind::stored, c.id, {}, {}});
    }
  }
  return out;
}

std::string source_name(const ScanSource& s) {
  if (s.kind == ScanSource::Kind::stored) return std::string(column_spec(s.id).name);
  for (const DerivedSpec& d : derived_columns())
    if (d.id == s.derived) return std::string(d.name);
  return {};
}

// A first guess at what a test costs and keeps: integers before addresses before text before computed values.
int cost_of(const Predicate& p) {
  switch (p.kind) {
    case Predicate::Kind::all:
    case Predicate::Kind::none: return 0;
    case Predicate::Kind::expression: return 50;
    case Predicate::Kind::test: {
      if (!p.column) return p.operand->slot() ? 20 : 40;
      if (std::holds_alternative<IntRanges>(p.test)) {
        // Times mostly hold for whole blocks and keep most of the others.
        if (*p.column == ColumnId::flow_end) return 6;
        return static_cast<int>(width_of(p.operand->type.physical));
      }
      if (std::holds_alternative<IpRanges>(p.test)) return 4;
      return std::holds_alternative<TextTest>(p.test) ? 10 : 3;
    }
    default: {
      int sum = 0;
      for (const auto& c : p.children) sum += cost_of(*c);
      return sum;
    }
  }
}

bool reads_only_scan(const std::vector<size_t>& slots, const std::vector<SlotSpec>& specs) {
  return std::all_of(slots.begin(), slots.end(), [&](size_t s) { return specs[s].source.has_value(); });
}

// Leaves get numbers once the plan is whole; trees are shared and const until then, so they are copied.
PredicatePtr number_leaves(const PredicatePtr& p, size_t& next) {
  auto copy = std::make_shared<Predicate>(*p);
  if (copy->kind == Predicate::Kind::test && copy->column) copy->leaf = next++;
  for (auto& c : copy->children) c = number_leaves(c, next);
  return copy;
}

}  // namespace

std::string text_in_plan(const std::string& text) {
  if (text.size() <= limits::kPlanTextBytesMax) return text;
  size_t cut = limits::kPlanTextBytesMax;
  while (cut > 0 && (static_cast<uint8_t>(text[cut]) & 0xc0) == 0x80) --cut;
  return text.substr(0, cut) + "…";
}

std::optional<uint64_t> Binder::count_of(const g::Expr& expr, std::string_view what) {
  const auto value = constant_of(expr, Type::of(LogicalType::uint));
  if (error_) return std::nullopt;
  const auto* n = value ? std::get_if<uint64_t>(&value->data) : nullptr;
  if (!n || *n > UINT32_MAX) {
    fail(expr.span, "expected " + std::string(what) + ", a whole number");
    return std::nullopt;
  }
  return *n;
}

std::optional<DurationNs> Binder::duration_of(const g::Expr& expr, std::string_view what) {
  const auto value = constant_of(expr, Type::of(LogicalType::duration));
  if (error_) return std::nullopt;
  if (!value || value->type != LogicalType::duration || value->is_null() || std::get<int64_t>(value->data) <= 0) {
    fail(expr.span, "expected a duration above zero for " + std::string(what), "such as 5m");
    return std::nullopt;
  }
  return std::get<int64_t>(value->data);
}

std::optional<TimestampNs> Binder::time_of(const g::Expr& expr) {
  // No columns here: names are unknown on purpose.
  const auto value = constant_of(expr, Type::of(LogicalType::timestamp));
  if (error_) {
    if (expr.as<g::Name>() && error_->hint.empty()) error_->hint = "times look like 2026-11-20T08:00Z or now() - 1d";
    return std::nullopt;
  }
  if (!value || value->type != LogicalType::timestamp || value->is_null()) {
    fail(expr.span, "expected a time", "such as 2026-11-20T08:00Z or now() - 1h");
    return std::nullopt;
  }
  return std::get<int64_t>(value->data);
}

bool Binder::bind_time(const g::Query& query) {
  TimeRange range = options_.outer_range.value_or(TimeRange{});
  if (options_.outer_range && !query.time) plan_.scan.overlap = options_.outer_overlap;
  auto minus = [](TimestampNs t, DurationNs d) {
    TimestampNs out;
    return __builtin_sub_overflow(t, d, &out) ? kTimestampMin : out;
  };
  auto plus = [](TimestampNs t, DurationNs d) {
    TimestampNs out;
    return __builtin_add_overflow(t, d, &out) ? kTimestampMax : out;
  };
  if (query.time) {
    const auto& node = query.time->node;
    if (const auto* last = std::get_if<g::TimeLast>(&node)) {
      const auto d = duration_of(*last->duration, "last");
      if (!d) return false;
      range = {minus(options_.now, *d), options_.now};
    } else if (const auto* since = std::get_if<g::TimeSince>(&node)) {
      const auto from = time_of(*since->from);
      if (!from) return false;
      range = {*from, options_.now};
    } else if (const auto* between = std::get_if<g::TimeBetween>(&node)) {
      const auto from = time_of(*between->from);
      if (!from) return false;
      const auto to = time_of(*between->to);
      if (!to) return false;
      if (*from >= *to) {
        fail(query.time->span, "this time range is empty: it ends at or before its start");
        return false;
      }
      range = {*from, *to};
      plan_.scan.overlap = between->active;
    } else if (const auto* around = std::get_if<g::TimeAround>(&node)) {
      const auto center = time_of(*around->center);
      if (!center) return false;
      const auto d = duration_of(*around->duration, "at … +/-");
      if (!d) return false;
      range = {minus(*center, *d), plus(*center, *d)};
    }
  }
  if (options_.narrow && !options_.outer_range) range = range.intersect(*options_.narrow);
  if (query.time && range.from > options_.now && options_.now > 0)
    warn("the time range begins at " + format_timestamp(range.from) + ", and it is " + format_timestamp(options_.now / kSecond * kSecond) + " now");
  plan_.scan.range = range;
  return true;
}

std::optional<Plan> Binder::bind(const g::Query& query) {
  if (!equal_ignoring_case(query.source.name.text(), "flows")) {
    const std::string name = query.source.name.text();
    if (!options_.continuous && options_.server_tables)
      if (auto table = options_.server_tables(lower_case(name))) {
        if (!table->ok()) {
          fail(query.source.name.span, table->error().message, {}, table->error().code);
          return std::nullopt;
        }
        plan_.table = std::make_shared<const Batch>(std::move(*table).value());
        return bind_table(*plan_.table->schema, query.stages, &query);
      }
    std::vector<std::string_view> sources = {"flows"};
    if (!options_.continuous) sources.insert(sources.end(), g::show_subjects().begin(), g::show_subjects().end());
    std::string hint = g::did_you_mean(name, sources);
    if (hint.empty() || std::find(sources.begin(), sources.end(), lower_case(name)) != sources.end())
      hint = options_.continuous ? "rules read from flows" : "queries read from flows, or from a table of the server's such as alerts";
    fail(query.source.name.span, "unknown source '" + name + "'", std::move(hint));
    return std::nullopt;
  }
  plan_.reads_flows = true;
  query_ = &query;
  if (!bind_time(query)) return std::nullopt;
  flows_ = true;
  for (ScanSource& s : default_columns(options_.present)) visible_.push_back({source_name(s), std::nullopt, std::move(s)});
  indexed_ = false;

  const TimeRange& range = plan_.scan.range;
  auto time_test = [&](ColumnId id, TimestampNs first, TimestampNs last) {
    IntRanges ranges;
    ranges.is_signed = true;
    ranges.ranges.push_back({static_cast<uint64_t>(first), static_cast<uint64_t>(last)});
    return make_test(slot_of(ScanSource{ScanSource::Kind::stored, id, {}, {}}), std::move(ranges));
  };
  if (plan_.scan.overlap) {
    // Overlap of [start, end] with [from, to); a flow without a start is a point.
    const NodePtr start = slot_of(ScanSource{ScanSource::Kind::stored, ColumnId::flow_start, {}, {}});
    push_conjuncts(make_and({time_test(ColumnId::flow_end, range.from, kTimestampMax),
                             make_or({time_test(ColumnId::flow_start, kTimestampMin, range.to - 1),
                                      make_and({make_test(start, NullTest{true}), time_test(ColumnId::flow_end, kTimestampMin, range.to - 1)})})}),
                   "active in the time range");
  } else if (range.from != kTimestampMin || range.to != kTimestampMax) {
    if (range.empty())
      push_conjuncts(make_predicate(false), "an empty time range");
    else
      push_conjuncts(time_test(ColumnId::flow_end, range.from, range.to == kTimestampMax ? range.to : range.to - 1), "ts in the time range");
  }
  if (!bind_stages(query.stages)) return std::nullopt;
  return finish();
}

std::optional<Plan> Binder::bind_table(const Schema& table, const std::vector<g::Stage>& stages, const g::Query* timed) {
  in_scan_frame_ = false;
  pushable_ = false;
  for (const Field& f : table) {
    Type type{f.type, f.physical, f.enumeration, {}, f.column};
    visible_.push_back({f.name, frame_slots_.size(), std::nullopt});
    frame_slots_.push_back({f.name, type, std::nullopt});
  }
  indexed_ = false;
  if (timed) {
    if (!bind_time(*timed)) return std::nullopt;
    const TimeRange range = plan_.scan.range;
    const auto ts = visible_at("ts");
    if (timed->time && (!ts || plan_.scan.overlap)) {
      fail(timed->time->span, "'" + timed->source.name.text() + "' has no time to ask for a range of");
      return std::nullopt;
    }
    if (ts && (range.from != kTimestampMin || range.to != kTimestampMax)) {
      IntRanges times;
      times.is_signed = true;
      if (!range.empty()) times.ranges.push_back({static_cast<uint64_t>(range.from), static_cast<uint64_t>(range.to == kTimestampMax ? range.to : range.to - 1)});
      plan_.operators.push_back(make_filter(make_test(slot_of(visible_[*ts]), std::move(times)), "ts in the time range"));
    }
  }
  if (!bind_stages(stages)) return std::nullopt;
  return finish();
}

bool Binder::bind_stages(const std::vector<g::Stage>& stages) {
  for (size_t i = 0; i < stages.size(); ++i) {
    stage_at_ = i;
    if (!bind_stage(stages[i], std::span(stages).subspan(i + 1)) || error_) return false;
  }
  return true;
}

bool Binder::bind_stage(const g::Stage& stage, std::span<const g::Stage> after) {
  const g::Stage* next = after.empty() ? nullptr : &after.front();
  const std::string text = g::print(stage);
  if (const auto* s = stage.as<g::WhereStage>()) return bind_where(*s, text);
  if (const auto* s = stage.as<g::ExtendStage>()) return bind_extend(s->columns, text);
  if (const auto* s = stage.as<g::SelectStage>()) return bind_select(*s, text);
  if (const auto* s = stage.as<g::DropStage>()) return bind_drop(*s);
  if (const auto* s = stage.as<g::RenameStage>()) return bind_rename(*s);
  if (const auto* s = stage.as<g::StatsStage>()) return bind_stats(*s, after, text);
  if (const auto* s = stage.as<g::TopStage>()) return bind_top(*s, text);
  if (const auto* s = stage.as<g::TimeseriesStage>()) return bind_timeseries(*s, text);
  if (const auto* s = stage.as<g::SortStage>()) return bind_sort(*s, next, text);
  if (const auto* s = stage.as<g::DistinctStage>()) return bind_distinct(*s, text);
  if (const auto* s = stage.as<g::LimitStage>()) {
    const auto n = count_of(*s->count, "a count of rows");
    if (!n) return false;
    pushable_ = false;
    plan_.operators.push_back(make_limit(*n));
    return true;
  }
  if (const auto* s = stage.as<g::TailStage>()) {
    const auto n = count_of(*s->count, "a count of rows");
    if (!n) return false;
    pushable_ = false;
    plan_.operators.push_back(make_tail(options_.run, *n));
    return true;
  }
  if (const auto* s = stage.as<g::SampleStage>()) {
    const auto value = constant_of(*s->amount, Type::of(LogicalType::float64));
    if (error_) return false;
    pushable_ = false;
    if (value && value->is_number() && !std::holds_alternative<uint64_t>(value->data)) {
      const double share = value->as_double();
      if (share <= 0 || share > 1) {
        fail(s->amount->span, "a share of rows lies above 0 and is at most 1");
        return false;
      }
      plan_.operators.push_back(make_sample_share(share));
      return true;
    }
    const auto n = count_of(*s->amount, "a count of rows or a share such as 0.01");
    if (!n) return false;
    plan_.operators.push_back(make_sample_count(options_.run, *n));
    return true;
  }
  if (const auto* s = stage.as<g::RenderStage>()) {
    const std::string kind = lower_case(s->kind.text);
    if (std::find(render_kinds().begin(), render_kinds().end(), kind) == render_kinds().end()) {
      const std::string nearest = g::did_you_mean(kind, render_kinds());
      fail(s->kind.span, "unknown kind of picture '" + s->kind.text + "'", nearest.empty() ? "timechart, barchart, table or graph" : nearest);
      return false;
    }
    if (!s->arguments.empty()) {
      fail(s->arguments[0].span, "render takes one word", "timechart, barchart, table or graph");
      return false;
    }
    plan_.render = kind;
    return true;
  }
  if (const StageSpec* spec = find_stage(stage.name.text)) {
    StageBinder binder(*this, *spec, stage, text);
    return spec->bind(binder) && !error_;
  }
  const std::string name = lower_case(stage.name.text);
  const std::string_view here = g::stage_of_elsewhere(name);
  fail(stage.name.span, "unknown stage '" + name + "'", here.empty() ? g::did_you_mean(name, g::stage_names()) : "did you mean '" + std::string(here) + "'?");
  return false;
}

void Binder::narrow_scan(const std::shared_ptr<SubTable>& table, size_t slot, size_t column) {
  if (!in_scan_frame_ || !pushable_ || slot >= scan_slots_.size()) return;
  const auto& source = scan_slots_[slot].source;
  const Type &mine = scan_slots_[slot].type, &theirs = table->columns[column].type;
  if (!source || source->kind != ScanSource::Kind::stored || theirs.physical != mine.physical || theirs.enumeration != mine.enumeration) return;
  for (SubQuery& sub : plan_.subqueries)
    if (sub.table == table) sub.narrows.push_back({slot, column});
}

std::shared_ptr<SubTable> Binder::bind_subquery(const g::Query& query, const TimeRange& range, std::string what, const g::Span& span) {
  if (++*options_.subqueries > limits::kSubqueriesMax) {
    fail(span, "more than " + std::to_string(limits::kSubqueriesMax) + " queries inside one query", {}, ErrorCode::too_large);
    return nullptr;
  }
  BindOptions options = options_;
  options.outer_range = range;
  options.outer_overlap = plan_.scan.overlap;
  Binder inner(options);
  auto plan = inner.bind(query);
  if (!plan) {
    if (!error_) error_ = inner.error();
    return nullptr;
  }
  auto table = std::make_shared<SubTable>(options_.run);
  table->columns = plan->output;
  for (size_t i = 0; i < table->columns.size(); ++i) table->columns[i].slot = i;
  plan_.subqueries.push_back({std::move(what), std::make_shared<Plan>(std::move(*plan)), table, {}, {}});
  return table;
}

void Binder::push_conjuncts(PredicatePtr predicate, const std::string& text) {
  if (predicate->kind == Predicate::Kind::conjunction) {
    for (const auto& c : predicate->children) push_conjuncts(c, text);
    return;
  }
  if (predicate->kind == Predicate::Kind::all) return;
  Conjunct conjunct{predicate, {}, text_in_plan(text)};
  collect_slots(*predicate, conjunct.slots);
  std::sort(conjunct.slots.begin(), conjunct.slots.end());
  conjunct.slots.erase(std::unique(conjunct.slots.begin(), conjunct.slots.end()), conjunct.slots.end());
  plan_.scan.conjuncts.push_back(std::move(conjunct));
}

bool Binder::bind_where(const g::WhereStage& stage, const std::string& text) {
  PredicatePtr predicate = bind_condition(stage.predicate);
  if (!predicate || error_) return false;
  narrow_by_queries(*stage.predicate);
  if (pushable_ && in_scan_frame_) {
    // What reads only stored columns goes to the scan; the rest stays here.
    std::vector<PredicatePtr> parts, rest;
    if (predicate->kind == Predicate::Kind::conjunction)
      parts = predicate->children;
    else
      parts.push_back(predicate);
    for (const auto& p : parts) {
      std::vector<size_t> used;
      collect_slots(*p, used);
      if (reads_only_scan(used, scan_slots_))
        push_conjuncts(p, text);
      else
        rest.push_back(p);
    }
    if (rest.empty()) return true;
    predicate = make_and(std::move(rest));
  }
  if (predicate->kind == Predicate::Kind::all) return true;
  plan_.operators.push_back(make_filter(std::move(predicate), text));
  return true;
}

bool Binder::bind_extend(const std::vector<g::NamedExpr>& columns, const std::string& text) {
  std::vector<Computed> computed;
  for (const auto& c : columns) {
    NodePtr node = bind_value(c.value);
    if (!node) return false;
    if (!has_room(slots().size(), c.span)) return false;
    const std::string name = name_of(c);
    const size_t slot = slots().size();
    Type type = node->type;
    if (!node->slot()) type.column.reset();
    slots().push_back({name, type, std::nullopt});
    computed.push_back({slot, std::move(node)});
    if (const auto at = visible_at(name)) {
      visible_[*at].slot = slot;
      visible_[*at].source.reset();
    } else {
      visible_.push_back({name, slot, std::nullopt});
      index_visible(visible_.size() - 1);
    }
  }
  plan_.operators.push_back(make_compute(std::move(computed), text));
  return true;
}

bool Binder::bind_select(const g::SelectStage& stage, const std::string& text) {
  std::vector<Visible> selected;
  std::vector<Computed> computed;
  for (const auto& c : stage.columns) {
    if (const auto* call = c.value->as<g::Name>(); call && !c.name && call->text() == "*") continue;
    NodePtr node = bind_value(c.value);
    if (!node) return false;
    if (!has_room(std::max(selected.size(), slots().size()), c.span)) return false;
    const std::string name = name_of(c);
    for (const Visible& v : selected)
      if (equal_ignoring_case(v.name, name)) {
        fail(c.span, "two columns are called '" + name + "'", "name one of them: other = …");
        return false;
      }
    std::optional<size_t> slot = node->slot();
    if (!slot) {
      slot = slots().size();
      Type type = node->type;
      type.column.reset();
      slots().push_back({name, type, std::nullopt});
      computed.push_back({*slot, std::move(node)});
    }
    selected.push_back({name, slot, std::nullopt});
  }
  if (!computed.empty()) plan_.operators.push_back(make_compute(std::move(computed), text));
  visible_ = std::move(selected);
  indexed_ = false;
  closed_ = true;
  return true;
}

bool Binder::bind_drop(const g::DropStage& stage) {
  for (const g::Name& name : stage.columns) {
    std::string canonical = name.text();
    auto at = [&](std::string_view wanted) {
      const auto found = visible_at(wanted);
      return found ? visible_.begin() + static_cast<ptrdiff_t>(*found) : visible_.end();
    };
    auto it = at(canonical);
    if (it == visible_.end())
      if (const auto column = find_column(canonical); column && column->kind != ColumnName::Kind::either) {
        canonical = column->kind == ColumnName::Kind::stored ? std::string(column_spec(column->stored).name)
                                                             : source_name({ScanSource::Kind::derived, {}, column->derived, {}});
        it = at(canonical);
        // A column that the data does not have may be dropped all the same.
        if (it == visible_.end() && flows_ && !closed_) {
          dropped_.insert(lower_case(canonical));
          continue;
        }
      }
    if (it == visible_.end()) {
      unknown_name(name);
      return false;
    }
    dropped_.insert(lower_case(it->name));
    visible_.erase(it);
    indexed_ = false;
  }
  if (visible_.empty()) {
    fail(stage.columns[0].span, "no columns are left");
    return false;
  }
  return true;
}

bool Binder::bind_rename(const g::RenameStage& stage) {
  for (const auto& r : stage.columns) {
    const NodePtr node = bind_name(r.from);
    if (!node) return false;
    const std::string to = r.to.text();
    if (visible_at(to)) {
      fail(r.to.span, "there is a column '" + to + "' already");
      return false;
    }
    // By its name; else by what the name means. (Two columns may be one slot, as behind `select a = x, b = x`.)
    const auto named = visible_at(r.from.text());
    const auto it = named ? visible_.begin() + static_cast<ptrdiff_t>(*named)
                          : std::find_if(visible_.begin(), visible_.end(), [&](const Visible& v) { return v.slot == node->slot(); });
    if (it == visible_.end()) {
      if (!has_room(visible_.size(), r.to.span)) return false;
      visible_.push_back({to, node->slot(), std::nullopt});
      index_visible(visible_.size() - 1);
    } else {
      const auto at = static_cast<size_t>(it - visible_.begin());
      dropped_.insert(lower_case(it->name));
      visible_names_.erase(lower_case(it->name));
      std::erase_if(visible_meanings_, [&](const auto& m) { return m.second == at; });
      it->name = to;
      index_visible(at);
    }
  }
  return true;
}

bool Binder::bind_sort(const g::SortStage& stage, const g::Stage* next, const std::string& text) {
  std::vector<SortKeySpec> keys;
  for (const auto& k : stage.keys) {
    NodePtr node = bind_value(k.value);
    if (!node) return false;
    // Names of enumerations sort as text.
    if (node->type.logical == LogicalType::enumeration) node = make_cast(node, Type::of(LogicalType::string));
    keys.push_back({std::move(node), k.descending, k.nulls == g::SortKey::Nulls::kFirst});
  }
  std::optional<uint64_t> limit;
  if (next)
    if (const auto* l = next->as<g::LimitStage>())
      if (const auto n = count_of(*l->count, "a count of rows")) limit = *n;
  if (error_) return false;
  // What will be shown decides between rows that the keys leave equal.
  std::vector<size_t> tiebreak;
  for (Visible& v : visible_) {
    const NodePtr node = slot_of(v);
    if (node->slot()) tiebreak.push_back(*node->slot());
  }
  pushable_ = false;
  plan_.operators.push_back(make_sort(options_.run, std::move(keys), std::move(tiebreak), limit, text));
  return true;
}

std::optional<Plan> Binder::finish() {
  if (error_) return std::nullopt;
  for (Visible& v : visible_) {
    const NodePtr node = slot_of(v);
    plan_.output.push_back({v.name, *node->slot(), slots()[*node->slot()].type});
    if (std::find(group_keys_.begin(), group_keys_.end(), *node->slot()) != group_keys_.end()) plan_.keys.push_back(v.name);
  }
  plan_.scan.slots = scan_slots_;
  plan_.scan.output.assign(scan_slots_.size(), false);
  // The scan's frame lasts until the first grouping; its operators' slots, and the answer's if there was none.
  std::vector<size_t> used;
  const size_t count = in_scan_frame_ ? plan_.operators.size() : scan_operators_;
  for (size_t i = 0; i < count; ++i) plan_.operators[i]->collect_slots(used);
  if (in_scan_frame_)
    for (const auto& o : plan_.output) used.push_back(o.slot);
  if (plan_.window) used.push_back(plan_.window->time_slot);
  for (size_t s : used) {
    if (s >= scan_slots_.size() || !scan_slots_[s].source) continue;
    plan_.scan.output[s] = true;
    const auto& source = *scan_slots_[s].source;
    if (source.kind == ScanSource::Kind::derived && source.derived != DerivedColumn::duration) plan_.scan.scales = true;
  }
  std::stable_sort(plan_.scan.conjuncts.begin(), plan_.scan.conjuncts.end(),
                   [](const Conjunct& a, const Conjunct& b) { return cost_of(*a.predicate) < cost_of(*b.predicate); });
  for (Conjunct& c : plan_.scan.conjuncts) c.predicate = number_leaves(c.predicate, plan_.scan.leaves);
  return std::move(plan_);
}

std::vector<std::string> Binder::visible_names() const {
  std::vector<std::string> out;
  for (const Visible& v : visible_) out.push_back(v.name);
  return out;
}

}  // namespace sluice::query
