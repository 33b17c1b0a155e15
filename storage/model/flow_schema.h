// The one table of columns: what a normalized flow is made of, and every name it answers to.
//
// To add a column, add one row to flow_schema.cc and one enumerator here, at the end (the number is on disk). Sources:
// shared vocabulary of RFC 7012 / IANA IPFIX elements, Elastic Common Schema, OCSF 1.x Network Activity (class 4001), and
// the clouds' own field names.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice {

// What a value means to a user. It decides parsing, printing and which operators apply.
enum class LogicalType : uint8_t {
  uint,        // physical U8..U64
  int64,       // physical I64 (results of arithmetic)
  float64,     // physical F64
  boolean,     // physical U8, 0 or 1
  string,      // physical Str
  ip,          // physical Ip
  mac,         // physical U64, see MacAddress
  timestamp,   // physical I64, ns since the epoch
  duration,    // physical I64, ns
  flags,       // physical U16, TCP control bits (RFC 9293)
  enumeration, // physical U8: index into EnumSpec::names; a string to users
  list,        // physical Str: list of strings, see text_list.h
  extra,       // physical Str: key = value pairs, see text_list.h
  port,        // physical U16: a uint that also answers to service names
  protocol,    // physical U8: a uint that also answers to protocol names
};

// How values lie in memory.
enum class PhysicalType : uint8_t { U8, U16, U32, U64, I64, F64, Ip, Str };

std::string_view to_string(LogicalType type);
std::string_view to_string(PhysicalType type);
// Bytes per value in memory; 0 for Str.
size_t width_of(PhysicalType type);

// What storage keeps beside the column to find its values.
enum class IndexKind : uint8_t {
  none,       // zone map only
  postings,   // for each value, the granules that hold it
  address,    // sorted dictionary + postings, both sides in one
  dictionary, // sorted dictionary, no postings
};

// The closed set of an enumeration column. Code i is names[i]; codes are on disk, so names are only ever added at the end.
struct EnumSpec {
  std::string_view name;
  std::span<const std::string_view> names;

  std::optional<uint8_t> code_of(std::string_view text) const;  // case-insensitive
  std::string_view name_of(uint8_t code) const;                 // "?" for a code beyond the set
};

// Stored columns. The numbers are on disk: append only.
enum class ColumnId : uint8_t {
  // time
  flow_start, flow_end, exported_at, received_at, time_quality,
  // endpoints
  src_ip, dst_ip, src_port, dst_port, protocol, ip_version, icmp_type, icmp_code, src_mac, dst_mac,
  // volume, as reported (FlowQL's bytes and packets are these, scaled)
  raw_bytes, raw_packets, raw_reverse_bytes, raw_reverse_packets, flow_count, dropped_bytes, dropped_packets, byte_basis,
  sampling_rate,
  // state
  tcp_flags, reverse_tcp_flags, flags_quality, action, reject_reason, end_reason, flow_state, direction, initiator,
  is_biflow, encryption,
  // path
  input_if, output_if, next_hop, src_as, dst_as, src_prefix_len, dst_prefix_len, vlan, inner_vlan, vni, mpls_label, vrf_in,
  vrf_out, traffic_path, tos,
  // nat
  nat_src_ip, nat_dst_ip, nat_src_port, nat_dst_port, nat_event, if_src_ip, if_dst_ip,
  // who reports
  source, exporter_ip, exporter_port, observation_domain, reporter, flow_id, duplicate,
  // cloud, each side
  src_instance_id, dst_instance_id, src_interface_id, dst_interface_id, src_vpc_id, dst_vpc_id, src_subnet_id,
  dst_subnet_id, src_account_id, dst_account_id, src_region, dst_region, src_zone, dst_zone, src_service, dst_service,
  src_k8s_namespace, dst_k8s_namespace, src_k8s_pod, dst_k8s_pod, src_k8s_workload, dst_k8s_workload,
  cloud, rule_name, log_status,
  // application
  app, app_id, user_name,
  // enrichment, each side
  src_host, dst_host, src_country, dst_country, src_city, dst_city, src_as_name, dst_as_name, src_is_internal,
  dst_is_internal, src_labels, dst_labels, src_threat, dst_threat, direction_class,
  // the rest
  extra,
};
inline constexpr size_t kColumnCount = static_cast<size_t>(ColumnId::extra) + 1;

struct ColumnSpec {
  ColumnId id;
  std::string_view name;
  LogicalType type;
  PhysicalType physical;
  IndexKind index;
  std::string_view unit;        // "bytes", "packets", "ns", "" …
  std::string_view doc;         // one sentence
  const EnumSpec* enumeration;  // for LogicalType::enumeration, else nullptr
  std::string_view ipfix;       // IPFIX element names, space separated
  std::string_view ecs;         // Elastic Common Schema names, space separated
  std::string_view ocsf;        // OCSF 4001 names, space separated
  std::string_view aliases;     // short names and cloud names, space separated
};

// All stored columns, indexed by ColumnId.
std::span<const ColumnSpec> flow_columns();
const ColumnSpec& column_spec(ColumnId id);

// Columns that FlowQL computes from stored ones. `bytes` is raw_bytes × sampling_rate (an unknown rate counts as 1 and is
// reported), and so on; `duration` is flow_end − flow_start.
enum class DerivedColumn : uint8_t { bytes, packets, reverse_bytes, reverse_packets, duration };
struct DerivedSpec {
  DerivedColumn id;
  std::string_view name;
  LogicalType type;
  std::string_view unit, doc, ipfix, ecs, ocsf, aliases;
};
std::span<const DerivedSpec> derived_columns();

// Names that mean "source or destination": `ip`, `port`, `instance_id`/`instance`, `asn` …
struct EitherSpec {
  std::string_view name;
  std::string_view aliases;  // space separated
  ColumnId src, dst;
};
std::span<const EitherSpec> either_columns();

// What a name in a query means. Exact, case-insensitive, over names and all aliases.
struct ColumnName {
  enum class Kind : uint8_t { stored, derived, either } kind;
  ColumnId stored{};               // kind stored
  DerivedColumn derived{};         // kind derived
  const EitherSpec* either = nullptr;  // kind either

  bool operator==(const ColumnName&) const = default;
};
std::optional<ColumnName> find_column(std::string_view name);

// The enumerations, for decoders: `kAction.code_of("reject")` or the constants below, which tests hold against the tables.
extern const EnumSpec kTimeQuality, kByteBasis, kFlagsQuality, kAction, kEndReason, kFlowState, kDirection, kInitiator, kSource,
    kReporter, kDirectionClass;

enum class TimeQuality : uint8_t { exact, estimated, clamped };
enum class ByteBasis : uint8_t { layer3, layer2, payload };
enum class FlagsQuality : uint8_t { all, syn_fin_rst_only, none };
enum class Action : uint8_t { accept, reject, drop, unknown };
// Codes 1..5 are IPFIX flowEndReason (136).
enum class EndReason : uint8_t { unknown, idle_timeout, active_timeout, end_of_flow, forced_end, lack_of_resources };
enum class FlowState : uint8_t { begin, cont, end };
enum class Direction : uint8_t { ingress, egress };
enum class Initiator : uint8_t { src, dst, unknown };
enum class Source : uint8_t {
  unknown, aws_vpc, aws_tgw, azure_vnet, azure_nsg, gcp_vpc, ibm_vpc, oci_vcn, netflow1, netflow5, netflow7, netflow9, ipfix,
  sflow5, zeek, suricata, hubble,
};
enum class Reporter : uint8_t { src, dst, middle };
enum class DirectionClass : uint8_t { inbound, outbound, internal, external };

}  // namespace sluice
