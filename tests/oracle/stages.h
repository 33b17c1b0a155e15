// The stages that look across rows, once more and plainly: pairs of rows are compared with pairs of rows, nothing is indexed, and
// where there is a choice of algorithm it is another one than the engine's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "grammar/syntax.h"
#include "tests/oracle/evaluator.h"

namespace sluice::oracle {

struct TimeBounds {
  int64_t from = INT64_MIN, to = INT64_MAX;
};

struct StageWorld {
  std::function<Value(const grammar::ExprPtr&, const Row&)> value;
  std::function<bool(const grammar::ExprPtr&, const Row&)> truth;
  // The answer of another query over the same flows.
  std::function<Table(const grammar::Query&, TimeBounds)> ask;
  const grammar::Query* query = nullptr;  // that the stage is of
  size_t at = 0;                          // its place there
  TimeBounds bounds;
  const Beside* beside = nullptr;
};

// Adds `session`: the ts of the first row of the run that each row belongs to, cut at every half day where it is `cut`.
void mark_sessions(const std::vector<grammar::NamedExpr>& keys, int64_t gap, bool cut, const StageWorld& world, std::vector<Row>& rows);

// False: not one of these. `columns` are the names of an answer that is no longer whole flows.
bool apply_stage(const grammar::Stage& stage, const StageWorld& world, std::vector<Row>& rows, std::vector<std::string>& columns);

}  // namespace sluice::oracle
