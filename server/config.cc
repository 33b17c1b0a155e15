#include "ingest/source/limits.h"
#include "server/config.h"
#include "server/delivery/forwarder.h"
#include "server/delivery/target.h"
#include "server/limits.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace sluice::server {
namespace {

Error bad(std::string_view what, std::string_view value) {
  return Error{ErrorCode::invalid_argument, std::string(what) + ": '" + std::string(value) + "'"};
}

Status set_duration(DurationNs& out, std::string_view value) {
  if (value == "0" || value == "off") {
    out = 0;
    return {};
  }
  const auto parsed = parse_duration(value);
  if (!parsed || *parsed < 0) return bad("not a duration such as 90d, 12h or 30s", value);
  out = *parsed;
  return {};
}

template <typename T>
Status set_count(T& out, std::string_view value, uint64_t least, uint64_t most) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < least || number > most)
    return bad("not a number from " + std::to_string(least) + " to " + std::to_string(most), value);
  out = static_cast<T>(number);
  return {};
}

template <typename T>
Status set_bytes(T& out, std::string_view value) {
  SLUICE_ASSIGN(const uint64_t parsed, parse_bytes(value));
  out = static_cast<T>(parsed);
  return {};
}

Status set_endpoint(std::optional<Endpoint>& out, std::string_view value) {
  out.reset();
  if (value == "none" || value == "off") return {};
  SLUICE_ASSIGN(out, parse_endpoint(value));
  return {};
}

template <typename F>
Status each_item(std::string_view list, F&& f) {
  while (true) {
    const size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    if (!item.empty()) SLUICE_TRY(f(item));
    if (comma == std::string_view::npos) return {};
    list.remove_prefix(comma + 1);
  }
}

Status set_sockets(std::vector<Endpoint>& sockets, std::string_view v) {
  sockets.clear();
  if (v == "none" || v == "off") return {};
  return each_item(v, [&](std::string_view item) -> Status {
    SLUICE_ASSIGN(Endpoint endpoint, parse_endpoint(item));
    sockets.push_back(std::move(endpoint));
    return {};
  });
}

constexpr Setting kSettings[] = {
    {"data", "DIR", "data directory; made if absent", "./sluice-data",
     [](Config& c, std::string_view v) -> Status {
       if (v.empty()) return bad("not a directory", v);
       c.data = v;
       return {};
     }},
    {"http", "ADDR:PORT", "where to serve HTTP; port 0 picks a free one", "127.0.0.1:8080",
     [](Config& c, std::string_view v) -> Status {
       SLUICE_ASSIGN(c.http, parse_endpoint(v));
       return {};
     }},
    {"netflow", "ADDR:PORT,…", "UDP sockets for NetFlow v5, v9 and IPFIX, or 'none'", "127.0.0.1:2055,127.0.0.1:4739",
     [](Config& c, std::string_view v) { return set_sockets(c.netflow, v); }},
    {"netflow-allow", "CIDR,…", "senders whose NetFlow, IPFIX and sFlow packets are taken; needed to listen beyond loopback", "",
     [](Config& c, std::string_view v) -> Status {
       c.netflow_allow.clear();
       return each_item(v, [&](std::string_view item) -> Status {
         const auto prefix = parse_prefix(item);
         if (!prefix) return bad("not an address or CIDR block", item);
         c.netflow_allow.push_back(*prefix);
         return {};
       });
     }},
    {"sflow", "ADDR:PORT,…", "UDP sockets for sFlow v5, or 'none'", "127.0.0.1:6343",
     [](Config& c, std::string_view v) { return set_sockets(c.sflow, v); }},
    {"ipfix-tcp", "ADDR:PORT", "where to take IPFIX over TCP (RFC 7011); port 0 picks a free one", "",
     [](Config& c, std::string_view v) { return set_endpoint(c.ipfix_tcp, v); }},
    {"ipfix-tls", "ADDR:PORT", "where to take IPFIX over TLS, with --tls-cert and --tls-key", "",
     [](Config& c, std::string_view v) { return set_endpoint(c.ipfix_tls, v); }},
    {"ipfix-tls-ca", "FILE", "PEM certificates, one of which must have signed the certificate that an exporter shows", "",
     [](Config& c, std::string_view v) -> Status {
       c.ipfix_tls_ca = v;
       return {};
     }},
    {"tls-cert", "FILE", "PEM certificate chain; HTTP is then HTTPS (TLS 1.2 or newer)", "",
     [](Config& c, std::string_view v) -> Status {
       c.tls_cert = v;
       return {};
     }},
    {"tls-key", "FILE", "PEM private key of --tls-cert", "",
     [](Config& c, std::string_view v) -> Status {
       c.tls_key = v;
       return {};
     }},
    {"geo-country", "FILE", "database for country(ip), in MaxMind's format (.mmdb)", "",
     [](Config& c, std::string_view v) -> Status {
       c.geo_country = v;
       return {};
     }},
    {"geo-asn", "FILE", "database for asn(ip) and as_name(ip), in MaxMind's format (.mmdb)", "",
     [](Config& c, std::string_view v) -> Status {
       c.geo_asn = v;
       return {};
     }},
    {"backup-dir", "DIR", "folder in which POST /v1/admin/backup makes backups", "",
     [](Config& c, std::string_view v) -> Status {
       c.backup_dir = v;
       return {};
     }},
    {"retain-age", "DURATION", "drop segments older than this, e.g. 90d; 0 keeps all", "0",
     [](Config& c, std::string_view v) { return set_duration(c.retain_age, v); }},
    {"retain-bytes", "SIZE", "drop the oldest segments beyond this many bytes, e.g. 100GB; 0 keeps all", "0",
     [](Config& c, std::string_view v) { return set_bytes(c.retain_bytes, v); }},
    {"seal-age", "DURATION", "seal open rows at this age", "60s", [](Config& c, std::string_view v) { return set_duration(c.seal_age, v); }},
    {"open-bytes", "SIZE", "memory for rows not sealed yet; beyond, ingest answers 503", "1GiB",
     [](Config& c, std::string_view v) -> Status {
       SLUICE_TRY(set_bytes(c.open_bytes, v));
       return c.open_bytes > 0 ? Status() : bad("rows need some memory", v);
     }},
    {"threads", "N", "threads for queries; 0: one per core", "0", [](Config& c, std::string_view v) { return set_count(c.threads, v, 0, 1024); }},
    {"query-timeout", "DURATION", "longest time a query may take; a request may ask for less", "60s",
     [](Config& c, std::string_view v) -> Status {
       SLUICE_TRY(set_duration(c.query_timeout, v));
       return c.query_timeout > 0 ? Status() : bad("a query needs some time", v);
     }},
    {"query-memory", "SIZE", "memory of one query's operators", "1GiB",
     [](Config& c, std::string_view v) -> Status {
       SLUICE_TRY(set_bytes(c.query_memory, v));
       return c.query_memory > 0 ? Status() : bad("a query needs some memory", v);
     }},
    {"query-concurrency", "N", "queries that run at once", "16",
     [](Config& c, std::string_view v) { return set_count(c.query_concurrency, v, 1, 1024); }},
    {"query-waiting", "N", "queries that wait for their turn; beyond, 503", "64",
     [](Config& c, std::string_view v) { return set_count(c.query_waiting, v, 0, 65'536); }},
    {"ingest-body-bytes", "SIZE", "longest body of POST /v1/ingest, as sent", "64MiB",
     [](Config& c, std::string_view v) -> Status {
       SLUICE_TRY(set_bytes(c.ingest_body_bytes, v));
       return c.ingest_body_bytes > 0 && c.ingest_body_bytes <= limits::kIngestInFlightBytesMax ? Status() : bad("beyond the bytes in flight", v);
     }},
    {"shutdown-grace", "DURATION", "how long SIGTERM waits for requests", "10s", [](Config& c, std::string_view v) { return set_duration(c.shutdown_grace, v); }},
    {"log-format", "text|json", "form of the log on standard error", "text",
     [](Config& c, std::string_view v) -> Status {
       if (v != "text" && v != "json") return bad("neither text nor json", v);
       c.log_format = v == "json" ? log::Format::json : log::Format::text;
       return {};
     }},
    {"log-level", "LEVEL", "debug, info, warn or error", "info",
     [](Config& c, std::string_view v) -> Status {
       if (v == "debug") c.log_level = log::Level::debug;
       else if (v == "info") c.log_level = log::Level::info;
       else if (v == "warn") c.log_level = log::Level::warn;
       else if (v == "error") c.log_level = log::Level::error;
       else return bad("not a log level", v);
       return {};
     }},
};

// A TOML value as the text that its flag would take; arrays become comma-separated.
std::optional<std::string> text_of(const toml::node& node) {
  if (const auto* s = node.as_string()) return s->get();
  if (const auto* i = node.as_integer()) return std::to_string(i->get());
  if (const auto* b = node.as_boolean()) return b->get() ? "true" : "false";
  if (const auto* array = node.as_array()) {
    std::string out;
    for (const auto& item : *array) {
      const auto part = item.is_array() ? std::nullopt : text_of(item);
      if (!part) return std::nullopt;
      if (!out.empty()) out += ',';
      out += *part;
    }
    return out;
  }
  return std::nullopt;
}

// --- [[exporter]] --------------------------------------------------------------------------------------------------

// The members of one table, each taken once; what is left at the end is a mistake.
class TableReader {
 public:
  TableReader(const toml::table& table, const std::string& file, std::string_view what) : table_(table), file_(file), what_(what) {}

  Error error(const toml::node* node, const std::string& message) const {
    const auto& at = node ? node->source() : table_.source();
    return Error{ErrorCode::parse, file_ + ":" + std::to_string(at.begin.line) + ": " + std::string(what_) + ": " + message};
  }
  const toml::node* find(std::string_view name) {
    known_.emplace_back(name);
    return table_.get(name);
  }
  Status text(std::string_view name, std::string& out) {
    if (const toml::node* node = find(name)) {
      if (!node->is_string()) return error(node, "'" + std::string(name) + "' is text");
      out = node->as_string()->get();
    }
    return {};
  }
  Status flag(std::string_view name, bool& out) {
    if (const toml::node* node = find(name)) {
      if (!node->is_boolean()) return error(node, "'" + std::string(name) + "' is true or false");
      out = node->as_boolean()->get();
    }
    return {};
  }
  Status number(std::string_view name, std::optional<uint32_t>& out, int64_t least) {
    if (const toml::node* node = find(name)) {
      if (!node->is_integer() || node->as_integer()->get() < least || node->as_integer()->get() > UINT32_MAX)
        return error(node, "'" + std::string(name) + "' is a whole number from " + std::to_string(least) + " to 4294967295");
      out = static_cast<uint32_t>(node->as_integer()->get());
    }
    return {};
  }
  // RFC 3339 text, or TOML's own date and time.
  Status time(std::string_view name, std::optional<TimestampNs>& out) {
    const toml::node* node = find(name);
    if (!node) return {};
    std::string value;
    if (node->is_string()) {
      value = node->as_string()->get();
    } else if (node->is_date_time() || node->is_date()) {
      std::ostringstream shown;
      node->is_date() ? shown << *node->as_date() : shown << *node->as_date_time();
      value = shown.str();
    }
    out = parse_timestamp(value);
    return out ? Status() : error(node, "'" + std::string(name) + "' is not a time such as 2026-11-20T08:00:00Z");
  }
  template <typename E>
  Status choice(std::string_view name, std::span<const std::pair<std::string_view, E>> choices, E& out) {
    std::string word;
    SLUICE_TRY(text(name, word));
    if (word.empty()) return {};
    std::string all;
    for (const auto& [each, value] : choices) {
      if (each == word) {
        out = value;
        return {};
      }
      all += (all.empty() ? "" : ", ") + std::string(each);
    }
    return error(table_.get(name), "'" + std::string(name) + "' is one of " + all);
  }
  Status finish() const {
    for (const auto& [key, node] : table_)
      if (std::ranges::find(known_, key.str()) == known_.end()) return error(&node, "there is no setting '" + std::string(key.str()) + "'");
    return {};
  }

 private:
  const toml::table& table_;
  const std::string& file_;
  const std::string_view what_;
  std::vector<std::string> known_;
};

Status read_sampling(const toml::table& table, const std::string& file, ExporterTable& out) {
  TableReader in(table, file, "[[exporter.sampling]]");
  ingest::RateOverride rate;
  std::optional<uint32_t> value;
  std::optional<TimestampNs> from, to;
  SLUICE_TRY(in.number("rate", value, 1));
  SLUICE_TRY(in.flag("force", rate.force));
  SLUICE_TRY(in.number("domain", rate.domain, 0));
  SLUICE_TRY(in.number("interface", rate.interface, 0));
  SLUICE_TRY(in.time("from", from));
  SLUICE_TRY(in.time("to", to));
  SLUICE_TRY(in.finish());
  if (!value) return in.error(nullptr, "'rate' is missing");
  rate.rate = *value;
  if (!from && !to) {
    out.override.rates.push_back(rate);
    return {};
  }
  const TimeRange range{from.value_or(kTimestampMin), to.value_or(kTimestampMax)};
  if (range.empty()) return in.error(nullptr, "'from' is not before 'to'");
  out.corrections.push_back({out.override.exporter, rate.domain, rate.interface, range, rate.rate, rate.force});
  return {};
}

Result<ExporterTable> read_exporter(const toml::table& table, const std::string& file) {
  using ingest::PostCounters, ingest::SequenceUnit;
  static constexpr std::pair<std::string_view, SequenceUnit> kUnits[] = {
      {"standard", SequenceUnit::standard}, {"packets", SequenceUnit::packets}, {"records", SequenceUnit::records}, {"none", SequenceUnit::none}};
  static constexpr std::pair<std::string_view, PostCounters> kCounters[] = {
      {"automatic", PostCounters::automatic}, {"standard", PostCounters::standard}, {"reverse", PostCounters::reverse}};
  TableReader in(table, file, "[[exporter]]");
  ExporterTable out;
  std::string address, interfaces;
  std::optional<uint32_t> rate;
  bool force = false;
  SLUICE_TRY(in.text("address", address));
  SLUICE_TRY(in.text("name", out.name));
  SLUICE_TRY(in.number("sampling-rate", rate, 1));
  SLUICE_TRY(in.flag("sampling-force", force));
  SLUICE_TRY(in.choice<SequenceUnit>("sequence", kUnits, out.override.sequence));
  SLUICE_TRY(in.choice<PostCounters>("post-counters", kCounters, out.override.post_counters));
  SLUICE_TRY(in.text("interfaces", interfaces));
  const toml::node* sampling = in.find("sampling");
  SLUICE_TRY(in.finish());
  const auto prefix = parse_prefix(address);
  if (!prefix) return in.error(table.get("address"), address.empty() ? "'address' is missing: an address or CIDR block" : "not an address or CIDR block: '" + address + "'");
  out.override.exporter = *prefix;
  if (rate) out.override.rates.push_back({std::nullopt, std::nullopt, *rate, force});
  if (sampling) {
    const auto* array = sampling->as_array();
    if (!array || !array->is_homogeneous(toml::node_type::table)) return in.error(sampling, "'sampling' is written as tables, [[exporter.sampling]]");
    for (const toml::node& each : *array) SLUICE_TRY(read_sampling(*each.as_table(), file, out));
  }
  if (!interfaces.empty()) {
    // As other paths of the file: from where the server was started.
    auto names = read_interface_file(interfaces);
    if (!names.ok()) return in.error(table.get("interfaces"), names.error().message);
    out.interfaces = std::move(names).value();
  }
  return out;
}

Status read_exporters(const toml::node& node, const std::string& file, Config& config) {
  const auto* array = node.as_array();
  const std::string place = file + ":" + std::to_string(node.source().begin.line);
  if (!array || !array->is_homogeneous(toml::node_type::table)) return Error{ErrorCode::parse, place + ": 'exporter' is written as tables, [[exporter]]"};
  if (array->size() > limits::kExporterTablesMax)
    return Error{ErrorCode::too_large, place + ": more than " + std::to_string(limits::kExporterTablesMax) + " [[exporter]] tables"};
  size_t corrections = 0;
  for (const toml::node& each : *array) {
    SLUICE_ASSIGN(ExporterTable table, read_exporter(*each.as_table(), file));
    corrections += table.corrections.size();
    config.exporters.push_back(std::move(table));
  }
  if (corrections > limits::kSamplingRulesMax)
    return Error{ErrorCode::too_large, place + ": more than " + std::to_string(limits::kSamplingRulesMax) + " corrections of sampling rates"};
  return {};
}

// --- [[same-traffic]] ----------------------------------------------------------------------------------------------

Result<ingest::SameTrafficGroup> read_same_traffic(const toml::table& table, const std::string& file) {
  TableReader in(table, file, "[[same-traffic]]");
  ingest::SameTrafficGroup out;
  std::string tolerance;
  SLUICE_TRY(in.text("name", out.name));
  SLUICE_TRY(in.text("tolerance", tolerance));
  const auto each = [&](std::string_view name, auto&& take) -> Status {
    const toml::node* node = in.find(name);
    if (!node) return {};
    const auto list = text_of(*node);
    if (!list) return in.error(node, "'" + std::string(name) + "' is a list of texts");
    return each_item(*list, [&](std::string_view item) -> Status {
      const std::string why = take(item);
      return why.empty() ? Status() : Status(in.error(node, why + ": '" + std::string(item) + "'"));
    });
  };
  SLUICE_TRY(each("exporters", [&](std::string_view item) -> std::string {
    const auto prefix = parse_prefix(item);
    if (!prefix) return "not an address or CIDR block";
    out.exporters.push_back(*prefix);
    return {};
  }));
  SLUICE_TRY(each("sources", [&](std::string_view item) -> std::string {
    const auto code = kSource.code_of(item);
    if (!code) return "there is no source";
    if (!ingest::tells_reporter(static_cast<Source>(*code))) return "its records do not tell who reports (exporters are named by address)";
    out.sources.push_back(static_cast<Source>(*code));
    return {};
  }));
  SLUICE_TRY(in.finish());
  if (out.name.empty()) return in.error(nullptr, "'name' is missing");
  if (out.exporters.empty() && out.sources.empty()) return in.error(nullptr, "'exporters' or 'sources' are missing: who looks at the same traffic");
  if (!tolerance.empty()) {
    const auto parsed = parse_duration(tolerance);
    if (!parsed || *parsed < 0 || *parsed > limits::kSameTrafficToleranceMax)
      return in.error(table.get("tolerance"), "'tolerance' is a duration up to " + format_duration(limits::kSameTrafficToleranceMax) + ", not '" + tolerance + "'");
    out.tolerance = *parsed;
  }
  return out;
}

// --- [[feed]] ------------------------------------------------------------------------------------------------------

bool is_declared_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

// One declared table: its name, and the keys of `own`, go where those point; what its kind makes of the others is seen when it is made.
Status read_declared(const toml::table& table, const std::string& file_name, std::string_view noun, ingest::DeclaredSettings& out,
                     std::initializer_list<std::pair<std::string_view, std::string*>> own) {
  const auto place_of = [&](const toml::node& node) { return file_name + ":" + std::to_string(node.source().begin.line); };
  out.place = place_of(table);
  for (const auto& [key, node] : table) {
    const auto value = text_of(node);
    if (!value) return Error{ErrorCode::parse, place_of(node) + ": '" + std::string(key.str()) + "' is text, a whole number, true or false, or a list of those"};
    const auto at = std::find_if(own.begin(), own.end(), [wanted = key.str()](const auto& o) { return o.first == wanted; });
    if (key == "name")
      out.name = *value;
    else if (at != own.end())
      *at->second = *value;
    else
      out.options[std::string(key.str())] = {*value, place_of(node)};
  }
  if (is_declared_name(out.name)) return {};
  return Error{ErrorCode::invalid_argument, out.place + ": a " + std::string(noun) + " needs a name of 1 to 64 letters, digits, '-', '_' or '.'" +
                                                (out.name.empty() ? "" : ", not '" + out.name.substr(0, 100) + "'")};
}

Result<ingest::FeedSettings> feed_of(const toml::table& table, const std::string& file_name) {
  ingest::FeedSettings feed;
  SLUICE_TRY(read_declared(table, file_name, "feed", feed, {{"kind", &feed.kind}, {"source", &feed.source}, {"format", &feed.format}}));
  if (feed.kind.empty()) return feed.error_at("kind", "is needed: where it fetches from, e.g. folder");
  return feed;
}

Result<ingest::DeclaredSettings> target_of(const toml::table& table, const std::string& file_name) {
  ingest::DeclaredSettings target = delivery::declared_target();
  SLUICE_TRY(read_declared(table, file_name, "target", target, {{"kind", &target.kind}}));
  return target;
}

Result<PushRule> push_of(const toml::table& table, const std::string& file_name) {
  PushRule rule;
  for (const auto& [key, node] : table) {
    const std::string place = file_name + ":" + std::to_string(node.source().begin.line);
    std::string* to = key == "from" ? &rule.from : key == "source" ? &rule.source : key == "format" ? &rule.format : nullptr;
    if (!to) return Error{ErrorCode::invalid_argument, place + ": a push has no key '" + std::string(key.str()) + "' (known are from, source, format)"};
    const auto value = text_of(node);
    if (!value) return Error{ErrorCode::parse, place + ": '" + std::string(key.str()) + "' is text"};
    *to = *value;
  }
  if (rule.from.empty() || rule.source.empty())
    return Error{ErrorCode::invalid_argument, file_name + ":" + std::to_string(table.source().begin.line) + ": a push needs 'from' and 'source'"};
  return rule;
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }

Result<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint endpoint{"127.0.0.1", 0, true};
  std::string_view host, port = text;
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.starts_with('[') && host.ends_with(']'))
      host = host.substr(1, host.size() - 2);
    else if (host.find(':') != std::string_view::npos)
      return bad("an IPv6 address is written in brackets, as in [::1]:8080", text);
  }
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (port.empty() || error != std::errc() || end != port.data() + port.size() || number > 65'535)
    return bad("not an address and port such as 127.0.0.1:8080", text);
  endpoint.port = static_cast<uint16_t>(number);
  if (host.empty() || host == "localhost") return endpoint;
  if (host == "*") host = "0.0.0.0";
  const auto ip = parse_ip(host);
  if (!ip) return bad("not an IP address to listen on (names are not looked up)", text);
  endpoint.address = host;
  static const IpAddress kLoopback6 = IpAddress::from_halves(0, 1);
  endpoint.is_loopback = ip->is_v4() ? ip->v4_value() >> 24 == 127 : *ip == kLoopback6;
  return endpoint;
}

std::string to_string(const Endpoint& endpoint) {
  const bool is_v6 = endpoint.address.find(':') != std::string::npos;
  return (is_v6 ? "[" + endpoint.address + "]" : endpoint.address) + ":" + std::to_string(endpoint.port);
}

Result<uint64_t> parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !(number >= 0)) return bad("not a size such as 100GB or 1.5GiB", text);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},        {"B", 1},           {"KB", 1e3},           {"kB", 1e3},            {"MB", 1e6},          {"GB", 1e9},
      {"TB", 1e12},   {"KiB", 1024.0},    {"MiB", 1048576.0},    {"GiB", 1073741824.0},  {"TiB", 1099511627776.0}};
  for (const auto& [name, factor] : kUnits) {
    if (unit != name) continue;
    const double bytes = number * factor;
    if (bytes > 9e18) break;
    return static_cast<uint64_t>(std::llround(bytes));
  }
  return bad("not a size such as 100GB or 1.5GiB", text);
}

Status apply_setting(Config& config, std::string_view name, std::string_view value) {
  for (const Setting& setting : kSettings) {
    if (setting.name != name) continue;
    Status status = setting.apply(config, value);
    if (!status.ok()) return std::move(status).error().with(name);
    return {};
  }
  return Error{ErrorCode::not_found, "there is no setting '" + std::string(name) + "'"};
}

Status load_config_text(Config& config, std::string_view text, const std::string& file_name) {
  const toml::parse_result parsed = toml::parse(text, file_name);
  if (!parsed) {
    const auto& error = parsed.error();
    return Error{ErrorCode::parse, file_name + ":" + std::to_string(error.source().begin.line) + ": " + std::string(error.description())};
  }
  for (const auto& [key, node] : parsed.table()) {
    const std::string place = file_name + ":" + std::to_string(node.source().begin.line);
    if (key.str() == "exporter") {
      SLUICE_TRY(read_exporters(node, file_name, config));
      continue;
    }
    if (key == "same-traffic") {
      const auto* tables = node.as_array();
      if (!tables || !tables->is_array_of_tables()) return Error{ErrorCode::parse, place + ": 'same-traffic' is written as tables, [[same-traffic]]"};
      size_t exporters = 0;
      for (const auto& table : *tables) {
        SLUICE_ASSIGN(ingest::SameTrafficGroup group, read_same_traffic(*table.as_table(), file_name));
        exporters += group.exporters.size();
        config.same_traffic.push_back(std::move(group));
      }
      if (config.same_traffic.size() > limits::kSameTrafficGroupsMax || exporters > limits::kSameTrafficExportersMax)
        return Error{ErrorCode::too_large, place + ": more than " + std::to_string(limits::kSameTrafficGroupsMax) + " [[same-traffic]] tables, or more than " +
                                               std::to_string(limits::kSameTrafficExportersMax) + " exporters in them"};
      continue;
    }
    if (key == "geo" && node.is_table()) {  // [geo] country = …, asn = …
      for (const auto& [member, file] : *node.as_table()) {
        const std::string at = file_name + ":" + std::to_string(file.source().begin.line);
        if (member != "country" && member != "asn") return Error{ErrorCode::parse, at + ": [geo] has 'country' and 'asn', not '" + std::string(member.str()) + "'"};
        if (!file.is_string()) return Error{ErrorCode::parse, at + ": '" + std::string(member.str()) + "' is the path of a file"};
        SLUICE_TRY(apply_setting(config, "geo-" + std::string(member.str()), file.as_string()->get()));
      }
      continue;
    }
    if (key == "feed" || key == "push" || key == "target" || key == "forward") {
      const std::string name(key.str());
      const auto* tables = node.as_array();
      if (!tables || !tables->is_array_of_tables()) return Error{ErrorCode::parse, place + ": a " + name + " is declared as [[" + name + "]]"};
      for (const auto& table : *tables) {
        if (name == "feed") {
          SLUICE_ASSIGN(ingest::FeedSettings feed, feed_of(*table.as_table(), file_name));
          config.feeds.push_back(std::move(feed));
        } else if (name == "target") {
          SLUICE_ASSIGN(ingest::DeclaredSettings target, target_of(*table.as_table(), file_name));
          config.targets.push_back(std::move(target));
        } else if (name == "forward") {
          ingest::DeclaredSettings forward = delivery::declared_forward();
          SLUICE_TRY(read_declared(*table.as_table(), file_name, "forward", forward, {}));
          config.forwards.push_back(std::move(forward));
        } else {
          SLUICE_ASSIGN(PushRule rule, push_of(*table.as_table(), file_name));
          config.pushes.push_back(std::move(rule));
        }
      }
      continue;
    }
    const auto value = text_of(node);
    if (!value) return Error{ErrorCode::parse, place + ": '" + std::string(key.str()) + "' is text, a whole number or a list of those"};
    Status status = apply_setting(config, key.str(), *value);
    if (!status.ok()) return std::move(status).error().with(place);
  }
  return {};
}

Status load_config_file(Config& config, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error::from_errno("cannot open the configuration file " + path, errno);
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return Error{ErrorCode::io, "cannot read the configuration file " + path + ": it is a folder"};  // which reads as empty
  std::ostringstream text;
  text << file.rdbuf();
  return load_config_text(config, text.str(), path);
}

Status check_exposure(const Config& config, std::optional<bool> has_tokens) {
  if (!config.http.is_loopback) {
    std::string missing;
    if (config.tls_cert.empty()) missing = "TLS (--tls-cert and --tls-key)";
    const std::string token = "a token (sluiced token add --data " + config.data + " --role admin --name NAME)";
    if (has_tokens == false) missing += (missing.empty() ? "" : " and ") + token;
    else if (!has_tokens && !missing.empty()) missing += "; it needs " + token + ", too";
    if (!missing.empty())
      return Error{ErrorCode::forbidden, "refusing to serve HTTP beyond loopback on " + to_string(config.http) + " without " + missing};
  }
  const std::pair<const char*, const std::vector<Endpoint>*> kinds[] = {{"NetFlow", &config.netflow}, {"sFlow", &config.sflow}};
  for (const auto& [name, sockets] : kinds)
    for (const Endpoint& endpoint : *sockets)
      if (!endpoint.is_loopback && config.netflow_allow.empty())
        return Error{ErrorCode::forbidden, std::string("refusing to receive ") + name + " beyond loopback on " + to_string(endpoint) +
                                               " without --netflow-allow: name the exporters, e.g. 10.0.0.0/8"};
  for (const auto& endpoint : {config.ipfix_tcp, config.ipfix_tls})
    if (endpoint && !endpoint->is_loopback && config.netflow_allow.empty())
      return Error{ErrorCode::forbidden, "refusing to receive IPFIX beyond loopback on " + to_string(*endpoint) +
                                             " without --netflow-allow: name the exporters, e.g. 10.0.0.0/8"};
  if (config.ipfix_tls && config.tls_cert.empty())
    return Error{ErrorCode::invalid_argument, "--ipfix-tls needs a certificate: --tls-cert and --tls-key"};
  if (!config.ipfix_tls && !config.ipfix_tls_ca.empty()) return Error{ErrorCode::invalid_argument, "--ipfix-tls-ca goes with --ipfix-tls"};
  return {};
}

}  // namespace sluice::server
