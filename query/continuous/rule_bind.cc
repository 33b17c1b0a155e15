// The query of a rule, with what its options add, bound to a plan.
#include <algorithm>

#include "grammar/print.h"
#include "query/bind.h"
#include "query/continuous/rule_compiler.h"
#include "query/continuous/rule_options.h"
#include "query/show.h"
#include "query/words.h"

namespace sluice::query::continuous {

namespace g = grammar;

namespace {
bool has_time(const Schema& schema) {
  return std::any_of(schema.begin(), schema.end(), [](const Field& f) { return f.name == "ts"; });
}
}  // namespace

// Options that are FlowQL go into the query. Each is tried by itself first, so that what is wrong with it is said of it.
bool RuleCompiler::add_conditions(const BindOptions& options) {
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
    if (!binds(options, query_.stages, ladder_span_, "in severity_when: ")) {
      // What a condition may ask for is not what a flow has.
      if (rule_->is_per_record && error_->code == ErrorCode::invalid_argument)
        error_->hint += (error_->hint.empty() ? "" : "; ") + std::string("of single flows a rule's rows have the columns of 'alert by', those that the message names, and 'flows'");
      return false;
    }
  }
  for (const g::Stage& stage : exceptions) exception_texts_.insert(text_in_plan(g::print(stage)));
  query_.stages.insert(query_.stages.begin(), exceptions.begin(), exceptions.end());
  if (stats_at_) *stats_at_ += exceptions.size();
  if (sequence_at_) *sequence_at_ += exceptions.size();
  return true;
}

// Out of the filter, so that it is known what they leave out.
void RuleCompiler::take_exceptions_out() {
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

bool RuleCompiler::binds(const BindOptions& options, const std::vector<g::Stage>& stages, const g::Span& span, const std::string& where) {
  g::Query query = query_;
  query.stages = stages;
  Binder binder(options);
  const bool good = table_ ? binder.bind_table(*table_, query.stages, &query).has_value() : binder.bind(query).has_value();
  if (good) return true;
  if (where.empty()) return take_error(binder.error());
  return fail(span, where + binder.error().message, binder.error().hint);
}

bool RuleCompiler::bind() {
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
    // (What its rows are made of is asked for by itself.)
    if (auto tables = tables_without_rows(options_.tables))
      options.server_tables = [this, tables = std::move(tables)](std::string_view name) {
        auto found = tables(name);
        if (found && found->ok() && !has_time(*(*found)->schema)) tables_of_now_.emplace(name);
        return found;
      };
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
  rule_->query = g::print(g::Statement{query_, {}});
  rule_->lists.assign(lists.begin(), lists.end());
  rule_->tables_of_now.assign(tables_of_now_.begin(), tables_of_now_.end());
  if (rule_->is_asked) {
    rule_->plan.window = PlanWindow{over_, every_, 0, 0};
    if (!exceptions_.empty() && (!table || has_time(*table))) rule_->excepted_query = counts_excepted();
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

// Flows looked at one by one: matches counted by alert key, with what the message names of the first one.
void RuleCompiler::add_record_stats() {
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

// What meets an exception (they stand first, each as `where not (…)`) and the conditions behind them, counted.
std::string RuleCompiler::counts_excepted() const {
  g::Query query = query_;
  std::vector<g::ExprPtr> left_out;
  for (size_t i = 0; i < exceptions_.size(); ++i) left_out.push_back(query_.stages[i].as<g::WhereStage>()->predicate->as<g::Unary>()->operand);
  g::ExprPtr any = left_out.size() == 1 ? left_out.front() : g::ExprPtr(g::Expr{g::Logical{g::LogicalOp::kOr, std::move(left_out)}, {}});
  query.stages = {g::Stage{g::Keyword{"where", {}}, g::WhereStage{std::move(any)}, {}}};
  for (size_t i = exceptions_.size(); i < query_.stages.size(); ++i) {
    if (!query_.stages[i].as<g::WhereStage>() && !query_.stages[i].as<g::ExtendStage>()) break;
    query.stages.push_back(query_.stages[i]);
  }
  g::StatsStage count;
  count.aggregates.push_back({g::Name{{"left_out"}, false, {}}, g::ExprPtr(g::Expr{g::Call{g::Name{{"count"}, false, {}}, {}}, {}}), {}});
  query.stages.push_back(g::Stage{g::Keyword{"stats", {}}, std::move(count), {}});
  return g::print(g::Statement{std::move(query), {}});
}

// Which of the grouping's keys it asks for.
bool RuleCompiler::resolve_first_seen() {
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

bool RuleCompiler::resolve_sequence() {
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

}  // namespace sluice::query::continuous
