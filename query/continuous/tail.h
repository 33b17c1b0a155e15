// A tail: a query that reads one flow at a time, over flows as they come in.
//
//   compile, then push*
//
// Its filter is evaluated as a rule's is (shared_filter.h), its stages are those that need no other row: where, extend, select, drop,
// rename. Refused, with the place in the text: a time range, every other stage, statements. Where no stage names columns it shows
// those that tell a flow in one line; a table of all hundred would be nothing to watch. now() is the moment at which it was compiled.
//
// Thread rule: one thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <variant>

#include "query/continuous/shared_filter.h"
#include "query/continuous/stream.h"
#include "query/engine.h"

namespace sluice::query::continuous {

class Tail {
 public:
  // `context` brings the clock, lists, names and corrections of sampling rates; `request` text and parameters.
  static std::variant<std::unique_ptr<Tail>, QueryError> compile(const QueryRequest& request, const QueryContext& context);

  const Schema& columns() const { return *columns_; }
  using Sink = std::function<Status(const Batch& rows)>;
  // The rows that meet the query, in their order, some at a time. Errors: of the sink. REQUIRES: a flow batch
  Status push(const std::shared_ptr<const Batch>& flows, const Sink& sink);

 private:
  Tail(std::shared_ptr<const Plan> plan, const QueryContext& context);
  Status run_stages(size_t from, Chunk rows, const Sink& sink);

  const std::shared_ptr<const Plan> plan_;
  const std::shared_ptr<const ListBook> lists_;  // what the plan was bound with
  std::shared_ptr<const Schema> columns_;
  RuleRun run_;
  SharedFilter filter_;
  SharedFilter::Use use_;
};

}  // namespace sluice::query::continuous
