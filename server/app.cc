#include "server/app.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "ingest/source/limits.h"
#include "query/show.h"
#include "server/api/routes.h"
#include "server/auth.h"
#include "server/azure_record.h"
#include "server/context_keeper.h"
#include "server/delivery/forwarder.h"
#include "server/delivery/outbox.h"
#include "server/exporter_book.h"
#include "server/exporter_totals.h"
#include "server/feed_runner.h"
#include "server/flow_tail.h"
#include "server/geo_keeper.h"
#include "server/http/server.h"
#include "server/ingest_service.h"
#include "server/limits.h"
#include "server/list_keeper.h"
#include "server/log.h"
#include "server/loss_book.h"
#include "server/maintenance.h"
#include "server/metrics.h"
#include "server/query_service.h"
#include "server/recent_rows.h"
#include "server/rule_service.h"
#include "server/source_totals.h"
#include "server/stream_ingest.h"
#include "server/system_tables.h"
#include "server/udp_ingest.h"
#include "server/worker_pool.h"
#include "storage/catalog/catalog.h"
#include "storage/store/store.h"

namespace sluice::server {
namespace {

class WallClock final : public Clock {
 public:
  TimestampNs now() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  }
};

// Every connection and every segment being opened is a file descriptor; the soft limit is often 1,024.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t resident_bytes() {
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (!file) return 0;
  unsigned long long total = 0, resident = 0;
  const int read = std::fscanf(file, "%llu %llu", &total, &resident);
  std::fclose(file);
  return read == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

class AppImpl final : public App {
 public:
  explicit AppImpl(const Config& config) : config_(config) {}

  ~AppImpl() override {
    // Only on a failed start; stop() has done all this otherwise.
    stop_threads();
  }

  Status open() {
    raise_file_limit();
    SLUICE_TRY(check_before_binding());
    SLUICE_ASSIGN(auto targets, delivery::read_targets(config_.targets));
    const size_t cores = std::max(1u, std::thread::hardware_concurrency());
    started_at_ = clock_.now();

    // First, so that a port in use is told before a long replay, and /healthz answers during it.
    http::ServerOptions http;
    http.address = config_.http.address;
    http.port = config_.http.port;
    http.tls_certificate_file = config_.tls_cert;
    http.tls_key_file = config_.tls_key;
    SLUICE_ASSIGN(http_, http::Server::start(http, router_));

    store::StoreOptions options;
    options.directory = config_.data;
    options.seal_age = config_.seal_age;
    options.open_bytes_max = config_.open_bytes;
    options.retain_age = config_.retain_age;
    options.retain_bytes = config_.retain_bytes;
    SLUICE_ASSIGN(store_, store::Store::open(options, clock_));
    const store::StoreStats opened = store_->stats();
    log::info("store open", {{"data", config_.data},
                             {"segments", opened.segments},
                             {"flows", opened.segment_rows + opened.open_rows},
                             {"replayed_rows", opened.replayed_rows},
                             {"damaged_segments", opened.damaged_segments}});
    // Many of one reason are one line.
    std::map<std::string, std::vector<std::string>> damages;
    for (const auto& damaged : store_->snapshot().damaged) damages[damaged.reason].push_back(damaged.info.path);
    for (const auto& [reason, paths] : damages)
      log::error("segments are damaged; their rows are left out of answers", {{"count", paths.size()}, {"first", paths.front()}, {"reason", reason}});

    // Said now and not at the first backup; a file system that is mounted later keeps no flow waiting.
    std::error_code ignored;
    if (!config_.backup_dir.empty() && !std::filesystem::is_directory(config_.backup_dir, ignored))
      log::warn("the folder for backups is not there", {{"backup-dir", config_.backup_dir}});

    SLUICE_ASSIGN(auth_, Auth::open(store_->catalog()));
    SLUICE_TRY(check_exposure(config_, auth_->required()));
    if (!config_.http.is_loopback) auth_->require_always();
    losses_ = std::make_unique<LossBook>(&store_->catalog());
    SLUICE_TRY(losses_->load());

    exporter_book_ = std::make_unique<ExporterBook>(config_.exporters, &store_->catalog());
    SLUICE_TRY(exporter_book_->load());
    lists_ = std::make_unique<ListKeeper>(store_->catalog(), clock_);
    SLUICE_TRY(lists_->load());
    context_ = std::make_unique<ContextKeeper>(store_->catalog(), clock_);
    SLUICE_TRY(context_->load());
    SLUICE_ASSIGN(geo_, GeoKeeper::open(config_.geo_country, config_.geo_asn, clock_));
    ingest::PacketDecoderOptions decoder;
    decoder.overrides = exporter_book_->overrides();

    executor_ = std::make_unique<ParallelExecutor>(config_.threads ? config_.threads : cores);
    source_totals_ = std::make_unique<SourceTotals>(store_->catalog(), metrics_);
    SLUICE_ASSIGN(const size_t unreadable_totals, source_totals_->load(started_at_));
    if (unreadable_totals > 0) log::warn("kept counters of sources could not be read and begin anew", {{"sources", unreadable_totals}});
    exporter_totals_ = std::make_unique<ExporterTotals>(store_->catalog(), clock_);
    SLUICE_ASSIGN(const size_t unreadable_exporters, exporter_totals_->load());
    if (unreadable_exporters > 0) log::warn("kept counters of exporters could not be read and begin anew", {{"exporters", unreadable_exporters}});
    same_traffic_ = std::make_unique<ingest::SameTraffic>(config_.same_traffic, std::random_device()() | uint64_t{std::random_device()()} << 32);
    if (!same_traffic_->empty()) {
      const Status learned = each_recent_batch(store_->snapshot(), ingest::SameTraffic::columns(), 2 * limits::kSameTrafficGap, limits::kSameTrafficLearnRows,
                                               [this](const Batch& batch) { same_traffic_->learn(batch); });
      if (!learned.ok()) log::warn("who reports which flows could not be read from what is stored, and is learned anew", {{"reason", learned.error().message}});
    }
    SLUICE_ASSIGN(outbox_, delivery::Outbox::open(std::move(targets), store_->catalog(), clock_));
    SLUICE_ASSIGN(rules_, RuleService::open({*store_, clock_, *executor_, exporter_book_.get(), outbox_.get(), lists_.get(), [this](std::string_view name) { return system_table(name); }}));
    SLUICE_ASSIGN(forwarder_, delivery::Forwarder::open(config_.forwards, {store_->catalog(), clock_, *outbox_, [this](query::QueryContext& context) {
                                                                             context.sampling_rules = exporter_book_->sampling_rules();
                                                                             context.names = exporter_book_->names();
                                                                             context.lists = lists_->lists();
                                                                           },
                                                                           [this](TimestampNs since, const auto& visit) { return store_->each_journaled(since, visit); }}));
    // Nothing can have been appended in between: who appends is made below.
    store_->watch_appends([this](uint64_t append, std::span<const std::shared_ptr<const Batch>> batches) {
      rules_->arrived(append, batches);
      tail_.arrived(append, batches);
      if (!forwarder_->empty()) forwarder_->arrived(batches);
    });
    if (!forwarder_->empty()) store_->watch_journal([this] { forwarder_->keep_all(); });
    ingest_ = std::make_unique<IngestService>(*store_, clock_, metrics_, *losses_, limits::kIngestInFlightBytesMax, same_traffic_.get());
    ingest_->tell_exporters_to([this](std::vector<ingest::ExporterStats>&& told, const std::string& origin) { exporter_totals_->add(std::move(told), origin); });
    azure_record_ = std::make_unique<AzureRecord>(store_->catalog(), ingest_->azure_memory(), clock_);
    SLUICE_ASSIGN(const size_t unreadable_azure, azure_record_->load());
    if (unreadable_azure > 0) log::warn("when Azure's flows were last reported could not be read, and is estimated", {{"pieces", unreadable_azure}});
    maintenance_ = std::make_unique<Maintenance>(
        *store_, [this](std::string reason) { router_.set_trouble(std::move(reason)); },
        [this]() -> Status {
          SLUICE_TRY(source_totals_->save());
          SLUICE_TRY(exporter_totals_->save());
          return azure_record_->save(stopped_);
        });
    if (!config_.netflow.empty() || !config_.sflow.empty() || config_.ipfix_tcp || config_.ipfix_tls) {
      SLUICE_ASSIGN(udp_, UdpIngest::start({config_.netflow, config_.sflow}, config_.netflow_allow, std::clamp<size_t>(cores / 2, 1, 8),
                                           {*store_, clock_, *losses_, [this] { maintenance_->poke(); }, decoder, same_traffic_.get()}));
    }
    if (config_.ipfix_tcp || config_.ipfix_tls) {
      StreamIngestOptions streams;
      streams.tcp = config_.ipfix_tcp;
      streams.tls = config_.ipfix_tls;
      streams.tls_certificate_file = config_.tls_cert;
      streams.tls_key_file = config_.tls_key;
      streams.tls_client_ca_file = config_.ipfix_tls_ca;
      streams.allow = config_.netflow_allow;
      streams.decoder = decoder;
      SLUICE_ASSIGN(streams_, StreamIngest::start(std::move(streams), {clock_, *losses_, [this](Batch&& batch) { return udp_->hand_over(std::move(batch)); }}));
    }
    exporter_book_->ask_told([this] { return (udp_ ? udp_->names_version() : 0) + (streams_ ? streams_->names_version() : 0); },
                             [this] {
                               std::vector<ingest::ExporterName> names;
                               if (udp_) names = udp_->names();
                               if (streams_)
                                 for (auto& n : streams_->names()) names.push_back(std::move(n));
                               return names;
                             });
    SLUICE_ASSIGN(feeds_, FeedRunner::open(config_.feeds, {*store_, clock_, metrics_, *losses_, *ingest_, [this] { maintenance_->poke(); }}));
    exporter_totals_->watch([this] {
      std::vector<ingest::ExporterStats> heard;
      if (udp_) heard = udp_->exporters();
      if (streams_)
        for (auto& e : streams_->exporters()) heard.push_back(std::move(e));
      for (auto& e : feeds_->exporters()) heard.push_back(std::move(e));
      return heard;
    });
    queries_ = std::make_unique<QueryService>(QueryService::Parts{
        *store_, clock_, *executor_, metrics_, [this](std::string_view name) { return system_table(name); },
        [this](const query::LossQuestion& question) { return losses_->over(question); }, exporter_book_.get(), lists_.get(), context_.get(), geo_.get(), rules_.get()});
    outbox_->start();
    forwarder_->start();
    rules_->start();

    lanes_[static_cast<size_t>(api::Lane::quick)] = std::make_unique<WorkerPool>("quick", 2, 256);
    lanes_[static_cast<size_t>(api::Lane::query)] = std::make_unique<WorkerPool>("query", config_.query_concurrency, config_.query_waiting);
    lanes_[static_cast<size_t>(api::Lane::ingest)] = std::make_unique<WorkerPool>("ingest", std::max<size_t>(2, cores), 1'024);
    lanes_[static_cast<size_t>(api::Lane::admin)] = std::make_unique<WorkerPool>("admin", 1, 16);
    lanes_[static_cast<size_t>(api::Lane::stream)] = std::make_unique<WorkerPool>("stream", limits::kStreamsMax, 0);
    std::array<WorkerPool*, api::kLaneCount> lanes{};
    for (size_t i = 0; i < lanes.size(); ++i) lanes[i] = lanes_[i].get();

    api::QueryBounds bounds;
    bounds.limits.timeout = config_.query_timeout;
    bounds.limits.memory_bytes = config_.query_memory;
    router_.open(api::routes({*store_, clock_, *auth_, metrics_, *losses_, *queries_, *ingest_, *exporter_book_, [this] { return exporters(); }, [this] { return exporter_errors(); }, *rules_, *outbox_, tail_, *context_, feeds_.get(), config_.pushes, bounds, config_.ingest_body_bytes,
                              [this] { return metrics_text(); }, *lists_, config_.backup_dir}),
                 *auth_, metrics_, lanes);
    feeds_->start();
    return {};
  }

  std::string ready_line() const override {
    Endpoint http = config_.http;
    http.port = http_->port();
    std::string line = "ready http=" + to_string(http);
    if (udp_) {
      // One socket, for programs that send somewhere; all take the same formats, so the others stand apart.
      const auto name = [&](const std::string& kind, const std::vector<std::string>& addresses) {
        for (size_t i = 0; i < addresses.size(); ++i) line += (i == 0 ? " " + kind + "=" : i == 1 ? " " + kind + "-also=" : ",") + addresses[i];
      };
      name("netflow", udp_->netflow_addresses());
      name("sflow", udp_->sflow_addresses());
    }
    if (config_.ipfix_tcp) line += " ipfix-tcp=" + streams_->tcp_address();
    if (config_.ipfix_tls) line += " ipfix-tls=" + streams_->tls_address();
    return line + " data=" + config_.data;
  }

  Status stop() override {
    log::info("stopping");
    stop_threads();
    Status sealed;
    if (auto flushed = store_->flush(); !flushed.ok())
      sealed = std::move(flushed).error().with("the open rows could not be sealed and stay in the journal");
    queries_.reset();
    rules_.reset();
    store_->watch_journal({});
    forwarder_.reset();
    outbox_.reset();
    store_.reset();
    return sealed;
  }

 private:
  Status check_before_binding() const {
    if (config_.tls_cert.empty() != config_.tls_key.empty())
      return Error{ErrorCode::invalid_argument, "--tls-cert and --tls-key go together"};
    // Tokens are in the store, which is not open yet; the rest can be told at once.
    return check_exposure(config_, std::nullopt);
  }

  void stop_threads() {
    if (stopped_) return;
    stopped_ = true;
    router_.close();
    tail_.stop();
    if (rules_) rules_->changes().stop();
    if (streams_) streams_->stop();  // its rows go through the other's appender
    if (feeds_) feeds_->stop();
    if (udp_) udp_->stop();
    if (exporter_totals_) exporter_totals_->watch({});
    if (http_) http_->stop(std::chrono::milliseconds(config_.shutdown_grace / kMillisecond));
    if (queries_) queries_->cancel_all();
    for (auto& lane : lanes_)
      if (lane) lane->stop();
    if (rules_) rules_->stop();  // with all that was appended
    if (forwarder_) forwarder_->stop();
    if (outbox_) outbox_->stop();
    if (maintenance_) maintenance_->stop();
  }

  std::optional<Result<Batch>> system_table(std::string_view name) {
    if (name == "sources") return Result<Batch>(sources_table(metrics_));
    if (name == "exporters") return Result<Batch>(exporters_table(exporters(), exporter_book_.get()));
    if (name == "interfaces") return Result<Batch>(exporter_book_->interfaces_table());
    if (name == "sampling") return Result<Batch>(exporter_book_->rules_table());
    if (name == "exporter_errors") return Result<Batch>(exporter_errors_table(exporter_errors()));
    if (name == "feeds") return Result<Batch>(feeds_table(feeds_->status()));
    if (name == "feed_errors") return Result<Batch>(feed_errors_table(feeds_->set_aside()));
    if (name == "losses") return Result<Batch>(losses_table(losses_->all()));
    if (name == "storage") return Result<Batch>(query::storage_table(store_->snapshot()));
    if (name == "rules") return Result<Batch>(rules_->rules_table());
    if (name == "targets") return Result<Batch>(targets_table(outbox_->status()));
    if (name == "forwards") return Result<Batch>(forwards_table(forwarder_->status()));
    if (name == "alerts") return Result<Batch>(rules_->alerts_table());
    if (name == "queries") return Result<Batch>(queries_table(queries_->running()));
    return std::nullopt;
  }

  // Of all receivers, those heard before the start too.
  std::vector<ingest::ExporterStats> exporters() const { return exporter_totals_->all(); }
  std::vector<ingest::PacketError> exporter_errors() const {
    std::vector<ingest::PacketError> all;
    if (udp_) all = udp_->errors();
    if (streams_)
      for (auto& e : streams_->errors()) all.push_back(std::move(e));
    return all;
  }

  std::string metrics_text() const;

  const Config config_;
  WallClock clock_;
  TimestampNs started_at_ = 0;
  std::atomic<bool> stopped_{false};
  Metrics metrics_;
  api::Router router_;
  // Destroyed from the last to the first: exchanges that lanes hold go before the server, and all before the store.
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Auth> auth_;
  std::unique_ptr<LossBook> losses_;
  std::unique_ptr<ExporterBook> exporter_book_;
  std::unique_ptr<ListKeeper> lists_;
  std::unique_ptr<ContextKeeper> context_;
  std::unique_ptr<GeoKeeper> geo_;
  std::unique_ptr<ParallelExecutor> executor_;
  std::unique_ptr<SourceTotals> source_totals_;
  std::unique_ptr<ExporterTotals> exporter_totals_;
  std::unique_ptr<Maintenance> maintenance_;
  std::unique_ptr<ingest::SameTraffic> same_traffic_;
  std::unique_ptr<delivery::Outbox> outbox_;
  std::unique_ptr<delivery::Forwarder> forwarder_;
  FlowTail tail_;
  std::unique_ptr<RuleService> rules_;
  std::unique_ptr<IngestService> ingest_;
  std::unique_ptr<AzureRecord> azure_record_;
  std::unique_ptr<UdpIngest> udp_;
  std::unique_ptr<StreamIngest> streams_;
  std::unique_ptr<FeedRunner> feeds_;
  std::unique_ptr<QueryService> queries_;
  std::unique_ptr<http::Server> http_;
  std::array<std::unique_ptr<WorkerPool>, api::kLaneCount> lanes_;
};

std::string AppImpl::metrics_text() const {
  MetricsText out;
  const auto d = [](auto value) { return static_cast<double>(value); };
  out.family("sluice_build_info", "gauge", "Always 1; the version is a label");
  out.sample(1, {{"version", SLUICE_VERSION}});
  out.gauge("process_resident_memory_bytes", "Memory that the process has resident", d(resident_bytes()));
  out.gauge("process_start_time_seconds", "When the process started", d(started_at_) / 1e9);
  metrics_.write(out);

  const http::ServerStats h = http_->stats();
  out.counter("sluice_http_connections_accepted_total", "Connections accepted", d(h.accepted));
  out.gauge("sluice_http_connections", "Connections open", d(h.open));
  out.counter("sluice_http_connections_refused_total", "Connections refused because too many were open", d(h.refused_full));
  out.counter("sluice_http_timeouts_total", "Connections cut because the client was too slow", d(h.timeouts));
  out.counter("sluice_http_bad_requests_total", "Requests refused before their body was read", d(h.bad_requests));
  out.counter("sluice_http_tls_failures_total", "TLS handshakes that failed", d(h.tls_failures));
  out.gauge("sluice_ingest_in_flight_bytes", "Bytes of bodies being ingested", d(ingest_->in_flight_bytes()));
  const query::SegmentMemory::Counts kept = queries_->kept();
  out.counter("sluice_query_kept_segments_total", "Segments that queries were answered from memory, without reading them", d(kept.hits));
  out.counter("sluice_query_kept_parts_total", "Results of single segments that were kept in memory for queries asked again", d(kept.kept));
  out.counter("sluice_query_kept_dropped_total", "Of those, the ones that made room for others", d(kept.dropped));
  out.gauge("sluice_query_kept_bytes", "Memory of the results kept", d(kept.bytes));
  out.gauge("sluice_queries_running", "Queries running", d(queries_->running().size()));
  out.gauge("sluice_streams", "Tails and streams of alerts that are open", d(lanes_[static_cast<size_t>(api::Lane::stream)]->running()));
  out.gauge("sluice_queries_waiting", "Queries waiting for their turn", d(lanes_[static_cast<size_t>(api::Lane::query)]->waiting()));

  const RuleQueue q = rules_->queue();
  out.gauge("sluice_rules", "Rules", d(rules_->rules().size()));
  out.gauge("sluice_rule_queue_flows", "Flows that wait for the rules", d(q.rows));
  out.gauge("sluice_rule_queue_bytes", "Bytes of flows that wait for the rules", d(q.bytes));
  out.gauge("sluice_rule_lag_seconds", "Since when the oldest of them waits", d(q.lag) / 1e9);
  out.counter("sluice_rule_flows_total", "Flows that went through the rules", d(q.processed_rows));
  out.counter("sluice_rule_catch_ups_total", "How often the rules fell behind and read their open windows from the store", d(q.catch_ups));
  out.counter("sluice_rule_let_go_flows_total", "Flows that waited for the rules when they fell behind, and that they read from the store instead", d(q.let_go_rows));
  uint64_t late = 0, dropped = 0, started = 0, bytes = 0;
  for (const RuleStatus& r : rules_->rules()) {
    late += r.windows.late_rows;
    dropped += r.windows.dropped_rows;
    started += r.alerts;
    bytes += r.windows.bytes;
  }
  out.counter("sluice_rule_late_flows_total", "Flows that came too late for a window, summed over rules", d(late));
  out.counter("sluice_rule_dropped_flows_total", "Flows that a rule did not count because its groups were at their bound, summed over rules", d(dropped));
  out.gauge("sluice_rule_state_bytes", "Memory of the rules' open windows", d(bytes));
  out.counter("sluice_alerts_started_total", "Alerts that started", d(started));
  out.gauge("sluice_alerts_firing", "Alerts that have started and not ended", d(rules_->firing()));

  const auto targets = outbox_->status();
  const auto by_target = [&](std::string_view name, std::string_view type, std::string_view help, auto&& value) {
    if (targets.empty()) return;
    out.family(name, type, help);
    for (const auto& t : targets) out.sample(d(value(t)), {{"target", t.name}, {"kind", t.kind}});
  };
  by_target("sluice_target_up", "gauge", "0 while the target cannot be told", [](const auto& t) { return t.retry_at == 0; });
  by_target("sluice_target_waiting", "gauge", "Notices of alerts that wait for the target", [](const auto& t) { return t.waiting; });
  by_target("sluice_target_lag_seconds", "gauge", "How long the oldest of them has waited", [](const auto& t) { return static_cast<double>(t.lag) / 1e9; });
  by_target("sluice_target_delivered_total", "counter", "Notices that the target has taken", [](const auto& t) { return t.delivered; });
  by_target("sluice_target_failures_total", "counter", "Attempts that failed", [](const auto& t) { return t.failures; });
  by_target("sluice_target_given_up_total", "counter", "Notices that the target refused, or that could not be delivered in time", [](const auto& t) { return t.refused + t.expired; });
  by_target("sluice_target_dropped_total", "counter", "Notices that were not kept because too many waited", [](const auto& t) { return t.dropped; });

  const auto forwards = forwarder_->status();
  const auto by_forward = [&](std::string_view name, std::string_view type, std::string_view help, auto&& value) {
    if (forwards.empty()) return;
    out.family(name, type, help);
    for (const auto& f : forwards) out.sample(d(value(f)), {{"forward", f.name}, {"target", f.target}});
  };
  by_forward("sluice_forward_matched_total", "counter", "Flows that met the forward's filter", [](const auto& f) { return f.matched; });
  by_forward("sluice_forward_delivered_total", "counter", "Of these, flows that the target has taken", [](const auto& f) { return f.delivered; });
  by_forward("sluice_forward_dropped_total", "counter", "Of these, flows that it will never get", [](const auto& f) { return f.dropped; });
  by_forward("sluice_forward_waiting", "gauge", "Flows that wait for the target", [](const auto& f) { return f.waiting; });
  by_forward("sluice_forward_lag_seconds", "gauge", "How long the oldest of them has waited", [](const auto& f) { return static_cast<double>(f.lag) / 1e9; });
  if (!forwards.empty()) out.counter("sluice_forward_unseen_flows_total", "Flows that forwards did not look at, because too many came at once", d(forwards.front().unseen_rows));

  const store::StoreStats s = store_->stats();
  out.gauge("sluice_segments", "Segments", d(s.segments));
  out.gauge("sluice_segment_flows", "Flows in segments", d(s.segment_rows));
  out.gauge("sluice_segment_bytes", "Bytes of segments on disk", d(s.segment_bytes));
  out.gauge("sluice_damaged_segments", "Segments that can't be read", d(s.damaged_segments));
  out.gauge("sluice_open_flows", "Flows not sealed yet", d(s.open_rows));
  out.gauge("sluice_open_bytes", "Memory of flows not sealed yet", d(s.open_bytes));
  out.gauge("sluice_journal_entries", "Entries in the journal", d(s.journal_entries));
  out.gauge("sluice_journal_bytes", "Bytes in the journal", d(s.journal_bytes));
  out.gauge("sluice_catalog_bytes", "Bytes of the catalogue on disk, journal included", d(store_->catalog().stats().disk_bytes));
  out.counter("sluice_appends_total", "Durable appends", d(s.appends));
  out.counter("sluice_appended_flows_total", "Flows appended", d(s.appended_rows));
  out.counter("sluice_duplicate_objects_total", "Objects that had been ingested before", d(s.duplicate_objects));
  out.counter("sluice_appends_refused_full_total", "Appends refused because the store or the disk was full", d(s.refused_full));
  out.counter("sluice_seals_total", "Segments sealed", d(s.seals));
  out.counter("sluice_sealed_flows_total", "Flows sealed", d(s.sealed_rows));
  out.counter("sluice_seal_seconds_total", "Time spent sealing", d(s.seal_ns) / 1e9);
  out.counter("sluice_merges_total", "Merges", d(s.merges));
  out.counter("sluice_merged_flows_total", "Flows merged", d(s.merged_rows));
  out.counter("sluice_merge_seconds_total", "Time spent merging", d(s.merge_ns) / 1e9);
  out.counter("sluice_retired_segments_total", "Segments dropped by retention", d(s.retired_segments));
  out.counter("sluice_retired_flows_total", "Flows dropped by retention", d(s.retired_rows));
  out.gauge("sluice_replayed_flows", "Flows replayed from the journal at start", d(s.replayed_rows));

  const auto groups = same_traffic_->stats();
  const auto by_group = [&](std::string_view name, std::string_view type, std::string_view help, uint64_t ingest::SameTrafficStats::*member) {
    if (groups.empty()) return;
    out.family(name, type, help);
    for (const auto& group : groups) out.sample(d(group.*member), {{"group", group.group}});
  };
  by_group("sluice_same_traffic_compared_total", "counter", "Flows compared with what other reporters of the group told", &ingest::SameTrafficStats::compared);
  by_group("sluice_same_traffic_marked_total", "counter", "Of these, flows marked as duplicates", &ingest::SameTrafficStats::marked);
  by_group("sluice_same_traffic_forgotten_total", "counter", "Young flows forgotten to make room: duplicates of theirs go unmarked", &ingest::SameTrafficStats::forgotten);
  by_group("sluice_same_traffic_flows", "gauge", "Flows remembered", &ingest::SameTrafficStats::flows);

  const auto feeds = feeds_->status();
  const auto by_feed = [&](std::string_view name, std::string_view type, std::string_view help, auto&& value) {
    out.family(name, type, help);
    for (const auto& f : feeds) out.sample(d(value(f)), {{"feed", f.name}, {"kind", f.kind}});
  };
  by_feed("sluice_feed_up", "gauge", "1 while the feed can fetch, 0 while it fails", [](const auto& f) { return f.state != FeedState::failing && f.state != FeedState::stopped; });
  by_feed("sluice_feed_lag_seconds", "gauge", "How long the oldest object that is known has waited", [](const auto& f) { return static_cast<double>(f.lag) / 1e9; });
  by_feed("sluice_feed_waiting_objects", "gauge", "Objects known and not ingested", [](const auto& f) { return f.backlog.objects; });
  by_feed("sluice_feed_waiting_bytes", "gauge", "Bytes known and not ingested", [](const auto& f) { return f.backlog.bytes; });
  by_feed("sluice_feed_objects_total", "counter", "Objects ingested", [](const auto& f) { return f.counts.objects; });
  by_feed("sluice_feed_bytes_total", "counter", "Bytes fetched", [](const auto& f) { return f.counts.bytes; });
  by_feed("sluice_feed_flows_total", "counter", "Flows made durable", [](const auto& f) { return f.counts.rows; });
  by_feed("sluice_feed_rejected_total", "counter", "Records that could not be read", [](const auto& f) { return f.counts.rejected; });
  by_feed("sluice_feed_duplicates_total", "counter", "Objects that had been ingested before", [](const auto& f) { return f.counts.duplicates; });
  by_feed("sluice_feed_set_aside_total", "counter", "Objects that could not be read", [](const auto& f) { return f.counts.set_aside; });
  by_feed("sluice_feed_errors_total", "counter", "Polls that failed", [](const auto& f) { return f.errors; });
  by_feed("sluice_feed_last_object_seconds", "gauge", "When the last object was taken", [](const auto& f) { return static_cast<double>(f.counts.last_at) / 1e9; });

  if (!udp_) return out.take();
  const UdpIngestStats u = udp_->stats();
  const auto by_socket = [&](std::string_view name, std::string_view help, uint64_t ingest::UdpStats::*member) {
    out.family(name, "counter", help);
    for (const auto& [socket, stats] : u.sockets) out.sample(d(stats.*member), {{"socket", socket}});
  };
  by_socket("sluice_udp_packets_total", "Packets received", &ingest::UdpStats::packets);
  by_socket("sluice_udp_bytes_total", "Bytes received", &ingest::UdpStats::bytes);
  by_socket("sluice_udp_dropped_queue_total", "Packets dropped because a decoder's queue was full", &ingest::UdpStats::dropped_queue);
  by_socket("sluice_udp_dropped_kernel_total", "Packets dropped by the kernel because the socket's buffer was full", &ingest::UdpStats::dropped_kernel);
  by_socket("sluice_udp_errors_total", "Failed reads", &ingest::UdpStats::errors);
  const ingest::PacketCounts& c = u.counts;
  out.counter("sluice_netflow_packets_total", "NetFlow and IPFIX packets decoded", d(c.packets - c.sflow_packets));
  out.counter("sluice_netflow_flows_total", "Flows decoded from them", d(c.flows - c.sflow_flows));
  out.counter("sluice_netflow_templates_total", "Template records read", d(c.templates));
  out.counter("sluice_netflow_options_records_total", "Options records read", d(c.options_records));
  out.counter("sluice_netflow_bad_total", "Packets, sets and records that could not be read", d(c.bad - c.sflow_bad));
  out.counter("sluice_netflow_pending_sets_total", "Data sets put aside until their template comes", d(c.pending_sets));
  out.counter("sluice_sflow_packets_total", "sFlow datagrams decoded", d(c.sflow_packets));
  out.counter("sluice_sflow_flows_total", "Flows decoded from them: a packet sampled or discarded each", d(c.sflow_flows));
  out.counter("sluice_sflow_discards_total", "Of these, packets that the exporter discarded", d(c.discards));
  out.counter("sluice_sflow_counter_samples_total", "Counter samples, which are no flows", d(c.counter_samples));
  out.counter("sluice_sflow_unknown_formats_total", "Samples and records of formats that are not read", d(c.unknown_formats));
  out.counter("sluice_sflow_bad_total", "Datagrams, samples and records that could not be read", d(c.sflow_bad));
  out.counter("sluice_netflow_refused_senders_total", "Packets, sFlow's too, of senders that are not allowed", d(u.refused_senders));
  out.counter("sluice_netflow_appended_flows_total", "Flows of all these made durable", d(u.appended_rows));
  out.counter("sluice_netflow_lost_flows_total", "Flows decoded that could not be stored", d(u.lost_rows));
  out.gauge("sluice_netflow_state_waiting", "Changes of exporters' state that could not be written so far", d(u.state_waiting));
  out.counter("sluice_netflow_state_dropped_total", "Changes of exporters' state that could not be kept", d(u.state_dropped));
  out.gauge("sluice_netflow_waiting_batches", "Batches waiting to be made durable", d(u.waiting_batches));
  if (streams_) {
    const StreamIngestStats t = streams_->stats();
    out.gauge("sluice_ipfix_connections", "Exporters connected over TCP or TLS", d(t.open));
    out.counter("sluice_ipfix_connections_accepted_total", "Connections of exporters accepted", d(t.accepted));
    out.counter("sluice_ipfix_connections_refused_total", "Connections closed at once because too many were open", d(t.refused_full));
    out.counter("sluice_ipfix_refused_senders_total", "Connections of exporters that are not allowed", d(t.refused_senders));
    out.counter("sluice_ipfix_tls_failures_total", "TLS handshakes that failed", d(t.tls_failures));
    out.counter("sluice_ipfix_timeouts_total", "Connections closed for a message that did not come whole, or for silence", d(t.timeouts));
    out.counter("sluice_ipfix_malformed_total", "Connections closed because their stream made no sense", d(t.malformed));
    out.counter("sluice_ipfix_bytes_total", "Bytes received over TCP and TLS", d(t.bytes));
    out.counter("sluice_ipfix_messages_total", "Messages decoded", d(t.counts.packets));
    out.counter("sluice_ipfix_flows_total", "Flows decoded", d(t.counts.flows));
    out.counter("sluice_ipfix_bad_total", "Messages, sets and records that could not be read", d(t.counts.bad));
  }
  // Per exporter only what alerts are made of; bounded by the number of exporters.
  auto heard = exporters();
  std::erase_if(heard, [](const auto& e) { return !e.origin.empty(); });  // nobody is to be woken for what a capture lacks
  const auto by_exporter = [&](std::string_view name, std::string_view type, std::string_view help, auto&& value) {
    out.family(name, type, help);
    for (const auto& e : heard) {
      // One address may be an exporter of NetFlow and an agent of sFlow, or be spoken for by two relays.
      const bool is_sflow = !e.formats.empty() && e.formats.front() == Source::sflow5;
      out.sample(value(e), {{"exporter", sluice::to_string(e.ip)},
                            {"port", std::to_string(e.port)},
                            {"sender", sluice::to_string(e.sender)},
                            {"protocol", is_sflow ? "sflow" : "netflow"}});
    }
  };
  by_exporter("sluice_exporter_lost_total", "counter", "Lost by sequence numbers", [&](const auto& e) { return d(e.lost); });
  by_exporter("sluice_exporter_lost_samples_total", "counter", "sFlow samples lost, by their data sources' numbers", [&](const auto& e) { return d(e.lost_samples); });
  by_exporter("sluice_exporter_sample_drops_total", "counter", "sFlow samples that the agent could not take", [&](const auto& e) { return d(e.sample_drops); });
  by_exporter("sluice_exporter_flows_total", "counter", "Flows of this exporter", [&](const auto& e) { return d(e.flows); });
  by_exporter("sluice_exporter_clock_skew_seconds", "gauge", "The exporter's clock minus ours", [&](const auto& e) { return d(e.clock_skew) / 1e9; });
  by_exporter("sluice_exporter_last_seen_seconds", "gauge", "When its last packet came", [&](const auto& e) { return d(e.last_seen) / 1e9; });
  return out.take();
}

}  // namespace

Result<std::unique_ptr<App>> App::start(const Config& config) {
  auto app = std::make_unique<AppImpl>(config);
  SLUICE_TRY(app->open());
  return std::unique_ptr<App>(std::move(app));
}

}  // namespace sluice::server
