// Conditions: comparisons and their kin, with either-side columns written out.
#include <algorithm>
#include <cmath>

#include "grammar/nearest.h"
#include "query/bind.h"
#include "query/function.h"
#include "query/in_query.h"
#include "query/words.h"

namespace sluice::query {
namespace {

namespace g = grammar;

Comparison mirrored(Comparison op) {
  switch (op) {
    case Comparison::less: return Comparison::greater;
    case Comparison::less_equal: return Comparison::greater_equal;
    case Comparison::greater: return Comparison::less;
    case Comparison::greater_equal: return Comparison::less_equal;
    default: return op;
  }
}

std::optional<Comparison> comparison_of(g::CompareOp op) {
  switch (op) {
    case g::CompareOp::kEqual: return Comparison::equal;
    case g::CompareOp::kNotEqual: return Comparison::not_equal;
    case g::CompareOp::kLess: return Comparison::less;
    case g::CompareOp::kLessEqual: return Comparison::less_equal;
    case g::CompareOp::kGreater: return Comparison::greater;
    case g::CompareOp::kGreaterEqual: return Comparison::greater_equal;
    default: return std::nullopt;
  }
}

bool is_icmp(const g::Expr& expr) {
  const auto* name = expr.as<g::Name>();
  return name && !name->quoted && name->parts.size() == 1 && equal_ignoring_case(name->parts[0], "icmp");
}

PredicatePtr int_test(const NodePtr& node, uint64_t first, uint64_t last) {
  IntRanges ranges;
  ranges.is_signed = node->type.physical == PhysicalType::I64;
  ranges.ranges.push_back({first, last});
  return make_test(node, std::move(ranges));
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

PredicatePtr Binder::bind_condition(const g::Expr& expr) {
  if (const auto* logical = expr.as<g::Logical>()) {
    std::vector<PredicatePtr> children;
    for (const auto& o : logical->operands) {
      PredicatePtr p = bind_condition(*o);
      if (!p) return nullptr;
      children.push_back(std::move(p));
    }
    return logical->op == g::LogicalOp::kAnd ? make_and(std::move(children)) : make_or(std::move(children));
  }
  if (const auto* unary = expr.as<g::Unary>(); unary && unary->op == g::UnaryOp::kNot) {
    PredicatePtr p = bind_condition(*unary->operand);
    return p ? make_not(std::move(p)) : nullptr;
  }
  // in_list(x, "tor") is x in @tor, and finds its rows the same way.
  if (const auto* call = expr.as<g::Call>(); call && call->arguments.size() == 2 && equal_ignoring_case(call->function.text(), "in_list"))
    if (const auto* name = call->arguments[1]->as<g::StringLiteral>()) {
      const g::ExprPtr list(g::Expr{g::ListReference{name->value}, call->arguments[1]->span});
      return bind_condition(g::Expr{g::In{false, call->arguments[0], {list}, {}}, expr.span});
    }
  if (side_ == Side::none && mentions_either(expr)) return bind_sides(expr);

  if (const auto* compare = expr.as<g::Compare>()) return bind_compare(*compare, expr.span);
  if (const auto* in = expr.as<g::In>()) return bind_in(*in, expr.span);
  if (const auto* between = expr.as<g::Between>()) return bind_between(*between, expr.span);
  if (const auto* null = expr.as<g::IsNull>()) {
    NodePtr node = bind_value(*null->operand);
    return node ? make_test(std::move(node), NullTest{!null->negated}) : nullptr;
  }
  if (expr.as<g::Parameter>()) {  // read as the type that its place wants
    const auto value = constant_of(expr, Type::of(LogicalType::boolean));
    return value ? make_predicate(std::get<uint64_t>(value->data) != 0) : nullptr;
  }
  NodePtr node = bind_value(expr);
  if (!node) return nullptr;
  if (node->constant() && node->constant()->is_null()) return make_predicate(false);
  if (node->type.logical != LogicalType::boolean)
    if (const auto* name = expr.as<g::Name>(); name && find_aggregate(lower_case(name->text())) && plan_.operators.empty())
      return fail(expr.span, "this is " + std::string(to_string(class_of(node->type.logical))) + ", where a condition is wanted",
                  "did you mean 'stats " + (lower_case(name->text()) == "count" ? std::string("count()") : std::string(find_aggregate(lower_case(name->text()))->signature)) + "'?");
  if (node->type.logical != LogicalType::boolean)
    return fail(expr.span, "this is " + std::string(to_string(class_of(node->type.logical))) + ", where a condition is wanted",
                node->constant() ? "compare it with something; several values are written in a list: dst_port in (80, 443)" : "compare it with something");
  if (node->slot() && node->type.column) return int_test(node, 1, 1);
  return make_condition(std::move(node));
}

// `ip == x` is src or dst; `ip != x`, `ip not in (…)` say that neither side is.
PredicatePtr Binder::bind_sides(const g::Expr& expr) {
  // The positive form, asked of both sides, then turned round.
  g::Expr positive = expr;
  bool negated = false;
  if (const auto* c = expr.as<g::Compare>(); c && c->op == g::CompareOp::kNotEqual) {
    positive.node = g::Compare{g::CompareOp::kEqual, c->left, c->right};
    negated = true;
  } else if (const auto* i = expr.as<g::In>(); i && i->negated) {
    positive.node = g::In{false, i->value, i->items, i->query};
    negated = true;
  } else if (const auto* b = expr.as<g::Between>(); b && b->negated) {
    positive.node = g::Between{false, b->value, b->low, b->high};
    negated = true;
  } else if (const auto* n = expr.as<g::IsNull>(); n && n->negated) {
    positive.node = g::IsNull{false, n->operand};
    negated = true;
  }
  std::vector<PredicatePtr> sides;
  for (const Side side : {Side::source, Side::destination}) {
    side_ = side;
    PredicatePtr p = bind_condition(positive);
    side_ = Side::none;
    if (!p || error_) return nullptr;
    sides.push_back(std::move(p));
  }
  PredicatePtr either = make_or(std::move(sides));
  return negated ? make_not(std::move(either)) : either;
}

// Types 8 and 128 are both echo_request: ICMP and ICMPv6 number their types apart.
PredicatePtr Binder::bind_icmp(const g::Expr& right, bool negated, bool with_protocol) {
  const NodePtr type = slot_of(ScanSource{ScanSource::Kind::stored, ColumnId::icmp_type, {}, {}});
  std::optional<IcmpType> named;
  const auto* name = right.as<g::Name>();
  const auto* text = right.as<g::StringLiteral>();
  if (name && name->parts.size() == 1) named = icmp_type_of(name->parts[0]);
  if (text) named = icmp_type_of(text->value);
  if (name || text) {
    if (!named) {
      std::vector<std::string_view> known;
      each_icmp_type([&](std::string_view n) { known.push_back(n); });
      const std::string word = name ? name->text() : text->value;
      std::string hint = lower_case(word) == "ping" ? "did you mean 'echo_request'?" : g::did_you_mean(word, known);
      return fail(right.span, g::shown(word) + " is not an ICMP type", hint.empty() ? "such as echo_request, unreachable or time_exceeded" : std::move(hint));
    }
  } else {
    const auto value = constant_of(right, Type::of(LogicalType::uint));
    const auto* number = value ? std::get_if<uint64_t>(&value->data) : nullptr;
    if (!number || *number > 255) return fail(right.span, "expected an ICMP type such as echo_request or 8");
    named = IcmpType{{}, static_cast<uint8_t>(*number), static_cast<uint8_t>(*number)};
  }
  std::vector<PredicatePtr> ways;
  auto way = [&](uint8_t protocol, uint8_t number) {
    std::vector<PredicatePtr> both = {int_test(type, number, number)};
    if (with_protocol) both.push_back(int_test(slot_of(ScanSource{ScanSource::Kind::stored, ColumnId::protocol, {}, {}}), protocol, protocol));
    ways.push_back(make_and(std::move(both)));
  };
  if (named->v4) way(1, *named->v4);
  if (named->v6 && (with_protocol || named->v6 != named->v4)) way(58, *named->v6);
  PredicatePtr any = make_or(std::move(ways));
  return negated ? make_and({make_test(type, NullTest{false}), make_not(std::move(any))}) : any;
}

PredicatePtr Binder::bind_compare(const g::Compare& compare, const g::Span& span) {
  const g::Expr* left = compare.left.get();
  const g::Expr* right = compare.right.get();
  const auto comparison = comparison_of(compare.op);
  const bool equality = compare.op == g::CompareOp::kEqual || compare.op == g::CompareOp::kNotEqual;

  if (flows_ && equality && is_icmp(*left) && !find_name(*left->as<g::Name>()))
    return bind_icmp(*right, compare.op == g::CompareOp::kNotEqual, true);
  if (error_) return nullptr;

  // The side with a column is the left one from here on: `tcp == proto` and `443 == dst_port` read as well.
  auto is_column_side = [&](const g::Expr& e) {
    if (const auto* name = e.as<g::Name>()) return is_either(*name) || find_name(*name) != nullptr;
    return e.as<g::Call>() || e.as<g::Arithmetic>() || e.as<g::Logical>() || e.as<g::Compare>() || e.as<g::In>();
  };
  Comparison op = comparison.value_or(Comparison::equal);
  if (comparison && !is_column_side(*left) && is_column_side(*right)) {
    std::swap(left, right);
    op = mirrored(op);
  }
  NodePtr node = bind_value(*left);
  if (!node) return nullptr;

  if (compare.op == g::CompareOp::kHas) return bind_has(std::move(node), *right);
  if (!comparison) return bind_text_test(compare.op, std::move(node), *right);
  if (equality && node->type.column == ColumnId::icmp_type) {
    const auto* name = right->as<g::Name>();
    if (name && !name->quoted && !find_name(*name) && !error_) return bind_icmp(*right, op == Comparison::not_equal, false);
    if (const auto* text = right->as<g::StringLiteral>(); text && icmp_type_of(text->value))
      return bind_icmp(*right, op == Comparison::not_equal, false);
  }
  if (!equality) return bind_order(op, std::move(node), *right);

  ValueSet set;
  if (!add_value(*right, node->type, set)) return nullptr;
  return test_of(std::move(node), std::move(set), op == Comparison::not_equal, span);
}

PredicatePtr Binder::test_of(NodePtr left, ValueSet set, bool negated, const g::Span& span) {
  const Type& type = left->type;
  std::vector<PredicatePtr> any;  // the positive form
  switch (class_of(type.logical)) {
    case TypeClass::text: {
      if (!set.words.empty() || (set.regexes.empty() && set.computed.empty())) {
        TextTest test;
        test.kind = type.logical == LogicalType::list ? TextTest::Kind::has_item : TextTest::Kind::one_of;
        test.words = std::move(set.words);
        any.push_back(make_test(left, std::move(test)));
      }
      for (auto& regex : set.regexes) {
        TextTest test;
        test.kind = TextTest::Kind::matches;
        test.regex = std::move(regex);
        any.push_back(make_test(left, std::move(test)));
      }
      break;
    }
    case TypeClass::address: {
      if (set.ips.ranges.empty()) break;
      set.ips.normalize();
      if (negated && set.computed.empty()) return make_test(std::move(left), set.ips.complement());
      any.push_back(make_test(left, std::move(set.ips)));
      break;
    }
    default: {
      if (type.physical == PhysicalType::F64) {
        for (const double d : set.floats) set.float_ranges.ranges.emplace_back(d, d);
        if (set.float_ranges.ranges.empty() && !set.computed.empty()) break;
        set.float_ranges.normalize();
        any.push_back(make_test(left, std::move(set.float_ranges)));
        break;
      }
      if (set.ints.ranges.empty() && !set.computed.empty()) break;
      set.ints.is_signed = type.physical == PhysicalType::I64;
      set.ints.normalize();
      for (const auto& range : set.ints.ranges) warn_beyond(type, range.first);
      if (negated && set.computed.empty()) return make_test(std::move(left), set.ints.complement());
      any.push_back(make_test(left, std::move(set.ints)));
    }
  }
  std::vector<PredicatePtr> none;  // of the negative form: null on either side is false there too, so it is not the positive one turned
  for (const auto& expr : set.computed) {
    NodePtr right = bind_value(*expr);
    if (!right) return nullptr;
    const TypeClass a = class_of(type.logical), b = class_of(right->type.logical);
    const bool textual = (a == TypeClass::text || a == TypeClass::enumeration) && (b == TypeClass::text || b == TypeClass::enumeration);
    const bool numeric = (a == TypeClass::number || a == TypeClass::flags) && (b == TypeClass::number || b == TypeClass::flags);
    if (a != b && !textual && !numeric)
      return fail(expr->span, "cannot compare " + std::string(to_string(a)) + " with " + std::string(to_string(b)));
    NodePtr l = left;
    if (a == TypeClass::enumeration && b == TypeClass::enumeration && type.enumeration != right->type.enumeration) {
      l = make_cast(l, Type::of(LogicalType::string));
      right = make_cast(right, Type::of(LogicalType::string));
    }
    if (negated)
      none.push_back(make_condition(make_comparison(Comparison::not_equal, l, right)));
    else
      any.push_back(make_condition(make_comparison(Comparison::equal, l, right)));
  }
  (void)span;
  if (!negated) {
    if (any.empty()) any.push_back(make_predicate(false));
    return make_or(std::move(any));
  }
  none.insert(none.begin(), make_test(std::move(left), NullTest{false}));
  if (!any.empty()) none.push_back(make_not(make_or(std::move(any))));
  return make_and(std::move(none));
}

// A port of 999999 is a slip of the finger; an empty answer looks as if there were no such flows.
void Binder::warn_beyond(const Type& type, uint64_t least) {
  if (!type.column || (type.logical != LogicalType::uint && type.logical != LogicalType::port && type.logical != LogicalType::protocol)) return;
  const size_t width = width_of(type.physical);
  if (width >= 8 || least >> (8 * width) == 0) return;
  const std::string name(column_spec(*type.column).name);
  warn("no " + name + " is above " + std::to_string((uint64_t{1} << (8 * width)) - 1) + ", and " + std::to_string(least) + " is asked for");
}

PredicatePtr Binder::bind_order(Comparison op, NodePtr left, const g::Expr& right) {
  const Type& type = left->type;
  const TypeClass wanted = class_of(type.logical);
  if (wanted == TypeClass::boolean || wanted == TypeClass::flags)
    return fail(right.span, std::string(to_string(wanted)) + " have no order: use ==, != or has");
  const auto value = constant_of(right, type);
  if (error_) return nullptr;
  if (!value) {
    NodePtr node = bind_value(right);
    if (!node) return nullptr;
    if (class_of(node->type.logical) != wanted)
      return fail(right.span, "cannot compare " + std::string(to_string(wanted)) + " with " + std::string(to_string(class_of(node->type.logical))));
    return make_condition(make_comparison(op, std::move(left), std::move(node)));
  }
  if (value->is_null()) return make_predicate(false);
  const TypeClass given = class_of(value->type);
  const bool below = op == Comparison::less || op == Comparison::less_equal;
  const bool open = op == Comparison::less || op == Comparison::greater;
  if (wanted == TypeClass::text || wanted == TypeClass::enumeration) {
    TextTest test;
    test.kind = TextTest::Kind::between;
    const std::string text = given == TypeClass::text ? std::get<std::string>(value->data) : format_value(*value, type.enumeration);
    (below ? test.high : test.text) = text;
    (below ? test.has_high : test.has_low) = true;
    (below ? test.high_open : test.low_open) = open;
    return make_test(make_cast(std::move(left), Type::of(LogicalType::string)), std::move(test));
  }
  if (given != wanted)
    return fail(right.span, "this place wants " + std::string(to_string(wanted)) + ", and this is " + std::string(to_string(given)),
                std::string(example_of(wanted)));
  if (wanted == TypeClass::address) {
    const IpAddress ip = std::get<IpAddress>(value->data);
    const IpAddress last = IpAddress::from_halves(UINT64_MAX, UINT64_MAX);
    IpRanges ranges;
    ranges.ranges.emplace_back(below ? IpAddress{} : ip, below ? ip : last);
    if (!open) return make_test(std::move(left), std::move(ranges));
    IpRanges opposite;  // x < ip is not (x >= ip)
    opposite.ranges.emplace_back(below ? ip : IpAddress{}, below ? last : ip);
    return make_test(std::move(left), opposite.complement());
  }
  if (type.physical == PhysicalType::F64) {
    FloatRange range{-INFINITY, INFINITY, false, false, false};
    (below ? range.high : range.low) = value->as_double();
    (below ? range.high_open : range.low_open) = open;
    return make_test(std::move(left), range);
  }
  // Integers: the bound as the last value that satisfies it, or nothing, or everything.
  IntRanges ranges;
  ranges.is_signed = type.physical == PhysicalType::I64;
  const uint64_t lowest = ranges.is_signed ? static_cast<uint64_t>(INT64_MIN) : 0;
  const uint64_t highest = ranges.is_signed ? static_cast<uint64_t>(INT64_MAX) : UINT64_MAX;
  long double bound = 0;  // 64 bits of mantissa: exact for both integer types
  if (const auto* u = std::get_if<uint64_t>(&value->data)) bound = static_cast<long double>(*u);
  if (const auto* i = std::get_if<int64_t>(&value->data)) bound = static_cast<long double>(*i);
  if (const auto* d = std::get_if<double>(&value->data)) bound = *d;
  if (below)
    bound = open ? std::ceil(bound) - 1 : std::floor(bound);
  else
    bound = open ? std::floor(bound) + 1 : std::ceil(bound);
  const long double low = ranges.is_signed ? static_cast<long double>(INT64_MIN) : 0;
  const long double high = ranges.is_signed ? static_cast<long double>(INT64_MAX) : static_cast<long double>(UINT64_MAX);
  auto as_bits = [&](long double v) { return ranges.is_signed ? static_cast<uint64_t>(static_cast<int64_t>(v)) : static_cast<uint64_t>(v); };
  if (below && bound >= low) ranges.ranges.push_back({lowest, bound >= high ? highest : as_bits(bound)});
  if (!below && bound <= high) ranges.ranges.push_back({bound <= low ? lowest : as_bits(bound), highest});
  for (const auto& range : ranges.ranges) warn_beyond(type, range.first);
  return make_test(std::move(left), std::move(ranges));
}

PredicatePtr Binder::bind_text_test(g::CompareOp op, NodePtr left, const g::Expr& right) {
  TextTest test;
  NodePtr text = make_cast(std::move(left), Type::of(LogicalType::string));
  if (op == g::CompareOp::kMatches) {
    test.kind = TextTest::Kind::matches;
    test.regex = regex_of(right);
    if (!test.regex) return nullptr;
    return make_test(std::move(text), std::move(test));
  }
  test.kind = op == g::CompareOp::kContains     ? TextTest::Kind::contains
              : op == g::CompareOp::kStartsWith ? TextTest::Kind::starts_with
                                                : TextTest::Kind::ends_with;
  const auto value = constant_of(right, Type::of(LogicalType::string));
  if (error_) return nullptr;
  if (!value) {
    if (const auto* name = right.as<g::Name>(); name && !find_name(*name) && !error_)
      return fail(right.span, "unknown column '" + name->text() + "'", "text stands in quotes: '" + name->text() + "'");
    NodePtr node = bind_value(right);
    if (!node) return nullptr;
    const FunctionSpec* function = find_function(op == g::CompareOp::kContains ? "contains" : op == g::CompareOp::kStartsWith ? "starts_with" : "ends_with");
    return make_condition(make_call(*function, {std::move(text), std::move(node)}, Type::of(LogicalType::boolean)));
  }
  test.text = value->type == LogicalType::string ? std::get<std::string>(value->data) : format_value(*value);
  return make_test(std::move(text), std::move(test));
}

PredicatePtr Binder::bind_has(NodePtr left, const g::Expr& right) {
  if (left->type.logical == LogicalType::flags) {
    if (const auto* name = right.as<g::Name>(); name && !name->quoted && !word_value(name->text(), left->type) && !find_name(*name)) {
      if (error_) return nullptr;
      return fail(right.span, "'" + name->text() + "' is not a TCP flag", word_hint(name->text(), left->type));
    }
    const auto value = constant_of(right, left->type);
    if (error_) return nullptr;
    const auto* bits = value ? std::get_if<uint64_t>(&value->data) : nullptr;
    if (!bits) {
      const auto* name = right.as<g::Name>();
      const std::string word = name ? name->text() : "this";
      return fail(right.span, "'" + word + "' is not a TCP flag", word_hint(word, left->type));
    }
    return make_test(std::move(left), FlagsTest{*bits, *bits, false});
  }
  if (class_of(left->type.logical) != TypeClass::text && left->type.logical != LogicalType::enumeration)
    return fail(right.span, "'has' wants TCP flags, a list or text on its left");
  const auto value = constant_of(right, Type::of(LogicalType::string));
  if (error_) return nullptr;
  if (!value || value->type != LogicalType::string) {
    const auto* name = right.as<g::Name>();
    return fail(right.span, "expected text after 'has'", name ? "text stands in quotes: '" + name->text() + "'" : "");
  }
  TextTest test;
  const auto& word = std::get<std::string>(value->data);
  if (left->type.logical == LogicalType::list) {
    test.kind = TextTest::Kind::has_item;
    test.words.insert(word);
    return make_test(std::move(left), std::move(test));
  }
  // The whole word, whatever its case.
  test.kind = TextTest::Kind::matches;
  auto regex = Regex::compile("(?:^|[^0-9A-Za-z_])" + escaped(word) + "(?:[^0-9A-Za-z_]|$)", true);
  if (!regex.ok()) return fail(right.span, regex.error().message);
  test.regex = std::make_shared<const Regex>(std::move(regex).value());
  return make_test(make_cast(std::move(left), Type::of(LogicalType::string)), std::move(test));
}

PredicatePtr Binder::bind_in_query(const g::In& in, const g::Span& span) {
  if (options_.continuous)
    return fail(span, "a rule cannot ask a query in parentheses on a stream", "with 'every 5m over 1h' before 'as' it is asked again and again", ErrorCode::unsupported);
  NodePtr node = bind_value(*in.value);
  if (!node) return nullptr;
  const g::Query& query = **in.query;
  std::shared_ptr<Members>& known = members_[&query];
  std::shared_ptr<SubTable> table = known ? known->table : bind_subquery(query, plan_.scan.range, "the values of 'in'", span);
  if (!table) return nullptr;
  const OutputColumn& column = table->columns.front();
  const auto type = common_type(node->type, column.type);
  if (!type)
    return fail(span, "cannot look for " + std::string(to_string(class_of(node->type.logical))) + " among " + std::string(to_string(class_of(column.type.logical))),
                "the values are those of the first column of the query, '" + column.name + "'; to_ip(…) reads addresses out of text");
  auto as_common = [&](NodePtr n) { return n->type.physical == type->physical ? n : make_cast(std::move(n), *type); };
  if (!known || known->key->type.physical != type->physical) {
    known = std::make_shared<Members>(table, as_common(make_slot(0, column.type)), options_.run);
    for (SubQuery& sub : plan_.subqueries)
      if (sub.table == table) sub.members.push_back(known);
  }
  return make_condition(make_in_query(known, as_common(std::move(node)), in.negated));
}

void Binder::narrow_by_queries(const g::Expr& predicate) {
  if (const auto* all = predicate.as<g::Logical>(); all && all->op == g::LogicalOp::kAnd)
    for (const auto& part : all->operands) narrow_by_queries(*part);
  const auto* in = predicate.as<g::In>();
  if (!in || !in->query || in->negated || mentions_either(*in->value)) return;
  const auto known = members_.find(in->query->get());
  if (known == members_.end() || !known->second) return;
  const NodePtr node = bind_value(*in->value);
  if (node && node->slot()) narrow_scan(known->second->table, *node->slot(), 0);
}

PredicatePtr Binder::bind_in(const g::In& in, const g::Span& span) {
  if (in.query) return bind_in_query(in, span);
  if (flows_ && is_icmp(*in.value) && !find_name(*in.value->as<g::Name>())) {
    std::vector<PredicatePtr> any;
    for (const auto& item : in.items) {
      PredicatePtr p = bind_icmp(*item, false, true);
      if (!p) return nullptr;
      any.push_back(std::move(p));
    }
    PredicatePtr positive = make_or(std::move(any));
    if (!in.negated) return positive;
    // As `icmp != x`: a flow that is no ICMP is neither in the list nor out of it.
    const NodePtr type = slot_of(ScanSource{ScanSource::Kind::stored, ColumnId::icmp_type, {}, {}});
    return make_and({make_test(type, NullTest{false}), make_not(std::move(positive))});
  }
  if (error_) return nullptr;
  NodePtr node = bind_value(*in.value);
  if (!node) return nullptr;
  ValueSet set;
  for (const auto& item : in.items)
    if (!add_value(*item, node->type, set)) return nullptr;
  return test_of(std::move(node), std::move(set), in.negated, span);
}

PredicatePtr Binder::bind_between(const g::Between& between, const g::Span&) {
  NodePtr node = bind_value(*between.value);
  if (!node) return nullptr;
  PredicatePtr low = bind_order(Comparison::greater_equal, node, *between.low);
  if (!low) return nullptr;
  PredicatePtr high = bind_order(Comparison::less_equal, node, *between.high);
  if (!high) return nullptr;
  PredicatePtr both = make_and({std::move(low), std::move(high)});
  if (!between.negated) return both;
  return make_and({make_test(std::move(node), NullTest{false}), make_not(std::move(both))});
}

}  // namespace sluice::query
