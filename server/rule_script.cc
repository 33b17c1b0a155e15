#include "server/rule_script.h"

#include "grammar/parse.h"
#include "query/bind.h"
#include "query/continuous/example.h"
#include "query/continuous/rule_options.h"
#include "query/continuous/rule_template.h"
#include "query/define.h"
#include "server/limits.h"
#include "server/system_tables.h"
#include "storage/model/counted.h"

namespace sluice::server {

namespace g = grammar;
using query::QueryError;
using query::continuous::RulePtr;

QueryError error_at(const g::Span& span, std::string_view text, ErrorCode code, std::string message, std::string hint) {
  return QueryError{code, std::move(message), std::move(hint), query::to_text_span(span), g::caret_view(text, span)};
}

query::continuous::CompileOptions rule_compile_options(const query::ListBook* lists) {
  query::continuous::CompileOptions options;
  options.lists = lists;
  options.tables = system_schema;
  return options;
}

std::variant<RulePtr, QueryError> compile_rule_text(std::string_view text, const query::ListBook& lists) {
  auto parsed = g::parse(text);
  if (const auto* e = std::get_if<g::SyntaxError>(&parsed))
    return QueryError{ErrorCode::parse, e->message, e->hint, query::to_text_span(e->span), g::caret_view(text, e->span)};
  const auto* create = std::get<g::Statement>(parsed).as<g::CreateRule>();
  if (!create) return QueryError{ErrorCode::invalid_argument, "not a rule", {}, std::nullopt, {}};
  return query::continuous::compile_rule(*create, text, rule_compile_options(&lists));
}

std::variant<std::vector<ScriptedRule>, QueryError> rules_made_by(const g::CreateRule& statement, std::string_view text, std::string_view written,
                                                                                   const query::continuous::CompileOptions& options) {
  auto compiled = query::continuous::compile_rules(statement, text, options);
  if (auto* error = std::get_if<QueryError>(&compiled)) return std::move(*error);
  std::vector<ScriptedRule> made;
  // Kept as it was written, so that it reads as its author wants.
  const auto& rules = std::get<std::vector<RulePtr>>(compiled);
  for (const RulePtr& rule : rules) made.push_back({rule, rule->name == statement.name.text() ? std::string(written) : rule->text});
  return made;
}

std::variant<RuleScript, QueryError> read_rule_script(std::string_view script, std::shared_ptr<const query::ListBook> known) {
  auto parsed = g::parse_script(script);
  if (const auto* e = std::get_if<g::SyntaxError>(&parsed))
    return QueryError{ErrorCode::parse, e->message, e->hint, query::to_text_span(e->span), g::caret_view(script, e->span)};
  RuleScript out;
  out.book = known ? known : std::make_shared<const query::ListBook>();
  const auto& statements = std::get<std::vector<g::Statement>>(parsed);
  // Lists first, wherever they stand.
  for (const g::Statement& statement : statements) {
    const auto* create = statement.as<g::CreateList>();
    if (!create) continue;
    auto list = query::list_of(*create, {});
    if (auto* error = std::get_if<QueryError>(&list)) {
      if (error->span) error->caret = g::caret_view(script, statement.span);
      return std::move(*error);
    }
    // One that is there keeps what people have put into it.
    if (known && known->find(create->name.text()) && !create->replace) continue;
    out.lists.push_back({std::get<query::WatchList>(std::move(list)), create->replace, query::means_empty(*create)});
    out.book = out.book->with(std::make_shared<query::WatchList>(out.lists.back().list));
  }
  query::continuous::CompileOptions options = rule_compile_options(out.book.get());
  options.any_list = !known;
  for (const g::Statement& statement : statements) {
    if (statement.as<g::CreateList>()) continue;
    const auto* create = statement.as<g::CreateRule>();
    if (!create) return error_at(statement.span, script, ErrorCode::invalid_argument, "a file of rules has 'create rule' and 'create list' statements alone");
    auto made = rules_made_by(*create, script, script.substr(statement.span.offset, statement.span.length), options);
    if (auto* error = std::get_if<QueryError>(&made)) return std::move(*error);
    for (ScriptedRule& one : std::get<std::vector<ScriptedRule>>(made)) out.rules.push_back(std::move(one));
  }
  return out;
}

std::string examples_not_run(size_t count) {
  return counted(count, "example was", "examples were") + " not run within " + format_duration(limits::kRuleExamplesTime) + "; test rule NAME runs those of a rule, however long they take";
}

std::vector<std::string> rule_doubts(const RulePtr& rule, TimestampNs now, const std::function<bool()>& stops, size_t& not_run) {
  std::vector<std::string> doubts;
  const std::string whose = "the rule '" + rule->name + "' ";
  const auto parsed = g::parse(rule->text);
  const auto* statement = std::get_if<g::Statement>(&parsed);
  const auto* create = statement ? statement->as<g::CreateRule>() : nullptr;
  if (create)
    for (const auto* options : {&create->options, &create->alert_options})
      for (const g::RuleOption& option : *options) {
        if (option.key.text != "except") continue;
        for (const g::ExprPtr& value : option.values) {
          const auto* text = value->as<g::StringLiteral>();
          const auto end = text ? query::continuous::exception_end(text->value) : std::nullopt;
          if (end && *end <= now) doubts.push_back(whose + "has an exception that ended at " + format_timestamp(*end) + ", and leaves out no flow of later: '" + text->value + "'");
        }
      }
  const auto results = query::continuous::run_examples(rule, stops);
  for (const auto& example : results) {
    if (example.passed) continue;
    std::string why = example.detail;
    for (size_t at = why.find('\n'); at != std::string::npos; at = why.find('\n', at + 2)) why.replace(at, 1, "; ");
    doubts.push_back(whose + (example.must_fire ? "does not alert, and must, for its example '" : "alerts, and must not, for its example '") + example.text + "': " + why);
  }
  not_run += rule->fires.size() + rule->quiet.size() - results.size();
  return doubts;
}

}  // namespace sluice::server
