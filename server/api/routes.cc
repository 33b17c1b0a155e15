#include "server/api/routes.h"
#include "server/limits.h"

namespace sluice::api {

std::vector<Route> routes(const Parts& parts) {
  const Parts p = parts;
  constexpr size_t kQueryBody = limits::kHttpQueryBodyBytesMax;
  constexpr size_t kSmallBody = 4u << 10;
  const auto query = [p](Call& c) { answer_query(c, p.queries, p.bounds); };
  std::vector<Route> table{
      {"POST", "/v1/query", Role::read, Lane::query, kQueryBody, "Run a FlowQL query", query},
      {"GET", "/v1/query", Role::read, Lane::query, 0, "Run the FlowQL query of ?q=", query},
      {"POST", "/v1/query/explain", Role::read, Lane::query, kQueryBody, "The plan of a query, without running it",
       [p](Call& c) { answer_explain(c, p.queries, p.bounds); }},
      {"POST", "/v1/query/validate", Role::read, Lane::query, kQueryBody, "The errors of a query, with their places",
       [p](Call& c) { answer_validate(c, p.queries, p.bounds); }},
      {"POST", "/v1/query/complete", Role::read, Lane::query, kQueryBody, "What could stand at the cursor", [p](Call& c) { answer_complete(c, p.queries); }},
      {"GET", "/v1/tail", Role::read, Lane::stream, 0, "Flows that meet the query of ?q= as they come in, as server-sent events",
       [p](Call& c) { answer_tail(c, p.queries, p.tail, p.auth, p.bounds); }},
      {"GET", "/v1/queries", Role::read, Lane::quick, 0, "Queries that are running", [p](Call& c) { answer_queries(c, p.queries); }},
      {"DELETE", "/v1/queries/{id}", Role::read, Lane::quick, 0, "Cancel a running query", [p](Call& c) { answer_cancel(c, p.queries); }},
      {"POST", "/v1/ingest/{source}", Role::ingest, Lane::ingest, p.ingest_body_bytes_max, "Take one body of flow records",
       [p](Call& c) { answer_ingest(c, p.ingest); },
       [p](const http::Request& head, std::optional<uint64_t> length) { return admit_ingest(head, length, p.ingest, p.ingest_body_bytes_max); }},
      {"POST", "/v1/push/firehose", Role::ingest, Lane::ingest, limits::kIngestBodyBytesMax, "What Amazon Data Firehose delivers to an HTTP endpoint",
       [p](Call& c) { answer_firehose(c, p.ingest, p.pushes, p.clock); },
       [p](const http::Request& head, std::optional<uint64_t> length) { return admit_push(head, length, p.ingest); }, firehose_credential,
       [p](const http::Request& request, const http::Response& refusal) { return firehose_refusal(request, refusal, p.clock); }},
      {"POST", "/v1/push/cloudwatch", Role::ingest, Lane::ingest, limits::kIngestBodyBytesMax, "Batches of a CloudWatch Logs subscription",
       [p](Call& c) { answer_cloudwatch(c, p.ingest, p.pushes); },
       [p](const http::Request& head, std::optional<uint64_t> length) { return admit_push(head, length, p.ingest); }},
      {"POST", "/v1/push/pubsub", Role::ingest, Lane::ingest, limits::kIngestBodyBytesMax, "A message of a Google Pub/Sub push subscription",
       [p](Call& c) { answer_pubsub(c, p.ingest, p.pushes); },
       [p](const http::Request& head, std::optional<uint64_t> length) { return admit_push(head, length, p.ingest); }, pubsub_credential},
      {"GET", "/v1/schema", Role::read, Lane::quick, 0, "The columns of a flow and the names they answer to", [](Call& c) { answer_schema(c); }},
      {"GET", "/v1/sources", Role::read, Lane::quick, 0, "The formats that can be ingested, the feeds, and what came of each",
       [p](Call& c) { answer_sources(c, p.metrics, p.losses, p.feeds); }},
      {"GET", "/v1/exporters", Role::read, Lane::quick, 0, "Exporters of NetFlow, IPFIX and sFlow, with loss and skew", [p](Call& c) { answer_exporters(c, p.exporters(), p.exporter_errors(), p.exporter_book); }},
      {"GET", "/v1/storage", Role::read, Lane::quick, 0, "Flows and bytes, by column", [p](Call& c) { answer_storage(c, p.store); }},
      {"GET", "/v1/segments", Role::read, Lane::quick, 0, "Segments, damaged ones included", [p](Call& c) { answer_segments(c, p.store); }},
      {"GET", "/v1/rules", Role::read, Lane::quick, 0, "Rules, what they have seen and how far they are; one by ?name=", [p](Call& c) { answer_rules(c, p.rules); }},
      {"POST", "/v1/rules/apply", Role::admin, Lane::query, kQueryBody, "Make or replace the rules of a file of create rule statements",
       [p](Call& c) { answer_rules_apply(c, p.rules); }},
      {"POST", "/v1/rules/test", Role::read, Lane::query, kQueryBody, "Run the examples of the rules of such a file; nothing is kept",
       [](Call& c) { answer_rules_test(c); }},
      {"GET", "/v1/rules/{name}", Role::read, Lane::quick, 0, "One rule, what it has seen and how far it is", [p](Call& c) { answer_rule(c, p.rules); }},
      {"POST", "/v1/rules/{name}/replay", Role::read, Lane::query, 0, "What a rule would have said about what is stored; by ?from=, to=, limit=, timeout_ms=",
       [p](Call& c) { answer_replay(c, p.queries, p.rules, p.bounds); }},
      {"GET", "/v1/alerts", Role::read, Lane::quick, 0, "Alerts, those that fired last first; by ?rule=, state=, severity=, id=, limit=", [p](Call& c) { answer_alerts(c, p.rules); }},
      {"GET", "/v1/targets", Role::read, Lane::quick, 0, "Whom alerts are told to, and how each does", [p](Call& c) { answer_targets(c, p.outbox); }},
      {"POST", "/v1/targets/{name}/test", Role::admin, Lane::admin, kSmallBody, "Send a test notice to a target now", [p](Call& c) { answer_target_test(c, p.outbox); }},
      {"GET", "/v1/lists", Role::read, Lane::quick, 0, "Watch-lists", [p](Call& c) { answer_lists(c, p.lists); }},
      {"GET", "/v1/lists/{name}", Role::read, Lane::quick, 0, "The items of a list, one a line", [p](Call& c) { answer_list(c, p.lists); }},
      {"PUT", "/v1/lists/{name}", Role::admin, Lane::admin, limits::kListBodyBytesMax, "Put a list in its place: plain, CSV, STIX 2.1 or MISP; ?format=, lifetime=, allow_empty=",
       [p](Call& c) { answer_list_put(c, p.lists, p.clock, true); }, [p](const http::Request& head, std::optional<uint64_t> length) { return admit_list(head, length, p.ingest); }},
      {"POST", "/v1/lists/{name}", Role::admin, Lane::admin, limits::kListBodyBytesMax, "Add to a list, in the same forms",
       [p](Call& c) { answer_list_put(c, p.lists, p.clock, false); }, [p](const http::Request& head, std::optional<uint64_t> length) { return admit_list(head, length, p.ingest); }},
      {"DELETE", "/v1/lists/{name}", Role::admin, Lane::admin, 0, "Drop a list that no rule reads", [p](Call& c) { answer_list_remove(c, p.lists); }},
      {"GET", "/v1/alerts/stream", Role::read, Lane::stream, 0, "Alerts as they start, change and end, as server-sent events; by ?rule=, severity=",
       [p](Call& c) { answer_alert_stream(c, p.rules, p.auth); }},
      {"GET", "/v1/tables", Role::read, Lane::quick, 0, "Context tables", [p](Call& c) { answer_tables(c, p.context); }},
      {"GET", "/v1/tables/{name}", Role::read, Lane::query, 0, "A context table as CSV, as it came", [p](Call& c) { answer_table(c, p.context); }},
      {"PUT", "/v1/tables/{name}", Role::admin, Lane::query, limits::kContextBodyBytesMax, "Make or replace a context table; its key by ?key=",
       [p](Call& c) { answer_table_put(c, p.context); },
       [p](const http::Request& head, std::optional<uint64_t> length) { return admit_table(head, length, p.ingest); }},
      {"DELETE", "/v1/tables/{name}", Role::admin, Lane::quick, 0, "Drop a context table", [p](Call& c) { answer_table_drop(c, p.context); }},
      {"POST", "/v1/admin/flush", Role::admin, Lane::admin, kSmallBody, "Seal everything open", [p](Call& c) { answer_flush(c, p.store); }},
      {"POST", "/v1/admin/compact", Role::admin, Lane::admin, kSmallBody, "Merge small segments until none is worth it",
       [p](Call& c) { answer_compact(c, p.store); }},
      {"POST", "/v1/admin/verify", Role::admin, Lane::admin, kSmallBody, "Read and check every byte of every segment",
       [p](Call& c) { answer_verify(c, p.store); }},
      {"POST", "/v1/admin/backup", Role::admin, Lane::admin, kSmallBody, "Make a data directory of what is stored now, in the folder for backups",
       [p](Call& c) { answer_backup(c, p.store, p.backup_dir); }},
      {"GET", "/v1/admin/sampling", Role::admin, Lane::quick, 0, "Corrections of sampling rates", [p](Call& c) { answer_sampling_list(c, p.exporter_book); }},
      {"POST", "/v1/admin/sampling", Role::admin, Lane::quick, kSmallBody, "Correct the sampling rate of stored flows",
       [p](Call& c) { answer_sampling_add(c, p.exporter_book, p.clock); }},
      {"DELETE", "/v1/admin/sampling/{id}", Role::admin, Lane::quick, 0, "Take a correction back",
       [p](Call& c) { answer_sampling_remove(c, p.exporter_book); }},
      {"GET", "/v1/admin/tokens", Role::admin, Lane::quick, 0, "Tokens, without their secrets", [p](Call& c) { answer_token_list(c, p.auth); }},
      {"POST", "/v1/admin/tokens", Role::admin, Lane::quick, kSmallBody, "Make a token; its text is shown once",
       [p](Call& c) { answer_token_add(c, p.auth, p.clock); }},
      {"DELETE", "/v1/admin/tokens/{name}", Role::admin, Lane::quick, 0, "Remove a token", [p](Call& c) { answer_token_remove(c, p.auth); }},
      {"GET", "/metrics", Role::read, Lane::quick, 0, "Metrics as Prometheus text",
       [p](Call& c) {
         http::Response response;
         response.content_type = "text/plain; version=0.0.4; charset=utf-8";
         response.body = p.metrics_text();
         c.exchange->respond(std::move(response));
       }},
      {"GET", "/openapi.json", Role::read, Lane::quick, 0, "All of this, as OpenAPI", [](Call& c) { c.exchange->respond(json_response(std::string(openapi_page()))); }},
  };
  // Not of the interface: whoever asks them is a browser.
  for (const console::PageFile& file : console::page_files())
    table.push_back({"GET", file.path, Role::none, Lane::quick, 0, "The console", [&file](Call& c) { answer_page(c, file); }});
  return table;
}

}  // namespace sluice::api
