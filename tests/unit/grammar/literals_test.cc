#include "grammar/literals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

namespace sluice::grammar {
namespace {

TEST(Literals, WritersGiveWhatReadersTake) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bits = random() >> (random() % 64);
    const auto nanos = static_cast<int64_t>(bits >> 1);
    EXPECT_EQ(read_duration(write_duration(nanos)), nanos);
    EXPECT_EQ(read_size(write_size(bits)), bits) << write_size(bits);
    EXPECT_EQ(read_bit_rate(write_bit_rate(bits)), bits);
    const auto time = static_cast<int64_t>(random());
    EXPECT_EQ(read_timestamp(write_timestamp(time)), time) << write_timestamp(time);
    AddressBytes address{};
    for (uint8_t& byte : address) byte = random() % 3 == 0 ? static_cast<uint8_t>(random()) : 0;
    if (random() % 4 == 0) {
      address.fill(0);
      address[10] = address[11] = 0xff;
      address[13] = static_cast<uint8_t>(random());
    }
    EXPECT_EQ(read_address(write_address(address)), address) << write_address(address);
    double value = 0;
    static_assert(sizeof value == sizeof bits);
    std::memcpy(&value, &bits, sizeof value);
    if (std::isfinite(value) && value >= 0) {
      EXPECT_EQ(read_float(write_float(value)), value) << write_float(value);
    }
  }
}

TEST(Literals, CanonicalSpellings) {
  EXPECT_EQ(write_duration(0), "0s");
  EXPECT_EQ(write_duration(*read_duration("30d")), "30d");
  EXPECT_EQ(write_duration(*read_duration("14d")), "2w");
  EXPECT_EQ(write_duration(*read_duration("90m")), "1h30m");
  EXPECT_EQ(write_size(10'240), "10KiB");
  EXPECT_EQ(write_size(10'000), "10KB");
  EXPECT_EQ(write_size(0), "0B");
  EXPECT_EQ(write_size(1'000'001), "1000001B");
  EXPECT_EQ(write_float(100), "100.0");
  EXPECT_EQ(write_timestamp(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(write_timestamp(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(write_address(*read_address("2001:db8:0:0:1:0:0:1")), "2001:db8::1:0:0:1");  // RFC 5952 4.2.3
  EXPECT_EQ(write_address(*read_address("2001:db8:0:1:1:1:1:1")), "2001:db8:0:1:1:1:1:1");  // 4.2.2
  EXPECT_EQ(write_address(*read_address("::")), "::");
  EXPECT_EQ(write_address(*read_address("1::")), "1::");
}

TEST(Literals, Refused) {
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", ":", ":::", "1:2:3:4:5:6:7", "::1::",
                           "1:2:3:4:5:6:7:8:9", "12345::", "1:2:3:4:5:6:7::8", "::1.2.3", "g::", "1:", ":1", "fe80::1%eth0"})
    EXPECT_EQ(read_address(text), std::nullopt) << text;
  for (const char* text : {"", "1", "s", "1x", "1m1h", "1h1h", "-1s", "1 s", "1h ", "99999999999w", ".5s", "1.s", "1M"})
    EXPECT_EQ(read_duration(text), std::nullopt) << text;
  for (const char* text : {"", "B", "1", "1K", "1KiBB", "1XB", "99999999999EB", "1 KB", "1KBs"})
    EXPECT_EQ(read_size(text), std::nullopt) << text;
  for (const char* text : {"", "bps", "1kb", "1Pbps", "1 bps"}) EXPECT_EQ(read_bit_rate(text), std::nullopt) << text;
  for (const char* text : {"", "_1", "1_", "1__0", "0x", "0xg", "1e5", "18446744073709551616", "0x10000000000000000", "-1"})
    EXPECT_EQ(read_integer(text), std::nullopt) << text;
  for (const char* text : {"", "1", "1.", ".5", "1e", "1e400", "inf", "nan", "1.5x", "-1.5", "0x1p3"})
    EXPECT_EQ(read_float(text), std::nullopt) << text;
  for (const char* text : {"", "2026", "2026-11", "2026-11-2", "2026-13-01", "2026-02-29", "2026-11-20T", "2026-11-20T8:00", "2026-11-20T24:00",
                           "2026-11-20T08:60", "2026-11-20T08:00:", "2026-11-20T08:00:00.", "2026-11-20T08:00+2", "2026-11-20T08:00Zx",
                           "1600-01-01", "2300-01-01", "2026-11-20 "})
    EXPECT_EQ(read_timestamp(text), std::nullopt) << text;
  for (const char* text : {"", "00:1b:21:3c:9d", "00:1b:21:3c:9d:f", "00-1b-21-3c-9d-f8", "00:1b:21:3c:9d:fg"})
    EXPECT_EQ(read_mac(text), std::nullopt) << text;
}

TEST(Literals, TimesOfTheEdges) {
  EXPECT_EQ(read_timestamp("2024-02-29T12:00:00Z"), 1'709'208'000'000'000'000);
  EXPECT_EQ(read_timestamp("2026-11-20T00:30+01:00"), *read_timestamp("2026-11-19T23:30Z"));
  EXPECT_EQ(read_timestamp("2026-11-20T00:30-0130"), *read_timestamp("2026-11-20T02:00Z"));
  EXPECT_EQ(read_timestamp("2026-11-20t08:00:00.1234567891z"), *read_timestamp("2026-11-20T08:00:00.123456789Z"));
  EXPECT_TRUE(read_timestamp("1677-09-21T00:12:43.145224192Z").has_value());
  EXPECT_TRUE(read_timestamp("2262-04-11T23:47:16.854775807Z").has_value());
  EXPECT_FALSE(read_timestamp("2262-04-11T23:47:16.854775808Z").has_value());
}

}  // namespace
}  // namespace sluice::grammar
