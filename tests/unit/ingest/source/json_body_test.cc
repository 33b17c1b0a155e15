#include "ingest/source/json_body.h"

#include <gtest/gtest.h>

#include "ingest/source/scalar_text.h"

namespace sluice::ingest {
namespace {

TEST(JsonBody, ReadsScalarsWhicheverWayTheyAreWritten) {
  json::Document document;
  const std::string text = R"({"n":12,"s":"12","f":443.0,"t":true,"x":null,"d":"-","e":"","o":{"p":1},"u":"\u00e9","last":-5 })";
  json::ondemand::object object;
  ASSERT_EQ(document.open(text, text.data() + text.size(), object), simdjson::SUCCESS);
  std::string seen;
  const auto error = json::each_field(object, [&](std::string_view key, json::ondemand::value v) {
    json::Scalar s;
    const auto e = json::read_scalar(v, s);
    seen += std::string(key) + "=" + (s.is_nested() ? "{}" : std::string(s.text)) + (s.is_nothing() ? "(nothing) " : " ");
    return e;
  });
  EXPECT_EQ(error, simdjson::SUCCESS);
  EXPECT_EQ(seen, "n=12 s=12 f=443.0 t=true x=(nothing) d=-(nothing) e=(nothing) o={} u=\xc3\xa9 last=-5 ");
}

TEST(ScalarText, WholeNumbers) {
  uint64_t v = 0;
  for (const char* text : {"443", "443.0", "4.43e2", "44300E-2", "443.000"}) {
    EXPECT_TRUE(parse_whole(text, 65535, v)) << text;
    EXPECT_EQ(v, 443u) << text;
  }
  EXPECT_TRUE(parse_whole("18446744073709551615", UINT64_MAX, v));
  EXPECT_EQ(v, UINT64_MAX);
  for (const char* text : {"443.5", "-1", "65536", "", "x", "1e", "1e99999999999", "0x10", "18446744073709551616", "."})
    EXPECT_FALSE(parse_whole(text, 65535, v)) << text;
}

TEST(ScalarText, TimesWithoutLoss) {
  EXPECT_EQ(parse_epoch("1591367999.305988"), 1591367999305988000);
  EXPECT_EQ(parse_epoch("1591367999.000000001"), 1591367999000000001);
  EXPECT_EQ(parse_epoch("1.591367999305988e9"), 1591367999305988000);
  EXPECT_EQ(parse_epoch("1591367999"), 1591367999000000000);
  EXPECT_EQ(parse_epoch("1591367999305"), 1591367999305000000);
  EXPECT_EQ(parse_epoch("1591367999305988"), 1591367999305988000);
  EXPECT_EQ(parse_epoch("1591367999305988001"), 1591367999305988001);
  EXPECT_EQ(parse_epoch("0"), 0);
  EXPECT_EQ(parse_epoch("nan"), std::nullopt);
  EXPECT_EQ(parse_epoch("1e300"), std::nullopt);
  EXPECT_EQ(parse_scaled("0.000095", 9), 95000);
  EXPECT_EQ(parse_scaled("9.5e-05", 9), 95000);
  EXPECT_EQ(parse_scaled("-1.5", 9), -1500000000);
  EXPECT_EQ(parse_scaled("9223372036.854775807", 9), INT64_MAX);
  EXPECT_EQ(parse_scaled("9223372036.854775808", 9), std::nullopt);
}

TEST(ScalarText, Protocols) {
  EXPECT_EQ(parse_protocol("TCP"), 6);
  EXPECT_EQ(parse_protocol("IPv6-ICMP"), 58);
  EXPECT_EQ(parse_protocol("ICMPv4"), 1);
  EXPECT_EQ(parse_protocol("006"), 6);
  EXPECT_EQ(parse_protocol("256"), std::nullopt);
  EXPECT_EQ(parse_protocol("unknown_transport"), std::nullopt);
  EXPECT_EQ(parse_protocol(""), std::nullopt);
}

}  // namespace
}  // namespace sluice::ingest
