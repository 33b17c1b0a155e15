// The fields of AWS VPC flow logs (versions 2 to 11) and of transit gateway flow logs (version 6), and how a list of them
// becomes the program that reads a line. Source of the names: AWS VPC user guide, "Flow log records"; AWS Transit Gateway
// guide, "Transit Gateway Flow Log records".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/result.h"

namespace sluice::ingest::aws {

// What to do with a value. A field of which we know no more than its name is kept in `extra`.
enum class FieldKind : uint8_t {
  version,            // of the record format: says nothing about the flow, not kept
  srcaddr, dstaddr, pkt_srcaddr, pkt_dstaddr,
  srcport, dstport, protocol, packets, bytes, tcp_flags, traffic_path,
  start, end,
  action, log_status, type, flow_direction, encryption_status,
  reject_reason, src_service, dst_service,
  // of the reporting interface: go to its side of the flow
  local_instance, local_interface, local_vpc, local_subnet, local_account, local_region, local_zone,
  // transit gateway: both sides are named
  tgw_id, resource_type,
  src_account, dst_account, src_vpc, dst_vpc, src_subnet, dst_subnet, src_interface, dst_interface, src_zone, dst_zone,
  packets_lost,       // one of four counters: summed, and kept in extra where not zero
  extra,
  extra_tag,          // percent-encoded
};

struct FieldSpec {
  std::string_view name;  // as in AWS's text header
  FieldKind kind;
  uint8_t version;        // of the record format that brought it
};

// All known fields.
std::span<const FieldSpec> fields();
// With hyphens or underscores, in any case. nullptr: not known.
const FieldSpec* find_field(std::string_view name);

struct Step {
  FieldKind kind;
  std::string name;  // for extra and messages, as FlowQL can say it: lower case, underscores
};

// A compiled list of fields.
struct Format {
  std::vector<Step> steps;
  std::vector<std::string> unknown;  // names of the list that no field has, as written
  bool transit_gateway = false;
  bool has(FieldKind kind) const {
    for (const Step& step : steps)
      if (step.kind == kind) return true;
    return false;
  }
};

// invalid_argument when no name is known or one is there twice, too_large beyond limits::kHeaderColumnsMax.
Result<Format> compile(std::span<const std::string_view> names);
// A format as people and the AWS API write it: "${version} ${vpc-id}", "version vpc_id", commas allowed.
Result<Format> compile_text(std::string_view format);
// Names of fields that the format lacks.
std::vector<std::string_view> absent_fields(const Format& format);
// Whether the words are field names rather than values: each has the shape of a name, and at least half are known
// (`any`: at least one).
bool looks_like_header(std::span<const std::string_view> words, bool any);

const Format& default_vpc_format();  // version 2, 14 fields
// Version 6, of a record of so many words. The console's default has 31 fields; the API's and the command line's, where no list is given, has
// all 36 ("Create and manage AWS Transit Gateway Flow Logs using APIs or the CLI": --log-format).
const Format& default_tgw_format(size_t words);

}  // namespace sluice::ingest::aws
