// Values: names, literals, calls and arithmetic.
#include <algorithm>

#include "grammar/nearest.h"
#include "grammar/print.h"
#include "grammar/words.h"
#include "query/bind.h"
#include "query/zones.h"
#include "query/function.h"
#include "query/geo.h"
#include "query/limits.h"
#include "query/words.h"
#include "storage/model/counted.h"

namespace sluice::query {
namespace {

namespace g = grammar;

Type type_of(const ScanSource& source) {
  switch (source.kind) {
    case ScanSource::Kind::stored: return Type::of(source.id);
    case ScanSource::Kind::extra: return Type::of(LogicalType::string);
    case ScanSource::Kind::derived: break;
  }
  for (const DerivedSpec& d : derived_columns())
    if (d.id == source.derived) {
      Type type = Type::of(d.type);
      type.unit = d.unit;
      return type;
    }
  return {};
}

std::string name_of_source(const ScanSource& source) {
  switch (source.kind) {
    case ScanSource::Kind::stored: return std::string(column_spec(source.id).name);
    case ScanSource::Kind::extra: return "extra." + source.key;
    case ScanSource::Kind::derived: break;
  }
  for (const DerivedSpec& d : derived_columns())
    if (d.id == source.derived) return std::string(d.name);
  return {};
}

}  // namespace

NodePtr Binder::slot_of(const ScanSource& source) {
  SLUICE_CHECK(in_scan_frame_);
  for (size_t i = 0; i < scan_slots_.size(); ++i)
    if (scan_slots_[i].source == source) return make_slot(i, scan_slots_[i].type);
  scan_slots_.push_back({name_of_source(source), type_of(source), source});
  return make_slot(scan_slots_.size() - 1, scan_slots_.back().type);
}

NodePtr Binder::slot_of(Visible& column) {
  if (!column.slot) {
    const NodePtr node = slot_of(*column.source);
    column.slot = node->slot();
    return node;
  }
  return make_slot(*column.slot, slots()[*column.slot].type);
}

void Binder::index_visible(size_t at) const {
  visible_names_.try_emplace(lower_case(visible_[at].name), at);
  if (const auto column = find_column(visible_[at].name)) visible_meanings_.emplace_back(*column, at);
}

std::optional<size_t> Binder::visible_at(std::string_view name) const {
  if (!indexed_) {
    visible_names_.clear();
    visible_meanings_.clear();
    for (size_t i = 0; i < visible_.size(); ++i) index_visible(i);
    indexed_ = true;
  }
  const auto it = visible_names_.find(lower_case(name));
  return it == visible_names_.end() ? std::nullopt : std::optional(it->second);
}

bool Binder::has_room(size_t columns, const g::Span& span) {
  if (columns < limits::kQueryColumnsMax) return true;
  fail(span, "more than " + std::to_string(limits::kQueryColumnsMax) + " columns in one table", "columns computed on the way count too",
       ErrorCode::too_large);
  return false;
}

bool Binder::is_either(const g::Name& name) const {
  if (!flows_ || closed_) return false;
  const std::string text = name.text();
  if (visible_at(text)) return false;
  const auto column = find_column(text);
  return column && column->kind == ColumnName::Kind::either;
}

bool Binder::mentions_either(const g::Expr& expr) const {
  if (!flows_ || closed_) return false;
  auto any = [&](const auto& list) { return std::any_of(list.begin(), list.end(), [&](const g::ExprPtr& e) { return mentions_either(*e); }); };
  return std::visit(g::Overloaded{
                        [&](const g::Name& n) { return is_either(n); },
                        [&](const g::Unary& u) { return mentions_either(*u.operand); },
                        [&](const g::Arithmetic& a) { return mentions_either(*a.left) || mentions_either(*a.right); },
                        [&](const g::Compare& c) { return mentions_either(*c.left) || mentions_either(*c.right); },
                        [&](const g::Logical& l) { return any(l.operands); },
                        [&](const g::In& i) { return mentions_either(*i.value) || any(i.items); },
                        [&](const g::Between& b) { return mentions_either(*b.value) || mentions_either(*b.low) || mentions_either(*b.high); },
                        [&](const g::IsNull& n) { return mentions_either(*n.operand); },
                        [&](const g::Call& c) { return any(c.arguments); },
                        [](const auto&) { return false; },
                    },
                    expr.node);
}

NodePtr Binder::find_name(const g::Name& name) {
  const std::string text = name.text();
  if (const auto at = visible_at(text)) return slot_of(visible_[*at]);
  // What follows may take a new slot. (One more than an extend may fill, so that all it filled can be read.)
  if (in_scan_frame_ && scan_slots_.size() > limits::kQueryColumnsMax && !has_room(scan_slots_.size(), name.span)) return nullptr;
  const auto column = find_column(text);
  // After grouping or select a column still answers to its other names.
  if (column && column->kind != ColumnName::Kind::either && !dropped_.contains(lower_case(text))) {
    const std::string canonical = column->kind == ColumnName::Kind::stored ? std::string(column_spec(column->stored).name)
                                                                          : name_of_source({ScanSource::Kind::derived, {}, column->derived, {}});
    std::optional<size_t> first;
    for (const auto& [theirs, at] : visible_meanings_)
      if (theirs == *column && (!first || at < *first)) first = at;
    if (first) return slot_of(visible_[*first]);
    if (column->kind == ColumnName::Kind::stored && column->stored == ColumnId::flow_end)
      for (Visible& v : visible_)
        if (v.name == "ts") return slot_of(v);
    if (flows_ && !closed_ && !dropped_.contains(canonical)) {
      if (column->kind == ColumnName::Kind::stored) return slot_of(ScanSource{ScanSource::Kind::stored, column->stored, {}, {}});
      return slot_of(ScanSource{ScanSource::Kind::derived, {}, column->derived, {}});
    }
  }
  if (flows_ && !closed_ && column && column->kind == ColumnName::Kind::either && side_ != Side::none)
    return slot_of(ScanSource{ScanSource::Kind::stored, side_ == Side::source ? column->either->src : column->either->dst, {}, {}});
  if (flows_ && !closed_ && name.parts.size() >= 2 && equal_ignoring_case(name.parts[0], "extra")) {
    std::string key = name.parts[1];
    for (size_t i = 2; i < name.parts.size(); ++i) key += "." + name.parts[i];
    return slot_of(ScanSource{ScanSource::Kind::extra, ColumnId::extra, {}, key});
  }
  return nullptr;
}

NodePtr Binder::unknown_name(const g::Name& name, std::string_view what) {
  std::vector<std::string> known;
  for (const Visible& v : visible_) known.push_back(v.name);
  if (flows_ && !closed_) {
    for (const ColumnSpec& c : flow_columns()) known.emplace_back(c.name);
    for (const DerivedSpec& d : derived_columns()) known.emplace_back(d.name);
    for (const EitherSpec& e : either_columns()) known.emplace_back(e.name);
  }
  const std::vector<std::string_view> views(known.begin(), known.end());
  const std::string word = lower_case(name.text());
  std::string hint;
  // A word that means something, but not as a column.
  if (dropped_.contains(word))
    hint = "a stage before dropped it, or gave it another name";
  else if (const AggregateSpec* aggregate = find_aggregate(word))
    hint = "an aggregate stands in a stage: stats " + (word == "count" ? std::string("count()") : std::string(aggregate->signature));
  else if (word == "flows" && flows_ && !closed_)
    hint = "did you mean 'from flows'?";
  else if (const std::string_view stage = g::stage_of_elsewhere(word); !stage.empty() && flows_ && !closed_ && plan_.operators.empty())
    hint = "did you mean the stage '" + std::string(stage) + "'?";
  else if (word == "start" && (!flows_ || closed_) && std::find(known.begin(), known.end(), "ts") != known.end())
    hint = "did you mean 'ts'?";  // notices and JSON of alerts have their beginning as `start`
  else
    hint = g::did_you_mean(name.text(), views);
  if (hint.empty() && (!flows_ || closed_) && !visible_.empty() && visible_.size() <= 12) {
    hint = known.size() == 1 ? "the one column here is" : "the columns here are";
    for (size_t i = 0; i < known.size(); ++i) hint += (i == 0 ? " '" : ", '") + known[i] + "'";
  }
  return fail(name.span, "unknown " + std::string(what) + " '" + name.text() + "'", std::move(hint));
}

NodePtr Binder::bind_name(const g::Name& name) {
  if (group_) return fail(name.span, "'" + name.text() + "' has many values here: put it inside an aggregate", "such as max(" + name.text() + ")");
  if (NodePtr node = find_name(name)) return node;
  if (error_) return nullptr;
  if (is_either(name)) {
    const auto column = find_column(name.text());
    return fail(name.span, "'" + name.text() + "' means source or destination, and this place wants one of them",
                "say '" + std::string(column_spec(column->either->src).name) + "' or '" + std::string(column_spec(column->either->dst).name) + "'");
  }
  return unknown_name(name);
}

NodePtr Binder::bind_parameter_value(const g::Parameter& p, const g::Span& span) {
  const ParameterValue* value = parameter(p, span);
  if (!value) return nullptr;
  if (value->values.size() != 1) return fail(span, "'$" + p.name + "' must be one value here");
  // Without a type to read it as, by its looks: a number or size, a duration, a time, an address; else text.
  const std::string& text = value->values[0];
  for (const LogicalType type : {LogicalType::float64, LogicalType::duration, LogicalType::timestamp, LogicalType::ip})
    if (auto v = text_value(text, Type::of(type))) {
      // 20261120 is a number, not a day.
      if (v->type == LogicalType::int64 && std::get<int64_t>(v->data) >= 0) v = Value::uint(static_cast<uint64_t>(std::get<int64_t>(v->data)));
      return make_constant(std::move(*v));
    }
  return make_constant(Value::text(text));
}

NodePtr Binder::bind_value(const g::Expr& expr) {
  return std::visit(
      g::Overloaded{
          [&](const g::Name& n) -> NodePtr { return bind_name(n); },
          [&](const g::NullLiteral&) -> NodePtr { return make_constant(Value::null()); },
          [&](const g::BoolLiteral& b) -> NodePtr { return make_constant(Value::boolean(b.value)); },
          [&](const g::IntegerLiteral& i) -> NodePtr { return make_constant(Value::uint(i.value)); },
          [&](const g::FloatLiteral& f) -> NodePtr { return make_constant(Value::float64(f.value)); },
          [&](const g::StringLiteral& s) -> NodePtr { return make_constant(Value::text(s.value)); },
          [&](const g::DurationLiteral& d) -> NodePtr { return make_constant(Value::duration(d.nanoseconds)); },
          [&](const g::SizeLiteral& s) -> NodePtr { return make_constant(Value::uint(s.bytes)); },
          [&](const g::BitRateLiteral& b) -> NodePtr { return make_constant(Value::uint(b.bits_per_second)); },
          [&](const g::AddressLiteral& a) -> NodePtr { return make_constant(Value::ip(IpAddress::v6_bytes(a.address.data()))); },
          [&](const g::MacLiteral& m) -> NodePtr {
            uint64_t v = 0;
            for (uint8_t o : m.octets) v = v << 8 | o;
            return make_constant(Value{LogicalType::mac, v});
          },
          [&](const g::TimestampLiteral& t) -> NodePtr { return make_constant(Value::time(t.nanoseconds)); },
          [&](const g::RegexLiteral& r) -> NodePtr { return make_constant(Value::text(r.ignore_case ? "(?i)" + r.pattern : r.pattern)); },
          [&](const g::Parameter& p) -> NodePtr { return bind_parameter_value(p, expr.span); },
          [&](const g::Unary& u) -> NodePtr {
            if (u.op == g::UnaryOp::kNot) {
              PredicatePtr p = bind_condition(expr);
              return p ? make_predicate_node(std::move(p)) : nullptr;
            }
            NodePtr node = bind_value(*u.operand);
            if (!node) return nullptr;
            if (!is_number(node->type.logical) && node->type.logical != LogicalType::duration)
              return fail(expr.span, "only numbers and durations can be negated");
            const bool constant = node->constant();
            return computed(make_negate(std::move(node), options_.widen), constant);
          },
          [&](const g::Arithmetic& a) -> NodePtr {
            NodePtr left = bind_value(*a.left);
            if (!left) return nullptr;
            NodePtr right = bind_value(*a.right);
            if (!right) return nullptr;
            const bool constant = left->constant() && right->constant();
            auto node = make_arithmetic(static_cast<Arithmetic>(a.op), std::move(left), std::move(right), options_.widen);
            if (!node.ok()) return fail(expr.span, node.error().message);
            return computed(std::move(node).value(), constant);
          },
          [&](const g::Call& c) -> NodePtr { return bind_call(c, expr.span); },
          [&](const g::CidrLiteral&) -> NodePtr { return fail(expr.span, "an address block can only stand beside == or in"); },
          [&](const g::AddressRangeLiteral&) -> NodePtr { return fail(expr.span, "a range of addresses can only stand beside == or in"); },
          [&](const g::IntegerRangeLiteral&) -> NodePtr { return fail(expr.span, "a range of numbers can only stand beside in"); },
          [&](const g::ListReference& l) -> NodePtr { return fail(expr.span, "a list such as '@" + l.name + "' can only stand beside in"); },
          [&](const auto&) -> NodePtr {  // compare, logical, in, between, is null
            PredicatePtr p = bind_condition(expr);
            return p ? make_predicate_node(std::move(p)) : nullptr;
          },
      },
      expr.node);
}

NodePtr Binder::computed(NodePtr node, bool constant) {
  if (constant) node = fold(std::move(node));
  // (A constant that is too large was not folded: it meets its overflow when it runs, as any other.)
  plan_.may_overflow = plan_.may_overflow || (!node->constant() && is_number(node->type.logical) && node->type.physical != PhysicalType::F64);
  return node;
}

NodePtr Binder::bind_call(const g::Call& call, const g::Span& span) {
  const std::string name = lower_case(call.function.text());
  if (find_aggregate(name) || name == "rate") {
    if (group_) return bind_aggregate(call, span);
    // `sort count()` after `stats count()`: the column of that name.
    const std::string wanted = default_name(call);
    if (const auto at = visible_at(wanted)) return slot_of(visible_[*at]);
    if (!find_function(name)) {
      const bool alone = plan_.operators.empty() && flows_ && !closed_;
      return fail(span, name + "() is an aggregate: it stands in stats, top or timeseries", alone ? "did you mean 'stats " + g::print(g::Expr{call, span}) + "'?" : "");
    }
  }
  if (name == "now") {
    if (!call.arguments.empty()) return fail(span, "now() takes no arguments");
    return make_constant(Value::time(options_.now));
  }
  if (name == "has" || name == "matches") {
    if (call.arguments.size() != 2) return fail(span, name + "() takes 2 arguments");
    const g::Expr compare{g::Compare{name == "has" ? g::CompareOp::kHas : g::CompareOp::kMatches, call.arguments[0], call.arguments[1]}, span};
    PredicatePtr p = bind_condition(compare);
    return p ? make_predicate_node(std::move(p)) : nullptr;
  }
  if (name == "lookup") return bind_lookup(call, span);
  if (name == "host") return bind_host(call, span);
  if (name == "in_list") {  // in_list(x, "tor") is x in @tor
    if (call.arguments.size() != 2 || !call.arguments[1]->as<g::StringLiteral>())
      return fail(span, "in_list() takes a value and the name of a list", "in_list(src_ip, \"tor\"), or src_ip in @tor");
    const g::ExprPtr list(g::Expr{g::ListReference{call.arguments[1]->as<g::StringLiteral>()->value}, call.arguments[1]->span});
    PredicatePtr p = bind_condition(g::Expr{g::In{false, call.arguments[0], {list}, {}}, span});
    return p ? make_predicate_node(std::move(p)) : nullptr;
  }
  if (name == "zone") {
    if (call.arguments.size() != 1) return fail(span, "zone() takes an address", "zone(src_ip)");
    NodePtr ip = bind_value(call.arguments[0]);
    if (!ip) return nullptr;
    if (ip->type.logical != LogicalType::ip) return fail(call.arguments[0]->span, "zone() takes an address, and this is " + std::string(to_string(class_of(ip->type.logical))));
    if (options_.lists_read) options_.lists_read->insert(std::string(kAllZones));
    return make_zone(std::move(ip), std::make_shared<ZoneBook>(options_.lists));
  }
  const FunctionSpec* function = find_function(name);
  if (!function) {
    std::vector<std::string_view> known;
    for (const FunctionSpec* f : functions()) known.push_back(f->name);
    for (const AggregateSpec* a : aggregates()) known.push_back(a->name);
    return fail(call.function.span, "unknown function '" + name + "'", g::did_you_mean(name, known));
  }
  if (name == "country" && !(options_.geo && options_.geo->has_countries())) warn("country() is null everywhere: the server has no database of countries (geo-country)");
  if ((name == "asn" || name == "as_name") && !(options_.geo && options_.geo->has_networks()))
    warn(name + "() is null everywhere: the server has no database of autonomous systems (geo-asn)");
  std::vector<NodePtr> args;
  if (name == "bin" && call.arguments.size() == 1) {
    const g::Name ts{{"ts"}, false, call.function.span};
    NodePtr time = find_name(ts);
    if (!time) return error_ ? nullptr : fail(span, "bin() of a width alone needs the column ts");
    args.push_back(std::move(time));
  }
  for (const auto& a : call.arguments) {
    NodePtr node;
    // service(443, tcp): a protocol's name, where no column is called that.
    if (const auto* word = a->as<g::Name>(); word && name == "service" && args.size() == 1 && !word->quoted && word->parts.size() == 1 && !find_name(*word))
      if (const auto number = word_value(word->parts[0], Type::of(LogicalType::protocol))) node = make_constant(Value::uint(*number));
    // A parameter that stands for a condition says true or false.
    const bool condition = (name == "if" && args.empty()) || (name == "case" && args.size() % 2 == 0 && args.size() + 1 < call.arguments.size());
    if (!node && condition && a->as<g::Parameter>()) {
      PredicatePtr p = bind_condition(*a);
      if (!p) return nullptr;
      node = make_predicate_node(std::move(p));
    }
    if (!node) node = bind_value(*a);
    if (!node) return nullptr;
    args.push_back(std::move(node));
  }
  if (args.size() < function->args_min || args.size() > function->args_max)
    return fail(span, name + "() takes " + (function->args_max == function->args_min ? "" : std::to_string(function->args_min) + " to ") + counted(function->args_max, "argument"),
                std::string(function->signature));
  auto result = function->bind(args);
  if (!result.ok()) return fail(span, result.error().message, std::string(function->signature));
  if (name == "bin" && args[0]->type.logical == LogicalType::timestamp) {
    // Of several bins a group is what the narrowest spans.
    const DurationNs width = std::get<int64_t>(args[1]->constant()->data);
    bin_width_ = std::min(bin_width_.value_or(width), width);
  }
  return make_call(*function, std::move(args), *result);
}

void Binder::warn(std::string sentence) {
  if (std::find(plan_.warnings.begin(), plan_.warnings.end(), sentence) == plan_.warnings.end()) plan_.warnings.push_back(std::move(sentence));
}

std::shared_ptr<const ContextTable> Binder::context_table(const std::string& name, const g::Span& span) {
  auto table = options_.tables ? options_.tables->find(name) : nullptr;
  if (table) return table;
  std::vector<std::string_view> known;
  if (options_.tables)
    for (const auto& [key, t] : options_.tables->tables()) known.push_back(t->name());
  std::string hint = g::did_you_mean(name, known);
  if (hint.empty()) hint = "create table " + name + " key … from csv … makes one";
  return fail(span, "there is no table '" + name + "'", std::move(hint), ErrorCode::not_found);
}

// lookup("assets", ip, "owner"): what the table's row of this key says, now.
NodePtr Binder::bind_lookup(const g::Call& call, const g::Span& span) {
  const auto* table_name = call.arguments.size() == 3 ? call.arguments[0]->as<g::StringLiteral>() : nullptr;
  const auto* column = table_name ? call.arguments[2]->as<g::StringLiteral>() : nullptr;
  if (!column) return fail(span, "lookup() takes a table's name, a key and a column's name", "lookup(\"assets\", src_ip, \"owner\")");
  auto table = context_table(table_name->value, call.arguments[0]->span);
  if (!table) return nullptr;
  const auto at = table->value_at(column->value);
  if (!at) {
    std::string names = "it has";
    for (const auto& v : table->values()) names += (names.size() == 6 ? " " : ", ") + v.name;
    return fail(call.arguments[2]->span, "table '" + table->name() + "' has no column '" + column->value + "'", std::move(names));
  }
  NodePtr key = bind_value(call.arguments[1]);
  if (!key) return nullptr;
  auto row = make_lookup_row(table, std::move(key), nullptr, options_.now);
  if (!row.ok()) return fail(call.arguments[1]->span, row.error().message);
  return make_lookup_value(std::move(table), *at, std::move(row).value());
}

// host(ip): the first text column of the table `hosts`, now.
NodePtr Binder::bind_host(const g::Call& call, const g::Span& span) {
  if (call.arguments.size() != 1) return fail(span, "host() takes an address");
  NodePtr key = bind_value(call.arguments[0]);
  if (!key) return nullptr;
  if (class_of(key->type.logical) != TypeClass::address) return fail(call.arguments[0]->span, "host() wants an address as argument 1");
  const auto table = options_.tables ? options_.tables->find("hosts") : nullptr;
  if (table && table->key() == ContextTable::Key::address)
    for (size_t i = 0; i < table->values().size(); ++i)
      if (table->values()[i].type.logical == LogicalType::string) {
        auto row = make_lookup_row(table, std::move(key), nullptr, options_.now);
        SLUICE_CHECK(row.ok());
        return make_lookup_value(table, i, std::move(row).value());
      }
  warn("host() is null everywhere: there is no table 'hosts' of addresses and names");
  return make_constant(Value::null(), Type::of(LogicalType::string));
}

std::string Binder::name_of(const g::NamedExpr& named) const {
  if (named.name) return named.name->text();
  if (const auto* name = named.value->as<g::Name>()) return name->text();  // as it was called
  const auto* call = named.value->as<g::Call>();
  if (!call) return g::print(*named.value);
  const std::string function = lower_case(call->function.text());
  if (function == "bin") {  // bins of time go by the name that timeseries gives them
    if (call->arguments.size() == 1) return "ts";
    if (const auto* of = call->arguments[0]->as<g::Name>())
      if (const auto column = find_column(of->text()); column && column->kind == ColumnName::Kind::stored && column->stored == ColumnId::flow_end) return "ts";
  }
  return default_name(*call);
}

std::string Binder::default_name(const g::Call& call) {
  // count, sum_bytes, dcount_dst_ip; what is more than names is written out.
  std::string out = lower_case(call.function.text());
  for (const auto& a : call.arguments) {
    const auto* name = a->as<g::Name>();
    const auto* inner = a->as<g::Call>();
    if (name)
      out += "_" + name->text();
    else if (inner)
      out += "_" + default_name(*inner);
    else
      return g::print(g::Expr{call, {}});
  }
  for (char& c : out)
    if (c == '.') c = '_';
  return out;
}

std::nullptr_t Binder::fail(const g::Span& span, std::string message, std::string hint, ErrorCode code) {
  if (!error_) error_ = QueryError{code, std::move(message), std::move(hint), to_text_span(span), {}};
  return nullptr;
}

TextSpan to_text_span(const g::Span& span) { return TextSpan{span.offset, span.length, span.line, span.column}; }

}  // namespace sluice::query
