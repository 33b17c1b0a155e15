// One running query: the scan, the workers, and the operators behind them. Internal to how a plan is run (execute.h).
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "query/chain.h"
#include "query/execute.h"
#include "query/segment_memory.h"

namespace sluice::query {

struct Execution {
  Plan& plan;
  RunState& run;
  ExecuteReport& report;
  Chain chain;
  Scan scan;
  std::vector<std::unique_ptr<Worker>> workers;
  bool timed;
  size_t split = 0;  // operators before it are stateless
  size_t row_bytes = 0;  // of batches before operator `split`, by estimate
  std::atomic<DurationNs> scan_time{0};
  SegmentMemory::Question question{};  // with no text: nothing is kept
  std::atomic<uint64_t> kept_segments{0}, kept_rows{0};
  std::atomic<size_t> too_large{0};  // parts in a row that were
  size_t rows_max = SIZE_MAX;        // as of the scan
  std::string lists_note{};          // what lists of the heaviest groups did, for explain

  size_t width() const { return std::max<size_t>(1, run.context.executor->width()); }

  std::vector<std::unique_ptr<Worker>> new_workers() const;

  template <typename Work>
  Status parallel(size_t count, const Work& work) {
    return for_each_of(count, run, workers, work);
  }

  Status prepare(size_t segment, Worker& worker);
  // Of a segment all of whose rows are in the range the plan says nothing about time.
  bool is_whole(size_t segment) const;
  // What is asked, if what a segment's rows come to depends on that and on the rows alone.
  void ask(const std::string& text);
  // By segment: what is kept of it.
  std::vector<std::shared_ptr<const SegmentPart>> find_kept(const SegmentMemory::Question& asked);
  void count_kept(const SegmentPart& part, Worker& w);
  // Groups some rows by themselves. When the query was stopped meanwhile, rows are missing.
  Result<GroupPart> group_alone(Scan& from, std::span<const ScanUnit> units, const Operator& into, Worker& w);
  size_t worker_index(const Worker& w) const;
  Status timed_scan(Scan& from, const ScanUnit& unit, Worker& w, const Emit& emit);

  // Everything is aggregated or sorted: all segments at once, partial results per worker.
  Status run_grouped();
  // Rows go through in order: a few units at a time, so that `limit` reads little and memory stays bounded.
  Status run_ordered(std::optional<uint64_t> wanted);

 private:
  Status take_kept(const SegmentPart& part, Operator& into, Worker& w);
  // Groups the rows of one segment by themselves, joins that, and keeps it.
  Status group_and_keep(std::span<const ScanUnit> units, Operator& into, Worker& w);
  Status run_partial();
  // Whether lists of each segment's heaviest groups (heavy_groups.h) said which groups the answer is made of. If not, nothing has happened.
  Result<bool> try_lists();
};

}  // namespace sluice::query
