// Rules as text: one statement, or a file of them with the lists that they read.
//
// Pure, any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "grammar/syntax.h"
#include "query/continuous/rule.h"
#include "query/watch_list.h"

namespace sluice::server {

struct ScriptedRule {
  query::continuous::RulePtr rule;
  std::string text;  // as it was written; of a rule that comes of `each`, its own
};
struct ScriptedList {
  query::WatchList list;
  bool replace = false;       // what is there
  bool may_be_empty = false;  // it was said to be
};
struct RuleScript {
  std::vector<ScriptedRule> rules;
  std::vector<ScriptedList> lists;  // to be made
  std::shared_ptr<const query::ListBook> book;           // as it would be
};

// What rules are compiled with. They may ask `alerts`, and flows. `lists` must outlive the compiling
query::continuous::CompileOptions rule_compile_options(const query::ListBook* lists);

std::variant<query::continuous::RulePtr, query::QueryError> compile_rule_text(std::string_view text, const query::ListBook& lists);

// The rules that a statement of `text` makes; `written`: the statement alone.
std::variant<std::vector<ScriptedRule>, query::QueryError> rules_made_by(const grammar::CreateRule& statement, std::string_view text, std::string_view written,
                                                                         const query::continuous::CompileOptions& options);

// A file of `create rule` and `create list`. A list that is there keeps what it has, unless the statement says `or replace`.
// `known`: the lists that there are; null: those that the file does not make are taken to exist, for texts that are only tried.
std::variant<RuleScript, query::QueryError> read_rule_script(std::string_view script, std::shared_ptr<const query::ListBook> known);

// What is right as a text and may not be what its author means, a sentence each: an example that does not come out as it should, and why; an
// exception that was over at `now`. Examples are run until `stops` says that it is enough; `not_run` counts those that were not.
std::vector<std::string> rule_doubts(const query::continuous::RulePtr& rule, TimestampNs now, const std::function<bool()>& stops, size_t& not_run);

// Of examples that a request had no time for.
std::string examples_not_run(size_t count);

// With the place marked in the text.
query::QueryError error_at(const grammar::Span& span, std::string_view text, ErrorCode code, std::string message, std::string hint = {});

}  // namespace sluice::server
