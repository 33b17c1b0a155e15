#include "ingest/source/sflow.h"

#include <algorithm>
#include <charconv>

#include "ingest/source/limits.h"
#include "ingest/source/netflow_record.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest {
namespace {

using Bytes = std::span<const uint8_t>;

MacAddress mac(Bytes eight) {  // six bytes and two that pad them
  MacAddress v = 0;
  for (size_t i = 0; i < 6 && i < eight.size(); ++i) v = v << 8 | eight[i];
  return v;
}

std::string number(uint64_t v) {
  char text[20];
  const auto end = std::to_chars(text, text + sizeof text, v).ptr;
  return {text, end};
}

// Reads flow records into a sample.
class Records {
 public:
  explicit Records(SflowSample& s) : s_(s) {}

  void read(uint32_t format, Bytes body) {
    Xdr in(body);
    if (!record(format, in)) {
      ++s_.unknown_records;
      return;
    }
    if (in.ran_short()) {
      ++s_.bad_records;
      s_.bad_format = format;
    }
  }

 private:
  void extra(std::string_view key, std::string_view value) {
    if (value.empty()) return;
    if (value.size() > limits::kExtraValueBytesMax) {
      value = value.substr(0, limits::kExtraValueBytesMax);
      ++s_.cut_strings;
    }
    // Escaping may double it, and what the row adds of its own must fit too.
    constexpr size_t kReserved = 2'048;
    if (s_.extra.size() + key.size() + 2 * value.size() + 2 > limits::kStringBytesMax - kReserved) {
      ++s_.cut_strings;
      return;
    }
    append_extra(s_.extra, key, value);
  }
  void extra(std::string_view key, uint64_t value) { extra(key, number(value)); }
  void extra(std::string_view key, const std::optional<IpAddress>& value) {
    if (value) extra(key, to_string(*value));
  }
  void extra_text(std::string_view key, std::string_view raw) { extra(key, clean_text(raw)); }

  // A list of words as text, each as `print` has it, up to what one value of `extra` may hold.
  template <typename F>
  std::string words(Xdr& in, uint32_t count, F&& print) {
    std::string text;
    // More than there can be is a record cut short, found out by reading on.
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t v = in.u32();
      if (in.ran_short()) break;
      if (text.size() > limits::kExtraValueBytesMax) continue;
      if (!text.empty()) text += ' ';
      print(text, v);
    }
    return text;
  }

  // False: not a format that is read.
  bool record(uint32_t format, Xdr& in) {
    switch (format) {
      case 1: header(in); return true;
      case 2: ethernet(in); return true;
      case 3: ip_data(in, 4); return true;
      case 4: ip_data(in, 6); return true;
      case 1001: {
        const uint32_t src_vlan = in.u32(), src_priority = in.u32(), dst_vlan = in.u32(), dst_priority = in.u32();
        if (in.ran_short()) return true;
        // 0 and all ones stand for none; so does what is no VLAN id.
        if (src_vlan > 0 && src_vlan < 4'096) s_.src_vlan = src_vlan;
        if (dst_vlan > 0 && dst_vlan < 4'096) s_.dst_vlan = dst_vlan;
        if (src_priority > 0 && src_priority < 8) extra("src_vlan_priority", src_priority);
        if (dst_priority > 0 && dst_priority < 8) extra("dst_vlan_priority", dst_priority);
        return true;
      }
      case 1002: {
        const auto next_hop = in.address();
        const uint32_t src = in.u32(), dst = in.u32();
        if (in.ran_short()) return true;
        if (!s_.next_hop) s_.next_hop = next_hop;
        if (src <= 128) s_.src_prefix = static_cast<uint8_t>(src);
        if (dst <= 128) s_.dst_prefix = static_cast<uint8_t>(dst);
        return true;
      }
      case 1003: gateway(in); return true;
      case 1004: {
        in.u32();
        const std::string_view src = in.text();
        in.u32();
        const std::string_view dst = in.text();
        if (in.ran_short()) return true;
        s_.user = clean_text(src.substr(0, limits::kExtraValueBytesMax));
        if (s_.user.empty())
          s_.user = clean_text(dst.substr(0, limits::kExtraValueBytesMax));
        else
          extra_text("dst_user", dst);
        return true;
      }
      case 1005: {
        in.u32();
        const std::string_view url = in.text(), host = in.text();
        if (in.ran_short()) return true;
        extra_text("url", url);
        extra_text("url_host", host);
        return true;
      }
      case 1006: {
        const auto next_hop = in.address();
        const auto label = [](std::string& text, uint32_t entry) { text += number(entry >> 12); };
        std::string in_labels = words(in, in.u32(), label);
        std::string out_labels = words(in, in.u32(), label);
        if (in.ran_short()) return true;
        extra("mpls_next_hop", next_hop);
        if (!in_labels.empty() && !s_.mpls_label) {
          uint32_t top = 0;
          std::from_chars(in_labels.data(), in_labels.data() + in_labels.size(), top);
          s_.mpls_label = top;
        }
        extra("mpls_in_labels", in_labels);
        extra("mpls_out_labels", out_labels);
        return true;
      }
      case 1007: {
        const auto src = in.address(), dst = in.address();
        if (in.ran_short()) return true;
        s_.nat_src = src;
        s_.nat_dst = dst;
        return true;
      }
      case 1008: return named(in, "mpls_tunnel", "mpls_tunnel_id"), true;
      case 1009: return named(in, "mpls_vc", "mpls_vc_id"), true;
      case 1010: {
        const std::string_view text = in.text();
        in.u32();
        if (!in.ran_short()) extra_text("mpls_ftn", text);
        return true;
      }
      case 1011: {
        const uint32_t length = in.u32();
        if (!in.ran_short()) extra("mpls_fec_prefix_len", length);
        return true;
      }
      case 1012: {
        const std::string tags = words(in, in.u32(), [](std::string& text, uint32_t tag) { text += number(tag & 0xfff); });
        if (!in.ran_short()) extra("stripped_vlans", tags);
        return true;
      }
      case 1020: {
        const uint32_t src = in.u32(), dst = in.u32();
        if (in.ran_short()) return true;
        if (src > 0 && src <= 0xffff) s_.nat_src_port = static_cast<uint16_t>(src);
        if (dst > 0 && dst <= 0xffff) s_.nat_dst_port = static_cast<uint16_t>(dst);
        return true;
      }
      case 1021: return l2_tunnel(in, "tunnel_out"), true;
      case 1022: return l2_tunnel(in, "tunnel_in"), true;
      case 1023: return ip_tunnel(in, 4, "tunnel_out"), true;
      case 1024: return ip_tunnel(in, 4, "tunnel_in"), true;
      case 1025: return ip_tunnel(in, 6, "tunnel_out"), true;
      case 1026: return ip_tunnel(in, 6, "tunnel_in"), true;
      case 1027: return value(in, "decap_out_offset"), true;
      case 1028: return value(in, "decap_in_offset"), true;
      case 1029: {
        const uint32_t vni = in.u32();
        if (in.ran_short()) return true;
        if (!s_.vni)
          s_.vni = vni;
        else if (*s_.vni != vni)
          extra("vni_out", vni);
        return true;
      }
      case 1030: {  // the network that it came from says more than that it goes to
        const uint32_t vni = in.u32();
        if (in.ran_short()) return true;
        if (s_.vni && *s_.vni != vni) extra("vni_out", *s_.vni);
        s_.vni = vni;
        return true;
      }
      case 1036: return value(in, "egress_queue"), true;
      case 1037: {
        const uint32_t id = in.u32();
        const std::string_view name = in.text();
        in.u32();
        if (in.ran_short()) return true;
        s_.rule = clean_text(name.substr(0, limits::kExtraValueBytesMax));
        if (s_.rule.empty())
          s_.rule = number(id);
        else if (id != 0)
          extra("acl", id);
        return true;
      }
      case 1038: return text(in, "function"), true;
      case 1039: return value(in, "transit_delay_ns"), true;
      case 1040: return value(in, "queue_depth"), true;
      case 1041: {
        const std::string_view group = in.text(), trap = in.text();
        if (in.ran_short()) return true;
        extra_text("hw_trap_group", group);
        extra_text("hw_trap", trap);
        return true;
      }
      case 1042: return text(in, "linux_drop_reason"), true;
      case 1043: {
        const uint64_t ns = in.u64();
        if (in.ran_short()) return true;
        if (ns <= static_cast<uint64_t>(kTimestampMax)) s_.seen_at = static_cast<TimestampNs>(ns);
        return true;
      }
      case 2100: return socket(in, 4), true;
      case 2101: return socket(in, 6), true;
      case 2209: {
        static constexpr std::string_view kNames[] = {"", "", "", "", "tcp_lost", "tcp_retrans", "", "tcp_rtt_us", "tcp_rtt_var_us", "", "", "tcp_min_rtt_us"};
        uint32_t values[std::size(kNames)];
        for (uint32_t& v : values) v = in.u32();
        if (in.ran_short()) return true;
        for (size_t i = 0; i < std::size(kNames); ++i)
          if (!kNames[i].empty() && values[i] != 0xffff'ffff) extra(kNames[i], values[i]);
        return true;
      }
      default: return false;
    }
  }

  void value(Xdr& in, std::string_view key) {
    const uint32_t v = in.u32();
    if (!in.ran_short()) extra(key, v);
  }
  void text(Xdr& in, std::string_view key) {
    const std::string_view v = in.text();
    if (!in.ran_short()) extra_text(key, v);
  }
  void named(Xdr& in, std::string_view name_key, std::string_view id_key) {
    const std::string_view name = in.text();
    const uint32_t id = in.u32();
    in.u32();
    if (in.ran_short()) return;
    extra_text(name_key, name);
    extra(id_key, id);
  }

  void header(Xdr& in) {
    const uint32_t protocol = in.u32(), length = in.u32();
    in.u32();  // stripped: of the copy, not of the length
    const Bytes bytes = in.opaque();
    if (in.ran_short() || has_header_) return;
    has_header_ = s_.has_packet = true;
    s_.length = length;
    const bool is_ip = protocol == static_cast<uint32_t>(FrameKind::ipv4) || protocol == static_cast<uint32_t>(FrameKind::ipv6);
    s_.basis = is_ip ? ByteBasis::layer3 : ByteBasis::layer2;
    if (!read_frame(protocol, bytes, s_.frame)) extra("header_protocol", protocol);
  }

  void ethernet(Xdr& in) {
    const uint32_t length = in.u32();
    const Bytes src = in.bytes(8), dst = in.bytes(8);
    const uint32_t type = in.u32();
    if (in.ran_short() || has_header_) return;
    s_.has_packet = has_ethernet_ = true;
    s_.length = length;
    s_.basis = ByteBasis::layer2;
    s_.frame.src_mac = mac(src);
    s_.frame.dst_mac = mac(dst);
    s_.frame.has_macs = true;
    if (type >= 0x600 && type <= 0xffff) s_.frame.ethertype = static_cast<uint16_t>(type);
  }

  // The words behind the length: protocol, addresses, ports, flags, type of service.
  IpLayer ip_words(Xdr& in, uint8_t version) {
    IpLayer ip;
    const uint32_t protocol = in.u32();
    const Bytes src = in.bytes(version == 4 ? 4 : 16), dst = in.bytes(version == 4 ? 4 : 16);
    const uint32_t src_port = in.u32(), dst_port = in.u32(), flags = in.u32(), tos = in.u32();
    if (in.ran_short()) return ip;
    ip.version = version;
    ip.src = version == 4 ? IpAddress::v4_bytes(src.data()) : IpAddress::v6_bytes(src.data());
    ip.dst = version == 4 ? IpAddress::v4_bytes(dst.data()) : IpAddress::v6_bytes(dst.data());
    ip.has_protocol = protocol <= 0xff;
    ip.protocol = static_cast<uint8_t>(protocol);
    ip.tos = static_cast<uint8_t>(tos);
    // "Source port or equivalent": of ICMP type and code.
    if (protocol == 1 || protocol == 58) {
      ip.has_icmp = true;
      ip.icmp_type = static_cast<uint8_t>(src_port);
      ip.icmp_code = static_cast<uint8_t>(dst_port);
    } else if (protocol == 6 || protocol == 17 || protocol == 132 || protocol == 33 || protocol == 136) {
      ip.has_ports = true;
      ip.src_port = static_cast<uint16_t>(src_port);
      ip.dst_port = static_cast<uint16_t>(dst_port);
    }
    ip.has_tcp_flags = protocol == 6;
    ip.tcp_flags = static_cast<uint16_t>(flags & 0xfff);
    return ip;
  }

  void ip_data(Xdr& in, uint8_t version) {
    const uint32_t length = in.u32();
    const IpLayer ip = ip_words(in, version);
    if (in.ran_short() || has_header_) return;
    s_.has_packet = true;
    s_.frame.ip = ip;
    if (has_ethernet_) return;  // whose length is that of the whole frame
    s_.length = length;
    s_.basis = ByteBasis::layer3;
  }

  void ip_tunnel(Xdr& in, uint8_t version, std::string_view which) {
    in.u32();
    const IpLayer ip = ip_words(in, version);
    if (in.ran_short()) return;
    const std::string key(which);
    extra(key + "_src", to_string(ip.src));
    extra(key + "_dst", to_string(ip.dst));
    extra(key + "_protocol", ip.protocol);
  }
  void l2_tunnel(Xdr& in, std::string_view which) {
    in.u32();
    const Bytes src = in.bytes(8), dst = in.bytes(8);
    in.u32();
    if (in.ran_short()) return;
    const std::string key(which);
    extra(key + "_src_mac", format_mac(mac(src)));
    extra(key + "_dst_mac", format_mac(mac(dst)));
  }

  // Of an application's sample: the remote end asks, the local one answers.
  void socket(Xdr& in, uint8_t version) {
    const uint32_t protocol = in.u32();
    const size_t n = version == 4 ? 4 : 16;
    const Bytes local = in.bytes(n), remote = in.bytes(n);
    const uint32_t local_port = in.u32(), remote_port = in.u32();
    if (in.ran_short() || s_.frame.ip.version != 0) return;
    s_.has_socket = true;
    IpLayer ip;
    ip.version = version;
    ip.src = version == 4 ? IpAddress::v4_bytes(remote.data()) : IpAddress::v6_bytes(remote.data());
    ip.dst = version == 4 ? IpAddress::v4_bytes(local.data()) : IpAddress::v6_bytes(local.data());
    ip.has_protocol = protocol <= 0xff;
    ip.protocol = static_cast<uint8_t>(protocol);
    ip.has_ports = true;
    ip.src_port = static_cast<uint16_t>(remote_port);
    ip.dst_port = static_cast<uint16_t>(local_port);
    s_.frame.ip = ip;
  }

  void gateway(Xdr& in) {
    const auto next_hop = in.address();
    const uint32_t as = in.u32(), src_as = in.u32(), src_peer_as = in.u32(), segments = in.u32();
    uint32_t first = 0, last = 0;
    std::string path;
    for (uint32_t i = 0; i < segments && !in.ran_short(); ++i) {
      const uint32_t type = in.u32(), count = in.u32();
      const bool is_set = type == 1;  // in any order: written in braces, as routers do
      if (is_set) path += path.empty() ? "{" : " {";
      std::string text;
      for (uint32_t n = 0; n < count; ++n) {
        const uint32_t v = in.u32();
        if (in.ran_short()) break;
        if (first == 0) first = v;
        last = v;  // however much of the path is kept
        if (text.size() > limits::kExtraValueBytesMax) continue;
        if (!text.empty()) text += ' ';
        text += number(v);
      }
      if (!is_set && !path.empty() && !text.empty()) path += ' ';
      if (path.size() <= limits::kExtraValueBytesMax) path += text;
      if (is_set) path += '}';
    }
    const std::string communities = words(in, in.u32(), [](std::string& text, uint32_t v) { text.append(number(v >> 16)).append(":").append(number(v & 0xffff)); });
    const uint32_t local_pref = in.u32();
    if (in.ran_short()) return;
    // A source or a destination that no other AS stands for is the router's own.
    if (const uint32_t v = src_as ? src_as : as; v != 0) s_.src_as = v;
    if (const uint32_t v = last ? last : as; v != 0) s_.dst_as = v;
    extra("bgp_next_hop", next_hop);
    if (as != 0) extra("router_as", as);
    if (src_peer_as != 0) extra("src_peer_as", src_peer_as);
    if (first != 0) extra("dst_peer_as", first);
    extra("as_path", path);
    extra("communities", communities);
    extra("local_pref", local_pref);
  }

  SflowSample& s_;
  bool has_header_ = false, has_ethernet_ = false;
};

struct DropReason {
  uint16_t code;
  std::string_view name;
};
// sflow.org's codes: 0..15 are ICMP's for "destination unreachable".
constexpr DropReason kDropReasons[] = {
    {0, "net_unreachable"},
    {1, "host_unreachable"},
    {2, "protocol_unreachable"},
    {3, "port_unreachable"},
    {4, "frag_needed"},
    {5, "src_route_failed"},
    {6, "dst_net_unknown"},
    {7, "dst_host_unknown"},
    {8, "src_host_isolated"},
    {9, "dst_net_prohibited"},
    {10, "dst_host_prohibited"},
    {11, "dst_net_tos_unreachable"},
    {12, "dst_host_tos_unreachable"},
    {13, "comm_admin_prohibited"},
    {14, "host_precedence_violation"},
    {15, "precedence_cutoff"},
    {256, "unknown"},
    {257, "ttl_exceeded"},
    {258, "acl"},
    {259, "no_buffer_space"},
    {260, "red"},
    {261, "traffic_shaping"},
    {262, "pkt_too_big"},
    {263, "src_mac_is_multicast"},
    {264, "vlan_tag_mismatch"},
    {265, "ingress_vlan_filter"},
    {266, "ingress_spanning_tree_filter"},
    {267, "port_list_is_empty"},
    {268, "port_loopback_filter"},
    {269, "blackhole_route"},
    {270, "non_ip"},
    {271, "uc_dip_over_mc_dmac"},
    {272, "dip_is_loopback_address"},
    {273, "sip_is_mc"},
    {274, "sip_is_loopback_address"},
    {275, "ip_header_corrupted"},
    {276, "ipv4_sip_is_limited_bc"},
    {277, "ipv6_mc_dip_reserved_scope"},
    {278, "ipv6_mc_dip_interface_local_scope"},
    {279, "unresolved_neigh"},
    {280, "mc_reverse_path_forwarding"},
    {281, "non_routable_packet"},
    {282, "decap_error"},
    {283, "overlay_smac_is_mc"},
    {284, "unknown_l2"},
    {285, "unknown_l3"},
    {286, "unknown_l3_exception"},
    {287, "unknown_buffer"},
    {288, "unknown_tunnel"},
    {289, "unknown_l4"},
    {290, "sip_is_unspecified"},
    {291, "mlag_port_isolation"},
    {292, "blackhole_arp_neigh"},
    {293, "src_mac_is_dmac"},
    {294, "dmac_is_reserved"},
    {295, "sip_is_class_e"},
    {296, "mc_dmac_mismatch"},
    {297, "sip_is_dip"},
    {298, "dip_is_local_network"},
    {299, "dip_is_link_local"},
    {300, "overlay_smac_is_dmac"},
    {301, "egress_vlan_filter"},
    {302, "uc_reverse_path_forwarding"},
    {303, "split_horizon"},
    {304, "locked_port"},
    {305, "dmac_filter"},
    {306, "blackhole_nexthop"},
};

void read_records(Xdr& in, uint32_t count, SflowSample& sample) {
  Records records(sample);
  for (uint32_t i = 0; i < count; ++i) {
    if (in.left() == 0) return void(++sample.bad_records);  // fewer than it says
    const uint32_t format = in.u32(), length = in.u32();
    const Bytes body = in.bytes(length);
    if (in.ran_short()) {
      ++sample.bad_records;
      sample.bad_format = format;
      return;
    }
    if (length % 4 != 0) (void)in.bytes(std::min<size_t>(4 - length % 4, in.left()));
    records.read(format, body);
  }
}

}  // namespace

std::optional<IpAddress> Xdr::address() {
  const uint32_t type = u32();
  std::optional<IpAddress> out;
  if (type == 1) {
    if (const auto b = bytes(4); b.size() == 4 && (b[0] | b[1] | b[2] | b[3]) != 0) out = IpAddress::v4_bytes(b.data());
  } else if (type == 2) {
    if (const auto b = bytes(16); b.size() == 16) out = IpAddress::v6_bytes(b.data());
    if (out == IpAddress{}) out.reset();
  } else if (type != 0) {
    fail();  // nobody can tell how long it is
  }
  return out;
}

bool is_sflow(std::span<const uint8_t> p) { return p.size() >= 4 && p[0] == 0 && p[1] == 0 && p[2] == 0 && (p[3] == 2 || p[3] == 4 || p[3] == 5); }

std::optional<SflowHeader> read_sflow_header(Xdr& in) {
  SflowHeader h;
  h.version = in.u32();
  if (in.ran_short()) return std::nullopt;
  if (h.version != 5) return h;
  h.agent = in.address();
  h.sub_agent = in.u32();
  h.sequence = in.u32();
  h.uptime_ms = in.u32();
  h.samples = in.u32();
  if (in.ran_short()) return std::nullopt;
  return h;
}

size_t sflow_datagram_bytes(std::span<const uint8_t> bytes) {
  Xdr in(bytes);
  const auto header = read_sflow_header(in);
  if (!header || header->version != 5) return bytes.size();
  for (uint32_t i = 0; i < header->samples; ++i) {
    in.u32();
    (void)in.bytes(in.u32());
    if (in.ran_short()) return bytes.size();
  }
  return bytes.size() - in.left();
}

bool read_sflow_sample(std::span<const uint8_t> body, SflowKind kind, SflowSample& s) {
  s.clear();
  Xdr in(body);
  s.discarded = kind == SflowKind::discarded;
  s.sequence = in.u32();
  if (kind == SflowKind::flow) {
    const uint32_t source = in.u32();
    s.source_class = source >> 24;
    s.source_index = source & 0xff'ffff;
  } else {
    s.source_class = in.u32();
    s.source_index = in.u32();
  }
  if (!s.discarded) {
    s.sampling_rate = in.u32();
    s.pool = in.u32();
  }
  s.drops = in.u32();
  if (kind == SflowKind::flow_expanded) {
    s.input_format = in.u32();
    s.input = in.u32();
    s.output_format = in.u32();
    s.output = in.u32();
  } else {
    const uint32_t input = in.u32(), output = in.u32();
    s.input_format = input >> 30;
    s.input = input & 0x3fff'ffff;
    s.output_format = output >> 30;
    s.output = output & 0x3fff'ffff;
  }
  if (s.discarded) s.reason = in.u32();
  else if (s.output_format == 1) s.reason = s.output;
  const uint32_t records = in.u32();
  if (in.ran_short()) return false;
  read_records(in, records, s);
  return true;
}

std::string_view sflow_drop_reason(uint32_t code) {
  const auto it = std::ranges::lower_bound(kDropReasons, code, {}, &DropReason::code);
  return it != std::end(kDropReasons) && it->code == code ? it->name : std::string_view();
}

}  // namespace sluice::ingest
