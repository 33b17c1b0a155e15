// AWS flow logs against published samples and what their origins say of them (conformance/cloud/MANIFEST.md). The data is
// no part of this repository; without it the tests are skipped. An expected attribute that has no counterpart here fails
// the test unless kDeviations below gives the reason; docs/sources/aws_vpc.md lists the same.

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "ingest/source/aws_fields.h"
#include "ingest/source/aws_vpc.h"
#include "tests/conformance/cloud/otel_logs.h"
#include "tests/conformance/data.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using nlohmann::json;
using test::Decoded;
using test::NamedValues;
using test::run;

std::filesystem::path data() { return sluice::test::conformance("cloud"); }

struct Tally {
  uint64_t packets = 0, bytes = 0;
};
Tally tally(const Decoded& d) {
  Tally t;
  for (const NamedValues& row : d.rows) {
    if (row.contains("raw_packets")) t.packets += std::stoull(row.at("raw_packets"));
    if (row.contains("raw_bytes")) t.bytes += std::stoull(row.at("raw_bytes"));
  }
  return t;
}

void print(const std::string& name, const Decoded& d, size_t values) {
  const Tally t = tally(d);
  std::printf("  %-58s %4zu flows %3lu nodata %2lu skip %2lu rejected %9lu packets %11lu bytes %4zu values\n", name.c_str(), d.rows.size(),
              static_cast<unsigned long>(d.report->no_data), static_cast<unsigned long>(d.report->skipped_data),
              static_cast<unsigned long>(d.report->rejected), static_cast<unsigned long>(t.packets),
              static_cast<unsigned long>(t.bytes), values);
}

// A field's value as the log says it, from our row; "" for null. What goes to a side is looked for on both.
std::string as_logged(const NamedValues& row, std::string field) {
  for (char& c : field)
    if (c == '-') c = '_';
  const auto at = [&](const std::string& column) {
    const auto it = row.find(column);
    return it == row.end() ? std::string() : it->second;
  };
  const auto either = [&](const std::string& name) {
    const std::string src = at("src_" + name);
    return src.empty() ? at("dst_" + name) : src;
  };
  const auto first = [&](const std::string& a, const std::string& b) { return at(a).empty() ? at(b) : at(a); };
  if (field == "srcaddr") return first("if_src_ip", "src_ip");
  if (field == "dstaddr") return first("if_dst_ip", "dst_ip");
  if (field == "pkt_srcaddr") return at("src_ip");
  if (field == "pkt_dstaddr") return at("dst_ip");
  if (field == "srcport") return at("src_port");
  if (field == "dstport") return at("dst_port");
  if (field == "protocol" || field == "tcp_flags" || field == "traffic_path" || field == "reject_reason" || field == "log_status")
    return at(field);
  if (field == "packets" || field == "bytes") return at("raw_" + field);
  if (field == "start" || field == "end") {
    const auto time = parse_timestamp(at("flow_" + field));
    return time ? std::to_string(*time / kSecond) : "";
  }
  if (field == "action") return at("action") == "accept" ? "ACCEPT" : at("action") == "reject" ? "REJECT" : "";
  if (field == "type") return at("ip_version") == "4" ? "IPv4" : at("ip_version") == "6" ? "IPv6" : "";
  if (field == "flow_direction") return at("direction");
  if (field == "az_id") return either("zone");
  if (field == "pkt_src_aws_service") return at("src_service");
  if (field == "pkt_dst_aws_service") return at("dst_service");
  if (field == "encryption_status") {
    const std::string e = at("encryption");
    return e == "not-encrypted" ? "0" : e == "nitro-encrypted" ? "1" : e == "application-encrypted" ? "2" : e.empty() ? "" : "3";
  }
  for (const char* side : {"account_id", "interface_id", "vpc_id", "subnet_id", "instance_id", "region"})
    if (field == side) return either(field);
  return at("extra." + field);
}

std::string wanted(const std::string& field, const json& value) {
  if (value.is_null()) return "";
  if (value.is_number()) return std::to_string(value.get<uint64_t>());
  const std::string text = value.get<std::string>();
  if (field == "start" || field == "end") {
    const auto time = parse_timestamp(text);
    EXPECT_TRUE(time.has_value()) << text;
    return std::to_string(time.value_or(0) / kSecond);
  }
  return text;
}

bool is_flow(std::string_view line) { return line.find("NODATA") == line.npos && line.find("SKIPDATA") == line.npos; }

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

TEST(ConformanceAws, Lines) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  const json cases = json::parse(sluice::test::read_whole(data() / "aws_lines/cases.json"));
  std::set<std::string> seen;
  size_t rules = 0;
  for (const json& c : cases["cases"]) {
    const std::string file = c["file"];
    SCOPED_TRACE(file);
    seen.insert(file);
    const std::string body = sluice::test::read_whole(data() / "aws_lines" / file);
    const Decoded d = run(decode_aws_vpc, body);
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    EXPECT_EQ(d.report->rejected, 0u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    EXPECT_EQ(d.rows.size() + d.report->no_data + d.report->skipped_data, c["records"].get<size_t>());
    EXPECT_EQ(d.rows.size(), c["flows"].get<size_t>());
    EXPECT_EQ(d.report->accepted, c["flows"].get<size_t>());
    EXPECT_EQ(d.report->no_data, c["nodata"].get<size_t>());
    EXPECT_EQ(d.report->skipped_data, c["skipdata"].get<size_t>());
    const Tally t = tally(d);
    if (c.contains("packets_total_computed")) {
      EXPECT_EQ(t.packets, c["packets_total_computed"].get<uint64_t>());
    }
    if (c.contains("bytes_total_computed")) {
      EXPECT_EQ(t.bytes, c["bytes_total_computed"].get<uint64_t>());
    }

    // Every value of every flow line, as the file has it.
    size_t values = 0;
    std::istringstream in(body);
    std::string line;
    std::getline(in, line);
    const auto names = words_of(line);
    ASSERT_EQ(names, c["fields"].get<std::vector<std::string>>());
    std::map<size_t, size_t> row_of_line;  // from 1, the header not counted
    for (size_t number = 1, row = 0; std::getline(in, line); ++number) {
      if (line.empty() || !is_flow(line)) continue;
      row_of_line[number] = row;
      const auto words = words_of(line);
      ASSERT_EQ(words.size(), names.size());
      for (size_t i = 0; i < words.size(); ++i) {
        if (names[i] == "version") continue;  // not kept, see the deviations
        const std::string want = words[i] == "-" || words[i] == "null" ? "" : words[i];
        std::string got = as_logged(d.rows.at(row), names[i]);
        // What a record leaves out and others of its fields tell is filled in: the packet's address where it is the
        // interface's, the IP version from the address.
        if (want.empty() && (names[i] == "pkt-srcaddr" || names[i] == "pkt-dstaddr" || names[i] == "type")) continue;
        EXPECT_EQ(got, want) << "line " << number << " " << names[i];
        ++values;
      }
      ++row;
    }
    if (c.contains("origin_values"))
      for (const json& origin : c["origin_values"]) {
        const size_t number = origin["line"];
        for (const auto& [field, value] : origin["values"].items()) {
          if (field == "version") continue;
          ++values;
          if (!row_of_line.contains(number)) {
            // NODATA and SKIPDATA are counted, not kept; what can be seen of them is the time of what was lost.
            if (c["skipdata"] == 1 && field == "start") {
              EXPECT_EQ(std::to_string(d.report->skipped_range.from / kSecond), wanted(field, value));
            }
            continue;
          }
          EXPECT_EQ(as_logged(d.rows.at(row_of_line[number]), field), wanted(field, value)) << "line " << number << " " << field;
        }
      }

    if (c.contains("origin_aggregation")) {
      // The origin takes all flow lines, whatever their action, and sums by 5-tuple.
      struct Sum {
        TimestampNs start = kTimestampMax, end = kTimestampMin;
        uint64_t packets = 0, bytes = 0;
      };
      std::map<std::string, Sum> sums;
      for (const NamedValues& row : d.rows) {
        Sum& s = sums[row.at("src_ip") + " " + row.at("src_port") + " " + row.at("dst_ip") + " " + row.at("dst_port") + " " + row.at("protocol")];
        s.start = std::min(s.start, *parse_timestamp(row.at("flow_start")));
        s.end = std::max(s.end, *parse_timestamp(row.at("flow_end")));
        s.packets += std::stoull(row.at("raw_packets"));
        s.bytes += std::stoull(row.at("raw_bytes"));
      }
      EXPECT_EQ(sums.size(), c["origin_aggregation"].size());
      for (const json& want : c["origin_aggregation"]) {
        const std::string key = want["srcaddr"].get<std::string>() + " " + std::to_string(want["srcport"].get<int>()) + " " +
                                want["dstaddr"].get<std::string>() + " " + std::to_string(want["dstport"].get<int>()) + " " +
                                std::to_string(want["protocol"].get<int>());
        ASSERT_TRUE(sums.contains(key)) << key;
        EXPECT_EQ(sums[key].packets, want["packets"].get<uint64_t>());
        EXPECT_EQ(sums[key].bytes, want["bytes"].get<uint64_t>());
        EXPECT_EQ(format_timestamp(sums[key].start), want["start"].get<std::string>());
        EXPECT_EQ(format_timestamp(sums[key].end), want["end"].get<std::string>());
        values += 4;
      }
    }

    if (c.contains("rule_results")) {
      // The origin's rules, said over our rows.
      const auto global = [](const std::string& ip) { return !ip.empty() && !parse_ip(ip)->is_private(); };
      for (const json& result : c["rule_results"]) {
        const NamedValues& row = d.rows.at(row_of_line.at(result["line"].get<size_t>()));
        const auto at = [&](const char* name) { return row.contains(name) ? row.at(name) : std::string(); };
        const std::string src = at("src_ip"), dst = at("dst_ip"), port = at("dst_port");
        bool alert = false;
        if (file == "panther_port_scanning.log")
          alert = at("direction") == "egress" && !src.empty() && !std::set<std::string>{"53", "80", "123", "443", "445", "853", "2049"}.contains(port);
        else if (file == "panther_unapproved_outbound_dns.log")
          // 100.64.0.0/10 is shared address space: for the origin neither private nor global, for us one of ours.
          alert = !global(src) && (port == "53" || port == "5353") && (global(dst) || Prefix::of(*parse_ip("100.64.0.0"), 96 + 10).contains(*parse_ip(dst))) &&
                  dst != "1.1.1.1" && dst != "8.8.8.8";
        else if (file == "panther_inbound_port_allowlist.log")
          alert = global(src) && !global(dst) && port != "80" && port != "443";
        else if (file == "panther_ssh_allowed.log")
          alert = global(src) && !global(dst) && port == "22" && at("action") == "accept";
        else
          ADD_FAILURE() << "no such rule here";
        EXPECT_EQ(alert, result["alert"].get<bool>()) << result["name"];
        ++rules;
      }
    }
    print("aws_lines/" + file, d, values);
  }
  EXPECT_EQ(rules, 16u);
  for (const auto& entry : std::filesystem::directory_iterator(data() / "aws_lines"))
    if (entry.path().extension() == ".log") {
      EXPECT_TRUE(seen.contains(entry.path().filename())) << entry.path() << " has no case";
    }
}

// --- OpenTelemetry's expected output ---

using test::OtelLogs;
using test::OtelRecord;
using test::read_otel;

// Attribute → field as AWS writes it.
const std::map<std::string, std::string> kOtelFields = {
    {"cloud.account.id", "account-id"}, {"cloud.region", "region"}, {"network.interface.name", "interface-id"},
    {"source.address", "pkt-srcaddr"}, {"destination.address", "pkt-dstaddr"}, {"source.port", "srcport"}, {"destination.port", "dstport"},
    {"aws.vpc.flow.packets", "packets"}, {"aws.vpc.flow.bytes", "bytes"}, {"aws.vpc.flow.start", "start"}, {"aws.vpc.flow.action", "action"},
    {"aws.vpc.flow.status", "log-status"}, {"network.tcp.flags", "tcp-flags"}, {"aws.tgw.id", "tgw-id"},
    {"aws.tgw.attachment.id", "tgw-attachment-id"}, {"aws.tgw.attachment.pair.id", "tgw-pair-attachment-id"},
    {"aws.vpc.flow.packets_lost_no_route", "packets-lost-no-route"}, {"aws.vpc.flow.packets_lost_blackhole", "packets-lost-blackhole"},
    {"aws.vpc.flow.packets_lost_mtu_exceeded", "packets-lost-mtu-exceeded"}, {"aws.vpc.flow.packets_lost_ttl_expired", "packets-lost-ttl-expired"},
    {"aws.ecs.cluster.arn", "ecs-cluster-arn"}, {"aws.ecs.cluster.name", "ecs-cluster-name"},
    {"aws.ecs.container.instance.arn", "ecs-container-instance-arn"}, {"aws.ecs.container.instance.id", "ecs-container-instance-id"},
    {"aws.ecs.container.id", "ecs-container-id"}, {"aws.ecs.second.container.id", "ecs-second-container-id"},
    {"aws.ecs.service.name", "ecs-service-name"}, {"aws.ecs.task.definition.arn", "ecs-task-definition-arn"},
    {"aws.ecs.task.arn", "ecs-task-arn"}, {"aws.ecs.task.id", "ecs-task-id"}};
// Attribute → our column, where the side is named.
const std::map<std::string, std::string> kOtelColumns = {
    {"aws.tgw.source.vpc.id", "src_vpc_id"}, {"aws.tgw.destination.vpc.id", "dst_vpc_id"}, {"aws.tgw.source.vpc.subnet.id", "src_subnet_id"},
    {"aws.tgw.destination.vpc.subnet.id", "dst_subnet_id"}, {"aws.tgw.source.eni.id", "src_interface_id"},
    {"aws.tgw.destination.eni.id", "dst_interface_id"}, {"aws.tgw.source.az.id", "src_zone"}, {"aws.tgw.destination.az.id", "dst_zone"}};
// Attributes that have no column of ours, on purpose.
const std::map<std::string, std::string> kDeviations = {
    {"aws.log.group.names", "says where the log lay, not what flowed; not kept"},
    {"aws.log.stream.names", "says where the log lay, not what flowed; not kept"},
    {"aws.vpc.flow.log.version", "the record format's version; not kept"},
};

size_t compare(const NamedValues& row, const OtelLogs& want, const OtelRecord& record) {
  size_t values = 0;
  auto all = want.resource;
  all.insert(record.attributes.begin(), record.attributes.end());
  for (const auto& [name, value] : all) {
    std::string got, expect = value;
    if (name == "cloud.account.id" && row.at("source") == "aws_tgw") {
      // The gateway's owner is on neither side of the flow.
      got = row.at("extra.account_id");
    } else if (const auto field = kOtelFields.find(name); field != kOtelFields.end()) {
      got = as_logged(row, field->second);
      if (field->second == "start" && value.find('T') != std::string::npos) expect = wanted("start", value);
    } else if (const auto column = kOtelColumns.find(name); column != kOtelColumns.end()) {
      got = row.contains(column->second) ? row.at(column->second) : "";
    } else if (name == "cloud.provider") {
      got = row.at("cloud");
    } else if (name == "network.protocol.name" || name == "network.transport") {
      got = row.at("protocol") == "6" ? "tcp" : row.at("protocol") == "17" ? "udp" : row.at("protocol");
    } else if (name == "network.type") {
      got = "ipv" + row.at("ip_version");
    } else if (name == "network.io.direction") {
      got = row.at("direction") == "ingress" ? "receive" : "transmit";
    } else {
      EXPECT_TRUE(kDeviations.contains(name)) << "attribute without a counterpart: " << name;
      continue;
    }
    EXPECT_EQ(got, expect) << name;
    ++values;
  }
  if (!record.time_unix_nano.empty()) {
    EXPECT_EQ(std::to_string(*parse_timestamp(row.at("flow_end"))), record.time_unix_nano);
    ++values;
  }
  return values;
}

TEST(ConformanceAws, OpenTelemetry) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  constexpr const char* kTgwBuiltIn =
      "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni "
      "tgw-dst-eni tgw-src-az-id tgw-dst-az-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status";
  const struct {
    const char *input, *expected, *format;
  } cases[] = {
      {"valid_vpc_flow_log_multi.log", "valid_vpc_flow_log_expected_multi.yaml", ""},
      {"valid_vpc_flow_log_multi.log", "valid_vpc_flow_log_expected_multi_iso8601.yaml", ""},
      {"valid_vpc_flow_cw.json", "valid_vpc_flow_cw_expected.yaml", ""},
      {"valid_vpc_flow_cw_custom.json", "valid_vpc_flow_cw_custom_expected.yaml", "version interface-id srcaddr dstaddr"},
      {"valid_tgw_flow_log.log", "valid_tgw_flow_log_expected.yaml", ""},
      {"valid_tgw_flow_cw.json", "valid_tgw_flow_cw_expected.yaml", kTgwBuiltIn},
      {"valid_vpc_flow_log_ecs.log", "valid_vpc_flow_log_ecs_expected.yaml", ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.expected);
    const Decoded d = run(decode_aws_vpc, sluice::test::read_whole(data() / "otel/aws" / c.input), {.received_at = 0, .format = c.format});
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    const OtelLogs want = read_otel(data() / "otel/aws" / c.expected);
    ASSERT_EQ(d.rows.size(), want.records.size());
    ASSERT_GT(want.records.size(), 0u);
    size_t values = 0;
    for (size_t i = 0; i < d.rows.size(); ++i) values += compare(d.rows[i], want, want.records[i]);
    print(std::string("otel/aws/") + c.input, d, values);
  }
  // Read one at a time, and from byte 230 on.
  const std::string multi = sluice::test::read_whole(data() / "otel/aws/valid_vpc_flow_log_multi.log");
  const Decoded both = run(decode_aws_vpc, multi);
  for (size_t i : {0u, 1u}) {
    const OtelLogs want = read_otel(data() / ("otel/aws/stream/valid_vpc_flow_log_multi_" + std::to_string(i + 1) + ".yaml"));
    ASSERT_EQ(want.records.size(), 1u);
    compare(both.rows.at(i), want, want.records[0]);
  }
  const Decoded tail = run(decode_aws_vpc, std::string_view(multi).substr(230));
  ASSERT_TRUE(tail.report.ok());
  EXPECT_EQ(tail.rows.back(), both.rows[1]);

  // One record that is no flow: the origin makes a log record of it, we count it.
  const Decoded none = run(decode_aws_vpc, sluice::test::read_whole(data() / "otel/aws/valid_vpc_flow_log.log"));
  ASSERT_TRUE(none.report.ok());
  EXPECT_EQ(none.report->no_data, 1u);
  EXPECT_TRUE(none.rows.empty());
  print("otel/aws/valid_vpc_flow_log.log", none, 0);
  const struct {
    const char *input, *reason;
  } bad[] = {{"vpc_flow_log_too_few_fields.log", "too few fields: 13, the format has 14"},
             {"vpc_flow_log_too_many_fields.log", "too many fields: 15, the format has 14"}};
  for (const auto& b : bad) {
    const Decoded d = run(decode_aws_vpc, sluice::test::read_whole(data() / "otel/aws" / b.input));
    ASSERT_TRUE(d.report.ok());
    EXPECT_TRUE(d.rows.empty());
    ASSERT_EQ(d.report->rejected, 1u);
    EXPECT_EQ(d.report->errors[0].record, 2u);
    EXPECT_EQ(d.report->errors[0].reason, b.reason);
    print(std::string("otel/aws/") + b.input, d, 0);
  }
  for (const auto& [name, reason] : kDeviations) std::printf("  deviation: %s: %s\n", name.c_str(), reason.c_str());
}

TEST(ConformanceAws, Real) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  const auto count = [](const Decoded& d, const char* column, const char* value) {
    size_t n = 0;
    for (const NamedValues& row : d.rows) n += row.contains(column) && row.at(column) == value;
    return n;
  };
  {
    const Decoded d = run(decode_aws_vpc, sluice::test::read_whole(data() / "real/criblpacks_cribl-vpc-flow-for-security-teams/ZP04h5.raw.log"));
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.rows.size(), 99u);
    EXPECT_EQ(d.report->rejected + d.report->no_data + d.report->skipped_data, 0u);
    EXPECT_EQ(count(d, "action", "reject"), 67u);
    EXPECT_EQ(count(d, "action", "accept"), 32u);
    EXPECT_EQ(count(d, "protocol", "6"), 93u);
    EXPECT_EQ(count(d, "protocol", "17"), 4u);
    EXPECT_EQ(count(d, "protocol", "1"), 2u);
    EXPECT_EQ(tally(d).packets, 40'072u);
    EXPECT_EQ(tally(d).bytes, 8'641'867u);
    std::set<std::string> interfaces;
    std::map<std::string, std::set<std::string>> addresses;  // interface → the address on its side
    TimestampNs first = kTimestampMax, last = kTimestampMin;
    for (const NamedValues& row : d.rows) {
      for (const char* side : {"src", "dst"}) {
        const std::string s(side);
        if (!row.contains(s + "_interface_id")) continue;
        interfaces.insert(row.at(s + "_interface_id"));
        addresses[row.at(s + "_interface_id")].insert(row.at(s + "_ip"));
      }
      EXPECT_NE(row.contains("src_interface_id"), row.contains("dst_interface_id"));
      first = std::min(first, *parse_timestamp(row.at("flow_start")));
      last = std::max(last, *parse_timestamp(row.at("flow_end")));
    }
    EXPECT_EQ(interfaces.size(), 4u);
    // Each interface has one address: so every record, those between two private addresses too, was put on the right side.
    for (const auto& [interface, ips] : addresses) EXPECT_EQ(ips.size(), 1u) << interface;
    EXPECT_EQ(first, 1630619065 * kSecond);
    EXPECT_EQ(last, 1630619125 * kSecond);
    print("real/cribl/ZP04h5.raw.log", d, 0);
  }
  {
    const Decoded d = run(decode_aws_vpc, sluice::test::read_whole(data() / "real/aws-solutions_centralized-logging-with-opensearch/vpcflow.log"));
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.rows.size(), 10u);
    EXPECT_EQ(d.report->no_data, 7u);
    EXPECT_EQ(d.report->rejected, 0u);
    EXPECT_EQ(tally(d).packets, 10u);
    EXPECT_EQ(tally(d).bytes, 559u);
    print("real/aws-solutions/vpcflow.log", d, 0);
  }
  {
    const Decoded d = run(decode_aws_vpc, sluice::test::read_whole(data() / "real/newrelic_aws-log-ingestion/entry_vpc_flow_logs.json"));
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.rows.size(), 0u);
    EXPECT_EQ(d.report->no_data, 1u);
    EXPECT_EQ(d.report->rejected, 0u);
    print("real/newrelic/entry_vpc_flow_logs.json", d, 0);
  }
}

}  // namespace
}  // namespace sluice::ingest
