// IBM VPC flow log objects against what conformance/cloud/MANIFEST.md says of them, and every field of every record against its
// column. The data is no part of this repository; without it the tests are skipped.

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>

#include "ingest/source/ibm_vpc.h"
#include "tests/conformance/data.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using nlohmann::json;
using test::Decoded;
using test::NamedValues;
using test::run;

std::filesystem::path folder() { return sluice::test::conformance("cloud/real/IBM_FlowLogger"); }

std::string at(const NamedValues& row, const std::string& column) {
  const auto it = row.find(column);
  return it == row.end() ? "" : it->second;
}

// A field's value as our row has it; "" where it has none. `record` and `object` are what was decoded.
using Rule = std::function<std::string(const NamedValues& row, const json& record, const json& object)>;
Rule column(const char* name) {
  return [name](const NamedValues& row, const json&, const json&) { return at(row, name); };
}
// Totals are kept where they are not the counters once more.
Rule total(const char* name, const char* delta) {
  return [name, delta](const NamedValues& row, const json&, const json&) {
    const std::string own = at(row, std::string("extra.") + name);
    return own.empty() ? at(row, delta) : own;
  };
}
const std::map<std::string, Rule>& rules() {
  static const std::map<std::string, Rule> map = {
      // Deviation: a record without times has the window of its object, marked as estimated.
      {"start_time",
       [](const NamedValues& row, const json& record, const json& object) {
         const bool none = record["start_time"] == "" && at(row, "time_quality") == "estimated" && at(row, "flow_start") == object["capture_start_time"];
         return none ? std::string() : at(row, "flow_start");
       }},
      {"end_time",
       [](const NamedValues& row, const json& record, const json& object) {
         const bool none = record["end_time"] == "" && at(row, "time_quality") == "estimated" && at(row, "flow_end") == object["capture_end_time"];
         return none ? std::string() : at(row, "flow_end");
       }},
      {"connection_start_time",
       [](const NamedValues& row, const json&, const json&) {
         const std::string own = at(row, "extra.connection_start_time");
         return own.empty() ? at(row, "flow_start") : own;
       }},
      {"direction", [](const NamedValues& row, const json&, const json&) { return std::string(at(row, "direction") == "egress" ? "O" : at(row, "direction") == "ingress" ? "I" : ""); }},
      {"action", [](const NamedValues& row, const json&, const json&) { return at(row, "action") + "ed"; }},
      {"initiator_ip", column("src_ip")},
      {"target_ip", column("dst_ip")},
      {"initiator_port", column("src_port")},
      {"target_port", column("dst_port")},
      {"transport_protocol", column("protocol")},
      {"ether_type", [](const NamedValues& row, const json&, const json&) { return "IPv" + at(row, "ip_version"); }},
      {"was_initiated",
       [](const NamedValues& row, const json&, const json&) {
         return std::string(at(row, "flow_state") == "begin" || at(row, "extra.was_initiated") == "true" ? "true" : "false");
       }},
      {"was_terminated", [](const NamedValues& row, const json&, const json&) { return std::string(at(row, "flow_state") == "end" ? "true" : "false"); }},
      {"bytes_from_initiator", column("raw_bytes")},
      {"packets_from_initiator", column("raw_packets")},
      {"bytes_from_target", column("raw_reverse_bytes")},
      {"packets_from_target", column("raw_reverse_packets")},
      {"cumulative_bytes_from_initiator", total("cumulative_bytes_from_initiator", "raw_bytes")},
      {"cumulative_packets_from_initiator", total("cumulative_packets_from_initiator", "raw_packets")},
      {"cumulative_bytes_from_target", total("cumulative_bytes_from_target", "raw_reverse_bytes")},
      {"cumulative_packets_from_target", total("cumulative_packets_from_target", "raw_reverse_packets")},
  };
  return map;
}

std::string text_of(const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

TEST(ConformanceIbm, Objects) {
  SLUICE_NEED_DATA(folder());
  struct Case {
    const char* file;
    size_t flows;
    uint64_t bytes, reverse_bytes, packets;
    const char *direction, *action, *protocol;
  };
  // Counts as the manifest states them.
  const Case cases[] = {{"flow-log-1.json", 3, 3024, 1721, 12, "egress", "accept", "17"}, {"test.derived.json", 41, 1086, 0, 19, "ingress", "reject", "6"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.file);
    const std::string body = sluice::test::read_whole(folder() / c.file);
    const json object = json::parse(body);
    const Decoded d = run(decode_ibm_vpc, body);
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.report->rejected, 0u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    ASSERT_EQ(d.rows.size(), c.flows);
    ASSERT_EQ(object["flow_logs"].size(), c.flows);
    uint64_t bytes = 0, reverse = 0, packets = 0;
    size_t values = 0;
    for (size_t i = 0; i < d.rows.size(); ++i) {
      const NamedValues& row = d.rows[i];
      bytes += std::stoull(at(row, "raw_bytes"));
      reverse += std::stoull(at(row, "raw_reverse_bytes"));
      packets += std::stoull(at(row, "raw_packets"));
      EXPECT_EQ(at(row, "direction"), c.direction);
      EXPECT_EQ(at(row, "action"), c.action);
      EXPECT_EQ(at(row, "protocol"), c.protocol);
      const std::string side = c.direction == std::string("egress") ? "src_" : "dst_";
      EXPECT_EQ(at(row, side + "interface_id"), object["network_interface_id"].get<std::string>());
      for (const auto& [column_name, field] : {std::pair{"instance_id", "instance_crn"}, {"vpc_id", "vpc_crn"}}) {
        const std::string crn = object[field];
        EXPECT_EQ(at(row, side + column_name), crn.substr(crn.rfind(':') + 1));
      }
      EXPECT_EQ(at(row, side + "account_id"), "cdefe6d99f7ea459aacb25775fb88a33");
      EXPECT_EQ(at(row, side + "region"), "us-south");
      EXPECT_EQ(at(row, side + "zone"), "us-south-3");
      for (const auto& [field, value] : object["flow_logs"][i].items()) {
        const auto rule = rules().find(field);
        if (rule == rules().end()) {
          ADD_FAILURE() << "no rule for " << field;
          continue;
        }
        EXPECT_EQ(rule->second(row, object["flow_logs"][i], object), text_of(value)) << "record " << i << ", " << field;
        ++values;
      }
    }
    EXPECT_EQ(bytes, c.bytes);
    EXPECT_EQ(reverse, c.reverse_bytes);
    EXPECT_EQ(packets, c.packets);
    std::printf("  %-20s %zu flows, %zu values\n", c.file, d.rows.size(), values);
  }
}

TEST(ConformanceIbm, TheDerivedTotals) {
  SLUICE_NEED_DATA(folder());
  const Decoded d = run(decode_ibm_vpc, sluice::test::read_whole(folder() / "test.derived.json"));
  uint64_t cumulative = 0;
  size_t estimated = 0;
  for (const NamedValues& row : d.rows) {
    const std::string own = at(row, "extra.cumulative_bytes_from_initiator");
    cumulative += std::stoull(own.empty() ? at(row, "raw_bytes") : own);
    estimated += at(row, "time_quality") == "estimated";
  }
  EXPECT_EQ(cumulative, 2344u);
  EXPECT_EQ(estimated, 23u);
}

}  // namespace
}  // namespace sluice::ingest
