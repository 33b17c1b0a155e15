// Google VPC Flow Logs against published entries and what their origins say of them (conformance/cloud/MANIFEST.md). The data
// is no part of this repository; without it the tests are skipped. Every value of every entry is looked for in our row; one
// that has no counterpart fails the test unless kDeviations below gives the reason; docs/sources/gcp_vpc.md lists the same.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "ingest/source/country_code.h"
#include "ingest/source/gcp_vpc.h"
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

// Paths of an entry that have no column of ours, on purpose.
const std::map<std::string, std::string> kDeviations = {
    {"logName", "says which log it lay in, not what flowed; not kept"},
    {"receiveTimestamp", "when Google's logging took it in; not kept, `timestamp` is in exported_at"},
    {"severity", "the same for every flow; not kept"},
    {"resource_type", "says which API made the log; not kept"},
};

// Path of an entry → our column, where the value is the same.
const std::map<std::string, std::string> kColumns = {
    {"insertId", "flow_id"}, {"connection_src_ip", "src_ip"}, {"connection_dest_ip", "dst_ip"}, {"connection_src_port", "src_port"},
    {"connection_dest_port", "dst_port"}, {"connection_protocol", "protocol"}, {"bytes_sent", "raw_bytes"}, {"packets_sent", "raw_packets"},
    {"drop_reason", "reject_reason"}, {"bytes_dropped", "dropped_bytes"}, {"packets_dropped", "dropped_packets"}};
const std::map<std::string, std::string> kSided = {
    {"instance_vm_name", "instance_id"}, {"instance_project_id", "account_id"}, {"instance_region", "region"}, {"instance_zone", "zone"},
    {"vpc_vpc_name", "vpc_id"}, {"vpc_subnetwork_name", "subnet_id"}, {"location_city", "city"}, {"location_asn", "as"},
    {"gke_details_pod_pod_name", "k8s_pod"}, {"gke_details_pod_pod_namespace", "k8s_namespace"}, {"gke_details_pod_workload_workload_name", "k8s_workload"},
    {"gke_details_pod_pod_workload_workload_name", "k8s_workload"}, {"google_service_service_name", "service"}};

// The value of this path, as the entry says it, from our row; "" for none.
std::string as_logged(const NamedValues& row, const std::string& path, const std::string& value) {
  const auto at = [&](const std::string& column) {
    const auto it = row.find(column);
    return it == row.end() ? std::string() : it->second;
  };
  if (const auto column = kColumns.find(path); column != kColumns.end()) return at(column->second);
  if (path == "start_time" || path == "end_time" || path == "timestamp") {
    const std::string ours = at(path == "timestamp" ? "exported_at" : path == "start_time" ? "flow_start" : "flow_end");
    return parse_timestamp(ours) == parse_timestamp(value) ? value : ours;
  }
  if (path == "reporter") return at("reporter") == "src" ? "SRC" : at("reporter") == "dst" ? "DEST" : at("extra.reporter");
  if (path == "network_service_dscp") return at("tos").empty() ? "" : std::to_string(std::stoi(at("tos")) >> 2);
  const std::string reporter = at("reporter") == "dst" ? "dst_" : "src_";
  for (const std::string side : {"src_", "dest_"}) {
    if (!path.starts_with(side)) continue;
    const std::string rest = path.substr(side.size()), ours = side == "src_" ? "src_" : "dst_";
    if (const auto column = kSided.find(rest); column != kSided.end()) return at(ours + column->second);
    if (rest == "location_country") return country_alpha2(value) == at(ours + "country") ? value : at(ours + "country");
    // Said twice of most instances: kept apart only where the network's differs.
    if (rest == "vpc_project_id") return at("extra." + path).empty() ? at(ours + "account_id") : at("extra." + path);
    if (rest == "vpc_subnetwork_region") return at("extra." + path).empty() ? at(ours + "region") : at("extra." + path);
  }
  if (const std::string extra = at("extra." + path); !extra.empty()) return extra;
  if (path == "resource_labels_project_id") return at(reporter + "account_id");
  if (path == "resource_labels_subnetwork_name") return at(reporter + "subnet_id");
  if (path == "resource_labels_location") return at(reporter + "region") == value ? value : at(reporter + "zone");
  return "";
}

std::string text_of(const json& value) {
  if (value.is_string()) return value;
  if (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>()) return std::to_string(value.get<uint64_t>());
  return value.dump();
}

// Every scalar of an entry, under its path; those in lists joined by commas.
void leaves(const json& value, const std::string& path, std::map<std::string, std::string>& out) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) leaves(inner, path.empty() || path == "jsonPayload" ? key : path + "_" + key, out);
  } else if (value.is_array()) {
    for (const json& inner : value) leaves(inner, path, out);
  } else {
    auto [it, added] = out.emplace(path, text_of(value));
    if (!added) it->second += "," + text_of(value);
  }
}

size_t compare(const NamedValues& row, const json& entry) {
  std::map<std::string, std::string> all;
  leaves(entry, "", all);
  size_t values = 0;
  for (const auto& [path, value] : all) {
    if (kDeviations.contains(path)) continue;
    EXPECT_EQ(as_logged(row, path, value), value) << path;
    ++values;
  }
  EXPECT_EQ(row.at("sampling_rate"), "1");
  EXPECT_EQ(row.at("byte_basis"), "payload");
  EXPECT_EQ(row.at("source"), "gcp_vpc");
  return values;
}

std::vector<json> entries_of(const std::string& body) {
  std::vector<json> out;
  const json whole = json::parse(body, nullptr, false);
  if (whole.is_array()) return whole;
  if (whole.is_object()) return {whole};
  std::istringstream lines(body);
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) out.push_back(json::parse(line));
  return out;
}

struct Sums {
  uint64_t bytes = 0, packets = 0;
  size_t src = 0, dst = 0;
};
Sums sums(const Decoded& d) {
  Sums s;
  for (const NamedValues& row : d.rows) {
    s.bytes += std::stoull(row.at("raw_bytes"));
    s.packets += std::stoull(row.at("raw_packets"));
    s.src += row.at("reporter") == "src";
    s.dst += row.at("reporter") == "dst";
  }
  return s;
}

Decoded check(const std::string& name, const std::string& body) {
  Decoded d = run(decode_gcp_vpc, body);
  EXPECT_TRUE(d.report.ok());
  EXPECT_EQ(d.report->rejected + d.report->ignored, 0u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
  const auto want = entries_of(body);
  EXPECT_EQ(d.rows.size(), want.size());
  size_t values = 0;
  for (size_t i = 0; i < std::min(want.size(), d.rows.size()); ++i) values += compare(d.rows[i], want[i]);
  const Sums s = sums(d);
  std::printf("  %-66s %2zu flows %8lu bytes %5lu packets %4zu values\n", name.c_str(), d.rows.size(), static_cast<unsigned long>(s.bytes),
              static_cast<unsigned long>(s.packets), values);
  return d;
}

// --- OpenTelemetry ---

// Attribute → path of the entry.
const std::map<std::string, std::string> kOtelPaths = {
    {"log.record.uid", "insertId"}, {"source.address", "connection_src_ip"}, {"destination.address", "connection_dest_ip"},
    {"source.port", "connection_src_port"}, {"destination.port", "connection_dest_port"}, {"gcp.vpc.flow.reporter", "reporter"},
    {"gcp.vpc.flow.bytes_sent", "bytes_sent"}, {"gcp.vpc.flow.packets_sent", "packets_sent"}, {"gcp.vpc.flow.start_time", "start_time"},
    {"gcp.vpc.flow.end_time", "end_time"}, {"gcp.vpc.flow.network.rtt_ms", "rtt_msec"}, {"gcp.vpc.flow.network_service.dscp", "network_service_dscp"},
    {"gcp.label.location", "resource_labels_location"}, {"gcp.label.project_id", "resource_labels_project_id"},
    {"gcp.label.subnetwork_id", "resource_labels_subnetwork_id"}, {"gcp.label.subnetwork_name", "resource_labels_subnetwork_name"},
    {"gcp.label.name", "resource_labels_name"}, {"gcp.label.resource_container", "resource_labels_resource_container"},
    {"gcp.label.target_resource_name", "labels_target_resource_name"}};
// … of either side, behind "gcp.vpc.flow.source." and "gcp.vpc.flow.destination.".
const std::map<std::string, std::string> kOtelSided = {
    {"vpc.name", "vpc_vpc_name"}, {"subnet.name", "vpc_subnetwork_name"}, {"subnet.region", "vpc_subnetwork_region"}, {"project.id", "vpc_project_id"},
    {"instance.vm.name", "instance_vm_name"}, {"instance.vm.zone", "instance_zone"}, {"instance.vm.region", "instance_region"},
    {"instance.project.id", "instance_project_id"}, {"instance.managed_instance_group.name", "instance_managed_instance_group_name"},
    {"instance.managed_instance_group.region", "instance_managed_instance_group_region"}, {"instance.managed_instance_group.zone", "instance_managed_instance_group_zone"},
    {"geo.country.iso_code.alpha3", "location_country"}, {"geo.continent", "location_continent"}, {"geo.city", "location_city"}, {"geo.region", "location_region"},
    {"asn", "location_asn"}, {"google_service.type", "google_service_type"}, {"google_service.connectivity", "google_service_connectivity"},
    {"google_service.name", "google_service_service_name"}};
const std::map<std::string, std::string> kOtelDeviations = {
    {"gcp.project", "the project in the log's name; the reporter's project is in its account column"},
    {"cloud.resource_id", "the log's name; not kept"},
    {"gcp.resource_type", "says which API made the log; not kept"},
};

size_t compare(const NamedValues& row, const test::OtelLogs& want, const test::OtelRecord& record) {
  auto all = want.resource;
  all.insert(record.attributes.begin(), record.attributes.end());
  size_t values = 0;
  for (const auto& [name, value] : all) {
    if (kOtelDeviations.contains(name)) continue;
    ++values;
    if (name == "network.protocol.name" || name == "network.transport") {
      const std::string& p = row.at("protocol");
      EXPECT_EQ(p == "6" ? "tcp" : p == "17" ? "udp" : p == "1" ? "icmp" : p, value);
      continue;
    }
    if (name == "asn") {
      // The last number of the path that traffic takes to the internet.
      EXPECT_TRUE(row.at("extra.internet_routing_details_egress_as_path_as_details_asn").ends_with(value));
      continue;
    }
    std::string path;
    if (const auto it = kOtelPaths.find(name); it != kOtelPaths.end()) path = it->second;
    for (const auto& [prefix, side] : {std::pair<std::string, std::string>("gcp.vpc.flow.source.", "src_"), {"gcp.vpc.flow.destination.", "dest_"}})
      if (name.starts_with(prefix))
        if (const auto it = kOtelSided.find(name.substr(prefix.size())); it != kOtelSided.end()) path = side + it->second;
    EXPECT_FALSE(path.empty()) << "attribute without a counterpart: " << name;
    if (!path.empty()) {
      EXPECT_EQ(as_logged(row, path, value), value) << name;
    }
  }
  return values;
}

TEST(ConformanceGcp, OpenTelemetry) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  const auto folder = data() / "otel/gcp";
  size_t inputs = 0, expected = 0;
  std::set<std::filesystem::path> files;
  for (const auto& e : std::filesystem::directory_iterator(folder))
    if (e.path().extension() != ".yaml") files.insert(e.path());
  for (const auto& path : files) {
    SCOPED_TRACE(path.filename().string());
    ++inputs;
    const Decoded d = check("otel/gcp/" + path.filename().string(), sluice::test::read_whole(path));
    auto yaml = path;
    yaml.replace_extension();
    yaml = path.extension() == ".ndjson" ? path.string() + "_expected.yaml" : yaml.string() + "_expected.yaml";
    if (!std::filesystem::exists(yaml)) continue;
    ++expected;
    const test::OtelLogs want = test::read_otel(yaml);
    ASSERT_EQ(want.records.size(), d.rows.size());
    size_t values = 0;
    for (size_t i = 0; i < d.rows.size(); ++i) {
      values += compare(d.rows[i], want, want.records[i]);
      // Two of the origin's stamps are a year off; MANIFEST.md has the right ones.
      std::string stamp = want.records[i].time_unix_nano;
      const std::string stem = path.stem();
      if (stem == "vpc-flow-log-from-computeengine-2") stamp = "1759009000414372716";
      if (stem == "vpc-flow-log-from-computeengine-3") stamp = "1759008990892232829";
      EXPECT_EQ(std::to_string(*parse_timestamp(d.rows[i].at("exported_at"))), stamp);
    }
    EXPECT_GT(values, 10u);
  }
  EXPECT_EQ(inputs, 13u);
  EXPECT_EQ(expected, 11u);

  const Decoded synthetic = run(decode_gcp_vpc, sluice::test::read_whole(folder / "vpc-flow-log-synthetic.json"));
  ASSERT_EQ(synthetic.rows.size(), 1u);
  EXPECT_EQ(sums(synthetic).bytes, 123'456u);
  EXPECT_EQ(sums(synthetic).packets, 150u);
  const Decoded extended = run(decode_gcp_vpc, sluice::test::read_whole(folder / "vpc-flow-log-extended.json"));
  ASSERT_EQ(extended.rows.size(), 34u);
  const Sums s = sums(extended);
  EXPECT_EQ(s.src, 17u);
  EXPECT_EQ(s.dst, 17u);
  EXPECT_EQ(s.bytes, 516'740u);
  EXPECT_EQ(s.packets, 1'196u);
  // Each connection there has one end in the network, so nothing is said twice.
  for (const NamedValues& row : extended.rows) EXPECT_FALSE(row.contains("duplicate"));
  for (const auto& [name, reason] : kDeviations) std::printf("  deviation: %s: %s\n", name.c_str(), reason.c_str());
  for (const auto& [name, reason] : kOtelDeviations) std::printf("  deviation: %s: %s\n", name.c_str(), reason.c_str());
}

TEST(ConformanceGcp, BarePayloads) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  const std::string body = sluice::test::read_whole(data() / "gcp_payloads/obsrvbl_payloads.ndjson");
  const Decoded d = check("gcp_payloads/obsrvbl_payloads.ndjson", body);
  const json cases = json::parse(sluice::test::read_whole(data() / "gcp_payloads/cases.json"));
  ASSERT_EQ(d.rows.size(), cases["flows"].get<size_t>());
  for (const json& origin : cases["origin_values"]) {
    const NamedValues& row = d.rows.at(origin["line"].get<size_t>() - 1);
    for (const auto& [name, value] : origin["values"].items()) {
      if (value.is_null()) {
        // The origin says that there is none of it: neither a column nor an item.
        const std::string side = name.starts_with("src_") ? "src_" : "dst_";
        const std::string column = name.ends_with("instance") ? "instance_id" : name.ends_with("vpc") ? "vpc_id" : name.ends_with("location") ? "country" : "";
        EXPECT_FALSE(row.contains(column.empty() ? "extra." + name : side + column)) << name;
        continue;
      }
      std::string path = name;
      if (name == "src_ip" || name == "dest_ip" || name == "src_port" || name == "dest_port" || name == "protocol") path = "connection_" + name;
      if (name.ends_with("_time")) {
        // The origin cuts to whole seconds.
        const auto ours = parse_timestamp(row.at(name == "start_time" ? "flow_start" : "flow_end"));
        EXPECT_EQ(*ours / kSecond, *parse_timestamp(text_of(value)) / kSecond);
        continue;
      }
      EXPECT_EQ(as_logged(row, path, text_of(value)), text_of(value)) << name;
    }
  }
  // The origin reads missing ports as 0 and a missing start as the end; here they are null.
  EXPECT_FALSE(d.rows[3].contains("src_port"));
  EXPECT_FALSE(d.rows[3].contains("flow_start"));
  std::printf("  deviation: obsrvbl line 4: ports and start_time that the record does not have are null, not 0 and the end\n");
}

TEST(ConformanceGcp, Real) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  const struct {
    const char* file;
    uint64_t bytes, packets;
  } cases[] = {{"real/GoogleCloudPlatform_professional-services/network-vpc-flow.log", 2'020, 44},
               {"real/GoogleCloudPlatform_professional-services/gke-intranode-visibility.log", 28'496, 86},
               {"real/GoogleCloudPlatform_security-analytics/google.compute.googleapis.com.vpc_flows.json", 5'342, 32}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.file);
    const std::string whole = sluice::test::read_whole(data() / c.file);
    const Decoded d = check(c.file, whole.substr(whole.find('{')));
    ASSERT_EQ(d.rows.size(), 1u);
    EXPECT_EQ(sums(d).bytes, c.bytes);
    EXPECT_EQ(sums(d).packets, c.packets);
    // With the lines of text before it, too: they are rejected, the entry is found.
    const Decoded text = run(decode_gcp_vpc, whole);
    EXPECT_EQ(text.rows, d.rows);
  }
}

}  // namespace
}  // namespace sluice::ingest
