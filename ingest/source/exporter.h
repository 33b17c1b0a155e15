// What is known of an exporter: where it is, what it has told, what was lost on the way, how far its clock is off.
//
// These are the plain copies that leave a PacketDecoder for `show exporters`, metrics and answers' warnings; the decoder
// keeps its live state to itself. Times are nanoseconds since the epoch, volumes are counts since the decoder was made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/model/flow_schema.h"
#include "storage/model/ip.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// Who sent a packet. `session` is 0 for UDP; a TCP connection, a file or any other stream that starts with no templates
// has its own number, and ends with PacketDecoder::end_session.
struct PacketSender {
  IpAddress ip;
  uint16_t port = 0;
  uint16_t local_port = 0;
  uint64_t session = 0;

  bool operator==(const PacketSender&) const = default;
};

struct SamplingRate {
  uint64_t selector = 0;  // samplerId, selectorId; 0 for a rate without one
  bool has_selector = false;
  uint32_t rate = 1;      // one packet in this many
  uint8_t algorithm = 0;  // selectorAlgorithm (IPFIX element 304) or samplingAlgorithm (35), as announced
};

struct ExporterStats {
  IpAddress ip;            // of sFlow the agent's address, which the datagram tells
  IpAddress sender;        // where its packets came from; differs from `ip` for sFlow agents behind a relay
  uint16_t port = 0;       // of the last packet
  uint64_t session = 0;
  bool is_agent = false;   // of sFlow: one address may send NetFlow too, as another exporter
  uint16_t own_port = 0;   // where ports tell exporters of one address apart; else 0
  std::string origin;      // "upload" or "feed NAME", where its packets lay in what was sent or fetched; empty: they came from itself
  TimestampNs told_at = 0; // with an origin: when that was; the times that follow are those of the packets
  TimestampNs first_seen = 0, last_seen = 0;
  std::vector<Source> formats;             // what it sends: netflow5, netflow9, ipfix …
  std::vector<uint32_t> domains;           // observation domains, source ids, engine_type·256 + engine_id, or sub-agents
  uint64_t packets = 0, bytes = 0;         // as received, bad ones included
  uint64_t flows = 0;                      // rows made
  uint64_t options_records = 0;            // options data, which are no flows
  uint64_t templates = 0;                  // live now
  uint64_t template_changes = 0;           // definitions that replaced a different one
  uint64_t templates_evicted = 0;          // forgotten at a limit
  uint64_t bad_packets = 0, bad_sets = 0, bad_records = 0;
  uint64_t unsupported_packets = 0;        // NetFlow v6, v8 and other versions
  uint64_t pending_bytes = 0;              // data waiting for its template now
  uint64_t pending_decoded = 0;            // sets that waited and were decoded
  uint64_t pending_dropped = 0;            // sets dropped for age or at a limit, or that no template explains
  uint64_t lost = 0;                       // by sequence numbers, in lost_unit
  uint64_t reordered = 0, duplicates = 0, restarts = 0;
  std::string lost_unit;                   // "flows", "packets" or "records"
  uint64_t clamped_times = 0;              // rows whose end lay too far in the future
  uint64_t estimated_times = 0;            // rows whose end was not told
  DurationNs clock_skew = 0;               // exporter's clock minus ours, at the last packet
  DurationNs clock_skew_min = 0, clock_skew_max = 0;
  bool sampling_known = false;
  std::vector<SamplingRate> sampling;
  uint64_t names = 0;                      // interface, VRF and application names told
  uint64_t state_refused = 0;              // names, elements, samplers and domains that found no room
  size_t state_bytes = 0;                  // what those kept cost
  // sFlow
  uint64_t counter_samples = 0;            // interface counters, which are no flows
  uint64_t discards = 0;                   // rows of discarded packets
  uint64_t unknown_formats = 0;            // samples and records of formats that are not read, skipped by their length
  uint64_t lost_samples = 0;               // flow samples, by each data source's own numbers; those of lost datagrams too
  uint64_t sample_drops = 0;               // samples that the agent had no resources to take, as it says
  uint64_t sample_pool = 0, samples_taken = 0;  // packets that could have been sampled, and samples, over the same time
  std::optional<uint64_t> reported_flows, reported_messages, reported_bytes;  // elements 42, 41, 40: its own totals
};

// A stretch of time in which sequence numbers, or the exporter's own count, say that something is missing.
struct LossRange {
  IpAddress exporter;
  uint32_t domain = 0;
  Source format = Source::unknown;
  TimeRange range;        // by received_at, half-open
  uint64_t lost = 0;      // in `unit`
  std::string unit;       // "flows", "packets", "records", "observed packets", "samples" or "drop events"
  std::string how;        // "by its sequence numbers", "the agent …"
};

// One kind of trouble, however often it came.
struct PacketError {
  IpAddress exporter;
  uint16_t port = 0;
  uint32_t domain = 0;
  uint16_t template_id = 0;  // or set id, or format of an sFlow sample or record; 0 when there is none
  std::string reason;
  uint64_t count = 0;
  TimestampNs first = 0, last = 0;
};

enum class NameKind : uint8_t { interface, vrf, application };
// What an exporter said in its options data or counter samples about a number that its flows carry.
struct ExporterName {
  IpAddress exporter;
  NameKind kind = NameKind::interface;
  uint64_t number = 0;      // ifIndex, VRF id, application id (as column app_id)
  std::string name;
  std::string description;
  // Of interfaces, from sFlow counters.
  std::optional<uint64_t> speed;  // bits per second
  std::optional<bool> admin_up, oper_up;
};

// How one exporter's sequence numbers count, for those that do not follow their standard.
enum class SequenceUnit : uint8_t { standard, packets, records, none };
// What elements 23/24 (and 171/172) of an exporter mean. `standard`: the same direction after the box; `reverse`: the
// other direction (Fortinet, Cisco Meraki). `automatic`: reverse once the exporter shows itself as Fortinet.
enum class PostCounters : uint8_t { automatic, standard, reverse };

// A rate that an operator gives: of all, or of one observation domain, or of one interface (input, or output for flows whose
// direction is egress), or of both.
struct RateOverride {
  std::optional<uint32_t> domain = {}, interface = {};
  uint32_t rate = 1;
  bool force = false;  // true: beats what the exporter says; false: used when it says nothing

  bool operator==(const RateOverride&) const = default;
};

// What an operator knows better than the exporter. Of several that hold an exporter's address the longest prefix counts.
struct ExporterOverride {
  Prefix exporter = {};
  std::vector<RateOverride> rates = {};  // an interface's beats a domain's, which beats that of all; among equals the last counts
  SequenceUnit sequence = SequenceUnit::standard;
  PostCounters post_counters = PostCounters::automatic;
};

}  // namespace sluice::ingest
