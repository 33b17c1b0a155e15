#include "query/stage.h"

#include <algorithm>
#include <array>

#include "grammar/nearest.h"
#include "grammar/parse.h"
#include "query/limits.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;
using namespace stage_detail;
constexpr std::array kStages = {&kAbsent, &kBaseline, &kBeacons, &kCompare, &kDedup, &kFirstSeen, &kJoin, &kLookup, &kReach, &kSequence, &kSessions, &kStitch};

constexpr PlainStage kPlain[] = {
    {"where", "where EXPR", "Keeps rows"},
    {"extend", "extend NAME = EXPR, …", "Adds columns"},
    {"select", "select COLUMN, NAME = EXPR, …", "Chooses columns"},
    {"drop", "drop COLUMN, …", "Leaves columns out"},
    {"rename", "rename NEW = OLD, …", "Names columns anew"},
    {"stats", "stats AGG, … [by KEY, …]", "Groups"},
    {"top", "top N KEY, … [by AGG, …] [with others]", "The groups with the greatest first aggregate"},
    {"timeseries", "timeseries AGG, … every D [by KEY, … [limit N]] [fill 0|null|previous] [spread]", "A regular grid"},
    {"sort", "sort EXPR [desc], …", "Orders rows"},
    {"limit", "limit N", "The first rows"},
    {"tail", "tail N", "The last rows"},
    {"sample", "sample N, sample 0.01", "Some rows, the same each time"},
    {"distinct", "distinct [COLUMN, …]", "Each combination once"},
    {"render", "render timechart|barchart|table|graph", "A hint to the client"},
};
constexpr std::string_view kRenderKinds[] = {"timechart", "barchart", "table", "graph"};

}  // namespace

std::span<const PlainStage> plain_stages() { return kPlain; }
std::span<const std::string_view> render_kinds() { return kRenderKinds; }

std::vector<Type> types_of(std::span<const StageColumn> columns) {
  std::vector<Type> types;
  for (const StageColumn& c : columns) types.push_back(c.type);
  return types;
}

std::span<const StageSpec* const> stages() { return kStages; }

const StageSpec* find_stage(std::string_view name) {
  for (const StageSpec* s : kStages)
    if (s->name == name) return s;
  return nullptr;
}

bool StageBinder::expected(std::string_view what) {
  if (failed()) return false;
  const g::SyntaxError error = args.expected(what);
  // A word of the stage's own, mistyped?
  g::StageArgs ahead = args;
  const auto word = ahead.any_word();
  std::string hint;
  if (word && std::find(spec_.words.begin(), spec_.words.end(), lower_case(word->text)) == spec_.words.end()) hint = g::did_you_mean(word->text, spec_.words);
  return fail(error.span, error.message, hint.empty() ? std::string(spec_.signature) : std::move(hint));
}

bool StageBinder::end() { return !failed() && (args.done() || expected("the end of the stage")); }

NodePtr StageBinder::value(const g::Expr& expr) { return binder_.bind_value(expr); }

std::optional<DurationNs> StageBinder::duration(std::string_view what) {
  const auto expr = args.duration();
  if (!expr) {
    expected("a duration such as 5m");
    return std::nullopt;
  }
  return binder_.duration_of(**expr, what);
}

std::optional<uint64_t> StageBinder::count(std::string_view what) {
  const auto expr = args.count();
  if (!expr) {
    expected(what);
    return std::nullopt;
  }
  return binder_.count_of(**expr, what);
}

std::optional<IpAddress> StageBinder::address(const g::Expr& expr) {
  const auto value = binder_.constant_of(expr, Type::of(LogicalType::ip));
  if (failed()) return std::nullopt;
  const auto* ip = value ? std::get_if<IpAddress>(&value->data) : nullptr;
  if (!ip) {
    fail(expr.span, "expected an address such as 10.0.0.1");
    return std::nullopt;
  }
  return *ip;
}

std::vector<StageColumn> StageBinder::keys(std::string_view what) {
  std::vector<StageColumn> out;
  const auto expressions = args.expressions();
  if (expressions.empty()) {
    expected(what);
    return {};
  }
  std::vector<Computed> computed;
  for (const auto& e : expressions) {
    NodePtr node = binder_.bind_value(e);
    if (!node) return {};
    const std::string name = binder_.name_of(g::NamedExpr{std::nullopt, e, e->span});
    for (const StageColumn& c : out)
      if (equal_ignoring_case(c.name, name)) {
        fail(e->span, "two keys are called '" + name + "'");
        return {};
      }
    if (const auto slot = node->slot()) {
      out.push_back({name, *slot, node->type});
      continue;
    }
    Type type = node->type;
    type.column.reset();
    const auto slot = add_slot(name, type);
    if (!slot) return {};
    out.push_back({name, *slot, type});
    computed.push_back({*slot, std::move(node)});
  }
  if (!computed.empty()) binder_.plan_.operators.push_back(make_compute(std::move(computed), text_));
  return out;
}

std::optional<StageColumn> StageBinder::column(std::string_view name) {
  std::vector<std::string> parts = {std::string(name)};
  const NodePtr node = binder_.find_name(g::Name{parts, false, span()});
  if (!node || !node->slot()) return std::nullopt;
  const auto meant = find_column(name);
  PhysicalType wanted = node->type.physical;
  if (meant && meant->kind == ColumnName::Kind::stored) wanted = column_spec(meant->stored).physical;
  if (meant && meant->kind == ColumnName::Kind::derived) wanted = meant->derived == DerivedColumn::duration ? PhysicalType::I64 : PhysicalType::U64;
  if (node->type.physical != wanted) {
    fail(span(), std::string(spec_.name) + " needs the column '" + std::string(name) + "' as flows have it, and here it is " +
                     std::string(to_string(class_of(node->type.logical))) + " of another kind");
    return std::nullopt;
  }
  return StageColumn{std::string(name), *node->slot(), node->type};
}

std::optional<StageColumn> StageBinder::need(std::string_view name) {
  auto found = column(name);
  if (!found && !failed())
    fail(span(), std::string(spec_.name) + " needs the column '" + std::string(name) + "', and rows here have none",
         binder_.in_scan_frame_ ? "put it before the select or drop" : "put it before the grouping");
  return found;
}

std::vector<StageColumn> StageBinder::visible() {
  std::vector<StageColumn> out;
  for (auto& v : binder_.visible_) {
    const NodePtr node = binder_.slot_of(v);
    out.push_back({v.name, *node->slot(), node->type});
  }
  return out;
}

bool StageBinder::is_group_key(size_t slot) const {
  return std::find(binder_.group_keys_.begin(), binder_.group_keys_.end(), slot) != binder_.group_keys_.end();
}

bool StageBinder::free_name(std::string_view name, const g::Span& at) {
  bool taken = binder_.visible_at(name).has_value();
  if (!taken && binder_.flows_ && !binder_.closed_) taken = find_column(name).has_value();
  return !taken || fail(at, "there is a column '" + std::string(name) + "' already", "rename one of the two first");
}

std::optional<size_t> StageBinder::add_slot(std::string name, Type type) {
  if (!binder_.has_room(binder_.slots().size(), span())) return std::nullopt;
  type.column.reset();
  binder_.slots().push_back({std::move(name), type, std::nullopt});
  return binder_.slots().size() - 1;
}

std::optional<size_t> StageBinder::add_column(std::string name, Type type) {
  const auto slot = add_slot(name, type);
  if (!slot) return std::nullopt;
  if (const auto at = binder_.visible_at(name)) {
    binder_.visible_[*at].slot = slot;
    binder_.visible_[*at].source.reset();
  } else {
    binder_.visible_.push_back({std::move(name), slot, std::nullopt});
    binder_.index_visible(binder_.visible_.size() - 1);
  }
  return slot;
}

void StageBinder::push(OperatorPtr op, bool chooses) {
  if (chooses) binder_.pushable_ = false;
  binder_.plan_.operators.push_back(std::move(op));
}

void StageBinder::push_frame(OperatorPtr op, std::vector<StageColumn> columns, size_t keys) {
  const size_t at = binder_.plan_.operators.size();
  binder_.plan_.operators.push_back(std::move(op));
  if (binder_.in_scan_frame_) binder_.scan_operators_ = at + 1, binder_.in_scan_frame_ = false;
  binder_.flows_ = binder_.closed_ = binder_.pushable_ = false;
  binder_.dropped_.clear();
  binder_.group_keys_.clear();
  binder_.frame_slots_.clear();
  binder_.visible_.clear();
  binder_.indexed_ = false;
  for (size_t i = 0; i < columns.size(); ++i) {
    columns[i].type.column.reset();
    binder_.frame_slots_.push_back({columns[i].name, columns[i].type, std::nullopt});
    binder_.visible_.push_back({columns[i].name, i, std::nullopt});
    if (i < keys) binder_.group_keys_.push_back(i);
  }
}

bool StageBinder::stats(std::vector<g::NamedExpr> aggregates, std::vector<g::NamedExpr> keys) {
  return binder_.bind_stats(g::StatsStage{std::move(aggregates), std::move(keys), std::nullopt}, {}, text_) && !failed();
}

g::ExprPtr StageBinder::expression(std::string_view text) {
  auto parsed = g::parse_expression(text);
  SLUICE_CHECK(std::holds_alternative<g::ExprPtr>(parsed));
  return std::get<g::ExprPtr>(std::move(parsed));
}

g::Query StageBinder::query(std::string_view text) {
  auto parsed = g::parse(text);
  SLUICE_CHECK(std::holds_alternative<g::Statement>(parsed));
  const auto* query = std::get<g::Statement>(parsed).as<g::Query>();
  SLUICE_CHECK(query != nullptr);
  return *query;
}

g::NamedExpr StageBinder::named(std::string name, g::ExprPtr value) const {
  return g::NamedExpr{g::Name{{std::move(name)}, true, span()}, std::move(value), span()};
}

std::optional<g::Query> StageBinder::prefix() {
  if (!binder_.query_) {
    fail(span(), std::string(spec_.name) + " needs a query over flows");
    return std::nullopt;
  }
  g::Query before = *binder_.query_;
  before.time.reset();
  before.stages.erase(before.stages.begin() + static_cast<ptrdiff_t>(binder_.stage_at_), before.stages.end());
  return before;
}

void StageBinder::narrow_scan(const std::shared_ptr<SubTable>& table, size_t slot, size_t column) { binder_.narrow_scan(table, slot, column); }

std::shared_ptr<SubTable> StageBinder::subquery(const g::Query& query, const TimeRange& range, std::string what) {
  return binder_.bind_subquery(query, range, std::move(what), span());
}

}  // namespace sluice::query
