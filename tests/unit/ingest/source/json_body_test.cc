#include "ingest/source/json_body.h"

#include <gtest/gtest.h>

#include "ingest/source/limits.h"
#include "ingest/source/scalar_text.h"

namespace sluice::ingest {
namespace {

struct Objects {
  std::vector<std::string> texts;
  DecodeReport report;
};
Objects objects_of(std::string_view body) {
  Objects out;
  json::ObjectReader reader(body);
  std::string_view text;
  while (reader.next(text, out.report)) out.texts.emplace_back(text);
  return out;
}

using Texts = std::vector<std::string>;

TEST(JsonBody, FindsObjectsHoweverTheyStand) {
  const Texts want = {R"({"a":1})", R"({"b":"}{\"[\\"})"};
  for (const std::string body : {
           "{\"a\":1}\n{\"b\":\"}{\\\"[\\\\\"}\n",            // lines
           "\xef\xbb\xbf{\"a\":1}\r\n\r\n{\"b\":\"}{\\\"[\\\\\"}",  // with a mark, blank lines and no end
           "{\"a\":1}{\"b\":\"}{\\\"[\\\\\"}",                // one behind the other
           "[{\"a\":1},{\"b\":\"}{\\\"[\\\\\"}]",             // an array
           "[\n  {\"a\":1},\n  {\"b\":\"}{\\\"[\\\\\"}\n]\n", // printed
           "[{\"a\":1}]\n[{\"b\":\"}{\\\"[\\\\\"}]",          // arrays
           "{\"a\":1},\n{\"b\":\"}{\\\"[\\\\\"},\n",          // with commas
       }) {
    const Objects o = objects_of(body);
    EXPECT_EQ(o.texts, want) << body;
    EXPECT_EQ(o.report.rejected, 0u) << body;
  }
  EXPECT_TRUE(objects_of(" \r\n ").texts.empty());
  EXPECT_TRUE(objects_of("").texts.empty());
}

TEST(JsonBody, PrettyPrintedObjectsAreOneObject) {
  const std::string object = "{\n  \"a\": {\n    \"b\": [\n      {\n        \"c\": 1\n      },\n      {\n      }\n    ]\n  }\n}";
  EXPECT_EQ(objects_of(object + "\n" + object).texts, (Texts{object, object}));
}

TEST(JsonBody, ABrokenLineCostsItself) {
  const struct {
    const char *bad, *reason;
  } cases[] = {
      {R"({"a":"cut in a str)", "cut off inside a string"},
      {R"({"a":1)", "cut off"},
      {R"({"a":{"b":1},)", "cut off"},
      {R"({"a":[1,2})", "do not match"},
      {R"(nonsense)", "not a JSON object"},
      {R"(]})", "not a JSON object"},
      {R"({"a":"\)", "cut off inside a string"},
  };
  for (const auto& c : cases) {
    const Objects o = objects_of("{\"n\":1}\n" + std::string(c.bad) + "\n{\"n\":2}\n{\"n\":3}\n");
    EXPECT_EQ(o.texts, (Texts{R"({"n":1})", R"({"n":2})", R"({"n":3})"})) << c.bad;
    ASSERT_EQ(o.report.rejected, 1u) << c.bad;
    EXPECT_EQ(o.report.errors[0].record, 2u);
    EXPECT_NE(o.report.errors[0].reason.find(c.reason), std::string::npos) << o.report.errors[0].reason;
  }
  // At the end of the body there is nothing to go on with.
  const Objects o = objects_of("{\"n\":1}\n{\"n\":");
  EXPECT_EQ(o.texts, Texts{R"({"n":1})"});
  EXPECT_EQ(o.report.rejected, 1u);
}

TEST(JsonBody, QuotesAndBackslashesOverEveryOffset) {
  // The scanner reads 16 bytes at a time: everything has to hold wherever the steps fall.
  for (size_t pad = 0; pad < 40; ++pad)
    for (const std::string tail : {R"(\\)", R"(\")", R"(\\\")", R"({[}])", R"(")"}) {
      const std::string inside = std::string(pad, 'x') + (tail == "\"" ? "" : tail);
      const std::string object = "{\"k\":\"" + inside + "\",\"z\":[{}]}";
      const Objects o = objects_of(object + object + "\n");
      EXPECT_EQ(o.texts, (Texts{object, object})) << object;
    }
}

TEST(JsonBody, HoldsItsBounds) {
  const auto nested = [](size_t depth) {
    std::string s = "{\"a\":";
    for (size_t i = 1; i < depth; ++i) s += '[';
    for (size_t i = 1; i < depth; ++i) s += ']';
    return s + "}";
  };
  EXPECT_EQ(objects_of(nested(limits::kJsonDepthMax)).texts.size(), 1u);
  EXPECT_EQ(objects_of(nested(limits::kJsonDepthMax + 1)).report.rejected, 1u);

  const auto sized = [](size_t bytes) { return "{\"a\":\"" + std::string(bytes - 8, 'x') + "\"}"; };
  EXPECT_EQ(objects_of(sized(limits::kJsonObjectBytesMax)).texts.size(), 1u);
  const Objects beyond = objects_of(sized(limits::kJsonObjectBytesMax + 1) + "\n{\"b\":1}");
  EXPECT_EQ(beyond.texts, Texts{"{\"b\":1}"});
  EXPECT_EQ(beyond.report.rejected, 1u);
}

TEST(JsonBody, LostObjectsTakeBoundedTime) {
  // Each line opens an object that never ends and lies open over all that follow.
  std::string body;
  for (int i = 0; i < 20'000; ++i) body += "{\"a\":[\n" + std::string(500, ' ') + "1,\n";
  const Objects o = objects_of(body);
  EXPECT_TRUE(o.texts.empty());
  EXPECT_GT(o.report.rejected, 0u);
}

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
