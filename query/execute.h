// Running a plan: workers beside the scan, one thread behind them, the answer into a sink.
#pragma once

#include <string>
#include <vector>

#include "query/plan.h"
#include "query/run_state.h"
#include "query/scan.h"

namespace sluice::query {

struct StepReport {
  std::string name;
  StepCount count;
  std::string detail;
};

struct ExecuteReport {
  ScanStats stats;
  uint64_t rows = 0;
  uint64_t unknown_sampling_rows = 0;
  bool overflow = false;  // an integer result was too large
  bool beyond_time = false, beyond_count = false;  // as in EvalContext
  bool began = false;     // the sink has had its begin()
  std::vector<std::string> warnings;
  std::vector<StepReport> steps;  // when timed
  // Segments whose files failed while they were read: what the answer has of them may be zeros. The status is corrupt then.
  std::vector<store::DamagedSegment> lost;
  uint64_t kept_segments = 0, kept_rows = 0;  // answered from memory
};

// `timed`: measure each step (explain analyze). `stop_on_overflow`: end before anything was sent, so that the query can
// be bound again with wider numbers. `question`: what is asked, in words that say all that the plan was made from but its time range
// (segment_memory.h); empty: what the answer depends on is not in words, so nothing of it is kept.
Status execute(Plan& plan, RunState& run, ResultSink& sink, bool timed, bool stop_on_overflow, const std::string& question, ExecuteReport& report);

// Runs the operators over rows that are there already.
Status execute_table(Plan& plan, const Batch& table, RunState& run, ResultSink& sink, bool stop_on_overflow, ExecuteReport& report);

}  // namespace sluice::query
