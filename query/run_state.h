// What all parts of one running query share: its deadline, its memory, its cancellation.
//
// Thread rule: RunState is shared by all workers; Worker belongs to one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "query/engine.h"
#include "query/expression.h"
#include "query/limits.h"

namespace sluice::query {

struct StepCount {
  uint64_t rows_in = 0, rows_out = 0;
  DurationNs time = 0;
};

class RunState final : public Interrupt, public MemoryAccount {
 public:
  RunState(const QueryRequest& request, const QueryContext& query_context)
      : context(query_context), limits(request.limits), options(request.options), started(query_context.clock->now()) {}

  // Once per batch: cancelled, deadline, or another worker has failed.
  Status check() const override;
  // MemoryAccount: the limit is QueryLimits::memory_bytes.
  Status charge(int64_t bytes) override;
  // How many rows of so many bytes to make at a time, for batches that stay small beside the memory limit.
  size_t batch_rows(size_t row_bytes, size_t most, size_t least = sluice::limits::kQueryBatchRowsMin) const;
  // The most that was on the account at a time.
  uint64_t memory_peak() const { return static_cast<uint64_t>(std::max<int64_t>(0, memory_peak_.load(std::memory_order_relaxed))); }

  const QueryContext& context;
  const QueryLimits& limits;
  const QueryOptions& options;
  const TimestampNs started;
  std::atomic<bool> stop{false};  // a worker failed, or nobody wants more rows

 private:
  std::atomic<int64_t> memory_{0}, memory_peak_{0};
};

struct Worker {
  explicit Worker(RunState& state) : run(state) {
    eval.meter.interrupt = &state;
    eval.memory = &state;
    eval.names = state.context.names.get();
    eval.geo = state.context.geo.get();
  }
  RunState& run;
  EvalContext eval;
  ScanStats stats;
  std::vector<StepCount> steps;  // by operator, for explain analyze
  std::vector<std::string> warnings;
  bool enough = false;  // of the current unit: the scan stops there
};

// work(worker, i) for each i below `count`, by as many workers as pay, each of them in one thread at a time. The first failure stops the others.
template <typename Work>
Status for_each_of(size_t count, RunState& run, std::span<const std::unique_ptr<Worker>> workers, const Work& work) {
  const size_t threads = std::min(workers.size(), count);
  std::vector<Status> statuses(threads);
  std::atomic<size_t> next{0};
  run.context.executor->run(threads, [&](size_t t) {
    while (!run.stop.load(std::memory_order_relaxed)) {
      const size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      Status s = work(*workers[t], i);
      if (!s.ok()) {
        statuses[t] = std::move(s);
        run.stop.store(true, std::memory_order_relaxed);
      }
    }
  });
  for (Status& s : statuses)
    if (!s.ok()) return std::move(s);
  return {};
}

}  // namespace sluice::query
