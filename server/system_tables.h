// `show exporters` and its like: what the server knows of itself, as tables. HTTP shows the same tables as JSON.
//
// Thread rule: any thread; each call makes a fresh copy.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ingest/source/exporter.h"
#include "server/delivery/forwarder.h"
#include "server/exporter_book.h"
#include "server/feed_runner.h"
#include "server/loss_book.h"
#include "server/metrics.h"
#include "query/continuous/example.h"
#include "server/query_service.h"
#include "server/rule_service.h"
#include "storage/model/batch.h"
#include "storage/store/store.h"

namespace sluice::server {

// `book`, which may be null, has what the operator says of them.
Batch exporters_table(const std::vector<ingest::ExporterStats>& exporters, const ExporterBook* book = nullptr);
// One interface of an exporter, or of all of a prefix.
struct InterfaceRow {
  std::string exporter, exporter_name;
  uint64_t number = 0;
  std::string name, description, told_by;  // "file", "options" or "counters" (of sFlow)
  std::optional<uint64_t> speed;           // bits per second
  std::optional<bool> admin_up, oper_up;
};
Batch interfaces_table(const std::vector<InterfaceRow>& rows);
Batch sampling_rules_table(const std::vector<NamedRule>& rules);
Batch exporter_errors_table(const std::vector<ingest::PacketError>& errors);
Batch sources_table(const Metrics& metrics);
// Declared feeds, how far each is and how it does; and the objects that could not be read.
Batch feeds_table(const std::vector<FeedStatus>& feeds);
Batch feed_errors_table(const std::vector<SetAside>& entries);
Batch losses_table(const std::vector<Loss>& losses);
Batch queries_table(const std::vector<RunningQuery>& queries);
// Rules and how they do; alerts, in the order given.
Batch rules_table(const std::vector<RuleStatus>& rules, const RuleQueue& queue);
// Targets of alerts and how they do.
Batch targets_table(const std::vector<delivery::TargetStatus>& targets);
// Forwards of flows and how they do.
Batch forwards_table(const std::vector<delivery::ForwardStatus>& forwards);
Batch examples_table(const std::vector<query::continuous::ExampleResult>& results);
// `replayed`: they are what a replay found, and not what somebody was told of.
Batch alerts_table(const std::vector<query::continuous::Episode>& alerts, bool replayed = false);
// One row: counts and bytes of the whole store.
Batch storage_table(const store::StoreStats& stats, uint64_t catalog_bytes);

// The columns of a table that `show` shows, for who binds a query without the server that has its rows. nullopt: no such table.
std::optional<Schema> system_schema(std::string_view name);

}  // namespace sluice::server
