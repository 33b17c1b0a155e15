#include "server/system_tables.h"

#include <algorithm>
#include <map>
#include <set>

#include "ingest/source/source.h"
#include "query/show.h"
#include "server/ingest_service.h"
#include "storage/model/text_list.h"

namespace sluice::server {
namespace {

PhysicalType physical_of(LogicalType type) {
  switch (type) {
    case LogicalType::float64: return PhysicalType::F64;
    case LogicalType::boolean: return PhysicalType::U8;
    case LogicalType::string:
    case LogicalType::list:
    case LogicalType::extra: return PhysicalType::Str;
    case LogicalType::ip: return PhysicalType::Ip;
    case LogicalType::timestamp:
    case LogicalType::duration:
    case LogicalType::int64: return PhysicalType::I64;
    default: return PhysicalType::U64;
  }
}

// A table written row by row: every row sets its columns in the order in which they were named.
class TableWriter {
 public:
  struct Heading {
    std::string_view name;
    LogicalType type;
    std::string_view unit = {};
  };
  TableWriter(std::initializer_list<Heading> headings) {
    for (const Heading& h : headings) {
      Field field;
      field.name = h.name;
      field.type = h.type;
      field.physical = physical_of(h.type);
      field.unit = h.unit;
      schema_.push_back(std::move(field));
      columns_.emplace_back(physical_of(h.type));
    }
  }
  void row() {
    ++rows_;
    next_ = 0;
  }
  TableWriter& set(uint64_t value) {
    columns_[next_++].append_uint(value);
    return *this;
  }
  TableWriter& time(TimestampNs value) {
    if (value == 0 || value == kTimestampMin || value == kTimestampMax)
      columns_[next_++].append_null();
    else
      columns_[next_++].append(value);
    return *this;
  }
  TableWriter& span(DurationNs value) {
    columns_[next_++].append(value);
    return *this;
  }
  TableWriter& number(double value) {
    columns_[next_++].append(value);
    return *this;
  }
  TableWriter& flag(bool value) {
    columns_[next_++].append(static_cast<uint8_t>(value));
    return *this;
  }
  TableWriter& text(std::string_view value) {
    columns_[next_++].append_string(value);
    return *this;
  }
  TableWriter& ip(const IpAddress& value) {
    columns_[next_++].append(value);
    return *this;
  }
  TableWriter& null() {
    columns_[next_++].append_null();
    return *this;
  }
  Batch finish() {
    for (const Column& column : columns_) SLUICE_CHECK(column.size() == rows_);
    Batch batch;
    batch.schema = std::make_shared<const Schema>(std::move(schema_));
    batch.columns = std::move(columns_);
    batch.rows = rows_;
    return batch;
  }

 private:
  Schema schema_;
  std::vector<Column> columns_;
  size_t rows_ = 0, next_ = 0;
};

using L = LogicalType;

// "1000", "1000 where none is told", "100 of interface 7 in domain 2"
std::string configured_rate(const ingest::RateOverride& rate) {
  std::string text = std::to_string(rate.rate);
  if (rate.interface) text += " of interface " + std::to_string(*rate.interface);
  if (rate.domain) text += std::string(rate.interface ? " in" : " of") + " domain " + std::to_string(*rate.domain);
  if (!rate.force) text += " where none is told";
  return text;
}

}  // namespace

Batch exporters_table(const std::vector<ingest::ExporterStats>& exporters, const ExporterBook* book) {
  TableWriter table{{"exporter_ip", L::ip},      {"name", L::string},             {"exporter_port", L::uint},      {"transport", L::string},       {"formats", L::list},          {"domains", L::list},
                    {"first_seen", L::timestamp}, {"last_seen", L::timestamp},      {"packets", L::uint},          {"bytes", L::uint, "bytes"},
                    {"flows", L::uint},           {"templates", L::uint},           {"template_changes", L::uint}, {"options_records", L::uint},
                    {"lost", L::uint},            {"lost_unit", L::string},         {"reordered", L::uint},        {"duplicates", L::uint},
                    {"restarts", L::uint},        {"bad_packets", L::uint},         {"bad_sets", L::uint},         {"bad_records", L::uint},
                    {"unsupported_packets", L::uint}, {"pending_bytes", L::uint, "bytes"}, {"pending_decoded", L::uint}, {"pending_dropped", L::uint},
                    {"clamped_times", L::uint},   {"clock_skew", L::duration},      {"clock_skew_min", L::duration}, {"clock_skew_max", L::duration},
                    {"sampling_known", L::boolean}, {"sampling_rates", L::list},    {"names", L::uint},
                    {"sender_ip", L::ip},         {"counter_samples", L::uint},     {"discards", L::uint},         {"unknown_formats", L::uint},
                    {"lost_samples", L::uint},    {"sample_drops", L::uint},        {"effective_sampling_rate", L::float64}, {"origin", L::string},
                    {"sampling_configured", L::list}};
  for (const auto& e : exporters) {
    std::string formats, domains, rates;
    for (Source source : e.formats) append_list_item(formats, kSource.name_of(static_cast<uint8_t>(source)));
    // Each once: NetFlow v9 and IPFIX of one exporter may use the same domain, and its samplers the same rate.
    for (uint32_t domain : std::set<uint32_t>(e.domains.begin(), e.domains.end())) append_list_item(domains, std::to_string(domain));
    std::set<uint32_t> known;
    for (const auto& rate : e.sampling) known.insert(rate.rate);
    for (uint32_t rate : known) append_list_item(rates, std::to_string(rate));
    table.row();
    table.ip(e.ip);
    const std::string* name = book ? book->name_of(e.ip) : nullptr;
    name ? table.text(*name) : table.null();
    table.set(e.port).text(e.session == 0 ? "datagrams" : "stream").text(formats).text(domains).time(e.first_seen).time(e.last_seen).set(e.packets).set(e.bytes).set(e.flows);
    table.set(e.templates).set(e.template_changes).set(e.options_records).set(e.lost).text(e.lost_unit).set(e.reordered).set(e.duplicates);
    table.set(e.restarts).set(e.bad_packets).set(e.bad_sets).set(e.bad_records).set(e.unsupported_packets).set(e.pending_bytes);
    table.set(e.pending_decoded).set(e.pending_dropped).set(e.clamped_times).span(e.clock_skew).span(e.clock_skew_min).span(e.clock_skew_max);
    table.flag(e.sampling_known).text(rates).set(e.names);
    table.ip(e.sender).set(e.counter_samples).set(e.discards).set(e.unknown_formats).set(e.lost_samples).set(e.sample_drops);
    e.samples_taken > 0 ? table.number(static_cast<double>(e.sample_pool) / static_cast<double>(e.samples_taken)) : table.null();
    e.origin.empty() ? table.null() : table.text(e.origin);
    std::string configured;
    if (const ingest::ExporterOverride* override = book ? book->override_of(e.ip) : nullptr)
      for (const ingest::RateOverride& rate : override->rates) append_list_item(configured, configured_rate(rate));
    table.text(configured);
  }
  return table.finish();
}

Batch interfaces_table(const std::vector<InterfaceRow>& rows) {
  TableWriter table{{"exporter", L::string}, {"exporter_name", L::string}, {"interface", L::uint}, {"name", L::string}, {"description", L::string}, {"told_by", L::string},
                    {"speed", L::uint, "bits per second"}, {"admin_up", L::boolean}, {"oper_up", L::boolean}};
  for (const InterfaceRow& r : rows) {
    table.row();
    table.text(r.exporter);
    r.exporter_name.empty() ? table.null() : table.text(r.exporter_name);
    table.set(r.number).text(r.name).text(r.description).text(r.told_by);
    r.speed ? table.set(*r.speed) : table.null();
    r.admin_up ? table.flag(*r.admin_up) : table.null();
    r.oper_up ? table.flag(*r.oper_up) : table.null();
  }
  return table.finish();
}

Batch sampling_rules_table(const std::vector<NamedRule>& rules) {
  TableWriter table{{"id", L::uint},    {"exporter", L::string},   {"domain", L::uint},  {"interface", L::uint},    {"from", L::timestamp},
                    {"to", L::timestamp}, {"rate", L::uint}, {"force", L::boolean}, {"comment", L::string}, {"created_at", L::timestamp}};
  for (const NamedRule& r : rules) {
    table.row();
    r.id ? table.set(r.id) : table.null();
    table.text(to_string(r.rule.exporter));
    r.rule.domain ? table.set(*r.rule.domain) : table.null();
    r.rule.interface ? table.set(*r.rule.interface) : table.null();
    table.time(r.rule.range.from).time(r.rule.range.to).set(r.rule.rate).flag(r.rule.force).text(r.comment).time(r.created_at);
  }
  return table.finish();
}

Batch exporter_errors_table(const std::vector<ingest::PacketError>& errors) {
  TableWriter table{{"exporter_ip", L::ip}, {"domain", L::uint}, {"template_id", L::uint}, {"reason", L::string},
                    {"count", L::uint},     {"first", L::timestamp}, {"last", L::timestamp}};
  for (const auto& e : errors) {
    table.row();
    table.ip(e.exporter).set(e.domain).set(e.template_id).text(e.reason).set(e.count).time(e.first).time(e.last);
  }
  return table.finish();
}

Batch sources_table(const Metrics& metrics) {
  TableWriter table{{"name", L::string},   {"description", L::string}, {"lines", L::boolean},  {"bodies", L::uint},       {"bytes", L::uint, "bytes"},
                    {"accepted", L::uint}, {"rejected", L::uint},      {"duplicates", L::uint}, {"no_data", L::uint}, {"skipped_data", L::uint},
                    {"failed", L::uint},   {"since", L::timestamp},    {"warned", L::uint},     {"warning", L::string},    {"warning_at", L::timestamp}};
  const auto counts = metrics.ingest();
  const auto warnings = metrics.warnings();
  for (const std::string_view name : source_names()) {
    const ingest::SourceSpec* spec = ingest::find_source(name);
    Metrics::IngestCounts c;
    if (const auto found = counts.find(name); found != counts.end()) c = found->second;
    table.row();
    table.text(name).text(spec ? spec->description : "").flag(spec && spec->splittable_lines);
    table.set(c.bodies).set(c.bytes).set(c.accepted).set(c.rejected).set(c.duplicates).set(c.no_data).set(c.skipped_data).set(c.failed).time(metrics.ingest_since);
    if (const auto found = warnings.find(name); found != warnings.end())
      table.set(found->second.bodies).text(found->second.text).time(found->second.at);
    else
      table.set(uint64_t{0}).null().null();
  }
  return table.finish();
}

Batch feeds_table(const std::vector<FeedStatus>& feeds) {
  TableWriter table{{"name", L::string},          {"kind", L::string},       {"source", L::string},    {"state", L::string},       {"lag", L::duration, "ns"},
                    {"objects", L::uint},         {"bytes", L::uint, "bytes"}, {"rows", L::uint},      {"rows_per_second", L::float64}, {"bytes_per_second", L::float64, "bytes"},
                    {"rejected", L::uint},        {"duplicates", L::uint},   {"set_aside", L::uint},   {"no_data", L::uint},       {"skipped_data", L::uint},
                    {"waiting_objects", L::uint}, {"waiting_bytes", L::uint, "bytes"}, {"watched", L::uint}, {"last_object", L::string}, {"last_object_time", L::timestamp},
                    {"last_at", L::timestamp},    {"errors", L::uint},       {"last_error", L::string}, {"last_error_at", L::timestamp}, {"retry_at", L::timestamp},
                    {"note", L::string}};
  for (const FeedStatus& f : feeds) {
    const auto text = [&](const std::string& value) { value.empty() ? table.null() : table.text(value); };
    table.row();
    table.text(f.name).text(f.kind).text(f.source).text(to_string(f.state)).span(f.lag).set(f.counts.objects).set(f.counts.bytes).set(f.counts.rows);
    table.number(f.rows_per_second).number(f.bytes_per_second).set(f.counts.rejected).set(f.counts.duplicates).set(f.counts.set_aside);
    table.set(f.counts.no_data).set(f.counts.skipped_data).set(f.backlog.objects).set(f.backlog.bytes).set(f.backlog.watched);
    text(f.counts.last_object);
    table.time(f.counts.last_object_time).time(f.counts.last_at).set(f.errors);
    text(f.last_error);
    table.time(f.last_error_at).time(f.retry_at);
    text(f.backlog.note);
  }
  return table.finish();
}

Batch feed_errors_table(const std::vector<SetAside>& entries) {
  TableWriter table{{"feed", L::string}, {"object", L::string}, {"reason", L::string}, {"at", L::timestamp}};
  for (const SetAside& entry : entries) {
    table.row();
    table.text(entry.feed).text(entry.object).text(entry.reason).time(entry.at);
  }
  return table.finish();
}

Batch losses_table(const std::vector<Loss>& losses) {
  TableWriter table{{"who", L::string}, {"how", L::string}, {"lost", L::uint}, {"unit", L::string}, {"from", L::timestamp}, {"to", L::timestamp}};
  for (const Loss& loss : losses) {
    table.row();
    table.text(loss.who).text(loss.how).set(loss.lost).text(loss.unit).time(loss.range.from).time(loss.range.to);
  }
  return table.finish();
}

Batch queries_table(const std::vector<RunningQuery>& queries) {
  TableWriter table{{"id", L::string}, {"query", L::string}, {"who", L::string}, {"started_at", L::timestamp}, {"cancelled", L::boolean}, {"progress", L::float64}};
  for (const RunningQuery& q : queries) {
    table.row();
    table.text(q.id).text(q.text).text(q.who).time(q.started_at).flag(q.is_cancelled);
    q.progress ? table.number(*q.progress) : table.null();
  }
  return table.finish();
}

Batch rules_table(const std::vector<RuleStatus>& rules, const RuleQueue& queue) {
  TableWriter table{{"name", L::string},       {"state", L::string},          {"enabled", L::boolean},     {"severity", L::string},     {"window", L::duration, "ns"},
                    {"slide", L::duration, "ns"}, {"early", L::boolean},      {"flows", L::uint},          {"flows_read", L::uint},     {"late_flows", L::uint},     {"dropped_flows", L::uint},
                    {"lost_groups", L::uint},  {"let_go_groups", L::uint},    {"partial_groups", L::uint}, {"excepted_flows", L::uint},
                    {"windows_settled", L::uint}, {"groups", L::uint},        {"bytes", L::uint, "bytes"}, {"watermark", L::timestamp}, {"lag", L::duration, "ns"},
                    {"alerts", L::uint},       {"open_alerts", L::uint},      {"alerts_beyond_bound", L::uint}, {"techniques", L::list},  {"tags", L::list},
                    {"created_at", L::timestamp}, {"note", L::string},        {"description", L::string},  {"text", L::string}};
  for (const RuleStatus& r : rules) {
    const auto list = [](const std::vector<std::string>& items) {
      std::string out;
      for (const auto& item : items) append_list_item(out, item);
      return out;
    };
    table.row();
    table.text(r.name).text(r.state).flag(r.is_enabled);
    if (r.rule && r.rule->session)  // as long as they last; the gap
      table.text(to_string(r.rule->severity)).null().span(r.rule->slide()).flag(r.rule->is_rising);
    else if (r.rule)
      table.text(to_string(r.rule->severity)).span(r.rule->window()).span(r.rule->slide()).flag(r.rule->is_rising);
    else
      table.null().null().null().null();
    // (Of a text that cannot be read any more it is not known which of the two was counted.)
    r.rule && !r.rule->is_asked ? table.set(r.windows.rows) : table.null();
    r.rule && r.rule->is_asked ? table.set(r.windows.rows) : table.null();
    table.set(r.windows.late_rows).set(r.windows.dropped_rows).set(r.windows.lost_groups).set(r.windows.let_go_groups).set(r.windows.partial_groups);
    // (Asked without exceptions; or over rows without time, of which no part is counted once.)
    r.rule && r.rule->is_asked && r.rule->excepted_query.empty() ? table.null() : table.set(r.windows.excepted_rows);
    table.set(r.windows.settled).set(r.windows.groups).set(r.windows.bytes);
    table.time(r.watermark).span(std::max(queue.lag, r.waits)).set(r.alerts).set(r.open_alerts).set(r.beyond_bound);
    if (r.rule)
      table.text(list(r.rule->techniques)).text(list(r.rule->tags));
    else
      table.null().null();
    table.time(r.created_at);
    r.note.empty() ? table.null() : table.text(r.note);
    r.rule && !r.rule->description.empty() ? table.text(r.rule->description) : table.null();
    table.text(r.text);
  }
  return table.finish();
}

Batch targets_table(const std::vector<delivery::TargetStatus>& targets) {
  TableWriter table{{"name", L::string},      {"kind", L::string},          {"to", L::string},          {"tells", L::string},      {"waiting", L::uint},
                    {"lag", L::duration, "ns"}, {"delivered", L::uint},       {"failures", L::uint},      {"refused", L::uint},      {"expired", L::uint},
                    {"dropped", L::uint},     {"last_success_at", L::timestamp}, {"last_error_at", L::timestamp}, {"last_error", L::string}, {"retry_at", L::timestamp}};
  for (const auto& t : targets) {
    table.row();
    table.text(t.name).text(t.kind).text(t.to).text(t.tells).set(t.waiting).span(t.lag).set(t.delivered).set(t.failures).set(t.refused).set(t.expired).set(t.dropped);
    table.time(t.last_success_at).time(t.last_error_at);
    t.last_error.empty() ? table.null() : table.text(t.last_error);
    table.time(t.retry_at);
  }
  return table.finish();
}

Batch forwards_table(const std::vector<delivery::ForwardStatus>& forwards) {
  TableWriter table{{"name", L::string},    {"filter", L::string},       {"target", L::string}, {"shape", L::string},          {"matched", L::uint},         {"delivered", L::uint},
                    {"dropped", L::uint},   {"unseen_flows", L::uint},   {"waiting", L::uint},  {"waiting_bytes", L::uint, "bytes"}, {"lag", L::duration, "ns"}, {"last_error_at", L::timestamp},
                    {"last_error", L::string}};
  for (const auto& f : forwards) {
    table.row();
    table.text(f.name).text(f.filter).text(f.target).text(f.shape).set(f.matched).set(f.delivered).set(f.dropped).set(f.unseen_rows).set(f.waiting).set(f.waiting_bytes);
    table.span(f.lag).time(f.last_error_at);
    f.last_error.empty() ? table.null() : table.text(f.last_error);
  }
  return table.finish();
}

Batch examples_table(const std::vector<query::continuous::ExampleResult>& results) {
  TableWriter table{{"example", L::string}, {"must_fire", L::boolean}, {"passed", L::boolean}, {"alerts", L::uint}, {"detail", L::string}};
  for (const auto& r : results) {
    table.row();
    table.text(r.text).flag(r.must_fire).flag(r.passed).set(r.alerts);
    r.detail.empty() ? table.null() : table.text(r.detail);
  }
  return table.finish();
}

Batch alerts_table(const std::vector<query::continuous::Episode>& alerts, bool replayed) {
  TableWriter table{{"ts", L::timestamp},       {"rule", L::string},         {"severity", L::string}, {"state", L::string},    {"key", L::string},
                    {"message", L::string},     {"end", L::timestamp},       {"fired_at", L::timestamp}, {"ended_at", L::timestamp}, {"matches", L::uint},
                    {"techniques", L::list},    {"tags", L::list},           {"values", L::list},     {"id", L::string},       {"query", L::string},
                    {"silent", L::boolean},     {"replayed", L::boolean}};
  for (const auto& a : alerts) {
    table.row();
    table.time(a.start).text(a.rule).text(to_string(a.severity)).text(to_string(a.state));
    a.key.empty() ? table.null() : table.text(a.key);
    table.text(a.message).time(a.end).time(a.fired_at).time(a.ended_at).set(a.matches).text(a.techniques).text(a.tags).text(a.values).text(a.id).text(a.query).flag(a.is_silent).flag(replayed);
  }
  return table.finish();
}

Batch storage_table(const store::StoreStats& s, uint64_t catalog_bytes) {
  TableWriter table{{"flows", L::uint},           {"segments", L::uint},        {"segment_rows", L::uint},      {"segment_bytes", L::uint, "bytes"},
                    {"bytes_per_flow", L::float64, "bytes"}, {"damaged_segments", L::uint}, {"open_rows", L::uint}, {"open_bytes", L::uint, "bytes"},
                    {"journal_entries", L::uint}, {"journal_bytes", L::uint, "bytes"}, {"catalog_bytes", L::uint, "bytes"}, {"oldest", L::timestamp},
                    {"newest", L::timestamp}};
  table.row();
  table.set(s.segment_rows + s.open_rows).set(s.segments).set(s.segment_rows).set(s.segment_bytes);
  table.number(s.segment_rows ? static_cast<double>(s.segment_bytes) / static_cast<double>(s.segment_rows) : 0).set(s.damaged_segments);
  table.set(s.open_rows).set(s.open_bytes).set(s.journal_entries).set(s.journal_bytes).set(catalog_bytes).time(s.oldest).time(s.newest);
  return table.finish();
}

std::optional<Schema> system_schema(std::string_view name) {
  const auto empty = [&]() -> std::optional<Batch> {
    if (name == "alerts") return alerts_table({});
    if (name == "rules") return rules_table({}, {});
    if (name == "sources") return sources_table(Metrics());
    if (name == "exporters") return exporters_table({});
    if (name == "interfaces") return interfaces_table({});
    if (name == "sampling") return sampling_rules_table({});
    if (name == "exporter_errors") return exporter_errors_table({});
    if (name == "feeds") return feeds_table({});
    if (name == "feed_errors") return feed_errors_table({});
    if (name == "losses") return losses_table({});
    if (name == "targets") return targets_table({});
    if (name == "forwards") return forwards_table({});
    if (name == "queries") return queries_table({});
    const store::Snapshot nothing;
    query::QueryContext context;
    context.snapshot = &nothing;
    if (auto table = query::source_table(name, context); table && table->ok()) return std::move(*table).value();
    return std::nullopt;
  }();
  if (!empty) return std::nullopt;
  return *empty->schema;
}

}  // namespace sluice::server
