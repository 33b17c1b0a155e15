#include "query/continuous/rule_trend.h"

#include <algorithm>

#include "query/bind.h"
#include "query/words.h"
#include "storage/model/flow_schema.h"

namespace sluice::query::continuous {

namespace g = grammar;

namespace {

Trend opposite(Trend t) { return t == Trend::rising ? Trend::falling : t == Trend::falling ? Trend::rising : t; }

Trend both(Trend a, Trend b) {
  if (a == b || b == Trend::steady) return a;
  return a == Trend::steady ? b : Trend::unknown;
}

}  // namespace

Trend Trends::of_name(const std::string& name) const {
  const auto found = names_.find(lower_case(name));
  return found == names_.end() ? Trend::unknown : found->second;
}

Trend Trends::value(const g::Expr& expr) const {
  if (const auto* name = expr.as<g::Name>()) {
    // A bare word such as `tcp` is a constant where no column has the name.
    const auto found = names_.find(lower_case(name->text()));
    return found != names_.end() ? found->second : Trend::steady;
  }
  if (is_constant(expr)) return Trend::steady;
  if (const auto* a = expr.as<g::Arithmetic>()) {
    const Trend left = value(*a->left), right = value(*a->right);
    switch (a->op) {
      case g::ArithmeticOp::kAdd: return both(left, right);
      case g::ArithmeticOp::kSubtract: return both(left, opposite(right));
      case g::ArithmeticOp::kMultiply:
        if (left == Trend::steady && right == Trend::steady) return Trend::steady;
        return (right == Trend::rising && is_positive(*a->left)) || (left == Trend::rising && is_positive(*a->right)) ? Trend::rising : Trend::unknown;
      case g::ArithmeticOp::kDivide:
        if (left == Trend::steady && right == Trend::steady) return Trend::steady;
        return left == Trend::rising && is_positive(*a->right) ? Trend::rising : Trend::unknown;
      default: return left == Trend::steady && right == Trend::steady ? Trend::steady : Trend::unknown;
    }
  }
  if (const auto* call = expr.as<g::Call>()) {
    if (const auto found = names_.find(lower_case(Binder::default_name(*call))); found != names_.end()) return found->second;
    // A choice between constants by what does not change.
    if (equal_ignoring_case(call->function.text(), "case") || equal_ignoring_case(call->function.text(), "if"))
      return std::all_of(call->arguments.begin(), call->arguments.end(), [&](const auto& a) { return is_steady(*a); }) ? Trend::steady : Trend::unknown;
    return aggregate(*call);
  }
  return Trend::unknown;
}

Trend Trends::condition(const g::Expr& expr) const {
  if (const auto* l = expr.as<g::Logical>()) {
    Trend all = Trend::steady;
    for (const auto& o : l->operands) all = both(all, condition(*o));
    return all == Trend::falling ? Trend::unknown : all;
  }
  if (const auto* c = expr.as<g::Compare>()) {
    const Trend left = value(*c->left), right = value(*c->right);
    if (left == Trend::steady && right == Trend::steady) return Trend::steady;
    if (c->op == g::CompareOp::kGreater || c->op == g::CompareOp::kGreaterEqual)
      return both(left, opposite(right)) == Trend::rising ? Trend::rising : Trend::unknown;
    if (c->op == g::CompareOp::kLess || c->op == g::CompareOp::kLessEqual)
      return both(right, opposite(left)) == Trend::rising ? Trend::rising : Trend::unknown;
    return Trend::unknown;
  }
  if (const auto* u = expr.as<g::Unary>()) return condition(*u->operand) == Trend::steady ? Trend::steady : Trend::unknown;
  if (const auto* in = expr.as<g::In>()) {
    if (value(*in->value) != Trend::steady) return Trend::unknown;
    for (const auto& item : in->items)
      if (!is_constant(*item) && value(*item) != Trend::steady) return Trend::unknown;
    return Trend::steady;
  }
  if (const auto* n = expr.as<g::IsNull>()) return value(*n->operand) == Trend::steady ? Trend::steady : Trend::unknown;
  return Trend::unknown;
}

bool Trends::is_steady(const g::Expr& expr) const {
  return expr.as<g::Compare>() || expr.as<g::Logical>() || expr.as<g::In>() ? condition(expr) == Trend::steady : value(expr) == Trend::steady;
}

bool Trends::is_constant(const g::Expr& expr) {
  return std::visit(g::Overloaded{[](const g::Name&) { return false; }, [](const g::Unary&) { return false; }, [](const g::Arithmetic&) { return false; },
                                  [](const g::Compare&) { return false; }, [](const g::Logical&) { return false; }, [](const g::In&) { return false; },
                                  [](const g::Between&) { return false; }, [](const g::IsNull&) { return false; }, [](const g::Call&) { return false; },
                                  [](const auto&) { return true; }},
                    expr.node);
}

bool Trends::is_positive(const g::Expr& expr) {
  return expr.as<g::IntegerLiteral>() || expr.as<g::SizeLiteral>() || (expr.as<g::FloatLiteral>() && expr.as<g::FloatLiteral>()->value > 0) ||
         (expr.as<g::DurationLiteral>() != nullptr);
}

Trend Trends::aggregate(const g::Call& call) const {
  const std::string name = lower_case(call.function.text());
  if (name == "count" || name == "countif" || name == "dcount" || name == "count_distinct" || name == "max") return Trend::rising;
  if (name == "min") return Trend::falling;
  if (name == "rate" && call.arguments.size() == 1) return value(*call.arguments[0]) == Trend::rising ? Trend::rising : Trend::unknown;
  if ((name == "sum" || name == "sumif") && !call.arguments.empty()) {
    // A sum rises where nothing that it adds up is below zero: unsigned columns, as they are.
    const auto* column = call.arguments[0]->as<g::Name>();
    if (!column || std::find(changed_.begin(), changed_.end(), lower_case(column->text())) != changed_.end()) return Trend::unknown;
    const auto known = find_column(column->text());
    if (!known) return Trend::unknown;
    if (known->kind == ColumnName::Kind::derived) return known->derived == DerivedColumn::duration ? Trend::unknown : Trend::rising;
    if (known->kind == ColumnName::Kind::stored) return column_spec(known->stored).type == LogicalType::uint ? Trend::rising : Trend::unknown;
  }
  return Trend::unknown;
}

}  // namespace sluice::query::continuous
