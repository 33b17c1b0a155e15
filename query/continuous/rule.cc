#include "query/continuous/rule.h"

#include <algorithm>

#include "grammar/print.h"
#include "query/continuous/rule_compiler.h"
#include "query/words.h"

namespace sluice::query::continuous {

namespace g = grammar;

std::variant<RulePtr, QueryError> RuleCompiler::run() {
  if (read_head() && read_options(statement_.options) && read_options(statement_.alert_options) && settle_options() && check_stages() && bind() &&
      resolve_keys() && resolve_message() && resolve_labels()) {
    if (!rule_->is_asked) find_trend();
    return RulePtr(std::move(rule_));
  }
  return std::move(*error_);
}

bool RuleCompiler::fail(const g::Span& span, std::string message, std::string hint, ErrorCode code) {
  if (!error_) error_ = QueryError{code, std::move(message), std::move(hint), to_text_span(span), g::caret_view(text_, span)};
  return false;
}

bool RuleCompiler::take_error(QueryError error) {
  if (error.span) {
    const TextSpan& s = *error.span;
    error.caret = g::caret_view(text_, g::Span{static_cast<uint32_t>(s.offset), static_cast<uint32_t>(s.length), s.line, s.column});
  }
  error_ = std::move(error);
  return false;
}

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
  return RuleCompiler(statement, text, options).run();
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
