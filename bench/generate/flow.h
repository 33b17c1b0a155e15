// One generated flow record, as one reporter exports it, and the reporters.
//
// A conversation that several reporters see becomes several of these. All times are ns since the epoch and whole
// milliseconds. What a format cannot say (NetFlow v5: IPv6) it refuses; see the writers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "storage/model/ip.h"
#include "storage/model/time.h"

namespace sluice::generate {

enum class FlowAction : uint8_t { accept, reject };

inline constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58;
inline constexpr uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10;
inline constexpr uint32_t kNoInterface = UINT32_MAX;

struct Flow {
  TimestampNs start = 0, end = 0;  // first and last packet; start <= end
  IpAddress src, dst;              // as the packet says it
  IpAddress if_src, if_dst;        // as the cloud interface says it; differs from src, dst at NAT gateways
  uint64_t bytes = 0, packets = 0; // as reported: for a sampled router, what was sampled
  uint32_t input_if = 0, output_if = 0;
  uint32_t src_as = 0, dst_as = 0;
  uint32_t cloud_interface = kNoInterface;  // index into Reporters::interfaces, or kNoInterface for a router's record
  uint16_t src_port = 0, dst_port = 0;      // ICMP: 0 and type · 256 + code
  uint8_t protocol = 0;
  uint8_t tcp_flags = 0;  // all bits, OR-ed; the AWS writer reduces them to what AWS records
  uint8_t tos = 0;
  uint8_t router = 0;  // index into Reporters::routers where cloud_interface is kNoInterface
  FlowAction action = FlowAction::accept;
  bool reply = false;        // the answering direction of its conversation
  bool egress = false;       // cloud: leaving the interface
  uint8_t traffic_path = 0;  // cloud: AWS traffic-path of an egress record, 0 none
};

// A network interface in a cloud account that writes flow logs.
struct CloudInterface {
  std::string id, instance_id, subnet_id, vpc_id, account_id, region, zone;
  IpAddress address;
  bool is_public = false;  // the internet reaches it
};

// A router that exports NetFlow or IPFIX.
struct Router {
  std::string name;
  IpAddress address;      // source of its export packets
  uint32_t domain = 0;    // observation domain, v9 source id; low byte is v5's engine id
  uint32_t sampling = 1;  // one packet in `sampling`
  bool speaks_v5 = true;         // can export NetFlow v5
  bool speaks_templates = true;  // can export NetFlow v9 and IPFIX
};

struct Reporters {
  // What a flow's reporter is called: an account's id or a router's name.
  const std::string& name_of(const Flow& flow) const {
    return flow.cloud_interface == kNoInterface ? routers[flow.router].name : interfaces[flow.cloud_interface].account_id;
  }

  std::vector<CloudInterface> interfaces;
  std::vector<Router> routers;
};

}  // namespace sluice::generate
