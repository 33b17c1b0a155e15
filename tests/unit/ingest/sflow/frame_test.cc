// Sampled packets, layer by layer.
#include "ingest/source/frame.h"

#include <gtest/gtest.h>

#include "ingest/source/limits.h"
#include "tests/unit/ingest/sflow/sflow_wire.h"

namespace sluice::ingest {
namespace {

using namespace testing;

Frame read(const Wire& packet, uint32_t kind = 1) {
  Frame frame;
  EXPECT_TRUE(read_frame(kind, packet.bytes, frame));
  return frame;
}
std::string src(const IpLayer& ip) { return ip.version ? to_string(ip.src) : ""; }
const Wire kInner = ipv4("192.168.1.1", "192.168.1.2", 6) + tcp(1'000, 443);

TEST(Frame, EthernetIpv4Tcp) {
  const Frame f = read(ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 6) + tcp(1'000, 443, 0x112));
  EXPECT_TRUE(f.has_macs);
  EXPECT_EQ(format_mac(f.src_mac), "02:00:00:00:00:01");
  EXPECT_EQ(format_mac(f.dst_mac), "02:00:00:00:00:02");
  EXPECT_EQ(f.ethertype, 0x0800);
  EXPECT_EQ(f.ip.version, 4);
  EXPECT_EQ(src(f.ip), "10.0.0.1");
  EXPECT_EQ(f.ip.tos, 0x2e);
  EXPECT_EQ(f.ip.src_port, 1'000);
  EXPECT_EQ(f.ip.dst_port, 443);
  EXPECT_EQ(f.ip.tcp_flags, 0x112);
  EXPECT_EQ(f.tunnel, Tunnel::none);
}

TEST(Frame, Ipv4OptionsMoveThePorts) {
  const Frame f = read(ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 17, 0, 8) + udp(53, 5'353));
  EXPECT_EQ(f.ip.src_port, 53);
  EXPECT_EQ(f.ip.dst_port, 5'353);
}

TEST(Frame, OnlyTheFirstFragmentHasPorts) {
  const Frame first = read(ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 17, 0x2000) + udp(53, 5'353));
  EXPECT_TRUE(first.ip.has_ports);
  EXPECT_TRUE(first.ip.is_fragment);
  const Frame later = read(ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 17, 0x2000 | 185) + udp(53, 5'353));
  EXPECT_FALSE(later.ip.has_ports);
  EXPECT_EQ(later.ip.fragment_offset, 1'480u);
  EXPECT_EQ(later.ip.protocol, 17);
  // Do not fragment is no fragment.
  EXPECT_FALSE(read(ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 17, 0x4000) + udp(53, 5'353)).ip.is_fragment);
}

TEST(Frame, TagsOfEveryKind) {
  const Frame one = read(ethernet(0x8100) + tag(0x6000 | 100, 0x0800) + kInner);
  EXPECT_EQ(one.tags, 1);
  EXPECT_EQ(one.vlan, 100);
  for (const uint64_t outer : {0x88a8, 0x9100, 0x9200, 0x8100}) {
    const Frame two = read(ethernet(outer) + tag(10, 0x8100) + tag(20, 0x0800) + kInner);
    EXPECT_EQ(two.tags, 2);
    EXPECT_EQ(two.vlan, 10);
    EXPECT_EQ(two.inner_vlan, 20);
    EXPECT_EQ(two.ip.dst_port, 443);
  }
  // As many as are read, and one more.
  Wire tags = ethernet(0x8100);
  for (int i = 1; i < limits::kFrameTagsMax; ++i) tags = tags + tag(static_cast<uint64_t>(i), 0x8100);
  EXPECT_EQ(read(tags + tag(8, 0x0800) + kInner).ip.version, 4);
  EXPECT_EQ(read(tags + tag(8, 0x8100) + tag(9, 0x0800) + kInner).ip.version, 0);
}

TEST(Frame, LlcAndSnap) {
  Wire snap;
  snap.u8(0xaa).u8(0xaa).u8(3).u8(0).u16(0).u16(0x0800);
  EXPECT_EQ(read(ethernet(100) + snap + kInner).ip.dst_port, 443);
  Wire stp;
  stp.u8(0x42).u8(0x42).u8(3).zeros(40);
  const Frame bpdu = read(ethernet(38, 0x0180'c200'0000) + stp);
  EXPECT_EQ(bpdu.ip.version, 0);
  EXPECT_EQ(bpdu.ethertype, 0);
  EXPECT_TRUE(bpdu.has_macs);
}

TEST(Frame, MplsStacks) {
  Wire two;
  two.u32(16'001 << 12 | 64).u32(299'776 << 12 | 0x100 | 64);
  const Frame f = read(ethernet(0x8847) + two + kInner);
  EXPECT_EQ(f.labels, 2);
  EXPECT_EQ(f.label[0], 16'001u);
  EXPECT_EQ(f.label[1], 299'776u);
  EXPECT_EQ(f.ip.dst_port, 443);
  EXPECT_EQ(f.tunnel, Tunnel::none);
  EXPECT_EQ(read(two + ipv6("2001:db8::1", "2001:db8::2", 17) + udp(1, 2), 13).ip.dst_port, 2);
  // A pseudowire: control word, then a frame of its own.
  Wire control;
  control.u32(7);
  const Frame wire = read(ethernet(0x8847) + two + control + ethernet(0x0800, 0xa, 0xb) + kInner);
  EXPECT_EQ(wire.tunnel, Tunnel::mpls_pseudowire);
  EXPECT_EQ(wire.outer.version, 0);
  EXPECT_EQ(wire.inner_src_mac, 0xbu);
  EXPECT_EQ(format_mac(wire.src_mac), "02:00:00:00:00:01");
  EXPECT_EQ(wire.ip.dst_port, 443);
  // A stack without an end, of as many labels as there is room for, and more.
  for (const int depth : {limits::kFrameLabelsMax - 1, limits::kFrameLabelsMax, limits::kFrameLabelsMax + 1}) {
    Wire deep;
    for (int i = 1; i < depth; ++i) deep.u32(static_cast<uint64_t>(i) << 12);
    deep.u32(7 << 12 | 0x100);
    EXPECT_EQ(read(ethernet(0x8847) + deep + kInner).ip.version, depth <= limits::kFrameLabelsMax ? 4 : 0) << depth;
  }
}

TEST(Frame, PppoeAndPpp) {
  Wire session;
  session.u8(0x11).u8(0).u16(4'711).u16(100).u16(0x0021);
  const Frame f = read(ethernet(0x8864) + session + kInner);
  EXPECT_TRUE(f.has_pppoe);
  EXPECT_EQ(f.pppoe_session, 4'711);
  EXPECT_EQ(f.ip.dst_port, 443);
  Wire hdlc, compressed;
  hdlc.u16(0xff03).u16(0x0057);
  EXPECT_EQ(read(hdlc + ipv6("2001:db8::1", "2001:db8::2", 6) + tcp(1, 2), 7).ip.dst_port, 2);
  compressed.u8(0x21);
  EXPECT_EQ(read(compressed + kInner, 14).ip.dst_port, 443);
}

TEST(Frame, Ipv6ExtensionHeaders) {
  Wire hop, routing, destination, fragment, authentication;
  hop.u8(43).u8(0).zeros(6);
  routing.u8(51).u8(2).zeros(22);
  authentication.u8(60).u8(4).zeros(22);
  destination.u8(44).u8(1).zeros(14);
  fragment.u8(6).u8(0).u16(1).u32(5);
  const Frame f = read(ethernet(0x86dd) + ipv6("2001:db8::1", "2001:db8::2", 0) + hop + routing + authentication + destination + fragment + tcp(1, 2));
  EXPECT_EQ(f.ip.protocol, 6);
  EXPECT_EQ(f.ip.tos, 0x2e);
  EXPECT_EQ(f.ip.dst_port, 2);
  EXPECT_TRUE(f.ip.is_fragment);
  Wire later;
  later.u8(6).u8(0).u16(1'480 | 1).u32(5);
  const Frame middle = read(ethernet(0x86dd) + ipv6("2001:db8::1", "2001:db8::2", 44) + later + tcp(1, 2));
  EXPECT_EQ(middle.ip.protocol, 6);
  EXPECT_FALSE(middle.ip.has_ports);
  EXPECT_EQ(middle.ip.fragment_offset, 1'480u);
  // The sample ends within the headers: which protocol follows is not known.
  EXPECT_FALSE(read(ethernet(0x86dd) + ipv6("2001:db8::1", "2001:db8::2", 0)).ip.has_protocol);
  // MLD reports hide behind a hop-by-hop header.
  Wire alert, mld;
  alert.u8(58).u8(0).u16(0x0502).u32(0);
  mld.u8(143).u8(0).zeros(6);
  const Frame report = read(ethernet(0x86dd) + ipv6("fe80::1", "ff02::16", 0) + alert + mld);
  EXPECT_EQ(report.ip.protocol, 58);
  EXPECT_EQ(report.ip.icmp_type, 143);
}

TEST(Frame, TheInnermostPacketOfATunnelIsTheFlow) {
  const Wire outer4 = ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 17);
  Wire vxlan;
  vxlan.u32(0x0800'0000).u32(5'000 << 8);
  for (const uint64_t port : {4'789, 8'472}) {
    const Frame f = read(outer4 + udp(50'000, port) + vxlan + ethernet(0x8100, 0xa, 0xb) + tag(33, 0x0800) + kInner);
    EXPECT_EQ(f.tunnel, Tunnel::vxlan);
    EXPECT_EQ(src(f.ip), "192.168.1.1");
    EXPECT_EQ(f.ip.dst_port, 443);
    EXPECT_EQ(src(f.outer), "10.0.0.1");
    EXPECT_EQ(f.outer.dst_port, port);
    EXPECT_EQ(f.vni, 5'000u);
    EXPECT_EQ(f.inner_src_mac, 0xbu);
    EXPECT_EQ(f.tags, 0) << "tags of the inside are not the interface's";
  }
  Wire geneve;
  geneve.u8(2).u8(0).u16(0x6558).u32(77 << 8).zeros(8);
  const Frame g = read(outer4 + udp(50'000, 6'081) + geneve + ethernet(0x86dd) + ipv6("2001:db8::1", "2001:db8::2", 6) + tcp(1, 2));
  EXPECT_EQ(g.tunnel, Tunnel::geneve);
  EXPECT_EQ(g.vni, 77u);
  EXPECT_EQ(src(g.ip), "2001:db8::1");
  Wire gtp;
  gtp.u8(0x34).u8(255).u16(100).u32(99).u16(0).u8(0).u8(0x85).u8(1).u16(0).u8(0);
  const Frame m = read(outer4 + udp(2'152, 2'152) + gtp + kInner);
  EXPECT_EQ(m.tunnel, Tunnel::gtp_u);
  EXPECT_EQ(m.key, 99u);
  EXPECT_EQ(m.ip.dst_port, 443);
}

TEST(Frame, GreOfEveryShape) {
  const Wire outer = ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 47);
  Wire plain, full, nvgre, erspan, teb;
  plain.u16(0).u16(0x0800);
  EXPECT_EQ(read(outer + plain + kInner).ip.dst_port, 443);
  full.u16(0xb000).u16(0x0800).u32(0).u32(42).u32(1);
  const Frame keyed = read(outer + full + kInner);
  EXPECT_EQ(keyed.tunnel, Tunnel::gre);
  EXPECT_EQ(keyed.key, 42u);
  EXPECT_EQ(keyed.ip.dst_port, 443);
  nvgre.u16(0x2000).u16(0x6558).u32(6'000 << 8 | 3);
  const Frame n = read(outer + nvgre + ethernet(0x0800) + kInner);
  EXPECT_EQ(n.tunnel, Tunnel::nvgre);
  EXPECT_EQ(n.vni, 6'000u);
  // What a mirror carries is counted where it was: the outer packet is the flow.
  erspan.u16(0x1000).u16(0x88be).u32(1).zeros(8);
  const Frame e = read(outer + erspan + ethernet(0x0800) + kInner);
  EXPECT_EQ(e.tunnel, Tunnel::none);
  EXPECT_EQ(e.ip.protocol, 47);
  EXPECT_EQ(src(e.ip), "10.0.0.1");
}

TEST(Frame, TunnelsInTunnelsEndSomewhere) {
  Wire w = ethernet(0x0800);
  for (int i = 0; i < limits::kFrameTunnelsMax; ++i) w = w + ipv4("10.0.0." + std::to_string(i), "10.1.0.1", 4);
  const Frame all = read(w + kInner);
  EXPECT_EQ(src(all.ip), "192.168.1.1");
  EXPECT_EQ(src(all.outer), "10.0.0.0");
  const Frame more = read(w + ipv4("10.0.0.99", "10.1.0.1", 4) + kInner);
  EXPECT_EQ(src(more.ip), "10.0.0.99");
  EXPECT_EQ(more.ip.protocol, 4);
}

TEST(Frame, WhatOnlyLooksLikeATunnelStaysAsItIs) {
  const Wire outer = ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 17);
  Wire flags, arp;
  flags.u32(0x0900'0000).u32(5'000 << 8);
  EXPECT_EQ(read(outer + udp(1, 4'789) + flags + ethernet(0x0800) + kInner).ip.dst_port, 4'789);
  arp.u32(0x0800'0000).u32(5'000 << 8);
  const Frame a = read(outer + udp(1, 4'789) + arp + ethernet(0x0806) + Wire().zeros(28));
  EXPECT_EQ(a.ip.dst_port, 4'789);
  EXPECT_EQ(a.tunnel, Tunnel::none);
  EXPECT_FALSE(a.has_inner_macs);
}

// Every prefix of every kind of packet, in an allocation of its own: a read beyond is seen by the sanitizers, and what has been
// read does not change when more comes.
TEST(Frame, CutAnywhere) {
  Wire vxlan, label;
  vxlan.u32(0x0800'0000).u32(5'000 << 8);
  label.u32(7 << 12 | 0x100);
  const std::vector<Wire> packets = {
      ethernet(0x8100) + tag(1, 0x8100) + tag(2, 0x0800) + kInner,
      ethernet(0x8847) + label + kInner,
      ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 17) + udp(1, 4'789) + vxlan + ethernet(0x0800) + kInner,
      ethernet(0x86dd) + ipv6("2001:db8::1", "2001:db8::2", 0) + Wire().u8(6).u8(0).zeros(6) + tcp(1, 2),
  };
  for (const Wire& packet : packets)
    for (size_t n = 0; n <= packet.bytes.size(); ++n) {
      const std::vector<uint8_t> bytes(packet.bytes.begin(), packet.bytes.begin() + static_cast<ptrdiff_t>(n));
      for (const uint32_t kind : {1, 7, 11, 12, 13, 14}) {
        Frame f;
        EXPECT_TRUE(read_frame(kind, bytes, f));
        if (kind == 1) {
          EXPECT_EQ(f.has_macs, n >= 14);
        }
      }
    }
  Frame f;
  EXPECT_FALSE(read_frame(2, packets[0].bytes, f));
  EXPECT_FALSE(f.has_macs);
}

}  // namespace
}  // namespace sluice::ingest
