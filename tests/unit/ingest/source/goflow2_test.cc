#include "ingest/source/goflow2.h"

#include <gtest/gtest.h>

#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

// Every column of goflow2 v2, most of them with nothing to say.
const std::string kNetflow =
    R"({"type":"IPFIX","time_received_ns":1763625605787460121,"sequence_num":65361,"sampling_rate":0,"sampler_address":"192.0.2.1",)"
    R"("time_flow_start_ns":1763625600000000000,"time_flow_end_ns":1763625603500000000,"bytes":1430,"packets":10,"src_addr":"10.1.0.2","dst_addr":"10.2.0.3",)"
    R"("etype":"IPv4","proto":"TCP","src_port":443,"dst_port":55743,"in_if":11,"out_if":12,"src_mac":"00:00:00:00:00:00","dst_mac":"02:00:5e:10:00:01",)"
    R"("src_vlan":0,"dst_vlan":0,"vlan_id":0,"ip_tos":0,"forwarding_status":64,"ip_ttl":0,"ip_flags":0,"tcp_flags":27,"icmp_type":0,"icmp_code":0,)"
    R"("ipv6_flow_label":0,"fragment_id":0,"fragment_offset":0,"src_as":64500,"dst_as":0,"next_hop":"0.0.0.0","next_hop_as":0,"src_net":"10.1.0.0/24",)"
    R"("dst_net":"0.0.0.0/0","bgp_next_hop":"","bgp_communities":[],"as_path":[],"mpls_ttl":[],"mpls_label":[],"mpls_ip":[],"observation_domain_id":9,)"
    R"("observation_point_id":0,"layer_stack":[],"layer_size":[],"ipv6_routing_header_addresses":[],"ipv6_routing_header_seg_left":0})";

const NamedValues kNetflowRow = {{"flow_start", "2025-11-20T08:00:00Z"}, {"flow_end", "2025-11-20T08:00:03.500Z"}, {"time_quality", "exact"},
                             {"src_ip", "10.1.0.2"}, {"dst_ip", "10.2.0.3"}, {"src_port", "443"}, {"dst_port", "55743"}, {"protocol", "6"},
                             {"ip_version", "4"}, {"dst_mac", "2200601362433"}, {"raw_bytes", "1430"}, {"raw_packets", "10"}, {"byte_basis", "layer3"},
                             {"tcp_flags", "27"}, {"flags_quality", "all"}, {"action", "accept"}, {"is_biflow", "0"}, {"input_if", "11"}, {"output_if", "12"},
                             {"src_as", "64500"}, {"src_prefix_len", "24"}, {"tos", "0"}, {"source", "ipfix"}, {"exporter_ip", "192.0.2.1"},
                             {"observation_domain", "9"}, {"extra.forwarding_status", "64"}};

TEST(Goflow2, ReadsAFlowAndTakesZeroForNothing) {
  const Decoded d = run(decode_goflow2, kNetflow + "\n");
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  EXPECT_EQ(d.rows[0], kNetflowRow);
}

TEST(Goflow2, ReadsASampleOfSflow) {
  const Decoded d = run(decode_goflow2,
                        R"([{"type":"SFLOW_5","time_received_ns":1763625600157626000,"sequence_num":2999,"sampling_rate":100,"sampler_address":"192.0.2.9",
                             "time_flow_start_ns":1763625600157626000,"time_flow_end_ns":1763625600157626000,"bytes":1500,"packets":1,"src_addr":"fd01::1",
                             "dst_addr":"fd01::2","etype":"IPv6","proto":"IPv6-ICMP","icmp_type":128,"src_port":0,"vlan_id":100,"ip_ttl":63,
                             "mpls_label":[16004,24005],"as_path":[64500, 64501],"layer_stack":["Ethernet","IPv6"],"site":"Rome"},
                            {"type":"SFLOW_5","sampler_address":"192.0.2.9","etype":"ARP","bytes":64,"packets":1,"time_received_ns":1763625600000000000}])");
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.rows.size(), 2u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  const NamedValues want = {{"flow_start", "2025-11-20T08:00:00.157626Z"}, {"flow_end", "2025-11-20T08:00:00.157626Z"}, {"time_quality", "exact"},
                        {"src_ip", "fd01::1"}, {"dst_ip", "fd01::2"}, {"protocol", "58"}, {"ip_version", "6"}, {"icmp_type", "128"},
                        {"raw_bytes", "1500"}, {"raw_packets", "1"}, {"byte_basis", "layer2"}, {"sampling_rate", "100"}, {"flags_quality", "none"},
                        {"is_biflow", "0"}, {"vlan", "100"}, {"mpls_label", "16004"}, {"source", "sflow5"}, {"exporter_ip", "192.0.2.9"},
                        {"extra.mpls_label", "16004,24005"}, {"extra.as_path", "64500,64501"}, {"extra.layer_stack", "Ethernet,IPv6"},
                        {"extra.ip_ttl", "63"}, {"extra.site", "Rome"}};
  EXPECT_EQ(d.rows[0], want);
  EXPECT_EQ(d.at(1, "extra.etype"), "ARP");
  EXPECT_EQ(d.at(1, "time_quality"), "estimated");
  EXPECT_EQ(d.at(1, "flow_end"), "2025-11-20T08:00:00Z");
}

TEST(Goflow2, ReadsOlderNamesNumbersAndBase64) {
  const Decoded d = run(decode_goflow2,
                        R"({"Type":"NETFLOW_V9","TimeFlowEnd":1763625603,"TimeFlowStart":1763625600,"TimeReceived":1763625604,"SequenceNum":16,"Bytes":70,"Packets":1,)"
                        R"("SamplingRate":1000,"SamplerAddress":"192.0.2.1","DstAddr":"10.0.0.1","DstMac":"02:00:5e:10:00:01","SrcAddr":"192.168.1.1","SrcMac":"00:00:00:00:00:00",)"
                        R"("InIf":1,"OutIf":2,"Etype":2048,"EtypeName":"IPv4","Proto":17,"ProtoName":"UDP","SrcPort":53,"DstPort":0,"IPTTL":64,"TCPFlags":0,"SrcNet":24})"
                        "\n"
                        R"({"type":2,"time_received_ns":"1763625604000000000","time_flow_end_ns":"1763625603000000000","sampler_address":"wAACAQ==","src_addr":"wKgBAQ==",)"
                        R"("dst_addr":"/QEAAAAAAAAAAAAAAAAAAg==","proto":6,"bytes":"5","packets":"1","src_mac":"2199035641857"})");
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.rows.size(), 2u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  EXPECT_EQ(d.at(0, "source"), "netflow9");
  EXPECT_EQ(d.at(0, "flow_start"), "2025-11-20T08:00:00Z");
  EXPECT_EQ(d.at(0, "flow_end"), "2025-11-20T08:00:03Z");
  EXPECT_EQ(d.at(0, "protocol"), "17");
  EXPECT_EQ(d.at(0, "dst_port"), "0") << "a port of UDP may be zero";
  EXPECT_EQ(d.at(0, "tcp_flags"), "");
  EXPECT_EQ(d.at(0, "src_prefix_len"), "24");
  EXPECT_EQ(d.at(0, "sampling_rate"), "1000");
  EXPECT_EQ(d.at(0, "extra.IPTTL"), "64");
  EXPECT_EQ(d.at(1, "source"), "netflow5");
  EXPECT_EQ(d.at(1, "exporter_ip"), "192.0.2.1");
  EXPECT_EQ(d.at(1, "src_ip"), "192.168.1.1");
  EXPECT_EQ(d.at(1, "dst_ip"), "fd01::2");
  EXPECT_EQ(d.at(1, "src_mac"), "2199035641857");
}

TEST(Goflow2, BadRecordsCostThemselves) {
  const Decoded d = run(decode_goflow2, "{\"type\":\"IPFIX\",\"src_addr\":\"10.0.0.300\"}\nnot json\n{\"type\":\"IPFIX\",\"src_port\":70000}\n{\"a\":1}\n" + kNetflow);
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->accepted, 1u);
  EXPECT_EQ(d.report->rejected, 4u);
  ASSERT_GE(d.report->errors.size(), 1u);
  EXPECT_NE(d.report->errors[0].reason.find("src_addr"), std::string::npos) << d.report->errors[0].reason;
}

// --- protocol buffers ---

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  out += static_cast<char>(value);
}
void put(std::string& out, uint32_t field, uint64_t value) {
  put_varint(out, uint64_t{field} << 3);
  put_varint(out, value);
}
void put(std::string& out, uint32_t field, std::string_view bytes) {
  put_varint(out, uint64_t{field} << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

// The flow of kNetflow, as goflow2 v2 puts it into a topic.
std::string message() {
  std::string m;
  put(m, 1, uint64_t{4});
  put(m, 4, uint64_t{65361});
  put(m, 6, std::string_view("\x0a\x01\x00\x02", 4));
  put(m, 7, std::string_view("\x0a\x02\x00\x03", 4));
  put(m, 9, uint64_t{1430});
  put(m, 10, uint64_t{10});
  put(m, 11, std::string_view("\xc0\x00\x02\x01", 4));
  put(m, 14, uint64_t{64500});
  put(m, 16, uint64_t{24});
  put(m, 18, uint64_t{11});
  put(m, 19, uint64_t{12});
  put(m, 20, uint64_t{6});
  put(m, 21, uint64_t{443});
  put(m, 22, uint64_t{55743});
  put(m, 23, uint64_t{0});
  put(m, 24, uint64_t{64});
  put(m, 26, uint64_t{27});
  put(m, 28, uint64_t{0x02005e100001});
  put(m, 30, uint64_t{2048});
  put(m, 70, uint64_t{9});
  put(m, 110, uint64_t{1763625605787460121});
  put(m, 111, uint64_t{1763625600000000000});
  put(m, 112, uint64_t{1763625603500000000});
  return m;
}

TEST(Goflow2, AMessageSaysWhatItsJsonSays) {
  const Decoded one = run(decode_goflow2, message());
  ASSERT_TRUE(one.report.ok());
  ASSERT_EQ(one.rows.size(), 1u) << (one.report->errors.empty() ? "" : one.report->errors[0].reason);
  EXPECT_EQ(one.rows[0], kNetflowRow);

  // Several, each behind its length; lengths that look like text too ('{' is 123, '\n' is 10).
  std::string many;
  for (size_t pad = 0; pad < 60; ++pad) {
    std::string m = message();
    put(m, 1'000, std::string(pad, 'x'));
    put_varint(many, m.size());
    many += m;
  }
  const Decoded all = run(decode_goflow2, many);
  ASSERT_TRUE(all.report.ok());
  ASSERT_EQ(all.rows.size(), 60u) << (all.report->errors.empty() ? "" : all.report->errors[0].reason);
  for (const NamedValues& row : all.rows) EXPECT_EQ(row, kNetflowRow);
}

TEST(Goflow2, MessagesOfTheFirstVersionAndLists) {
  std::string m;
  put(m, 1, uint64_t{1});
  put(m, 2, uint64_t{1763625604});
  put(m, 3, uint64_t{512});
  put(m, 5, uint64_t{1763625603});
  put(m, 38, uint64_t{1763625600});
  put(m, 6, std::string_view("\x0a\x01\x00\x02", 4));
  put(m, 81, uint64_t{16004});
  put(m, 81, uint64_t{16005});
  put(m, 102, std::string_view("\xf4\xf7\x03\xf5\xf7\x03"));
  put(m, 1'999, uint64_t{7});
  const Decoded d = run(decode_goflow2, m);
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "flow_start"), "2025-11-20T08:00:00Z");
  EXPECT_EQ(d.at(0, "flow_end"), "2025-11-20T08:00:03Z");
  EXPECT_EQ(d.at(0, "sampling_rate"), "512");
  EXPECT_EQ(d.at(0, "mpls_label"), "16004");
  EXPECT_EQ(d.at(0, "extra.as_path"), "64500,64501");
  EXPECT_EQ(d.at(0, "extra.field_1999"), "7");
  EXPECT_EQ(d.at(0, "extra.ip_flags"), "");
}

TEST(Goflow2, CutAndDamagedMessages) {
  const std::string whole = message();
  for (size_t length = 0; length < whole.size(); ++length) {
    const Decoded d = run(decode_goflow2, std::string_view(whole).substr(0, length));
    ASSERT_TRUE(d.report.ok());
    EXPECT_LE(d.rows.size(), 1u);
  }
  std::string two;
  put_varint(two, whole.size());
  two += whole;
  std::string cut = two + two.substr(0, 40);
  const Decoded d = run(decode_goflow2, cut);
  EXPECT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.report->rejected, 1u);
  EXPECT_EQ(d.report->errors[0].record, 2u);
  // An address of seven bytes costs its own message.
  std::string bad;
  put(bad, 1, uint64_t{4});
  put(bad, 6, std::string_view("1234567"));
  std::string mixed;
  put_varint(mixed, bad.size());
  mixed += bad;
  mixed += two;
  const Decoded kept = run(decode_goflow2, mixed);
  EXPECT_EQ(kept.rows.size(), 1u);
  EXPECT_EQ(kept.report->rejected, 1u);
}

}  // namespace
}  // namespace sluice::ingest
