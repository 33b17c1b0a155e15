#include "query/context_table.h"

#include <gtest/gtest.h>

#include <random>

#include "query/limits.h"

namespace sluice::query {
namespace {

std::string error_of(const std::string& csv, std::string_view key = "") {
  const auto table = ContextTable::read("t", key, csv);
  return table.ok() ? "" : table.error().message;
}

TEST(ContextTableTest, TypesAreTheNarrowestThatAllFieldsFit) {
  const auto table = ContextTable::read("t", "", "k,u,i,f,a,t,b,s,zeros,empty,declared:string\r\n"
                                                 "x,1,-1,0.5,10.0.0.1,2026-11-20,true,1h,007,,5\r\n"
                                                 "y,2,2,1,::1,2026-11-20T08:00:00+02:00,False,x,1,,\r\n");
  ASSERT_TRUE(table.ok()) << table.error().message;
  using L = LogicalType;
  const L expected[] = {L::uint, L::int64, L::float64, L::ip, L::timestamp, L::boolean, L::string, L::string, L::string, L::string};
  ASSERT_EQ(table->values().size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(table->values()[i].type.logical, expected[i]) << table->values()[i].name;
  EXPECT_EQ(table->values()[6].column.string_at(1), "x");
  EXPECT_TRUE(table->values()[8].column.is_null(0));
  EXPECT_EQ(table->values()[4].column.int_at(1), *parse_timestamp("2026-11-20T06:00:00Z"));
  EXPECT_EQ(table->values()[5].column.uint_at(1), 0u);
  EXPECT_EQ(table->value_at("ZEROS"), 7u);
  EXPECT_FALSE(table->value_at("k"));
}

TEST(ContextTableTest, WhatIsWrongIsNamedByItsLine) {
  EXPECT_EQ(error_of(""), "the CSV is empty: its first line names the columns");
  EXPECT_EQ(error_of("ip\n10.0.0.1"), "line 1 of the CSV: there is no column beside the key");
  EXPECT_EQ(error_of("ip,valid_to\n10.0.0.1,"), "line 1 of the CSV: there is no column beside the key");
  EXPECT_EQ(error_of("ip,\n"), "line 1 of the CSV: column 2 has no name");
  EXPECT_EQ(error_of("ip,a,A\n"), "line 1 of the CSV: two columns are called 'A'");
  EXPECT_EQ(error_of("ip,a:colour\n"), "line 1 of the CSV: 'colour' is no type: one of uint, int, float, ip, timestamp, bool, string");
  EXPECT_EQ(error_of("ip:bool,a\n"), "line 1 of the CSV: a key is ip, uint or string, not bool");
  EXPECT_EQ(error_of("valid_from,a\n"), "line 1 of the CSV: 'valid_from' says when a row holds, and cannot be the key");
  EXPECT_EQ(error_of("ip,a\n\"x\ny\",1\n,2"), "line 4 of the CSV: the key is empty");
  EXPECT_EQ(error_of("ip,a\nx,\"1\" \n"), "line 2 of the CSV: text follows a quoted field");
  EXPECT_EQ(error_of("ip,a,valid_from,valid_to\nx,1,2026-11-20,2026-11-20\n"), "line 2 of the CSV: valid_to is not after valid_from");
  EXPECT_EQ(ContextTable::read("", "", "ip,a\n").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(ContextTable::read(std::string(limits::kListNameBytesMax + 1, 'x'), "", "ip,a\n").error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(ContextTable::read(std::string(limits::kListNameBytesMax, 'x'), "", "ip,a\n").ok());
}

TEST(ContextTableTest, BoundsHoldAtTheirEdge) {
  std::string header = "k";
  for (size_t i = 1; i < limits::kContextColumnsMax; ++i) header += ",c" + std::to_string(i);
  EXPECT_EQ(error_of(header + "\n"), "");
  EXPECT_EQ(ContextTable::read("t", "", header + ",more\n").error().code, ErrorCode::too_large);
  // Rows of two fields are as many as rows may be; of all columns, as many as fields may be.
  std::string csv = "k,v\n";
  for (size_t i = 0; i < limits::kContextRowsMax; ++i) csv += "1,\n";
  const auto most = ContextTable::read("t", "", csv);
  ASSERT_TRUE(most.ok()) << most.error().message;
  EXPECT_EQ(most->rows(), limits::kContextRowsMax);
  EXPECT_EQ(most->find(uint64_t{1}, 0), limits::kContextRowsMax - 1);
  const auto beyond = ContextTable::read("t", "", csv + "1,\n");
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, ErrorCode::too_large);
  static_assert(limits::kContextFieldsMax % limits::kContextColumnsMax == 0);
  csv = header + "\n";
  const std::string row = "1" + std::string(limits::kContextColumnsMax - 1, ',') + "\n";
  for (size_t i = 0; i < limits::kContextFieldsMax / limits::kContextColumnsMax; ++i) csv += row;
  EXPECT_EQ(error_of(csv), "");
  EXPECT_EQ(ContextTable::read("t", "", csv + row).error().code, ErrorCode::too_large);
}

// The plain twin: all rows looked through, the longest block that holds the address and the moment, of those alike the last.
struct PlainRow {
  Prefix prefix;
  TimestampNs from, to;
};
uint32_t plain_find(const std::vector<PlainRow>& rows, const IpAddress& address, TimestampNs at) {
  uint32_t best = ContextTable::kNone;
  for (uint32_t i = 0; i < rows.size(); ++i) {
    const PlainRow& r = rows[i];
    if (!r.prefix.contains(address) || at < r.from || at >= r.to) continue;
    if (best == ContextTable::kNone || r.prefix.length >= rows[best].prefix.length) best = i;
  }
  return best;
}

TEST(ContextTableTest, FindsWhatLookingThroughAllRowsFinds) {
  std::mt19937_64 random(7);
  size_t found = 0, missed = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<PlainRow> rows;
    std::string csv = "ip,n,valid_from,valid_to\n";
    const auto time = [&](uint64_t bound) { return static_cast<TimestampNs>(1 + random() % bound) * kSecond; };
    for (size_t n = random() % 40; n > 0; --n) {
      const bool v6 = random() % 4 == 0;
      const uint8_t length = v6 ? static_cast<uint8_t>(random() % 129) : static_cast<uint8_t>(96 + random() % 33);
      const IpAddress base = v6 ? IpAddress::from_halves(0x20010db800000000, random() % 4) : IpAddress::v4(0x0a000000 | static_cast<uint32_t>(random() % 8));
      PlainRow r{Prefix::of(base, length), kTimestampMin, kTimestampMax};
      if (random() % 3 > 0) r.from = time(20);
      if (random() % 3 > 0) r.to = std::max(r.from, TimestampNs{0}) + time(10);
      rows.push_back(r);
      csv += to_string(r.prefix) + "," + std::to_string(rows.size()) + "," + (r.from == kTimestampMin ? "" : format_timestamp(r.from)) + "," +
             (r.to == kTimestampMax ? "" : format_timestamp(r.to)) + "\n";
    }
    const auto table = ContextTable::read("t", "ip", csv);
    ASSERT_TRUE(table.ok()) << table.error().message << "\n" << csv;
    for (int question = 0; question < 60; ++question) {
      const IpAddress ip = random() % 4 == 0 ? IpAddress::from_halves(0x20010db800000000, random() % 4) : IpAddress::v4(0x0a000000 | static_cast<uint32_t>(random() % 8));
      const TimestampNs at = static_cast<TimestampNs>(random() % 32) * kSecond;
      const uint32_t expected = rows.empty() ? ContextTable::kNone : plain_find(rows, ip, at);
      // A table without rows has text for keys.
      const uint32_t got = rows.empty() ? table->find(std::string_view("x"), at) : table->find(ip, at);
      ASSERT_EQ(got, expected) << csv << to_string(ip) << " at " << format_timestamp(at);
      ++(got == ContextTable::kNone ? missed : found);
    }
  }
  EXPECT_GT(found, 1'000u);
  EXPECT_GT(missed, 1'000u);
}

TEST(ContextTableTest, BooksChangeByCopy) {
  const auto book = std::make_shared<TableBook>();
  const auto with = book->with(std::make_shared<ContextTable>(*ContextTable::read("Assets", "", "ip,owner\n10.0.0.1,x\n")));
  EXPECT_EQ(book->find("assets"), nullptr);
  ASSERT_NE(with->find("ASSETS"), nullptr);
  EXPECT_EQ(with->byte_size(), with->find("assets")->csv().size());
  EXPECT_EQ(with->without("assets")->find("assets"), nullptr);
  EXPECT_EQ(tables_table(*with).rows, 1u);
}

}  // namespace
}  // namespace sluice::query
