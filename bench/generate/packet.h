// Export packets: flows into NetFlow v5, NetFlow v9 and IPFIX datagrams, as one router sends them.
//
// Formats: v5 as in flow-tools/ftlib.h and Cisco's table; v9 RFC 3954; IPFIX RFC 7011/7012 with RFC 5477 sampling options.
// Templates (v9, IPFIX) are sent first and again every kTemplateInterval packets or five minutes of flow time. Sequence numbers count flows in v5,
// packets in v9 and data records (options included) in IPFIX. Not thread safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "bench/generate/flow.h"
#include "storage/model/result.h"

namespace sluice::generate {

enum class PacketFormat : uint8_t { netflow5, netflow9, ipfix };
std::string_view to_string(PacketFormat format);
// The port that collectors listen on.
uint16_t collector_port(PacketFormat format);

inline constexpr uint64_t kTemplateInterval = 64;
// How long a router waits for a full packet.
inline constexpr DurationNs kPacketLinger = 2 * kSecond;
// Payloads stay below an Ethernet frame's 1,472.
inline constexpr size_t kPacketMax = 1'464;

struct Datagram {
  TimestampNs exported_at = 0;
  std::span<const uint8_t> payload;  // valid during the call
  uint32_t flows = 0;                // data records that are flows
};
using DatagramSink = std::function<Status(const Datagram&)>;

struct PacketTotals {
  uint64_t flows = 0, packets = 0, bytes = 0;
};

// Collects the flows of one router, in order of their end, and hands out full datagrams. (add* flush)
class Packetizer {
 public:
  // `booted_at` is when the router started: v5 and v9 times are milliseconds since then. The router and the flows'
  // starts must lie within 49 days after it (32 bits).
  Packetizer(PacketFormat format, const Router& router, TimestampNs booted_at, DatagramSink sink);

  // invalid_argument where the format cannot say the flow: IPv6 or 2^32 bytes in v5, a start before booted_at.
  Status add(const Flow& flow);
  Status flush();
  const PacketTotals& totals() const { return totals_; }

 private:
  Status add_v5(const Flow& flow);
  Status add_templated(const Flow& flow);
  Status send();
  void begin_packet();
  void close_set();
  void put_templates();

  PacketFormat format_;
  Router router_;
  TimestampNs booted_at_;
  DatagramSink sink_;
  PacketTotals totals_;
  std::array<uint8_t, 1'500> packet_{};
  size_t used_ = 0;            // bytes of packet_, 0 before its header is laid out
  size_t set_at_ = 0;          // offset of the open data set, 0 for none
  uint16_t set_id_ = 0;
  uint32_t records_ = 0;       // in this packet, everything that v9's header counts
  uint32_t data_records_ = 0;  // in this packet, IPFIX's count
  uint32_t flows_ = 0;         // in this packet
  uint32_t sequence_ = 0;
  uint64_t packets_since_templates_ = UINT64_MAX;
  TimestampNs templates_at_ = kTimestampMin;
  TimestampNs first_end_ = 0, last_end_ = kTimestampMin;
};

}  // namespace sluice::generate
