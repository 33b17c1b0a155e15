// Azure flow logs against published blobs and what their origins, or a count of the files, say of them
// (conformance/cloud/MANIFEST.md). The data is no part of this repository; without it the tests are skipped. Besides the
// counts, every value of every tuple is held against the file as a general JSON library reads it.

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "ingest/source/azure_flow.h"
#include "tests/conformance/data.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using nlohmann::json;
using test::Decoded;
using test::NamedValues;
using test::run;

std::filesystem::path data() { return sluice::test::conformance("cloud"); }

struct Case {
  const char* file;
  size_t records, tuples;
  std::map<std::string, size_t> states, protocols;  // as the tuple writes them
  uint64_t packets, bytes;                          // over both directions
};

std::vector<std::string> fields_of(const std::string& tuple) {
  std::vector<std::string> out(1);
  for (const char c : tuple)
    if (c == ',')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

struct Wanted {
  std::vector<std::string> fields;
  std::string rule, mac;
  bool vnet;
};

std::vector<Wanted> wanted(const json& body) {
  std::vector<Wanted> out;
  for (const json& record : body["records"]) {
    if (record.contains("flowRecords")) {
      for (const json& flow : record["flowRecords"]["flows"])
        for (const json& group : flow["flowGroups"])
          for (const json& tuple : group["flowTuples"]) out.push_back({fields_of(tuple), group["rule"], record["macAddress"], true});
    } else {
      for (const json& rule : record["properties"]["flows"])
        for (const json& flow : rule["flows"])
          for (const json& tuple : flow["flowTuples"]) out.push_back({fields_of(tuple), rule["rule"], flow["mac"], false});
    }
  }
  return out;
}

// One tuple's values against our row; how many were compared.
size_t compare(const NamedValues& row, const Wanted& want) {
  const auto at = [&](const std::string& column) {
    const auto it = row.find(column);
    return it == row.end() ? std::string() : it->second;
  };
  const auto& f = want.fields;
  const auto end = parse_timestamp(at("flow_end"));
  EXPECT_TRUE(end.has_value());
  EXPECT_EQ(std::to_string(end.value_or(0) / (want.vnet ? kMillisecond : kSecond)), f[0]);
  EXPECT_EQ(at("src_ip"), f[1]);
  EXPECT_EQ(at("dst_ip"), f[2]);
  EXPECT_EQ(at("src_port"), f[3]);
  EXPECT_EQ(at("dst_port"), f[4]);
  EXPECT_EQ(at("protocol"), f[5] == "T" ? "6" : f[5] == "U" ? "17" : f[5]);
  EXPECT_EQ(at("direction"), f[6] == "I" ? "ingress" : "egress");
  const std::string state = want.vnet ? f[7] : f[8];
  const bool denied = f[7] == "D";
  EXPECT_EQ(at("action"), denied ? "reject" : "accept");
  EXPECT_EQ(at("flow_state"), state == "B" ? "begin" : state == "C" ? "continue" : state == "E" ? "end" : "");
  if (want.vnet) {
    EXPECT_EQ(at("encryption"), f[8]);
  }
  EXPECT_EQ(at("raw_packets"), f[9]);
  EXPECT_EQ(at("raw_bytes"), f[10]);
  EXPECT_EQ(at("raw_reverse_packets"), f[11]);
  EXPECT_EQ(at("raw_reverse_bytes"), f[12]);
  EXPECT_EQ(at("rule_name"), want.rule);
  EXPECT_EQ(at(f[6] == "I" ? "dst_mac" : "src_mac"), std::to_string(*parse_mac(want.mac)));
  EXPECT_EQ(at(f[6] == "I" ? "src_mac" : "dst_mac"), "");
  // The start: exact where a begin, a denial or the tuple before says it, else at most one interval earlier and marked.
  const auto start = parse_timestamp(at("flow_start"));
  EXPECT_TRUE(start.has_value());
  if (state == "B" || denied) {
    EXPECT_EQ(start, end);
    EXPECT_EQ(at("time_quality"), "exact");
  } else if (at("time_quality") == "estimated") {
    EXPECT_GE(*start, *end - 5 * kMinute);
  } else {
    EXPECT_EQ(at("time_quality"), "exact");
  }
  EXPECT_LE(*start, *end);
  return 18;
}

TEST(ConformanceAzure, PublishedBlobs) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  const Case cases[] = {
      {"azure_vnet/blob_fixtures_vnetflowlogs.json", 8, 166, {{"B", 10}, {"C", 4}, {"E", 18}, {"D", 134}}, {{"6", 156}, {"17", 10}}, 216, 152'620},
      {"azure_vnet/blob_fixtures_subnetflowlogs.json", 4, 68, {{"B", 12}, {"E", 14}, {"D", 42}}, {{"6", 64}, {"17", 4}}, 120, 56'464},
      {"real/SumoLogic_sumologic-azure-function/blob_fixtures.json", 8, 153, {{"B", 36}, {"C", 3}, {"E", 39}, {"D", 75}}, {}, 186, 77'945},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.file);
    const std::string body = sluice::test::read_whole(data() / c.file);
    const Decoded d = run(decode_azure, body);
    ASSERT_TRUE(d.report.ok());
    EXPECT_EQ(d.report->rejected + d.report->ignored, 0u) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    ASSERT_EQ(d.rows.size(), c.tuples);
    const json parsed = json::parse(body);
    ASSERT_EQ(parsed["records"].size(), c.records);
    const auto want = wanted(parsed);
    ASSERT_EQ(want.size(), c.tuples);
    std::map<std::string, size_t> states, protocols;
    uint64_t packets = 0, bytes = 0;
    size_t values = 0, estimated = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      values += compare(d.rows[i], want[i]);
      const auto& row = d.rows[i];
      ++states[row.at("action") == "reject" ? "D" : row.at("flow_state") == "begin" ? "B" : row.at("flow_state") == "continue" ? "C" : "E"];
      ++protocols[row.at("protocol")];
      for (const char* column : {"raw_packets", "raw_reverse_packets"})
        if (row.contains(column)) packets += std::stoull(row.at(column));
      for (const char* column : {"raw_bytes", "raw_reverse_bytes"})
        if (row.contains(column)) bytes += std::stoull(row.at(column));
      estimated += row.at("time_quality") == "estimated";
    }
    EXPECT_EQ(states, c.states);
    if (!c.protocols.empty()) {
      EXPECT_EQ(protocols, c.protocols);
    }
    EXPECT_EQ(packets, c.packets);
    EXPECT_EQ(bytes, c.bytes);
    std::printf("  %-62s %3zu flows %4zu values, %zu starts estimated\n", c.file, d.rows.size(), values, estimated);

    // While the hour goes on the blob lacks its end; and it is read in pieces, each a few records with a comma before.
    const Decoded growing = run(decode_azure, std::string_view(body).substr(0, body.find_last_of('}', body.find_last_of('}') - 1) + 1));
    EXPECT_EQ(growing.rows, d.rows);
    std::vector<NamedValues> pieces;
    for (const json& record : parsed["records"]) {
      const Decoded piece = run(decode_azure, "," + record.dump());
      EXPECT_EQ(piece.report->rejected, 0u);
      pieces.insert(pieces.end(), piece.rows.begin(), piece.rows.end());
    }
    ASSERT_EQ(pieces.size(), d.rows.size());
    // Cut anywhere, only the record that is cut is lost.
    for (size_t cut = 0; cut < body.size(); cut += 97) {
      const Decoded part = run(decode_azure, std::string_view(body).substr(0, cut));
      ASSERT_TRUE(part.report.ok());
      ASSERT_LE(part.rows.size(), d.rows.size());
      for (size_t i = 0; i < part.rows.size(); ++i) ASSERT_EQ(part.rows[i], d.rows[i]);
      EXPECT_LE(part.report->rejected, 1u);
    }
  }
}

// What has no counterpart here, on purpose.
TEST(ConformanceAzure, TrafficAnalyticsIsNoFlowLog) {
  SLUICE_NEED_DATA(data() / "MANIFEST.md");
  // real/microsoft_msticpy/az_net_flows.csv is an export of Traffic Analytics: flows already aggregated, without source ports
  // and counters, as CSV. It is refused record by record with a reason, not taken for flows.
  const Decoded d = run(decode_azure, sluice::test::read_whole(data() / "real/microsoft_msticpy/az_net_flows.csv"));
  ASSERT_TRUE(d.report.ok());
  EXPECT_TRUE(d.rows.empty());
  EXPECT_GE(d.report->rejected, 460u);
  std::printf("  deviation: real/microsoft_msticpy/az_net_flows.csv: Traffic Analytics rows are aggregates, not flow tuples; every line is rejected with a reason\n");
}

}  // namespace
}  // namespace sluice::ingest
