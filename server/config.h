// Configuration: flags and the TOML file share one table of settings, so every flag has the same name in the file.
//
// What the server fetches itself, and whom it tells of alerts, is declared in the file only: a [[feed]], [[target]] or [[forward]] table each.
// Order: built-in defaults, then the file of --config, then flags. An unknown key in the file is an error with its line.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/declared_settings.h"
#include "ingest/receive/feed.h"
#include "ingest/source/same_traffic.h"
#include "query/limits.h"
#include "server/exporter_table.h"
#include "server/limits.h"
#include "server/log.h"
#include "storage/model/ip.h"
#include "storage/model/limits.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

struct Endpoint {
  std::string address;  // literal, no brackets
  uint16_t port = 0;
  bool is_loopback = true;
};
// "127.0.0.1:8080", "[::1]:8080", ":8080" and "8080" (loopback), "localhost:8080".
Result<Endpoint> parse_endpoint(std::string_view text);
std::string to_string(const Endpoint& endpoint);

// What comes by a cloud's push and does not say its format itself: by the stream's ARN, the log group or the subscription.
struct PushRule {
  std::string from;  // pattern, as of file names
  std::string source, format;
};

struct Config {
  std::string data = "./sluice-data";
  Endpoint http{"127.0.0.1", 8080, true};
  std::vector<Endpoint> netflow{{"127.0.0.1", 2055, true}, {"127.0.0.1", 4739, true}};
  std::vector<Endpoint> sflow{{"127.0.0.1", 6343, true}};
  std::vector<Prefix> netflow_allow;  // of all flow packets, sFlow's too; empty: everyone, which is allowed on loopback only
  std::optional<Endpoint> ipfix_tcp, ipfix_tls;
  std::vector<ExporterTable> exporters;  // the file's [[exporter]] tables; no flag
  std::string ipfix_tls_ca;  // exporters over TLS must show a certificate of one of these
  std::string tls_cert, tls_key;
  std::string geo_country, geo_asn;  // databases of places; empty: none
  std::string backup_dir;            // where backups may be made; empty: nowhere
  DurationNs retain_age = 0;
  uint64_t retain_bytes = 0;
  DurationNs seal_age = limits::kSealAge;
  uint64_t open_bytes = limits::kOpenBytesMax;
  size_t threads = 0;  // 0: one per core
  DurationNs query_timeout = limits::kQueryTimeout;
  uint64_t query_memory = limits::kQueryMemoryBytes;
  size_t query_concurrency = limits::kQueriesRunningMax;
  size_t query_waiting = limits::kQueriesWaitingMax;
  size_t ingest_body_bytes = limits::kIngestBodyBytesMax;
  DurationNs shutdown_grace = 10 * kSecond;
  log::Format log_format = log::Format::text;
  log::Level log_level = log::Level::info;
  std::vector<ingest::FeedSettings> feeds;  // the file's [[feed]] tables; no flag
  std::vector<ingest::DeclaredSettings> targets;  // its [[target]] tables, see delivery/target.h
  std::vector<ingest::DeclaredSettings> forwards;  // its [[forward]] tables, see delivery/forwarder.h
  std::vector<PushRule> pushes;             // its [[push]] tables, the first that fits decides
  std::vector<ingest::SameTrafficGroup> same_traffic;  // its [[same-traffic]] tables
};

struct Setting {
  std::string_view name;   // as flag (--name) and as TOML key
  std::string_view value;  // what to write, for help: "ADDR:PORT"
  std::string_view help;
  std::string_view standard;  // what holds when nothing is said, written as a value; empty: nothing, or what the help says
  Status (*apply)(Config& config, std::string_view value);
};
std::span<const Setting> settings();

// Errors name the setting. `name` may be unknown.
Status apply_setting(Config& config, std::string_view name, std::string_view value);
// Errors name file and line.
Status load_config_file(Config& config, const std::string& path);
Status load_config_text(Config& config, std::string_view text, const std::string& file_name);

// Whether this may listen as configured: beyond loopback only with tokens and TLS. `has_tokens` from the catalogue; nothing
// while that is not open: what is missing else is told at once, with the token that will be wanted.
Status check_exposure(const Config& config, std::optional<bool> has_tokens);

// "100GB", "1.5GiB", "4096": bytes. Decimal and binary units.
Result<uint64_t> parse_bytes(std::string_view text);

}  // namespace sluice::server
