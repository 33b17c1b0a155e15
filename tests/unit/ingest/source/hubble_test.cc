#include "ingest/source/hubble.h"

#include <gtest/gtest.h>

#include "ingest/source/limits.h"
#include "storage/model/limits.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

const std::string kBare =
    R"({"time":"2024-05-01T12:00:00.123456789Z","uuid":"u-1","verdict":"DROPPED","drop_reason":133,"ethernet":{"source":"0a:58:0a:00:00:01","destination":"0a:58:0a:00:00:02"},)"
    R"("IP":{"source":"10.0.0.1","destination":"10.0.1.2","ipVersion":"IPv4","encrypted":true},"l4":{"TCP":{"source_port":40000,"destination_port":80,"flags":{"SYN":true,"ECE":true}}},)"
    R"("source":{"ID":12,"identity":4711,"cluster_name":"prod","namespace":"shop","labels":["k8s:app=web","k8s:io.kubernetes.pod.namespace=shop"],"pod_name":"web-1","workloads":[{"name":"web","kind":"Deployment"}]},)"
    R"("destination":{"identity":2,"labels":["reserved:world"]},"Type":"L3_L4","node_name":"prod/node-1","destination_names":["example.com","www.example.com"],)"
    R"("event_type":{"type":1,"sub_type":133},"traffic_direction":"EGRESS","drop_reason_desc":"POLICY_DENIED","is_reply":false,)"
    R"("egress_denied_by":[{"name":"deny-all","namespace":"shop","labels":["x"]}],"interface":{"index":5,"name":"lxc1"},"Summary":"TCP Flags: SYN"})";

NamedValues bare_row() {
  return {{"flow_start", "2024-05-01T12:00:00.123456789Z"}, {"flow_end", "2024-05-01T12:00:00.123456789Z"}, {"time_quality", "exact"},
          {"src_ip", "10.0.0.1"}, {"dst_ip", "10.0.1.2"}, {"src_port", "40000"}, {"dst_port", "80"}, {"protocol", "6"}, {"ip_version", "4"},
          {"src_mac", std::to_string(0x0a580a000001)}, {"dst_mac", std::to_string(0x0a580a000002)}, {"raw_packets", "1"}, {"sampling_rate", "1"},
          {"tcp_flags", "66"}, {"flags_quality", "all"}, {"action", "drop"}, {"reject_reason", "POLICY_DENIED"}, {"direction", "egress"},
          {"initiator", "src"}, {"is_biflow", "0"}, {"encryption", "encrypted"}, {"output_if", "5"}, {"source", "hubble"}, {"reporter", "src"},
          {"flow_id", "u-1"}, {"src_k8s_namespace", "shop"}, {"src_k8s_pod", "web-1"}, {"src_k8s_workload", "web"}, {"rule_name", "shop/deny-all"},
          {"dst_host", "example.com"}, {"src_labels", "k8s:app=web\nk8s:io.kubernetes.pod.namespace=shop"}, {"dst_labels", "reserved:world"},
          {"extra.type", "L3_L4"}, {"extra.node_name", "prod/node-1"}, {"extra.src_endpoint_id", "12"}, {"extra.src_identity", "4711"},
          {"extra.src_cluster_name", "prod"}, {"extra.src_workload_kind", "Deployment"}, {"extra.dst_identity", "2"},
          {"extra.dst_names", "example.com,www.example.com"}, {"extra.event_type", "1"}, {"extra.event_sub_type", "133"},
          {"extra.egress_denied_by", "shop/deny-all"}, {"extra.interface_name", "lxc1"}};
}

Decoded of_flow(const std::string& fields) {
  Decoded d = run(decode_hubble, R"({"flow":{"time":"2024-05-01T12:00:00Z","verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},)" + fields + R"("Type":"L3_L4"}})");
  EXPECT_TRUE(d.report.ok());
  if (d.report.ok() && !d.report->errors.empty()) ADD_FAILURE() << d.report->errors[0].reason;
  return d;
}

TEST(Hubble, ReadsBareFlowsAndThoseOfTheExporter) {
  for (const std::string& body : {kBare, R"({"flow":)" + kBare + R"(,"node_name":"other","time":"2024-05-01T12:00:09Z"})",
                                  R"({"node_name":"prod/node-1","time":"2024-05-01T12:00:09Z","flow":)" + kBare + "}"}) {
    const Decoded d = run(decode_hubble, body + "\n");
    ASSERT_TRUE(d.report.ok());
    ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    EXPECT_EQ(d.rows[0], bare_row()) << body;
  }
}

TEST(Hubble, VerdictsBecomeActions) {
  const struct {
    const char *verdict, *action, *extra;
  } cases[] = {{"\"FORWARDED\"", "accept", ""}, {"\"DROPPED\"", "drop", ""},          {"\"AUDIT\"", "accept", "AUDIT"},
               {"\"REDIRECTED\"", "accept", "REDIRECTED"}, {"\"ERROR\"", "unknown", "ERROR"}, {"\"TRACED\"", "", "TRACED"},
               {"\"TRANSLATED\"", "", "TRANSLATED"}, {"2", "drop", ""},                {"\"NEW\"", "unknown", "NEW"}};
  for (const auto& c : cases) {
    const Decoded d = of_flow(std::string("\"verdict\":") + c.verdict + ",");
    EXPECT_EQ(d.at(0, "action"), c.action) << c.verdict;
    EXPECT_EQ(d.at(0, "extra.verdict"), c.extra) << c.verdict;
  }
}

TEST(Hubble, RepliesGoTheOtherWay) {
  // traffic_direction is the connection's: the reply to what came in goes out, and the server is its source.
  const Decoded reply = of_flow(R"("traffic_direction":"INGRESS","is_reply":true,)");
  EXPECT_EQ(reply.at(0, "direction"), "egress");
  EXPECT_EQ(reply.at(0, "reporter"), "src");
  EXPECT_EQ(reply.at(0, "initiator"), "dst");
  EXPECT_EQ(reply.at(0, "extra.traffic_direction"), "INGRESS");
  const Decoded request = of_flow(R"("traffic_direction":"INGRESS","is_reply":false,)");
  EXPECT_EQ(request.at(0, "direction"), "ingress");
  EXPECT_EQ(request.at(0, "reporter"), "dst");
  EXPECT_EQ(request.at(0, "initiator"), "src");
  const Decoded unknown = of_flow(R"("traffic_direction":"TRAFFIC_DIRECTION_UNKNOWN","reply":false,)");
  EXPECT_EQ(unknown.at(0, "direction"), "");
  EXPECT_EQ(unknown.at(0, "reporter"), "");
  EXPECT_EQ(unknown.at(0, "initiator"), "");
}

TEST(Hubble, Transports) {
  const Decoded udp = of_flow(R"("l4":{"UDP":{"source_port":5353,"destination_port":53}},)");
  EXPECT_EQ(udp.at(0, "protocol"), "17");
  EXPECT_EQ(udp.at(0, "dst_port"), "53");
  EXPECT_EQ(udp.at(0, "flags_quality"), "none");
  const Decoded icmp = of_flow(R"("l4":{"ICMPv4":{"type":3,"code":1}},)");
  EXPECT_EQ(icmp.at(0, "protocol"), "1");
  EXPECT_EQ(icmp.at(0, "icmp_type"), "3");
  EXPECT_EQ(icmp.at(0, "icmp_code"), "1");
  EXPECT_EQ(of_flow(R"("l4":{"ICMPv6":{"type":135}},)").at(0, "protocol"), "58");
  EXPECT_EQ(of_flow(R"("l4":{"SCTP":{"source_port":1,"destination_port":2}},)").at(0, "protocol"), "132");
  const Decoded vrrp = of_flow(R"("l4":{"VRRP":{"type":1,"vrid":7}},)");
  EXPECT_EQ(vrrp.at(0, "protocol"), "112");
  EXPECT_EQ(vrrp.at(0, "extra.l4_vrid"), "7");
  // No flags at all is said, and is not the same as not said.
  EXPECT_EQ(of_flow(R"("l4":{"TCP":{"source_port":1,"destination_port":2,"flags":{}}},)").at(0, "tcp_flags"), "0");
  EXPECT_EQ(of_flow(R"("l4":{"TCP":{"source_port":1,"destination_port":2}},)").at(0, "tcp_flags"), "");
}

TEST(Hubble, LayerSevenEventsAreNoPackets) {
  const Decoded dns = run(decode_hubble, R"({"flow":{"time":"2024-05-01T12:00:00Z","verdict":"FORWARDED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"Type":"L7",)"
                                         R"("l7":{"type":"RESPONSE","latency_ns":"1234","dns":{"query":"example.com.","ips":["192.0.2.1","192.0.2.2"],"ttl":30,"rcode":0,"qtypes":["A"]}}}})");
  ASSERT_EQ(dns.rows.size(), 1u);
  EXPECT_EQ(dns.at(0, "raw_packets"), "");
  EXPECT_EQ(dns.at(0, "app"), "dns");
  EXPECT_EQ(dns.at(0, "extra.l7_type"), "RESPONSE");
  EXPECT_EQ(dns.at(0, "extra.l7_latency_ns"), "1234");
  EXPECT_EQ(dns.at(0, "extra.dns_query"), "example.com.");
  EXPECT_EQ(dns.at(0, "extra.dns_ips"), "192.0.2.1,192.0.2.2");
  EXPECT_EQ(dns.at(0, "extra.dns_rcode"), "0");
  const Decoded http = run(decode_hubble, R"({"time":"2024-05-01T12:00:00Z","verdict":"FORWARDED","Type":"L7","l7":{"type":"REQUEST","http":{"method":"GET","url":"http://x/","protocol":"HTTP/1.1",)"
                                          R"("code":0,"headers":[{"key":"Authorization","value":"secret"}]}}})");
  ASSERT_EQ(http.rows.size(), 1u);
  EXPECT_EQ(http.at(0, "app"), "http");
  EXPECT_EQ(http.at(0, "extra.http_method"), "GET");
  EXPECT_EQ(http.at(0, "extra.http_code"), "");
  for (const auto& [column, value] : http.rows[0]) EXPECT_EQ(value.find("secret"), std::string::npos) << column;
}

TEST(Hubble, LostEventsAreLossAndOtherMessagesIgnored) {
  const Decoded d = run(decode_hubble, R"({"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"42"},"node_name":"n","time":"2024-05-01T12:00:00Z"})" "\n"
                                       R"({"node_status":{"state_change":"NODE_CONNECTED"},"time":"2024-05-01T12:00:00Z"})" "\n" + kBare);
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->skipped_data, 42u);
  EXPECT_EQ(format_timestamp(d.report->skipped_range.from), "2024-05-01T11:59:59Z");
  EXPECT_EQ(d.report->ignored, 1u);
  EXPECT_EQ(d.rows.size(), 1u);
}

TEST(Hubble, WhatWasLostLiesBetweenTheEventsAround) {
  const auto flow = [](const char* time) { return std::string(R"({"verdict":"FORWARDED","Type":"L3_L4","time":")") + time + "\"}\n"; };
  const auto lost = [](const char* number) { return std::string(R"({"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":)") + number + R"(},"time":"2024-05-01T12:00:00Z"})" "\n"; };
  const auto range = [](const std::string& body) {
    const Decoded d = run(decode_hubble, body);
    EXPECT_TRUE(d.report.ok());
    return std::to_string(d.report->skipped_data) + " " + format_timestamp(d.report->skipped_range.from) + " " + format_timestamp(d.report->skipped_range.to);
  };
  EXPECT_EQ(range(lost("7")), "7 2024-05-01T11:59:59Z 2024-05-01T12:00:01Z");
  EXPECT_EQ(range(flow("2024-05-01T11:59:50Z") + lost("\"7\"") + lost("3") + flow("2024-05-01T12:00:09Z") + flow("2024-05-01T12:00:30Z")),
            "10 2024-05-01T11:59:50Z 2024-05-01T12:00:09Z");
  EXPECT_EQ(range(flow("2024-05-01T09:00:00Z") + lost("0") + flow("2024-05-01T13:00:00Z")), "1 2024-05-01T11:59:00Z 2024-05-01T12:01:00Z");
  EXPECT_EQ(range(lost("18446744073709551615")), std::to_string(limits::kHubbleLostMax) + " 2024-05-01T11:59:59Z 2024-05-01T12:00:01Z");
}

TEST(Hubble, OddShapesAreReadForWhatTheyAre) {
  const Decoded d = of_flow(R"("source":{"labels":null,"workloads":null,"namespace":"","labelz":{"a":1}},"is_reply":{"value":true},"l4":{"NEW":{"x":1}},"proxy_port":0,"trace_reason":"NEW",)");
  EXPECT_EQ(d.at(0, "src_labels"), "");
  EXPECT_EQ(d.at(0, "initiator"), "dst");
  EXPECT_EQ(d.at(0, "extra.l4_NEW"), "{\"x\":1}");
  EXPECT_EQ(d.at(0, "extra.src_labelz"), "{\"a\":1}");
  EXPECT_EQ(d.at(0, "extra.trace_reason"), "NEW");
  // A list column holds its bound.
  std::string labels;
  for (int i = 0; i < 10'000; ++i) labels += (i ? ",\"" : "\"") + std::string("label-number-") + std::to_string(i) + "\"";
  const Decoded many = of_flow("\"source\":{\"labels\":[" + labels + "]},");
  EXPECT_LE(many.at(0, "src_labels").size(), limits::kStringBytesMax);
  EXPECT_EQ(many.report->cut_strings, 1u);
}

TEST(Hubble, ABadRecordCostsItself) {
  std::string bad_ip = kBare, bad_port = kBare, no_time = kBare;
  bad_ip.replace(bad_ip.find("10.0.1.2"), 8, "10.0.1.x");
  bad_port.replace(bad_port.find("40000"), 5, "-1   ");
  const Decoded d = run(decode_hubble, kBare + "\n" + bad_ip + "\n" + bad_port + "\n{\"some\":\"thing\"}\n{\"flow\":7}\n" + kBare.substr(0, 200) + "\n" + kBare);
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.rows.size(), 2u);
  EXPECT_EQ(d.report->rejected, 5u);
  EXPECT_EQ(d.report->errors[0].reason, "destination is no address: \"10.0.1.x\"");
  EXPECT_EQ(d.report->errors[1].reason, "source_port is no number from 0 to 65535: \"-1\"");
  EXPECT_NE(d.report->errors[2].reason.find("is no Hubble flow"), std::string::npos);
}

}  // namespace
}  // namespace sluice::ingest
