#include "ingest/source/frame.h"
#include "ingest/source/limits.h"

#include <optional>

namespace sluice::ingest {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kMpls = 0x8847, kMplsMulticast = 0x8848, kPppoe = 0x8864, kEthernet = 0x6558;
constexpr uint8_t kIcmp = 1, kIpip = 4, kTcp = 6, kUdp = 17, kDccp = 33, kIpv6InIp = 41, kGre = 47, kIcmp6 = 58, kSctp = 132, kUdpLite = 136,
                  kMplsInIp = 137, kEthernetInIp = 143;

uint16_t be16(const uint8_t* p) { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
uint32_t be24(const uint8_t* p) { return static_cast<uint32_t>(p[0]) << 16 | static_cast<uint32_t>(p[1]) << 8 | p[2]; }
uint32_t be32(const uint8_t* p) { return static_cast<uint32_t>(p[0]) << 24 | be24(p + 1); }
MacAddress mac(const uint8_t* p) { return static_cast<MacAddress>(be16(p)) << 32 | be32(p + 2); }
bool is_tag(uint16_t type) { return type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200; }

class FrameReader {
 public:
  explicit FrameReader(Frame& frame) : frame_(frame) {}

  void ethernet(Bytes b) {
    if (b.size() < 14) return;
    if (tunnels_ == 0) {
      frame_.dst_mac = mac(b.data());
      frame_.src_mac = mac(b.data() + 6);
      frame_.has_macs = true;
    } else {
      frame_.inner_dst_mac = mac(b.data());
      frame_.inner_src_mac = mac(b.data() + 6);
      frame_.has_inner_macs = true;
    }
    uint16_t type = be16(b.data() + 12);
    b = b.subspan(14);
    for (int tags = 0; tags < limits::kFrameTagsMax && is_tag(type); ++tags) {
      if (b.size() < 4) return;
      if (tunnels_ == 0) {
        if (frame_.tags == 0) frame_.vlan = be16(b.data()) & 0xfff;
        if (frame_.tags == 1) frame_.inner_vlan = be16(b.data()) & 0xfff;
        ++frame_.tags;
      }
      type = be16(b.data() + 2);
      b = b.subspan(4);
    }
    if (type < 0x600) {
      // A length: LLC follows, and with SNAP behind it a type again.
      if (b.size() < 8 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 || b[3] != 0 || b[4] != 0 || b[5] != 0) return;
      type = be16(b.data() + 6);
      b = b.subspan(8);
    }
    if (tunnels_ == 0) frame_.ethertype = type;
    network(type, b);
  }

  void network(uint16_t type, Bytes b) {
    switch (type) {
      case kIpv4: return ipv4(b);
      case kIpv6: return ipv6(b);
      case kMpls:
      case kMplsMulticast: return mpls(b);
      case kPppoe: return pppoe(b);
      default: return;
    }
  }

  void pppoe(Bytes b) {
    if (b.size() < 6 || b[0] != 0x11 || b[1] != 0) return;
    if (tunnels_ == 0) {
      frame_.has_pppoe = true;
      frame_.pppoe_session = be16(b.data() + 2);
    }
    ppp(b.subspan(6));
  }

  void ppp(Bytes b) {
    if (b.size() >= 2 && b[0] == 0xff && b[1] == 3) b = b.subspan(2);  // address and control, unless compressed away
    if (b.empty()) return;
    uint16_t protocol = b[0];
    if (protocol & 1) {  // one byte, compressed
      b = b.subspan(1);
    } else {
      if (b.size() < 2) return;
      protocol = be16(b.data());
      b = b.subspan(2);
    }
    switch (protocol) {
      case 0x0021: return ipv4(b);
      case 0x0057: return ipv6(b);
      case 0x0281: return mpls(b);
      default: return;
    }
  }

  void mpls(Bytes b) {
    bool bottom = false;
    for (int n = 0; n < limits::kFrameLabelsMax && !bottom; ++n) {
      if (b.size() < 4) return;
      if (tunnels_ == 0) frame_.label[frame_.labels++] = be32(b.data()) >> 12;
      bottom = b[2] & 1;
      b = b.subspan(4);
    }
    if (!bottom || b.empty()) return;
    // Nothing says what follows; its first four bits do by convention (RFC 4928, RFC 4385).
    switch (b[0] >> 4) {
      case 4: return ipv4(b);
      case 6: return ipv6(b);
      case 0:
        if (b.size() >= 4 + 14) inside(Tunnel::mpls_pseudowire, [&] { ethernet(b.subspan(4)); });
        return;
      default: return;
    }
  }

  void ipv4(Bytes b) {
    if (b.size() < 20 || b[0] >> 4 != 4) return;
    const size_t header = (b[0] & 15) * size_t{4};
    if (header < 20) return;
    IpLayer& ip = frame_.ip = {};
    ip.version = 4;
    ip.tos = b[1];
    ip.protocol = b[9];
    ip.has_protocol = true;
    ip.src = IpAddress::v4_bytes(b.data() + 12);
    ip.dst = IpAddress::v4_bytes(b.data() + 16);
    const uint16_t fragment = be16(b.data() + 6);
    ip.fragment_offset = (fragment & 0x1fff) * 8u;
    ip.is_fragment = (fragment & 0x3fff) != 0;
    // The link may have padded; 0 is what offloading network cards leave behind.
    const size_t total = be16(b.data() + 2);
    if (total >= header && total < b.size()) b = b.first(total);
    if (header > b.size()) return;
    transport(b.subspan(header));
  }

  void ipv6(Bytes b) {
    if (b.size() < 40 || b[0] >> 4 != 6) return;
    IpLayer& ip = frame_.ip = {};
    ip.version = 6;
    ip.tos = static_cast<uint8_t>(be16(b.data()) >> 4);
    ip.src = IpAddress::v6_bytes(b.data() + 8);
    ip.dst = IpAddress::v6_bytes(b.data() + 24);
    const size_t payload = be16(b.data() + 4);
    uint8_t next = b[6];
    b = b.subspan(40);
    if (payload != 0 && payload < b.size()) b = b.first(payload);
    for (int n = 0; n < limits::kFrameExtensionsMax; ++n) {
      size_t length = 0;
      switch (next) {
        case 44:  // fragment
          if (b.size() < 8) return;
          ip.fragment_offset = be16(b.data() + 2) & 0xfff8u;
          ip.is_fragment = ip.is_fragment || (be16(b.data() + 2) & 0xfff9) != 0;
          length = 8;
          break;
        case 51:  // authentication
          if (b.size() < 2) return;
          length = (b[1] + size_t{2}) * 4;
          break;
        case 0:    // hop by hop
        case 43:   // routing
        case 60:   // destination
        case 135:  // mobility
        case 139:  // host identity
        case 140:  // shim6
          if (b.size() < 2) return;
          length = (b[1] + size_t{1}) * 8;
          break;
        default:
          ip.protocol = next;
          ip.has_protocol = true;
          return transport(b);
      }
      if (length > b.size()) return;
      next = b[0];
      b = b.subspan(length);
      // What follows in a later fragment is the middle of something.
      if (ip.fragment_offset != 0) {
        ip.protocol = next;
        ip.has_protocol = true;
        return;
      }
    }
  }

 private:
  void transport(Bytes b) {
    IpLayer& ip = frame_.ip;
    if (ip.fragment_offset != 0) return;
    switch (ip.protocol) {
      case kTcp:
      case kUdp:
      case kUdpLite:
      case kSctp:
      case kDccp:
        if (b.size() < 4) return;
        ip.src_port = be16(b.data());
        ip.dst_port = be16(b.data() + 2);
        ip.has_ports = true;
        if (ip.protocol == kTcp && b.size() >= 14) {
          ip.tcp_flags = be16(b.data() + 12) & 0xfff;
          ip.has_tcp_flags = true;
        }
        if (ip.protocol == kUdp && b.size() > 8 && !ip.is_fragment) udp(ip.dst_port, b.subspan(8));
        return;
      case kIcmp:
      case kIcmp6:
        if (b.size() < 2) return;
        ip.icmp_type = b[0];
        ip.icmp_code = b[1];
        ip.has_icmp = true;
        return;
      default: break;
    }
    if (ip.is_fragment) return;
    switch (ip.protocol) {
      case kIpip: return inside(Tunnel::ip_in_ip, [&] { ipv4(b); });
      case kIpv6InIp: return inside(Tunnel::ip_in_ip, [&] { ipv6(b); });
      case kGre: return gre(b);
      case kMplsInIp: return inside(Tunnel::mpls_in_ip, [&] { mpls(b); });
      case kEthernetInIp: return inside(Tunnel::srv6_ethernet, [&] { ethernet(b); });
      default: return;
    }
  }

  void udp(uint16_t port, Bytes b) {
    switch (port) {
      case 4789:
      case 8472:
        // A VNI is there, and all that is reserved is zero: else it is something else on this port.
        if (b.size() < 8 || b[0] != 0x08 || be24(b.data() + 1) != 0 || b[7] != 0) return;
        return inside(Tunnel::vxlan, [&] { ethernet(b.subspan(8)); }, be24(b.data() + 4));
      case 4790:
        if (b.size() < 8 || (b[0] & 0xfc) != 0x0c || be16(b.data() + 1) != 0) return;
        return inside(
            Tunnel::vxlan_gpe,
            [&] {
              if (b[3] == 1) ipv4(b.subspan(8));
              if (b[3] == 2) ipv6(b.subspan(8));
              if (b[3] == 3) ethernet(b.subspan(8));
            },
            be24(b.data() + 4));
      case 6081: {
        if (b.size() < 8 || b[0] >> 6 != 0 || b[7] != 0) return;
        const size_t header = 8 + (b[0] & 0x3f) * size_t{4};
        if (header > b.size()) return;
        const uint16_t type = be16(b.data() + 2);
        return inside(Tunnel::geneve, [&] { type == kEthernet ? ethernet(b.subspan(header)) : network(type, b.subspan(header)); },
                      be24(b.data() + 4));
      }
      case 2152: return gtp_u(b);
      case 6635: return inside(Tunnel::mpls_in_ip, [&] { mpls(b); });
      default: return;
    }
  }

  // 3GPP TS 29.281: version 1, a user's packet (message 255), and extension headers as its flags say.
  void gtp_u(Bytes b) {
    if (b.size() < 8 || b[0] >> 5 != 1 || (b[0] & 0x10) == 0 || b[1] != 255) return;
    const uint32_t endpoint = be32(b.data() + 4);
    size_t header = 8;
    if (b[0] & 7) {
      header = 12;
      if (b.size() < header) return;
      uint8_t next = b[0] & 4 ? b[11] : uint8_t{0};
      for (int n = 0; next != 0; ++n) {
        if (n == limits::kFrameExtensionsMax || b.size() < header + 1) return;
        const size_t length = b[header] * size_t{4};
        if (length == 0 || b.size() < header + length) return;
        next = b[header + length - 1];
        header += length;
      }
    }
    b = b.subspan(header);
    if (b.empty()) return;
    const uint8_t first = b[0];
    inside(Tunnel::gtp_u, [&] { first >> 4 == 4 ? ipv4(b) : ipv6(b); }, std::nullopt, endpoint);
  }

  void gre(Bytes b) {
    if (b.size() < 4) return;
    const uint16_t flags = be16(b.data()), type = be16(b.data() + 2);
    const int version = flags & 7;
    // Source routes were withdrawn (RFC 2784); version 1 is PPTP's (RFC 2637).
    if ((flags & 0x4000) != 0 || version > 1) return;
    size_t at = 4;
    if (version == 0 && (flags & 0x8000) != 0) at += 4;
    std::optional<uint32_t> key;
    if (flags & 0x2000) {
      if (b.size() < at + 4) return;
      key = be32(b.data() + at);
      at += 4;
    }
    if (flags & 0x1000) at += 4;
    if (version == 1 && (flags & 0x0080) != 0) at += 4;
    if (at > b.size()) return;
    b = b.subspan(at);
    if (version == 1) {
      if (type == 0x880b) inside(Tunnel::gre, [&] { ppp(b); });
      return;
    }
    if (type == kEthernet) {
      // NVGRE is GRE with Ethernet, a key and no more.
      if ((flags & 0xb000) == 0x2000) return inside(Tunnel::nvgre, [&] { ethernet(b); }, *key >> 8);
      return inside(Tunnel::gre, [&] { ethernet(b); }, std::nullopt, key);
    }
    inside(Tunnel::gre, [&] { network(type, b); }, std::nullopt, key);
  }

  // Reads what a tunnel carries. When no IP packet shows in it, the tunnel's own packet stays the one that counts.
  template <typename F>
  void inside(Tunnel kind, F&& read, std::optional<uint32_t> vni = std::nullopt, std::optional<uint32_t> key = std::nullopt) {
    if (tunnels_ == limits::kFrameTunnelsMax) return;
    const IpLayer around = frame_.ip;
    frame_.ip = {};
    ++tunnels_;
    read();
    --tunnels_;
    if (frame_.ip.version == 0) {
      frame_.ip = around;
      if (tunnels_ == 0) frame_.has_inner_macs = false;
    } else if (tunnels_ == 0) {
      frame_.tunnel = kind;
      frame_.outer = around;
      frame_.has_vni = vni.has_value();
      frame_.vni = vni.value_or(0);
      frame_.has_key = key.has_value();
      frame_.key = key.value_or(0);
    }
  }

  Frame& frame_;
  int tunnels_ = 0;  // around what is being read
};

}  // namespace

std::string_view to_string(Tunnel tunnel) {
  switch (tunnel) {
    case Tunnel::none: return "none";
    case Tunnel::gre: return "gre";
    case Tunnel::nvgre: return "nvgre";
    case Tunnel::vxlan: return "vxlan";
    case Tunnel::vxlan_gpe: return "vxlan_gpe";
    case Tunnel::geneve: return "geneve";
    case Tunnel::gtp_u: return "gtp_u";
    case Tunnel::ip_in_ip: return "ip_in_ip";
    case Tunnel::mpls_in_ip: return "mpls_in_ip";
    case Tunnel::mpls_pseudowire: return "mpls_pseudowire";
    case Tunnel::srv6_ethernet: return "srv6_ethernet";
  }
  return "?";
}

bool read_frame(uint32_t header_protocol, std::span<const uint8_t> bytes, Frame& frame) {
  frame = {};
  FrameReader reader(frame);
  switch (header_protocol) {
    case static_cast<uint32_t>(FrameKind::ethernet): reader.ethernet(bytes); return true;
    case static_cast<uint32_t>(FrameKind::ppp):
    case static_cast<uint32_t>(FrameKind::pos): reader.ppp(bytes); return true;
    case static_cast<uint32_t>(FrameKind::ipv4): reader.ipv4(bytes); return true;
    case static_cast<uint32_t>(FrameKind::ipv6): reader.ipv6(bytes); return true;
    case static_cast<uint32_t>(FrameKind::mpls): reader.mpls(bytes); return true;
    default: return false;
  }
}

}  // namespace sluice::ingest
