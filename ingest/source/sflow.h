// sFlow version 5: datagrams taken apart into samples.
//
// Source: sflow.org/sflow_version_5.txt, with sflow_drops.txt (discarded packets), sflow_tunnels.txt, sflow_host.txt (sockets, TCP)
// and sFlow's list of structures. Everything is XDR: big-endian words, opaque data padded to four bytes. Samples and records bear a
// format (enterprise and number) and a length, so that what is not known is skipped and what is broken costs only itself.
//
// These are the readers; PacketDecoder (netflow.h) calls them, keeps what agents say about themselves and makes rows.
// Thread rule: plain functions on plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ingest/source/frame.h"
#include "storage/model/flow_schema.h"
#include "storage/model/ip.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// XDR reads from the front (RFC 4506); a short read is an error that sticks and yields zeros.
class Xdr {
 public:
  explicit Xdr(std::span<const uint8_t> s) : at_(s.data()), end_(s.data() + s.size()) {}
  uint32_t u32() {
    if (left() < 4) return fail(), 0;
    const uint32_t v = static_cast<uint32_t>(at_[0]) << 24 | static_cast<uint32_t>(at_[1]) << 16 | static_cast<uint32_t>(at_[2]) << 8 | at_[3];
    at_ += 4;
    return v;
  }
  uint64_t u64() {
    const uint64_t high = u32();
    return high << 32 | u32();
  }
  std::span<const uint8_t> bytes(size_t n) {
    if (left() < n) return fail(), std::span<const uint8_t>();
    const std::span<const uint8_t> out(at_, n);
    at_ += n;
    return out;
  }
  // Variable opaque: a length, that many bytes, and padding, which a last field may lack.
  std::span<const uint8_t> opaque() {
    const size_t n = u32();
    const auto out = bytes(n);
    if (!short_ && n % 4 != 0) at_ += std::min<size_t>(4 - n % 4, left());
    return out;
  }
  std::string_view text() {
    const auto b = opaque();
    return {reinterpret_cast<const char*>(b.data()), b.size()};
  }
  // A type word and 4, 16 or no bytes; nullopt for no address, and for one of zeros.
  std::optional<IpAddress> address();
  size_t left() const { return static_cast<size_t>(end_ - at_); }
  std::span<const uint8_t> rest() const { return {at_, left()}; }
  bool ran_short() const { return short_; }

 private:
  void fail() {
    short_ = true;
    at_ = end_;
  }
  const uint8_t* at_;
  const uint8_t* end_;
  bool short_ = false;
};

// Formats of samples (enterprise 0).
enum class SflowKind : uint8_t { flow = 1, counters = 2, flow_expanded = 3, counters_expanded = 4, discarded = 5 };

struct SflowHeader {
  uint32_t version = 0;
  std::optional<IpAddress> agent;
  uint32_t sub_agent = 0, sequence = 0, uptime_ms = 0, samples = 0;
};

// Whether a packet begins as sFlow (any version that was ever seen): NetFlow's first sixteen bits are never zero.
bool is_sflow(std::span<const uint8_t> packet);
// The header; `in` then stands at the first sample. nullopt when it is cut short, or its agent's address is of no known family.
// Only `version` is read when that is not 5.
std::optional<SflowHeader> read_sflow_header(Xdr& in);
// Where the datagram at the start of `bytes` ends, by its samples' lengths; bytes.size() when it does not hold together.
size_t sflow_datagram_bytes(std::span<const uint8_t> bytes);

// What a sample says in numbers and addresses.
struct SflowFields {
  // The sample's own head.
  bool discarded = false;  // format 5; then sampling_rate and pool are 0
  uint32_t sequence = 0, source_class = 0, source_index = 0, sampling_rate = 0, pool = 0, drops = 0;
  uint32_t input_format = 0, input = 0, output_format = 0, output = 0;
  std::optional<uint32_t> reason;  // why it was discarded: format 5, and flow samples whose output says so

  // The packet. `frame` holds what its header shows, or what the agent took from it (sampled Ethernet, IPv4, IPv6).
  bool has_packet = false;
  bool has_socket = false;  // addresses of an application's sample, which is no packet
  Frame frame;
  uint32_t length = 0;
  ByteBasis basis = ByteBasis::layer2;

  // Extended data.
  std::optional<uint32_t> src_vlan, dst_vlan;
  std::optional<IpAddress> next_hop, nat_src, nat_dst;
  std::optional<uint16_t> nat_src_port, nat_dst_port;
  std::optional<uint8_t> src_prefix, dst_prefix;
  std::optional<uint32_t> src_as, dst_as, mpls_label, vni;
  std::optional<TimestampNs> seen_at;  // the agent's clock

  // What the reading came to.
  uint32_t unknown_records = 0, bad_records = 0, cut_strings = 0;
  uint32_t bad_format = 0;  // of the last bad record
};

// One flow sample or discarded packet, with the records that came with it.
struct SflowSample : SflowFields {
  std::string user, rule;
  std::string extra;  // the rest, as the column has it

  void clear() {
    static_cast<SflowFields&>(*this) = {};
    user.clear();
    rule.clear();
    extra.clear();
  }
};

// Reads the body of a sample of format 1, 3 or 5. False when its head is cut short: there is no sample then. Records that
// cannot be read are counted in it, the others are kept.
bool read_sflow_sample(std::span<const uint8_t> body, SflowKind kind, SflowSample& sample);

// "acl", "ttl_exceeded", …; empty for a code without a name.
std::string_view sflow_drop_reason(uint32_t code);

// Interfaces at which nothing comes in or goes out but the device itself.
inline constexpr uint32_t kSflowInternal = 0x3fff'ffff;

}  // namespace sluice::ingest
