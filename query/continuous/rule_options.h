// Options of a rule that change its query: exceptions, thresholds for some keys, a ladder of severities. Each becomes FlowQL in the
// rule's query, so whatever runs the query (a stream, an answer, a replay, an example) has them.
//
//   except ("src_ip == 10.0.0.5 until 2027-01-01 -- the scanner of the security team")
//       | where not (src_ip == 10.0.0.5 and ts < 2027-01-01)     in front of everything; expires on event time
//   overrides ("limit=500 where src_ip == 10.0.0.9")
//       $limit behind the grouping becomes case(src_ip == 10.0.0.9, 500, $limit)
//   severity_when ("high: hosts > 1000", "critical: hosts > 10000")
//       | extend alert_severity = case(hosts > 10000, 'critical', hosts > 1000, 'high', 'medium')     behind everything
//
// Pure, any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/syntax.h"
#include "query/engine.h"
#include "storage/model/result.h"

namespace sluice::query::continuous {

struct Label;

// `COND [until TIME] [-- WHY]` as a stage that leaves out what meets it. Errors: parse, saying what is wrong with the text.
Result<grammar::Stage> exception_stage(std::string_view text);
// Until when it holds, by the flows' own time; nullopt: for ever, or it is none.
std::optional<TimestampNs> exception_end(std::string_view text);

// `NAME=VALUE; NAME=VALUE where COND`.
struct Override {
  std::vector<std::pair<std::string, grammar::ExprPtr>> values;
  grammar::ExprPtr condition;
};
Result<Override> read_override(std::string_view text);
// The stage with the overrides' values in place of parameters; the first whose condition holds counts.
grammar::Stage with_overrides(const grammar::Stage& stage, const std::vector<Override>& overrides);

// `SEVERITY: COND`, several of them. Errors: parse; a word that is no severity, or one that is there twice.
Result<grammar::Stage> severity_stage(const std::vector<std::string>& ladder, std::string_view otherwise);

// `COLUMN in @LIST for DURATION`. Errors: parse; invalid_argument beyond limits::kRuleLabelMin and Max.
Result<Label> read_label(std::string_view text);

// The stage with values in place of parameters, for queries that people are shown.
grammar::Stage with_values(const grammar::Stage& stage, const std::map<std::string, ParameterValue>& values);
grammar::ExprPtr with_values(const grammar::ExprPtr& expr, const std::map<std::string, ParameterValue>& values);

}  // namespace sluice::query::continuous
