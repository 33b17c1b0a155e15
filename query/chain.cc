#include "query/chain.h"
#include "query/limits.h"
#include "storage/model/limits.h"

namespace sluice::query {

namespace {
Status enough() { return Error{ErrorCode::cancelled, "no more rows are wanted"}; }
}  // namespace

Status Chain::feed(size_t from, size_t end, Chunk chunk, Worker& worker, const Emit& last) {
  if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  if (chunk.rows == 0) return {};
  if (from == end) return last(std::move(chunk));
  Operator& op = *plan_.operators[from];
  return step(op, from, std::move(chunk), worker, [&](Chunk out) { return feed(from + 1, end, std::move(out), worker, last); });
}

Status Chain::step(Operator& op, size_t index, Chunk chunk, Worker& worker, const Emit& next) {
  StepCount& count = worker.steps[index];
  count.rows_in += chunk.rows;
  const TimestampNs start = timed_ ? run_.context.clock->now() : 0;
  DurationNs below = 0;
  const Status status = op.push(std::move(chunk), worker, [&](Chunk out) {
    count.rows_out += out.rows;
    const TimestampNs before = timed_ ? run_.context.clock->now() : 0;
    Status s = next(std::move(out));
    if (timed_) below += run_.context.clock->now() - before;
    return s;
  });
  if (timed_) count.time += run_.context.clock->now() - start - below;
  // An operator whose work was stopped half-way has made rows that mean nothing.
  if (status.ok() && !worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
  return status;
}

Status Chain::finish(size_t from, Worker& worker) {
  for (size_t i = from; i < plan_.operators.size(); ++i) {
    StepCount& count = worker.steps[i];
    const TimestampNs start = timed_ ? run_.context.clock->now() : 0;
    SLUICE_TRY(plan_.operators[i]->finish(worker, [&](Chunk out) {
      count.rows_out += out.rows;
      return feed(i + 1, plan_.operators.size(), std::move(out), worker, deliver_);
    }));
    if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
    if (timed_) count.time += run_.context.clock->now() - start;
    if (worker.eval.overflow && stop_on_overflow && !report_.began) return {};
  }
  return {};
}

Status Chain::begin() {
  if (report_.began || into_) return {};
  report_.began = true;
  auto schema = std::make_shared<Schema>();
  for (const OutputColumn& c : plan_.output)
    schema->push_back(Field{c.name, c.type.logical, c.type.physical, c.type.enumeration, std::string(c.type.unit), c.type.column});
  schema_ = schema;
  return sink_->begin(*schema);
}

Status Chain::deliver(Chunk chunk) {
  if (into_) return keep(chunk);
  if (has_enough()) return enough();
  if (report_.rows + chunk.rows > run_.limits.rows_max)
    return Error{ErrorCode::too_large, "the answer has more rows than the limit: rows_max = " + std::to_string(run_.limits.rows_max)};
  report_.rows += chunk.rows;
  if (plan_.may_overflow && stop_on_overflow) {  // sent by flush(), once all rows are known to be right
    held_.push_back(std::move(chunk));
    return {};
  }
  return send(std::move(chunk));
}

Status Chain::keep(const Chunk& chunk) {
  report_.rows += chunk.rows;
  if (report_.rows > limits::kSubqueryRowsMax)
    return Error{ErrorCode::too_large, "a query inside the query has more rows than the limit: " + std::to_string(limits::kSubqueryRowsMax)};
  Chunk shown;
  shown.rows = chunk.rows;
  for (const OutputColumn& c : plan_.output) shown.slots.push_back(chunk.slots[c.slot]);
  SLUICE_TRY(into_->rows.append(shown, into_->claim));
  return into_->claim.set(into_->rows.byte_size());
}

Status Chain::flush() {
  for (Chunk& chunk : held_) {
    if (has_enough()) break;
    SLUICE_TRY(send(std::move(chunk)));
  }
  held_.clear();
  return {};
}

Status Chain::send(Chunk chunk) {
  SLUICE_TRY(begin());
  Batch batch;
  batch.schema = schema_;
  batch.rows = chunk.rows;
  MemoryClaim claim(&run_);
  size_t bytes = 0;
  for (const OutputColumn& c : plan_.output) bytes += chunk.slots[c.slot]->byte_size();
  SLUICE_TRY(claim.set(bytes));
  for (const OutputColumn& c : plan_.output) batch.columns.push_back(*chunk.slots[c.slot]);
  chunk.slots.clear();
  return sink_->batch(batch);
}

bool Chain::done(size_t from) const {
  if (has_enough()) return true;
  for (size_t i = from; i < plan_.operators.size(); ++i)
    if (plan_.operators[i]->done()) return true;
  return false;
}

}  // namespace sluice::query
