#include "server/query_service.h"

#include "server/log.h"
#include "server/rule_service.h"

namespace sluice::server {

query::QueryContext QueryService::context(const store::Snapshot& snapshot, const query::CancelToken* cancel) {
  query::QueryContext context;
  context.snapshot = &snapshot;
  context.clock = &parts_.clock;
  context.executor = &parts_.executor;
  context.cancel = cancel;
  context.system_tables = parts_.tables;
  context.known_loss = parts_.known_loss;
  if (parts_.exporters) {
    context.sampling_rules = parts_.exporters->sampling_rules();
    context.names = parts_.exporters->names();
  }
  if (parts_.lists) {
    context.lists = parts_.lists->lists();
    context.list_writer = parts_.lists;
  }
  if (parts_.context) {
    context.tables = parts_.context->tables();
    context.table_writer = parts_.context;
  }
  if (parts_.geo) context.geo = parts_.geo->book();
  context.segment_memory = &memory_;
  context.report_damage = [this](uint64_t segment, const std::string& reason) {
    log::error("a segment is damaged; its rows are left out of answers", {{"segment", segment}, {"reason", reason}});
    parts_.store.report_damage(segment, reason);
  };
  return context;
}

std::optional<query::QueryError> QueryService::run(const std::string& id, const Principal& who, const query::QueryRequest& request,
                                                   std::shared_ptr<query::CancelToken> cancel, query::ResultSink& sink, query::QuerySummary& summary,
                                                   bool may_change) {
  std::string name = id;
  {
    std::lock_guard lock(mutex_);
    for (int n = 2; running_.contains(name); ++n) name = id + "." + std::to_string(n);
    running_[name] = {{name, request.text.substr(0, 4'096), who.name, parts_.clock.now(), false, {}}, cancel};
  }
  ++parts_.metrics.queries;
  const store::Snapshot snapshot = parts_.store.snapshot();
  query::QueryContext asked = context(snapshot, cancel.get());
  asked.may_define = may_change && who.role == Role::admin;
  if (parts_.rules)
    asked.statements = [&](const grammar::Statement& statement, std::string_view text) {
      return parts_.rules->run(statement, text, request, asked, summary, [&](double share) {
        std::lock_guard lock(mutex_);
        if (const auto at = running_.find(name); at != running_.end()) at->second.info.progress = share;
      });
    };
  auto error = query::run(request, asked, sink, summary);
  {
    std::lock_guard lock(mutex_);
    running_.erase(name);
  }
  parts_.metrics.query_seconds.observe_ns(summary.stats.elapsed);
  parts_.metrics.query_rows_scanned += summary.stats.rows_scanned;
  parts_.metrics.query_bytes_read += summary.stats.bytes_read;
  if (error) ++(error->code == ErrorCode::cancelled ? parts_.metrics.queries_cancelled : parts_.metrics.query_errors);
  return error;
}

std::optional<query::QueryError> QueryService::explain(const query::QueryRequest& request, std::string& plan) {
  const store::Snapshot snapshot = parts_.store.snapshot();
  return query::explain(request, context(snapshot, nullptr), plan);
}

std::variant<std::unique_ptr<query::continuous::Tail>, query::QueryError> QueryService::tail(const query::QueryRequest& request) {
  const store::Snapshot nothing;  // a tail reads none of what is stored
  return query::continuous::Tail::compile(request, context(nothing, nullptr));
}

query::CompletionList QueryService::complete(std::string_view text, size_t cursor) {
  const store::Snapshot snapshot = parts_.store.snapshot();
  return query::complete(text, cursor, context(snapshot, nullptr));
}

std::vector<query::QueryError> QueryService::validate(const query::QueryRequest& request) {
  const store::Snapshot nothing;  // whether a query is right does not depend on what is stored
  const query::QueryContext asked = context(nothing, nullptr);
  return query::validate(request, &asked);
}

Status QueryService::cancel(const std::string& id, const Principal& who) {
  std::lock_guard lock(mutex_);
  const auto found = running_.find(id);
  if (found == running_.end()) return Error{ErrorCode::not_found, "no query '" + id.substr(0, 100) + "' is running"};
  if (who.role != Role::admin && found->second.info.who != who.name)
    return Error{ErrorCode::forbidden, "query '" + id + "' belongs to another token"};
  found->second.cancel->cancel();
  found->second.info.is_cancelled = true;
  return {};
}

void QueryService::cancel_all() {
  std::lock_guard lock(mutex_);
  for (auto& [id, entry] : running_) entry.cancel->cancel();
}

std::vector<RunningQuery> QueryService::running() const {
  std::lock_guard lock(mutex_);
  std::vector<RunningQuery> out;
  for (const auto& [id, entry] : running_) out.push_back(entry.info);
  return out;
}

}  // namespace sluice::server
