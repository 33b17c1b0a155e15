// The table of routes: one row each, one function each. The OpenAPI page is made from the same rows.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ingest/source/exporter.h"
#include "server/api/query_body.h"
#include "server/api/router.h"
#include "server/config.h"
#include "server/console/page_file.h"
#include "server/context_keeper.h"
#include "server/delivery/outbox.h"
#include "server/exporter_book.h"
#include "server/feed_runner.h"
#include "server/flow_tail.h"
#include "server/ingest_service.h"
#include "server/limits.h"
#include "server/list_keeper.h"
#include "server/loss_book.h"
#include "server/query_service.h"
#include "server/rule_service.h"
#include "storage/store/store.h"

namespace sluice::api {

// What the routes stand on; read in routes.cc only, each function gets what it needs. All outlive the routes.
struct Parts {
  store::Store& store;
  const Clock& clock;
  server::Auth& auth;
  server::Metrics& metrics;
  server::LossBook& losses;
  server::QueryService& queries;
  server::IngestService& ingest;
  server::ExporterBook& exporter_book;
  std::function<std::vector<ingest::ExporterStats>()> exporters;
  std::function<std::vector<ingest::PacketError>()> exporter_errors;
  server::RuleService& rules;
  delivery::Outbox& outbox;
  server::FlowTail& tail;
  server::ContextKeeper& context;
  const server::FeedRunner* feeds = nullptr;
  std::vector<server::PushRule> pushes;
  QueryBounds bounds;
  size_t ingest_body_bytes_max = limits::kIngestBodyBytesMax;
  std::function<std::string()> metrics_text;
  server::ListKeeper& lists;
  std::string backup_dir;  // empty: no backups are made
};
std::vector<Route> routes(const Parts& parts);

// query_routes.cc
void answer_query(Call& call, server::QueryService& queries, const QueryBounds& bounds);
// `replay rule NAME over …`, with the range and bounds of the query string.
void answer_replay(Call& call, server::QueryService& queries, const server::RuleService& rules, const QueryBounds& bounds);
void answer_explain(Call& call, server::QueryService& queries, const QueryBounds& bounds);
void answer_validate(Call& call, server::QueryService& queries, const QueryBounds& bounds);
void answer_complete(Call& call, server::QueryService& queries);
void answer_queries(Call& call, server::QueryService& queries);
void answer_cancel(Call& call, server::QueryService& queries);

// ingest_routes.cc
// Takes the body's share of the bytes that all bodies have together, for as long as it is here; 503 where there is none. A chunked body may
// grow to the limit, so it takes that much.
void admit_share(http::Admission& admission, std::optional<uint64_t> content_length, server::IngestService& ingest);
http::Admission admit_ingest(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest, size_t body_bytes_max);
void answer_ingest(Call& call, server::IngestService& ingest);

// push_routes.cc
std::string firehose_credential(const http::Request& request);
std::string pubsub_credential(const http::Request& request);
// A refusal in the form that Firehose shows its user.
http::Response firehose_refusal(const http::Request& request, const http::Response& refusal, const Clock& clock);
http::Admission admit_push(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest);
void answer_firehose(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules, const Clock& clock);
void answer_cloudwatch(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules);
void answer_pubsub(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules);

// catalogue_routes.cc
void answer_schema(Call& call);
void answer_sources(Call& call, const server::Metrics& metrics, const server::LossBook& losses, const server::FeedRunner* feeds);
void answer_exporters(Call& call, const std::vector<ingest::ExporterStats>& exporters, const std::vector<ingest::PacketError>& errors,
                      const server::ExporterBook& book);
void answer_storage(Call& call, store::Store& store);
void answer_segments(Call& call, store::Store& store);

// table_routes.cc
http::Admission admit_table(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest);
void answer_tables(Call& call, const server::ContextKeeper& context);
void answer_table(Call& call, const server::ContextKeeper& context);
void answer_table_put(Call& call, server::ContextKeeper& context);
void answer_table_drop(Call& call, server::ContextKeeper& context);

// rule_routes.cc
void answer_rules(Call& call, const server::RuleService& rules);
void answer_rule(Call& call, const server::RuleService& rules);
void answer_alerts(Call& call, const server::RuleService& rules);
void answer_rules_apply(Call& call, server::RuleService& rules);
void answer_rules_test(Call& call);

// target_routes.cc
void answer_targets(Call& call, const delivery::Outbox& outbox);
void answer_target_test(Call& call, delivery::Outbox& outbox);
// stream_routes.cc
void answer_tail(Call& call, server::QueryService& queries, server::FlowTail& tail, const server::Auth& auth, const QueryBounds& bounds);
void answer_alert_stream(Call& call, server::RuleService& rules, const server::Auth& auth);

// list_routes.cc
http::Admission admit_list(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest);
void answer_lists(Call& call, const server::ListKeeper& lists);
void answer_list(Call& call, const server::ListKeeper& lists);
void answer_list_put(Call& call, server::ListKeeper& lists, const Clock& clock, bool replaces);
void answer_list_remove(Call& call, server::ListKeeper& lists);

// admin_routes.cc
void answer_flush(Call& call, store::Store& store);
void answer_compact(Call& call, store::Store& store);
void answer_verify(Call& call, store::Store& store);
void answer_backup(Call& call, store::Store& store, const std::string& backup_dir);
void answer_sampling_list(Call& call, const server::ExporterBook& exporters);
void answer_sampling_add(Call& call, server::ExporterBook& exporters, const Clock& clock);
void answer_sampling_remove(Call& call, server::ExporterBook& exporters);
void answer_token_list(Call& call, const server::Auth& auth);
void answer_token_add(Call& call, server::Auth& auth, const Clock& clock);
void answer_token_remove(Call& call, server::Auth& auth);

// console_routes.cc
void answer_page(Call& call, const console::PageFile& file);

// docs/openapi.json, as it is (embed_text.cmake). tests/app/openapi_test.py holds it against the routes.
std::string_view openapi_page();

// A batch as JSON: [{"name":value,…},…], values as in query answers.
std::string objects_json(const Batch& batch);
http::Response json_response(std::string body);
// An error in a query's text, or of its run.
http::Response query_error_response(const query::QueryError& error);

}  // namespace sluice::api
