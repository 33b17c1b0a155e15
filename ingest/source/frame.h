// The first bytes of a packet, as sFlow agents sample them: from the link layer down to ports.
//
// Read: Ethernet (II, SNAP), 802.1Q and QinQ tags (0x8100, 0x88a8, 0x9100, 0x9200), MPLS label stacks (with IP, or with Ethernet
// behind a control word, RFC 4448), PPPoE sessions and PPP (RFC 2516, 1661), IPv4 with options and fragments, IPv6 with
// extension headers, TCP, UDP, SCTP, DCCP, ICMP. Tunnels: GRE and NVGRE (RFC 2784, 2890, 7637), VXLAN (RFC 7348; UDP 4789 and
// Linux's 8472), VXLAN-GPE, Geneve (RFC 8926), GTP-U, IP in IP (RFC 2003, 4213), MPLS in IP and UDP (RFC 4023, 7510), SRv6's Ethernet
// (RFC 8986).
//
// Of a tunnelled packet `ip` is the innermost packet that can be read and `outer` the outermost; tags, labels and MAC addresses
// are those of the outermost frame, which the interface saw. Mirrors (ERSPAN) are not looked into: what they carry is a copy of a
// packet that is counted where it was.
//
// Thread rule: plain functions. They never fail: what the bytes do not show stays unset. Nothing is kept of `bytes`.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "ingest/source/limits.h"
#include "storage/model/ip.h"

namespace sluice::ingest {

struct IpLayer {
  IpAddress src, dst;
  uint8_t version = 0;           // 4 or 6; 0: no IP header could be read, and nothing else here counts
  uint8_t tos = 0;               // type of service or traffic class
  uint8_t protocol = 0;          // behind extension headers
  bool has_protocol = false;     // false when the bytes end within the extension headers
  bool is_fragment = false;      // any but a whole packet
  bool has_ports = false;        // never of a fragment that is not the first
  bool has_icmp = false;
  bool has_tcp_flags = false;
  uint8_t icmp_type = 0, icmp_code = 0;
  uint16_t src_port = 0, dst_port = 0;
  uint16_t tcp_flags = 0;        // twelve bits
  uint32_t fragment_offset = 0;  // bytes
};

enum class Tunnel : uint8_t { none, gre, nvgre, vxlan, vxlan_gpe, geneve, gtp_u, ip_in_ip, mpls_in_ip, mpls_pseudowire, srv6_ethernet };
std::string_view to_string(Tunnel tunnel);

struct Frame {
  MacAddress src_mac = 0, dst_mac = 0;
  bool has_macs = false;
  uint16_t ethertype = 0;        // behind all tags; 0 when there is none (802.3 with LLC, or no Ethernet)
  uint8_t tags = 0;
  uint16_t vlan = 0, inner_vlan = 0;  // of the first tag, if any, and of the second
  uint8_t labels = 0;
  std::array<uint32_t, limits::kFrameLabelsMax> label{};  // 20 bits each, the top first
  bool has_pppoe = false;
  uint16_t pppoe_session = 0;

  IpLayer ip;                    // the innermost
  Tunnel tunnel = Tunnel::none;  // the outermost, when its inside could be read
  IpLayer outer;                 // around it; version 0 when the tunnel is none or runs over no IP
  bool has_vni = false;          // VXLAN, Geneve, NVGRE
  uint32_t vni = 0;
  bool has_key = false;          // GRE key or GTP-U tunnel endpoint
  uint32_t key = 0;
  bool has_inner_macs = false;   // of an Ethernet frame in the tunnel
  MacAddress inner_src_mac = 0, inner_dst_mac = 0;
};

// What the bytes begin with: sFlow's header_protocol.
enum class FrameKind : uint8_t { ethernet = 1, ppp = 7, ipv4 = 11, ipv6 = 12, mpls = 13, pos = 14 };

// False when `header_protocol` is none of FrameKind; `frame` is then empty.
bool read_frame(uint32_t header_protocol, std::span<const uint8_t> bytes, Frame& frame);

}  // namespace sluice::ingest
