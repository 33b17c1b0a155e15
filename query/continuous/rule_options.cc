#include "query/continuous/rule_options.h"

#include <algorithm>
#include <functional>

#include "grammar/parse.h"
#include "query/continuous/rule.h"
#include "query/words.h"
#include "storage/model/text.h"

namespace sluice::query::continuous {
namespace {

namespace g = grammar;

Result<g::ExprPtr> expression(std::string_view text) {
  auto parsed = g::parse_expression(text);
  if (const auto* error = std::get_if<g::SyntaxError>(&parsed)) return Error{ErrorCode::parse, "in '" + std::string(text) + "': " + error->message};
  return std::get<g::ExprPtr>(std::move(parsed));
}

// A value as it would be written: 500, 10.0.0.0/8, 5m; all else is text, in quotes, which enumerations and flags take too: a word alone would
// be a column.
g::ExprPtr literal(std::string_view text) {
  const auto is_literal = [](const g::Expr& e) {
    return e.as<g::NullLiteral>() || e.as<g::BoolLiteral>() || e.as<g::IntegerLiteral>() || e.as<g::FloatLiteral>() || e.as<g::DurationLiteral>() ||
           e.as<g::SizeLiteral>() || e.as<g::BitRateLiteral>() || e.as<g::AddressLiteral>() || e.as<g::CidrLiteral>() || e.as<g::AddressRangeLiteral>() ||
           e.as<g::IntegerRangeLiteral>() || e.as<g::MacLiteral>() || e.as<g::TimestampLiteral>();
  };
  if (const auto parsed = g::parse_expression(text); const auto* expr = std::get_if<g::ExprPtr>(&parsed)) {
    const auto* minus = (*expr)->as<g::Unary>();
    if (is_literal(**expr) || (minus && minus->op == g::UnaryOp::kNegate && is_literal(*minus->operand))) return *expr;
  }
  return g::ExprPtr(g::Expr{g::StringLiteral{std::string(text)}, {}});
}

// What an expression becomes; nullopt: itself, with its parts replaced. Several stand in a list only.
using Replace = std::function<std::optional<std::vector<g::ExprPtr>>(const g::Expr&)>;

g::ExprPtr replaced(const g::ExprPtr& expr, const Replace& replace);
g::Stage stage_replaced(const g::Stage& stage, const Replace& replace);

std::vector<g::ExprPtr> all_replaced(const std::vector<g::ExprPtr>& items, const Replace& replace) {
  std::vector<g::ExprPtr> out;
  for (const auto& item : items) {
    if (auto several = replace(*item))
      out.insert(out.end(), several->begin(), several->end());
    else
      out.push_back(replaced(item, replace));
  }
  return out;
}

std::optional<g::Ref<g::Query>> query_replaced(const std::optional<g::Ref<g::Query>>& query, const Replace& replace) {
  if (!query) return std::nullopt;
  g::Query out = **query;
  for (g::Stage& stage : out.stages) stage = stage_replaced(stage, replace);
  return g::Ref<g::Query>(std::move(out));
}

g::ExprPtr replaced(const g::ExprPtr& expr, const Replace& replace) {
  if (auto with = replace(*expr); with && with->size() == 1) return with->front();
  g::Expr out = *expr;
  const auto at = [&](g::ExprPtr& part) { part = replaced(part, replace); };
  std::visit(g::Overloaded{[&](g::Unary& e) { at(e.operand); }, [&](g::Arithmetic& e) { at(e.left), at(e.right); }, [&](g::Compare& e) { at(e.left), at(e.right); },
                           [&](g::Logical& e) { e.operands = all_replaced(e.operands, replace); },
                           [&](g::In& e) { at(e.value), e.items = all_replaced(e.items, replace), e.query = query_replaced(e.query, replace); }, [&](g::Between& e) { at(e.value), at(e.low), at(e.high); },
                           [&](g::IsNull& e) { at(e.operand); }, [&](g::Call& e) { e.arguments = all_replaced(e.arguments, replace); }, [](auto&) {}},
             out.node);
  return g::ExprPtr(std::move(out));
}

g::Stage stage_replaced(const g::Stage& stage, const Replace& replace) {
  g::Stage out = stage;
  const auto columns = [&](std::vector<g::NamedExpr>& named) {
    for (auto& c : named) c.value = replaced(c.value, replace);
  };
  std::visit(g::Overloaded{[&](g::WhereStage& s) { s.predicate = replaced(s.predicate, replace); }, [&](g::ExtendStage& s) { columns(s.columns); },
                           [&](g::SelectStage& s) { columns(s.columns); }, [&](g::StatsStage& s) { columns(s.keys), columns(s.aggregates); }, [](auto&) {}},
             out.node);
  return out;
}

g::Stage stage_of(std::string_view name, decltype(g::Stage::node) node) { return g::Stage{g::Keyword{std::string(name), {}}, std::move(node), {}}; }

}  // namespace

namespace {

// What an exception's text says.
struct Exception {
  g::ExprPtr condition;
  std::optional<g::ExprPtr> until;  // a moment
};
Result<Exception> read_exception(std::string_view text) {
  Exception out{g::ExprPtr(g::Expr{g::NullLiteral{}, {}}), std::nullopt};
  std::string_view condition = text.substr(0, text.find(" -- "));
  if (const size_t at = condition.rfind(" until "); at != std::string_view::npos) {
    SLUICE_ASSIGN(out.until, expression(trimmed(condition.substr(at + 7))));
    // A moment alone is read as one where it is compared.
    if (!(*out.until)->as<g::TimestampLiteral>()) return Error{ErrorCode::parse, "an exception holds until a time, as in 'until 2027-01-31'"};
    condition = condition.substr(0, at);
  }
  condition = trimmed(condition);
  if (condition.empty()) return Error{ErrorCode::parse, "an exception is a condition, then perhaps 'until' and a time, then perhaps '--' and why"};
  SLUICE_ASSIGN(out.condition, expression(condition));
  return out;
}

}  // namespace

Result<g::Stage> exception_stage(std::string_view text) {
  SLUICE_ASSIGN(Exception exception, read_exception(text));
  g::ExprPtr left_out = std::move(exception.condition);
  if (exception.until) {
    const g::ExprPtr ts(g::Expr{g::Name{{"ts"}, false, {}}, {}});
    const g::ExprPtr before(g::Expr{g::Compare{g::CompareOp::kLess, ts, *exception.until}, {}});
    left_out = g::ExprPtr(g::Expr{g::Logical{g::LogicalOp::kAnd, {left_out, before}}, {}});
  }
  return stage_of("where", g::WhereStage{g::ExprPtr(g::Expr{g::Unary{g::UnaryOp::kNot, left_out}, {}})});
}

std::optional<TimestampNs> exception_end(std::string_view text) {
  const auto exception = read_exception(text);
  if (!exception.ok() || !exception->until) return std::nullopt;
  return (*exception->until)->as<g::TimestampLiteral>()->nanoseconds;
}

Result<Override> read_override(std::string_view text) {
  const size_t where = text.find(" where ");
  if (where == std::string_view::npos) return Error{ErrorCode::parse, "an override is written \"limit=500 where src_ip == 10.0.0.9\""};
  SLUICE_ASSIGN(g::ExprPtr condition, expression(trimmed(text.substr(where + 7))));
  Override out{{}, std::move(condition)};
  std::string_view rest = text.substr(0, where);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    const std::string_view one = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    const size_t equal = one.find('=');
    if (equal == std::string_view::npos || equal == 0) return Error{ErrorCode::parse, "an override's value is written name=value, and not '" + std::string(one) + "'"};
    out.values.emplace_back(std::string(trimmed(one.substr(0, equal))), literal(trimmed(one.substr(equal + 1))));
  }
  return out;
}

g::Stage with_overrides(const g::Stage& stage, const std::vector<Override>& overrides) {
  return stage_replaced(stage, [&](const g::Expr& expr) -> std::optional<std::vector<g::ExprPtr>> {
    const auto* parameter = expr.as<g::Parameter>();
    if (!parameter) return std::nullopt;
    g::Call chosen{g::Name{{"case"}, false, expr.span}, {}};
    for (const Override& o : overrides)
      for (const auto& [name, value] : o.values)
        if (name == parameter->name) chosen.arguments.push_back(o.condition), chosen.arguments.push_back(value);
    if (chosen.arguments.empty()) return std::nullopt;
    chosen.arguments.push_back(g::ExprPtr(expr));
    return std::vector{g::ExprPtr(g::Expr{std::move(chosen), expr.span})};
  });
}

Result<g::Stage> severity_stage(const std::vector<std::string>& ladder, std::string_view otherwise) {
  std::vector<std::pair<Severity, g::ExprPtr>> rungs;
  for (const std::string& rung : ladder) {
    const size_t colon = rung.find(':');
    const auto severity = colon == std::string::npos ? std::nullopt : severity_of(trimmed(std::string_view(rung).substr(0, colon)));
    if (!severity) return Error{ErrorCode::parse, "'" + rung + "' does not begin with a severity and ':', as \"high: hosts > 1000\" does"};
    if (std::any_of(rungs.begin(), rungs.end(), [&](const auto& r) { return r.first == *severity; }))
      return Error{ErrorCode::parse, "the severity '" + std::string(to_string(*severity)) + "' is there twice"};
    SLUICE_ASSIGN(g::ExprPtr condition, expression(trimmed(std::string_view(rung).substr(colon + 1))));
    rungs.emplace_back(*severity, std::move(condition));
  }
  std::sort(rungs.begin(), rungs.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  const auto word = [](std::string_view text) { return g::ExprPtr(g::Expr{g::StringLiteral{std::string(text)}, {}}); };
  g::Call chosen{g::Name{{"case"}, false, {}}, {}};
  for (auto& [severity, condition] : rungs) chosen.arguments.push_back(std::move(condition)), chosen.arguments.push_back(word(to_string(severity)));
  chosen.arguments.push_back(word(otherwise));
  return stage_of("extend", g::ExtendStage{{{g::Name{{std::string(kSeverityColumn)}, false, {}}, g::ExprPtr(g::Expr{std::move(chosen), {}}), {}}}});
}

Result<Label> read_label(std::string_view text) {
  const Error shape{ErrorCode::parse, "'" + std::string(text) + "' is no label, as \"src_ip in @suspects for 7d\" is"};
  const size_t at = text.rfind(" for ");
  if (at == std::string_view::npos) return shape;
  SLUICE_ASSIGN(const g::ExprPtr condition, expression(trimmed(text.substr(0, at))));
  const auto* in = condition->as<g::In>();
  const auto* column = in ? in->value->as<g::Name>() : nullptr;
  const auto* list = in && in->items.size() == 1 ? in->items.front()->as<g::ListReference>() : nullptr;
  const auto lifetime = parse_duration(trimmed(text.substr(at + 5)));
  if (!column || !list || in->negated || !lifetime) return shape;
  if (*lifetime < limits::kRuleLabelMin || *lifetime > limits::kRuleLabelMax)
    return Error{ErrorCode::invalid_argument, "a label lasts from " + format_duration(limits::kRuleLabelMin) + " to " + format_duration(limits::kRuleLabelMax)};
  return Label{column->text(), list->name, *lifetime};
}

namespace {
Replace values_in_place(const std::map<std::string, ParameterValue>& values) {
  return [&values](const g::Expr& expr) -> std::optional<std::vector<g::ExprPtr>> {
    const auto* parameter = expr.as<g::Parameter>();
    const auto at = parameter ? values.find(parameter->name) : values.end();
    if (at == values.end()) return std::nullopt;
    std::vector<g::ExprPtr> out;
    for (const auto& value : at->second.values) out.push_back(literal(value));
    return out;
  };
}
}  // namespace

g::Stage with_values(const g::Stage& stage, const std::map<std::string, ParameterValue>& values) { return stage_replaced(stage, values_in_place(values)); }
g::ExprPtr with_values(const g::ExprPtr& expr, const std::map<std::string, ParameterValue>& values) { return replaced(expr, values_in_place(values)); }

}  // namespace sluice::query::continuous
