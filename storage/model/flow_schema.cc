#include "storage/model/flow_schema.h"

#include <algorithm>
#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/model/result.h"

namespace sluice {
namespace {

constexpr std::string_view kTimeQualityNames[] = {"exact", "estimated", "clamped"};
constexpr std::string_view kByteBasisNames[] = {"layer3", "layer2", "payload"};
constexpr std::string_view kFlagsQualityNames[] = {"all", "syn_fin_rst_only", "none"};
constexpr std::string_view kActionNames[] = {"accept", "reject", "drop", "unknown"};
constexpr std::string_view kEndReasonNames[] = {"unknown",     "idle_timeout", "active_timeout",
                                                "end_of_flow", "forced_end",   "lack_of_resources"};
constexpr std::string_view kFlowStateNames[] = {"begin", "continue", "end"};
constexpr std::string_view kDirectionNames[] = {"ingress", "egress"};
constexpr std::string_view kInitiatorNames[] = {"src", "dst", "unknown"};
constexpr std::string_view kSourceNames[] = {"unknown",  "aws_vpc",  "aws_tgw",  "azure_vnet", "azure_nsg", "gcp_vpc",
                                             "ibm_vpc",  "oci_vcn",  "netflow1", "netflow5",   "netflow7",  "netflow9",
                                             "ipfix",    "sflow5",   "zeek",     "suricata",   "hubble"};
constexpr std::string_view kReporterNames[] = {"src", "dst", "middle"};
constexpr std::string_view kDirectionClassNames[] = {"inbound", "outbound", "internal", "external"};

}  // namespace

extern constexpr EnumSpec kTimeQuality{"time_quality", kTimeQualityNames};
extern constexpr EnumSpec kByteBasis{"byte_basis", kByteBasisNames};
extern constexpr EnumSpec kFlagsQuality{"flags_quality", kFlagsQualityNames};
extern constexpr EnumSpec kAction{"action", kActionNames};
extern constexpr EnumSpec kEndReason{"end_reason", kEndReasonNames};
extern constexpr EnumSpec kFlowState{"flow_state", kFlowStateNames};
extern constexpr EnumSpec kDirection{"direction", kDirectionNames};
extern constexpr EnumSpec kInitiator{"initiator", kInitiatorNames};
extern constexpr EnumSpec kSource{"source", kSourceNames};
extern constexpr EnumSpec kReporter{"reporter", kReporterNames};
extern constexpr EnumSpec kDirectionClass{"direction_class", kDirectionClassNames};

namespace {

using C = ColumnId;
using L = LogicalType;
using P = PhysicalType;
using I = IndexKind;

// id, name, type, physical, index, unit, doc, enumeration, ipfix, ecs, ocsf, aliases
constexpr ColumnSpec kColumns[] = {
    {C::flow_start, "flow_start", L::timestamp, P::I64, I::none, "ns", "First packet of the flow", nullptr,
     "flowStartMilliseconds flowStartSeconds flowStartMicroseconds flowStartNanoseconds flowStartSysUpTime flowStartDeltaMicroseconds", "event.start",
     "start_time traffic.start_time", "start first_switched"},
    {C::flow_end, "flow_end", L::timestamp, P::I64, I::none, "ns", "Last packet of the flow; the time that ranges, bins and retention use", nullptr,
     "flowEndMilliseconds flowEndSeconds flowEndMicroseconds flowEndNanoseconds flowEndSysUpTime flowEndDeltaMicroseconds", "event.end @timestamp",
     "end_time traffic.end_time time", "end ts last_switched timestamp"},
    {C::exported_at, "exported_at", L::timestamp, P::I64, I::none, "ns", "When the exporter sent the record, by its own clock", nullptr, "", "event.created",
     "metadata.original_time", "export_time"},
    {C::received_at, "received_at", L::timestamp, P::I64, I::none, "ns", "When Sluice took the record in", nullptr, "collectionTimeMilliseconds",
     "event.ingested", "metadata.logged_time", ""},
    {C::time_quality, "time_quality", L::enumeration, P::U8, I::none, "", "How far flow_start and flow_end can be trusted", &kTimeQuality, "", "", "", ""},
    {C::src_ip, "src_ip", L::ip, P::Ip, I::address, "", "Source address of the packets", nullptr, "sourceIPv4Address sourceIPv6Address", "source.ip",
     "src_endpoint.ip", "srcaddr src_addr pkt_srcaddr ipv4_src_addr ipv6_src_addr saddr sourceaddress initiator_ip srcip"},
    {C::dst_ip, "dst_ip", L::ip, P::Ip, I::address, "", "Destination address of the packets", nullptr, "destinationIPv4Address destinationIPv6Address",
     "destination.ip", "dst_endpoint.ip", "dstaddr dst_addr pkt_dstaddr ipv4_dst_addr ipv6_dst_addr daddr destinationaddress dest_ip target_ip dstip"},
    {C::src_port, "src_port", L::port, P::U16, I::postings, "", "Source transport port", nullptr, "sourceTransportPort", "source.port", "src_endpoint.port",
     "srcport sport l4_src_port sourceport initiator_port"},
    {C::dst_port, "dst_port", L::port, P::U16, I::postings, "", "Destination transport port", nullptr, "destinationTransportPort", "destination.port",
     "dst_endpoint.port", "dstport dport l4_dst_port dest_port destinationport target_port"},
    {C::protocol, "protocol", L::protocol, P::U8, I::postings, "", "IP protocol number (IANA); names such as tcp work", nullptr, "protocolIdentifier",
     "network.iana_number network.transport", "connection_info.protocol_num", "proto transport_protocol ip_proto"},
    {C::ip_version, "ip_version", L::uint, P::U8, I::none, "", "4 or 6", nullptr, "ipVersion", "network.type", "connection_info.protocol_ver_id", ""},
    {C::icmp_type, "icmp_type", L::uint, P::U8, I::none, "", "ICMP or ICMPv6 type", nullptr, "icmpTypeIPv4 icmpTypeIPv6", "icmp.type", "", ""},
    {C::icmp_code, "icmp_code", L::uint, P::U8, I::none, "", "ICMP or ICMPv6 code", nullptr, "icmpCodeIPv4 icmpCodeIPv6", "icmp.code", "", ""},
    {C::src_mac, "src_mac", L::mac, P::U64, I::none, "", "Source MAC address", nullptr, "sourceMacAddress", "source.mac", "src_endpoint.mac", "in_src_mac"},
    {C::dst_mac, "dst_mac", L::mac, P::U64, I::none, "", "Destination MAC address", nullptr, "destinationMacAddress", "destination.mac", "dst_endpoint.mac",
     "in_dst_mac"},
    {C::raw_bytes, "raw_bytes", L::uint, P::U64, I::none, "bytes", "Bytes source to destination, as reported (not scaled)", nullptr, "", "", "", ""},
    {C::raw_packets, "raw_packets", L::uint, P::U64, I::none, "packets", "Packets source to destination, as reported (not scaled)", nullptr, "", "", "", ""},
    {C::raw_reverse_bytes, "raw_reverse_bytes", L::uint, P::U64, I::none, "bytes", "Bytes destination to source, as reported (not scaled)", nullptr, "", "", "",
     ""},
    {C::raw_reverse_packets, "raw_reverse_packets", L::uint, P::U64, I::none, "packets", "Packets destination to source, as reported (not scaled)", nullptr, "",
     "", "", ""},
    {C::flow_count, "flow_count", L::uint, P::U32, I::none, "flows", "Flows that this record stands for", nullptr, "deltaFlowCount", "", "count", ""},
    {C::dropped_bytes, "dropped_bytes", L::uint, P::U64, I::none, "bytes", "Bytes that the reporter dropped", nullptr, "droppedOctetDeltaCount", "", "", ""},
    {C::dropped_packets, "dropped_packets", L::uint, P::U64, I::none, "packets", "Packets that the reporter dropped", nullptr, "droppedPacketDeltaCount", "", "",
     ""},
    {C::byte_basis, "byte_basis", L::enumeration, P::U8, I::none, "", "What the byte counters count", &kByteBasis, "", "", "", ""},
    {C::sampling_rate, "sampling_rate", L::uint, P::U32, I::none, "", "One packet in this many was seen; 1 when none was skipped, null when not known", nullptr,
     "samplingInterval", "", "", "sampling_interval"},
    {C::tcp_flags, "tcp_flags", L::flags, P::U16, I::none, "", "TCP flags seen, or-ed over the flow", nullptr, "tcpControlBits", "network.tcp.flags",
     "connection_info.tcp_flags", "flags"},
    {C::reverse_tcp_flags, "reverse_tcp_flags", L::flags, P::U16, I::none, "", "TCP flags of the reverse direction", nullptr, "reverseTcpControlBits", "", "",
     ""},
    {C::flags_quality, "flags_quality", L::enumeration, P::U8, I::none, "", "Which TCP flags the source is able to report", &kFlagsQuality, "", "", "", ""},
    {C::action, "action", L::enumeration, P::U8, I::none, "", "What the reporter did with the traffic", &kAction, "firewallEvent forwardingStatus",
     "event.action event.outcome", "action_id disposition_id", "disposition verdict"},
    {C::reject_reason, "reject_reason", L::string, P::Str, I::dictionary, "", "Why the traffic was not let through", nullptr, "", "event.reason",
     "status_detail", "drop_reason"},
    {C::end_reason, "end_reason", L::enumeration, P::U8, I::none, "", "Why the exporter closed the record", &kEndReason, "flowEndReason", "", "", ""},
    {C::flow_state, "flow_state", L::enumeration, P::U8, I::none, "", "Where in its life the flow was reported", &kFlowState, "", "", "", ""},
    {C::direction, "direction", L::enumeration, P::U8, I::none, "", "Direction as the reporting interface saw it", &kDirection, "flowDirection",
     "network.direction", "connection_info.direction_id", "flow_direction"},
    {C::initiator, "initiator", L::enumeration, P::U8, I::none, "", "Which side began the conversation", &kInitiator, "biflowDirection", "", "initiator_id", ""},
    {C::is_biflow, "is_biflow", L::boolean, P::U8, I::none, "", "Whether the record reports both directions", nullptr, "", "", "", ""},
    {C::encryption, "encryption", L::string, P::Str, I::dictionary, "", "Encryption in transit, in the source's words", nullptr, "encryptedTechnology", "", "",
     "encryption_status"},
    {C::input_if, "input_if", L::uint, P::U32, I::none, "", "Interface index the traffic came in by", nullptr, "ingressInterface",
     "observer.ingress.interface.id", "src_endpoint.interface_index", "input_snmp in_if"},
    {C::output_if, "output_if", L::uint, P::U32, I::none, "", "Interface index the traffic went out by", nullptr, "egressInterface",
     "observer.egress.interface.id", "dst_endpoint.interface_index", "output_snmp out_if"},
    {C::next_hop, "next_hop", L::ip, P::Ip, I::dictionary, "", "Next router", nullptr, "ipNextHopIPv4Address ipNextHopIPv6Address", "network.forwarded_ip",
     "src_endpoint.intermediate_ips", "nexthop ipv4_next_hop"},
    {C::src_as, "src_as", L::uint, P::U32, I::none, "", "Source autonomous system number", nullptr, "bgpSourceAsNumber", "source.as.number",
     "src_endpoint.autonomous_system.number", "src_asn"},
    {C::dst_as, "dst_as", L::uint, P::U32, I::none, "", "Destination autonomous system number", nullptr, "bgpDestinationAsNumber", "destination.as.number",
     "dst_endpoint.autonomous_system.number", "dst_asn"},
    {C::src_prefix_len, "src_prefix_len", L::uint, P::U8, I::none, "bits", "Length of the source's route", nullptr,
     "sourceIPv4PrefixLength sourceIPv6PrefixLength", "", "", "src_mask"},
    {C::dst_prefix_len, "dst_prefix_len", L::uint, P::U8, I::none, "bits", "Length of the destination's route", nullptr,
     "destinationIPv4PrefixLength destinationIPv6PrefixLength", "", "", "dst_mask"},
    {C::vlan, "vlan", L::uint, P::U16, I::none, "", "VLAN id (outer)", nullptr, "vlanId dot1qVlanId", "network.vlan.id", "src_endpoint.vlan_uid", "src_vlan"},
    {C::inner_vlan, "inner_vlan", L::uint, P::U16, I::none, "", "Customer VLAN id of a double tag", nullptr, "dot1qCustomerVlanId", "network.inner.vlan.id", "",
     ""},
    {C::vni, "vni", L::uint, P::U32, I::none, "", "VXLAN or NVGRE network id", nullptr, "layer2SegmentId", "", "", ""},
    {C::mpls_label, "mpls_label", L::uint, P::U32, I::none, "", "Top MPLS label", nullptr, "mplsTopLabelStackSection", "", "", ""},
    {C::vrf_in, "vrf_in", L::uint, P::U32, I::none, "", "Ingress VRF id", nullptr, "ingressVRFID", "", "", ""},
    {C::vrf_out, "vrf_out", L::uint, P::U32, I::none, "", "Egress VRF id", nullptr, "egressVRFID", "", "", ""},
    {C::traffic_path, "traffic_path", L::uint, P::U8, I::none, "", "AWS: the way egress traffic took (1..8)", nullptr, "", "", "connection_info.boundary_id",
     ""},
    {C::tos, "tos", L::uint, P::U8, I::none, "", "IP type of service or traffic class byte", nullptr, "ipClassOfService", "", "", "src_tos"},
    {C::nat_src_ip, "nat_src_ip", L::ip, P::Ip, I::dictionary, "", "Source address after translation", nullptr,
     "postNATSourceIPv4Address postNATSourceIPv6Address", "source.nat.ip", "src_endpoint.proxy_endpoint.ip", "xlate_src_addr"},
    {C::nat_dst_ip, "nat_dst_ip", L::ip, P::Ip, I::dictionary, "", "Destination address after translation", nullptr,
     "postNATDestinationIPv4Address postNATDestinationIPv6Address", "destination.nat.ip", "dst_endpoint.proxy_endpoint.ip", "xlate_dst_addr"},
    {C::nat_src_port, "nat_src_port", L::port, P::U16, I::none, "", "Source port after translation", nullptr, "postNAPTSourceTransportPort", "source.nat.port",
     "src_endpoint.proxy_endpoint.port", "xlate_src_port"},
    {C::nat_dst_port, "nat_dst_port", L::port, P::U16, I::none, "", "Destination port after translation", nullptr, "postNAPTDestinationTransportPort",
     "destination.nat.port", "dst_endpoint.proxy_endpoint.port", "xlate_dst_port"},
    {C::nat_event, "nat_event", L::uint, P::U8, I::none, "", "IPFIX natEvent code", nullptr, "natEvent", "", "", ""},
    {C::if_src_ip, "if_src_ip", L::ip, P::Ip, I::dictionary, "", "Source address as the interface saw it, where it differs", nullptr, "", "source.address", "",
     ""},
    {C::if_dst_ip, "if_dst_ip", L::ip, P::Ip, I::dictionary, "", "Destination address as the interface saw it, where it differs", nullptr, "",
     "destination.address", "", ""},
    {C::source, "source", L::enumeration, P::U8, I::none, "", "The format that the record came in", &kSource, "", "event.dataset event.module",
     "metadata.log_name", ""},
    {C::exporter_ip, "exporter_ip", L::ip, P::Ip, I::dictionary, "", "Address of the exporter", nullptr, "exporterIPv4Address exporterIPv6Address",
     "observer.ip", "network_observation_point.ip", "exporter"},
    {C::exporter_port, "exporter_port", L::uint, P::U16, I::none, "", "Port that the exporter sent from", nullptr, "exporterTransportPort", "",
     "network_observation_point.port", ""},
    {C::observation_domain, "observation_domain", L::uint, P::U32, I::none, "", "Observation domain or source id of the exporter", nullptr,
     "observationDomainId", "observer.name", "", "source_id odid"},
    {C::reporter, "reporter", L::enumeration, P::U8, I::none, "", "Whose side the reporter stands on", &kReporter, "", "", "observation_point_id", ""},
    {C::flow_id, "flow_id", L::string, P::Str, I::none, "", "The reporter's own id of the flow", nullptr, "flowId", "event.id", "connection_info.uid", ""},
    {C::duplicate, "duplicate", L::boolean, P::U8, I::none, "", "Another reporter has told of the same traffic, or the same was said twice; null otherwise", nullptr, "", "", "", ""},
    {C::src_instance_id, "src_instance_id", L::string, P::Str, I::postings, "", "Instance at the source", nullptr, "", "", "src_endpoint.instance_uid",
     "src_instance src_vm"},
    {C::dst_instance_id, "dst_instance_id", L::string, P::Str, I::postings, "", "Instance at the destination", nullptr, "", "", "dst_endpoint.instance_uid",
     "dst_instance dst_vm"},
    {C::src_interface_id, "src_interface_id", L::string, P::Str, I::postings, "", "Network interface at the source", nullptr, "", "",
     "src_endpoint.interface_uid", "src_interface"},
    {C::dst_interface_id, "dst_interface_id", L::string, P::Str, I::postings, "", "Network interface at the destination", nullptr, "", "",
     "dst_endpoint.interface_uid", "dst_interface"},
    {C::src_vpc_id, "src_vpc_id", L::string, P::Str, I::dictionary, "", "Virtual network at the source", nullptr, "", "", "src_endpoint.vpc_uid", "src_vpc"},
    {C::dst_vpc_id, "dst_vpc_id", L::string, P::Str, I::dictionary, "", "Virtual network at the destination", nullptr, "", "", "dst_endpoint.vpc_uid",
     "dst_vpc"},
    {C::src_subnet_id, "src_subnet_id", L::string, P::Str, I::dictionary, "", "Subnet at the source", nullptr, "", "", "src_endpoint.subnet_uid", "src_subnet"},
    {C::dst_subnet_id, "dst_subnet_id", L::string, P::Str, I::dictionary, "", "Subnet at the destination", nullptr, "", "", "dst_endpoint.subnet_uid",
     "dst_subnet"},
    {C::src_account_id, "src_account_id", L::string, P::Str, I::dictionary, "", "Account, subscription or project at the source", nullptr, "", "", "",
     "src_account src_project"},
    {C::dst_account_id, "dst_account_id", L::string, P::Str, I::dictionary, "", "Account, subscription or project at the destination", nullptr, "", "", "",
     "dst_account dst_project"},
    {C::src_region, "src_region", L::string, P::Str, I::dictionary, "", "Cloud region at the source", nullptr, "", "", "", ""},
    {C::dst_region, "dst_region", L::string, P::Str, I::dictionary, "", "Cloud region at the destination", nullptr, "", "", "", ""},
    {C::src_zone, "src_zone", L::string, P::Str, I::dictionary, "", "Availability zone at the source", nullptr, "", "", "src_endpoint.zone", ""},
    {C::dst_zone, "dst_zone", L::string, P::Str, I::dictionary, "", "Availability zone at the destination", nullptr, "", "", "dst_endpoint.zone", ""},
    {C::src_service, "src_service", L::string, P::Str, I::dictionary, "", "Cloud service at the source", nullptr, "", "", "src_endpoint.svc_name",
     "pkt_src_aws_service"},
    {C::dst_service, "dst_service", L::string, P::Str, I::dictionary, "", "Cloud service at the destination", nullptr, "", "", "dst_endpoint.svc_name",
     "pkt_dst_aws_service"},
    {C::src_k8s_namespace, "src_k8s_namespace", L::string, P::Str, I::dictionary, "", "Kubernetes namespace at the source", nullptr, "sourcePodNamespace", "",
     "", ""},
    {C::dst_k8s_namespace, "dst_k8s_namespace", L::string, P::Str, I::dictionary, "", "Kubernetes namespace at the destination", nullptr,
     "destinationPodNamespace", "", "", ""},
    {C::src_k8s_pod, "src_k8s_pod", L::string, P::Str, I::dictionary, "", "Kubernetes pod at the source", nullptr, "sourcePodName", "", "", ""},
    {C::dst_k8s_pod, "dst_k8s_pod", L::string, P::Str, I::dictionary, "", "Kubernetes pod at the destination", nullptr, "destinationPodName", "", "", ""},
    {C::src_k8s_workload, "src_k8s_workload", L::string, P::Str, I::dictionary, "", "Kubernetes workload at the source", nullptr, "", "", "", ""},
    {C::dst_k8s_workload, "dst_k8s_workload", L::string, P::Str, I::dictionary, "", "Kubernetes workload at the destination", nullptr, "", "", "", ""},
    {C::cloud, "cloud", L::string, P::Str, I::dictionary, "", "Cloud provider: aws, azure, gcp, ibm, oci", nullptr, "", "cloud.provider", "cloud.provider", ""},
    {C::rule_name, "rule_name", L::string, P::Str, I::dictionary, "", "Firewall or access rule that decided", nullptr, "", "rule.name", "firewall_rule.name",
     "rule"},
    {C::log_status, "log_status", L::string, P::Str, I::dictionary, "", "Status that the source gave the record", nullptr, "", "", "status_code", ""},
    {C::app, "app", L::string, P::Str, I::dictionary, "", "Application, as the exporter classified it", nullptr, "applicationName", "network.application",
     "app_name", "application"},
    {C::app_id, "app_id", L::uint, P::U64, I::none, "", "Application id: engine in the top byte, selector below", nullptr, "applicationId", "", "", ""},
    {C::user_name, "user_name", L::string, P::Str, I::dictionary, "", "User that the exporter tied to the flow", nullptr, "userName", "user.name",
     "actor.user.name", "user"},
    {C::src_host, "src_host", L::string, P::Str, I::dictionary, "", "Name of the source", nullptr, "", "source.domain", "src_endpoint.hostname", ""},
    {C::dst_host, "dst_host", L::string, P::Str, I::dictionary, "", "Name of the destination", nullptr, "", "destination.domain", "dst_endpoint.hostname", ""},
    {C::src_country, "src_country", L::string, P::Str, I::dictionary, "", "Country of the source, ISO 3166 alpha-2", nullptr, "", "source.geo.country_iso_code",
     "src_endpoint.location.country", ""},
    {C::dst_country, "dst_country", L::string, P::Str, I::dictionary, "", "Country of the destination, ISO 3166 alpha-2", nullptr, "",
     "destination.geo.country_iso_code", "dst_endpoint.location.country", ""},
    {C::src_city, "src_city", L::string, P::Str, I::dictionary, "", "City of the source", nullptr, "", "source.geo.city_name", "src_endpoint.location.city", ""},
    {C::dst_city, "dst_city", L::string, P::Str, I::dictionary, "", "City of the destination", nullptr, "", "destination.geo.city_name",
     "dst_endpoint.location.city", ""},
    {C::src_as_name, "src_as_name", L::string, P::Str, I::dictionary, "", "Name of the source's autonomous system", nullptr, "",
     "source.as.organization.name", "src_endpoint.autonomous_system.name", ""},
    {C::dst_as_name, "dst_as_name", L::string, P::Str, I::dictionary, "", "Name of the destination's autonomous system", nullptr, "",
     "destination.as.organization.name", "dst_endpoint.autonomous_system.name", ""},
    {C::src_is_internal, "src_is_internal", L::boolean, P::U8, I::none, "", "The source is one of ours", nullptr, "", "", "", ""},
    {C::dst_is_internal, "dst_is_internal", L::boolean, P::U8, I::none, "", "The destination is one of ours", nullptr, "", "", "", ""},
    {C::src_labels, "src_labels", L::list, P::Str, I::dictionary, "", "Labels of the source", nullptr, "", "", "", "src_tags"},
    {C::dst_labels, "dst_labels", L::list, P::Str, I::dictionary, "", "Labels of the destination", nullptr, "", "", "", "dst_tags"},
    {C::src_threat, "src_threat", L::list, P::Str, I::dictionary, "", "Watch-lists that name the source", nullptr, "", "", "", ""},
    {C::dst_threat, "dst_threat", L::list, P::Str, I::dictionary, "", "Watch-lists that name the destination", nullptr, "", "", "", ""},
    {C::direction_class, "direction_class", L::enumeration, P::U8, I::none, "", "Inbound, outbound, internal or external, by what is ours", &kDirectionClass, "",
     "", "", ""},
    {C::extra, "extra", L::extra, P::Str, I::none, "", "What the source said and no column holds; ask for extra.NAME", nullptr, "", "", "unmapped", ""},
};

constexpr bool table_is_in_order() {
  for (size_t i = 0; i < std::size(kColumns); ++i)
    if (static_cast<size_t>(kColumns[i].id) != i) return false;
  return std::size(kColumns) == kColumnCount;
}
static_assert(table_is_in_order(), "kColumns must list every ColumnId once, in order");

using D = DerivedColumn;
constexpr DerivedSpec kDerived[] = {
    {D::bytes, "bytes", L::uint, "bytes", "Bytes source to destination, scaled by the sampling rate", "octetDeltaCount octetTotalCount", "source.bytes",
     "traffic.bytes_out", "in_bytes bytes_sent bytesout"},
    {D::packets, "packets", L::uint, "packets", "Packets source to destination, scaled by the sampling rate", "packetDeltaCount packetTotalCount",
     "source.packets", "traffic.packets_out", "in_pkts packets_sent pkts"},
    {D::reverse_bytes, "reverse_bytes", L::uint, "bytes", "Bytes destination to source, scaled by the sampling rate", "reverseOctetDeltaCount responderOctets",
     "destination.bytes", "traffic.bytes_in", "bytes_from_target"},
    {D::reverse_packets, "reverse_packets", L::uint, "packets", "Packets destination to source, scaled by the sampling rate",
     "reversePacketDeltaCount responderPackets", "destination.packets", "traffic.packets_in", "packets_from_target"},
    {D::duration, "duration", L::duration, "ns", "flow_end minus flow_start", "flowDurationMilliseconds flowDurationMicroseconds", "event.duration", "duration",
     ""},
};

constexpr EitherSpec kEither[] = {
    {"ip", "address addr", C::src_ip, C::dst_ip},
    {"port", "", C::src_port, C::dst_port},
    {"mac", "", C::src_mac, C::dst_mac},
    {"asn", "as", C::src_as, C::dst_as},
    {"instance_id", "instance", C::src_instance_id, C::dst_instance_id},
    {"interface_id", "interface eni", C::src_interface_id, C::dst_interface_id},
    {"vpc_id", "vpc", C::src_vpc_id, C::dst_vpc_id},
    {"subnet_id", "subnet", C::src_subnet_id, C::dst_subnet_id},
    {"account_id", "account cloud.account.id cloud.account.uid", C::src_account_id, C::dst_account_id},
    {"region", "cloud.region", C::src_region, C::dst_region},
    {"zone", "cloud.availability_zone cloud.zone", C::src_zone, C::dst_zone},
    {"service", "", C::src_service, C::dst_service},
    {"k8s_namespace", "namespace", C::src_k8s_namespace, C::dst_k8s_namespace},
    {"k8s_pod", "pod", C::src_k8s_pod, C::dst_k8s_pod},
    {"k8s_workload", "workload", C::src_k8s_workload, C::dst_k8s_workload},
    {"host", "hostname", C::src_host, C::dst_host},
    {"country", "", C::src_country, C::dst_country},
    {"city", "", C::src_city, C::dst_city},
    {"as_name", "", C::src_as_name, C::dst_as_name},
    {"is_internal", "internal", C::src_is_internal, C::dst_is_internal},
    {"label", "labels tag tags", C::src_labels, C::dst_labels},
    {"threat", "", C::src_threat, C::dst_threat},
    {"prefix_len", "", C::src_prefix_len, C::dst_prefix_len},
    {"nat_ip", "", C::nat_src_ip, C::nat_dst_ip},
    {"nat_port", "", C::nat_src_port, C::nat_dst_port},
    {"if_ip", "", C::if_src_ip, C::if_dst_ip},
    {"if_index", "", C::input_if, C::output_if},
    {"vrf", "", C::vrf_in, C::vrf_out},
};

std::string lower(std::string_view text) {
  std::string s(text);
  for (char& c : s)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return s;
}

template <typename F>
void each_word(std::string_view words, F&& f) {
  while (!words.empty()) {
    const size_t space = words.find(' ');
    if (space != 0) f(words.substr(0, space));
    if (space == std::string_view::npos) break;
    words.remove_prefix(space + 1);
  }
}

std::unordered_map<std::string, ColumnName> build_names() {
  std::unordered_map<std::string, ColumnName> names;
  // A column may bear one name in two standards; two columns may not share one, which is a mistake in the table above.
  auto claim = [&](std::string_view name, ColumnName meaning) {
    const auto [it, added] = names.emplace(lower(name), meaning);
    SLUICE_CHECK_MSG(added || it->second == meaning, name);
  };
  for (const auto& c : kColumns) {
    ColumnName meaning{ColumnName::Kind::stored, c.id, {}, nullptr};
    claim(c.name, meaning);
    for (auto words : {c.ipfix, c.ecs, c.ocsf, c.aliases}) each_word(words, [&](std::string_view w) { claim(w, meaning); });
  }
  for (const auto& d : kDerived) {
    ColumnName meaning{ColumnName::Kind::derived, {}, d.id, nullptr};
    claim(d.name, meaning);
    for (auto words : {d.ipfix, d.ecs, d.ocsf, d.aliases}) each_word(words, [&](std::string_view w) { claim(w, meaning); });
  }
  for (const auto& e : kEither) {
    ColumnName meaning{ColumnName::Kind::either, {}, {}, &e};
    claim(e.name, meaning);
    each_word(e.aliases, [&](std::string_view w) { claim(w, meaning); });
  }
  return names;
}

}  // namespace

std::string_view to_string(LogicalType type) {
  switch (type) {
    case LogicalType::uint: return "uint";
    case LogicalType::int64: return "int";
    case LogicalType::float64: return "float";
    case LogicalType::boolean: return "bool";
    case LogicalType::string: return "string";
    case LogicalType::ip: return "ip";
    case LogicalType::mac: return "mac";
    case LogicalType::timestamp: return "timestamp";
    case LogicalType::duration: return "duration";
    case LogicalType::flags: return "flags";
    case LogicalType::enumeration: return "string";
    case LogicalType::list: return "list<string>";
    case LogicalType::extra: return "map<string>";
    case LogicalType::port: return "uint";
    case LogicalType::protocol: return "uint";
  }
  return "?";
}

std::string_view to_string(PhysicalType type) {
  constexpr std::string_view names[] = {"u8", "u16", "u32", "u64", "i64", "f64", "ip", "str"};
  return names[static_cast<size_t>(type)];
}

size_t width_of(PhysicalType type) {
  constexpr size_t widths[] = {1, 2, 4, 8, 8, 8, 16, 0};
  return widths[static_cast<size_t>(type)];
}

std::optional<uint8_t> EnumSpec::code_of(std::string_view text) const {
  const std::string wanted = lower(text);
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == wanted) return static_cast<uint8_t>(i);
  return std::nullopt;
}

std::string_view EnumSpec::name_of(uint8_t code) const { return code < names.size() ? names[code] : "?"; }

std::span<const ColumnSpec> flow_columns() { return kColumns; }
const ColumnSpec& column_spec(ColumnId id) { return kColumns[static_cast<size_t>(id)]; }
std::span<const DerivedSpec> derived_columns() { return kDerived; }
std::span<const EitherSpec> either_columns() { return kEither; }

std::optional<ColumnName> find_column(std::string_view name) {
  static const auto names = build_names();
  const auto it = names.find(lower(name));
  if (it == names.end()) return std::nullopt;
  return it->second;
}

}  // namespace sluice
