#include "grammar/print.h"

#include <algorithm>
#include <cstdio>
#include <span>

#include "grammar/literals.h"
#include "grammar/words.h"

namespace sluice::grammar {
namespace {

bool is_plain_word(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// How tightly an expression binds; a looser one inside a tighter place needs parentheses.
enum Level { kOr, kAnd, kNot, kPredicate, kSum, kProduct, kFactor, kPrimary };

Level level_of(const Expr& expr) {
  if (const auto* logical = expr.as<Logical>()) return logical->op == LogicalOp::kOr ? kOr : kAnd;
  if (const auto* unary = expr.as<Unary>()) return unary->op == UnaryOp::kNot ? kNot : kFactor;
  if (expr.as<Compare>() || expr.as<In>() || expr.as<Between>() || expr.as<IsNull>()) return kPredicate;
  if (const auto* arithmetic = expr.as<Arithmetic>())
    return arithmetic->op == ArithmeticOp::kAdd || arithmetic->op == ArithmeticOp::kSubtract ? kSum : kProduct;
  return kPrimary;
}

const char* text_of(CompareOp op) {
  switch (op) {
    case CompareOp::kEqual:
      return "==";
    case CompareOp::kNotEqual:
      return "!=";
    case CompareOp::kLess:
      return "<";
    case CompareOp::kLessEqual:
      return "<=";
    case CompareOp::kGreater:
      return ">";
    case CompareOp::kGreaterEqual:
      return ">=";
    case CompareOp::kHas:
      return "has";
    case CompareOp::kContains:
      return "contains";
    case CompareOp::kStartsWith:
      return "starts_with";
    case CompareOp::kEndsWith:
      return "ends_with";
    case CompareOp::kMatches:
      return "matches";
  }
  return "==";
}

const char* text_of(ArithmeticOp op) {
  switch (op) {
    case ArithmeticOp::kAdd:
      return "+";
    case ArithmeticOp::kSubtract:
      return "-";
    case ArithmeticOp::kMultiply:
      return "*";
    case ArithmeticOp::kDivide:
      return "/";
    case ArithmeticOp::kModulo:
      return "%";
  }
  return "+";
}

std::string_view first_word(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && (is_plain_word(text.substr(end, 1)) || (text[end] >= '0' && text[end] <= '9'))) ++end;
  return end < text.size() && text[end] == '.' ? std::string_view() : text.substr(0, end);  // dotted names are safe
}

bool is_one_of(std::string_view word, std::span<const std::string_view> words) {
  std::string lower(word);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return std::find(words.begin(), words.end(), lower) != words.end();
}

// Words that make a column of a stage's name before them: `where in (1)` compares a column called `where`.
bool begins_with_infix_word(std::string_view text) {
  static constexpr std::string_view kWords[] = {"and",     "or",          "in",         "is",        "has", "contains", "between",
                                                "matches", "starts_with", "startswith", "ends_with", "endswith"};
  if (text.starts_with("not ")) text.remove_prefix(4);
  return is_one_of(first_word(text), kWords);
}

// Words that mean something of their own behind an operand, among the arguments of a stage.
bool begins_with_joining_word(std::string_view text) {
  static constexpr std::string_view kWords[] = {
      "by", "as", "asc",    "desc",  "nulls", "with", "every", "limit", "fill",  "spread", "window", "slide",
      "gap", "on", "to", "of",     "within", "using", "over", "for",  "then",  "from",  "until",  "into",   "last",
      "since", "at", "where",
  };
  return begins_with_infix_word(text) || is_one_of(first_word(text), kWords);
}

class Printer {
 public:
  std::string take() { return std::move(out_); }

  void name(const Name& name) {
    bool all_plain = true;
    for (const std::string& part : name.parts) all_plain = all_plain && is_plain_word(part);
    for (size_t i = 0; i < name.parts.size(); ++i) {
      const std::string& part = name.parts[i];
      if (i > 0) out_ += '.';
      if (i == 0 && (!is_plain_word(part) || (name.quoted && all_plain))) {
        out_ += '`' + part + '`';
      } else if (is_plain_word(part)) {
        out_ += part;
      } else {
        out_ += quote_string(part);
      }
    }
  }

  // The name of a rule or list, which may have been any text.
  void identifier(const Name& identifier) {
    if (identifier.quoted && identifier.parts.size() == 1) {
      out_ += quote_string(identifier.parts[0]);
    } else {
      name(identifier);
    }
  }

  void expr(const Expr& expr, Level place = kOr) {
    const bool parentheses = level_of(expr) < place;
    if (parentheses) out_ += '(';
    std::visit([this](const auto& node) { this->node(node); }, expr.node);
    if (parentheses) out_ += ')';
  }

  void named(const NamedExpr& named) {
    if (named.name) {
      name(*named.name);
      out_ += " = ";
    }
    expr(*named.value);
  }
  void named_list(const std::vector<NamedExpr>& list) {
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_ += ", ";
      named(list[i]);
    }
  }
  void by(const std::vector<NamedExpr>& keys) {
    if (keys.empty()) return;
    out_ += " by ";
    named_list(keys);
  }

  void time(const TimeClause& clause) {
    std::visit(Overloaded{
                   [this](const TimeLast& last) {
                     out_ += "last ";
                     expr(*last.duration);
                   },
                   [this](const TimeSince& since) {
                     out_ += "since ";
                     expr(*since.from, kSum);
                   },
                   [this](const TimeBetween& between) {
                     out_ += between.active ? "active between " : "between ";
                     expr(*between.from, kSum);
                     out_ += " and ";
                     expr(*between.to, kSum);
                   },
                   [this](const TimeAround& around) {
                     out_ += "at ";
                     expr(*around.center, kSum);
                     out_ += " +/- ";
                     expr(*around.duration);
                   },
               },
               clause.node);
  }

  void query(const Query& query) {
    out_ += "from ";
    name(query.source.name);
    if (query.time) {
      out_ += ' ';
      time(*query.time);
    }
    stages(query.stages);
  }
  void stages(const std::vector<Stage>& stages) {
    for (const Stage& next : stages) {
      out_ += " | ";
      stage(next);
    }
  }

  void stage(const Stage& stage) {
    out_ += stage.name.text;
    const size_t start = out_.size();
    std::visit([this](const auto& node) { this->body(node); }, stage.node);
    // `where in(x)`: the name of a stage before `in` would be read as a column. (An unknown name before a parenthesis
    // would be a function; its arguments never begin so that it matters.)
    const bool leads_with_expr = stage.as<WhereStage>() || stage.as<StatsStage>() || stage.as<SelectStage>() ||
                                 stage.as<SortStage>() || stage.as<DistinctStage>() || stage.as<TimeseriesStage>() ||
                                 (stage.as<GenericStage>() && is_stage_name(stage.name.text));
    if (leads_with_expr && out_.size() > start) protect_first(stage, start + 1);
  }

  void arguments(const std::vector<StageArg>& arguments) {
    bool after_operand = false;
    for (size_t i = 0; i < arguments.size(); ++i) {
      const StageArg& arg = arguments[i];
      if (std::holds_alternative<Comma>(arg.node)) {
        out_ += ',';
        after_operand = false;
        continue;
      }
      if (!out_.empty() && out_.back() != '[') out_ += ' ';
      std::visit(Overloaded{
                     [&](const ExprPtr& value) {
                       size_t start = out_.size();
                       expr(*value);
                       // `5 (on)`: a name where a connecting word would be read. `x not (contains)`: `x (not contains)` is a call.
                       const size_t whole = start;
                       while (std::string_view(out_).substr(start).starts_with("not ")) start += 4;
                       const std::string_view operand = std::string_view(out_).substr(start);
                       if ((after_operand && begins_with_joining_word(operand)) || (start > whole && begins_with_infix_word(operand))) {
                         out_.insert(start, "(");
                         out_ += ')';
                       }
                       after_operand = true;
                     },
                     [&](const Keyword& word) {
                       out_ += word.text;
                       after_operand = word.text == "asc" || word.text == "desc" || word.text == "spread";
                     },
                     [&](const Comma&) {},
                     [&](const Subquery& subquery) {
                       out_ += '(';
                       query(*subquery.query);
                       out_ += ')';
                       after_operand = true;
                     },
                     [&](const Bracketed& group) {
                       out_ += '[';
                       this->arguments(group.items);
                       out_ += ']';
                       after_operand = true;
                     },
                 },
                 arg.node);
    }
  }

  void option(const RuleOption& option) {
    out_ += ' ' + option.key.text + ' ';
    const Expr& first = *option.values.front();
    const bool bare = option.values.size() == 1 && (first.as<Name>() || first.as<StringLiteral>() ||
                                                    first.as<IntegerLiteral>() || first.as<DurationLiteral>() ||
                                                    first.as<Parameter>());
    if (bare) {
      expr(first);
      return;
    }
    out_ += '(';
    list(option.values, kOr);
    out_ += ')';
  }

  void statement(const Statement& statement) {
    std::visit(Overloaded{
                   [this](const Query& body) { query(body); },
                   [this](const Explain& explain) {
                     out_ += explain.analyze ? "explain analyze " : "explain ";
                     query(explain.query);
                   },
                   [this](const Show& show) {
                     out_ += "show " + show.subject.text;
                     arguments(show.arguments);
                     stages(show.stages);
                   },
                   [this](const CreateRule& rule) {
                     out_ += rule.replace ? "create or replace rule " : "create rule ";
                     identifier(rule.name);
                     for (const RuleOption& next : rule.options) option(next);
                     out_ += " as ";
                     query(rule.query);
                     if (!rule.alert_by.empty()) {
                       out_ += " alert";
                       by(rule.alert_by);
                     }
                     for (const RuleOption& next : rule.alert_options) option(next);
                   },
                   [this](const CreateList& list_statement) {
                     out_ += list_statement.replace ? "create or replace list " : "create list ";
                     identifier(list_statement.name);
                     out_ += " (";
                     list(list_statement.items, kSum);
                     out_ += ')';
                   },
                   [this](const Command& command) {
                     out_ += command.verb.text;
                     arguments(command.arguments);
                     if (command.over) {
                       out_ += " over ";
                       time(*command.over);
                     }
                   },
               },
               statement.node);
  }

 private:
  void list(const std::vector<ExprPtr>& items, Level place) {
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ", ";
      expr(*items[i], place);
    }
  }

  // Puts the first expression of a stage in parentheses if it begins with an operator's word.
  void protect_first(const Stage& stage, size_t start) {
    if (!begins_with_infix_word(std::string_view(out_).substr(start))) return;
    const Expr* first = nullptr;
    if (const auto* where = stage.as<WhereStage>()) first = where->predicate.get();
    if (const auto* sort = stage.as<SortStage>()) first = sort->keys.front().value.get();
    const auto unnamed = [&](const std::vector<NamedExpr>& list) {
      if (!list.empty() && !list.front().name) first = list.front().value.get();
    };
    if (const auto* stats = stage.as<StatsStage>()) unnamed(stats->aggregates);
    if (const auto* select = stage.as<SelectStage>()) unnamed(select->columns);
    if (const auto* distinct = stage.as<DistinctStage>()) unnamed(distinct->columns);
    if (const auto* series = stage.as<TimeseriesStage>()) unnamed(series->aggregates);
    if (const auto* generic = stage.as<GenericStage>()) {
      const auto* value = std::get_if<ExprPtr>(&generic->arguments.front().node);
      first = value == nullptr ? nullptr : value->get();
    }
    if (first == nullptr) return;
    const std::string text = print(*first);
    out_.insert(start, "(");
    out_.insert(start + 1 + text.size(), ")");
  }

  void node(const Name& column) { name(column); }
  void node(const NullLiteral&) { out_ += "null"; }
  void node(const BoolLiteral& literal) { out_ += literal.value ? "true" : "false"; }
  void node(const IntegerLiteral& literal) { out_ += std::to_string(literal.value); }
  void node(const FloatLiteral& literal) { out_ += write_float(literal.value); }
  void node(const StringLiteral& literal) { out_ += quote_string(literal.value); }
  void node(const DurationLiteral& literal) { out_ += write_duration(literal.nanoseconds); }
  void node(const SizeLiteral& literal) { out_ += write_size(literal.bytes); }
  void node(const BitRateLiteral& literal) { out_ += write_bit_rate(literal.bits_per_second); }
  void node(const AddressLiteral& literal) { out_ += write_address(literal.address); }
  void node(const CidrLiteral& literal) {
    const bool v4 = is_ipv4(literal.address) && literal.prefix_length >= 96;
    if (v4 || !is_ipv4(literal.address)) {
      out_ += write_address(literal.address);
    } else {
      // A mapped address with a prefix that reaches past the mapping has no dotted form.
      char buffer[32];
      std::snprintf(buffer, sizeof buffer, "::ffff:%x:%x", literal.address[12] << 8 | literal.address[13],
                    literal.address[14] << 8 | literal.address[15]);
      out_ += buffer;
    }
    out_ += '/' + std::to_string(literal.prefix_length - (v4 ? 96 : 0));
  }
  void node(const AddressRangeLiteral& literal) {
    out_ += write_address(literal.first) + '-' + write_address(literal.last);
  }
  void node(const IntegerRangeLiteral& literal) {
    out_ += std::to_string(literal.first) + '-' + std::to_string(literal.last);
  }
  void node(const MacLiteral& literal) { out_ += write_mac(literal.octets); }
  void node(const TimestampLiteral& literal) { out_ += write_timestamp(literal.nanoseconds); }
  void node(const RegexLiteral& literal) {
    out_ += '/';
    for (const char c : literal.pattern) {
      if (c == '/') out_ += '\\';
      out_ += c;
    }
    out_ += literal.ignore_case ? "/i" : "/";
  }
  void node(const Parameter& parameter) { out_ += '$' + parameter.name; }
  void node(const ListReference& reference) {
    // Dots may stand inside a bare list name as they do between words.
    bool plain = !reference.name.empty();
    size_t start = 0;
    for (size_t i = 0; i <= reference.name.size(); ++i) {
      if (i < reference.name.size() && reference.name[i] != '.') continue;
      const std::string part = reference.name.substr(start, i - start);
      plain = plain && is_plain_word(start == 0 ? part : "a" + part) && !part.empty();
      start = i + 1;
    }
    out_ += '@' + (plain ? reference.name : quote_string(reference.name));
  }
  void node(const Unary& unary) {
    if (unary.op == UnaryOp::kNot) {
      out_ += "not ";
      expr(*unary.operand, kNot);
      return;
    }
    out_ += '-';
    const size_t start = out_.size();
    expr(*unary.operand, kFactor);
    if (out_[start] == '-') out_.insert(start, " ");  // "--" begins a comment
  }
  void node(const Arithmetic& arithmetic) {
    const bool sum = arithmetic.op == ArithmeticOp::kAdd || arithmetic.op == ArithmeticOp::kSubtract;
    expr(*arithmetic.left, sum ? kSum : kProduct);
    out_ += std::string(" ") + text_of(arithmetic.op) + ' ';
    expr(*arithmetic.right, sum ? kProduct : kFactor);
  }
  void node(const Compare& compare) {
    expr(*compare.left, kSum);
    out_ += std::string(" ") + text_of(compare.op) + ' ';
    expr(*compare.right, kSum);
  }
  void node(const Logical& logical) {
    for (size_t i = 0; i < logical.operands.size(); ++i) {
      if (i > 0) out_ += logical.op == LogicalOp::kOr ? " or " : " and ";
      expr(*logical.operands[i], logical.op == LogicalOp::kOr ? kAnd : kNot);
    }
  }
  void node(const In& in) {
    expr(*in.value, kSum);
    out_ += in.negated ? " not in " : " in ";
    if (in.query) {
      out_ += '(';
      query(**in.query);
      out_ += ')';
      return;
    }
    const Expr& first = *in.items.front();
    const bool bare = in.items.size() == 1 &&
                      (first.as<CidrLiteral>() || first.as<AddressRangeLiteral>() || first.as<IntegerRangeLiteral>() ||
                       first.as<ListReference>() || first.as<Parameter>());
    if (!bare) out_ += '(';
    list(in.items, kSum);
    if (!bare) out_ += ')';
  }
  void node(const Between& between) {
    expr(*between.value, kSum);
    out_ += between.negated ? " not between " : " between ";
    expr(*between.low, kSum);
    out_ += " and ";
    expr(*between.high, kSum);
  }
  void node(const IsNull& is_null) {
    expr(*is_null.operand, kSum);
    out_ += is_null.negated ? " is not null" : " is null";
  }
  void node(const Call& call) {
    name(call.function);
    out_ += '(';
    list(call.arguments, kOr);
    out_ += ')';
  }

  void body(const WhereStage& stage) {
    out_ += ' ';
    expr(*stage.predicate);
  }
  void body(const ExtendStage& stage) {
    out_ += ' ';
    named_list(stage.columns);
  }
  void body(const SelectStage& stage) {
    out_ += ' ';
    named_list(stage.columns);
  }
  void body(const DropStage& stage) {
    for (size_t i = 0; i < stage.columns.size(); ++i) {
      out_ += i > 0 ? ", " : " ";
      name(stage.columns[i]);
    }
  }
  void body(const RenameStage& stage) {
    for (size_t i = 0; i < stage.columns.size(); ++i) {
      out_ += i > 0 ? ", " : " ";
      name(stage.columns[i].to);
      out_ += " = ";
      name(stage.columns[i].from);
    }
  }
  void body(const StatsStage& stage) {
    out_ += ' ';
    named_list(stage.aggregates);
    by(stage.keys);
    if (!stage.window) return;
    out_ += stage.window->kind == Window::Kind::kSession ? " window session gap " : " window ";
    expr(*stage.window->size);
    if (stage.window->slide) {
      out_ += " slide ";
      expr(**stage.window->slide);
    }
  }
  void body(const TopStage& stage) {
    out_ += ' ';
    expr(*stage.count);
    out_ += ' ';
    named_list(stage.keys);
    by(stage.aggregates);
    if (stage.with_others) out_ += " with others";
  }
  void body(const TimeseriesStage& stage) {
    out_ += ' ';
    named_list(stage.aggregates);
    out_ += " every ";
    expr(*stage.every);
    by(stage.keys);
    if (stage.limit) {
      out_ += " limit ";
      expr(**stage.limit);
    }
    switch (stage.fill) {
      case TimeseriesStage::Fill::kUnsaid:
        break;
      case TimeseriesStage::Fill::kNull:
        out_ += " fill null";
        break;
      case TimeseriesStage::Fill::kPrevious:
        out_ += " fill previous";
        break;
      case TimeseriesStage::Fill::kValue:
        out_ += " fill ";
        expr(**stage.fill_value);
        break;
    }
    if (stage.spread) out_ += " spread";
  }
  void body(const SortStage& stage) {
    for (size_t i = 0; i < stage.keys.size(); ++i) {
      const SortKey& key = stage.keys[i];
      out_ += i > 0 ? ", " : " ";
      expr(*key.value);
      if (key.descending) out_ += " desc";
      if (key.nulls == SortKey::Nulls::kFirst) out_ += " nulls first";
      if (key.nulls == SortKey::Nulls::kLast) out_ += " nulls last";
    }
  }
  void body(const LimitStage& stage) {
    out_ += ' ';
    expr(*stage.count);
  }
  void body(const TailStage& stage) {
    out_ += ' ';
    expr(*stage.count);
  }
  void body(const SampleStage& stage) {
    out_ += ' ';
    expr(*stage.amount);
  }
  void body(const DistinctStage& stage) {
    if (stage.columns.empty()) return;
    out_ += ' ';
    named_list(stage.columns);
  }
  void body(const RenderStage& stage) {
    out_ += ' ' + stage.kind.text;
    arguments(stage.arguments);
  }
  void body(const GenericStage& stage) { arguments(stage.arguments); }

  std::string out_;
};

template <class Call>
std::string printed(Call call) {
  Printer printer;
  call(printer);
  return printer.take();
}

}  // namespace

std::string print(const Statement& statement) {
  return printed([&](Printer& p) { p.statement(statement); });
}
std::string print(const Query& query) {
  return printed([&](Printer& p) { p.query(query); });
}
std::string print(const Stage& stage) {
  return printed([&](Printer& p) { p.stage(stage); });
}
std::string print(const Expr& expr) {
  return printed([&](Printer& p) { p.expr(expr); });
}
std::string print(const Name& name) {
  return printed([&](Printer& p) { p.name(name); });
}
std::string print(const NamedExpr& named) {
  return printed([&](Printer& p) { p.named(named); });
}
std::string print(const TimeClause& time) {
  return printed([&](Printer& p) { p.time(time); });
}

std::string quote_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\r':
        quoted += "\\r";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
          char buffer[12];
          std::snprintf(buffer, sizeof buffer, "\\u{%x}", static_cast<unsigned>(static_cast<uint8_t>(c)));
          quoted += buffer;
        } else {
          quoted += c;
        }
    }
  }
  return quoted + '"';
}

}  // namespace sluice::grammar
