// The compiler of rules, for the files that are parts of it: rule.cc begins and ends, rule_read.cc reads what stands around the query,
// rule_stages.cc says which stages can run, rule_bind.cc binds them, rule_columns.cc finds what the rows' columns are to the rule.
//
// Each step says whether it went well; the first that did not has said why. Compiles one rule once.
//
// Thread rule: one thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "grammar/parse.h"
#include "query/bind.h"
#include "query/continuous/rule.h"

namespace sluice::query::continuous {

class RuleCompiler {
 public:
  RuleCompiler(const grammar::CreateRule& statement, std::string_view text, const CompileOptions& options)
      : statement_(statement), text_(text), options_(options), rule_(std::make_shared<Rule>()) {}
  std::variant<RulePtr, QueryError> run();

 private:
  bool fail(const grammar::Span& span, std::string message, std::string hint = {}, ErrorCode code = ErrorCode::invalid_argument);
  bool take_error(QueryError error);

  // rule_read.cc
  bool read_head();
  std::optional<std::string> text_of(const grammar::Expr& expr);
  std::optional<DurationNs> duration_of(const grammar::RuleOption& option, DurationNs most);
  bool read_options(const std::vector<grammar::RuleOption>& options);
  bool few(const std::vector<std::string>& conditions, const grammar::RuleOption& option);
  bool set_severity(const std::string& word, const grammar::Span& span);
  bool read_parameters(const grammar::RuleOption& option);
  // What options mean together.
  bool settle_options();
  // Names in braces: {src_ip}. "{{" and "}}" are braces.
  bool parse_message(std::vector<std::pair<std::string, std::string>>& parts, std::string& rest);

  // rule_stages.cc
  bool check_stages();
  // The stage goes out of the query: what it says is held against groups, when they are looked at.
  bool read_first_seen(const grammar::Stage& stage);
  // Any query that says what a window holds; what it asks of now() would be another thing when it is asked again.
  bool check_asked(const grammar::Query& query);

  // rule_bind.cc
  // Options that are FlowQL go into the query. Each is tried by itself first, so that what is wrong with it is said of it.
  bool add_conditions(const BindOptions& options);
  // Out of the filter, so that it is known what they leave out.
  void take_exceptions_out();
  bool binds(const BindOptions& options, const std::vector<grammar::Stage>& stages, const grammar::Span& span, const std::string& where);
  bool bind();
  std::string counts_excepted() const;
  // Flows looked at one by one: matches counted by alert key, with what the message names of the first one.
  void add_record_stats();
  // Which of the grouping's keys it asks for.
  bool resolve_first_seen();
  bool resolve_sequence();

  // rule_columns.cc
  // Whether the stages by which an alert's flows are found make a column of that name.
  bool extends_flows(std::string_view name) const;
  std::optional<size_t> output_at(std::string_view name) const;
  std::string outputs() const;
  bool resolve_keys();
  bool resolve_message();
  bool resolve_labels();
  void find_trend();

  const grammar::CreateRule& statement_;
  const std::string_view text_;
  const CompileOptions& options_;
  std::shared_ptr<Rule> rule_;
  std::optional<QueryError> error_;
  std::vector<std::string> keys_seen_;
  std::string message_, message_rest_;
  grammar::Span message_span_;
  std::vector<std::pair<std::string, std::string>> message_parts_;  // text, then a column's name
  std::map<std::string, ParameterValue> values_;
  grammar::Query query_;
  std::optional<size_t> stats_at_, sequence_at_;
  bool has_grace_ = false, has_learn_ = false;
  std::vector<grammar::ExprPtr> first_seen_keys_;
  std::optional<size_t> first_seen_at_;
  grammar::Span first_seen_span_;
  std::optional<Schema> table_;  // of a source that is not flows
  std::set<std::string> tables_of_now_;
  std::set<std::string> exception_texts_;  // as the plan has them
  std::vector<std::string> exceptions_, override_texts_, ladder_, label_texts_;
  grammar::Span exceptions_span_, overrides_span_, ladder_span_, labels_span_;
  DurationNs every_ = 0, over_ = 0;
  grammar::Span every_span_, over_span_;
};

}  // namespace sluice::query::continuous
