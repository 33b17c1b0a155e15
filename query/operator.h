// Operators: what a stage becomes. Chunks are pushed in at one end; what comes out is pushed on.
//
//   begin push* finish        (by one thread)
//
// begin() comes when the plan's sub-queries have been answered (plan.h) and before any fork.
// Beside the scan, workers run the leading stateless operators themselves (they are shared), and each its own fork() of the
// first operator that has one; the forks are joined into the original, and everything after runs on one thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "query/expression.h"
#include "query/predicate.h"
#include "query/run_state.h"

namespace sluice::query {

using Emit = std::function<Status(Chunk)>;
struct GroupSpec;  // group.h

class Operator {
 public:
  virtual ~Operator() = default;
  virtual Status begin(Worker&) { return {}; }
  virtual Status push(Chunk chunk, Worker& worker, const Emit& emit) = 0;
  virtual Status finish(Worker&, const Emit&) { return {}; }
  // Needs no more rows.
  virtual bool done() const { return false; }
  // At most so many of the first rows are needed.
  virtual std::optional<uint64_t> rows_wanted() const { return std::nullopt; }

  // push() changes nothing and may be called from many threads.
  virtual bool stateless() const { return false; }
  // An empty operator of the same make whose rows join() takes over; nullptr: this one can't be split.
  virtual std::unique_ptr<Operator> fork(RunState&) const { return nullptr; }
  virtual Status join(std::unique_ptr<Operator>, Worker&) { return {}; }

  // Bytes that it adds to a row, by estimate; what batches of rows are sized by.
  virtual size_t row_bytes() const { return 0; }
  // Of `stats`: what it groups by and aggregates, for who keeps the groups himself (query/continuous). nullptr: another operator
  virtual std::shared_ptr<const GroupSpec> grouping() const { return nullptr; }

  // Input slots that it reads by itself (rows are passed on whole).
  virtual void collect_slots(std::vector<size_t>& slots) const = 0;
  virtual std::string describe() const = 0;
};
using OperatorPtr = std::unique_ptr<Operator>;

OperatorPtr make_filter(PredicatePtr predicate, std::string text);

// Fills slot numbers with values; later ones may read earlier ones.
struct Computed {
  size_t slot;
  NodePtr node;
};
OperatorPtr make_compute(std::vector<Computed> columns, std::string text);

OperatorPtr make_limit(uint64_t count);
OperatorPtr make_tail(RunState* run, uint64_t count);
// Keeps about one row in `1 / share`, or exactly `count` rows, chosen by a fixed pseudo-random sequence, so the same rows each time.
OperatorPtr make_sample_share(double share);
OperatorPtr make_sample_count(RunState* run, uint64_t count);

struct SortKeySpec {
  NodePtr node;
  bool descending = false;
  bool nulls_first = false;
};
// Sorts all rows; with a limit keeps the first of them only. `tiebreak` slots decide between rows that the keys leave
// equal, so that the order is the same whatever way the rows came.
OperatorPtr make_sort(RunState* run, std::vector<SortKeySpec> keys, std::vector<size_t> tiebreak, std::optional<uint64_t> limit, std::string text);

}  // namespace sluice::query
