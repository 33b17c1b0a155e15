// Work that one row can make long: regular expressions over long texts, whole dictionaries. It is counted in steps, and
// every limits::kQueryStepsPerCheck of them the query's deadline and its cancel flag are looked at.
//
// Who does such work calls spend(); once that says false the work stops and what it has found so far means nothing: the
// one who began it asks `stopped` before using an answer. Thread rule: a WorkMeter is one worker's.
#pragma once

#include <cstdint>

#include "query/limits.h"
#include "storage/model/result.h"

namespace sluice::query {

// What may end a query early; RunState is one.
class Interrupt {
 public:
  virtual ~Interrupt() = default;
  // Errors: why the work must end. Thread-safe.
  virtual Status check() const = 0;
};

struct WorkMeter {
  const Interrupt* interrupt = nullptr;  // null: bounded by `budget` alone, for constants folded before there is a run
  uint64_t budget = UINT64_MAX;          // checks left before the work stops whatever `interrupt` says
  Status stopped;                        // stays an error once it is one

  // Counts steps. False: stop.
  bool spend(uint64_t steps) {
    if (steps < left_) {
      left_ -= steps;
      return stopped.ok();
    }
    left_ = limits::kQueryStepsPerCheck;
    if (!stopped.ok()) return false;
    if (interrupt) stopped = interrupt->check();
    if (stopped.ok() && budget-- == 0) stopped = Error{ErrorCode::too_large, "this takes too many steps"};
    return stopped.ok();
  }

 private:
  uint64_t left_ = limits::kQueryStepsPerCheck;
};

}  // namespace sluice::query
