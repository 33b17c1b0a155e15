#include "tests/oracle/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <set>
#include <stdexcept>

#include "grammar/parse.h"
#include "storage/model/flow_schema.h"
#include "storage/model/time.h"
#include "tests/oracle/stages.h"

namespace sluice::oracle {
namespace {

namespace g = grammar;

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error("the oracle does not cover " + what); }

bool is_null(const Value& v) { return std::holds_alternative<Null>(v); }

bool is_number(const Value& v) { return std::holds_alternative<Integer>(v) || std::holds_alternative<double>(v); }
double number(const Value& v) {
  if (const auto* i = std::get_if<Integer>(&v)) return static_cast<double>(*i);
  if (const auto* d = std::get_if<double>(&v)) return *d;
  give_up("a number made of " + text_of(v));
}

// -1, 0, 1; nullopt: can't be compared (a null).
std::optional<int> compare(const Value& a, const Value& b) {
  if (is_null(a) || is_null(b)) return std::nullopt;
  if (is_number(a) && is_number(b)) {
    if (std::holds_alternative<Integer>(a) && std::holds_alternative<Integer>(b)) {
      const Integer x = std::get<Integer>(a), y = std::get<Integer>(b);
      return x < y ? -1 : x > y ? 1 : 0;
    }
    const double x = number(a), y = number(b);
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.index() != b.index()) give_up("comparing " + text_of(a) + " with " + text_of(b));
  return a < b ? -1 : b < a ? 1 : 0;
}

std::string lower(std::string s) {
  for (char& c : s)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return s;
}

// Names of columns to the one name that rows carry; nullopt: no such column.
std::optional<std::string> canonical(const std::string& name, const Row& row) {
  if (row.contains(name)) return name;
  const auto found = find_column(name);
  if (!found) return std::nullopt;
  std::string own;
  if (found->kind == ColumnName::Kind::stored)
    own = column_spec(found->stored).name;
  else if (found->kind == ColumnName::Kind::derived)
    for (const auto& d : derived_columns())
      if (d.id == found->derived) own = d.name;
  if (own.empty() || !row.contains(own)) return std::nullopt;
  return own;
}

const EitherSpec* either_of(const g::ExprPtr& e) {
  const auto* name = e->as<g::Name>();
  if (name == nullptr) return nullptr;
  const auto found = find_column(name->text());
  return found && found->kind == ColumnName::Kind::either ? found->either : nullptr;
}

Integer protocol_number(const std::string& word) {
  static const std::map<std::string, int> known{{"tcp", 6}, {"udp", 17}, {"icmp", 1}, {"gre", 47}};
  const auto it = known.find(lower(word));
  if (it == known.end()) give_up("protocol " + word);
  return it->second;
}

class Evaluator {
 public:
  Value value(const g::ExprPtr& e, const Row& row) const {
    if (const auto* n = e->as<g::Name>()) {
      const auto column = canonical(n->text(), row);
      if (!column) give_up("the name " + n->text());
      return row.at(*column);
    }
    if (e->as<g::NullLiteral>()) return Null{};
    if (const auto* l = e->as<g::BoolLiteral>()) return l->value;
    if (const auto* l = e->as<g::IntegerLiteral>()) return static_cast<Integer>(l->value);
    if (const auto* l = e->as<g::FloatLiteral>()) return l->value;
    if (const auto* l = e->as<g::StringLiteral>()) return l->value;
    if (const auto* l = e->as<g::SizeLiteral>()) return static_cast<Integer>(l->bytes);
    if (const auto* l = e->as<g::DurationLiteral>()) return Span{l->nanoseconds};
    if (const auto* l = e->as<g::TimestampLiteral>()) return Time{l->nanoseconds};
    if (const auto* l = e->as<g::AddressLiteral>()) return IpAddress{l->address};
    if (const auto* u = e->as<g::Unary>()) {
      if (u->op == g::UnaryOp::kNot) return !truth(u->operand, row);
      const Value v = value(u->operand, row);
      if (is_null(v)) return Null{};
      if (const auto* i = std::get_if<Integer>(&v)) return -*i;
      return -number(v);
    }
    if (const auto* a = e->as<g::Arithmetic>()) return arithmetic(*a, row);
    if (const auto* c = e->as<g::Call>()) return call(*c, row);
    if (e->as<g::Compare>() || e->as<g::Logical>() || e->as<g::In>() || e->as<g::Between>() || e->as<g::IsNull>()) return truth(e, row);
    give_up("this expression");
  }

  // Two-valued: a comparison with null is false, and `not` of it true.
  bool truth(const g::ExprPtr& e, const Row& row) const {
    if (const auto* l = e->as<g::Logical>()) {
      for (const auto& operand : l->operands)
        if (truth(operand, row) != (l->op == g::LogicalOp::kAnd)) return l->op == g::LogicalOp::kOr;
      return l->op == g::LogicalOp::kAnd;
    }
    if (const auto* u = e->as<g::Unary>(); u != nullptr && u->op == g::UnaryOp::kNot) return !truth(u->operand, row);
    if (const auto* c = e->as<g::Compare>()) {
      if (const EitherSpec* either = either_of(c->left)) {
        const bool negative = c->op == g::CompareOp::kNotEqual;
        const g::CompareOp op = negative ? g::CompareOp::kEqual : c->op;
        const bool any = compare_to(row.at(std::string(column_spec(either->src).name)), column_spec(either->src), op, c->right, row) ||
                         compare_to(row.at(std::string(column_spec(either->dst).name)), column_spec(either->dst), op, c->right, row);
        return negative ? !any : any;
      }
      const ColumnSpec* spec = nullptr;
      if (const auto* n = c->left->as<g::Name>())
        if (const auto found = find_column(n->text()); found && found->kind == ColumnName::Kind::stored) spec = &column_spec(found->stored);
      static const ColumnSpec no_spec{};
      return compare_to(value(c->left, row), spec ? *spec : no_spec, c->op, c->right, row);
    }
    if (const auto* i = e->as<g::In>()) {
      if (const EitherSpec* either = either_of(i->value)) {
        const bool any = among(row.at(std::string(column_spec(either->src).name)), i->items, row) ||
                         among(row.at(std::string(column_spec(either->dst).name)), i->items, row);
        return any != i->negated;
      }
      const Value v = value(i->value, row);
      if (is_null(v)) return false;
      return among(v, i->items, row) != i->negated;
    }
    if (const auto* b = e->as<g::Between>()) {
      const Value v = value(b->value, row);
      if (is_null(v)) return false;
      const auto low = compare(v, value(b->low, row)), high = compare(v, value(b->high, row));
      return (low && high && *low >= 0 && *high <= 0) != b->negated;
    }
    if (const auto* n = e->as<g::IsNull>()) return is_null(value(n->operand, row)) != n->negated;
    const Value v = value(e, row);
    if (is_null(v)) return false;
    if (const auto* b = std::get_if<bool>(&v)) return *b;
    give_up("the truth of " + text_of(v));
  }

 private:
  bool compare_to(const Value& left, const ColumnSpec& spec, g::CompareOp op, const g::ExprPtr& right_expr, const Row& row) const {
    Value right = Null{};
    const auto* word = right_expr->as<g::Name>();
    if (word != nullptr && !canonical(word->text(), row)) {
      if (spec.type == LogicalType::protocol)
        right = protocol_number(word->text());
      else if (spec.type == LogicalType::enumeration)
        right = lower(word->text());
      else if (spec.type == LogicalType::flags)
        right = flags_of(word->text());
      else
        give_up("the word " + word->text());
    } else {
      right = value(right_expr, row);
    }
    if (is_null(left) || is_null(right)) return false;
    switch (op) {
      case g::CompareOp::kHas: {
        const Integer bits = std::get<Integer>(right);
        return (std::get<Integer>(left) & bits) == bits;
      }
      case g::CompareOp::kContains: return std::get<std::string>(left).find(std::get<std::string>(right)) != std::string::npos;
      case g::CompareOp::kStartsWith: return std::get<std::string>(left).starts_with(std::get<std::string>(right));
      case g::CompareOp::kEndsWith: return std::get<std::string>(left).ends_with(std::get<std::string>(right));
      default: break;
    }
    const auto c = compare(left, right);
    if (!c) return false;
    switch (op) {
      case g::CompareOp::kEqual: return *c == 0;
      case g::CompareOp::kNotEqual: return *c != 0;
      case g::CompareOp::kLess: return *c < 0;
      case g::CompareOp::kLessEqual: return *c <= 0;
      case g::CompareOp::kGreater: return *c > 0;
      case g::CompareOp::kGreaterEqual: return *c >= 0;
      default: give_up("this comparison");
    }
  }

  static Integer flags_of(const std::string& word) {
    static const std::map<std::string, int> names{{"fin", 1}, {"syn", 2}, {"rst", 4}, {"psh", 8}, {"ack", 16}, {"urg", 32}};
    if (const auto it = names.find(lower(word)); it != names.end()) return it->second;
    Integer bits = 0;
    for (char c : word) {
      static const std::map<char, int> letters{{'F', 1}, {'S', 2}, {'R', 4}, {'P', 8}, {'A', 16}, {'U', 32}};
      const auto it = letters.find(c);
      if (it == letters.end()) give_up("flags " + word);
      bits |= it->second;
    }
    return bits;
  }

  // Bit by bit: the plainest reading of a prefix.
  static bool inside(const IpAddress& ip, const char* block) {
    static std::map<std::string, g::CidrLiteral> known;  // parsing takes its time
    auto it = known.find(block);
    if (it == known.end()) {
      const auto parsed = g::parse_expression("src_ip in " + std::string(block));
      it = known.emplace(block, *std::get<g::ExprPtr>(parsed)->as<g::In>()->items[0]->as<g::CidrLiteral>()).first;
    }
    for (unsigned bit = 0; bit < it->second.prefix_length; ++bit)
      if (((ip.bytes[bit / 8] ^ it->second.address[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
    return true;
  }

  bool among(const Value& v, const std::vector<g::ExprPtr>& items, const Row& row) const {
    if (is_null(v)) return false;
    for (const auto& item : items) {
      if (const auto* c = item->as<g::CidrLiteral>()) {
        // Bit by bit: the plainest reading of a prefix.
        const IpAddress& ip = std::get<IpAddress>(v);
        bool inside = true;
        for (unsigned bit = 0; bit < c->prefix_length; ++bit)
          inside = inside && ((ip.bytes[bit / 8] >> (7 - bit % 8)) & 1) == ((c->address[bit / 8] >> (7 - bit % 8)) & 1);
        if (inside) return true;
      } else if (const auto* r = item->as<g::AddressRangeLiteral>()) {
        const IpAddress& ip = std::get<IpAddress>(v);
        if (!(ip < IpAddress{r->first}) && !(IpAddress{r->last} < ip)) return true;
      } else if (const auto* n = item->as<g::IntegerRangeLiteral>()) {
        const Integer i = std::get<Integer>(v);
        if (i >= static_cast<Integer>(n->first) && i <= static_cast<Integer>(n->last)) return true;
      } else if (const auto* word = item->as<g::Name>(); word != nullptr && !canonical(word->text(), row)) {
        if (std::holds_alternative<std::string>(v) ? std::get<std::string>(v) == lower(word->text()) : std::get<Integer>(v) == protocol_number(word->text())) return true;
      } else if (compare(v, value(item, row)) == 0) {
        return true;
      }
    }
    return false;
  }

  Value arithmetic(const g::Arithmetic& a, const Row& row) const {
    const Value l = value(a.left, row), r = value(a.right, row);
    if (is_null(l) || is_null(r)) return Null{};
    const auto *x = std::get_if<Integer>(&l), *y = std::get_if<Integer>(&r);
    if (x != nullptr && y != nullptr && a.op != g::ArithmeticOp::kDivide) {
      switch (a.op) {
        case g::ArithmeticOp::kAdd: return *x + *y;
        case g::ArithmeticOp::kSubtract: return *x - *y;
        case g::ArithmeticOp::kMultiply: return *x * *y;
        default:
          if (*y == 0) return Null{};
          return *x % *y;
      }
    }
    const auto *t = std::get_if<Time>(&l), *u = std::get_if<Time>(&r);
    const auto *d = std::get_if<Span>(&l), *e = std::get_if<Span>(&r);
    const bool add = a.op == g::ArithmeticOp::kAdd, subtract = a.op == g::ArithmeticOp::kSubtract;
    if (t != nullptr && u != nullptr && subtract) return Span{t->ns - u->ns};
    if (t != nullptr && e != nullptr && (add || subtract)) return Time{add ? t->ns + e->ns : t->ns - e->ns};
    if (d != nullptr && e != nullptr && (add || subtract)) return Span{add ? d->ns + e->ns : d->ns - e->ns};
    if (d != nullptr && y != nullptr && a.op == g::ArithmeticOp::kMultiply) return Span{static_cast<int64_t>(d->ns * *y)};
    if (d != nullptr && e != nullptr && a.op == g::ArithmeticOp::kDivide) return e->ns == 0 ? Value(Null{}) : Value(static_cast<double>(d->ns) / static_cast<double>(e->ns));
    const double p = number(l), q = number(r);
    switch (a.op) {
      case g::ArithmeticOp::kAdd: return p + q;
      case g::ArithmeticOp::kSubtract: return p - q;
      case g::ArithmeticOp::kMultiply: return p * q;
      case g::ArithmeticOp::kDivide:
        if (q == 0) return Null{};
        return p / q;
      default: give_up("% of floats");
    }
  }

  Value call(const g::Call& c, const Row& row) const {
    const std::string f = lower(c.function.text());
    if (f == "bin") {
      const bool alone = c.arguments.size() == 1;
      const Value v = alone ? row.at("flow_end") : value(c.arguments[0], row);
      const Value width = value(c.arguments.back(), row);
      if (is_null(v)) return Null{};
      if (const auto* t = std::get_if<Time>(&v)) {
        const int64_t w = std::get<Span>(width).ns;
        int64_t start = t->ns / w * w;
        if (start > t->ns) start -= w;
        return Time{start};
      }
      const Integer n = std::get<Integer>(v), w = std::get<Integer>(width);
      return (n < 0 ? (n - w + 1) / w : n / w) * w;
    }
    std::vector<Value> a;
    if (f == "if" || f == "case") {
      for (size_t i = 0; i + 1 < c.arguments.size(); i += 2)
        if (truth(c.arguments[i], row)) return value(c.arguments[i + 1], row);
      return c.arguments.size() % 2 == 1 ? value(c.arguments.back(), row) : Value(Null{});
    }
    for (const auto& argument : c.arguments) a.push_back(value(argument, row));
    if (f == "coalesce") {
      for (const Value& v : a)
        if (!is_null(v)) return v;
      return Null{};
    }
    if (f == "concat") {
      std::string all;
      for (const Value& v : a)
        if (!is_null(v)) all += text_of(v);
      return all;
    }
    if (f == "min_of" || f == "max_of") {
      Value best = Null{};
      for (const Value& v : a)
        if (!is_null(v) && (is_null(best) || (f == "min_of" ? *compare(v, best) < 0 : *compare(v, best) > 0))) best = v;
      return best;
    }
    const bool anything_null = std::any_of(a.begin(), a.end(), is_null);
    if (f == "contains" || f == "starts_with" || f == "ends_with") {
      if (anything_null) return false;
      const std::string &text = std::get<std::string>(a[0]), &part = std::get<std::string>(a[1]);
      if (part.size() > text.size()) return false;
      const size_t at = text.size() - part.size();
      if (f == "starts_with") return text.substr(0, part.size()) == part;
      if (f == "ends_with") return text.substr(at) == part;
      for (size_t i = 0; i <= at; ++i)
        if (text.substr(i, part.size()) == part) return true;
      return false;
    }
    if (anything_null) return Null{};
    if (f == "is_private") {
      for (const char* block : {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128"})
        if (inside(std::get<IpAddress>(a[0]), block)) return true;
      return false;
    }
    if (f == "is_multicast") return inside(std::get<IpAddress>(a[0]), "224.0.0.0/4") || inside(std::get<IpAddress>(a[0]), "ff00::/8");
    if (f == "ip_version") return inside(std::get<IpAddress>(a[0]), "0.0.0.0/0") ? Integer{4} : Integer{6};
    if (f == "cidr") {
      IpAddress ip = std::get<IpAddress>(a[0]);
      const bool v4 = ip.is_v4();
      const unsigned keep = static_cast<unsigned>(std::get<Integer>(a[1])) + (v4 ? 96 : 0);
      for (unsigned bit = keep; bit < 128; ++bit) ip.bytes[bit / 8] &= static_cast<uint8_t>(~(1u << (7 - bit % 8)));
      return ip;
    }
    if (f == "abs") {
      if (const auto* i = std::get_if<Integer>(&a[0])) return *i < 0 ? -*i : *i;
      return std::fabs(number(a[0]));
    }
    if (f == "lower") return lower(std::get<std::string>(a[0]));
    if (f == "upper") {
      std::string text = std::get<std::string>(a[0]);
      for (char& letter : text)
        if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 32);
      return text;
    }
    if (f == "length") return static_cast<Integer>(std::get<std::string>(a[0]).size());
    if (f == "to_string") return text_of(a[0]);
    if (f == "floor" || f == "ceil" || f == "round") {
      if (a.size() == 1 && std::holds_alternative<Integer>(a[0])) return a[0];
      const double x = number(a[0]), scale = std::pow(10, a.size() > 1 ? number(a[1]) : 0);
      return f == "floor" ? std::floor(x) : f == "ceil" ? std::ceil(x) : std::round(x * scale) / scale;
    }
    if (f == "sqrt" || f == "log" || f == "log2" || f == "log10" || f == "pow") {
      const double x = number(a[0]);
      const double v = f == "sqrt" ? std::sqrt(x) : f == "log" ? std::log(x) : f == "log2" ? std::log(x) / std::log(2) : f == "log10" ? std::log(x) / std::log(10) : std::pow(x, number(a[1]));
      if (!std::isfinite(v)) return Null{};
      return v;
    }
    // By counting days from a Thursday.
    if (f == "hour" || f == "day_of_week") {
      const int64_t hours = std::get<Time>(a[0]).ns / 3'600'000'000'000;
      return static_cast<Integer>(f == "hour" ? hours % 24 : (hours / 24 + 3) % 7 + 1);
    }
    if (f == "seconds") return static_cast<double>(std::get<Span>(a[0]).ns) / 1e9;
    if (f == "format_bytes") {
      double size = number(a[0]);
      static const char* units[] = {"B", "kB", "MB", "GB", "TB"};
      size_t unit = 0;
      for (; std::fabs(size) >= 999.5 && unit < 4; ++unit) size /= 1000;
      char buffer[40];
      std::snprintf(buffer, sizeof buffer, unit == 0 || std::fabs(size) >= 99.95 ? "%.0f %s" : "%.1f %s", size, units[unit]);
      return std::string(buffer);
    }
    give_up("the function " + f);
  }
};

// The scanner's walk, over first contacts that are sought one by one.
Value walk_of(const g::Call& c, const std::vector<const Row*>& group, const Evaluator& ev) {
  std::set<Value> peers;
  for (const Row* r : group)
    if (Value peer = ev.value(c.arguments[0], *r); !is_null(peer)) peers.insert(std::move(peer));
  if (peers.empty()) return Null{};
  std::vector<std::pair<int64_t, int>> contacts;  // when, and -1 for a success
  for (const Value& peer : peers) {
    std::pair<int64_t, int> first{INT64_MAX, 0};
    for (const Row* r : group)
      if (ev.value(c.arguments[0], *r) == peer) first = std::min(first, {std::get<Time>(r->at("flow_end")).ns, ev.truth(c.arguments[1], *r) ? -1 : 1});
    contacts.push_back(first);
  }
  std::sort(contacts.begin(), contacts.end());
  double walk = 0;
  for (const auto& [at, step] : contacts) {
    walk += step * std::log(4);
    if (walk >= std::log(99)) break;
    if (walk <= -std::log(99)) walk = 0;
  }
  return walk;
}

Value aggregate(const g::Call& c, const std::vector<const Row*>& group, const Evaluator& ev) {
  const std::string f = lower(c.function.text());
  if (f == "count" && c.arguments.empty()) return static_cast<Integer>(group.size());
  if (f == "countif") {
    Integer n = 0;
    for (const Row* r : group) n += ev.truth(c.arguments[0], *r);
    return n;
  }
  if (f == "trw") return walk_of(c, group, ev);
  if (f == "first" || f == "last" || f == "arg_min" || f == "arg_max") {
    std::vector<std::pair<Value, Value>> pairs;  // what orders, what is told
    for (const Row* r : group) {
      std::pair<Value, Value> p{f.starts_with("arg") ? ev.value(c.arguments[1], *r) : r->at("flow_end"), ev.value(c.arguments[0], *r)};
      if (!is_null(p.first) && !is_null(p.second)) pairs.push_back(std::move(p));
    }
    if (pairs.empty()) return Null{};
    std::sort(pairs.begin(), pairs.end());
    return f == "first" || f == "arg_min" ? pairs.front().second : pairs.back().second;
  }
  std::vector<Value> values;
  const bool filtered = f == "sumif" || f == "avgif";
  for (const Row* r : group) {
    if (filtered && !ev.truth(c.arguments[1], *r)) continue;
    Value v = ev.value(c.arguments[0], *r);
    if (!is_null(v)) values.push_back(std::move(v));
  }
  if (f == "count") return static_cast<Integer>(values.size());
  if (f == "count_distinct" || f == "dcount") return static_cast<Integer>(std::set<Value>(values.begin(), values.end()).size());
  if (f == "values") {
    std::set<Value> distinct(values.begin(), values.end());
    std::string list;
    const Integer most = c.arguments.size() > 1 ? std::get<Integer>(ev.value(c.arguments[1], {})) : Integer{100};
    Integer n = 0;
    for (const Value& v : distinct)
      if (n++ < most) list += (n > 1 ? "\n" : "") + text_of(v);
    return list;
  }
  if (values.empty()) return Null{};
  if (f == "any") return *std::min_element(values.begin(), values.end());
  if (f == "entropy") {
    double bits = 0;
    for (const Value& v : std::set<Value>(values.begin(), values.end())) {
      const double share = static_cast<double>(std::count(values.begin(), values.end(), v)) / static_cast<double>(values.size());
      bits -= share * std::log(share) / std::log(2);
    }
    return bits;
  }
  if (f == "stdev") {
    if (values.size() < 2) return Null{};
    long double mean = 0, squares = 0;
    for (const Value& v : values) mean += static_cast<long double>(number(v)) / static_cast<long double>(values.size());
    for (const Value& v : values) squares += (number(v) - mean) * (number(v) - mean);
    return static_cast<double>(std::sqrt(squares / static_cast<long double>(values.size() - 1)));
  }
  if (f == "quantile" || f == "p50" || f == "median" || f == "p90" || f == "p95" || f == "p99") {
    const double q = f == "quantile" ? number(ev.value(c.arguments[1], {})) : f == "median" ? 0.5 : std::stod(f.substr(1)) / 100;
    std::sort(values.begin(), values.end());
    const double rank = std::ceil(q * static_cast<double>(values.size()) - 1e-9);
    return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
  }
  if (f == "min" || f == "max") {
    Value best = values[0];
    for (const Value& v : values)
      if (const int order = *compare(v, best); f == "min" ? order < 0 : order > 0) best = v;
    return best;
  }
  if (f == "sum" || f == "sumif") {
    if (std::holds_alternative<Integer>(values[0])) {
      Integer total = 0;
      for (const Value& v : values) total += std::get<Integer>(v);
      return total;
    }
    double total = 0;
    for (const Value& v : values) total += number(v);
    return total;
  }
  if (f == "avg" || f == "avgif") {
    double total = 0;
    for (const Value& v : values) total += number(v);
    return total / static_cast<double>(values.size());
  }
  give_up("the aggregate " + f);
}

std::string name_of(const g::NamedExpr& e, size_t position) {
  if (e.name) return e.name->text();
  if (const auto* n = e.value->as<g::Name>()) return n->text();
  return "#" + std::to_string(position);  // the test compares by position
}

}  // namespace

std::vector<Row> rows_of(const Batch& flows) {
  std::vector<Row> rows(flows.rows);
  for (size_t i = 0; i < flows.rows; ++i) {
    Row& row = rows[i];
    for (const ColumnSpec& spec : flow_columns()) {
      Value v = Null{};
      const auto at = flows.find(spec.id);
      if (at && !flows.columns[*at].is_null(i)) {
        const Column& c = flows.columns[*at];
        switch (spec.type) {
          case LogicalType::ip: v = c.ip_at(i); break;
          case LogicalType::string:
          case LogicalType::list:
          case LogicalType::extra: v = std::string(c.string_at(i)); break;
          case LogicalType::timestamp: v = Time{c.int_at(i)}; break;
          case LogicalType::boolean: v = c.uint_at(i) != 0; break;
          case LogicalType::enumeration: v = std::string(spec.enumeration->name_of(static_cast<uint8_t>(c.uint_at(i)))); break;
          default: v = static_cast<Integer>(c.uint_at(i));
        }
      }
      row[std::string(spec.name)] = std::move(v);
    }
    const auto scaled = [&](const char* raw) -> Value {
      if (is_null(row[raw])) return Null{};
      const Integer rate = is_null(row["sampling_rate"]) ? 1 : std::get<Integer>(row["sampling_rate"]);
      return std::get<Integer>(row[raw]) * rate;
    };
    row["bytes"] = scaled("raw_bytes");
    row["packets"] = scaled("raw_packets");
    row["reverse_bytes"] = scaled("raw_reverse_bytes");
    row["reverse_packets"] = scaled("raw_reverse_packets");
    row["duration"] = is_null(row["flow_start"]) || is_null(row["flow_end"]) ? Value(Null{})
                                                                             : Value(Span{std::get<Time>(row["flow_end"]).ns - std::get<Time>(row["flow_start"]).ns});
  }
  return rows;
}

namespace {

void group(const std::vector<g::NamedExpr>& key_exprs, const std::vector<g::NamedExpr>& aggregates, const Evaluator& ev, std::vector<Row>& rows,
           std::vector<std::string>& columns) {
  std::map<std::vector<Value>, std::vector<const Row*>> groups;
  // A key that means either side puts a flow into a group for each distinct side it has.
  for (const Row& r : rows) {
    std::vector<std::vector<Value>> keys{{}};
    for (const auto& k : key_exprs) {
      std::vector<Value> choices;
      if (const EitherSpec* either = either_of(k.value)) {
        for (ColumnId side : {either->src, either->dst}) {
          const Value& v = r.at(std::string(column_spec(side).name));
          if (std::find(choices.begin(), choices.end(), v) == choices.end()) choices.push_back(v);
        }
      } else {
        choices.push_back(ev.value(k.value, r));
      }
      std::vector<std::vector<Value>> grown;
      for (const auto& key : keys)
        for (const Value& v : choices) {
          grown.push_back(key);
          grown.back().push_back(v);
        }
      keys = std::move(grown);
    }
    for (auto& key : keys) groups[key].push_back(&r);
  }
  if (key_exprs.empty() && groups.empty()) groups[{}] = {};
  columns.clear();
  size_t position = 0;
  for (const auto& k : key_exprs) columns.push_back(name_of(k, position++));
  for (const auto& a : aggregates) columns.push_back(name_of(a, position++));
  std::vector<Row> out;
  for (const auto& [key, members] : groups) {
    Row r;
    for (size_t i = 0; i < key.size(); ++i) r[columns[i]] = key[i];
    for (size_t i = 0; i < aggregates.size(); ++i) {
      const auto* call = aggregates[i].value->as<g::Call>();
      if (call == nullptr) give_up("an aggregate that is no call");
      r[columns[key.size() + i]] = aggregate(*call, members, ev);
    }
    out.push_back(std::move(r));
  }
  rows = std::move(out);
}

// The part of a value that a flow has below a time, rounded down: parts of neighbouring bins add up to the whole.
Integer below(Integer value, int64_t time, int64_t whole) { return value * time / whole; }

// Cell by cell: for each bin and each series, its rows are sought among all.
void timeseries(const g::TimeseriesStage& stage, const Evaluator& ev, TimeBounds bounds, std::vector<Row>& rows, std::vector<std::string>& columns) {
  const int64_t every = std::get<Span>(ev.value(stage.every, {})).ns;
  if (bounds.from == INT64_MIN || bounds.to == INT64_MAX) give_up("a series without a range");
  const auto key_of = [&](const Row& r) {
    std::vector<Value> key;
    for (const auto& k : stage.keys) key.push_back(ev.value(k.value, r));
    return key;
  };
  std::vector<int64_t> bins;
  for (int64_t bin = bounds.from / every * every; bin < bounds.to; bin += every) bins.push_back(bin);
  // The rows of a bin, with what `spread` leaves of the columns that are summed.
  const auto rows_in = [&](int64_t bin) {
    std::vector<Row> in;
    for (const Row& r : rows) {
      const int64_t end = std::get<Time>(r.at("flow_end")).ns;
      const int64_t start = is_null(r.at("flow_start")) ? end : std::min(end, std::get<Time>(r.at("flow_start")).ns);
      if (!stage.spread || start == end) {
        if (end >= bin && end < bin + every) in.push_back(r);
        continue;
      }
      const int64_t from = std::max({bin, start, bounds.from}), to = std::min({bin + every, end, bounds.to});
      if (from >= to) continue;
      in.push_back(r);
      for (const char* summed : {"bytes", "packets", "raw_bytes", "raw_packets"})
        if (const auto* v = std::get_if<Integer>(&r.at(summed)))
          in.back()["share of " + std::string(summed)] = below(*v, to - start, end - start) - below(*v, from - start, end - start);
    }
    return in;
  };
  const auto cell = [&](const g::NamedExpr& named, const std::vector<const Row*>& members) -> Value {
    const auto* call = named.value->as<g::Call>();
    if (call == nullptr) give_up("an aggregate that is no call");
    if (!stage.spread || lower(call->function.text()) != "sum") return aggregate(*call, members, ev);
    const std::string name = call->arguments[0]->as<g::Name>()->text();
    Value total = Null{};
    for (const Row* r : members) {
      const auto share = r->find("share of " + name);
      const Value& v = share != r->end() ? share->second : r->at(name);
      if (!is_null(v)) total = (is_null(total) ? Integer{0} : std::get<Integer>(total)) + std::get<Integer>(v);
    }
    return total;
  };
  std::map<int64_t, std::vector<Row>> of_bin;
  std::map<std::vector<Value>, double> totals;  // by series, of the first aggregate
  for (int64_t bin : bins) {
    of_bin[bin] = rows_in(bin);
    std::map<std::vector<Value>, std::vector<const Row*>> series;
    for (const Row& r : of_bin[bin]) series[key_of(r)].push_back(&r);
    for (const auto& [key, members] : series) {
      const Value v = cell(stage.aggregates[0], members);
      totals[key] += is_number(v) ? number(v) : 0;
    }
  }
  std::set<std::vector<Value>> shown;
  std::vector<std::pair<double, std::vector<Value>>> ranked;
  for (const auto& [key, total] : totals) ranked.emplace_back(-total, key);
  // (Null is the least of Values, and the last of keys.)
  const auto later = [](const std::vector<Value>& a, const std::vector<Value>& b) {
    for (size_t i = 0; i < a.size(); ++i)
      if (a[i] != b[i]) return is_null(a[i]) || (!is_null(b[i]) && b[i] < a[i]);
    return false;
  };
  std::sort(ranked.begin(), ranked.end(), [&](const auto& a, const auto& b) { return a.first != b.first ? a.first < b.first : later(b.second, a.second); });
  const size_t most = stage.limit ? static_cast<size_t>(std::get<Integer>(ev.value(*stage.limit, {}))) : ranked.size();
  for (size_t i = 0; i < std::min(most, ranked.size()); ++i) shown.insert(ranked[i].second);
  if (stage.keys.empty()) shown = {{}};
  const bool rest = shown.size() < ranked.size() && !stage.keys.empty();

  columns = {"ts"};
  size_t position = 1;
  for (const auto& k : stage.keys) columns.push_back(name_of(k, position++));
  for (const auto& a : stage.aggregates) columns.push_back(name_of(a, position++));
  if (stage.limit) columns.emplace_back("others");
  std::vector<Row> out;
  std::vector<std::optional<std::vector<Value>>> wanted(shown.begin(), shown.end());
  if (rest) wanted.emplace_back(std::nullopt);
  for (const auto& want : wanted) {
    std::vector<Value> previous(stage.aggregates.size(), Null{});
    for (int64_t bin : bins) {
      std::vector<const Row*> members;
      for (const Row& r : of_bin[bin])
        if (want ? key_of(r) == *want : !shown.contains(key_of(r))) members.push_back(&r);
      Row row;
      row["ts"] = Time{bin};
      for (size_t k = 0; k < stage.keys.size(); ++k) row[columns[1 + k]] = want ? (*want)[k] : Value(Null{});
      for (size_t a = 0; a < stage.aggregates.size(); ++a) {
        Value& v = row[columns[1 + stage.keys.size() + a]];
        if (!members.empty()) {
          v = previous[a] = cell(stage.aggregates[a], members);
          continue;
        }
        const std::string f = lower(stage.aggregates[a].value->as<g::Call>()->function.text());
        switch (stage.fill) {
          case g::TimeseriesStage::Fill::kNull: v = Null{}; break;
          case g::TimeseriesStage::Fill::kPrevious: v = previous[a]; break;
          case g::TimeseriesStage::Fill::kValue: v = ev.value(*stage.fill_value, {}); break;
          default: v = f == "count" || f == "countif" || f == "dcount" || f == "count_distinct" ? Value(Integer{0}) : Value(Null{});
        }
      }
      if (stage.limit) row["others"] = !want;
      out.push_back(std::move(row));
    }
  }
  rows = std::move(out);
}

Table evaluate_within(const grammar::Query& query, const std::vector<Row>& flows, TimeBounds bounds, const Beside& beside) {
  const Evaluator ev;
  if (query.time) {
    const auto* between = std::get_if<g::TimeBetween>(&query.time->node);
    if (between == nullptr || between->active) give_up("this time clause");
    bounds = {std::get<Time>(ev.value(between->from, {})).ns, std::get<Time>(ev.value(between->to, {})).ns};
  }
  std::vector<Row> rows;
  for (const Row& r : flows) {
    const int64_t ts = std::get<Time>(r.at("flow_end")).ns;
    if (ts < bounds.from || ts >= bounds.to) continue;
    // A condition at the head is asked before rows are copied, which is what costs.
    const auto* head = query.stages.empty() ? nullptr : query.stages.front().as<g::WhereStage>();
    if (head == nullptr || ev.truth(head->predicate, r)) rows.push_back(r);
  }
  std::vector<std::string> columns;  // empty: still whole flows
  for (size_t at = 0; at < query.stages.size(); ++at) {
    const g::Stage& stage = query.stages[at];
    StageWorld world;
    world.value = [&](const g::ExprPtr& e, const Row& r) { return ev.value(e, r); };
    world.truth = [&](const g::ExprPtr& e, const Row& r) { return ev.truth(e, r); };
    world.ask = [&](const g::Query& q, TimeBounds b) { return evaluate_within(q, flows, b, beside); };
    world.query = &query;
    world.at = at;
    world.bounds = bounds;
    world.beside = &beside;
    if (apply_stage(stage, world, rows, columns)) continue;
    if (const auto* w = stage.as<g::WhereStage>()) {
      std::erase_if(rows, [&](const Row& r) { return !ev.truth(w->predicate, r); });
    } else if (const auto* x = stage.as<g::ExtendStage>()) {
      for (Row& r : rows)
        for (const auto& c : x->columns) r[c.name->text()] = ev.value(c.value, r);
      if (!columns.empty())
        for (const auto& c : x->columns) columns.push_back(c.name->text());
    } else if (const auto* s = stage.as<g::SelectStage>()) {
      columns.clear();
      for (size_t i = 0; i < s->columns.size(); ++i) columns.push_back(name_of(s->columns[i], i));
      for (Row& r : rows) {
        Row picked;
        for (size_t i = 0; i < s->columns.size(); ++i) picked[columns[i]] = ev.value(s->columns[i].value, r);
        r = std::move(picked);
      }
    } else if (const auto* st = stage.as<g::StatsStage>()) {
      std::vector<g::NamedExpr> keys = st->keys;
      if (st->window) {
        if (st->window->kind != g::Window::Kind::kSession) give_up("this window");
        mark_sessions(st->keys, std::get<Span>(ev.value(st->window->size, {})).ns, true, world, rows);
        keys.push_back({std::nullopt, g::ExprPtr(g::Expr{g::Name{{"session"}, false, {}}, {}}), {}});
      }
      group(keys, st->aggregates, ev, rows, columns);
    } else if (const auto* series = stage.as<g::TimeseriesStage>()) {
      timeseries(*series, ev, bounds, rows, columns);
    } else if (const auto* renamed = stage.as<g::RenameStage>()) {
      for (const auto& r : renamed->columns) {
        const auto column = std::find(columns.begin(), columns.end(), r.from.text());
        if (column == columns.end()) give_up("renaming what is no column of a grouping or choice");
        *column = r.to.text();
        for (Row& row : rows) {
          auto node = row.extract(r.from.text());
          node.key() = r.to.text();
          row.insert(std::move(node));
        }
      }
    } else if (const auto* dropped = stage.as<g::DropStage>()) {
      for (const auto& name : dropped->columns) std::erase(columns, name.text());
    } else if (const auto* d = stage.as<g::DistinctStage>()) {
      columns.clear();
      for (size_t i = 0; i < d->columns.size(); ++i) columns.push_back(name_of(d->columns[i], i));
      std::set<std::vector<Value>> seen;
      std::vector<Row> out;
      for (const Row& r : rows) {
        std::vector<Value> key;
        for (const auto& c : d->columns) key.push_back(ev.value(c.value, r));
        if (!seen.insert(key).second) continue;
        Row picked;
        for (size_t i = 0; i < key.size(); ++i) picked[columns[i]] = key[i];
        out.push_back(std::move(picked));
      }
      rows = std::move(out);
    } else {
      give_up("the stage " + stage.name.text);
    }
  }
  if (columns.empty()) give_up("an answer of whole flows");
  Table table;
  table.columns = columns;
  for (const Row& r : rows) {
    std::vector<Value> line;
    for (const auto& c : columns) line.push_back(r.at(c));
    table.rows.push_back(std::move(line));
  }
  return table;
}

}  // namespace

Table evaluate(const grammar::Query& query, const std::vector<Row>& flows, const Beside& beside) { return evaluate_within(query, flows, {}, beside); }

std::string text_of(const Value& v) {
  if (is_null(v)) return "null";
  if (const auto* b = std::get_if<bool>(&v)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<Integer>(&v)) {
    Integer n = *i < 0 ? -*i : *i;
    std::string s;
    do s.insert(s.begin(), static_cast<char>('0' + static_cast<int>(n % 10)));
    while ((n /= 10) != 0);
    return *i < 0 ? "-" + s : s;
  }
  if (const auto* d = std::get_if<double>(&v)) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.6g", *d == 0 ? 0.0 : *d);
    return buffer;
  }
  if (const auto* s = std::get_if<std::string>(&v)) return *s;
  if (const auto* ip = std::get_if<IpAddress>(&v)) return to_string(*ip);
  if (const auto* t = std::get_if<Time>(&v)) return format_timestamp(t->ns);
  return format_duration(std::get<Span>(v).ns);
}

}  // namespace sluice::oracle
