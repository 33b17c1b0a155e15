// What all parts of one running query share: its deadline, its memory, its cancellation.
//
// Thread rule: RunState is shared by all workers; Worker belongs to one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "query/engine.h"
#include "query/expression.h"

namespace sluice::query {

struct StepCount {
  uint64_t rows_in = 0, rows_out = 0;
  DurationNs time = 0;
};

class RunState final : public Interrupt {
 public:
  RunState(const QueryRequest& request, const QueryContext& query_context)
      : context(query_context), limits(request.limits), options(request.options), started(query_context.clock->now()) {}

  // Once per batch: cancelled, deadline, or another worker has failed.
  Status check() const override;
  // Adds to the query's memory (or gives back). Error: too_large, naming the limit.
  Status charge(int64_t bytes);

  const QueryContext& context;
  const QueryLimits& limits;
  const QueryOptions& options;
  const TimestampNs started;
  std::atomic<bool> stop{false};  // a worker failed, or nobody wants more rows

 private:
  std::atomic<int64_t> memory_{0};
};

// The memory of one operator: keeps the account right as it grows and shrinks.
class MemoryClaim {
 public:
  explicit MemoryClaim(RunState* run) : run_(run) {}
  MemoryClaim(const MemoryClaim&) = delete;
  MemoryClaim& operator=(const MemoryClaim&) = delete;
  ~MemoryClaim() {
    if (run_) (void)run_->charge(-static_cast<int64_t>(bytes_));
  }
  Status set(size_t bytes) {
    const auto delta = static_cast<int64_t>(bytes) - static_cast<int64_t>(bytes_);
    bytes_ = bytes;
    return delta == 0 ? Status() : run_->charge(delta);
  }
  // Of what was set; not more than that.
  Status give_back(size_t bytes) { return set(bytes_ - std::min(bytes, bytes_)); }

 private:
  RunState* run_;
  size_t bytes_ = 0;
};

struct Worker {
  explicit Worker(RunState& state) : run(state) {
    eval.meter.interrupt = &state;
    eval.names = state.context.names.get();
  }
  RunState& run;
  EvalContext eval;
  ScanStats stats;
  std::vector<StepCount> steps;  // by operator, for explain analyze
  std::vector<std::string> warnings;
  bool enough = false;  // of the current unit: the scan stops there
};

}  // namespace sluice::query
