// The operators from one place on, run by one thread, with the answer at the end: into a sink, or into the table of a sub-query. Internal to
// how a plan is run (execute.h).
//
// Errors: of operators and the sink, deadline, memory, too many rows.
#pragma once

#include <vector>

#include "query/execute.h"

namespace sluice::query {

class Chain {
 public:
  // `timed`: counts of steps have times.
  Chain(Plan& plan, RunState& run, ResultSink* sink, bool timed, ExecuteReport& report)
      : plan_(plan), run_(run), sink_(sink), timed_(timed), report_(report) {}
  Chain(const Chain&) = delete;

  // Pushes through operators [from, end) of the plan; `last` takes what comes out of operator end - 1.
  Status feed(size_t from, size_t end, Chunk chunk, Worker& worker, const Emit& last);
  // Pushes through `op`, which is operator `index` or a fork of it.
  Status step(Operator& op, size_t index, Chunk chunk, Worker& worker, const Emit& next);
  Status finish(size_t from, Worker& worker);

  // The sink's begin(), once.
  Status begin();
  // What was held back.
  Status flush();

  // Whether whoever asked has all rows that are wanted. What operators still hold ends with an error, which is no failure.
  bool has_enough() const { return !into_ && report_.began && sink_->has_enough(); }
  // No operator from `from` on wants more rows, or nobody does.
  bool done(size_t from) const;

  const Emit& deliver_emit() const { return deliver_; }
  // The answer goes into a sub-query's table; there is no sink.
  void collect(SubTable* table) { into_ = table; }
  bool stop_on_overflow = false;

 private:
  Status deliver(Chunk chunk);
  // Of a sub-query: the columns of its answer, into its table.
  Status keep(const Chunk& chunk);
  Status send(Chunk chunk);

  Plan& plan_;
  RunState& run_;
  ResultSink* sink_;
  SubTable* into_ = nullptr;
  bool timed_;
  ExecuteReport& report_;
  std::shared_ptr<const Schema> schema_;
  std::vector<Chunk> held_;
  Emit deliver_ = [this](Chunk chunk) { return deliver(std::move(chunk)); };
};

}  // namespace sluice::query
