#include "tests/oracle/evaluator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <set>
#include <stdexcept>

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
      return n / w * w;
    }
    std::vector<Value> a;
    if (f == "if") return truth(c.arguments[0], row) ? value(c.arguments[1], row) : value(c.arguments[2], row);
    for (const auto& argument : c.arguments) a.push_back(value(argument, row));
    if (f == "coalesce") {
      for (const Value& v : a)
        if (!is_null(v)) return v;
      return Null{};
    }
    for (const Value& v : a)
      if (is_null(v)) return Null{};
    if (f == "is_private") return std::get<IpAddress>(a[0]).is_private();
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
    if (f == "min_of" || f == "max_of") {
      Value best = a[0];
      for (const Value& v : a)
        if ((*compare(v, best) < 0) == (f == "min_of") && *compare(v, best) != 0) best = v;
      return best;
    }
    if (f == "lower") return lower(std::get<std::string>(a[0]));
    give_up("the function " + f);
  }
};

Value aggregate(const g::Call& c, const std::vector<const Row*>& group, const Evaluator& ev) {
  const std::string f = lower(c.function.text());
  if (f == "count" && c.arguments.empty()) return static_cast<Integer>(group.size());
  if (f == "countif") {
    Integer n = 0;
    for (const Row* r : group) n += ev.truth(c.arguments[0], *r);
    return n;
  }
  std::vector<Value> values;
  const bool filtered = f == "sumif" || f == "avgif";
  for (const Row* r : group) {
    if (filtered && !ev.truth(c.arguments[1], *r)) continue;
    Value v = ev.value(c.arguments[0], *r);
    if (!is_null(v)) values.push_back(std::move(v));
  }
  if (f == "count") return static_cast<Integer>(values.size());
  if (f == "count_distinct") return static_cast<Integer>(std::set<Value>(values.begin(), values.end()).size());
  if (values.empty()) return Null{};
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

Table evaluate_within(const grammar::Query& query, const std::vector<Row>& flows, TimeBounds bounds) {
  const Evaluator ev;
  if (query.time) {
    const auto* between = std::get_if<g::TimeBetween>(&query.time->node);
    if (between == nullptr || between->active) give_up("this time clause");
    bounds = {std::get<Time>(ev.value(between->from, {})).ns, std::get<Time>(ev.value(between->to, {})).ns};
  }
  std::vector<Row> rows;
  for (const Row& r : flows) {
    const int64_t ts = std::get<Time>(r.at("flow_end")).ns;
    if (ts >= bounds.from && ts < bounds.to) rows.push_back(r);
  }
  std::vector<std::string> columns;  // empty: still whole flows
  for (size_t at = 0; at < query.stages.size(); ++at) {
    const g::Stage& stage = query.stages[at];
    StageWorld world;
    world.value = [&](const g::ExprPtr& e, const Row& r) { return ev.value(e, r); };
    world.truth = [&](const g::ExprPtr& e, const Row& r) { return ev.truth(e, r); };
    world.ask = [&](const g::Query& q, TimeBounds b) { return evaluate_within(q, flows, b); };
    world.query = &query;
    world.at = at;
    world.bounds = bounds;
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
      std::map<std::vector<Value>, std::vector<const Row*>> groups;
      // A key that means either side puts a flow into a group for each distinct side it has.
      for (const Row& r : rows) {
        std::vector<std::vector<Value>> keys{{}};
        for (const auto& k : st->keys) {
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
      if (st->keys.empty() && groups.empty()) groups[{}] = {};
      columns.clear();
      size_t position = 0;
      for (const auto& k : st->keys) columns.push_back(name_of(k, position++));
      for (const auto& a : st->aggregates) columns.push_back(name_of(a, position++));
      std::vector<Row> out;
      for (const auto& [key, members] : groups) {
        Row r;
        for (size_t i = 0; i < key.size(); ++i) r[columns[i]] = key[i];
        for (size_t i = 0; i < st->aggregates.size(); ++i) {
          const auto* call = st->aggregates[i].value->as<g::Call>();
          if (call == nullptr) give_up("an aggregate that is no call");
          r[columns[key.size() + i]] = aggregate(*call, members, ev);
        }
        out.push_back(std::move(r));
      }
      rows = std::move(out);
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

Table evaluate(const grammar::Query& query, const std::vector<Row>& flows) { return evaluate_within(query, flows, {}); }

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
