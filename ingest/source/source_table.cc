#include "ingest/source/aws_vpc.h"
#include "ingest/source/source.h"

namespace sluice::ingest {
namespace {

constexpr SourceSpec kSources[] = {
    {"aws_vpc", Source::aws_vpc, "AWS VPC flow logs: text of any field list, or in CloudWatch or Firehose JSON", decode_aws_vpc, true},
    {"aws_tgw", Source::aws_tgw, "AWS Transit Gateway flow logs: text of any field list, or in CloudWatch JSON", decode_aws_tgw, true},
    {"netflow", Source::netflow9, "NetFlow v1, v5, v7, v9 and IPFIX packets (UDP, or a capture file)", nullptr, false},
    {"sflow", Source::sflow5, "sFlow v5 datagrams (UDP, or a capture file)", nullptr, false},
};

}  // namespace

std::span<const SourceSpec> sources() { return kSources; }

const SourceSpec* find_source(std::string_view name) {
  for (const SourceSpec& source : kSources)
    if (source.name == name) return &source;
  return nullptr;
}

}  // namespace sluice::ingest
