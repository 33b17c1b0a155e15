// QueryService: runs queries against the store, knows which are running, and cancels them.
//
// Thread rule: any thread. run() blocks its caller until the answer is done.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "query/continuous/tail.h"
#include "query/engine.h"
#include "query/segment_memory.h"
#include "server/auth.h"
#include "server/context_keeper.h"
#include "server/exporter_book.h"
#include "server/geo_keeper.h"
#include "server/list_keeper.h"
#include "server/metrics.h"
#include "storage/store/store.h"

namespace sluice::server {

class RuleService;

struct RunningQuery {
  std::string id, text, who;
  TimestampNs started_at = 0;
  bool is_cancelled = false;
  std::optional<double> progress;  // from 0 to 1, of what knows how far it is: a replay
};

class QueryService {
 public:
  struct Parts {
    store::Store& store;
    const Clock& clock;
    query::Executor& executor;
    Metrics& metrics;
    query::SystemTables tables;
    std::function<std::vector<std::string>(const query::LossQuestion&)> known_loss;
    const ExporterBook* exporters = nullptr;  // corrections of sampling rates, and names
    ListKeeper* lists = nullptr;              // watch-lists; admins' statements change them
    ContextKeeper* context = nullptr;         // context tables; the same
    GeoKeeper* geo = nullptr;                 // places of addresses
    RuleService* rules = nullptr;             // statements that make and change rules
  };
  explicit QueryService(Parts parts) : parts_(std::move(parts)) {}

  // `id` names it for cancel(); a second one of the same id gets a number behind it. `may_change`: the way it was asked allows
  // statements that change what is kept (a GET does not), if the role does.
  std::optional<query::QueryError> run(const std::string& id, const Principal& who, const query::QueryRequest& request,
                                       std::shared_ptr<query::CancelToken> cancel, query::ResultSink& sink, query::QuerySummary& summary,
                                       bool may_change = true);
  std::optional<query::QueryError> explain(const query::QueryRequest& request, std::string& plan);
  // The query over flows that are yet to come.
  std::variant<std::unique_ptr<query::continuous::Tail>, query::QueryError> tail(const query::QueryRequest& request);
  query::CompletionList complete(std::string_view text, size_t cursor);
  std::vector<query::QueryError> validate(const query::QueryRequest& request);

  // An admin may cancel any query, others their own. Errors: not_found, forbidden.
  Status cancel(const std::string& id, const Principal& who);
  void cancel_all();
  std::vector<RunningQuery> running() const;

  TimestampNs now() const { return parts_.clock.now(); }
  query::SegmentMemory::Counts kept() const { return memory_.counts(); }

 private:
  struct Entry {
    RunningQuery info;
    std::shared_ptr<query::CancelToken> cancel;
  };
  query::QueryContext context(const store::Snapshot& snapshot, const query::CancelToken* cancel);

  Parts parts_;
  query::SegmentMemory memory_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> running_;
};

}  // namespace sluice::server
