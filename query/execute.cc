#include "query/execute.h"
#include "query/chain.h"
#include "query/execution.h"
#include "query/in_query.h"
#include "query/limits.h"
#include "query/value_filter.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"

#include <algorithm>

namespace sluice::query {
namespace {

void add_up(ExecuteReport& report, Worker& worker, std::vector<StepCount>& steps) {
  add_up(report.stats, worker.stats);
  report.unknown_sampling_rows += worker.eval.unknown_sampling_rows;
  report.overflow = report.overflow || worker.eval.overflow;
  report.beyond_time = report.beyond_time || worker.eval.beyond_time;
  report.beyond_count = report.beyond_count || worker.eval.beyond_count;
  report.warnings.insert(report.warnings.end(), worker.warnings.begin(), worker.warnings.end());
  for (size_t i = 0; i < steps.size(); ++i) {
    steps[i].rows_in += worker.steps[i].rows_in;
    steps[i].rows_out += worker.steps[i].rows_out;
    steps[i].time += worker.steps[i].time;
  }
}

Status execute_into(Plan& plan, RunState& run, ResultSink* sink, SubTable* table, bool timed, bool stop_on_overflow, const std::string& question,
                    ExecuteReport& report);
Status execute_rows(Plan& plan, const Batch& rows, RunState& run, ResultSink* sink, SubTable* into, bool timed, bool stop_on_overflow, ExecuteReport& report);

// The few keys of a join as a filter of the scan.
void narrow_scan(ScanPlan& scan, const SubQuery& sub) {
  const RowBuffer& rows = sub.table->rows;
  if (rows.rows() > limits::kJoinKeysPushedMax) return;
  for (const SubQuery::Narrow& n : sub.narrows)
    if (auto filter = make_value_filter(scan, n.slot, rows.slot(n.column), "keys of a join")) scan.conjuncts.push_back(std::move(*filter));
}

// Answers the sub-queries, and tells the operators. What a sub-query read, warned of and lost counts as the query's own.
Status prepare_plan(Plan& plan, RunState& run, bool timed, bool stop_on_overflow, ExecuteReport& report) {
  Worker worker(run);
  for (SubQuery& sub : plan.subqueries) {
    ExecuteReport inner;
    const Status status = execute_into(*sub.plan, run, nullptr, sub.table.get(), timed, stop_on_overflow, {}, inner);
    add_up(report.stats, inner.stats);
    report.unknown_sampling_rows += inner.unknown_sampling_rows;
    report.overflow = report.overflow || inner.overflow;
    report.beyond_time = report.beyond_time || inner.beyond_time;
    report.beyond_count = report.beyond_count || inner.beyond_count;
    for (auto& w : inner.warnings)
      if (std::find(report.warnings.begin(), report.warnings.end(), w) == report.warnings.end()) report.warnings.push_back(std::move(w));
    for (StepReport& step : inner.steps) report.steps.push_back({sub.what + ": " + step.name, step.count, std::move(step.detail)});
    report.lost.insert(report.lost.end(), inner.lost.begin(), inner.lost.end());
    SLUICE_TRY(status);
    if (report.overflow && stop_on_overflow) return {};
    for (const auto& members : sub.members) SLUICE_TRY(members->build(worker));
    narrow_scan(plan.scan, sub);
  }
  for (const auto& w : plan.warnings)
    if (std::find(report.warnings.begin(), report.warnings.end(), w) == report.warnings.end()) report.warnings.push_back(w);
  for (auto& op : plan.operators) {
    SLUICE_TRY(op->begin(worker));
    SLUICE_TRY(worker.eval.meter.stopped);
  }
  for (auto& w : worker.warnings) report.warnings.push_back(std::move(w));
  return {};
}

// The columns of a sub-query's answer are there, also when no row is.
Status show_columns(const Plan& plan, SubTable& table) {
  Chunk none;
  for (const OutputColumn& c : plan.output) none.slots.push_back(std::make_shared<Column>(c.type.physical));
  return table.rows.append(none, table.claim);
}

Status execute_into(Plan& plan, RunState& run, ResultSink* sink, SubTable* table, bool timed, bool stop_on_overflow, const std::string& question,
                    ExecuteReport& report) {
  if (plan.table) return execute_rows(plan, *plan.table, run, sink, table, timed, stop_on_overflow, report);
  SLUICE_TRY(prepare_plan(plan, run, timed, stop_on_overflow, report));
  if (report.overflow && stop_on_overflow) return {};
  const ScanStats before = report.stats;
  Execution e{plan, run, report, Chain(plan, run, sink, timed, report), Scan(plan.scan, *run.context.snapshot, run), {}, timed};
  e.chain.stop_on_overflow = stop_on_overflow;
  if (table) e.chain.collect(table);
  e.workers = e.new_workers();
  while (e.split < plan.operators.size() && plan.operators[e.split]->stateless()) ++e.split;
  const bool partial = e.split < plan.operators.size() && plan.operators[e.split]->fork(run) != nullptr;

  // Columns that are made row by row, and those that are read for them, up to where rows are kept or grouped.
  for (size_t s = 0; s < plan.scan.slots.size(); ++s)
    if (plan.scan.output[s] && plan.scan.slots[s].source) e.row_bytes += width_of(plan.scan.slots[s].type.physical);
  for (size_t i = 0; i < e.split; ++i) e.row_bytes += plan.operators[i]->row_bytes();
  e.rows_max = run.batch_rows(e.row_bytes, limits::kBlockRows);
  e.scan.set_rows_max(e.rows_max);

  Status status;
  if (partial) {
    e.ask(question);
    status = e.run_grouped();
  } else {
    // `limit` right behind: a unit need not yield more than that.
    std::optional<uint64_t> wanted;
    if (e.split < plan.operators.size()) wanted = plan.operators[e.split]->rows_wanted();
    if (wanted && *wanted < limits::kBlockRows)
      e.scan.set_piece(std::max<uint64_t>(segment::kGranuleRows, (*wanted + segment::kGranuleRows - 1) / segment::kGranuleRows * segment::kGranuleRows));
    status = e.run_ordered(wanted);
  }
  bool overflow = false;
  for (const auto& w : e.workers) overflow = overflow || w->eval.overflow;
  const bool again = overflow && stop_on_overflow && !report.began;
  const auto check_files = [&]() -> Status {
    const auto& lost = e.scan.lost();
    if (lost.empty()) return {};
    report.lost.insert(report.lost.end(), lost.begin(), lost.end());
    const store::DamagedSegment& first = lost.front();
    return Error{ErrorCode::corrupt, "segment " + std::to_string(first.info.id) + " was damaged while this query read it, so its answer may be wrong; asked "
                                     "again it leaves those rows out: " + first.reason};
  };
  // Here most queries have said nothing yet, and can be run again without the file.
  if (status.ok() && !report.began) status = check_files();
  if (status.ok() && !again && !e.chain.has_enough()) status = e.chain.finish(e.split, *e.workers[0]);
  if (e.chain.has_enough()) status = {};

  std::vector<StepCount> steps(plan.operators.size());
  for (const auto& w : e.workers) add_up(report, *w, steps);
  report.stats.elapsed = run.context.clock->now() - run.started;
  report.stats.memory_bytes = run.memory_peak();
  report.kept_segments = e.kept_segments;
  report.kept_rows = e.kept_rows;
  if (!status.ok()) return status;
  if (report.overflow && stop_on_overflow && !report.began) return {};
  SLUICE_TRY(e.chain.flush());
  SLUICE_TRY(e.chain.begin());
  if (table) SLUICE_TRY(show_columns(plan, *table));
  SLUICE_TRY(check_files());  // addresses are looked up when rows are sent

  if (timed) {
    PruneCounts prunes;
    for (size_t s = 0; s < e.scan.segment_count(); ++s) {
      const PruneCounts p = e.scan.prunes(s);
      prunes.segments_by_time += p.segments_by_time;
      prunes.segments_by_values += p.segments_by_values;
      prunes.blocks_by_zone += p.blocks_by_zone;
      prunes.blocks_by_posting += p.blocks_by_posting;
    }
    ScanStats s = report.stats;  // without what the sub-queries read
    s.rows_scanned -= before.rows_scanned;
    s.rows_matched -= before.rows_matched;
    s.bytes_read -= before.bytes_read;
    s.segments -= before.segments;
    s.segments_pruned -= before.segments_pruned;
    s.blocks -= before.blocks;
    s.blocks_pruned -= before.blocks_pruned;
    s.granules_pruned -= before.granules_pruned;
    s.open_rows -= before.open_rows;
    StepReport scan{"scan flows", {s.rows_scanned, s.rows_matched, e.scan_time.load()}, {}};
    scan.detail = counted(s.segments, "segment") + " (" + std::to_string(prunes.segments_by_time) + " pruned by time, " +
                  std::to_string(prunes.segments_by_values) + " by dictionary or posting), " + counted(s.blocks, "block") + " (" +
                  std::to_string(s.blocks_pruned) + " pruned; " + std::to_string(prunes.blocks_by_zone) + " by zone, " +
                  std::to_string(prunes.blocks_by_posting) + " by posting), " + counted(s.granules_pruned, "more granule") +
                  " pruned by posting, " + counted(s.open_rows, "open row") + ", " + counted(s.bytes_read, "byte") + " read";
    if (e.kept_segments > 0)
      scan.detail += "; " + counted(e.kept_segments, "segment") + " of " + counted(e.kept_rows, "row") + " answered from memory";
    if (!e.lists_note.empty()) scan.detail += "; " + e.lists_note;
    report.steps.push_back(std::move(scan));
    for (size_t i = 0; i < plan.operators.size(); ++i) report.steps.push_back({plan.operators[i]->describe(), steps[i], {}});
  }
  return {};
}

// As execute_into(), over rows that are there already.
Status execute_rows(Plan& plan, const Batch& rows, RunState& run, ResultSink* sink, SubTable* into, bool timed, bool stop_on_overflow, ExecuteReport& report) {
  SLUICE_TRY(prepare_plan(plan, run, timed, stop_on_overflow, report));
  if (report.overflow && stop_on_overflow) return {};
  Chain chain(plan, run, sink, timed, report);
  chain.stop_on_overflow = stop_on_overflow;
  if (into) chain.collect(into);
  Worker worker(run);
  worker.steps.resize(plan.operators.size());
  Chunk chunk;
  chunk.rows = rows.rows;
  for (const Column& c : rows.columns) chunk.slots.push_back(keep(c, worker.eval));
  Status status = chain.feed(0, plan.operators.size(), std::move(chunk), worker, chain.deliver_emit());
  const bool goes_on = !chain.has_enough() && (!worker.eval.overflow || !stop_on_overflow || report.began);
  if (status.ok() && goes_on) status = chain.finish(0, worker);
  if (!chain.has_enough()) SLUICE_TRY(status);
  std::vector<StepCount> steps(plan.operators.size());
  add_up(report, worker, steps);
  if (report.overflow && stop_on_overflow && !report.began) return {};
  SLUICE_TRY(chain.flush());
  SLUICE_TRY(chain.begin());
  if (into) SLUICE_TRY(show_columns(plan, *into));
  if (timed) {
    report.steps.push_back({"read the server's table", {rows.rows, rows.rows, 0}, {}});
    for (size_t i = 0; i < plan.operators.size(); ++i) report.steps.push_back({plan.operators[i]->describe(), steps[i], {}});
  }
  return {};
}

}  // namespace

Status execute(Plan& plan, RunState& run, ResultSink& sink, bool timed, bool stop_on_overflow, const std::string& question, ExecuteReport& report) {
  return execute_into(plan, run, &sink, nullptr, timed, stop_on_overflow, question, report);
}

Status execute_table(Plan& plan, const Batch& table, RunState& run, ResultSink& sink, bool stop_on_overflow, ExecuteReport& report) {
  return execute_rows(plan, table, run, &sink, nullptr, false, stop_on_overflow, report);
}

}  // namespace sluice::query
