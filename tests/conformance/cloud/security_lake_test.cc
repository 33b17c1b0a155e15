// AWS's own pairs of VPC flow records and the OCSF Network Activity events that Security Lake makes of them: our rows, asked by
// OCSF names, against the event. Whatever an event holds has a column of that name here, or a reason below.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>

#include "ingest/source/aws_vpc.h"
#include "ingest/source/parquet.h"
#include "tests/conformance/data.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using nlohmann::json;
using test::Decoded;
using test::NamedValues;
using test::run;

std::filesystem::path file() { return sluice::test::conformance("cloud/security_lake/VPC_FLOW/decoded.json"); }

// Every leaf of an event with its path; lists as they are printed.
void leaves(const json& value, const std::string& path, std::map<std::string, json>& out) {
  if (value.is_object())
    for (const auto& [key, inner] : value.items()) leaves(inner, path.empty() ? key : path + "." + key, out);
  else
    out[path] = value;
}

std::string at(const NamedValues& row, std::string_view column) {
  const auto it = row.find(std::string(column));
  return it == row.end() ? "" : it->second;
}

// What a name of OCSF finds in a row.
std::string by_name(const NamedValues& row, const std::string& name, bool& known) {
  const auto meaning = find_column(name);
  known = meaning.has_value();
  if (!known) return {};
  switch (meaning->kind) {
    case ColumnName::Kind::stored: return at(row, column_spec(meaning->stored).name);
    // The record is not sampled: scaled and raw are the same.
    case ColumnName::Kind::derived: return at(row, "raw_" + std::string(derived_columns()[static_cast<size_t>(meaning->derived)].name));
    case ColumnName::Kind::either: {
      const std::string src = at(row, column_spec(meaning->either->src).name);
      return src.empty() ? at(row, column_spec(meaning->either->dst).name) : src;
    }
  }
  return {};
}

// Paths whose name or value differs, and how. A deviation with no name is not looked at, for its reason.
struct Deviation {
  const char* path;
  const char* ours;  // the name to ask for instead; nullptr: none
  const char* reason;
};
constexpr Deviation kDeviations[] = {
    {"cloud.account_uid", "cloud.account.uid", "the account is an object of its own since OCSF 1.0"},
    {"connection_info.protocol_ver", "connection_info.protocol_ver_id", "text beside the id in release candidates"},
    {"traffic.bytes", "traffic.bytes_out", "the sum of both directions; a record of one direction has one"},
    {"traffic.packets", "traffic.packets_out", "as traffic.bytes"},
    {"time", "start_time", "Security Lake takes the window's start; here `time` is flow_end, which ranges use"},
    {"disposition", "disposition_id", "text beside the id"},
    {"connection_info.direction", "connection_info.direction_id", "text beside the id"},
    {"unmapped.sublocation_id", "extra", "in extra, where it is said"},
    {"unmapped.sublocation_type", "extra", "in extra, where it is said"},
    {"connection_info.boundary", nullptr, "text beside boundary_id"},
    {"activity_id", nullptr, "OCSF's view of action: 5 Refuse, 6 Traffic; disposition_id holds it"},
    {"activity_name", nullptr, "text beside the id"},
    {"type_uid", nullptr, "class and activity once more"},
    {"type_name", nullptr, "class and activity once more"},
    {"class_uid", nullptr, "the same for every flow"},
    {"class_name", nullptr, "the same for every flow"},
    {"category_uid", nullptr, "the same for every flow"},
    {"category_name", nullptr, "the same for every flow"},
    {"severity_id", nullptr, "the same for every flow"},
    {"severity", nullptr, "the same for every flow"},
    {"metadata.product.version", nullptr, "the version of the record format, of which nothing follows"},
    {"metadata.product.name", nullptr, "the same for every record of a source; `source` tells it"},
    {"metadata.product.feature.name", nullptr, "the same for every record of a source"},
    {"metadata.product.vendor_name", nullptr, "the same for every record of a source"},
    {"metadata.profiles", nullptr, "says which parts of OCSF an event uses"},
    {"metadata.version", nullptr, "the version of OCSF"},
};

// An event's value as our column would have it.
std::string wanted(const std::string& path, const json& value) {
  if (value.is_null() || value == "-") return "";
  if (path == "time" || path == "start_time" || path == "end_time") return format_timestamp(value.get<int64_t>() * kMillisecond);
  if (path == "cloud.provider") return value == "AWS" ? "aws" : "?";
  if (path == "connection_info.protocol_ver") return value == "IPv4" ? "4" : "6";
  if (path == "connection_info.direction_id") return value == 1 ? "ingress" : value == 2 ? "egress" : "?";
  if (path == "connection_info.direction") return value == "Inbound" ? "ingress" : value == "Outbound" ? "egress" : "?";
  if (path == "connection_info.boundary_id") return value == 99 ? "" : value.dump();  // 99: other, of a "-"
  if (path == "disposition_id") return value == 1 ? "accept" : value == 2 ? "reject" : "?";
  if (path == "disposition") return value == "Allowed" ? "accept" : value == "Blocked" ? "reject" : "?";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

TEST(ConformanceSecurityLake, RowsAnswerToTheNamesOfOcsf) {
  SLUICE_NEED_DATA(file());
  std::ifstream in(file());
  const json pairs = json::parse(in)["pairs"];
  ASSERT_EQ(pairs.size(), 2u);
  for (const json& pair : pairs) {
    SCOPED_TRACE(pair["input"].get<std::string>());
    std::string header, body;
    const json& rows = pair["input_rows"];
    for (const auto& [field, value] : rows[0].items()) header += (header.empty() ? "" : " ") + field;
    for (const json& row : rows) {
      std::string line;
      for (const auto& [field, value] : row.items()) line += (line.empty() ? "" : " ") + (value.is_string() ? value.get<std::string>() : value.dump());
      body += line + "\n";
    }
    const Decoded d = run(decode_aws_vpc, header + "\n" + body);
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    ASSERT_EQ(d.rows.size(), pair["expected_rows"].size()) << (d.report->errors.empty() ? "" : d.report->errors[0].reason);
    for (size_t i = 0; i < d.rows.size(); ++i) {
      std::map<std::string, json> event;
      leaves(pair["expected_rows"][i], "", event);
      size_t values = 0, reasons = 0;
      for (const auto& [path, value] : event) {
        const auto* deviation = std::find_if(std::begin(kDeviations), std::end(kDeviations), [&path = path](const Deviation& x) { return path == x.path; });
        if (deviation != std::end(kDeviations) && deviation->ours == nullptr) {
          ++reasons;
          continue;
        }
        std::string ours;
        bool known = true;
        if (path.substr(0, 9) == "unmapped.")
          ours = at(d.rows[i], "extra." + path.substr(9));
        else
          ours = by_name(d.rows[i], deviation != std::end(kDeviations) ? deviation->ours : path, known);
        EXPECT_TRUE(known) << "no column answers to " << path;
        EXPECT_EQ(ours, wanted(path, value)) << path;
        ++values;
      }
      std::printf("  %-40s %zu values, %zu not kept for a reason\n", pair["input"].get<std::string>().c_str(), values, reasons);
      EXPECT_GE(values, 30u);
    }
  }
}

// The Parquet files themselves: the records as AWS wrote them, and the events that Security Lake made of them, both read as flows.
TEST(ConformanceSecurityLake, ParquetOfRecordsAndOfEventsGivesTheSameRows) {
  SLUICE_NEED_DATA(file());
  if (!has_parquet()) GTEST_SKIP() << "this build reads no Parquet: it was made without Apache Arrow (scripts/arrow), so the four files were not read";
  std::ifstream in(file());
  const json pairs = json::parse(in)["pairs"];
  const auto bytes_of = [](const std::filesystem::path& path) {
    std::ifstream parquet(path, std::ios::binary);
    EXPECT_TRUE(parquet) << path;
    return std::string(std::istreambuf_iterator<char>(parquet), {});
  };
  for (const json& pair : pairs) {
    SCOPED_TRACE(pair["input"].get<std::string>());
    std::string header, line;
    for (const auto& [field, value] : pair["input_rows"][0].items()) {
      header += (header.empty() ? "" : " ") + field;
      line += (line.empty() ? "" : " ") + (value.is_string() ? value.get<std::string>() : value.dump());
    }
    const Decoded text = run(decode_aws_vpc, header + "\n" + line + "\n");
    ASSERT_EQ(text.rows.size(), 1u);
    const Decoded records = run(decode_aws_vpc, bytes_of(file().parent_path() / pair["input"].get<std::string>()));
    ASSERT_TRUE(records.report.ok()) << records.report.error().message;
    EXPECT_EQ(records.rows, text.rows);
    const Decoded events = run(decode_aws_vpc, bytes_of(file().parent_path() / pair["expected"].get<std::string>()));
    ASSERT_TRUE(events.report.ok()) << events.report.error().message;
    EXPECT_EQ(events.rows, text.rows);
  }
}

}  // namespace
}  // namespace sluice::ingest
