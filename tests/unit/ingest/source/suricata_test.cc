#include "ingest/source/suricata.h"

#include <gtest/gtest.h>

#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

const std::string kFlow =
    R"({"timestamp":"2024-05-01T12:00:31.000123+0200","flow_id":1684513025486921,"in_iface":"eth0","event_type":"flow","vlan":[100,7],)"
    R"("src_ip":"10.1.2.3","src_port":50123,"dest_ip":"192.0.2.10","dest_port":443,"ip_v":4,"proto":"TCP","app_proto":"tls",)"
    R"("flow":{"pkts_toserver":12,"pkts_toclient":9,"bytes_toserver":2048,"bytes_toclient":9001,"start":"2024-05-01T12:00:00.100000+0200",)"
    R"("end":"2024-05-01T12:00:30.250000+0200","age":30,"state":"closed","reason":"timeout","alerted":true},"community_id":"1:abc=",)"
    R"("tcp":{"tcp_flags":"1b","tcp_flags_ts":"1b","tcp_flags_tc":"1a","syn":true,"fin":true,"psh":true,"ack":true,"state":"closed","ts_max_regions":1}})";

Decoded of_event(const std::string& fields, const std::string& flow, const std::string& type = "flow", const std::string& tcp = "") {
  return run(decode_suricata, R"({"timestamp":"2024-05-01T12:00:31Z","event_type":")" + type + R"(","src_ip":"10.0.0.1","dest_ip":"10.0.0.2",)" + fields + "\"" + type +
                                  "\":{" + flow + "}" + (tcp.empty() ? "" : ",\"tcp\":{" + tcp + "}") + "}");
}

TEST(Suricata, ReadsAFlow) {
  const Decoded d = run(decode_suricata, kFlow + "\n");
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  const NamedValues want = {{"flow_start", "2024-05-01T10:00:00.100Z"}, {"flow_end", "2024-05-01T10:00:30.250Z"}, {"exported_at", "2024-05-01T10:00:31.000123Z"},
                        {"time_quality", "exact"}, {"src_ip", "10.1.2.3"}, {"dst_ip", "192.0.2.10"}, {"src_port", "50123"}, {"dst_port", "443"},
                        {"protocol", "6"}, {"ip_version", "4"}, {"raw_bytes", "2048"}, {"raw_packets", "12"}, {"raw_reverse_bytes", "9001"},
                        {"raw_reverse_packets", "9"}, {"byte_basis", "layer2"}, {"sampling_rate", "1"}, {"tcp_flags", "27"}, {"reverse_tcp_flags", "26"},
                        {"flags_quality", "all"}, {"end_reason", "end_of_flow"}, {"initiator", "src"}, {"is_biflow", "1"}, {"vlan", "100"},
                        {"inner_vlan", "7"}, {"source", "suricata"}, {"reporter", "middle"}, {"flow_id", "1684513025486921"}, {"app", "tls"},
                        {"extra.in_iface", "eth0"}, {"extra.flow_state", "closed"}, {"extra.flow_reason", "timeout"}, {"extra.alerted", "true"},
                        {"extra.community_id", "1:abc="}, {"extra.tcp_state", "closed"}, {"extra.tcp_ts_max_regions", "1"}, {"extra.ip_v", "4"}};
  EXPECT_EQ(d.rows[0], want);
}

TEST(Suricata, NetflowRecordsAreOneWay) {
  const Decoded d = of_event(R"("src_port":53,"dest_port":999,"proto":"UDP","flow_id":7,)",
                        R"("pkts":3,"bytes":300,"start":"2024-05-01T12:00:00.000000+0000","end":"2024-05-01T12:00:01.000000+0000","age":1,"min_ttl":63,"max_ttl":64)", "netflow");
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "raw_bytes"), "300");
  EXPECT_EQ(d.at(0, "raw_reverse_bytes"), "");
  EXPECT_EQ(d.at(0, "is_biflow"), "0");
  EXPECT_EQ(d.at(0, "initiator"), "");
  EXPECT_EQ(d.at(0, "extra.min_ttl"), "63");
  // One direction's own flags: a SYN without ACK is the beginner's, with ACK it may be either's.
  const Decoded syn = of_event(R"("proto":"TCP",)", R"("pkts":1)", "netflow", R"("tcp_flags":"02")");
  EXPECT_EQ(syn.at(0, "tcp_flags"), "2");
  EXPECT_EQ(syn.at(0, "flags_quality"), "all");
  EXPECT_EQ(syn.at(0, "initiator"), "src");
  EXPECT_EQ(of_event(R"("proto":"TCP",)", R"("pkts":1)", "netflow", R"("tcp_flags":"12")").at(0, "initiator"), "");
}

TEST(Suricata, OtherEventsAreIgnored) {
  const Decoded d = run(decode_suricata,
                        R"({"timestamp":"2024-05-01T12:00:31Z","event_type":"alert","src_ip":"x","flow":{"pkts_toserver":"many"}})" "\n"
                        R"({"event_type":"stats","stats":{"uptime":1}})" "\n" + kFlow);
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->ignored, 2u);
  EXPECT_EQ(d.report->rejected, 0u);
  EXPECT_EQ(d.rows.size(), 1u);
}

TEST(Suricata, StatesReasonsAndActions) {
  const struct {
    const char *flow, *column, *value;
  } cases[] = {
      {R"("state":"new","reason":"timeout")", "end_reason", "idle_timeout"},
      {R"("state":"closed","reason":"timeout")", "end_reason", "end_of_flow"},
      {R"("state":"established","reason":"forced")", "end_reason", "forced_end"},
      {R"("state":"established","reason":"shutdown")", "end_reason", "forced_end"},
      {R"("reason":"tcp_reuse")", "end_reason", ""},
      {R"("state":"bypassed","bypass":"capture")", "extra.bypass", "capture"},
      {R"("action":"drop")", "action", "drop"},
      {R"("action":"pass")", "action", "accept"},
      {R"("action":"hold")", "action", "unknown"},
      {R"("action":"hold")", "extra.action", "hold"},
      {R"("alerted":false)", "extra.alerted", ""},
      {R"("exception_policy":[{"target":"x"}])", "extra.exception_policy", R"([{"target":"x"}])"},
  };
  for (const auto& c : cases) {
    const Decoded d = of_event(R"("proto":"TCP",)", c.flow);
    ASSERT_EQ(d.rows.size(), 1u) << c.flow << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    EXPECT_EQ(d.at(0, c.column), c.value) << c.flow;
  }
}

TEST(Suricata, WhatIsNotSaidIsNull) {
  const Decoded d = of_event(R"("proto":"TCP",)", R"("pkts_toserver":1)");
  EXPECT_EQ(d.at(0, "raw_bytes"), "");
  EXPECT_EQ(d.at(0, "byte_basis"), "");
  EXPECT_EQ(d.at(0, "flags_quality"), "none");
  EXPECT_EQ(d.at(0, "initiator"), "unknown");  // no SYN was seen
  EXPECT_EQ(d.at(0, "flow_end"), "2024-05-01T12:00:31Z");
  EXPECT_EQ(d.at(0, "time_quality"), "estimated");
  // Flags of both directions together belong to neither.
  const Decoded either = of_event(R"("proto":"TCP",)", R"("pkts_toserver":1)", "flow", R"("tcp_flags":"1b")");
  EXPECT_EQ(either.at(0, "tcp_flags"), "");
  EXPECT_EQ(either.at(0, "extra.tcp_flags"), "1b");
}

TEST(Suricata, ProtocolsAndPortsAsWritten) {
  EXPECT_EQ(of_event(R"("proto":"IPv6-ICMP","icmp_type":135,"icmp_code":0,)", "").at(0, "icmp_type"), "135");
  EXPECT_EQ(of_event(R"("proto":"IPv6-ICMP",)", "").at(0, "protocol"), "58");
  EXPECT_EQ(of_event(R"("proto":"047",)", "").at(0, "protocol"), "47");
  const Decoded odd = of_event(R"("proto":"XNS-IDP","app_proto":"failed","vlan":12,"ether":{"src_mac":"00:1b:21:3c:9d:f8","dest_macs":["a"]},)", "");
  EXPECT_EQ(odd.at(0, "protocol"), "");
  EXPECT_EQ(odd.at(0, "extra.proto"), "XNS-IDP");
  EXPECT_EQ(odd.at(0, "app"), "");
  EXPECT_EQ(odd.at(0, "extra.app_proto"), "failed");
  EXPECT_EQ(odd.at(0, "vlan"), "12");
  EXPECT_EQ(odd.at(0, "src_mac"), std::to_string(0x001b213c9df8));
  EXPECT_EQ(odd.at(0, "extra.ether_dest_macs"), "[\"a\"]");
}

TEST(Suricata, AwsNetworkFirewall) {
  const Decoded d = run(decode_suricata, R"({"firewall_name":"fw","availability_zone":"us-east-1a","event_timestamp":"1714564831","event":)" + kFlow + "}");
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "extra.firewall_name"), "fw");
  EXPECT_EQ(d.at(0, "extra.availability_zone"), "us-east-1a");
  EXPECT_EQ(d.at(0, "cloud"), "aws");
  EXPECT_EQ(d.at(0, "raw_packets"), "12");
}

TEST(Suricata, ABadRecordCostsItself) {
  std::string bad_port = kFlow, bad_time = kFlow, bad_flags = kFlow, broken = kFlow;
  bad_port.replace(bad_port.find("50123"), 5, "70000");
  bad_time.replace(bad_time.find("2024-05-01T12:00:00.1"), 10, "2024-13-01");
  bad_flags.replace(bad_flags.find("\"1b\""), 4, "\"zz\"");
  broken.replace(broken.find(":12,"), 4, ":,");
  const Decoded d = run(decode_suricata, kFlow + "\n" + bad_port + "\n" + bad_time + "\n" + bad_flags + "\n" + broken + "\n" + kFlow.substr(0, 300) +
                                             "\n{\"event_type\":\"flow\"}\n{\"src_ip\":\"10.0.0.1\"}\n" + kFlow + "\n");
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.rows.size(), 2u);
  ASSERT_EQ(d.report->rejected, 7u);
  const char* reasons[] = {"src_port is no number from 0 to 65535: \"70000\"", "start is no time", "tcp_flags is no hexadecimal number", "JSON object cannot be read",
                           "JSON object is cut off", "src_ip and dest_ip are not both there", "no event_type"};
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(d.report->errors[i].record, i + 2);
    EXPECT_EQ(d.report->errors[i].reason.substr(0, std::string_view(reasons[i]).size()), reasons[i]);
  }
}

}  // namespace
}  // namespace sluice::ingest
