#include "server/context_body.h"

#include <gtest/gtest.h>

#include "query/context_table.h"
#include "query/limits.h"

namespace sluice::server {
namespace {

TEST(ContextBodyTest, LinesOfJsonBecomeCsv) {
  const auto csv = csv_of_ndjson("{\"ip\":\"10.0.0.1\",\"owner\":\"ops, \\\"all\\\"\",\"rack\":7}\n\r\n"
                                 "{\"rack\":-1.5,\"ip\":\"10.0.0.0/8\",\"code\":\"007\",\"up\":true}\n"
                                 "{\"ip\":\"::1\",\"owner\":null,\"note\":\"a\\nb\"}");
  ASSERT_TRUE(csv.ok()) << csv.error().message;
  EXPECT_EQ(*csv, "ip,owner,rack,code:string,up,note\n"
                  "10.0.0.1,\"ops, \"\"all\"\"\",7,,,\n"
                  "10.0.0.0/8,,-1.5,007,true,\n"
                  "::1,,,,,\"a\nb\"\n");
  const auto table = query::ContextTable::read("t", "ip", *csv);
  ASSERT_TRUE(table.ok()) << table.error().message;
  EXPECT_EQ(table->rows(), 3u);
  EXPECT_EQ(table->values()[1].type.logical, LogicalType::float64);
  EXPECT_EQ(table->values()[2].column.string_at(1), "007");
}

TEST(ContextBodyTest, WhatIsWrongIsNamedByItsLine) {
  EXPECT_EQ(csv_of_ndjson("{\"a\":1}\n[1]").error().message, "line 2 of the body: this is not a JSON object");
  EXPECT_EQ(csv_of_ndjson("{\"a\":1").error().message, "line 1 of the body: this is not a JSON object");
  EXPECT_EQ(csv_of_ndjson("{\"a\":{}}").error().message, "line 1 of the body: 'a' is an object or array, and a table has text, numbers, true and false");
  EXPECT_EQ(*csv_of_ndjson("\n \n"), "");
  std::string wide = "{";
  for (size_t i = 0; i < limits::kContextColumnsMax; ++i) wide += (i ? ",\"m" : "\"m") + std::to_string(i) + "\":1";
  EXPECT_TRUE(csv_of_ndjson(wide + "}").ok());
  EXPECT_EQ(csv_of_ndjson(wide + ",\"more\":1}").error().code, ErrorCode::too_large);
  for (const char* bad : {"3", "\"a\"", "null", "[]", "{\"a\":1} x", "{\"a\":1e999}", "{\"a\":[1]}"}) EXPECT_EQ(csv_of_ndjson(bad).error().code, ErrorCode::parse) << bad;
  EXPECT_EQ(*csv_of_ndjson("{\"a\":1,\"a\":2.50}"), "a\n2.5\n") << "the last one, as everywhere";
}

// One line of three million members, or of as many brackets, once took a core for hours, or gigabytes.
TEST(ContextBodyTest, ALineCostsNoMoreThanItsBytes) {
  std::string members = "{\"k\":1";
  for (int i = 0; i < 1'000'000; ++i) members += ",\"m" + std::to_string(i) + "\":1";
  EXPECT_EQ(csv_of_ndjson(members + "}").error().code, ErrorCode::too_large);
  EXPECT_EQ(csv_of_ndjson("{\"k\":" + std::string(10'000'000, '[')).error().code, ErrorCode::parse);
  EXPECT_EQ(csv_of_ndjson(std::string(10'000'000, '[')).error().code, ErrorCode::parse);
  std::string again = "{\"k\":1";
  for (int i = 0; i < 1'000'000; ++i) again += ",\"k\":1";
  EXPECT_EQ(*csv_of_ndjson(again + "}"), "k\n1\n");
}

}  // namespace
}  // namespace sluice::server
