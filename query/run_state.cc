#include "query/limits.h"
#include "query/run_state.h"

namespace sluice::query {

Status RunState::check() const {
  if (context.cancel && context.cancel->cancelled()) return Error{ErrorCode::cancelled, "the query was cancelled"};
  if (limits.timeout > 0 && context.clock->now() - started >= limits.timeout)
    return Error{ErrorCode::deadline, "the query ran past its time limit: timeout = " + format_duration(limits.timeout)};
  return {};
}

size_t RunState::batch_rows(size_t row_bytes, size_t most, size_t least) const {
  // Each worker has a batch under way, made of another and of steps between.
  const size_t workers = context.executor ? context.executor->width() : 1;
  const size_t share = std::min(sluice::limits::kQueryBatchBytes, limits.memory_bytes / (8 * workers));
  const size_t rows = share / std::max<size_t>(row_bytes, 1);
  return std::min(most, std::max(rows, least));
}

Status RunState::charge(int64_t bytes) {
  const int64_t now = memory_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (bytes <= 0) return {};
  for (int64_t peak = memory_peak_.load(std::memory_order_relaxed); now > peak;)
    if (memory_peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) break;
  if (now > 0 && static_cast<uint64_t>(now) > limits.memory_bytes)
    return Error{ErrorCode::too_large, "the query needs more memory than its limit: memory_bytes = " + std::to_string(limits.memory_bytes)};
  return {};
}

}  // namespace sluice::query
