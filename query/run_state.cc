#include "query/run_state.h"

namespace sluice::query {

Status RunState::check() const {
  if (context.cancel && context.cancel->cancelled()) return Error{ErrorCode::cancelled, "the query was cancelled"};
  if (limits.timeout > 0 && context.clock->now() - started >= limits.timeout)
    return Error{ErrorCode::deadline, "the query ran past its time limit: timeout = " + format_duration(limits.timeout)};
  return {};
}

Status RunState::charge(int64_t bytes) {
  const int64_t now = memory_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (bytes > 0 && now > 0 && static_cast<uint64_t>(now) > limits.memory_bytes)
    return Error{ErrorCode::too_large, "the query needs more memory than its limit: memory_bytes = " + std::to_string(limits.memory_bytes)};
  return {};
}

}  // namespace sluice::query
