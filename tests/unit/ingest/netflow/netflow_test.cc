// The traps of real exporters and the ways in which other decoders broke, one test each.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "ingest/source/limits.h"
#include "ingest/source/packet_body.h"
#include "storage/model/limits.h"
#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest {
namespace {

using namespace testing;

// A flow of addresses, ports, protocol, counters, times.
const std::vector<FieldSpec> kFlow9 = {{8, 4}, {12, 4}, {7, 2}, {11, 2}, {4, 1}, {1, 4}, {2, 4}, {22, 4}, {21, 4}};
Wire flow9(uint32_t bytes = 1'000, uint32_t first = 90'000, uint32_t last = 95'000) {
  return Wire().ip("10.0.0.1").ip("10.0.0.2").u16(40'000).u16(443).u8(6).u32(bytes).u32(10).u32(first).u32(last);
}
Wire operator+(Wire a, const Wire& b) {
  a.raw(b.bytes);
  return a;
}

// --- NetFlow v5 and its kin ---

TEST(NetFlow5, EveryFieldOfARecord) {
  Collector c;
  EXPECT_EQ(c.send(packet5({{}}, 0, 1u << 14 | 100)).flows, 1u);
  const Row& r = c.rows.at(0);
  const std::map<std::string, std::string> expected = {
      {"src_ip", "10.0.0.1"}, {"dst_ip", "10.0.0.2"}, {"next_hop", "10.0.0.254"}, {"input_if", "1"}, {"output_if", "2"}, {"raw_packets", "10"},
      {"raw_bytes", "1000"}, {"flow_start", "2026-11-20T11:59:50Z"}, {"flow_end", "2026-11-20T11:59:55Z"}, {"src_port", "40000"},
      {"dst_port", "443"}, {"tcp_flags", "27"}, {"flags_quality", "all"}, {"protocol", "6"}, {"tos", "0"}, {"src_as", "64512"},
      {"dst_as", "64513"}, {"src_prefix_len", "24"}, {"dst_prefix_len", "16"}, {"sampling_rate", "100"}, {"source", "netflow5"},
      {"exporter_ip", "192.0.2.1"}, {"exporter_port", "50000"}, {"observation_domain", "3"}, {"ip_version", "4"}, {"byte_basis", "layer3"},
      {"time_quality", "exact"}, {"exported_at", "2026-11-20T12:00:00Z"}, {"received_at", "2026-11-20T12:00:00Z"}};
  EXPECT_EQ(r.columns, expected);
  EXPECT_TRUE(r.extra.empty());
}

TEST(NetFlow5, UptimeWraps) {
  Collector c;
  c.send(packet5({{.first = 0xffffffff, .last = 3'000}}, 0, 0, 3'381));
  EXPECT_EQ(c.rows.at(0)["flow_start"], "2026-11-20T11:59:56.618Z");
  EXPECT_EQ(c.rows.at(0)["flow_end"], "2026-11-20T11:59:59.619Z");
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "1");
}

TEST(NetFlow5, IcmpStandsInThePort) {
  Collector c;
  c.send(packet5({{.src_port = 0, .dst_port = 3 * 256 + 1, .protocol = 1}, {}}));
  EXPECT_EQ(c.rows.at(0)["icmp_type"], "3");
  EXPECT_EQ(c.rows.at(0)["icmp_code"], "1");
  EXPECT_FALSE(c.rows.at(1).has("icmp_type"));
}

TEST(NetFlow5, CountBeyondThePacketIsRefused) {
  for (const uint16_t count : {2, 163, 55'582}) {
    Collector c;
    auto p = packet5({{}});
    p[2] = static_cast<uint8_t>(count >> 8);
    p[3] = static_cast<uint8_t>(count);
    EXPECT_EQ(c.send(p).bad, 1u);
    EXPECT_TRUE(c.rows.empty());
  }
}

TEST(NetFlow5, ASamplingWordOfZeroLeavesTheRateToTheOperator) {
  Collector c;
  c.send(packet5({{}}, 0, 0));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "1");
  c.decoder.set_overrides({{.exporter = *parse_prefix("192.0.2.0/24"), .rates = {{.rate = 512}}}});
  c.send(packet5({{}}, 1, 0));
  EXPECT_EQ(c.rows.at(1)["sampling_rate"], "512");
  c.send(packet5({{}}, 2, 1u << 14 | 100));  // what it does say holds
  EXPECT_EQ(c.rows.at(2)["sampling_rate"], "100");
}

// A v1 packet is told by its first two bytes alone, so the rest must fit.
TEST(NetFlow1, WhatStandsBehindTheCountedRecordsIsRefused) {
  Collector c;
  Wire v1;
  v1.u16(1).u16(0).u32(100'000).u32(kExportSeconds).u32(0).ip("1.1.1.1").zeros(48);
  EXPECT_EQ(c.send(v1.bytes).bad, 1u);
  EXPECT_TRUE(c.rows.empty());
  EXPECT_EQ(c.decoder.exporter_stats().at(0).bad_packets, 1u);
  auto trailed = packet5({{}});
  trailed.push_back('x');
  EXPECT_EQ(c.send(trailed).flows, 1u);
}

TEST(NetFlow5, EveryTruncationIsSafe) {
  const auto whole = packet5({{}, {}});
  for (size_t n = 0; n < whole.size(); ++n) {
    Collector c;
    EXPECT_EQ(c.send({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)}).flows, 0u) << n;
  }
}

TEST(NetFlow5, Version1And7ShareTheReader) {
  Collector c;
  Wire v1;
  v1.u16(1).u16(1).u32(100'000).u32(kExportSeconds).u32(0).ip("1.1.1.1").ip("2.2.2.2").ip("3.3.3.3").u16(4).u16(5).u32(6).u32(7).u32(90'000).u32(95'000)
      .u16(80).u16(81).u16(0).u8(17).u8(8).u8(0).zeros(7);
  EXPECT_EQ(c.send(v1.bytes).flows, 1u);
  EXPECT_EQ(c.rows.at(0)["source"], "netflow1");
  EXPECT_EQ(c.rows.at(0)["protocol"], "17");
  EXPECT_FALSE(c.rows.at(0).has("sampling_rate"));  // v1 does not say
  Wire v7;
  v7.u16(7).u16(1).u32(100'000).u32(kExportSeconds).u32(0).u32(0).u32(0).ip("1.1.1.1").ip("2.2.2.2").ip("0.0.0.0").u16(0).u16(0).u32(6).u32(7).u32(90'000)
      .u32(95'000).u16(80).u16(81).u8(0).u8(2).u8(6).u8(0).u16(1).u16(2).u8(8).u8(8).u16(0).ip("9.9.9.9");
  EXPECT_EQ(c.send(v7.bytes).flows, 1u);
  EXPECT_EQ(c.rows.at(1)["source"], "netflow7");
  EXPECT_EQ(c.rows.at(1).x("routerShortcut"), "9.9.9.9");
}

TEST(NetFlow, OldVersionsAreCountedAndDropped) {
  Collector c;
  for (const uint16_t version : {6, 8, 0, 11}) c.send(Wire().u16(version).zeros(100).bytes);
  EXPECT_EQ(c.total.bad, 4u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).unsupported_packets, 4u);
  c.send({});
  EXPECT_EQ(c.total.bad, 5u);
}

// --- NetFlow v9 ---

TEST(NetFlow9, TemplateThenData) {
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, kFlow9))));
  EXPECT_EQ(c.send(packet9(Wire().set(256, flow9() + flow9(77)), 2)).flows, 2u);
  EXPECT_EQ(c.rows.at(1)["raw_bytes"], "77");
  EXPECT_EQ(c.rows.at(1)["observation_domain"], "7");
  EXPECT_FALSE(c.rows.at(1).has("sampling_rate"));  // never told: not known
}

TEST(NetFlow9, DataBeforeItsTemplateWaits) {
  Collector c;
  EXPECT_EQ(c.send(packet9(Wire().set(256, flow9()))).pending_sets, 1u);
  EXPECT_GT(c.decoder.exporter_stats().at(0).pending_bytes, 0u);
  c.now += 10 * kSecond;
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(256, kFlow9)), 2, 7, 110'000, kExportSeconds + 10)).flows, 1u);
  // By the clocks of the packet it came in.
  EXPECT_EQ(c.rows.at(0)["flow_end"], "2026-11-20T11:59:55Z");
  EXPECT_EQ(c.rows.at(0)["received_at"], "2026-11-20T12:00:00Z");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).pending_bytes, 0u);
}

TEST(NetFlow9, WaitingDataHasBounds) {
  Collector c;
  const Wire big = Wire().zeros(60'000);
  for (int i = 0; i < 30; ++i) c.send(packet9(Wire().set(256, big), static_cast<uint64_t>(i)));
  const auto stats = c.decoder.exporter_stats().at(0);
  EXPECT_LE(stats.pending_bytes, limits::kPendingBytesPerExporter);
  EXPECT_GT(stats.pending_dropped, 0u);
  c.decoder.expire(c.now + limits::kPendingAge);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).pending_bytes, 0u);
}

TEST(NetFlow9, TemplatesBelongToExporterAndDomain) {
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, kFlow9)), 1, 7));
  EXPECT_EQ(c.send(packet9(Wire().set(256, flow9()), 1, 8)).flows, 0u);  // another source id
  PacketSender other = c.sender;
  other.ip = IpAddress::v4(0xc0000202);
  EXPECT_EQ(c.send(packet9(Wire().set(256, flow9()), 1, 7), c.now, other).flows, 0u);
  PacketSender rebooted = c.sender;
  rebooted.port = 50'001;  // a new source port is the same exporter
  EXPECT_EQ(c.send(packet9(Wire().set(256, flow9()), 2, 7), c.now, rebooted).flows, 1u);
}

TEST(NetFlow9, PortsTellExportersApartWhenAsked) {
  PacketDecoderOptions options;
  options.key_by_port = true;
  Collector c(std::move(options));
  c.send(packet9(Wire().set(0, template9(256, kFlow9))));
  PacketSender other = c.sender;
  other.port = 50'001;
  EXPECT_EQ(c.send(packet9(Wire().set(256, flow9()), 2), c.now, other).flows, 0u);
}

TEST(NetFlow9, ReplacedTemplateIsUsedAtOnce) {
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, kFlow9)).set(256, flow9())));
  c.send(packet9(Wire().set(0, template9(256, {{8, 4}, {1, 4}})).set(256, Wire().ip("9.9.9.9").u32(5)), 2));
  ASSERT_EQ(c.rows.size(), 2u);
  EXPECT_EQ(c.rows.at(1)["src_ip"], "9.9.9.9");
  EXPECT_EQ(c.rows.at(1)["raw_bytes"], "5");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).template_changes, 1u);
}

TEST(NetFlow9, UnusableTemplatesAreRefused) {
  Collector c;
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(256, {})))).bad, 1u);
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(256, {{8, 0}, {12, 0}})), 2)).bad, 1u);  // records of no bytes: endless
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(255, kFlow9)), 3)).bad, 1u);
  EXPECT_EQ(c.send(packet9(Wire().set(0, Wire().u16(256).u16(60'000).u32(1)), 4)).bad, 1u);  // more fields than bytes
  std::vector<FieldSpec> many(limits::kTemplateFieldsMax, FieldSpec{1, 4});
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(257, many)), 5)).bad, 0u);
  many.push_back({1, 4});
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(258, many)), 6)).bad, 1u);
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(259, {{1, 65'534}, {2, 65'534}})), 7)).bad, 1u);  // lengths that add up beyond 16 bits
  EXPECT_EQ(c.send(packet9(Wire().set(1, Wire().u16(260).u16(0xfffc).u16(0xfffc)), 8)).bad, 1u);  // options lengths that wrap
  EXPECT_EQ(c.send(packet9(Wire().set(1, Wire().u16(260).u16(3).u16(4).zeros(8)), 9)).bad, 1u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).templates, 1u);
  // Fields of no bytes cost time for each record, and a record may have one byte.
  std::vector<FieldSpec> empty(limits::kTemplateEmptyFieldsMax, FieldSpec{5, 0});
  empty.push_back({4, 1});
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(261, empty)).set(261, Wire().u8(6)), 10)).flows, 1u);
  empty.push_back({6, 0});
  EXPECT_EQ(c.send(packet9(Wire().set(0, template9(262, empty)).set(1, options_template9(263, {{1, 1}}, empty)), 11)).bad, 2u);
}

TEST(NetFlow9, ZeroLengthFieldsAndZeroScopesAreSkipped) {
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, {{8, 4}, {5, 0}, {1, 4}})).set(256, Wire().ip("10.0.0.1").u32(9))));
  EXPECT_EQ(c.rows.at(0)["raw_bytes"], "9");
  EXPECT_FALSE(c.rows.at(0).has("tos"));
  // Juniper SRX: a scope of no bytes.
  c.send(packet9(Wire().set(1, options_template9(257, {{1, 0}}, {{34, 4}})).set(257, Wire().u32(500)), 2));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).sampling.at(0).rate, 500u);
}

TEST(NetFlow9, ZeroTailsAreNoFlows) {
  Collector c;
  Wire sets = Wire().set(0, template9(256, kFlow9)).set(256, flow9() + Wire().zeros(200));
  sets.zeros(1'300);
  EXPECT_EQ(c.send(packet9(sets)).flows, 1u);
  EXPECT_EQ(c.total.bad, 0u);
  // Behind records whose length varies, zeros would read as flows of 0.0.0.0; those of a record are its own.
  c.rows.clear();
  const auto named = [](const std::string& ip, const std::string& name) { return Wire().ip(ip).u8(name.size()).text(name).u32(0); };
  c.send(packet9(Wire().set(0, template9(257, {{8, 4}, {236, 65'535}, {1, 4}})).set(257, named("10.0.0.1", "red") + named("0.0.0.0", "") + named("10.0.0.3", "") + Wire().zeros(200)), 2));
  ASSERT_EQ(c.rows.size(), 3u);
  EXPECT_EQ(c.rows.at(1)["src_ip"], "0.0.0.0");
  EXPECT_EQ(c.rows.at(2)["src_ip"], "10.0.0.3");
}

TEST(NetFlow9, VariableLengthAndTypeZero) {  // H3C
  Collector c;
  const auto t = template9(256, {{8, 4}, {236, 65'535}, {0, 1}, {12, 4}});
  const std::string long_name(300, 'v');
  c.send(packet9(Wire().set(0, t).set(256, Wire().ip("10.0.0.1").u8(3).text("red").u8(7).ip("10.0.0.2").ip("10.0.0.3").u8(255).u16(300).text(long_name).u8(8).ip("10.0.0.4"))));
  ASSERT_EQ(c.rows.size(), 2u);
  EXPECT_EQ(c.rows.at(0).x("VRFname"), "red");
  EXPECT_EQ(c.rows.at(0).x("0.0"), "7");
  EXPECT_EQ(c.rows.at(1).x("VRFname"), long_name);
  EXPECT_EQ(c.rows.at(1)["dst_ip"], "10.0.0.4");
}

TEST(NetFlow9, VariableLengthBeyondTheSetIsOneBadRecord) {
  Collector c;
  const auto t = template9(256, {{8, 4}, {236, 65'535}});
  c.send(packet9(Wire().set(0, t).set(256, Wire().ip("10.0.0.1").u8(1).text("a").ip("10.0.0.2").u8(255).u16(60'000).text("xxxxxxxx")).set(256, Wire().ip("10.0.0.3").u8(0))));
  EXPECT_EQ(c.rows.size(), 2u);
  EXPECT_EQ(c.total.bad, 1u);
}

TEST(NetFlow9, TypesAbove32767AreNoEnterprises) {
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, {{8, 4}, {33'002, 2}, {233, 1}, {40'000, 20}, {57'590, 2}, {60'001, 2}}))
                     .set(256, Wire().ip("10.0.0.1").u16(1'001).u8(3).text("alice").zeros(15).u16(91).u16(5))));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["action"], "reject");
  EXPECT_EQ(r["reject_reason"], "ingress acl");
  EXPECT_EQ(r["user_name"], "alice");
  EXPECT_EQ(r.x("l7Protocol"), "91");
  EXPECT_EQ(r.x("0.60001"), "5");
}

TEST(NetFlow9, OddWidths) {
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, {{8, 4}, {1, 3}, {2, 5}, {10, 2}, {6, 2}, {16, 8}, {58, 4}, {4, 2}, {61, 4}}))
                     .set(256, Wire().ip("10.0.0.1").number(70'000, 3).number(9, 5).u16(12).u16(0x112).u64(65'000).u32(70'000).u16(17).u32(1))));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["raw_bytes"], "70000");
  EXPECT_EQ(r["raw_packets"], "9");
  EXPECT_EQ(r["input_if"], "12");
  EXPECT_EQ(r["tcp_flags"], "274");
  EXPECT_EQ(r["src_as"], "65000");
  EXPECT_FALSE(r.has("vlan"));  // does not fit its column: kept, not cut
  EXPECT_EQ(r.x("vlanId"), "70000");
  EXPECT_EQ(r["protocol"], "17");
  EXPECT_EQ(r["direction"], "egress");
}

TEST(NetFlow9, FlowsWithoutAddresses) {  // Cisco ACI: layer 2 only
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, {{56, 6}, {57, 6}, {256, 2}, {58, 2}})).set(256, Wire().number(0x1b213c9df8, 6).number(2, 6).u16(0x0806).u16(9))));
  const Row& r = c.rows.at(0);
  EXPECT_FALSE(r.has("src_ip"));
  EXPECT_EQ(r["src_mac"], "00:1b:21:3c:9d:f8");
  EXPECT_EQ(r["vlan"], "9");
  EXPECT_TRUE(r.has("flow_end"));
  EXPECT_EQ(r["time_quality"], "estimated");
}

TEST(NetFlow9, SamplingFromOptionsBySampler) {
  Collector c;
  c.send(packet9(Wire().set(1, options_template9(257, {{1, 4}}, {{48, 1}, {49, 1}, {50, 4}}))
                     .set(257, Wire().u32(0).u8(1).u8(2).u32(100) + Wire().u32(0).u8(2).u8(2).u32(2'000))
                     .set(0, template9(256, {{8, 4}, {48, 1}}))
                     .set(256, Wire().ip("10.0.0.1").u8(2) + Wire().ip("10.0.0.2").u8(1) + Wire().ip("10.0.0.3").u8(9))));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "2000");
  EXPECT_EQ(c.rows.at(1)["sampling_rate"], "100");
  EXPECT_FALSE(c.rows.at(2).has("sampling_rate"));  // a sampler nobody announced: not known, not 1
  EXPECT_EQ(c.total.options_records, 2u);
}

TEST(NetFlow9, SamplingToldInAnotherDomain) {
  Collector c;
  c.send(packet9(Wire().set(1, options_template9(257, {{1, 4}}, {{34, 4}})).set(257, Wire().u32(0).u32(512)), 1, 0));
  c.send(packet9(Wire().set(0, template9(256, kFlow9)).set(256, flow9()), 1, 300));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "512");
  // Domains that disagree leave the rate of a third unknown.
  c.send(packet9(Wire().set(1, options_template9(257, {{1, 4}}, {{34, 4}})).set(257, Wire().u32(0).u32(64)), 1, 1));
  c.send(packet9(Wire().set(256, flow9()), 2, 300));
  EXPECT_FALSE(c.rows.at(1).has("sampling_rate"));
}

TEST(NetFlow9, RatesThatCanBeNoneAreNotTold) {  // negative numbers, memory that was never set
  Collector c;
  const auto options = options_template9(257, {{1, 4}}, {{34, 4}});
  c.send(packet9(Wire().set(1, options).set(257, Wire().u32(0).u32(limits::kSamplingRateMax + 1)).set(0, template9(256, {{8, 4}})).set(256, Wire().ip("10.0.0.1"))));
  EXPECT_FALSE(c.rows.at(0).has("sampling_rate"));
  EXPECT_FALSE(c.decoder.exporter_stats().at(0).sampling_known);
  EXPECT_EQ(c.total.bad, 1u);
  c.send(packet9(Wire().set(257, Wire().u32(0).u32(100) + Wire().u32(0).u32(0xffffffff)).set(0, template9(258, {{8, 4}, {34, 8}}))
                     .set(258, Wire().ip("10.0.0.1").u64(~uint64_t{0}) + Wire().ip("10.0.0.1").u64(limits::kSamplingRateMax)), 2));
  EXPECT_EQ(c.rows.at(1)["sampling_rate"], "100");
  EXPECT_EQ(c.rows.at(2)["sampling_rate"], std::to_string(limits::kSamplingRateMax));
}

// What domains agree on is made from all their rates, so a packet of nothing but changes must not have it made again and again.
TEST(Bounds, SharedRatesOfOnePacket) {
  Collector c;
  Wire sets = Wire().set(1, options_template9(257, {{1, 4}}, {{48, 1}, {34, 4}})).set(0, template9(256, {{8, 4}}));
  constexpr int kMore = limits::kSharedRatesPerPacket + 2;
  for (int i = 1; i <= kMore; ++i) sets.set(257, Wire().u32(0).u8(9).u32(100 + i)).set(256, Wire().ip("10.0.0.1"));
  c.send(packet9(sets));
  for (int i = 1; i <= kMore; ++i) EXPECT_EQ(c.rows.at(i - 1)["sampling_rate"], std::to_string(100 + std::min(i, limits::kSharedRatesPerPacket)));
  c.send(packet9(Wire().set(256, Wire().ip("10.0.0.1")), 2));
  EXPECT_EQ(c.rows.back()["sampling_rate"], std::to_string(100 + kMore));
}

TEST(NetFlow9, RecordsOwnRateBeatsOptionsAndOperatorBeatsAll) {
  Collector c;
  const auto t = template9(256, {{8, 4}, {34, 4}});
  c.send(packet9(Wire().set(1, options_template9(257, {{1, 4}}, {{34, 4}})).set(257, Wire().u32(0).u32(512)).set(0, t).set(256, Wire().ip("10.0.0.1").u32(10) + Wire().ip("10.0.0.1").u32(0))));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "10");
  EXPECT_EQ(c.rows.at(1)["sampling_rate"], "1");
  c.decoder.set_overrides({{.exporter = *parse_prefix("192.0.2.0/24"), .rates = {{.rate = 7, .force = true}}}});
  c.send(packet9(Wire().set(256, Wire().ip("10.0.0.1").u32(10)), 2));
  EXPECT_EQ(c.rows.at(2)["sampling_rate"], "7");
}

TEST(NetFlow9, OperatorFillsWhatNobodyTold) {
  PacketDecoderOptions options;
  options.overrides = {{.exporter = *parse_prefix("192.0.2.1"), .rates = {{.rate = 33}}}};
  Collector c(std::move(options));
  c.send(packet9(Wire().set(0, template9(256, kFlow9)).set(256, flow9())));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "33");
}

// Interface 5 is told 100 and interface 6 nothing; flows are counted by the side that saw them.
TEST(NetFlow9, SamplingByInterface) {
  Collector c;
  const auto flow = [](uint32_t in, uint32_t out, uint32_t direction) { return Wire().ip("10.0.0.1").u32(in).u32(out).u8(direction); };
  c.send(packet9(Wire().set(1, options_template9(257, {{2, 4}}, {{34, 4}})).set(257, Wire().u32(5).u32(100) + Wire().u32(7).u32(200))
                     .set(0, template9(256, {{8, 4}, {10, 4}, {14, 4}, {61, 1}}))
                     .set(256, flow(5, 6, 0) + flow(6, 5, 0) + flow(6, 5, 1) + flow(7, 5, 0))));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "100");
  EXPECT_FALSE(c.rows.at(1).has("sampling_rate"));
  EXPECT_EQ(c.rows.at(2)["sampling_rate"], "100");  // egress
  EXPECT_EQ(c.rows.at(3)["sampling_rate"], "200");
  // The operator: for all where nothing is told, for interface 7 over what is told, for domain 8 alone.
  c.decoder.set_overrides({{.exporter = *parse_prefix("192.0.2.0/24"),
                            .rates = {{.rate = 1'000}, {.interface = 7, .rate = 3, .force = true}, {.domain = 8, .rate = 9, .force = true}}},
                           {.exporter = *parse_prefix("0.0.0.0/0"), .rates = {{.rate = 1, .force = true}}}});
  c.rows.clear();
  c.send(packet9(Wire().set(256, flow(5, 6, 0) + flow(6, 5, 0) + flow(7, 5, 0)), 2));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "100");
  EXPECT_EQ(c.rows.at(1)["sampling_rate"], "1000");
  EXPECT_EQ(c.rows.at(2)["sampling_rate"], "3");
  c.rows.clear();
  c.send(packet9(Wire().set(0, template9(256, {{8, 4}, {10, 4}})).set(256, Wire().ip("10.0.0.1").u32(5) + Wire().ip("10.0.0.1").u32(7)), 1, 8));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "9");
  EXPECT_EQ(c.rows.at(1)["sampling_rate"], "3");  // an interface's own comes over its domain's
}

TEST(Ipfix, SamplingOfAnInterfaceInTheScope) {
  Collector c;
  c.send(packet10(Wire().set(3, options_template10(257, 1, {{10, 4}, {305, 4}, {306, 4}})).set(257, Wire().u32(5).u32(1).u32(99))
                      .set(2, template10(256, {{8, 4}, {10, 4}})).set(256, Wire().ip("10.0.0.1").u32(5) + Wire().ip("10.0.0.1").u32(5))));
  EXPECT_EQ(c.rows.at(0)["sampling_rate"], "100");
  // Kept over a restart, where two interfaces have rates of their own too; what the exporter repeats changes nothing.
  const Wire of_seven = Wire().set(257, Wire().u32(7).u32(1).u32(199));
  c.send(packet10(of_seven, 3));
  Collector again;
  EXPECT_EQ(again.decoder.load_state(c.decoder.take_state_changes()), 0u);
  for (const uint64_t sequence : {4, 8}) {
    again.rows.clear();
    again.send(packet10(Wire().set(256, Wire().ip("10.0.0.1").u32(5) + Wire().ip("10.0.0.1").u32(6) + Wire().ip("10.0.0.1").u32(7)) + of_seven, sequence));
    EXPECT_EQ(again.rows.at(0)["sampling_rate"], "100");
    EXPECT_FALSE(again.rows.at(1).has("sampling_rate"));
    EXPECT_EQ(again.rows.at(2)["sampling_rate"], "200");
  }
}

TEST(NetFlow9, NamesFromOptions) {
  Collector c;
  c.send(packet9(Wire().set(1, options_template9(257, {{2, 4}}, {{82, 8}, {83, 8}})).set(257, Wire().u32(5).text("eth5").zeros(4).text("uplink").zeros(2))));
  c.send(packet9(Wire().set(1, options_template9(258, {{1, 4}}, {{95, 4}, {96, 6}})).set(258, Wire().u32(0).u8(13).number(431, 3).text("webex").zeros(1)), 2));
  const auto names = c.decoder.names();
  ASSERT_EQ(names.size(), 2u);
  const uint64_t version = c.decoder.names_version();
  c.send(packet9(Wire().set(257, Wire().u32(5).text("eth5").zeros(4).text("uplink").zeros(2)), 2));
  EXPECT_EQ(c.decoder.names_version(), version);  // told again, not changed
  EXPECT_EQ(names[0].name, "eth5");
  EXPECT_EQ(names[0].description, "uplink");
  c.send(packet9(Wire().set(0, template9(256, {{8, 4}, {95, 4}})).set(256, Wire().ip("10.0.0.1").u8(13).number(431, 3)), 3));
  EXPECT_EQ(c.rows.at(0)["app"], "webex");
  EXPECT_EQ(c.rows.at(0)["app_id"], std::to_string(uint64_t{13} << 56 | 431));
}

TEST(NetFlow9, FortinetCountsTheOtherDirection) {
  Collector c;
  const std::vector<FieldSpec> fields = {{8, 4}, {1, 4}, {23, 4}, {95, 9}};
  auto record = [](uint32_t pen) { return Wire().ip("10.0.0.1").u32(100).u32(900).u8(20).u32(pen).u32(7); };
  c.send(packet9(Wire().set(0, template9(256, fields)).set(256, record(0))));
  EXPECT_EQ(c.rows.at(0).x("postOctetDeltaCount"), "900");
  EXPECT_FALSE(c.rows.at(0).has("is_biflow"));
  c.send(packet9(Wire().set(256, record(12'356)), 2));
  EXPECT_EQ(c.rows.at(1)["raw_reverse_bytes"], "900");
  EXPECT_EQ(c.rows.at(1)["is_biflow"], "1");
  c.decoder.set_overrides({{.exporter = *parse_prefix("192.0.2.1"), .post_counters = PostCounters::standard}});
  c.send(packet9(Wire().set(256, record(12'356)), 3));
  EXPECT_FALSE(c.rows.at(2).has("raw_reverse_bytes"));
}

TEST(NetFlow9, AsaFlowsHaveInitiatorAndResponder) {
  Collector c;
  const std::vector<FieldSpec> fields = {{148, 4}, {8, 4}, {12, 4}, {225, 4}, {226, 4}, {227, 2}, {228, 2}, {233, 1}, {323, 8}, {231, 4}, {232, 4}, {152, 8}};
  const uint64_t ms = uint64_t{kExportSeconds} * 1'000;
  c.send(packet9(Wire().set(0, template9(256, fields)).set(256, Wire().u32(8'501).ip("10.0.0.1").ip("8.8.8.8").ip("192.0.2.9").ip("0.0.0.0").u16(5'000).u16(0).u8(2).u64(ms - 10).u32(56).u32(60).u64(ms - 2'000))));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["flow_id"], "8501");
  EXPECT_EQ(r["raw_bytes"], "56");
  EXPECT_EQ(r["raw_reverse_bytes"], "60");
  EXPECT_EQ(r["initiator"], "src");
  EXPECT_EQ(r["nat_src_ip"], "192.0.2.9");
  EXPECT_FALSE(r.has("nat_dst_ip"));  // all zero: not translated
  EXPECT_FALSE(r.has("nat_dst_port"));
  EXPECT_EQ(r["flow_end"], "2026-11-20T11:59:59.990Z");
  EXPECT_EQ(r["flow_state"], "end");
  EXPECT_EQ(r["action"], "accept");
}

TEST(NetFlow9, ForwardingStatusAndEndReason) {
  Collector c;
  c.send(packet9(Wire().set(0, template9(256, {{8, 4}, {89, 1}, {136, 1}})).set(256, Wire().ip("10.0.0.1").u8(0x40).u8(2) + Wire().ip("10.0.0.1").u8(0x80 | 1).u8(9) + Wire().ip("10.0.0.1").u8(0x80 | 10).u8(3))));
  EXPECT_EQ(c.rows.at(0)["action"], "accept");
  EXPECT_EQ(c.rows.at(0)["end_reason"], "active_timeout");
  EXPECT_EQ(c.rows.at(1)["action"], "drop");
  EXPECT_EQ(c.rows.at(1)["reject_reason"], "acl deny");
  EXPECT_EQ(c.rows.at(1)["end_reason"], "unknown");
  EXPECT_EQ(c.rows.at(2)["reject_reason"], "policer");
}

TEST(NetFlow9, EveryTruncationOfAMixedPacketIsSafe) {
  const auto whole = packet9(Wire().set(0, template9(256, kFlow9)).set(1, options_template9(257, {{1, 4}}, {{34, 4}})).set(256, flow9()).set(257, Wire().u32(0).u32(9)));
  for (size_t n = 0; n <= whole.size(); ++n) {
    Collector c;
    c.send({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)});
  }
}

// --- IPFIX ---

TEST(Ipfix, MillisecondsAndReverse) {
  Collector c;
  const uint64_t ms = uint64_t{kExportSeconds} * 1'000;
  c.send(packet10(Wire().set(2, template10(256, {{27, 16}, {28, 16}, {1, 8}, {2, 4}, {1, 8, 29'305}, {2, 4, 29'305}, {6, 2}, {6, 1, 29'305}, {152, 8}, {153, 8}, {239, 1}, {5, 1, 29'305}}))
                      .set(256, Wire().ip("2001:db8::1").ip("2001:db8::2").u64(500).u32(5).u64(600).u32(6).u16(0x1b).u8(0x13).u64(ms - 1'500).u64(ms - 250).u8(2).u8(4))));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["src_ip"], "2001:db8::1");
  EXPECT_EQ(r["ip_version"], "6");
  EXPECT_EQ(r["raw_reverse_bytes"], "600");
  EXPECT_EQ(r["raw_reverse_packets"], "6");
  EXPECT_EQ(r["reverse_tcp_flags"], "19");
  EXPECT_EQ(r["is_biflow"], "1");
  EXPECT_EQ(r["initiator"], "dst");
  EXPECT_EQ(r["flow_start"], "2026-11-20T11:59:58.500Z");
  EXPECT_EQ(r["flow_end"], "2026-11-20T11:59:59.750Z");
  EXPECT_EQ(r["time_quality"], "exact");
  EXPECT_EQ(r.x("reverseIpClassOfService"), "4");
}

TEST(Ipfix, FlagsWithoutTheHeadersLength) {  // RFC 7125
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {6, 2}, {6, 2, 29'305}}) + template10(257, {{8, 4}, {6, 65'535}}))
                      .set(256, Wire().ip("10.0.0.1").u16(0x5012).u16(0xa102) + Wire().ip("10.0.0.2").u16(0x0fff).u16(0))
                      .set(257, Wire().ip("10.0.0.3").u8(2).u16(0x8018) + Wire().ip("10.0.0.4").u8(1).u8(0xff))));
  EXPECT_EQ(c.rows.at(0)["tcp_flags"], std::to_string(0x012));
  EXPECT_EQ(c.rows.at(0)["reverse_tcp_flags"], std::to_string(0x102));
  EXPECT_EQ(c.rows.at(1)["tcp_flags"], std::to_string(0xfff));
  EXPECT_EQ(c.rows.at(2)["tcp_flags"], std::to_string(0x018));
  EXPECT_EQ(c.rows.at(3)["tcp_flags"], std::to_string(0x0ff));
}

TEST(Ipfix, NtpMicroseconds) {
  Collector c;
  const uint64_t ntp = (uint64_t{kExportSeconds} - 1 + 2'208'988'800u) << 32 | 0x8000'0000u;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {154, 8}, {157, 8}})).set(256, Wire().ip("10.0.0.1").u64(ntp).u64(ntp))));
  EXPECT_EQ(c.rows.at(0)["flow_start"], "2026-11-20T11:59:59.500Z");
  EXPECT_EQ(c.rows.at(0)["flow_end"], "2026-11-20T11:59:59.500Z");
}

TEST(Ipfix, UptimesNeedTheTimeOfBoot) {
  Collector c;
  const auto t = template10(256, {{8, 4}, {22, 4}, {21, 4}});
  c.send(packet10(Wire().set(2, t).set(256, Wire().ip("10.0.0.1").u32(1'000).u32(2'000))));
  EXPECT_EQ(c.rows.at(0)["time_quality"], "estimated");
  EXPECT_FALSE(c.rows.at(0).has("flow_start"));
  EXPECT_EQ(c.rows.at(0).x("flowEndSysUpTime"), "2000");
  const uint64_t boot = (uint64_t{kExportSeconds} - 10) * 1'000;
  c.send(packet10(Wire().set(3, options_template10(257, 1, {{149, 4}, {160, 8}})).set(257, Wire().u32(7).u64(boot)).set(256, Wire().ip("10.0.0.1").u32(1'000).u32(2'000)), 1));
  EXPECT_EQ(c.rows.at(1)["time_quality"], "exact");
  EXPECT_EQ(c.rows.at(1)["flow_end"], "2026-11-20T11:59:52Z");
  // In the record itself, after the fields that need it.
  c.send(packet10(Wire().set(2, template10(258, {{8, 4}, {22, 4}, {21, 4}, {160, 8}})).set(258, Wire().ip("10.0.0.1").u32(500).u32(700).u64(boot - 1'000)), 3));
  EXPECT_EQ(c.rows.at(2)["flow_end"], "2026-11-20T11:59:49.700Z");
}

TEST(Ipfix, DeltasAndDurations) {
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {158, 4}, {159, 4}})).set(256, Wire().ip("10.0.0.1").u32(2'000'000).u32(500'000))));
  EXPECT_EQ(c.rows.at(0)["flow_start"], "2026-11-20T11:59:58Z");
  EXPECT_EQ(c.rows.at(0)["flow_end"], "2026-11-20T11:59:59.500Z");
  c.send(packet10(Wire().set(2, template10(257, {{8, 4}, {151, 4}, {161, 4}})).set(257, Wire().ip("10.0.0.1").u32(kExportSeconds - 1).u32(4'000)), 1));
  EXPECT_EQ(c.rows.at(1)["flow_start"], "2026-11-20T11:59:55Z");
}

// --- running totals ---

TEST(Ipfix, RunningTotalsBecomeWhatCameSince) {
  Collector c;
  const uint64_t ms = uint64_t{kExportSeconds} * 1'000;
  const auto t = template10(256, {{8, 4}, {12, 4}, {7, 2}, {85, 8}, {86, 4}, {85, 8, 29'305}, {152, 8}, {153, 8}});
  const auto record = [&](uint64_t port, uint64_t bytes, uint64_t packets, uint64_t reverse, uint64_t start) {
    return Wire().ip("10.0.0.1").ip("10.0.0.2").u16(port).u64(bytes).u32(packets).u64(reverse).u64(ms - start).u64(ms - 100);
  };
  uint64_t sequence = 0;
  const auto send = [&](const Wire& records) { c.send(packet10(Wire().set(2, t).set(256, records), sequence++)); };
  send(record(1, 1'000, 10, 500, 9'000) + record(2, 70, 1, 0, 9'000));
  send(record(1, 1'600, 13, 500, 9'000));                     // what came since
  send(record(1, 1'600, 13, 500, 9'000));                     // nothing
  send(record(1, 1'000, 10, 500, 9'000));                     // late: told before
  send(record(1, 1'700, 14, 900, 9'000));
  send(record(1, 300, 3, 20, 4'000));                         // the same ports, begun anew
  std::vector<std::vector<std::string>> seen;
  for (const Row& r : c.rows) seen.push_back({r["raw_bytes"], r["raw_packets"], r["raw_reverse_bytes"]});
  EXPECT_EQ(seen, (std::vector<std::vector<std::string>>{{"1000", "10", "500"}, {"70", "1", "0"}, {"600", "3", "0"}, {"0", "0", "0"}, {"0", "0", "0"}, {"100", "1", "400"}, {"300", "3", "20"}}));
  EXPECT_EQ(c.rows[0]["is_biflow"], "1");
  EXPECT_EQ(c.rows[0]["byte_basis"], "layer3");
  EXPECT_TRUE(c.rows[0].extra.empty()) << c.rows[0].extra.front().first;
  // Another exporter's flow, and another domain's, is another flow.
  c.send(packet10(Wire().set(2, t).set(256, record(1, 2'000, 20, 0, 9'000)), 0, 8));
  EXPECT_EQ(c.rows.back()["raw_bytes"], "2000");
}

TEST(Ipfix, TotalsWithoutABeginAreANewFlowWhenTheyFall) {
  Collector c;
  const auto t = template10(256, {{8, 4}, {148, 8}, {85, 8}});
  uint64_t sequence = 0;
  for (const uint64_t bytes : {100, 250, 40, 90}) c.send(packet10(Wire().set(2, t).set(256, Wire().ip("10.0.0.1").u64(7).u64(bytes)), sequence++));
  std::vector<std::string> seen;
  for (const Row& r : c.rows) seen.push_back(r["raw_bytes"]);
  EXPECT_EQ(seen, (std::vector<std::string>{"100", "150", "40", "50"}));
  // Nothing to tell flows apart by: as reported.
  const auto bare = template10(257, {{5, 1}, {85, 8}});
  for (const uint64_t bytes : {100, 250}) c.send(packet10(Wire().set(2, bare).set(257, Wire().u8(0).u64(bytes)), sequence++));
  EXPECT_EQ(c.rows.back()["raw_bytes"], "250");
}

TEST(Bounds, RunningTotalsOfOneExporter) {
  Collector c;
  const auto t = template10(256, {{8, 4}, {85, 8}});
  c.send(packet10(Wire().set(2, t)));
  const auto tell = [&](uint32_t first, uint32_t count, uint64_t bytes) {
    Wire records;
    for (uint32_t i = 0; i < count; ++i) records.u32(first + i).u64(bytes);
    c.send(packet10(Wire().set(256, records)));
  };
  // The first flow, then as many others as there is room for: it is still known. One more, and it is not.
  tell(0, 1, 100);
  for (uint32_t done = 1; done < limits::kTotalsPerExporterMax; done += 1'000) tell(done, std::min<uint32_t>(1'000, static_cast<uint32_t>(limits::kTotalsPerExporterMax) - done), 5);
  tell(0, 1, 160);
  EXPECT_EQ(c.rows.back()["raw_bytes"], "60");
  EXPECT_EQ(c.decoder.exporter_stats().front().state_refused, 0u);
  tell(1'000'000, 1, 5);
  EXPECT_EQ(c.decoder.exporter_stats().front().state_refused, 1u);
  tell(1, 1, 9);
  EXPECT_EQ(c.rows.back()["raw_bytes"], "9") << "the one silent for longest was forgotten";
  // Silence ends it too.
  c.decoder.expire(c.now + limits::kTotalsAge + 1);
  tell(0, 1, 200);
  EXPECT_EQ(c.rows.back()["raw_bytes"], "200");
}

// --- sections of packets (RFC 7133, PSAMP) ---

TEST(Ipfix, SectionsOfPacketsFillWhatTheRecordDoesNotTell) {
  Collector c;
  Wire packet;
  packet.u8(0x45).u8(0x28).u16(1'400).u32(0).u8(64).u8(6).u16(0).ip("10.0.0.1").ip("192.0.2.9").u16(50'000).u16(443).u32(1).u32(2).u16(0x5012).u16(0).u32(0);
  Wire frame;
  frame.number(0x02005e100001, 6).number(0x02005e100002, 6).u16(0x8100).u16(100).u16(0x0800).raw(packet.bytes);
  const uint64_t ms = uint64_t{kExportSeconds} * 1'000;
  const auto variable = [](const Wire& w) { return Wire().u8(w.bytes.size()).raw(w.bytes); };
  // A frame with its length, as routers send sampled packets over IPFIX.
  c.send(packet10(Wire().set(2, template10(256, {{10, 4}, {323, 8}, {408, 2}, {312, 2}, {315, 0xffff}})).set(256, Wire().u32(7).u64(ms).u16(1).u16(1'418).raw(variable(frame).bytes))));
  ASSERT_EQ(c.rows.size(), 1u);
  const Row& sampled = c.rows[0];
  EXPECT_EQ(sampled["src_ip"], "10.0.0.1");
  EXPECT_EQ(sampled["dst_ip"], "192.0.2.9");
  EXPECT_EQ(sampled["src_port"], "50000");
  EXPECT_EQ(sampled["dst_port"], "443");
  EXPECT_EQ(sampled["protocol"], "6");
  EXPECT_EQ(sampled["tcp_flags"], "18");
  EXPECT_EQ(sampled["tos"], "40");
  EXPECT_EQ(sampled["ip_version"], "4");
  EXPECT_EQ(sampled["vlan"], "100");
  EXPECT_EQ(sampled["dst_mac"], "02:00:5e:10:00:01");
  EXPECT_EQ(sampled["raw_packets"], "1");
  EXPECT_EQ(sampled["raw_bytes"], "1418");
  EXPECT_EQ(sampled["byte_basis"], "layer2");
  EXPECT_EQ(sampled["input_if"], "7");
  EXPECT_TRUE(sampled.extra.empty()) << sampled.extra.front().first;
  // A packet from its IP header on: its own length.
  c.send(packet10(Wire().set(2, template10(257, {{323, 8}, {313, 0xffff}})).set(257, Wire().u64(ms).raw(variable(packet).bytes)), 1));
  EXPECT_EQ(c.rows.at(1)["dst_ip"], "192.0.2.9");
  EXPECT_EQ(c.rows.at(1)["raw_bytes"], "1400");
  EXPECT_EQ(c.rows.at(1)["byte_basis"], "layer3");
  // What the record tells itself stands.
  c.send(packet10(Wire().set(2, template10(258, {{315, 0xffff}, {8, 4}, {1, 4}, {2, 4}, {312, 2}})).set(258, Wire().raw(variable(frame).bytes).ip("172.16.0.1").u32(9'000).u32(6).u16(1'418)), 2));
  EXPECT_EQ(c.rows.at(2)["src_ip"], "172.16.0.1");
  EXPECT_EQ(c.rows.at(2)["dst_ip"], "192.0.2.9");
  EXPECT_EQ(c.rows.at(2)["raw_bytes"], "9000");
  EXPECT_EQ(c.rows.at(2)["raw_packets"], "6");
  EXPECT_EQ(c.rows.at(2).x("dataLinkFrameSize"), "1418");
  // What cannot be read is kept as it is: frames of another kind, and bytes that are no packet.
  c.send(packet10(Wire().set(2, template10(259, {{408, 2}, {312, 2}, {315, 0xffff}})).set(259, Wire().u16(2).u16(60).raw(variable(Wire().u32(0x80000000)).bytes)), 3));
  EXPECT_EQ(c.rows.at(3).x("dataLinkFrameSection"), "80000000");
  EXPECT_EQ(c.rows.at(3).x("dataLinkFrameType"), "2");
  EXPECT_EQ(c.rows.at(3).x("dataLinkFrameSize"), "60");
  EXPECT_FALSE(c.rows.at(3).has("raw_packets"));
  // Cut anywhere, it is read as far as it goes.
  for (size_t length = 1; length < frame.bytes.size(); ++length) {
    Wire cut;
    cut.raw({frame.bytes.begin(), frame.bytes.begin() + static_cast<std::ptrdiff_t>(length)});
    c.send(packet10(Wire().set(2, template10(260, {{315, 0xffff}})).set(260, Wire().raw(variable(cut).bytes))));
  }
}

TEST(Ipfix, ClocksAheadAreClamped) {
  Collector c;
  const uint64_t ms = uint64_t{kExportSeconds} * 1'000;
  const auto t = template10(256, {{8, 4}, {152, 8}, {153, 8}});
  const auto allowed = static_cast<uint64_t>(limits::kClockSkewMax / kMillisecond);
  c.send(packet10(Wire().set(2, t).set(256, Wire().ip("10.0.0.1").u64(ms).u64(ms + allowed) + Wire().ip("10.0.0.1").u64(ms + allowed - 3'000).u64(ms + allowed + 1))));
  EXPECT_EQ(c.rows.at(0)["time_quality"], "exact");  // at the bound
  const Row& r = c.rows.at(1);                        // and one past it
  EXPECT_EQ(r["time_quality"], "clamped");
  EXPECT_EQ(r["flow_end"], "2026-11-20T12:00:00Z");
  EXPECT_EQ(r["flow_start"], "2026-11-20T11:59:56.999Z");  // it lasted as long as it did
  EXPECT_EQ(r.x("flowEndMilliseconds"), "2026-11-20T12:05:00.001Z");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).clamped_times, 1u);
}

TEST(Ipfix, ClocksNeverSetAreEstimated) {
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {150, 4}, {151, 4}})).set(256, Wire().ip("10.0.0.1").u32(500).u32(0)), 0, 7, 502));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["flow_end"], "2026-11-20T12:00:00Z");  // the header's time is as bad: ours
  EXPECT_EQ(r["time_quality"], "estimated");
  EXPECT_FALSE(r.has("flow_start"));
  EXPECT_EQ(r.x("flowStartSeconds"), "1970-01-01T00:08:20Z");
}

TEST(Ipfix, StartAfterEndIsMended) {
  Collector c;
  const uint64_t ms = uint64_t{kExportSeconds} * 1'000;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {152, 8}, {153, 8}})).set(256, Wire().ip("10.0.0.1").u64(ms - 10).u64(ms - 20))));
  EXPECT_EQ(c.rows.at(0)["flow_start"], c.rows.at(0)["flow_end"]);
  EXPECT_EQ(c.rows.at(0)["time_quality"], "estimated");
  EXPECT_EQ(c.rows.at(0).x("flowStartMilliseconds"), "2026-11-20T11:59:59.990Z");
}

TEST(Ipfix, WithdrawalsCountInStreamsOnly) {
  const Wire withdrawal = Wire().u16(256).u16(0);
  Collector udp;
  udp.send(packet10(Wire().set(2, template10(256, {{8, 4}})).set(2, withdrawal).set(256, Wire().ip("10.0.0.1"))));
  EXPECT_EQ(udp.rows.size(), 1u);
  Collector tcp;
  tcp.sender.session = 9;
  tcp.send(packet10(Wire().set(2, template10(256, {{8, 4}})).set(2, withdrawal).set(256, Wire().ip("10.0.0.1"))));
  EXPECT_EQ(tcp.rows.size(), 0u);
  tcp.send(packet10(Wire().set(2, template10(300, {{8, 4}}) + template10(301, {{8, 4}})).set(3, options_template10(302, 1, {{149, 4}, {34, 4}}))));
  EXPECT_EQ(tcp.decoder.exporter_stats().at(0).templates, 3u);
  tcp.send(packet10(Wire().set(2, Wire().u16(2).u16(0))));  // all templates, but not the options templates
  EXPECT_EQ(tcp.decoder.exporter_stats().at(0).templates, 1u);
  tcp.send(packet10(Wire().set(3, Wire().u16(3).u16(0))));
  EXPECT_EQ(tcp.decoder.exporter_stats().at(0).templates, 0u);
  tcp.decoder.end_session(tcp.sender);
  EXPECT_TRUE(tcp.decoder.exporter_stats().empty());
}

TEST(Ipfix, OverAStreamANewDefinitionWithoutWithdrawalIsAnError) {  // RFC 7011 §8.1
  const auto one = packet10(Wire().set(2, template10(256, {{8, 4}}))), other = packet10(Wire().set(2, template10(256, {{12, 4}})));
  Collector udp;
  udp.send(one);
  EXPECT_EQ(udp.send(other).bad, 0u);
  Collector tcp;
  tcp.sender.session = 9;
  tcp.send(one);
  EXPECT_EQ(tcp.send(one).bad, 0u);  // the same again is no harm
  EXPECT_EQ(tcp.send(other).bad, 1u);
  EXPECT_EQ(tcp.decoder.errors().back().reason, "template defined anew over a stream without its withdrawal");
  EXPECT_EQ(tcp.decoder.errors().back().template_id, 256);
  tcp.send(packet10(Wire().set(256, Wire().ip("10.0.0.1"))));
  EXPECT_EQ(tcp.rows.at(0)["dst_ip"], "10.0.0.1");  // by the new one
  EXPECT_EQ(tcp.send(packet10(Wire().set(2, Wire().u16(256).u16(0)).set(2, template10(256, {{8, 4}})))).bad, 0u);
}

TEST(Ipfix, BothFamiliesInOneTemplate) {
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {12, 4}, {27, 16}, {28, 16}}))
                      .set(256, Wire().ip("10.0.0.1").ip("10.0.0.2").zeros(32) + Wire().zeros(8).ip("2001:db8::1").ip("2001:db8::2") + Wire().zeros(40))));
  EXPECT_EQ(c.rows.at(0)["src_ip"], "10.0.0.1");
  EXPECT_EQ(c.rows.at(0)["ip_version"], "4");
  EXPECT_EQ(c.rows.at(1)["src_ip"], "2001:db8::1");
  EXPECT_EQ(c.rows.at(1)["dst_ip"], "2001:db8::2");
  EXPECT_EQ(c.rows.at(1)["ip_version"], "6");
  EXPECT_EQ(c.rows.at(2)["src_ip"], "0.0.0.0");
}

TEST(Ipfix, IdenticalElementsFirstWinsAllAreKept) {
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {8, 4}, {1, 4}, {85, 4}})).set(256, Wire().ip("10.0.0.1").ip("172.16.0.1").u32(5).u32(50))));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["src_ip"], "10.0.0.1");
  ASSERT_EQ(std::ranges::count_if(r.extra, [](const auto& e) { return e.first == "sourceIPv4Address"; }), 2);
  EXPECT_EQ(r["raw_bytes"], "5");  // the delta before the total
  EXPECT_EQ(r.x("octetTotalCount"), "50");
}

TEST(Ipfix, UnknownElementsGoToExtra) {
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {7, 4, 99'999}, {8, 12, 99'999}, {9, 12, 99'999}, {10, 65'535, 99'999}, {320, 8}, {276, 1}, {210, 3}}))
                      .set(256, Wire().ip("10.0.0.1").u32(77).text("hello").zeros(7).u32(0).u64(0xff00).u8(10).text("\xc3(ab cdefg").u64(0x3ff8000000000000).u8(1).zeros(3))));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r.x("99999.7"), "77");
  EXPECT_EQ(r.x("99999.8"), "hello");
  EXPECT_EQ(r.x("99999.9"), "00000000000000000000ff00");
  EXPECT_EQ(r.x("absoluteError"), "1.5");
  EXPECT_EQ(r.x("dataRecordsReliability"), "true");
  EXPECT_TRUE(r.x("paddingOctets").empty());
}

TEST(Ipfix, InvalidUtf8IsReplaced) {
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {371, 65'535}, {96, 8}})).set(256, Wire().ip("10.0.0.1").u8(5).text("a\xc3(b\x01").text("caf\xc3\xa9").zeros(3))));
  EXPECT_EQ(c.rows.at(0)["user_name"], "a\xef\xbf\xbd(b\xef\xbf\xbd");
  EXPECT_EQ(c.rows.at(0)["app"], "caf\xc3\xa9");
}

TEST(Ipfix, ExportersDescribeTheirElements) {  // RFC 5610
  Collector c;
  const Wire describe = Wire().set(3, options_template10(258, 2, {{346, 4}, {303, 2}, {339, 1}, {341, 65'535}})).set(258, Wire().u32(9'999).u16(5).u8(13).u8(8).text("userHome"));
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {5, 4, 9'999}})).set(256, Wire().ip("10.0.0.1").text("root"))));
  EXPECT_EQ(c.rows.at(0).x("9999.5"), std::to_string(0x726f6f74));
  c.send(packet10(describe, 1));
  c.send(packet10(Wire().set(256, Wire().ip("10.0.0.1").text("root")), 2));  // the template is compiled anew
  EXPECT_EQ(c.rows.at(1).x("userHome"), "root");
}

TEST(Ipfix, StructuredDataFillsWhatIsOpen) {  // YAF
  Collector c;
  c.send(packet10(Wire().set(2, template10(300, {{14, 1, 6'871}, {15, 1, 6'871}, {16'398, 1, 6'871}}) + template10(256, {{8, 4}, {293, 65'535}}))
                      .set(256, Wire().ip("10.0.0.1").u8(8).u8(3).u16(300).u16(7).u8(0x02).u8(0x18).u8(0x12))));
  const Row& r = c.rows.at(0);
  EXPECT_EQ(r["tcp_flags"], std::to_string(0x1a));
  EXPECT_EQ(r["reverse_tcp_flags"], std::to_string(0x12));
  EXPECT_EQ(r["flags_quality"], "all");
  EXPECT_EQ(r.x("initialTCPFlags"), "2");
}

TEST(Ipfix, ListsKeepEachElement) {  // RFC 6313
  const auto values = [](const Row& row, const std::string& name) {
    std::string all;
    for (const auto& [key, value] : row.extra)
      if (key == name) all += value + ";";
    return all;
  };
  const auto list = [](const Wire& content) { return Wire().u8(content.bytes.size()) + content; };
  Collector c;
  c.send(packet10(Wire().set(2, template10(300, {{8, 4}, {7, 2}}) + template10(256, {{12, 4}, {291, 65'535}, {292, 65'535}}) + template10(257, {{8, 4}, {484, 65'535}, {485, 65'535}}))
                      .set(256, Wire().ip("10.0.0.9")
                                    + list(Wire().u8(3).u16(0x8000 | 5).u16(65'535).u32(9'999).u8(3).text("one").u8(255).u16(2).text("in"))
                                    + list(Wire().u8(4).u16(300).ip("10.0.0.1").u16(80).ip("10.0.0.2").u16(81)))
                      .set(257, Wire().ip("10.0.0.1") + list(Wire().u8(3).u16(483).u16(4).u32(65'000u << 16 | 1).u32(65'000u << 16 | 2)) + list(Wire().u8(3).u16(483).u16(4).u32(7)))));
  ASSERT_EQ(c.rows.size(), 2u);
  EXPECT_EQ(values(c.rows[0], "9999.5"), "one;in;");
  EXPECT_EQ(c.rows[0]["src_ip"], "10.0.0.1");
  EXPECT_EQ(c.rows[0]["src_port"], "80");
  EXPECT_EQ(values(c.rows[0], "sourceIPv4Address"), "10.0.0.2;");
  EXPECT_EQ(values(c.rows[0], "sourceTransportPort"), "81;");
  EXPECT_EQ(values(c.rows[1], "bgpSourceCommunityList"), std::to_string(65'000u << 16 | 1) + ";" + std::to_string(65'000u << 16 | 2) + ";");
  EXPECT_EQ(values(c.rows[1], "bgpDestinationCommunityList"), "7;");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).bad_records, 0u);
}

TEST(Ipfix, StructuredDataWaitsForItsInnerTemplate) {
  const auto list = [](const Wire& content) { return Wire().u8(content.bytes.size()) + content; };
  const Wire outer = template10(256, {{8, 4}, {292, 65'535}});
  const auto record = [&](const char* ip, uint16_t inner) { return Wire().ip(ip) + list(Wire().u8(3).u16(inner).u16(80)); };
  // A record whose template is there does not wait for one whose template is not; nested data waits for each in turn.
  Collector c;
  c.send(packet10(Wire().set(2, outer + template10(301, {{7, 2}})).set(256, record("10.0.0.1", 300) + record("10.0.0.2", 301))));
  ASSERT_EQ(c.rows.size(), 1u);
  EXPECT_EQ(c.rows[0]["src_ip"], "10.0.0.2");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 0u);
  c.send(packet10(Wire().set(2, template10(300, {{7, 2}})), 2));
  ASSERT_EQ(c.rows.size(), 2u);
  EXPECT_EQ(c.rows[1]["src_ip"], "10.0.0.1");
  EXPECT_EQ(c.rows[1]["src_port"], "80");
  c.send(packet10(Wire().set(256, Wire().ip("10.0.0.3") + list(Wire().u8(3).u16(310) + list(Wire().u8(3).u16(311).u16(81)))), 2));
  c.send(packet10(Wire().set(2, template10(310, {{292, 65'535}})), 3));
  EXPECT_EQ(c.rows.size(), 2u);
  c.send(packet10(Wire().set(2, template10(311, {{7, 2}})), 3));
  ASSERT_EQ(c.rows.size(), 3u);
  EXPECT_EQ(c.rows[2]["src_port"], "81");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).bad_records, 0u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).pending_bytes, 0u);

  // One that comes not at all costs only its part.
  c.send(packet10(Wire().set(256, record("10.0.0.4", 999)), 3));
  EXPECT_EQ(c.rows.size(), 3u);
  c.now += limits::kPendingRecordAge;
  c.send(packet10(Wire().set(2, outer), 4));
  ASSERT_EQ(c.rows.size(), 4u);
  EXPECT_EQ(c.rows[3]["src_ip"], "10.0.0.4");
  EXPECT_FALSE(c.rows[3].has("src_port"));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).bad_records, 1u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).pending_bytes, 0u);

  // No packet has to come for that.
  c.send(packet10(Wire().set(256, record("10.0.0.6", 999)), 4));
  const auto overdue = [&] {
    FlowBatchBuilder out;
    const FlowSink none = [](Batch&&) { return Status(); };
    const auto counts = c.decoder.finish_overdue(c.now, out, none);
    return counts.ok() && out.rows() == counts->flows ? counts->flows : UINT64_MAX;
  };
  EXPECT_EQ(overdue(), 0u);
  c.now += limits::kPendingRecordAge;
  EXPECT_EQ(overdue(), 1u);
  EXPECT_EQ(c.decoder.expire(c.now + limits::kPendingAge), 0u);

  // Where there is no room, records do not wait, and none is lost.
  Collector full;
  full.send(packet10(Wire().set(2, outer)));
  size_t sent = 0;
  for (uint32_t i = 0; full.rows.empty() && i < 100; ++i) {
    Wire many;
    for (int n = 0; n < 200; ++n, ++sent) many = many + record("10.0.0.5", 999);
    full.send(packet10(Wire().set(256, many), static_cast<uint32_t>(sent)));
  }
  EXPECT_LE(full.decoder.exporter_stats().at(0).pending_bytes, limits::kPendingBytesPerExporter);
  full.now += limits::kPendingRecordAge;
  full.send(packet10(Wire().set(2, outer)));
  EXPECT_EQ(full.decoder.exporter_stats().at(0).pending_bytes, 0u);
  EXPECT_EQ(full.decoder.exporter_stats().at(0).flows, sent);

  // The same of the room that all exporters share: a record that is driven out by another's is written then.
  Collector shared;
  constexpr uint32_t kExporters = limits::kPendingBytesMax / limits::kPendingBytesPerExporter + 10, kEach = 20;
  Wire large = Wire().ip("10.0.0.5").u8(255).u16(60'003).u8(3).u16(999);
  large.bytes.resize(large.bytes.size() + 60'000);
  for (uint32_t i = 0; i < kExporters; ++i) {
    shared.sender.ip = IpAddress::v4(0xc0000200 + i);
    shared.send(packet10(Wire().set(2, outer)));
    for (uint32_t n = 0; n < kEach; ++n) shared.send(packet10(Wire().set(256, large), n));
  }
  EXPECT_LT(shared.rows.size(), kExporters * kEach);
  shared.now += limits::kPendingRecordAge;
  shared.send(packet10(Wire().set(2, outer), kEach));
  EXPECT_EQ(shared.rows.size(), kExporters * kEach);
  for (const auto& e : shared.decoder.exporter_stats()) {
    EXPECT_EQ(e.flows, kEach);
    EXPECT_EQ(e.pending_dropped, 0u);
  }
}

TEST(Ipfix, StructuredDataIsBounded) {
  Collector c;
  // A list in a list in a list …, deeper than is followed; one of zero-size records; one that lies about its length.
  Wire nested;
  for (int depth = 0; depth < 20; ++depth) {
    Wire outer;
    outer.u8(3).u16(291).u16(65'535).u8(nested.bytes.size()).raw(nested.bytes);
    if (outer.bytes.size() > 250) break;
    nested = outer;
  }
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}, {291, 65'535}}) + template10(257, {{8, 4}, {293, 65'535}}) + template10(258, {{8, 4}, {292, 65'535}}))
                      .set(256, Wire().ip("10.0.0.1").u8(nested.bytes.size()).raw(nested.bytes))
                      .set(257, Wire().ip("10.0.0.2").u8(9).u8(3).u16(256).u16(0).u16(256).u16(4))
                      .set(258, Wire().ip("10.0.0.3").u8(5).u8(3).u16(258).u16(0xffff))
                      .set(256, Wire().ip("10.0.0.4").u8(5).u8(3).u16(8).u16(0))));
  EXPECT_EQ(c.rows.size(), 4u);
  EXPECT_GE(c.decoder.exporter_stats().at(0).bad_records, 3u);
}

TEST(Ipfix, LengthsThatLie) {
  auto message = packet10(Wire().set(2, template10(256, {{8, 4}})).set(256, Wire().ip("10.0.0.1")));
  Collector c;
  auto longer = message;
  longer[3] = static_cast<uint8_t>(longer[3] + 1);
  EXPECT_EQ(c.send(longer).bad, 1u);
  EXPECT_TRUE(c.rows.empty());
  auto set_longer = message;
  set_longer[message.size() - 5] = 200;
  EXPECT_EQ(c.send(set_longer).bad, 1u);
  Wire reserved = Wire().set(9, Wire().u32(0)).set(256, Wire().ip("10.0.0.9"));
  EXPECT_EQ(c.send(packet10(reserved, 1)).bad, 1u);
  EXPECT_EQ(c.rows.size(), 1u);  // the set after a reserved one is read
}

// --- bodies ---

struct Body {
  explicit Body(const std::vector<uint8_t>& bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    auto decoded = decode_packet_body(text, {kExportSeconds * kSecond, ""}, [&](Batch&& b) -> Status {
      add_rows(b, rows);
      return {};
    });
    EXPECT_TRUE(decoded.ok());
    if (decoded.ok()) report = *decoded;
  }
  std::vector<Row> rows;
  DecodeReport report;
};

TEST(Body, AnExporterThatNobodyNamesIsNull) {
  const Wire flow = Wire().set(2, template10(256, {{8, 4}})).set(256, Wire().ip("10.0.0.1"));
  for (const auto& bytes : {packet10(flow), packet9(Wire().set(0, template9(256, {{8, 4}})).set(256, Wire().ip("10.0.0.1"))), packet5({{}})}) {
    const Body body(bytes);
    ASSERT_EQ(body.rows.size(), 1u);
    EXPECT_FALSE(body.rows[0].has("exporter_ip"));
    EXPECT_FALSE(body.rows[0].has("exporter_port"));
    EXPECT_TRUE(body.rows[0].has("observation_domain"));
  }
  // A record's own word, or zeros in its place.
  const Body own(packet10(Wire().set(2, template10(256, {{8, 4}, {130, 4}})).set(256, Wire().ip("10.0.0.1").ip("192.0.2.9") + Wire().ip("10.0.0.2").ip("0.0.0.0"))));
  EXPECT_EQ(own.rows.at(0)["exporter_ip"], "192.0.2.9");
  EXPECT_FALSE(own.rows.at(1).has("exporter_ip"));
}

TEST(Body, FilesSayWhoExportedThem) {  // RFC 5655 §8.1: of the session, or of one message
  const Wire flow = Wire().set(256, Wire().ip("10.0.0.1"));
  const Wire session = Wire().set(3, options_template10(257, 1, {{267, 1}, {130, 4}, {131, 16}, {217, 2}})).set(257, Wire().u8(0).ip("192.0.2.9").ip("::").u16(4'739));
  const Wire message = Wire().set(3, options_template10(258, 1, {{263, 1}, {131, 16}})).set(258, Wire().u8(0).ip("2001:db8::9"));
  Wire file;
  file.raw(packet10(Wire().set(2, template10(256, {{8, 4}})) + session + flow)).raw(packet10(message + flow, 2)).raw(packet10(flow, 4));
  const Body body(file.bytes);
  EXPECT_EQ(body.rows.at(0)["exporter_ip"], "192.0.2.9");
  EXPECT_EQ(body.rows.at(1)["exporter_ip"], "2001:db8::9");
  EXPECT_EQ(body.rows.at(2)["exporter_ip"], "192.0.2.9");
  EXPECT_EQ(body.report.rejected, 0u);
  // From the network, the sender is who it is.
  Collector c;
  c.send(packet10(Wire().set(2, template10(256, {{8, 4}})) + session + flow));
  EXPECT_EQ(c.rows.at(0)["exporter_ip"], "192.0.2.1");
}

TEST(Body, DataWithoutTemplateIsRejectedOnce) {
  Wire many;
  for (int i = 0; i < 30; ++i) many.raw(packet10(Wire().set(256, Wire().zeros(60'000)), i));
  EXPECT_EQ(Body(many.bytes).report.rejected, 30u);
}

// --- loss, state, bounds ---

TEST(Loss, Flows) {
  Collector c;
  c.send(packet5({{}, {}}, 100));
  c.now += kSecond;
  c.send(packet5({{}}, 110));  // 8 missing
  auto stats = c.decoder.exporter_stats().at(0);
  EXPECT_EQ(stats.lost, 8u);
  EXPECT_EQ(stats.lost_unit, "flows");
  const auto ranges = c.decoder.loss_ranges();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].lost, 8u);
  EXPECT_EQ(ranges[0].range.from, c.now - kSecond);
  c.send(packet5({{}, {}}, 104));  // late: two of them were not lost
  stats = c.decoder.exporter_stats().at(0);
  EXPECT_EQ(stats.lost, 6u);
  EXPECT_EQ(stats.reordered, 1u);
  EXPECT_EQ(c.decoder.loss_ranges().at(0).lost, 6u);
  c.send(packet5({{}}, 110));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).duplicates, 1u);
}

TEST(Loss, SequenceWrapsAndRestarts) {
  Collector c;
  c.send(packet5({{}, {}}, 0xffffffff));
  c.send(packet5({{}}, 1));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 0u);
  c.send(packet5({{}}, 900'000'000));  // far away: started anew
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 0u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).restarts, 1u);
  Collector rebooted;
  rebooted.send(packet5({{}}, 5'000, 0, 900'000));
  rebooted.send(packet5({{}}, 6'000, 0, 20));  // uptime went back
  EXPECT_EQ(rebooted.decoder.exporter_stats().at(0).lost, 0u);
  EXPECT_EQ(rebooted.decoder.exporter_stats().at(0).restarts, 1u);
}

TEST(Loss, WhatTheExporterSaysItLeftOut) {  // RFC 7011 §4.2, §4.3
  Collector c;
  const auto told = [&](uint64_t sent_by, uint64_t unsent, uint64_t ignored) {
    return Wire().set(257, Wire().u32(sent_by).u64(unsent)).set(258, Wire().u32(sent_by).u64(ignored));
  };
  const Wire templates = Wire().set(3, options_template10(257, 1, {{144, 4}, {166, 8}})).set(3, options_template10(258, 1, {{143, 4}, {164, 8}}));
  c.send(packet10(templates + told(1, 1'000, 7) + told(2, 0, 0)));
  EXPECT_TRUE(c.decoder.loss_ranges().empty()) << "when that was, nobody knows";
  c.now += kMinute;
  c.send(packet10(told(1, 1'005, 7) + told(2, 3, 0), 4));
  auto ranges = c.decoder.loss_ranges();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].lost, 8u);
  EXPECT_EQ(ranges[0].unit, "flows");
  EXPECT_EQ(ranges[0].range.from, c.now - kMinute);
  c.send(packet10(told(1, 2, 9), 8));  // flows: the process began anew
  ranges = c.decoder.loss_ranges();
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].lost, 8u);
  EXPECT_EQ(ranges[1].lost, 2u);
  EXPECT_EQ(ranges[1].unit, "observed packets");
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 0u);
  // Bounded.
  for (uint32_t process = 3; process < 3 + limits::kReliabilityCountsPerDomainMax; ++process) c.send(packet10(told(process, 0, 0), 10 + 2 * (process - 3)));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).state_refused, 2 * limits::kReliabilityCountsPerDomainMax - (limits::kReliabilityCountsPerDomainMax - 4));
}

TEST(Loss, ARecordThatCannotBeReadHidesHowManyThereWere) {
  Collector c;
  const Wire templates = Wire().set(2, template10(256, {{8, 4}, {236, 65'535}})).set(3, options_template10(257, 1, {{149, 4}, {84, 65'535}}));
  const Wire broken = Wire().ip("10.0.0.1").u8(1).text("a").ip("10.0.0.2").u8(200).text("cut");
  c.send(packet10(templates, 0));
  c.send(packet10(Wire().set(256, broken), 0));
  c.send(packet10(Wire().set(257, broken), 3));
  c.send(packet10(Wire().set(256, Wire().ip("10.0.0.3").u8(0)), 6));
  EXPECT_EQ(c.total.bad, 2u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 0u);
  c.send(packet10(Wire().set(256, Wire().ip("10.0.0.3").u8(0)), 9));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 2u);
}

TEST(Loss, EachDomainAndFormatCountsItsOwn) {
  Collector c;
  const Wire t = Wire().set(0, template9(256, kFlow9));
  c.send(packet9(t, 10, 1));
  c.send(packet9(t, 500, 2));
  c.send(packet9(t, 11, 1));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 0u);
  c.send(packet9(t, 14, 1));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 2u);
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost_unit, "packets");
  // IPFIX counts records; a set that cannot be read cannot be counted.
  const Wire t10 = Wire().set(2, template10(256, {{8, 4}}));
  c.send(packet10(t10, 0, 1));
  c.send(packet10(Wire().set(256, Wire().ip("1.1.1.1").ip("2.2.2.2")), 0, 1));
  c.send(packet10(Wire().set(256, Wire().ip("1.1.1.1")), 2, 1));
  c.send(packet10(Wire().set(999, Wire().u32(1)), 3, 1));
  c.send(packet10(Wire().set(256, Wire().ip("1.1.1.1")), 17, 1));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 2u);
  c.send(packet10(Wire().set(256, Wire().ip("1.1.1.1")), 20, 1));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).lost, 4u);
}

TEST(State, SurvivesARestart) {
  Collector before;
  before.send(packet9(Wire().set(0, template9(256, {{8, 4}, {48, 1}, {95, 4}}))
                          .set(1, options_template9(257, {{1, 4}}, {{48, 1}, {50, 4}}))
                          .set(257, Wire().u32(0).u8(3).u32(250))
                          .set(1, options_template9(258, {{1, 4}}, {{95, 4}, {96, 4}}))
                          .set(258, Wire().u32(0).u8(3).number(53, 3).text("dns").zeros(1))));
  const auto kept = before.decoder.take_state_changes();
  EXPECT_GE(kept.size(), 5u);
  EXPECT_TRUE(before.decoder.take_state_changes().empty());
  Collector after;
  EXPECT_EQ(after.decoder.load_state(kept), 0u);
  EXPECT_TRUE(after.decoder.take_state_changes().empty());  // what was loaded is not new
  after.send(packet9(Wire().set(256, Wire().ip("10.0.0.1").u8(3).u8(3).number(53, 3)), 2));
  ASSERT_EQ(after.rows.size(), 1u);
  EXPECT_EQ(after.rows[0]["sampling_rate"], "250");
  EXPECT_EQ(after.rows[0]["app"], "dns");
  for (const auto& [key, value] : kept) EXPECT_EQ(PacketDecoder::shard_of_state(key, 7), PacketDecoder::shard_of(before.sender, 7));
}

TEST(State, RunningTotalsGoOnAfterARestart) {
  const auto t = template10(256, {{8, 4}, {85, 8}, {86, 4}});
  const auto flow = [](uint32_t address, uint64_t bytes, uint64_t packets) { return Wire().u32(address).u64(bytes).u32(packets); };
  // As the catalogue keeps them: the newest of each key, nothing under an erased one.
  std::map<std::string, std::string> kept;
  const auto keep = [&](PacketDecoder& decoder) {
    size_t changes = 0;
    for (auto& [key, value] : decoder.take_state_changes()) {
      ++changes;
      if (value.empty()) kept.erase(key);
      else kept[key] = value;
    }
    return changes;
  };
  const auto entries = [&] { return std::vector<std::pair<std::string, std::string>>(kept.begin(), kept.end()); };
  Collector before;
  before.send(packet10(Wire().set(2, t).set(256, flow(1, 1'000, 10) + flow(2, 70, 1))));
  keep(before.decoder);
  before.send(packet10(Wire().set(256, flow(1, 1'600, 13)), 2));
  EXPECT_EQ(keep(before.decoder), 1u) << "only what changed";
  EXPECT_EQ(keep(before.decoder), 0u);
  before.send(packet10(Wire().set(256, flow(1, 1'700, 14)), 3));  // and the server dies before this is kept

  Collector after;
  EXPECT_EQ(after.decoder.load_state(entries()), 0u);
  EXPECT_EQ(keep(after.decoder), 0u) << "what was loaded is not new";
  after.send(packet10(Wire().set(256, flow(1, 1'900, 16) + flow(2, 100, 2) + flow(3, 5, 1)), 4));
  std::vector<std::vector<std::string>> seen;
  for (const Row& r : after.rows) seen.push_back({r["raw_bytes"], r["raw_packets"]});
  EXPECT_EQ(seen, (std::vector<std::vector<std::string>>{{"300", "3"}, {"30", "1"}, {"5", "1"}}));
  for (const auto& [key, value] : kept) EXPECT_EQ(PacketDecoder::shard_of_state(key, 7), PacketDecoder::shard_of(before.sender, 7));

  // Who is forgotten is forgotten for good.
  const size_t size = kept.size();
  EXPECT_EQ(keep(after.decoder), 3u);
  EXPECT_EQ(kept.size(), size + 1);
  after.decoder.expire(after.now + limits::kTotalsAge + 1);
  EXPECT_EQ(keep(after.decoder), 3u);
  EXPECT_EQ(kept.size(), size - 2) << "the template alone is left";
  // Damaged, or of another version.
  PacketDecoder other;
  for (const auto& [key, value] : entries()) ASSERT_NE(key[0], 'u');
  const std::pair<std::string, std::string> bad[] = {{"u/00000000000000000000ffff0a000001/0/7", std::string(41, 9)},
                                                     {"u/00000000000000000000ffff0a000001/0/7", std::string(1, 1) + std::string(39, 0)},
                                                     {"u/00000000000000000000ffff0a000001/0/7/8", std::string(1, 1) + std::string(40, 0)},
                                                     {"u/00000000000000000000ffff0a000001/0/99999999999999999999999", std::string(1, 1) + std::string(40, 0)}};
  EXPECT_EQ(other.load_state(bad), 4u);
}

TEST(Bounds, RunningTotalsThatAreRestored) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (size_t i = 0; i <= limits::kTotalsPerExporterMax; ++i)
    entries.emplace_back("u/00000000000000000000ffff0a000001/0/" + std::to_string(i), std::string(1, 1) + std::string(40, 0));
  PacketDecoder decoder;
  EXPECT_EQ(decoder.load_state(entries), 1u);
}

TEST(State, HostileEntriesAreSkipped) {
  Collector before;
  before.send(packet9(Wire().set(0, template9(256, kFlow9)).set(1, options_template9(257, {{1, 4}}, {{48, 1}, {50, 4}})).set(257, Wire().u32(0).u8(3).u32(250))));
  const auto kept = before.decoder.take_state_changes();
  for (const auto& [key, value] : kept) {
    for (size_t n = 1; n < value.size(); ++n) {
      PacketDecoder d;
      const std::pair<std::string, std::string> entry[] = {{key, value.substr(0, n)}};
      EXPECT_EQ(d.load_state(entry), 1u) << key << " " << n;
    }
    std::string other_version = value;
    other_version[0] = 99;
    PacketDecoder d;
    const std::pair<std::string, std::string> entries[] = {{key, other_version}, {key.substr(1), value}, {key + "/1", value}, {"t/xyz", value}, {"", value}};
    EXPECT_EQ(d.load_state(entries), 5u);
  }
}

TEST(Bounds, TemplatesOfOneExporter) {
  Collector c;
  uint64_t sequence = 0;
  for (uint32_t id = 256; id < 256 + limits::kTemplatesPerExporterMax + 10; ++id)
    c.send(packet9(Wire().set(0, template9(id, {{8, 4}})), ++sequence));
  const auto stats = c.decoder.exporter_stats().at(0);
  EXPECT_EQ(stats.templates, limits::kTemplatesPerExporterMax);
  EXPECT_EQ(stats.templates_evicted, 10u);
  EXPECT_EQ(c.send(packet9(Wire().set(256, Wire().ip("1.1.1.1")), ++sequence)).flows, 0u);  // the oldest went
  EXPECT_EQ(c.send(packet9(Wire().set(300, Wire().ip("1.1.1.1")), ++sequence)).flows, 1u);
}

TEST(Bounds, DomainsOfOneExporter) {
  Collector c;
  for (uint32_t d = 0; d < 2 * limits::kDomainsPerExporterMax; ++d) c.send(packet9(Wire().set(0, template9(256, {{8, 4}})), 1, d));
  EXPECT_EQ(c.decoder.exporter_stats().at(0).domains.size(), limits::kDomainsPerExporterMax);
}

TEST(Bounds, NamesOfOneLetterHaveTheirPrice) {
  // A thousand names a packet, of one letter each, from forged senders: what is kept is charged with its entries, not its text.
  Collector c;
  constexpr uint32_t kNames = 1'000, kPackets = 60;
  size_t most = 0;
  for (uint32_t host = 0; host < 24; ++host) {
    PacketSender s = c.sender;
    s.ip = IpAddress::v4(0x0a000000 + host);
    c.send(packet9(Wire().set(1, options_template9(257, {{2, 4}}, {{82, 1}}))), c.now, s);
    for (uint32_t p = 0; p < kPackets; ++p) {
      Wire records;
      for (uint32_t i = 0; i < kNames; ++i) records.u32(p * kNames + i).text("x");
      c.send(packet9(Wire().set(257, records), p + 2), c.now, s);
    }
    size_t all = 0;
    for (const auto& e : c.decoder.exporter_stats()) {
      EXPECT_LE(e.state_bytes, limits::kExporterStateBytesMax);
      EXPECT_GE(e.state_bytes, e.names * limits::kExporterEntryBytes);
      all += e.state_bytes;
    }
    most = std::max(most, all);
  }
  EXPECT_LE(most, limits::kExporterStatesBytesMax);
  EXPECT_GT(most, limits::kExporterStatesBytesMax / 2);
  uint64_t refused = 0;
  for (const auto& e : c.decoder.exporter_stats()) refused += e.state_refused;
  EXPECT_GT(refused, 0u);
  EXPECT_FALSE(c.decoder.errors().empty());
}

TEST(Bounds, DomainsOfManyExportersHaveTheirPrice) {
  Collector c;
  constexpr uint32_t kHosts = 2 * limits::kExporterStatesBytesMax / (limits::kDomainsPerExporterMax * limits::kExporterDomainBytes);
  size_t exporters = 0;
  for (uint32_t host = 0; host < kHosts; ++host) {
    PacketSender s = c.sender;
    s.ip = IpAddress::v4(0x0a000000 + host);
    for (uint32_t d = 0; d < limits::kDomainsPerExporterMax; ++d) c.send(packet9(Wire(), 1, d), c.now, s);
  }
  size_t all = 0;
  for (const auto& e : c.decoder.exporter_stats()) {
    EXPECT_EQ(e.state_bytes, e.domains.size() * limits::kExporterDomainBytes);
    all += e.state_bytes;
    ++exporters;
  }
  EXPECT_LE(all, limits::kExporterStatesBytesMax);
  EXPECT_LT(exporters, kHosts);  // the silent ones were forgotten
  EXPECT_EQ(c.decoder.exporter_stats().back().domains.size(), limits::kDomainsPerExporterMax);
}

TEST(Bounds, Exporters) {
  Collector c;
  for (uint32_t i = 0; i < limits::kExportersMax + 5; ++i) {
    PacketSender s = c.sender;
    s.ip = IpAddress::v4(i);
    c.send(packet5({{}}), c.now, s);
  }
  EXPECT_EQ(c.decoder.exporter_stats().size(), limits::kExportersMax);
}

TEST(Bounds, BatchesAreHandedOverFull) {
  PacketDecoder decoder;
  FlowBatchBuilder out;
  std::vector<size_t> batches;
  const FlowSink sink = [&](Batch&& b) -> Status {
    batches.push_back(b.rows);
    return {};
  };
  const PacketSender sender{IpAddress::v4(1), 1, 1, 0};
  // 1-byte records: as many rows as a packet can hold.
  const auto packet = packet9(Wire().set(0, template9(256, {{4, 1}})).set(256, Wire().raw(std::vector<uint8_t>(60'000, 6))));
  uint64_t flows = 0;
  for (int i = 0; i < 4; ++i) {
    const auto counts = decoder.decode(packet, sender, 1'795'176'000 * kSecond, out, sink);
    ASSERT_TRUE(counts.ok());
    flows += counts->flows;
    EXPECT_LT(out.rows(), limits::kBatchRows);
  }
  EXPECT_EQ(flows, 240'000u);
  for (const size_t n : batches) EXPECT_EQ(n, limits::kBatchRows);
  EXPECT_EQ(batches.size(), 3u);
}

TEST(Bounds, ErrorsAreGathered) {
  Collector c;
  for (int i = 0; i < 1'000; ++i) c.send(packet9(Wire().set(5, Wire().u32(0)), static_cast<uint64_t>(i), 42));
  const auto errors = c.decoder.errors();
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].count, 1'000u);
  EXPECT_EQ(errors[0].domain, 42u);
  EXPECT_EQ(errors[0].template_id, 5u);
  EXPECT_EQ(errors[0].exporter, c.sender.ip);
  for (uint32_t d = 0; d < 3 * limits::kPacketErrorsMax; ++d) c.send(packet9(Wire().set(5, Wire().u32(0)), 1, d));
  EXPECT_EQ(c.decoder.errors().size(), limits::kPacketErrorsMax);
}

TEST(Bounds, ExtraIsCut) {
  Collector c;
  std::vector<FieldSpec> fields = {{8, 4}};
  for (int i = 0; i < 3; ++i) fields.push_back({static_cast<uint32_t>(i + 1), 20'000, 99'999});
  Wire record = Wire().ip("10.0.0.1");
  for (int i = 0; i < 3; ++i) record.raw(std::vector<uint8_t>(20'000, 0xee));
  EXPECT_EQ(c.send(packet10(Wire().set(2, template10(256, fields)).set(256, record))).cut_strings, 1u);
  EXPECT_EQ(c.rows.size(), 1u);
}

TEST(Sink, ItsErrorIsHandedOn) {
  PacketDecoder decoder;
  FlowBatchBuilder out;
  const FlowSink full = [](Batch&&) -> Status { return Error{ErrorCode::full, "no room"}; };
  const auto packet = packet9(Wire().set(0, template9(256, {{4, 1}})).set(256, Wire().raw(std::vector<uint8_t>(60'000, 6))));
  const PacketSender sender{IpAddress::v4(1), 1, 1, 0};
  ASSERT_TRUE(decoder.decode(packet, sender, 1'795'176'000 * kSecond, out, full).ok());
  const auto second = decoder.decode(packet, sender, 1'795'176'000 * kSecond, out, full);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::full);
}

}  // namespace
}  // namespace sluice::ingest
