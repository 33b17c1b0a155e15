// What a plan says of itself, and what a run of it measured.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "query/engine.h"
#include "query/execute.h"
#include "query/plan.h"

namespace sluice::query {

// One line a step.
std::vector<std::string> plan_lines(const Plan& plan);

// `explain`: the lines as rows.
std::optional<QueryError> send_plan(const Plan& plan, ResultSink& sink, QuerySummary& summary);
// `explain analyze`: step, rows_in, rows_out, time, detail.
std::optional<QueryError> send_report(const ExecuteReport& report, ResultSink& sink, QuerySummary& summary);

// Takes an answer and forgets it.
class NullSink final : public ResultSink {
 public:
  Status begin(const Schema&) override { return {}; }
  Status batch(const Batch&) override { return {}; }
};

}  // namespace sluice::query
