#include "ingest/source/gcp_vpc.h"

#include <gtest/gtest.h>

#include "ingest/source/limits.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::NamedValues;
using test::run;

constexpr std::string_view kConnection = R"("connection":{"src_ip":"10.10.0.3","dest_ip":"142.251.183.95","src_port":57046,"dest_port":443,"protocol":6})";

std::string payload(const std::string& more, std::string_view connection = kConnection) {
  return "{" + std::string(connection) + R"(,"start_time":"2025-11-07T21:17:47.862783471Z","end_time":"2025-11-07T21:18:47.883105401Z")" + more + "}";
}
std::string entry(const std::string& payload_text, const std::string& more = R"(,"logName":"projects/shop/logs/compute.googleapis.com%2Fvpc_flows")") {
  return R"({"insertId":"wsf51kf6u9po3","jsonPayload":)" + payload_text + more + R"(,"timestamp":"2025-11-07T21:23:00.527307732Z"})";
}
Decoded of_payload(const std::string& more) { return run(decode_gcp_vpc, entry(payload(more))); }

TEST(GcpVpc, EveryFieldOfAnEntry) {
  const Decoded d = run(decode_gcp_vpc, R"({"insertId":"wsf51kf6u9po3","jsonPayload":{"bytes_sent":"38144","connection":{"dest_ip":"142.251.183.95","dest_port":443,"protocol":6,"src_ip":"10.10.0.3","src_port":57046},
    "dest_google_service":{"connectivity":"PUBLIC_IP","service_name":"logging.googleapis.com","type":"GOOGLE_API"},"dest_location":{"asn":15169,"city":"Ashburn","continent":"America","country":"usa","region":"Virginia"},
    "end_time":"2025-11-07T21:18:47.883105401Z","packets_sent":"72","reporter":"SRC","rtt_msec":"15","round_trip_time":{"median_msec":12},"network_service":{"dscp":46},
    "src_gke_details":{"cluster":{"cluster_location":"us-central1-a","cluster_name":"c1"},"pod":{"pod_name":"web-1","pod_namespace":"default","workload":{"workload_name":"web","workload_type":"DEPLOYMENT"}},
      "service":[{"service_name":"a","service_namespace":"n"},{"service_name":"b","service_namespace":"n"}]},
    "internet_routing_details":{"egress_as_path":[{"as_details":[{"asn":16509},{"asn":14618}]}]},
    "src_instance":{"managed_instance_group":{"name":"mig","region":"us-central1"},"project_id":"shop","region":"us-central1","vm_name":"vm-1","zone":"us-central1-f"},
    "src_vpc":{"project_id":"host","subnetwork_name":"subnet-1","subnetwork_region":"us-central1","vpc_name":"net-1"},"start_time":"2025-11-07T21:17:47.862783471Z"},
    "logName":"projects/shop/logs/compute.googleapis.com%2Fvpc_flows","receiveTimestamp":"2025-11-07T21:23:00.6Z",
    "resource":{"labels":{"location":"us-central1","project_id":"shop","subnetwork_id":"3489268495624148348","subnetwork_name":"subnet-1"},"type":"gce_subnetwork"},
    "timestamp":"2025-11-07T21:23:00.527307732Z"})", {.received_at = 1'762'550'600 * kSecond, .format = ""});
  ASSERT_TRUE(d.report.ok());
  ASSERT_EQ(d.report->accepted, 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  EXPECT_EQ(d.report->rejected, 0u);
  const NamedValues want = {
      {"flow_start", "2025-11-07T21:17:47.862783471Z"}, {"flow_end", "2025-11-07T21:18:47.883105401Z"}, {"exported_at", "2025-11-07T21:23:00.527307732Z"},
      {"received_at", "2025-11-07T21:23:20Z"}, {"time_quality", "exact"}, {"src_ip", "10.10.0.3"}, {"dst_ip", "142.251.183.95"}, {"src_port", "57046"},
      {"dst_port", "443"}, {"protocol", "6"}, {"ip_version", "4"}, {"raw_bytes", "38144"}, {"raw_packets", "72"}, {"byte_basis", "payload"}, {"sampling_rate", "1"},
      {"flags_quality", "none"}, {"action", "accept"}, {"direction", "egress"}, {"is_biflow", "0"}, {"dst_as", "15169"}, {"tos", "184"}, {"source", "gcp_vpc"},
      {"reporter", "src"}, {"flow_id", "wsf51kf6u9po3"}, {"src_instance_id", "vm-1"}, {"src_vpc_id", "net-1"}, {"src_subnet_id", "subnet-1"}, {"src_account_id", "shop"},
      {"src_region", "us-central1"}, {"src_zone", "us-central1-f"}, {"dst_service", "logging.googleapis.com"}, {"src_k8s_namespace", "default"}, {"src_k8s_pod", "web-1"},
      {"src_k8s_workload", "web"}, {"cloud", "gcp"}, {"dst_country", "US"}, {"dst_city", "Ashburn"}, {"extra.rtt_msec", "15"}, {"extra.round_trip_time_median_msec", "12"},
      {"extra.dest_google_service_connectivity", "PUBLIC_IP"}, {"extra.dest_google_service_type", "GOOGLE_API"}, {"extra.dest_location_continent", "America"},
      {"extra.dest_location_region", "Virginia"}, {"extra.src_gke_details_cluster_cluster_location", "us-central1-a"}, {"extra.src_gke_details_cluster_cluster_name", "c1"},
      {"extra.src_gke_details_pod_workload_workload_type", "DEPLOYMENT"}, {"extra.src_gke_details_service_service_name", "a,b"},
      {"extra.src_gke_details_service_service_namespace", "n,n"}, {"extra.internet_routing_details_egress_as_path_as_details_asn", "16509,14618"},
      {"extra.src_instance_managed_instance_group_name", "mig"}, {"extra.src_instance_managed_instance_group_region", "us-central1"},
      {"extra.src_vpc_project_id", "host"}, {"extra.resource_labels_subnetwork_id", "3489268495624148348"},
  };
  EXPECT_EQ(d.rows.at(0), want);
}

TEST(GcpVpc, NumbersComeAsTextAsNumbersAndAsFloats) {
  for (const char* bytes : {R"("9007199254740993")", "9007199254740993"}) {
    const Decoded d = of_payload(R"(,"bytes_sent":)" + std::string(bytes));
    EXPECT_EQ(d.at(0, "raw_bytes"), "9007199254740993");
  }
  EXPECT_EQ(of_payload(R"(,"bytes_sent":"18446744073709551615")").at(0, "raw_bytes"), "18446744073709551615");
  const Decoded floats = run(decode_gcp_vpc, entry(payload(R"(,"packets_sent":4.0,"bytes_sent":1e3)", R"("connection":{"src_ip":"10.0.0.1","dest_ip":"10.0.0.2","src_port":49444.0,"dest_port":"3389","protocol":6.0})")));
  ASSERT_EQ(floats.rows.size(), 1u) << floats.report->errors[0].reason;
  EXPECT_EQ(floats.at(0, "src_port"), "49444");
  EXPECT_EQ(floats.at(0, "dst_port"), "3389");
  EXPECT_EQ(floats.at(0, "protocol"), "6");
  EXPECT_EQ(floats.at(0, "raw_packets"), "4");
  EXPECT_EQ(floats.at(0, "raw_bytes"), "1000");
  for (const char* bad : {R"("-1")", "-1", "1.5", R"("1x")", "true", "18446744073709551616", R"("nan")", "1e99"}) {
    const Decoded d = of_payload(R"(,"bytes_sent":)" + std::string(bad));
    EXPECT_EQ(d.rows.size(), 0u) << bad;
    ASSERT_EQ(d.report->rejected, 1u) << bad;
    EXPECT_NE(d.report->errors[0].reason.find("bytes_sent is not a number"), std::string::npos) << d.report->errors[0].reason;
  }
  EXPECT_EQ(of_payload(R"(,"bytes_sent":null)").at(0, "raw_bytes"), "") << "null is not said";
}

TEST(GcpVpc, CountersAreScaledAlready) {
  const Decoded d = of_payload(R"(,"bytes_sent":"1","packets_sent":"16")");
  EXPECT_EQ(d.at(0, "sampling_rate"), "1");
  EXPECT_EQ(d.at(0, "raw_packets"), "16");
  EXPECT_EQ(d.at(0, "byte_basis"), "payload");
}

TEST(GcpVpc, DropRecordsCarryWhatWasDropped) {
  const Decoded d = of_payload(R"(,"reporter":"DEST","disposition":"DROPPED","drop_reason":"FIREWALL_DENY","bytes_dropped":"600","packets_dropped":"10","throughput_inclusion":"EXCLUDED")");
  EXPECT_EQ(d.at(0, "action"), "drop");
  EXPECT_EQ(d.at(0, "reject_reason"), "FIREWALL_DENY");
  EXPECT_EQ(d.at(0, "dropped_bytes"), "600");
  EXPECT_EQ(d.at(0, "dropped_packets"), "10");
  EXPECT_EQ(d.at(0, "raw_bytes") + d.at(0, "raw_packets"), "");
  EXPECT_EQ(d.at(0, "extra.throughput_inclusion"), "EXCLUDED");
  const Decoded other = of_payload(R"(,"disposition":"PAUSED")");
  EXPECT_EQ(other.at(0, "action"), "unknown");
  EXPECT_EQ(other.at(0, "extra.disposition"), "PAUSED");
}

TEST(GcpVpc, IcmpAndRdmaLeaveFieldsOut) {
  const Decoded d = run(decode_gcp_vpc, entry(payload(R"(,"rdma_traffic_type":"Falcon")", R"("connection":{"src_ip":"fd20::1","dest_ip":"fd20::2"})")));
  EXPECT_EQ(d.at(0, "src_port") + d.at(0, "dst_port") + d.at(0, "protocol"), "");
  EXPECT_EQ(d.at(0, "ip_version"), "6");
  EXPECT_EQ(d.at(0, "extra.rdma_traffic_type"), "Falcon");
}

TEST(GcpVpc, GatewaysReportFromTheMiddle) {
  const Decoded d = of_payload(R"(,"reporter":"SRC_GATEWAY","src_gateway":{"name":"vpn-1","type":"VPN_TUNNEL","vpc":{"vpc_name":"net"}})");
  EXPECT_EQ(d.at(0, "reporter"), "middle");
  EXPECT_EQ(d.at(0, "direction"), "");
  EXPECT_EQ(d.at(0, "extra.reporter"), "SRC_GATEWAY");
  EXPECT_EQ(d.at(0, "extra.src_gateway_vpc_vpc_name"), "net");
}

TEST(GcpVpc, WithoutMetadataTheResourceNamesTheReportersSide) {
  const std::string resource = R"(,"resource":{"type":"gce_subnetwork","labels":{"project_id":"shop","subnetwork_name":"s1","location":"us-central1-f"}})";
  const Decoded src = run(decode_gcp_vpc, entry(payload(R"(,"reporter":"SRC")"), resource));
  EXPECT_EQ(src.at(0, "src_account_id"), "shop");
  EXPECT_EQ(src.at(0, "src_subnet_id"), "s1");
  EXPECT_EQ(src.at(0, "src_zone"), "us-central1-f");
  EXPECT_EQ(src.at(0, "src_region"), "us-central1");
  EXPECT_EQ(src.at(0, "dst_account_id"), "");
  const Decoded dst = run(decode_gcp_vpc, entry(payload(R"(,"reporter":"DEST")"), resource));
  EXPECT_EQ(dst.at(0, "dst_account_id"), "shop");
  EXPECT_EQ(dst.at(0, "src_account_id"), "");
  const Decoded config = run(decode_gcp_vpc, entry(payload(R"(,"reporter":"SRC")"), R"(,"resource":{"type":"vpc_flow_logs_config","labels":{"name":"all","location":"global","resource_container":"projects/1"}},"labels":{"target_resource_name":"projects/1/global/networks/default"})"));
  EXPECT_EQ(config.at(0, "extra.resource_labels_name"), "all");
  EXPECT_EQ(config.at(0, "extra.resource_labels_location"), "global");
  EXPECT_EQ(config.at(0, "extra.labels_target_resource_name"), "projects/1/global/networks/default");
  EXPECT_EQ(config.at(0, "src_region"), "");
}

// Two reporters of one connection: the source's report counts, the destination's is marked, whichever comes first.
TEST(GcpVpc, MarksTheSecondReportOfTheSameTraffic) {
  const auto report = [](const char* reporter, int second, const char* port = "57046") {
    char text[512];
    std::snprintf(text, sizeof text,
                  R"({"connection":{"src_ip":"10.0.0.1","dest_ip":"10.0.0.2","src_port":%s,"dest_port":443,"protocol":6},"reporter":"%s","start_time":"2025-11-07T21:17:%02dZ","end_time":"2025-11-07T21:17:%02d.5Z","bytes_sent":"10"})",
                  port, reporter, second, second);
    return entry(text) + "\n";
  };
  const auto marks = [](const std::string& body) {
    const Decoded d = run(decode_gcp_vpc, body);
    std::string out;
    for (size_t i = 0; i < d.rows.size(); ++i) out += d.at(i, "duplicate") == "1" ? 'D' : '.';
    return out;
  };
  EXPECT_EQ(marks(report("SRC", 10) + report("DEST", 11)), ".D");
  EXPECT_EQ(marks(report("DEST", 11) + report("SRC", 10)), "D.");
  EXPECT_EQ(marks(report("SRC", 10) + report("DEST", 11, "57047")), "..") << "another connection";
  EXPECT_EQ(marks(report("SRC", 10) + report("DEST", 30)), "..") << "another time";
  EXPECT_EQ(marks(report("DEST", 10) + report("DEST", 20)), "..") << "one reporter, window after window";
  EXPECT_EQ(marks(report("SRC", 10) + report("SRC", 10)), ".D") << "the same window again";
  EXPECT_EQ(marks(report("DEST", 10) + report("DEST", 10)), ".D");
  EXPECT_EQ(marks(report("DEST", 10) + report("SRC_GATEWAY", 10)), "..");
}

TEST(GcpVpc, EveryEnvelopeGivesTheSameRows) {
  const std::string a = entry(payload(R"(,"bytes_sent":"1")")), b = entry(payload(R"(,"bytes_sent":"2")", R"("connection":{"src_ip":"10.0.0.1","dest_ip":"10.0.0.2"})"));
  const Decoded want = run(decode_gcp_vpc, a + "\n" + b + "\n");
  ASSERT_EQ(want.rows.size(), 2u);
  for (const std::string& body : {"[" + a + ", " + b + "]", R"({"entries":[)" + a + "," + b + R"(],"nextPageToken":"x"})", a + b, "\xef\xbb\xbf" + a + "\r\n" + b}) {
    const Decoded d = run(decode_gcp_vpc, body);
    EXPECT_EQ(d.rows, want.rows) << body;
    EXPECT_EQ(d.report->rejected, 0u) << body;
  }
  const Decoded bare = run(decode_gcp_vpc, payload(R"(,"bytes_sent":"1")"));
  ASSERT_EQ(bare.rows.size(), 1u);
  EXPECT_EQ(bare.at(0, "raw_bytes"), "1");
}

TEST(GcpVpc, TakesPubSubEnvelopesApart) {
  // {"insertId":"i","jsonPayload":{"connection":{"src_ip":"10.0.0.1","dest_ip":"10.0.0.2"},"end_time":"2025-11-07T21:18:47Z"}}
  const std::string data =
      "eyJpbnNlcnRJZCI6ImkiLCJqc29uUGF5bG9hZCI6eyJjb25uZWN0aW9uIjp7InNyY19pcCI6IjEwLjAuMC4xIiwiZGVzdF9pcCI6IjEwLjAuMC4yIn0sImVuZF90aW1lIjoiMjAyNS0xMS0wN1QyMToxODo0N1oifX0=";
  const std::string message = R"({"message":{"attributes":{"logging.googleapis.com/timestamp":"x"},"data":")" + data + R"(","messageId":"1"},"subscription":"projects/P/subscriptions/S"})";
  for (const std::string& body : {message, R"({"receivedMessages":[{"ackId":"a","message":{"data":")" + data + R"("}}]})"}) {
    const Decoded d = run(decode_gcp_vpc, body);
    ASSERT_EQ(d.rows.size(), 1u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    EXPECT_EQ(d.at(0, "src_ip"), "10.0.0.1");
    EXPECT_EQ(d.at(0, "flow_id"), "i");
  }
  const std::pair<const char*, const char*> bad[] = {{R"({"message":{"data":"%%"}})", "data is not base64"}, {R"({"message":{"messageId":"1"}})", "without data"},
                                                     {R"({"message":{"data":"eyJtZXNzYWdlIjp7ImRhdGEiOiJlMzA9In19"}})", "inside a Pub/Sub message"}};
  for (const auto& [body, reason] : bad) {
    const Decoded d = run(decode_gcp_vpc, body);
    ASSERT_EQ(d.report->rejected, 1u) << body;
    EXPECT_NE(d.report->errors[0].reason.find(reason), std::string::npos) << d.report->errors[0].reason;
  }
}

TEST(GcpVpc, OtherLogsAreIgnoredAndBadEntriesRejected) {
  const std::string good = entry(payload(R"(,"bytes_sent":"1")"));
  const Decoded other = run(decode_gcp_vpc, good + "\n" + entry(payload(""), R"(,"logName":"projects/shop/logs/compute.googleapis.com%2Ffirewall")") + "\n" +
                                                R"({"insertId":"x","protoPayload":{},"logName":"projects/shop/logs/cloudaudit.googleapis.com%2Factivity"})");
  EXPECT_EQ(other.rows.size(), 1u);
  EXPECT_EQ(other.report->ignored, 2u);
  EXPECT_EQ(other.report->rejected, 0u);
  const std::pair<std::string, const char*> bad[] = {
      {entry(payload("", R"("connection":{"src_ip":"10.0.0","dest_ip":"10.0.0.2"})")), "src_ip is not an address: \"10.0.0\""},
      {entry(payload("", R"("connection":{})")), "no connection"},
      {entry(payload("", R"("connection":{"src_ip":"10.0.0.1","src_port":70000})")), "src_port is not a number from 0 to 65535"},
      {R"({"insertId":"x","jsonPayload":{"connection":{"src_ip":"10.0.0.1"},"end_time":"yesterday"}})", "end_time is not a time"},
      {R"({"insertId":"x","textPayload":"hello"})", "neither jsonPayload nor connection"},
      {good.substr(0, good.size() - 20), "is damaged at its byte"},
      {good.substr(0, good.find("443")), "another record begins in it"},
      {R"({"insertId":"x","jsonPayload":{"connection":{"src_ip" "10.0.0.1"}}})", "cannot be read"},
      {"{\"insertId\":\"\xff\"}", "cannot be read"},
  };
  for (const auto& [record, reason] : bad) {
    const Decoded d = run(decode_gcp_vpc, good + "\n" + record + "\n" + good + "\n");
    EXPECT_EQ(d.rows.size(), 2u) << record;
    ASSERT_EQ(d.report->rejected, 1u) << record;
    EXPECT_EQ(d.report->errors[0].record, 2u);
    EXPECT_NE(d.report->errors[0].reason.find(reason), std::string::npos) << d.report->errors[0].reason;
  }
}

TEST(GcpVpc, TimesThatAreMissingOrImpossible) {
  const Decoded no_end = run(decode_gcp_vpc, entry(R"({"connection":{"src_ip":"10.0.0.1"},"start_time":"2025-11-07T21:17:47Z"})"));
  EXPECT_EQ(no_end.at(0, "flow_end"), "2025-11-07T21:17:47Z");
  EXPECT_EQ(no_end.at(0, "time_quality"), "estimated");
  const Decoded no_time = run(decode_gcp_vpc, entry(R"({"connection":{"src_ip":"10.0.0.1"}})"));
  EXPECT_EQ(no_time.at(0, "flow_end"), "2025-11-07T21:23:00.527307732Z") << "the entry's own";
  EXPECT_EQ(no_time.at(0, "flow_start"), "");
  const Decoded backwards = run(decode_gcp_vpc, entry(R"({"connection":{"src_ip":"10.0.0.1"},"start_time":"2025-11-07T21:17:47Z","end_time":"2025-11-07T21:17:40Z"})"));
  EXPECT_EQ(backwards.at(0, "flow_start"), "2025-11-07T21:17:40Z");
  EXPECT_EQ(backwards.at(0, "extra.start_time"), "2025-11-07T21:17:47Z");
  EXPECT_EQ(backwards.at(0, "time_quality"), "estimated");
  const Decoded future = run(decode_gcp_vpc, entry(payload("")), {.received_at = 1'762'000'000 * kSecond, .format = ""});
  EXPECT_EQ(future.at(0, "time_quality"), "clamped");
  EXPECT_EQ(future.at(0, "extra.end_time"), "2025-11-07T21:18:47.883105401Z");
  EXPECT_EQ(future.report->clamped_times, 1u);
  const Decoded unset = run(decode_gcp_vpc, entry(R"({"connection":{"src_ip":"10.0.0.1"},"start_time":"1970-01-01T00:00:00Z","end_time":"1970-01-01T00:00:05Z"})"),
                            {.received_at = 1'762'600'000 * kSecond, .format = ""});
  EXPECT_EQ(unset.at(0, "flow_end"), "2025-11-07T21:23:00.527307732Z") << "the entry's own";
  EXPECT_EQ(unset.at(0, "flow_start"), "");
  EXPECT_EQ(unset.at(0, "time_quality"), "clamped");
  EXPECT_EQ(unset.at(0, "extra.end_time"), "1970-01-01T00:00:05Z");
  EXPECT_EQ(unset.report->clamped_times, 1u);
}

TEST(GcpVpc, BoundsDepthAndItems) {
  std::string deep = R"("x")";
  for (int i = 0; i < 33; ++i) deep = R"({"d":)" + deep + "}";
  const Decoded d = of_payload(R"(,"deep":)" + deep);
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.report->cut_strings, 1u);
  std::string fits = R"("x")";
  for (int i = 0; i < 32; ++i) fits = R"({"d":)" + fits + "}";
  EXPECT_EQ(of_payload(R"(,"deep":)" + fits).report->cut_strings, 0u);

  std::string items;
  for (size_t i = 0; i < limits::kJsonExtraItemsMax; ++i) items += ",\"k" + std::to_string(i) + "\":1";
  EXPECT_EQ(of_payload(items).report->cut_strings, 0u);
  const Decoded more = of_payload(items + R"(,"one_more":1)");
  EXPECT_EQ(more.report->cut_strings, 1u);
  EXPECT_EQ(more.at(0, "extra.one_more"), "");
  EXPECT_EQ(more.at(0, "extra.k0"), "1");

  const Decoded text = of_payload(R"(,"src_instance":{"vm_name":"a\nb\u0000\"c\""})");
  EXPECT_EQ(text.at(0, "src_instance_id"), "a\xef\xbf\xbd" "b\xef\xbf\xbd\"c\"");
}

}  // namespace
}  // namespace sluice::ingest
