// The table of groups against a map of printed keys: whatever the layout, one number per key.
#include "query/group_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>

namespace sluice::query {
namespace {

std::string print(const Column& c, size_t row) {
  if (c.is_null(row)) return "-";
  switch (c.type()) {
    case PhysicalType::Ip: return to_string(c.ip_at(row));
    case PhysicalType::Str: return "'" + std::string(c.string_at(row)) + "'";
    case PhysicalType::F64: return std::to_string(c.float_at(row) + 0.0);
    default: return std::to_string(c.uint_at(row));
  }
}

Type type_of(PhysicalType physical) {
  Type type = Type::of(LogicalType::uint);
  type.physical = physical;
  return type;
}

// `spread` is how many values there are; nulls where `nulls`.
ColumnPtr random_column(PhysicalType type, size_t rows, uint64_t spread, bool nulls, bool coded, std::mt19937_64& random) {
  Column c(type);
  if (coded) {
    std::vector<IpAddress> ips;
    for (uint64_t v = 0; v < spread; ++v) ips.push_back(IpAddress::v4(static_cast<uint32_t>(v * 7)));
    std::vector<uint32_t> codes(rows);
    Bitmap valid(nulls ? rows : 0, true);
    for (size_t i = 0; i < rows; ++i) {
      codes[i] = static_cast<uint32_t>(random() % spread);
      if (nulls && random() % 5 == 0) valid.set(i, false), codes[i] = UINT32_MAX;
    }
    return std::make_shared<Column>(Column::coded(std::make_shared<MemoryDictionary>(std::move(ips), true), std::move(codes), std::move(valid)));
  }
  for (size_t i = 0; i < rows; ++i) {
    const uint64_t v = random() % spread;
    if (nulls && random() % 5 == 0)
      c.append_null();
    else if (type == PhysicalType::Ip)
      c.append(IpAddress::v4(static_cast<uint32_t>(v * 7)));
    else if (type == PhysicalType::Str)
      c.append_string(std::string(v % 20, 'x') + std::to_string(v));
    else if (type == PhysicalType::F64)
      c.append(v == 0 ? -0.0 : static_cast<double>(v - 1));  // both zeros are one key
    else
      c.append_uint(type == PhysicalType::I64 ? v * 60'000'000'000 - 1'000 : v);
  }
  return std::make_shared<Column>(std::move(c));
}

struct Shape {
  std::vector<PhysicalType> types;
  std::vector<uint64_t> spreads;
};

TEST(GroupTableTest, NumbersKeysAsAMapDoes) {
  using enum PhysicalType;
  const Shape shapes[] = {
      {{Ip}, {5'000}},         {{Str}, {3}},           {{U16}, {65'536}},           {{I64, U8}, {2, 3}},
      {{I64, U8}, {30, 250}},  {{Ip, Ip}, {900, 900}}, {{Ip, Ip, U16, U8}, {40, 2'000, 60'000, 4}},
      {{U64, F64, Str}, {1'000'000, 9, 50}},           {{I64, I64, I64}, {70, 2, 1}}, {{F64}, {100}},
  };
  std::mt19937_64 random(7);
  for (const Shape& shape : shapes)
    for (const bool nulls : {false, true}) {
      std::vector<Type> types;
      for (const PhysicalType t : shape.types) types.push_back(type_of(t));
      // Two tables as two workers have them, then joined.
      GroupTable tables[2] = {GroupTable(types), GroupTable(types)};
      std::map<std::string, uint32_t> expected[2];
      std::vector<std::string> printed[2];
      for (int chunk = 0; chunk < 12; ++chunk) {
        const int t = chunk % 2;
        const size_t rows = chunk < 4 ? 1 + random() % 50 : 5'000;
        std::vector<ColumnPtr> columns;
        for (size_t k = 0; k < types.size(); ++k)
          columns.push_back(random_column(shape.types[k], rows, shape.spreads[k], nulls, shape.types[k] == Ip && chunk % 3 == 0, random));
        std::vector<uint32_t> groups;
        tables[t].find(columns, rows, groups);
        ASSERT_EQ(groups.size(), rows);
        for (size_t i = 0; i < rows; ++i) {
          std::string key;
          for (const auto& c : columns) key += print(*c, i) + ",";
          const auto [it, added] = expected[t].try_emplace(key, groups[i]);
          ASSERT_EQ(it->second, groups[i]) << key;
          if (groups[i] >= printed[t].size()) printed[t].resize(groups[i] + 1);
          if (added) printed[t][groups[i]] = key;
        }
        ASSERT_EQ(tables[t].size(), expected[t].size());
      }
      const std::vector<uint32_t> map = tables[0].merge(tables[1]);
      ASSERT_EQ(map.size(), tables[1].size());
      for (size_t g = 0; g < map.size(); ++g) {
        const auto [it, added] = expected[0].try_emplace(printed[1][g], map[g]);
        ASSERT_EQ(it->second, map[g]) << printed[1][g];
        if (map[g] >= printed[0].size()) printed[0].resize(map[g] + 1);
        printed[0][map[g]] = printed[1][g];
      }
      ASSERT_EQ(tables[0].size(), expected[0].size());
      std::vector<uint32_t> all(tables[0].size());
      std::iota(all.begin(), all.end(), 0u);
      std::vector<std::string> keys(all.size());
      for (size_t k = 0; k < types.size(); ++k) {
        const Column c = tables[0].keys(k, all);
        for (size_t g = 0; g < all.size(); ++g) keys[g] += print(c, g) + ",";
      }
      EXPECT_EQ(keys, printed[0]);
      EXPECT_GT(tables[0].byte_size(), 0u);
    }
}

// Values by the codes of a dictionary are the groups that rows of them are.
TEST(GroupTableTest, ValuesOfADictionaryAreTheGroupsOfItsRows) {
  std::mt19937_64 random(5);
  for (const PhysicalType type : {PhysicalType::Ip, PhysicalType::Str}) {
    GroupTable by_row({type_of(type)}), by_value({type_of(type)});
    ASSERT_TRUE(by_row.is_of_values());
    for (int segment = 0; segment < 5; ++segment) {
      // Dictionaries share some of their values.
      const uint32_t size = 300;
      std::vector<IpAddress> ips;
      StringVector texts;
      for (uint32_t v = 0; v < size; ++v) {
        const auto value = static_cast<uint32_t>(v + 100 * static_cast<uint32_t>(segment));
        ips.push_back(IpAddress::v4(value));
        texts.push_back(std::to_string(value));
      }
      const auto dictionary = type == PhysicalType::Ip ? std::make_shared<MemoryDictionary>(ips, true) : std::make_shared<MemoryDictionary>(texts, false);
      std::vector<uint32_t> codes(size), groups, found(size);
      std::iota(codes.begin(), codes.end(), 0u);
      std::shuffle(codes.begin(), codes.end(), random);
      codes.resize(200);
      const ColumnPtr column = std::make_shared<Column>(Column::coded(dictionary, codes));
      by_row.find(std::span(&column, 1), codes.size(), groups);
      by_value.find_values(*dictionary, codes, found.data(), nullptr);
      ASSERT_EQ(by_row.size(), by_value.size());
      for (size_t i = 0; i < codes.size(); ++i) ASSERT_EQ(groups[i], found[i]);
    }
    std::vector<uint32_t> all(by_row.size());
    std::iota(all.begin(), all.end(), 0u);
    const Column a = by_row.keys(0, all), b = by_value.keys(0, all);
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(print(a, i), print(b, i));
  }
  EXPECT_FALSE(GroupTable({type_of(PhysicalType::U16)}).is_of_values());
  EXPECT_FALSE(GroupTable({type_of(PhysicalType::Ip), type_of(PhysicalType::Ip)}).is_of_values());
}

}  // namespace
}  // namespace sluice::query
