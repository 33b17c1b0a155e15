// The inside of PacketDecoder: exporters, their state, and the readers of each packet format. Internal to ingest/source.
#pragma once

#include <list>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "ingest/source/netflow.h"
#include "ingest/source/netflow_record.h"
#include "ingest/source/netflow_state.h"
#include "ingest/source/sflow.h"

namespace sluice::ingest {

struct PacketDecoder::Impl {
  explicit Impl(PacketDecoderOptions o) : options(std::move(o)) {}

  // --- one packet (netflow_packet.cc) ---
  Status decode(std::span<const uint8_t> packet, const PacketSender& sender, TimestampNs received_at);
  Status fixed_format(std::span<const uint8_t> packet, Exporter& e);
  Status sflow(std::span<const uint8_t> packet, const PacketSender& sender);
  Status netflow9(std::span<const uint8_t> packet, Exporter& e);
  Status ipfix(std::span<const uint8_t> packet, Exporter& e);
  Status templates9(std::span<const uint8_t> set, Exporter& e, Domain& d, bool options_templates);
  Status templates10(std::span<const uint8_t> set, Exporter& e, Domain& d, bool options_templates);
  // A data set of a template that is known or not. `records` grows by the records seen; `counted` turns false when there may be more.
  Status data_set(uint16_t id, std::span<const uint8_t> data, Exporter& e, Domain& d, uint64_t& records, bool& counted);
  Status records(const std::shared_ptr<const Template>& t, std::span<const uint8_t> data, const PacketHeader& h, Exporter& e,
                 Domain& d, uint64_t& count, bool& counted);
  Status rows(const Template& t, const std::vector<Place>& places, const uint8_t* data, size_t stride, size_t count,
              const PacketHeader& h, Exporter& e, Domain& d);
  void sequence(Exporter& e, Domain& d, uint32_t number, std::optional<uint32_t> count, const char* unit);
  void clock(Exporter& e);

  // --- options data (netflow_options.cc) ---
  void options_record(const Template& t, const std::vector<Place>& places, const uint8_t* data, Exporter& e, Domain& d);
  void remember_rate(Exporter& e, Domain& d, std::optional<uint64_t> selector, uint64_t rate, uint8_t algorithm);
  void remember_name(Exporter& e, NameKind kind, uint64_t number, std::string name, std::string description);
  void share_rate(Exporter& e);
  void left_out(Exporter& e, Domain& d, const ReliabilityCount& now, const char* unit, const char* how);

  // --- sFlow (sflow_packet.cc) ---
  Status sflow_sample(std::span<const uint8_t> body, uint32_t format, Exporter& e, Domain& d);
  void sflow_counters(std::span<const uint8_t> body, uint32_t format, Exporter& e, Domain& d);
  void sflow_follow(const SflowSample& sample, Exporter& e, Domain& d);
  void sflow_row(const SflowSample& sample, Exporter& e, Domain& d);

  // --- state (netflow.cc) ---
  Exporter& exporter(const PacketSender& sender, TimestampNs now);
  Exporter& sflow_exporter(const IpAddress& agent, const PacketSender& sender, TimestampNs now);
  Exporter& exporter(const ExporterKey& key);
  Domain& domain(Exporter& e, uint8_t version, uint32_t id);
  Status install(TemplateDefinition definition, Exporter& e, Domain& d);
  void withdraw(Exporter& e, Domain& d, uint16_t id);
  void forget(Exporter& e, std::list<StoredTemplate>::iterator t);
  void forget(Exporter& e, std::list<Domain>::iterator d);
  void forget(std::list<Exporter>::iterator e);
  std::shared_ptr<const Template> ready(StoredTemplate& t, Exporter& e);
  const ExporterOverride* override_of(const IpAddress& ip) const;
  // False: there is no room. `plan`: as in PendingSet.
  Result<bool> hold(uint16_t id, uint16_t waits_for, std::shared_ptr<const Template> plan, std::span<const uint8_t> data, const PacketHeader& h, Exporter& e, Domain& d);
  Status release(uint16_t id, Exporter& e, Domain& d);
  void drop(std::list<PendingSet>::iterator p);
  // What `work` counts while its rows go to `rows` and `to`.
  template <typename Work>
  Result<PacketCounts> counted(FlowBatchBuilder& rows, const FlowSink& to, Work&& work) {
    counts = {};
    out = &rows;
    sink = &to;
    const Status status = work();
    out = nullptr;
    sink = nullptr;
    if (!status.ok()) return status.error();
    return counts;
  }
  // Writes records whose structured data waited in vain, without that.
  Status give_up_waiting(TimestampNs now, const Exporter* only = nullptr);
  Status write_waiting(std::list<PendingSet>::iterator p);  // REQUIRES: it has a plan
  ExporterKey key_of(const PacketSender& sender) const {
    return {sender.ip, options.key_by_port || sender.session != 0 ? sender.port : uint16_t{0}, sender.session, {}};
  }
  // Charges the exporter for state that it makes us keep; false, and counted, when there is no room for it. `was`: what the
  // entry in its place costs now.
  bool charge(Exporter& e, size_t bytes, size_t was = 0);
  void discharge(Exporter& e, size_t bytes);
  void changed(const Exporter& e, std::string key, std::string value);
  void name_changed(const Exporter& e, uint8_t kind, uint64_t number, std::string value);
  void note_change(std::string key, std::string value);
  void forget_oldest_total(Exporter& e);
  void error(Exporter& e, uint32_t domain, uint16_t template_id, const char* reason);
  void lost(Exporter& e, Domain& d, uint64_t units, const char* unit, const char* how);
  bool load(const std::string& key, const std::string& value);

  PacketDecoderOptions options;

  std::list<Exporter> exporters;  // the most recently heard first
  std::unordered_map<ExporterKey, std::list<Exporter>::iterator, ExporterKeyHash> by_key;
  size_t templates_total = 0, template_fields_total = 0, name_bytes_total = 0;
  size_t state_bytes_total = 0;
  size_t totals_total = 0;  // flows of running totals that exporters' states remember
  uint64_t names_version = 0;
  std::list<PendingSet> pending;  // the oldest first
  size_t pending_bytes = 0;
  size_t pending_records = 0;             // of `pending`, those with a plan
  TimestampNs pending_records_at = 0;     // when they were looked through

  // Reasons are literals, so that their addresses tell them apart.
  struct ErrorKey {
    IpAddress ip;
    uint32_t domain;
    uint16_t template_id;
    const char* reason;
    auto operator<=>(const ErrorKey&) const = default;
  };
  std::list<PacketError> errors;  // the newest last
  std::map<ErrorKey, std::list<PacketError>::iterator> error_index;
  std::list<LossRange> losses;    // the newest last
  std::map<std::string, std::string> changes;

  // Of the packet at hand.
  PacketHeader header;
  PacketCounts counts;
  int shares_left = 0;  // see limits::kSharedRatesPerPacket
  FlowBatchBuilder* out = nullptr;
  const FlowSink* sink = nullptr;

  RecordWriter writer;
  std::vector<Place> places;
  SflowSample sample;  // scratch, kept for its memory; so is:
  std::string extra;
};

// What lost() calls a gap in sequence numbers.
inline constexpr const char* kBySequence = "by its sequence numbers";

}  // namespace sluice::ingest
