// What a PacketDecoder knows of its exporters while it runs: templates, sampling, names, sequence numbers, waiting data.
// Internal to ingest/source; exporter.h holds what leaves it.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ingest/source/exporter.h"
#include "ingest/source/running_totals.h"
#include "ingest/source/template.h"

namespace sluice::ingest {

// Follows one stream of sequence numbers, mod 2^32. The unit (packets, flows, records) is the caller's.
class SequenceTracker {
 public:
  struct Verdict {
    uint64_t lost = 0;       // missing before this packet
    uint64_t recovered = 0;  // counted as lost before, came late
    bool duplicate = false;
    bool restart = false;
  };
  // A packet whose first unit is `sequence` and that holds `count`; nullopt: nobody can tell (unknown template).
  // `restarted`: something else (uptime) says that the exporter began anew.
  Verdict observe(uint32_t sequence, std::optional<uint32_t> count, bool restarted);

 private:
  struct Gap {
    uint32_t from, length;
  };
  void begin(uint32_t sequence, std::optional<uint32_t> count);

  std::optional<uint32_t> expected_;
  std::array<Gap, 16> gaps_{};
  size_t gap_count_ = 0;
  uint32_t stray_expected_ = 0;
  int strays_ = 0;
};

struct ExporterKey {
  IpAddress ip;
  uint16_t port = 0;  // 0 unless ports tell exporters apart
  uint64_t session = 0;
  IpAddress sender;   // of an sFlow agent, whose `ip` is what the datagram says; else all zero
  bool operator==(const ExporterKey&) const = default;
};
struct ExporterKeyHash {
  size_t operator()(const ExporterKey& k) const {
    return hash_of(k.ip) ^ (k.session * 0x9e3779b97f4a7c15ull) ^ (static_cast<uint64_t>(k.port) << 32) ^
           (hash_of(k.sender) * 0x9e3779b97f4a7c15ull);
  }
};

// What a data set needs from its packet, kept with it when it has to wait.
struct PacketHeader {
  Source source = Source::unknown;
  uint8_t version = 0;  // 1, 5, 7, 9, 10, kSflowDomain
  uint32_t domain = 0;
  TimestampNs received_at = 0;
  TimestampNs exported_at = 0;
  std::optional<uint32_t> uptime_ms;
  uint16_t port = 0;
  IpAddress reported_by;  // as the message's own options say (RFC 5655 §8.1); all zero: they do not
};

struct Exporter;
struct Domain;

// The version of domains that are sub-agents of sFlow v5; NetFlow has a 5 of its own.
inline constexpr uint8_t kSflowDomain = 105;

// One data source of a sub-agent, for one kind of its samples: each numbers them on its own.
struct SflowSource {
  SequenceTracker sequence;
  bool known = false;  // what follows is
  uint32_t number = 0, pool = 0, drops = 0, rate = 0;
};

// An interface as the last counter sample told it.
struct SflowInterface {
  uint64_t speed = 0;
  bool admin_up = false, oper_up = false;
  bool operator==(const SflowInterface&) const = default;
};

struct StoredTemplate {
  Domain* domain = nullptr;
  TemplateDefinition definition;
  std::shared_ptr<const Template> ready;  // made when first used
  uint32_t generation = 0;                // of the exporter, when made
};

// Data that waits for a template: a set for its own, or a record for one that its structured data wants.
struct PendingSet {
  Exporter* exporter = nullptr;
  Domain* domain = nullptr;
  uint16_t template_id = 0;
  uint16_t waits_for = 0;
  std::shared_ptr<const Template> plan;  // of a record; nullptr: a set, whose template is not known
  PacketHeader header;
  std::vector<uint8_t> data;
};

// What a metering or exporting process says that it left out so far (RFC 7011 §4.2, §4.3).
struct ReliabilityCount {
  uint16_t element = 0;
  uint64_t process = 0;
  uint64_t count = 0;
};

struct Domain {
  uint8_t version = 0;
  uint32_t id = 0;
  std::unordered_map<uint16_t, std::list<StoredTemplate>::iterator> templates;
  std::unordered_map<uint64_t, SamplingRate> selectors;
  size_t interface_rates = 0;    // of the selectors, those told in the scope of an interface
  std::optional<uint32_t> rate;  // without a selector
  uint8_t algorithm = 0;
  std::optional<int64_t> system_init_ms;
  bool unsaved = false;  // rates or time of boot changed since they were last given out to be kept
  SequenceTracker sequence;
  TimestampNs last_packet_at = 0;
  std::optional<uint32_t> last_uptime;
  std::vector<ReliabilityCount> reliability;
  std::unordered_map<uint16_t, std::vector<std::list<PendingSet>::iterator>> pending;
  std::unordered_map<uint64_t, SflowSource> sources;  // by kind of sample, class and index
};

// Rates told in the scope of one interface stand among the selectors, where no record's selector can name them.
inline constexpr uint64_t kInterfaceSelector = uint64_t{1} << 63;
inline uint64_t interface_selector(uint64_t interface) { return kInterfaceSelector | interface; }

struct Exporter {
  ExporterKey key;
  const ExporterOverride* override = nullptr;  // of the decoder's options
  ExporterStats stats;
  IpAddress reported_by;                    // of a file, as its session's options say (RFC 5655 §8.1)
  std::list<Domain> domains;                // the most recently used first
  std::list<StoredTemplate> templates;      // the most recently used first
  size_t template_fields = 0;
  size_t pending_bytes = 0;
  std::map<std::pair<uint8_t, uint64_t>, std::pair<std::string, std::string>> names;  // (kind, number) -> name, description
  std::map<std::pair<uint32_t, uint16_t>, ElementInfo> elements;                       // RFC 5610
  // What domains agree on, for those that were told nothing: a rate for all, and rates by sampler (nullopt: they differ).
  // Made anew when first asked for after a change.
  std::optional<uint32_t> shared_rate;
  std::unordered_map<uint64_t, std::optional<uint32_t>> shared_selectors;
  bool shared_stale = false;
  std::unordered_map<uint32_t, SflowInterface> interfaces;  // by ifIndex
  RunningTotals totals;
  size_t sflow_sources = 0;  // of all domains
  size_t selectors = 0;      // of all domains
  size_t state_bytes = 0;    // of names, elements, selectors and domains, as Impl::charge() counts them
  bool unsaved = false;      // some domain is
  bool elements_changed = false;  // plans are made anew from the next packet on
  bool fortinet = false;
  uint32_t generation = 1;  // goes up when plans must be made anew

  bool is_sflow_agent() const { return key.sender != IpAddress{}; }
  // Streams begin anew. Of sFlow agents names alone are kept: the rest comes with each sample.
  bool persistent() const { return key.session == 0 && !is_sflow_agent(); }
};

// Keys and values of the kept state. Keys begin with their kind and the exporter: "t/IP32HEX/PORT/…"; an interface of an sFlow agent
// is "f/AGENT32HEX/PORT/SENDER/SENDER/…", the sender's address as two numbers.
namespace state {
std::string template_key(const ExporterKey& e, const Domain& d, uint16_t id);
std::string domain_key(const ExporterKey& e, const Domain& d);
std::string name_key(const ExporterKey& e, uint8_t kind, uint64_t number);
std::string element_key(const ExporterKey& e, uint32_t pen, uint16_t id);
std::string profile_key(const ExporterKey& e);
std::string total_key(const ExporterKey& e, uint64_t flow);

std::string encode(const TemplateDefinition& t);
std::string encode_domain(const Domain& d);
std::string encode_name(std::string_view name, std::string_view description);
std::string encode_element(const ElementInfo& e);
std::string encode_profile(bool fortinet);
std::string encode_total(const TotalCounters& last, TimestampNs at);

struct Key {
  char kind = 0;
  ExporterKey exporter;
  uint64_t first = 0, second = 0, third = 0;  // as the kind has it
};
std::optional<Key> parse_key(std::string_view key);
// nullopt/false for values of another version, or that do not hold together.
std::optional<TemplateDefinition> decode_template(std::string_view value, uint16_t id);
bool decode_domain(std::string_view value, Domain& into);
std::optional<std::pair<std::string, std::string>> decode_name(std::string_view value);
std::optional<ElementInfo> decode_element(std::string_view value);
std::optional<bool> decode_profile(std::string_view value);
std::optional<std::pair<TotalCounters, TimestampNs>> decode_total(std::string_view value);
}  // namespace state

}  // namespace sluice::ingest
