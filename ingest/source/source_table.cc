#include "ingest/source/aws_vpc.h"
#include "ingest/source/azure_flow.h"
#include "ingest/source/gcp_vpc.h"
#include "ingest/source/goflow2.h"
#include "ingest/source/hubble.h"
#include "ingest/source/ibm_vpc.h"
#include "ingest/source/oci_vcn.h"
#include "ingest/source/source.h"
#include "ingest/source/suricata.h"
#include "ingest/source/zeek.h"

namespace sluice::ingest {
namespace {

// "#fields …" and its neighbours; JSON lines have none.
bool is_zeek_header(std::string_view line, bool) { return line.starts_with('#'); }

constexpr SourceSpec kSourceTable[] = {
    {"aws_vpc", Source::aws_vpc, "AWS VPC flow logs: text of any field list, or in CloudWatch or Firehose JSON", decode_aws_vpc, true, is_aws_header},
    {"aws_tgw", Source::aws_tgw, "AWS Transit Gateway flow logs: text of any field list, or in CloudWatch JSON", decode_aws_tgw, true, is_aws_header},
    {"azure_vnet", Source::azure_vnet, "Azure virtual network flow logs (version 4): PT1H.json blobs, or records one a line", decode_azure, false},
    {"azure_nsg", Source::azure_nsg, "Azure network security group flow logs (versions 1 and 2): PT1H.json blobs, or records one a line", decode_azure, false},
    {"gcp_vpc", Source::gcp_vpc, "Google Cloud VPC Flow Logs: log entries as JSON, in a list or one a line, or in Pub/Sub messages", decode_gcp_vpc, false},
    {"ibm_vpc", Source::ibm_vpc, "IBM Cloud flow logs for VPC: the JSON objects that lie in Cloud Object Storage", decode_ibm_vpc, false},
    {"oci_vcn", Source::oci_vcn, "Oracle Cloud VCN flow logs: JSON of a service connector, of a stream or of a search", decode_oci_vcn, true},
    {"zeek", Source::zeek, "Zeek conn.log: tab separated with its header lines, or JSON", decode_zeek, true, is_zeek_header},
    {"suricata", Source::suricata, "Suricata EVE JSON: events of type flow and netflow, also from AWS Network Firewall", decode_suricata, true},
    {"hubble", Source::hubble, "Cilium Hubble flows: JSON lines of the exporter or of hubble observe", decode_hubble, true},
    {"goflow2", Source::unknown, "What goflow2 and goflow make of NetFlow, IPFIX and sFlow: JSON, or protocol buffers (FlowMessage)", decode_goflow2, true},
    {"netflow", Source::netflow9, "NetFlow v1, v5, v7, v9 and IPFIX packets (UDP, or a capture file)", nullptr, false},
    {"sflow", Source::sflow5, "sFlow v5 datagrams (UDP, or a capture file)", nullptr, false},
};

}  // namespace

std::span<const SourceSpec> sources() { return kSourceTable; }

const SourceSpec* find_source(std::string_view name) {
  for (const SourceSpec& source : kSourceTable)
    if (source.name == name) return &source;
  return nullptr;
}

}  // namespace sluice::ingest
