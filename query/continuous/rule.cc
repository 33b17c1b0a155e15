#include "query/continuous/rule.h"

#include <algorithm>
#include <map>
#include <set>

#include "grammar/nearest.h"
#include "grammar/parse.h"
#include "grammar/print.h"
#include "grammar/stage_args.h"
#include "query/bind.h"
#include "query/continuous/rule_options.h"
#include "query/show.h"
#include "query/words.h"

namespace sluice::query::continuous {
namespace {

namespace g = grammar;

// How a value changes as more flows come into a window.
enum class Trend {
  steady,   // it does not: keys and constants
  rising,   // never falls
  falling,  // never rises
  unknown,
};

Trend opposite(Trend t) { return t == Trend::rising ? Trend::falling : t == Trend::falling ? Trend::rising : t; }

Trend both(Trend a, Trend b) {
  if (a == b || b == Trend::steady) return a;
  return a == Trend::steady ? b : Trend::unknown;
}

// Finds out whether a rule's conditions can only go from false to true.
class Trends {
 public:
  void set(const std::string& name, Trend trend) { names_[lower_case(name)] = trend; }
  Trend of_name(const std::string& name) const {
    const auto found = names_.find(lower_case(name));
    return found == names_.end() ? Trend::unknown : found->second;
  }
  void note_changed_column(const std::string& name) { changed_.push_back(lower_case(name)); }

  Trend value(const g::Expr& expr) const {
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

  Trend condition(const g::Expr& expr) const {
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

 private:
  bool is_steady(const g::Expr& expr) const { return expr.as<g::Compare>() || expr.as<g::Logical>() || expr.as<g::In>() ? condition(expr) == Trend::steady : value(expr) == Trend::steady; }
  static bool is_constant(const g::Expr& expr) {
    return std::visit(g::Overloaded{[](const g::Name&) { return false; }, [](const g::Unary&) { return false; }, [](const g::Arithmetic&) { return false; },
                                    [](const g::Compare&) { return false; }, [](const g::Logical&) { return false; }, [](const g::In&) { return false; },
                                    [](const g::Between&) { return false; }, [](const g::IsNull&) { return false; }, [](const g::Call&) { return false; },
                                    [](const auto&) { return true; }},
                      expr.node);
  }
  static bool is_positive(const g::Expr& expr) {
    return expr.as<g::IntegerLiteral>() || expr.as<g::SizeLiteral>() || (expr.as<g::FloatLiteral>() && expr.as<g::FloatLiteral>()->value > 0) ||
           (expr.as<g::DurationLiteral>() != nullptr);
  }
  // Of an aggregate, over the flows of one window.
  Trend aggregate(const g::Call& call) const {
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

  std::map<std::string, Trend> names_;
  std::vector<std::string> changed_;  // columns of flows that a stage has given another meaning
};

bool asks_now(const g::Expr& expr) {
  if (const auto* call = expr.as<g::Call>()) {
    if (equal_ignoring_case(call->function.text(), "now")) return true;
    return std::any_of(call->arguments.begin(), call->arguments.end(), [](const auto& a) { return asks_now(*a); });
  }
  if (const auto* u = expr.as<g::Unary>()) return asks_now(*u->operand);
  if (const auto* a = expr.as<g::Arithmetic>()) return asks_now(*a->left) || asks_now(*a->right);
  if (const auto* c = expr.as<g::Compare>()) return asks_now(*c->left) || asks_now(*c->right);
  if (const auto* l = expr.as<g::Logical>()) return std::any_of(l->operands.begin(), l->operands.end(), [](const auto& o) { return asks_now(*o); });
  if (const auto* in = expr.as<g::In>()) return asks_now(*in->value) || std::any_of(in->items.begin(), in->items.end(), [](const auto& i) { return asks_now(*i); });
  if (const auto* b = expr.as<g::Between>()) return asks_now(*b->value) || asks_now(*b->low) || asks_now(*b->high);
  if (const auto* n = expr.as<g::IsNull>()) return asks_now(*n->operand);
  return false;
}

class Compiler {
 public:
  Compiler(const g::CreateRule& statement, std::string_view text, const CompileOptions& options)
      : statement_(statement), text_(text), options_(options), rule_(std::make_shared<Rule>()) {}

  std::variant<RulePtr, QueryError> run() {
    if (read_head() && read_options(statement_.options) && read_options(statement_.alert_options) && settle_options() && check_stages() && bind() &&
        resolve_keys() && resolve_message() && resolve_labels()) {
      if (!rule_->is_asked) find_trend();
      return RulePtr(std::move(rule_));
    }
    return std::move(*error_);
  }

 private:
  bool fail(const g::Span& span, std::string message, std::string hint = {}, ErrorCode code = ErrorCode::invalid_argument) {
    if (!error_) error_ = QueryError{code, std::move(message), std::move(hint), to_text_span(span), g::caret_view(text_, span)};
    return false;
  }

  bool read_head() {
    rule_->name = statement_.name.text();
    rule_->text = g::print(g::Statement{statement_, {}});
    rule_->grace = limits::kRuleGrace;
    if (rule_->name.empty() || rule_->name.size() > limits::kRuleNameBytesMax)
      return fail(statement_.name.span, "a rule's name has 1 to " + std::to_string(limits::kRuleNameBytesMax) + " bytes");
    for (const char c : rule_->name)
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
        return fail(statement_.name.span, "a rule's name is made of letters, digits, '_', '-' and '.'");
    return true;
  }

  std::optional<std::string> text_of(const g::Expr& expr) {
    if (const auto* s = expr.as<g::StringLiteral>()) return s->value;
    if (const auto* n = expr.as<g::Name>()) return n->text();
    fail(expr.span, "expected a word or a text in quotes");
    return std::nullopt;
  }
  std::optional<DurationNs> duration_of(const g::RuleOption& option, DurationNs most) {
    const g::Expr& expr = *option.values[0];
    std::optional<DurationNs> value;
    if (const auto* d = expr.as<g::DurationLiteral>()) value = d->nanoseconds;
    if (const auto* p = expr.as<g::Parameter>())
      for (const auto& [name, text] : rule_->parameters)
        if (name == p->name) value = parse_duration(text);
    if (!value || option.values.size() != 1) {
      fail(option.span, "'" + option.key.text + "' takes a duration", "such as " + option.key.text + " 10m");
      return std::nullopt;
    }
    if (*value > most) {
      fail(expr.span, "'" + option.key.text + "' is at most " + format_duration(most));
      return std::nullopt;
    }
    return value;
  }

  bool read_options(const std::vector<g::RuleOption>& options) {
    for (const g::RuleOption& option : options) {
      const std::string& key = option.key.text;
      if (std::find(keys_seen_.begin(), keys_seen_.end(), key) != keys_seen_.end()) return fail(option.span, "the rule has '" + key + "' already");
      keys_seen_.push_back(key);
      const auto texts = [&](std::vector<std::string>& out) {
        for (const auto& v : option.values) {
          auto text = text_of(*v);
          if (!text) return false;
          out.push_back(std::move(*text));
        }
        return true;
      };
      const auto text = [&](std::string& out) {
        std::vector<std::string> all;
        if (!texts(all)) return false;
        if (all.size() != 1) return fail(option.span, "'" + key + "' takes one value");
        out = std::move(all[0]);
        return true;
      };
      const auto duration = [&](DurationNs& out, DurationNs most) {
        const auto value = duration_of(option, most);
        if (value) out = *value;
        return value.has_value();
      };
      bool good = true;
      if (key == "severity") {
        std::string word;
        good = text(word) && set_severity(word, option.values[0]->span);
      } else if (key == "technique" || key == "techniques") {
        good = texts(rule_->techniques);
      } else if (key == "tags" || key == "tag") {
        good = texts(rule_->tags);
      } else if (key == "needs") {
        good = texts(rule_->needs);
      } else if (key == "fires") {
        good = texts(rule_->fires);
      } else if (key == "quiet") {
        good = texts(rule_->quiet);
      } else if (key == "description") {
        good = text(rule_->description);
      } else if (key == "false_positives") {
        good = text(rule_->false_positives);
      } else if (key == "parameters") {
        good = read_parameters(option);
      } else if (key == "for") {
        good = duration(rule_->hold, limits::kRuleWindowMax);
      } else if (key == "keep_firing_for") {
        good = duration(rule_->keep, limits::kRuleWindowMax);
      } else if (key == "suppress") {
        good = duration(rule_->suppress, limits::kRuleWindowMax);
      } else if (key == "grace") {
        good = duration(rule_->grace, limits::kRuleGraceMax);
        has_grace_ = true;
      } else if (key == "learn") {
        good = duration(rule_->learn, limits::kRuleLookbackMax);
        has_learn_ = true;
      } else if (key == "mode") {
        std::string word;
        good = text(word);
        if (good && word != "silent" && word != "live") good = fail(option.values[0]->span, "'" + word + "' is no mode", "live, or silent: alerts are kept and sent to nobody");
        rule_->is_silent = word == "silent";
      } else if (key == "except") {
        good = texts(exceptions_) && few(exceptions_, option);
        exceptions_span_ = option.span;
      } else if (key == "overrides") {
        good = texts(override_texts_) && few(override_texts_, option);
        overrides_span_ = option.span;
      } else if (key == "severity_when") {
        good = texts(ladder_);
        ladder_span_ = option.span;
      } else if (key == "label" || key == "labels") {
        good = texts(label_texts_);
        labels_span_ = option.span;
      } else if (key == "every") {
        every_span_ = option.span;
        rule_->is_asked = true;
        good = duration(every_, limits::kRuleEveryMax);
        if (good && every_ < limits::kRuleEveryMin) good = fail(option.span, "'every' is at least " + format_duration(limits::kRuleEveryMin));
      } else if (key == "over") {
        over_span_ = option.span;
        good = duration(over_, limits::kRuleOverMax);
      } else if (key == "message") {
        good = text(message_);
        message_span_ = option.values[0]->span;
      } else {
        constexpr std::string_view kKeys[] = {"severity", "technique", "tags",     "needs", "description", "false_positives", "parameters", "fires", "quiet",
                                              "for",      "suppress",  "keep_firing_for", "grace", "message", "every", "over",
                                              "mode",     "except",   "overrides", "severity_when", "learn", "label"};
        return fail(option.key.span, "a rule has no option '" + key + "'", g::did_you_mean(key, kKeys));
      }
      if (!good) return false;
    }
    return true;
  }

  bool few(const std::vector<std::string>& conditions, const g::RuleOption& option) {
    if (conditions.size() <= limits::kRuleConditionsMax) return true;
    return fail(option.span, "'" + option.key.text + "' takes at most " + std::to_string(limits::kRuleConditionsMax) + " conditions", "ask 'in @NAME': a watch-list has room for many");
  }

  bool set_severity(const std::string& word, const g::Span& span) {
    if (const auto severity = severity_of(word)) {
      rule_->severity = *severity;
      return true;
    }
    return fail(span, "'" + word + "' is no severity", "info, low, medium, high or critical");
  }

  bool read_parameters(const g::RuleOption& option) {
    for (const auto& v : option.values) {
      const auto text = text_of(*v);
      if (!text) return false;
      const size_t equal = text->find('=');
      if (equal == std::string::npos || equal == 0) return fail(v->span, "a parameter is written \"name=value\"");
      rule_->parameters.emplace_back(text->substr(0, equal), text->substr(equal + 1));
    }
    return true;
  }

  // What options mean together.
  bool settle_options() {
    if (!rule_->is_asked && over_ > 0) return fail(over_span_, "'over' goes with 'every'", "every 5m over 1h");
    if (!rule_->is_asked) return true;
    if (over_ == 0) over_ = every_;
    if (over_ < every_) return fail(over_span_, "what lies between two answers would be in neither", "let 'over' be as long as 'every', or longer");
    if (!has_grace_) rule_->grace = 0;  // it waits for what comes late, and alerts that much later
    return true;
  }

  bool check_stages() {
    const g::Query& query = statement_.query;
    if (query.time) return fail(query.time->span, "a rule has no time range: it never ends", "its window says over what time it looks: stats … window 5m");
    if (rule_->is_asked) return check_asked(query);
    for (const g::Stage& stage : query.stages) {
      const bool behind = stats_at_.has_value();
      const auto refuse = [&](const std::string& why) {
        return fail(stage.name.span.length > 0 ? stage.name.span : stage.span, "a rule cannot run '" + stage.name.text + "' on a stream: " + why,
                    "with 'every 5m over 1h' before 'as' it is asked again and again", ErrorCode::unsupported);
      };
      if (const auto* w = stage.as<g::WhereStage>()) {
        if (asks_now(*w->predicate)) return fail(w->predicate->span, "now() in a rule would be the moment of its creation for ever");
      } else if (const auto* e = stage.as<g::ExtendStage>()) {
        for (const auto& c : e->columns)
          if (asks_now(*c.value)) return fail(c.span, "now() in a rule would be the moment of its creation for ever");
      } else if (stage.as<g::SelectStage>() || stage.as<g::DropStage>() || stage.as<g::RenameStage>() || stage.as<g::RenderStage>()) {
        // They stream.
      } else if (stage.name.text == "first_seen") {
        if (first_seen_at_) return refuse("it has one already");
        if (!read_first_seen(stage)) return false;
        first_seen_at_ = static_cast<size_t>(&stage - query.stages.data());
      } else if (stage.name.text == "sequence") {
        if (sequence_at_) return refuse("one sequence is what a rule waits for");
        if (behind) return refuse("groups of flows have no order");
        sequence_at_ = static_cast<size_t>(&stage - query.stages.data());
      } else if (const auto* s = stage.as<g::StatsStage>()) {
        if (sequence_at_) return refuse("what is found is told of, and not grouped; 'suppress' joins what belongs together");
        if (behind) return refuse("groups of groups would have to wait for windows of windows");
        if (!s->window)
          return fail(stage.span, "a rule's stats needs a window: without one its groups would grow for ever", "stats … by … window 5m", ErrorCode::unsupported);
        for (const auto* list : {&s->keys, &s->aggregates})
          for (const auto& c : *list)
            if (asks_now(*c.value)) return fail(c.span, "now() in a rule would be the moment of its creation for ever");
        stats_at_ = static_cast<size_t>(&stage - query.stages.data());
      } else if (stage.as<g::TopStage>() || stage.as<g::SortStage>() || stage.as<g::LimitStage>() || stage.as<g::TailStage>() || stage.as<g::SampleStage>()) {
        return refuse("it needs the whole table, and this one never ends");
      } else if (stage.as<g::DistinctStage>()) {
        return refuse("what it has seen would grow for ever; count in a window, or use 'alert by' and 'suppress'");
      } else if (stage.as<g::TimeseriesStage>()) {
        return refuse("a window does what its grid does: stats … window 5m");
      } else {
        return refuse("only where, extend, select, drop, rename and one stats with a window, or one sequence, do");
      }
    }
    return true;
  }

  // The stage goes out of the query: what it says is held against groups, when they are looked at.
  bool read_first_seen(const g::Stage& stage) {
    g::StageArgs args(stage);
    first_seen_keys_ = args.expressions();
    const bool has_word = args.word("lookback");
    const auto lookback = args.duration();
    if (first_seen_keys_.empty() || !has_word || !lookback || !args.done()) return fail(stage.name.span, "expected keys, 'lookback' and a duration behind 'first_seen'", "first_seen src_ip, dst_port lookback 14d");
    std::optional<DurationNs> length;
    if (const auto* d = (*lookback)->as<g::DurationLiteral>()) length = d->nanoseconds;
    if (const auto* p = (*lookback)->as<g::Parameter>())
      for (const auto& [name, text] : rule_->parameters)
        if (name == p->name) length = parse_duration(text);
    if (!length || *length <= 0) return fail((*lookback)->span, "a look-back is a duration, such as 14d");
    if (*length > limits::kRuleLookbackMax) return fail((*lookback)->span, "a look-back is at most " + format_duration(limits::kRuleLookbackMax));
    rule_->first_seen = Rule::FirstSeen{{}, *length};
    if (!has_learn_) rule_->learn = *length;
    return true;
  }

  // Which of the grouping's keys it asks for.
  bool resolve_first_seen() {
    const g::StatsStage& stats = *query_.stages[*stats_at_].as<g::StatsStage>();
    const PlanWindow& window = *rule_->plan.window;
    if (window.length != window.slide)
      return fail(first_seen_span_, "first_seen in a rule goes with windows that stand side by side", "leave out 'slide', or ask with 'every 5m over 5m' before 'as'", ErrorCode::unsupported);
    for (const g::ExprPtr& key : first_seen_keys_) {
      const std::string text = g::print(*key);
      size_t at = 0;
      for (; at < stats.keys.size(); ++at) {
        const g::NamedExpr& k = stats.keys[at];
        if ((k.name && equal_ignoring_case(k.name->text(), text)) || equal_ignoring_case(g::print(*k.value), text)) break;
      }
      if (at == stats.keys.size())
        return fail(key->span, "first_seen in a rule names keys of the rule's grouping, and '" + text + "' is none",
                    rule_->is_per_record ? "alert by it" : "put it behind 'by', or ask with 'every 5m over 5m' before 'as'", ErrorCode::unsupported);
      if (rule_->groups->keys[at].other_side) return fail(key->span, "first_seen in a rule needs to know which side is meant: src_" + text + " or dst_" + text);
      rule_->first_seen->keys.push_back(at);
    }
    return true;
  }

  // Any query that says what a window holds; what it asks of now() would be another thing when it is asked again.
  bool check_asked(const g::Query& query) {
    for (const g::Stage& stage : query.stages) {
      std::vector<const g::ExprPtr*> values;
      if (const auto* w = stage.as<g::WhereStage>()) values.push_back(&w->predicate);
      for (const auto* columns : {stage.as<g::ExtendStage>() ? &stage.as<g::ExtendStage>()->columns : nullptr, stage.as<g::SelectStage>() ? &stage.as<g::SelectStage>()->columns : nullptr,
                                  stage.as<g::StatsStage>() ? &stage.as<g::StatsStage>()->keys : nullptr, stage.as<g::StatsStage>() ? &stage.as<g::StatsStage>()->aggregates : nullptr})
        if (columns)
          for (const auto& c : *columns) values.push_back(&c.value);
      for (const auto* value : values)
        if (asks_now(**value)) return fail((*value)->span, "now() in a rule would be another moment at each answer, and in each replay");
      if (const auto* s = stage.as<g::StatsStage>(); s && s->window)
        return fail(s->window->span, "a rule that is asked every so often has no other window", "its window is what 'over' says; bin(5m) parts it", ErrorCode::unsupported);
    }
    return true;
  }

  // Options that are FlowQL go into the query. Each is tried by itself first, so that what is wrong with it is said of it.
  bool add_conditions(const BindOptions& options) {
    std::vector<g::Stage> exceptions;
    for (const std::string& text : exceptions_) {
      auto stage = exception_stage(text);
      if (!stage.ok()) return fail(exceptions_span_, stage.error().message);
      exceptions.push_back(std::move(*stage));
      if (!binds(options, {exceptions.back()}, exceptions_span_, "in the exception '" + text + "': ")) return false;
    }
    std::vector<Override> overrides;
    for (const std::string& text : override_texts_) {
      auto read = read_override(text);
      if (!read.ok()) return fail(overrides_span_, read.error().message);
      for (const auto& [name, value] : read->values)
        if (!values_.contains(name)) return fail(overrides_span_, "the rule has no parameter '" + name + "' to override");
      overrides.push_back(std::move(*read));
    }
    if (!overrides.empty() || !ladder_.empty()) {
      if (!binds(options, query_.stages, {}, "")) return false;
    }
    if (!overrides.empty()) {
      for (size_t i = stats_at_ && !rule_->is_asked ? *stats_at_ + 1 : 0; i < query_.stages.size(); ++i) query_.stages[i] = with_overrides(query_.stages[i], overrides);
      if (!binds(options, query_.stages, overrides_span_, "with its overrides: ")) return false;
    }
    if (!ladder_.empty()) {
      auto stage = severity_stage(ladder_, to_string(rule_->severity));
      if (!stage.ok()) return fail(ladder_span_, stage.error().message);
      query_.stages.push_back(std::move(*stage));
      if (!binds(options, query_.stages, ladder_span_, "in severity_when: ")) return false;
    }
    for (const g::Stage& stage : exceptions) exception_texts_.insert(text_in_plan(g::print(stage)));
    query_.stages.insert(query_.stages.begin(), exceptions.begin(), exceptions.end());
    if (stats_at_) *stats_at_ += exceptions.size();
    if (sequence_at_) *sequence_at_ += exceptions.size();
    return true;
  }

  // Out of the filter, so that it is known what they leave out.
  void take_exceptions_out() {
    ScanPlan& scan = rule_->plan.scan;
    std::vector<Conjunct> stay;
    for (Conjunct& conjunct : scan.conjuncts) {
      if (!exception_texts_.contains(conjunct.text)) {
        stay.push_back(std::move(conjunct));
        continue;
      }
      for (const size_t slot : conjunct.slots) {
        scan.output[slot] = true;
        const auto& source = scan.slots[slot].source;
        if (source && source->kind == ScanSource::Kind::derived && source->derived != DerivedColumn::duration) scan.scales = true;
      }
      rule_->exceptions.push_back(std::move(conjunct.predicate));
    }
    scan.conjuncts = std::move(stay);
  }

  bool binds(const BindOptions& options, const std::vector<g::Stage>& stages, const g::Span& span, const std::string& where) {
    g::Query query = query_;
    query.stages = stages;
    Binder binder(options);
    const bool good = table_ ? binder.bind_table(*table_, query.stages, &query).has_value() : binder.bind(query).has_value();
    if (good) return true;
    if (where.empty()) return take_error(binder.error());
    return fail(span, where + binder.error().message, binder.error().hint);
  }

  // Names in braces: {src_ip}. "{{" and "}}" are braces.
  bool parse_message(std::vector<std::pair<std::string, std::string>>& parts, std::string& rest) {
    std::string text;
    for (size_t i = 0; i < message_.size(); ++i) {
      const char c = message_[i];
      if ((c == '{' || c == '}') && i + 1 < message_.size() && message_[i + 1] == c) {
        text += c;
        ++i;
      } else if (c == '{') {
        const size_t end = message_.find('}', i);
        if (end == std::string::npos || end == i + 1) return fail(message_span_, "'{' in a message begins a column's name, as in {src_ip}", "write {{ for a brace");
        parts.emplace_back(std::move(text), message_.substr(i + 1, end - i - 1));
        text.clear();
        i = end;
      } else if (c == '}') {
        return fail(message_span_, "'}' in a message ends nothing", "write }} for a brace");
      } else {
        text += c;
      }
    }
    rest = std::move(text);
    return true;
  }

  bool bind() {
    std::string rest;
    if (!parse_message(message_parts_, rest)) return false;
    message_rest_ = std::move(rest);
    query_ = statement_.query;
    if (first_seen_at_ && sequence_at_) return fail(query_.stages[*first_seen_at_].name.span, "first_seen in a rule goes with a grouping, and not with a sequence", {}, ErrorCode::unsupported);
    if (first_seen_at_) {
      first_seen_span_ = query_.stages[*first_seen_at_].name.span;
      if (stats_at_ && *first_seen_at_ > *stats_at_)
        for (size_t i = *stats_at_ + 1; i < *first_seen_at_; ++i)
          if (!query_.stages[i].as<g::ExtendStage>())
            return fail(first_seen_span_, "between the grouping and first_seen there may be nothing that chooses", "put first_seen before the grouping, or just behind it", ErrorCode::unsupported);
      query_.stages.erase(query_.stages.begin() + static_cast<ptrdiff_t>(*first_seen_at_));
      if (stats_at_ && *first_seen_at_ < *stats_at_) --*stats_at_;
    }
    if (!stats_at_ && !sequence_at_ && !rule_->is_asked) add_record_stats();
    if (error_) return false;
    for (const auto& [name, value] : rule_->parameters) {
      ParameterValue& parameter = values_[name];
      for (size_t from = 0; from <= value.size();) {
        const size_t comma = std::min(value.find(',', from), value.size());
        parameter.values.push_back(value.substr(from, comma - from));
        from = comma + 1;
      }
      parameter.is_list = parameter.values.size() > 1;
    }
    // Columns are the same whatever the data has.
    BindOptions options;
    options.parameters = &values_;
    options.continuous = !rule_->is_asked;
    options.lists = options_.lists;
    options.any_list = options_.any_list;
    std::set<std::string> lists;
    options.lists_read = &lists;
    if (rule_->is_asked) {
      // Any range of the length will do to find out what comes of it.
      options.now = 4'000'000'000 * kSecond;
      options.narrow = TimeRange{options.now - over_, options.now};
      options.server_tables = tables_without_rows(options_.tables);
    }
    std::optional<Schema>& table = table_;
    if (const std::string source = lower_case(query_.source.name.text()); source != "flows" && options_.tables) {
      table = options_.tables(source);
      if (table && !rule_->is_asked)
        return fail(query_.source.name.span, "rules over '" + source + "' are asked again and again", "with 'every 1m over 1h' before 'as'", ErrorCode::unsupported);
    }
    if (!add_conditions(options)) return false;
    if (table) {
      Binder binder(options);
      auto plan = binder.bind_table(*table, query_.stages, &query_);
      if (!plan) return take_error(binder.error());
      rule_->plan = std::move(*plan);
    } else {
      Binder binder(options);
      auto plan = binder.bind(query_);
      if (!plan) return take_error(binder.error());
      rule_->plan = std::move(*plan);
    }
    rule_->lists.assign(lists.begin(), lists.end());
    if (rule_->is_asked) {
      rule_->plan.window = PlanWindow{over_, every_, 0, 0};
      rule_->query = g::print(g::Statement{query_, {}});
      // What an alert's flows are found by: the conditions that stand first, and the columns that they and its keys are made of.
      if (!table)
        for (const g::Stage& stage : query_.stages) {
          if (!stage.as<g::WhereStage>() && !stage.as<g::ExtendStage>()) break;
          rule_->flow_stages.push_back(with_values(stage, values_));
        }
      rule_->severity_column = output_at(kSeverityColumn);
      return true;
    }
    take_exceptions_out();
    if (sequence_at_) {
      if (!resolve_sequence()) return false;
      rule_->severity_column = output_at(kSeverityColumn);
      return true;
    }
    SLUICE_CHECK(rule_->plan.window.has_value());
    const PlanWindow& window = *rule_->plan.window;
    const g::StatsStage& stats = *query_.stages[*stats_at_].as<g::StatsStage>();
    if (stats.window->kind == g::Window::Kind::kSession) {
      // Its keys are those of the grouping, then these two.
      const size_t keys = rule_->plan.operators[window.group]->grouping()->keys.size();
      rule_->session = Rule::Session{window.slide, keys - 2, keys - 1};
    } else if (window.length > limits::kRuleWindowMax) {
      return fail(stats.window->span, "a window is at most " + format_duration(limits::kRuleWindowMax));
    } else if (window.length / window.slide > limits::kRuleWindowSlidesMax) {
      return fail(stats.window->span, "at most " + std::to_string(limits::kRuleWindowSlidesMax) + " slides go into one window");
    }
    for (size_t i = 0; i < rule_->plan.operators.size(); ++i) {
      if (i == window.group)
        rule_->groups = rule_->plan.operators[i]->grouping();
      else
        SLUICE_CHECK(rule_->plan.operators[i]->stateless());  // check_stages() let nothing else through
    }
    SLUICE_CHECK(rule_->groups != nullptr);
    if (rule_->first_seen && !resolve_first_seen()) return false;
    for (size_t i = 0; i < *stats_at_; ++i) rule_->flow_stages.push_back(with_values(query_.stages[i], values_));
    rule_->severity_column = output_at(kSeverityColumn);
    return true;
  }

  bool resolve_sequence() {
    Plan& plan = rule_->plan;
    for (size_t i = 0; i < plan.operators.size(); ++i) {
      if (auto spec = sequence_of(*plan.operators[i])) {
        rule_->sequence = std::move(spec);
        plan.window = PlanWindow{limits::kRuleRecordWindow, limits::kRuleRecordWindow, rule_->sequence->time, i};
      } else {
        SLUICE_CHECK(plan.operators[i]->stateless());  // check_stages() let nothing else through
      }
    }
    SLUICE_CHECK(rule_->sequence != nullptr);
    if (rule_->sequence->within > limits::kRuleWindowMax)
      return fail(query_.stages[*sequence_at_].span, "a rule waits for a sequence within " + format_duration(limits::kRuleWindowMax) + " at most");
    for (size_t i = 0; i < *sequence_at_; ++i) rule_->flow_stages.push_back(with_values(query_.stages[i], values_));
    return true;
  }

  bool take_error(QueryError error) {
    if (error.span) {
      const TextSpan& s = *error.span;
      error.caret = g::caret_view(text_, g::Span{static_cast<uint32_t>(s.offset), static_cast<uint32_t>(s.length), s.line, s.column});
    }
    error_ = std::move(error);
    return false;
  }

  // Flows looked at one by one: matches counted by alert key, with what the message names of the first one.
  void add_record_stats() {
    rule_->is_per_record = true;
    g::StatsStage stats;
    stats.keys = statement_.alert_by;
    const g::Span span = message_span_;
    const auto call = [&](const char* function, std::vector<g::ExprPtr> arguments) {
      return g::ExprPtr(g::Expr{g::Call{g::Name{{function}, false, span}, std::move(arguments)}, span});
    };
    const auto taken = [&](std::string_view name) {
      for (const auto& k : stats.keys) {
        const auto* plain = k.value->as<g::Name>();
        if (k.name ? equal_ignoring_case(k.name->text(), name) : plain && equal_ignoring_case(plain->text(), name)) return true;
      }
      return std::any_of(stats.aggregates.begin(), stats.aggregates.end(), [&](const auto& a) { return equal_ignoring_case(a.name->text(), name); });
    };
    if (!taken("flows")) stats.aggregates.push_back({g::Name{{"flows"}, false, span}, call("count", {}), span});
    for (const auto& [text, name] : message_parts_) {
      if (taken(name) || equal_ignoring_case(name, "flows")) continue;
      g::Name column{{name}, false, span};
      stats.aggregates.push_back({g::Name{{name}, true, span}, call("first", {g::ExprPtr(g::Expr{column, span})}), span});
    }
    if (stats.aggregates.empty()) stats.aggregates.push_back({g::Name{{"matches"}, false, span}, call("count", {}), span});
    stats.window = g::Window{g::Window::Kind::kTumbling, g::ExprPtr(g::Expr{g::DurationLiteral{limits::kRuleRecordWindow, {}}, span}), std::nullopt, span};
    stats_at_ = query_.stages.size();
    query_.stages.push_back(g::Stage{g::Keyword{"stats", span}, std::move(stats), span});
  }

  // Whether the stages by which an alert's flows are found make a column of that name.
  bool extends_flows(std::string_view name) const {
    for (const g::Stage& stage : rule_->flow_stages)
      if (const auto* extend = stage.as<g::ExtendStage>())
        for (const g::NamedExpr& column : extend->columns)
          if (column.name && column.name->text() == name) return true;
    return false;
  }
  std::optional<size_t> output_at(std::string_view name) const {
    const auto& output = rule_->plan.output;
    for (size_t i = 0; i < output.size(); ++i)
      if (equal_ignoring_case(output[i].name, name)) return i;
    return std::nullopt;
  }
  std::string outputs() const {
    std::string out;
    for (const auto& o : rule_->plan.output) out += (out.empty() ? "" : ", ") + o.name;
    return "the rule's rows have " + out;
  }

  bool resolve_keys() {
    const g::StatsStage* stats = stats_at_ ? query_.stages[*stats_at_].as<g::StatsStage>() : nullptr;
    for (size_t i = 0; i < statement_.alert_by.size(); ++i) {
      const g::NamedExpr& key = statement_.alert_by[i];
      std::optional<size_t> at;
      if (rule_->is_per_record) {
        at = i;  // the keys of its grouping, in the same order
      } else {
        const auto* name = key.value->as<g::Name>();
        if (!name || key.name) return fail(key.span, "'alert by' names columns of the rule's rows", outputs());
        at = output_at(name->text());
        if (!at) return fail(key.span, "the rule's rows have no column '" + name->text() + "' to alert by", outputs());
      }
      if (std::find(rule_->alert_keys.begin(), rule_->alert_keys.end(), *at) != rule_->alert_keys.end())
        return fail(key.span, "the rule alerts by this column already");
      rule_->alert_keys.push_back(*at);
      const size_t slot = rule_->plan.output[*at].slot;
      if (stats && slot < stats->keys.size())
        rule_->key_expressions.push_back(with_values(stats->keys[slot].value, values_));
      else if (!stats && (find_column(rule_->plan.output[*at].name) || extends_flows(rule_->plan.output[*at].name)))
        rule_->key_expressions.push_back(g::ExprPtr(g::Expr{g::Name{{rule_->plan.output[*at].name}, false, key.span}, key.span}));
      else
        rule_->key_expressions.push_back(std::nullopt);
    }
    return true;
  }

  bool resolve_message() {
    for (auto& [text, name] : message_parts_) {
      const auto at = output_at(name);
      if (!at) return fail(message_span_, "the message names '" + name + "', and the rule's rows have no such column", outputs());
      rule_->message.push_back({std::move(text), at});
    }
    if (!message_rest_.empty()) rule_->message.push_back({std::move(message_rest_), std::nullopt});
    return true;
  }

  bool resolve_labels() {
    if (label_texts_.size() > limits::kRuleLabelsMax) return fail(labels_span_, "a rule puts at most " + std::to_string(limits::kRuleLabelsMax) + " labels");
    for (const std::string& text : label_texts_) {
      auto label = read_label(text);
      if (!label.ok()) return fail(labels_span_, label.error().message);
      const auto at = output_at(label->column);
      if (!at) return fail(labels_span_, "the rule's rows have no column '" + label->column + "' to label", outputs());
      const OutputColumn& column = rule_->plan.output[*at];
      switch (column.type.logical) {
        case LogicalType::ip:
        case LogicalType::uint:
        case LogicalType::port:
        case LogicalType::string: break;
        default: return fail(labels_span_, "what '" + column.name + "' has can't be in a list", "lists hold addresses, numbers and words");
      }
      // It would find what it labelled, label what that spoke with, and so on.
      if (std::find(rule_->lists.begin(), rule_->lists.end(), lower_case(label->list)) != rule_->lists.end())
        return fail(labels_span_, "a rule can't label into the list '" + label->list + "', which it reads");
      label->column = column.name;
      rule_->labels.push_back(std::move(*label));
    }
    return true;
  }

  void find_trend() {
    Trends trends;
    const auto name_of = [](const g::NamedExpr& e) {
      if (e.name) return e.name->text();
      if (const auto* n = e.value->as<g::Name>()) return n->text();
      if (const auto* c = e.value->as<g::Call>()) return Binder::default_name(*c);
      return g::print(*e.value);
    };
    bool known = true;
    const size_t at = sequence_at_ ? *sequence_at_ : *stats_at_;
    // What is found stays found, but when it began and ended may change with a flow that comes late.
    if (sequence_at_)
      for (const auto& k : rule_->sequence->keys) trends.set(k.name, Trend::steady);
    if (sequence_at_)
      for (const char* name : {"began", "ended", "took"}) trends.set(name, Trend::unknown);
    for (size_t i = sequence_at_ ? at + 1 : 0; i < query_.stages.size() && known; ++i) {
      const g::Stage& stage = query_.stages[i];
      if (i < at) {
        if (const auto* e = stage.as<g::ExtendStage>())
          for (const auto& c : e->columns) trends.note_changed_column(name_of(c));
        if (const auto* s = stage.as<g::SelectStage>())
          for (const auto& c : s->columns)
            if (c.name) trends.note_changed_column(name_of(c));
        if (const auto* r = stage.as<g::RenameStage>())
          for (const auto& c : r->columns) trends.note_changed_column(c.to.text());
      } else if (const auto* s = stage.as<g::StatsStage>()) {
        for (const auto& k : s->keys) trends.set(name_of(k), Trend::steady);
        if (rule_->session) trends.set("session", Trend::falling);  // a late flow may have begun it earlier
        for (const auto& a : s->aggregates) trends.set(name_of(a), trends.value(*a.value));
      } else if (const auto* w = stage.as<g::WhereStage>()) {
        known = trends.condition(*w->predicate) != Trend::unknown;
      } else if (const auto* e = stage.as<g::ExtendStage>()) {
        for (const auto& c : e->columns) trends.set(name_of(c), trends.value(*c.value));
      } else if (const auto* r = stage.as<g::RenameStage>()) {
        for (const auto& c : r->columns) trends.set(c.to.text(), trends.of_name(c.from.text()));
      } else if (const auto* sel = stage.as<g::SelectStage>()) {
        for (const auto& c : sel->columns) trends.set(name_of(c), trends.value(*c.value));
      }
    }
    rule_->is_rising = known;
  }

  const g::CreateRule& statement_;
  const std::string_view text_;
  const CompileOptions& options_;
  std::shared_ptr<Rule> rule_;
  std::optional<QueryError> error_;
  std::vector<std::string> keys_seen_;
  std::string message_, message_rest_;
  g::Span message_span_;
  std::vector<std::pair<std::string, std::string>> message_parts_;  // text, then a column's name
  std::map<std::string, ParameterValue> values_;
  g::Query query_;
  std::optional<size_t> stats_at_, sequence_at_;
  bool has_grace_ = false, has_learn_ = false;
  std::vector<g::ExprPtr> first_seen_keys_;
  std::optional<size_t> first_seen_at_;
  g::Span first_seen_span_;
  std::optional<Schema> table_;  // of a source that is not flows
  std::set<std::string> exception_texts_;  // as the plan has them
  std::vector<std::string> exceptions_, override_texts_, ladder_, label_texts_;
  g::Span exceptions_span_, overrides_span_, ladder_span_, labels_span_;
  DurationNs every_ = 0, over_ = 0;
  g::Span every_span_, over_span_;
};

}  // namespace

std::string_view to_string(Severity severity) {
  constexpr std::string_view kNames[] = {"info", "low", "medium", "high", "critical"};
  return kNames[static_cast<size_t>(severity)];
}

std::optional<Severity> severity_of(std::string_view word) {
  constexpr Severity kAll[] = {Severity::info, Severity::low, Severity::medium, Severity::high, Severity::critical};
  for (const Severity s : kAll)
    if (equal_ignoring_case(to_string(s), word)) return s;
  return std::nullopt;
}

std::variant<RulePtr, QueryError> compile_rule(const grammar::CreateRule& statement, std::string_view text, const CompileOptions& options) {
  return Compiler(statement, text, options).run();
}

std::string flows_query(const Rule& rule, const std::vector<std::optional<std::string>>& keys, TimeRange range) {
  std::string out = "from flows between " + format_timestamp(range.from) + " and " + format_timestamp(range.to);
  for (const g::Stage& stage : rule.flow_stages) out += " | " + g::print(stage);
  std::string condition;
  for (size_t i = 0; i < keys.size() && i < rule.key_expressions.size(); ++i) {
    if (!rule.key_expressions[i]) continue;
    condition += (condition.empty() ? "" : " and ") + g::print(**rule.key_expressions[i]) + (keys[i] ? " == " + *keys[i] : " is null");
  }
  return condition.empty() ? out : out + " | where " + condition;
}

}  // namespace sluice::query::continuous
