// sFlow datagrams to rows, and what is kept of their agents. Every datagram is built here.
#include "ingest/source/sflow.h"

#include <gtest/gtest.h>

#include "ingest/source/limits.h"
#include "ingest/source/packet_body.h"
#include "storage/model/limits.h"
#include "tests/unit/ingest/sflow/sflow_wire.h"

namespace sluice::ingest {
namespace {

using namespace testing;

const Wire kPacket = ethernet(0x0800) + ipv4("10.0.0.1", "10.0.0.2", 6) + tcp(1'000, 443);

Row one_row(const std::vector<uint8_t>& bytes) {
  Collector c;
  const PacketCounts counts = c.send(bytes);
  EXPECT_EQ(counts.bad, 0u);
  EXPECT_EQ(c.rows.size(), 1u);
  return c.rows.empty() ? Row() : c.rows[0];
}
Row row_of(const std::vector<Wire>& records, const SampleHead& h = {}) { return one_row(datagram({flow_sample(records, h)})); }

TEST(Sflow, AFlowSampleIsOnePacketOfARate) {
  const Row r = row_of({raw_header(kPacket.bytes, 1'400)});
  EXPECT_EQ(r["source"], "sflow5");
  EXPECT_EQ(r["exporter_ip"], "10.9.8.7") << "the agent, not the sender";
  EXPECT_EQ(r["exporter_port"], "50000");
  EXPECT_EQ(r["observation_domain"], "3");
  EXPECT_EQ(r["raw_bytes"], "1400") << "bytes that were stripped count";
  EXPECT_EQ(r["raw_packets"], "1");
  EXPECT_EQ(r["sampling_rate"], "512");
  EXPECT_EQ(r["byte_basis"], "layer2");
  EXPECT_EQ(r["src_ip"], "10.0.0.1");
  EXPECT_EQ(r["dst_port"], "443");
  EXPECT_EQ(r["tcp_flags"], "18");
  EXPECT_EQ(r["protocol"], "6");
  EXPECT_EQ(r["tos"], "46");
  EXPECT_EQ(r["input_if"], "7");
  EXPECT_EQ(r["output_if"], "9");
  EXPECT_EQ(r["direction"], "ingress");
  EXPECT_EQ(r["flow_end"], r["received_at"]);
  EXPECT_EQ(r["time_quality"], "estimated");
  EXPECT_FALSE(r.has("exported_at"));
  EXPECT_FALSE(r.has("action"));
  EXPECT_TRUE(r.extra.empty());
}

TEST(Sflow, RateZeroIsNotKnown) {
  SampleHead h;
  h.rate = 0;
  EXPECT_FALSE(row_of({raw_header(kPacket.bytes)}, h).has("sampling_rate"));
}

TEST(Sflow, ARateThatCanBeNoneIsNotKnown) {
  EXPECT_FALSE(one_row(datagram({flow_sample({raw_header(kPacket.bytes)}, {.rate = 0xffffffff})})).has("sampling_rate"));
}

TEST(Sflow, TheOperatorsRate) {
  PacketDecoderOptions options;
  ExporterOverride override;
  override.exporter = *parse_prefix("10.9.8.7/32");
  override.rates = {{std::nullopt, std::nullopt, 2'000, false}};
  options.overrides.push_back(override);
  SampleHead silent;
  silent.rate = 0;
  Collector c(options);
  c.send(datagram({flow_sample({raw_header(kPacket.bytes)}), flow_sample({raw_header(kPacket.bytes)}, silent)}));
  EXPECT_EQ(c.rows[0]["sampling_rate"], "512");
  EXPECT_EQ(c.rows[1]["sampling_rate"], "2000");
  options.overrides[0].rates[0].force = true;
  c.decoder.set_overrides(options.overrides);
  c.send(datagram({flow_sample({raw_header(kPacket.bytes)})}, {"10.9.8.7", 3, 101}));
  EXPECT_EQ(c.rows[2]["sampling_rate"], "2000");
}

TEST(Sflow, Interfaces) {
  SampleHead h;
  h.source = 9;
  EXPECT_EQ(row_of({raw_header(kPacket.bytes)}, h)["direction"], "egress");
  h.source = 1 << 24 | 7;  // a data source that is no interface
  EXPECT_FALSE(row_of({raw_header(kPacket.bytes)}, h).has("direction"));
  h = {};
  h.input = 0;
  h.output = kSflowInternal;
  const Row local = row_of({raw_header(kPacket.bytes)}, h);
  EXPECT_FALSE(local.has("input_if"));
  EXPECT_FALSE(local.has("output_if"));
  EXPECT_EQ(local.x("output_if"), "internal");
  h = {};
  h.output = 0x8000'0000 | 12;
  const Row flooded = row_of({raw_header(kPacket.bytes)}, h);
  EXPECT_FALSE(flooded.has("output_if"));
  EXPECT_EQ(flooded.x("output_if_count"), "12");
  EXPECT_EQ(flooded["direction"], "ingress");
  h.source = 8;
  EXPECT_EQ(row_of({raw_header(kPacket.bytes)}, h)["direction"], "egress") << "one of the twelve";
  // The expanded form has room for interfaces of 32 bits.
  const Row big = one_row(datagram({expanded_sample({raw_header(kPacket.bytes)}, 0, 0x4000'0001, 0, 0x8000'0002)}));
  EXPECT_EQ(big["input_if"], "1073741825");
  EXPECT_EQ(big["output_if"], "2147483650");
}

TEST(Sflow, AnOutputThatSaysDiscarded) {
  SampleHead h;
  h.output = 0x4000'0000 | 258;
  const Row r = row_of({raw_header(kPacket.bytes)}, h);
  EXPECT_EQ(r["action"], "drop");
  EXPECT_EQ(r["reject_reason"], "acl");
  EXPECT_EQ(r["raw_packets"], "1");
  EXPECT_FALSE(r.has("output_if"));
  EXPECT_FALSE(r.has("dropped_packets")) << "a sample of drops is scaled by its rate, as packets are";
  const Row unnamed = one_row(datagram({expanded_sample({raw_header(kPacket.bytes)}, 0, 7, 1, 9'999)}));
  EXPECT_EQ(unnamed["reject_reason"], "reason 9999");
}

TEST(Sflow, DiscardedPackets) {
  Collector c;
  Wire queue;
  queue.u32(42);
  const auto counts = c.send(datagram({discard_sample({raw_header(kPacket.bytes, 99), record(1'036, queue), record(1'042, xdr_text("TCP_FLAGS"))}, 257)}));
  EXPECT_EQ(counts.discards, 1u);
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["action"], "drop");
  EXPECT_EQ(r["reject_reason"], "ttl_exceeded");
  EXPECT_EQ(r["dropped_packets"], "1");
  EXPECT_EQ(r["dropped_bytes"], "99");
  EXPECT_EQ(r["sampling_rate"], "1");
  EXPECT_FALSE(r.has("raw_packets")) << "the packet may have been sampled on its way in";
  EXPECT_EQ(r["dst_port"], "443");
  EXPECT_EQ(r.x("egress_queue"), "42");
  EXPECT_EQ(r.x("linux_drop_reason"), "TCP_FLAGS");
}

TEST(Sflow, DropEventsHeldBackAreALoss) {
  Collector c;
  SampleHead h;
  h.drops = 10;
  c.send(datagram({discard_sample({}, 258, h)}, {"10.9.8.7", 3, 1}));
  ++h.sequence;
  h.drops = 25;
  c.send(datagram({discard_sample({}, 258, h)}, {"10.9.8.7", 3, 2}));
  EXPECT_EQ(c.rows.size(), 2u);
  const auto losses = c.decoder.loss_ranges();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].lost, 15u);
  EXPECT_EQ(losses[0].unit, "drop events");
}

TEST(Sflow, SampledEthernetAndIpRecords) {
  Wire eth, v4, v6;
  eth.u32(700).number(0x0200'0000'0001, 6).u16(0).number(0x0200'0000'0002, 6).u16(0).u32(0x0800);
  v4.u32(686).u32(6).ip("10.0.0.1").ip("10.0.0.2").u32(1'000).u32(443).u32(0x12).u32(0x2e);
  v6.u32(686).u32(17).ip("2001:db8::1").ip("2001:db8::2").u32(53).u32(5'353).u32(0).u32(0x2e);
  Row r = row_of({record(2, eth), record(3, v4)});
  EXPECT_EQ(r["raw_bytes"], "700");
  EXPECT_EQ(r["byte_basis"], "layer2");
  EXPECT_EQ(r["src_mac"], "02:00:00:00:00:01");
  EXPECT_EQ(r["dst_ip"], "10.0.0.2");
  EXPECT_EQ(r["tcp_flags"], "18");
  EXPECT_EQ(r["tos"], "46");
  r = row_of({record(4, v6)});
  EXPECT_EQ(r["raw_bytes"], "686");
  EXPECT_EQ(r["byte_basis"], "layer3");
  EXPECT_EQ(r["src_ip"], "2001:db8::1");
  EXPECT_EQ(r["src_port"], "53");
  EXPECT_FALSE(r.has("tcp_flags"));
  // With a header, what the agent took from it adds nothing.
  r = row_of({raw_header(kPacket.bytes, 1'400), record(2, eth), record(4, v6)});
  EXPECT_EQ(r["raw_bytes"], "1400");
  EXPECT_EQ(r["src_ip"], "10.0.0.1");
}

TEST(Sflow, HeadersOfIpHaveLayer3Lengths) {
  const Wire packet = ipv4("10.0.0.1", "10.0.0.2", 6) + tcp(1'000, 443);
  const Row r = row_of({raw_header(packet.bytes, 60, 11)});
  EXPECT_EQ(r["byte_basis"], "layer3");
  EXPECT_EQ(r["dst_port"], "443");
  EXPECT_FALSE(r.has("src_mac"));
  // A kind that is not read is a packet all the same.
  const Row ring = row_of({raw_header(packet.bytes, 60, 3)});
  EXPECT_EQ(ring["raw_bytes"], "60");
  EXPECT_FALSE(ring.has("src_ip"));
  EXPECT_EQ(ring.x("header_protocol"), "3");
}

TEST(Sflow, SwitchAndRouter) {
  Wire sw, router;
  sw.u32(100).u32(5).u32(200).u32(0xffff'ffff);
  router.raw(address("192.0.2.1").bytes).u32(24).u32(16);
  Row r = row_of({raw_header(kPacket.bytes), record(1'001, sw), record(1'002, router)});
  EXPECT_EQ(r["vlan"], "100") << "an untagged frame is of the VLAN that the switch put it into";
  EXPECT_EQ(r.x("dst_vlan"), "200");
  EXPECT_EQ(r.x("src_vlan_priority"), "5");
  EXPECT_EQ(r.x("dst_vlan_priority"), "") << "all ones: not known";
  EXPECT_EQ(r["next_hop"], "192.0.2.1");
  EXPECT_EQ(r["src_prefix_len"], "24");
  EXPECT_EQ(r["dst_prefix_len"], "16");
  const Wire tagged = ethernet(0x88a8) + tag(7, 0x8100) + tag(8, 0x0800) + ipv4("10.0.0.1", "10.0.0.2", 6) + tcp(1, 2);
  r = row_of({raw_header(tagged.bytes), record(1'001, sw)});
  EXPECT_EQ(r["vlan"], "7");
  EXPECT_EQ(r["inner_vlan"], "8");
  EXPECT_EQ(r.x("switch_vlan"), "100");
  Wire none;
  none.u32(0xffff'ffff).u32(0xffff'ffff).u32(0).u32(0);
  EXPECT_FALSE(row_of({raw_header(kPacket.bytes), record(1'001, none)}).has("vlan"));
}

TEST(Sflow, Gateway) {
  Wire g;
  g.raw(address("2001:db8::99").bytes).u32(64'500).u32(64'501).u32(64'502);
  g.u32(2).u32(2).u32(2).u32(64'510).u32(64'511).u32(1).u32(2).u32(64'520).u32(64'521);
  g.u32(2).u32(64'500u << 16 | 100).u32(0xffff'ff01).u32(200);
  const Row r = row_of({raw_header(kPacket.bytes), record(1'003, g)});
  EXPECT_EQ(r["src_as"], "64501");
  EXPECT_EQ(r["dst_as"], "64521");
  EXPECT_EQ(r.x("bgp_next_hop"), "2001:db8::99");
  EXPECT_EQ(r.x("router_as"), "64500");
  EXPECT_EQ(r.x("src_peer_as"), "64502");
  EXPECT_EQ(r.x("dst_peer_as"), "64510");
  EXPECT_EQ(r.x("as_path"), "64510 64511 {64520 64521}");
  EXPECT_EQ(r.x("communities"), "64500:100 65535:65281");
  EXPECT_EQ(r.x("local_pref"), "200");
  // No path and no source: both are the router's own.
  Wire own;
  own.raw(address("192.0.2.1").bytes).u32(64'500).u32(0).u32(0).u32(0).u32(0).u32(100);
  const Row o = row_of({raw_header(kPacket.bytes), record(1'003, own)});
  EXPECT_EQ(o["src_as"], "64500");
  EXPECT_EQ(o["dst_as"], "64500");
  EXPECT_EQ(o.x("as_path"), "");
}

TEST(Sflow, ALongPathIsCutAndItsEndKept) {
  Wire g;
  const uint32_t hops = 12'000;
  g.raw(address("192.0.2.1").bytes).u32(1).u32(2).u32(3).u32(1).u32(2).u32(hops);
  for (uint32_t i = 0; i < hops; ++i) g.u32(4'200'000'000u + i);
  g.u32(0).u32(100);
  Collector c;
  const auto counts = c.send(datagram({flow_sample({raw_header(kPacket.bytes), record(1'003, g)})}));
  EXPECT_EQ(counts.bad, 0u);
  EXPECT_GT(counts.cut_strings, 0u);
  EXPECT_LE(c.rows.at(0).x("as_path").size(), limits::kExtraValueBytesMax);
  EXPECT_EQ(c.rows.at(0)["dst_as"], std::to_string(4'200'000'000u + hops - 1));
  EXPECT_EQ(c.rows.at(0).x("local_pref"), "100");
}

TEST(Sflow, UserNatMplsAndOthers) {
  Wire user, nat, ports, mpls, acl, vni, info, stack;
  user.u32(106).raw(xdr_text("alice").bytes).u32(106).raw(xdr_text("bob").bytes);
  nat.raw(address("203.0.113.1").bytes).raw(address("10.0.0.2").bytes);
  ports.u32(61'000).u32(443);
  mpls.raw(address("192.0.2.9").bytes).u32(2).u32(16'001 << 12 | 64).u32(7 << 12 | 0x100).u32(1).u32(8 << 12 | 0x100);
  acl.u32(12).raw(xdr_text("deny-all").bytes).u32(1);
  vni.u32(5'000);
  info.u32(1).u32(1'460).u32(1'460).u32(0).u32(2).u32(3).u32(1'500).u32(20'000).u32(500).u32(10).u32(3).u32(15'000);
  stack.u32(2).u32(0x8100'0064).u32(0x8100'20c8);
  const Row r = row_of({raw_header(kPacket.bytes), record(1'004, user), record(1'007, nat), record(1'020, ports), record(1'006, mpls),
                        record(1'037, acl), record(1'030, vni), record(2'209, info), record(1'012, stack)});
  EXPECT_EQ(r["user_name"], "alice");
  EXPECT_EQ(r.x("dst_user"), "bob");
  EXPECT_EQ(r["nat_src_ip"], "203.0.113.1");
  EXPECT_FALSE(r.has("nat_dst_ip")) << "the same as the packet's: not translated";
  EXPECT_EQ(r["nat_src_port"], "61000");
  EXPECT_FALSE(r.has("nat_dst_port"));
  EXPECT_EQ(r["mpls_label"], "16001");
  EXPECT_EQ(r.x("mpls_in_labels"), "16001 7");
  EXPECT_EQ(r.x("mpls_out_labels"), "8");
  EXPECT_EQ(r["rule_name"], "deny-all");
  EXPECT_EQ(r.x("acl"), "12");
  EXPECT_EQ(r["vni"], "5000");
  EXPECT_EQ(r.x("tcp_rtt_us"), "20000");
  EXPECT_EQ(r.x("tcp_min_rtt_us"), "15000");
  EXPECT_EQ(r.x("stripped_vlans"), "100 200");
}

TEST(Sflow, ATunnelsOutsideIsWhatTheInterfaceSaw) {
  Wire vxlan;
  vxlan.u32(0x0800'0000).u32(5'000 << 8);
  const Wire packet = ethernet(0x0800) + ipv4("172.16.0.1", "172.16.0.2", 17) + udp(50'000, 4'789) + vxlan + ethernet(0x0800, 0xa, 0xb) +
                      ipv4("10.0.0.1", "10.0.0.2", 6) + tcp(1'000, 443);
  const Row r = row_of({raw_header(packet.bytes)});
  EXPECT_EQ(r["src_ip"], "10.0.0.1");
  EXPECT_EQ(r["dst_port"], "443");
  EXPECT_EQ(r["if_src_ip"], "172.16.0.1");
  EXPECT_EQ(r["if_dst_ip"], "172.16.0.2");
  EXPECT_EQ(r["vni"], "5000");
  EXPECT_EQ(r["src_mac"], "02:00:00:00:00:01");
  EXPECT_EQ(r.x("tunnel"), "vxlan");
  EXPECT_EQ(r.x("outer_dst_port"), "4789");
  EXPECT_EQ(r.x("inner_src_mac"), "00:00:00:00:00:0b");
}

TEST(Sflow, TheAgentsClockWhenItTellsOne) {
  Wire at, never;
  at.u64(static_cast<uint64_t>(kExportSeconds) * 1'000'000'000 - 250'000'000);
  const Row r = row_of({raw_header(kPacket.bytes), record(1'043, at)});
  EXPECT_EQ(r["flow_end"], "2026-11-20T11:59:59.750Z");
  EXPECT_EQ(r["time_quality"], "exact");
  never.u64(5'000'000'000);
  const Row n = row_of({raw_header(kPacket.bytes), record(1'043, never)});
  EXPECT_EQ(n["time_quality"], "estimated");
  EXPECT_EQ(n.x("agent_time"), "1970-01-01T00:00:05Z");
}

TEST(Sflow, LayerTwoFlows) {
  const Row r = row_of({raw_header((ethernet(0x0806) + Wire().zeros(28)).bytes, 64)});
  EXPECT_FALSE(r.has("src_ip"));
  EXPECT_EQ(r["src_mac"], "02:00:00:00:00:01");
  EXPECT_EQ(r.x("ethertype"), "0x0806");
  EXPECT_EQ(r["raw_bytes"], "64");
}

TEST(Sflow, ApplicationSamplesHaveASocketAndNoPacket) {
  Wire socket, app;
  socket.u32(6).ip("10.0.0.2").ip("192.0.2.7").u32(80).u32(50'123);
  app.zeros(20);
  Collector c;
  const auto counts = c.send(datagram({flow_sample({record(2'202, app), record(2'100, socket)}), flow_sample({record(2'202, app)})}));
  EXPECT_EQ(counts.flows, 1u) << "a sample of nothing that a row could hold is none";
  EXPECT_EQ(counts.unknown_formats, 2u);
  EXPECT_EQ(c.rows[0]["src_ip"], "192.0.2.7");
  EXPECT_EQ(c.rows[0]["dst_port"], "80");
  EXPECT_FALSE(c.rows[0].has("raw_packets"));
}

TEST(Sflow, UnknownFormatsAreSkippedByTheirLength) {
  Wire odd;
  odd.zeros(12);
  Collector c;
  const auto counts = c.send(datagram({record(4'300 << 12 | 1'002, odd), flow_sample({record(8'800 << 12 | 1, odd), raw_header(kPacket.bytes), record(1'999, odd)})}));
  EXPECT_EQ(counts.flows, 1u);
  EXPECT_EQ(counts.unknown_formats, 3u);
  EXPECT_EQ(counts.bad, 0u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).unknown_formats, 3u);
}

Wire counters(uint32_t source, const std::vector<Wire>& records) {
  Wire w;
  w.u32(1).u32(source).u32(records.size());
  return record(2, w.raw(joined(records).bytes));
}
Wire generic(uint32_t index, uint64_t speed, uint32_t status) {
  Wire w;
  w.u32(index).u32(6).u64(speed).u32(1).u32(status).zeros(88 - 24);
  return record(1, w);
}

TEST(Sflow, CountersAreNoFlowsAndTellOfInterfaces) {
  Collector c;
  Wire dot3;
  dot3.zeros(52);
  const auto counts = c.send(datagram({counters(3, {generic(3, 10'000'000'000, 3), record(2, dot3), record(1'005, xdr_text("eth0"))}), counters(4, {generic(4, 0, 1)})}));
  EXPECT_EQ(counts.flows, 0u);
  EXPECT_EQ(counts.counter_samples, 2u);
  EXPECT_EQ(counts.unknown_formats, 0u);
  EXPECT_EQ(counts.bad, 0u);
  const auto names = c.decoder.names();
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(to_string(names[0].exporter), "10.9.8.7");
  EXPECT_EQ(names[0].number, 3u);
  EXPECT_EQ(names[0].name, "eth0");
  EXPECT_EQ(names[0].speed, 10'000'000'000u);
  EXPECT_EQ(names[0].oper_up, true);
  EXPECT_EQ(names[1].number, 4u);
  EXPECT_EQ(names[1].name, "");
  EXPECT_EQ(names[1].admin_up, true);
  EXPECT_EQ(names[1].oper_up, false);
}

TEST(Sflow, NamesOfInterfacesOutliveARestart) {
  Collector c;
  c.send(datagram({counters(3, {generic(3, 10'000'000'000, 3), record(1'005, xdr_text("eth0"))})}));
  c.send(datagram({counters(3, {generic(3, 10'000'000'000, 3), record(1'005, xdr_text("eth0"))})}, {"2001:db8::5"}));
  c.sender.ip = *parse_ip("2001:db8::77");
  c.send(datagram({flow_sample({raw_header(kPacket.bytes)}), counters(3, {generic(3, 1, 3), record(1'005, xdr_text("eth9"))})}));
  const auto kept = c.decoder.take_state_changes();
  ASSERT_EQ(kept.size(), 3u) << "and no more: the rest comes with each sample";
  Collector after;
  EXPECT_EQ(after.decoder.load_state(kept), 0u);
  EXPECT_TRUE(after.decoder.take_state_changes().empty());
  const auto names = after.decoder.names();
  ASSERT_EQ(names.size(), 3u);
  EXPECT_EQ(names[0].name + names[1].name + names[2].name, "eth0eth9eth0");
  const auto stats = after.decoder.exporter_stats();
  for (size_t i = 0; i < kept.size(); ++i) {
    // Each goes to the worker that takes the sender's packets.
    EXPECT_EQ(PacketDecoder::shard_of_state(kept[i].first, 7), PacketDecoder::shard_of({stats[i].sender, 0, 0, 0}, 7));
    PacketDecoder d;
    const std::string& key = kept[i].first;
    const std::pair<std::string, std::string> hostile[] = {{key, kept[i].second.substr(0, 2)}, {key + "/1", kept[i].second}, {key.substr(0, key.rfind('/')), kept[i].second},
                                                           {key.substr(0, 35) + "0/0/0/3", kept[i].second}, {key + "0000000000", kept[i].second}};
    EXPECT_EQ(d.load_state(hostile), std::size(hostile));
  }
  // What the agent repeats is no change.
  after.sender.ip = *parse_ip("2001:db8::77");
  after.send(datagram({counters(3, {generic(3, 1, 3), record(1'005, xdr_text("eth9"))})}));
  EXPECT_TRUE(after.decoder.take_state_changes().empty());
}

TEST(Sflow, CountersWithoutAHead) {
  Collector c;
  EXPECT_EQ(c.send(datagram({record(2, Wire().u32(1)), record(4, Wire().u32(1).u32(0))})).bad, 2u);
}

TEST(Sflow, InterfacesAreBounded) {
  Collector c;
  for (uint32_t i = 0; i <= limits::kExporterInterfacesMax; ++i) c.send(datagram({counters(i, {generic(i, 1, 3)})}, {"10.9.8.7", 3, i}));
  EXPECT_EQ(c.decoder.names().size(), limits::kExporterInterfacesMax);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).state_refused, 1u);
}

TEST(Sflow, LostDatagramsPerSubAgent) {
  Collector c;
  for (const uint32_t n : {1u, 2u, 6u}) c.send(datagram({}, {"10.9.8.7", 1, n}));
  for (const uint32_t n : {500u, 501u}) c.send(datagram({}, {"10.9.8.7", 2, n}));
  auto stats = c.decoder.exporter_stats();
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].lost, 3u);
  EXPECT_EQ(stats[0].lost_unit, "packets");
  EXPECT_EQ(stats[0].domains.size(), 2u);
  const auto losses = c.decoder.loss_ranges();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].how, "by its sequence numbers");
  EXPECT_EQ(losses[0].domain, 1u);
  // One comes late; the agent starts again.
  c.send(datagram({}, {"10.9.8.7", 1, 4}));
  c.send(datagram({}, {"10.9.8.7", 1, 1, 5'000}));
  stats = c.decoder.exporter_stats();
  EXPECT_EQ(stats[0].lost, 2u);
  EXPECT_EQ(stats[0].restarts, 1u);
}

TEST(Sflow, SampleNumbersPoolsAndDropsPerDataSource) {
  Collector c;
  uint32_t number = 0;
  const auto send = [&](SampleHead h) { c.send(datagram({flow_sample({raw_header(kPacket.bytes)}, h)}, {"10.9.8.7", 3, ++number})); };
  SampleHead h;
  h.pool = 0xffff'ff00;  // about to wrap
  h.drops = 14'000'000;  // of times that are not ours
  send(h);
  SampleHead other;
  other.source = 8;
  other.sequence = 900;
  send(other);
  h.sequence = 2;
  h.pool += 512;
  send(h);
  h.sequence = 5;  // two are missing
  h.pool += 3 * 600;
  h.drops += 30;
  send(h);
  auto stats = c.decoder.exporter_stats().at(0);
  EXPECT_EQ(stats.lost, 0u) << "no datagram was lost";
  EXPECT_EQ(stats.lost_samples, 2u);
  EXPECT_EQ(stats.sample_drops, 30u);
  EXPECT_EQ(stats.samples_taken, 4u);
  EXPECT_EQ(stats.sample_pool, 512u + 1'800u);
  const auto losses = c.decoder.loss_ranges();
  ASSERT_EQ(losses.size(), 1u);
  EXPECT_EQ(losses[0].lost, 30u);
  EXPECT_EQ(losses[0].unit, "samples");
  // An agent that starts again has counters of its own.
  h.sequence = 1;
  h.pool = 10;
  h.drops = 0;
  send(h);
  h.sequence = 2;
  h.pool = 522;
  send(h);
  stats = c.decoder.exporter_stats().at(0);
  EXPECT_EQ(stats.sample_drops, 30u);
  EXPECT_LE(stats.sample_pool, 512u + 1'800u + 512u);
  ASSERT_EQ(stats.sampling.size(), 1u);
  EXPECT_EQ(stats.sampling[0].rate, 512u);
  EXPECT_TRUE(stats.sampling_known);
}

TEST(Sflow, DataSourcesAreBounded) {
  Collector c;
  for (uint32_t i = 0; i <= limits::kSflowSourcesPerExporterMax; ++i) {
    SampleHead h;
    h.source = i;
    c.send(datagram({flow_sample({raw_header(kPacket.bytes)}, h)}, {"10.9.8.7", 3, i}));
  }
  EXPECT_EQ(c.rows.size(), limits::kSflowSourcesPerExporterMax + 1) << "its flows are read all the same";
  EXPECT_EQ(c.decoder.exporter_stats().at(0).state_refused, 1u);
  // Sub-agents that go take their data sources along.
  for (uint32_t i = 0; i <= limits::kDomainsPerExporterMax; ++i) c.send(datagram({}, {"10.9.8.7", 100 + i, 1}));
  EXPECT_LE(c.decoder.exporter_stats().at(0).state_bytes, limits::kDomainsPerExporterMax * limits::kExporterDomainBytes);
}

TEST(Sflow, AgentsAreToldApartByAddressAndSender) {
  Collector c;
  c.send(datagram({}, {"10.9.8.7", 1, 10}));
  c.send(datagram({}, {"10.9.8.6", 1, 500}));  // a relay sends for both
  c.send(datagram({}, {"10.9.8.7", 1, 11}));
  c.sender.ip = *parse_ip("192.0.2.77");  // and somebody else says he is the first
  c.send(datagram({}, {"10.9.8.7", 1, 9'000}));
  const auto stats = c.decoder.exporter_stats();
  ASSERT_EQ(stats.size(), 3u);
  for (const auto& e : stats) EXPECT_EQ(e.lost + e.restarts, 0u);
  EXPECT_EQ(to_string(stats[2].ip), "10.9.8.7");
  EXPECT_EQ(to_string(stats[2].sender), "192.0.2.77");
  // The exporter of NetFlow at the agent's address is another.
  c.sender.ip = *parse_ip("10.9.8.7");
  c.send(packet5({V5Record{}}));
  EXPECT_EQ(c.decoder.exporter_stats().size(), 4u);
}

TEST(Sflow, AgentsWithoutAnAddressAreTheirSender) {
  Wire none;
  none.u32(5).u32(0).u32(3).u32(1).u32(1'000).u32(1).raw(flow_sample({raw_header(kPacket.bytes)}).bytes);
  EXPECT_EQ(one_row(none.bytes)["exporter_ip"], "192.0.2.1");
  EXPECT_EQ(one_row(datagram({flow_sample({raw_header(kPacket.bytes)})}, {"0.0.0.0"}))["exporter_ip"], "192.0.2.1");
  EXPECT_EQ(one_row(datagram({flow_sample({raw_header(kPacket.bytes)})}, {"2001:db8::5"}))["exporter_ip"], "2001:db8::5");
}

TEST(Sflow, OldVersionsAndBrokenDatagrams) {
  Collector c;
  for (const uint32_t version : {2u, 4u}) {
    Wire old;
    old.u32(version).u32(1).ip("10.9.8.7").zeros(40);
    EXPECT_EQ(c.send(old.bytes).bad, 1u);
  }
  Wire family;
  family.u32(5).u32(9).zeros(40);
  EXPECT_EQ(c.send(family.bytes).bad, 1u);
  const auto stats = c.decoder.exporter_stats();
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].bad_packets, 3u);
  EXPECT_EQ(stats[0].unsupported_packets, 2u);
  EXPECT_EQ(to_string(stats[0].ip), "192.0.2.1");
  EXPECT_EQ(c.decoder.errors().size(), 2u);
}

TEST(Sflow, ABrokenRecordCostsOnlyItself) {
  Wire shorter, longer;
  shorter.u32(1).u32(2);  // a switch record of two words
  longer.u32(1).u32(1'000).u32(0).u32(100).zeros(8);  // a header that claims more bytes than its record has
  Collector c;
  const auto counts = c.send(datagram({flow_sample({record(1'001, shorter), record(1, longer), raw_header(kPacket.bytes)}), flow_sample({raw_header(kPacket.bytes)})}));
  EXPECT_EQ(counts.flows, 2u);
  EXPECT_EQ(counts.bad, 2u);
  EXPECT_EQ(c.rows[0]["dst_port"], "443");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).bad_records, 2u);
  EXPECT_EQ(c.decoder.errors().at(0).template_id, 1u);
}

TEST(Sflow, ARecordBeyondItsSampleEndsTheSample) {
  Wire sample;
  sample.u32(1).u32(7).u32(512).u32(0).u32(0).u32(7).u32(9).u32(2).raw(raw_header(kPacket.bytes).bytes).u32(1'001).u32(9'999);
  Collector c;
  const auto counts = c.send(datagram({record(1, sample), flow_sample({raw_header(kPacket.bytes)})}));
  EXPECT_EQ(counts.flows, 2u) << "what was read of the first is kept, the next begins where its length says";
  EXPECT_EQ(counts.bad, 1u);
}

TEST(Sflow, CutAnywhere) {
  Wire g;
  g.raw(address("192.0.2.1").bytes).u32(1).u32(2).u32(3).u32(1).u32(2).u32(2).u32(4).u32(5).u32(1).u32(6).u32(100);
  const auto whole = datagram({flow_sample({raw_header(kPacket.bytes), record(1'003, g)}), counters(3, {generic(3, 1, 3)}), discard_sample({raw_header(kPacket.bytes)}, 258)});
  for (size_t n = 4; n < whole.size(); ++n) {
    Collector c;
    const auto counts = c.send({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)});
    EXPECT_GE(counts.bad, 1u) << n;
    EXPECT_EQ(counts.sflow_bad, counts.bad) << n;
  }
  // Counts of billions do not keep anybody busy.
  auto many = whole;
  for (const size_t at : {24u, 28u + 8u + 28u}) many[at] = 0xff;
  Collector c;
  EXPECT_GE(c.send(many).bad, 1u);
}

TEST(Sflow, FewerRecordsThanSaid) {
  Wire sample;
  sample.u32(1).u32(7).u32(512).u32(0).u32(0).u32(7).u32(9).u32(0xffff'ffff).raw(raw_header(kPacket.bytes).bytes);
  Collector c;
  const auto counts = c.send(datagram({record(1, sample)}));
  EXPECT_EQ(counts.flows, 1u);
  EXPECT_EQ(counts.bad, 1u);
}

TEST(Sflow, BatchesAreHandedOverWhenFull) {
  PacketDecoder decoder;
  FlowBatchBuilder out;
  uint64_t rows = 0;
  const FlowSink sink = [&](Batch&& b) -> Status {
    EXPECT_LE(b.rows, limits::kBatchRows);
    rows += b.rows;
    return {};
  };
  std::vector<Wire> samples(9, flow_sample({raw_header(kPacket.bytes)}));
  uint64_t flows = 0;
  for (uint32_t i = 0; i < limits::kBatchRows / 9 + 10; ++i) {
    const auto counts = decoder.decode(datagram(samples, {"10.9.8.7", 3, i}), {}, kExportSeconds * kSecond, out, sink);
    ASSERT_TRUE(counts.ok());
    ASSERT_LT(out.rows(), limits::kBatchRows);
    flows += counts->flows;
  }
  EXPECT_EQ(rows, limits::kBatchRows);
  EXPECT_EQ(rows + out.rows(), flows);
}

TEST(SflowBody, DatagramsEndToEndAndMixed) {
  const auto one = datagram({flow_sample({raw_header(kPacket.bytes)})}), two = datagram({flow_sample({raw_header(kPacket.bytes)}), counters(3, {generic(3, 1, 3)})}, {"10.9.8.7", 3, 101});
  std::string body(one.begin(), one.end());
  body.append(two.begin(), two.end());
  EXPECT_EQ(packet_body_kind(body), PacketBodyKind::datagram);
  std::vector<Row> rows;
  const auto report = decode_packet_body(body, {kExportSeconds * kSecond, ""}, [&](Batch&& b) -> Status {
    add_rows(b, rows);
    return {};
  });
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->accepted, 2u);
  EXPECT_EQ(report->ignored, 1u);
  EXPECT_EQ(report->rejected, 0u);
  EXPECT_EQ(rows.size(), 2u);
}

TEST(Sflow, NamesOfReasonsAreInOrder) {
  EXPECT_EQ(sflow_drop_reason(0), "net_unreachable");
  EXPECT_EQ(sflow_drop_reason(15), "precedence_cutoff");
  EXPECT_EQ(sflow_drop_reason(16), "");
  EXPECT_EQ(sflow_drop_reason(262), "pkt_too_big");
  EXPECT_EQ(sflow_drop_reason(303), "split_horizon");
  EXPECT_EQ(sflow_drop_reason(0xffff'ffff), "");
}

}  // namespace
}  // namespace sluice::ingest
