#include "ingest/source/json_records.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

#include "ingest/source/base64.h"
#include "ingest/source/coded_text.h"
#include "ingest/source/country_code.h"
#include "ingest/source/json_scan.h"
#include "ingest/source/json_token.h"
#include "ingest/source/limits.h"

namespace sluice::ingest {
namespace {

constexpr std::string_view kFirst[] = {"id", "time"};
constexpr std::string_view kLists[] = {"records"};

// "id1|!reason|id2": records as their text, damage as its reason.
std::string cut(std::string_view body) {
  JsonRecords records(body, {kFirst, kLists});
  std::string out, reason;
  std::string_view object;
  while (true) {
    const auto found = records.next(object, reason);
    if (found == JsonRecords::Found::end) return out;
    if (!out.empty()) out += '|';
    if (found == JsonRecords::Found::record)
      out += object;
    else
      out += "!" + reason;
  }
}

// The same where records are made out by lines.
struct Objects {
  std::vector<std::string> texts;
  DecodeReport report;
};
Objects objects_of(std::string_view body) {
  Objects out;
  JsonRecords records(body);
  std::string_view text;
  while (records.next(text, out.report)) out.texts.emplace_back(text);
  return out;
}

using Texts = std::vector<std::string>;

TEST(JsonRecords, FindsRecordsInEveryEnvelope) {
  const std::string both = R"({"id":1}|{"id":2,"a":{"b":[{"c":"}"}]}})";
  const std::string a = R"({"id":1})", b = R"({"id":2,"a":{"b":[{"c":"}"}]}})";
  EXPECT_EQ(cut(a + b), both);
  EXPECT_EQ(cut(a + "\n" + b + "\r\n"), both);
  EXPECT_EQ(cut("[" + a + "," + b + "]"), both);
  EXPECT_EQ(cut("[\n  " + a + " ,\n  " + b + "\n]\n"), both);
  EXPECT_EQ(cut(R"({"records":[)" + a + "," + b + "]}"), both);
  EXPECT_EQ(cut("{ \"records\" : [ " + a + " , " + b + " ] } "), both);
  EXPECT_EQ(cut(R"({"records":[)" + a + "," + b), both) << "a blob that still grows";
  EXPECT_EQ(cut("," + a + "," + b), both) << "a block from its middle";
  EXPECT_EQ(cut(R"({"records":[{"records":[)" + a + "]}," + b + "]}"), both) << "in itself";
  EXPECT_EQ(cut(R"({"name":"x","records":[)" + a + "," + b + R"(],"more":"y"})"), both) << "not the first key";
  EXPECT_EQ(cut(R"({"records":[)" + a + R"(]}{"records":[)" + b + "]}"), both) << "blobs one behind the other";
  EXPECT_EQ(cut(""), "");
  EXPECT_EQ(cut(" \n"), "");
  EXPECT_EQ(cut(R"({"records":[]})"), "");
}

TEST(JsonRecords, ReadsStringsAtEveryPlaceOfAStep) {
  // Quotes, escapes and braces in strings, moved over the borders of the 64 bytes that are looked at together.
  for (size_t pad = 0; pad < 140; ++pad) {
    for (const std::string& text : {std::string(R"(\"}{)"), std::string(R"(\\)"), std::string(R"(\\\"]}[)"), std::string("ÄÖ\xf0\x9f\x98\x80_T")}) {
      const std::string a = R"({"id":")" + std::string(pad, 'x') + text + R"("})";
      EXPECT_EQ(cut(a + R"({"id":2})"), a + R"(|{"id":2})") << pad << " " << text;
    }
  }
}

TEST(JsonRecords, DamageCostsOnlyItsRecord) {
  const auto in_list = [](std::string_view middle) { return cut(R"({"records":[{"id":1},)" + std::string(middle) + R"(,{"id":3}]})"); };
  EXPECT_EQ(in_list(R"({"id":2,"a":{"b":1})"), R"({"id":1}|!JSON object has no end; another record begins in it|{"id":3})") << "a brace is missing";
  EXPECT_EQ(in_list(R"({"id":2,"rule":"Deny_All})"), R"({"id":1}|!JSON object has no end; the body ends in it|{"id":3})") << "a quote is missing";
  EXPECT_EQ(in_list(R"({"id":2,"rule":Deny"})"), R"({"id":1}|!JSON object is damaged at its byte 16|{"id":3})");
  EXPECT_EQ(in_list("{\"id\":2,\"rule\":\"a\nb\"}"), R"({"id":1}|!JSON object is damaged at its byte 18|{"id":3})") << "a line end in a string";
  EXPECT_EQ(in_list("7"), R"({"id":1}|!not a JSON object; it begins with "7,{\x22id\x22:3}]}"|{"id":3})");
  EXPECT_EQ(cut("{\"id\":1}\n{\"id\":2,\"b\":{\n{\"id\":3}\n"), R"({"id":1}|!JSON object has no end; another record begins in it|{"id":3})");
  EXPECT_EQ(cut("Some text\nand {more}\n{\"id\":3}"), R"(!not a JSON object; it begins with "Some text"|!not a JSON object; it begins with "and {more}"|{"id":3})");
  EXPECT_EQ(cut(R"({"records":[{"id":1},{"id":2,"a":[1,2)"), R"({"id":1}|!JSON object has no end; the body ends in it)");
  EXPECT_EQ(cut(R"({"id":1},{"id":2,"a":"xyz)"), R"({"id":1}|!JSON object has no end; the body ends in it)");
  // Objects that are values or items of other lists are no records, whatever their first key.
  EXPECT_EQ(cut(R"({"id":1,"in":{"id":5},"x":[{"z":1},{"z":2}]})"), R"({"id":1,"in":{"id":5},"x":[{"z":1},{"z":2}]})");
}

TEST(JsonRecords, LooksInsideWhatWasNoRecord) {
  const std::string body = R"({"a":[{"b":1},{"c":"{"}]}{"id":2})";
  JsonRecords records(body, {kFirst, kLists});
  std::string_view object;
  std::string reason;
  ASSERT_EQ(records.next(object, reason), JsonRecords::Found::record);
  records.look_inside();
  ASSERT_EQ(records.next(object, reason), JsonRecords::Found::record);
  EXPECT_EQ(object, R"({"id":2})");
}

TEST(JsonRecords, BoundsARecordAtTheLimitAndOneByteMore) {
  const auto record_of = [](size_t bytes) { return R"({"id":")" + std::string(bytes - 9, 'x') + R"("})"; };
  const std::string fits = record_of(limits::kJsonObjectBytesMax), larger = record_of(limits::kJsonObjectBytesMax + 1);
  ASSERT_EQ(fits.size(), limits::kJsonObjectBytesMax);
  EXPECT_EQ(cut(fits + R"({"id":2})"), fits + R"(|{"id":2})");
  EXPECT_EQ(cut(larger + R"({"id":2})"), R"(!JSON object is longer than 16777216 bytes|{"id":2})");
}

TEST(JsonRecords, HostileBodiesAreLookedAtAFewTimesOnly) {
  // Each of these begins a record whose string never ends: without a bound, each is searched to the end of the body.
  std::string body;
  for (int i = 0; i < 200'000; ++i) body += R"({"id":"a)";
  JsonRecords records(body, {kFirst, kLists});
  std::string_view object;
  std::string reason, last;
  size_t n = 0;
  while (records.next(object, reason) != JsonRecords::Found::end) {
    last = reason;
    ++n;
  }
  EXPECT_GT(n, 0u);
  EXPECT_LT(n, 200'000u);
}

// The same cut by a plain walk, for bodies without damage.
TEST(JsonRecords, AgreesWithAPlainWalk) {
  std::mt19937 random(7);
  const auto value = [&](auto& self, int depth) -> std::string {
    switch (random() % (depth > 3 ? 3 : 5)) {
      case 0: return std::to_string(random() % 1000);
      case 1: {
        std::string text = "\"";
        for (size_t n = random() % 30; n > 0; --n) {
          const char* pieces[] = {"a", "\\\"", "\\\\", "{", "}", "[", "]", ",", ":", "_", "Z", "\\u0041", " "};
          text += pieces[random() % std::size(pieces)];
        }
        return text + "\"";
      }
      case 2: return random() % 2 ? "true" : "null";
      case 3: return "[" + self(self, depth + 1) + " , " + self(self, depth + 1) + "]";
      default: return "{\"k\": " + self(self, depth + 1) + ",\n\"l\":" + self(self, depth + 1) + "}";
    }
  };
  for (int round = 0; round < 200; ++round) {
    std::string body, want;
    for (size_t n = random() % 8; n > 0; --n) {
      const std::string record = "{\"id\":" + value(value, 0) + ",\"v\":" + value(value, 0) + "}";
      body += record + (random() % 2 ? "\n" : ",");
      want += (want.empty() ? "" : "|") + record;
    }
    EXPECT_EQ(cut(body), want) << body;
    std::string by_lines;
    for (const std::string& object : objects_of(body).texts) by_lines += (by_lines.empty() ? "" : "|") + object;
    EXPECT_EQ(by_lines, want) << body;
  }
}

TEST(JsonRecordsByLines, FindsObjectsHoweverTheyStand) {
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

TEST(JsonRecordsByLines, PrettyPrintedObjectsAreOneObject) {
  const std::string object = "{\n  \"a\": {\n    \"b\": [\n      {\n        \"c\": 1\n      },\n      {\n      }\n    ]\n  }\n}";
  EXPECT_EQ(objects_of(object + "\n" + object).texts, (Texts{object, object}));
}

TEST(JsonRecordsByLines, ABrokenLineCostsItself) {
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

TEST(JsonRecordsByLines, QuotesAndBackslashesOverEveryOffset) {
  // The scanner reads 64 bytes at a time: everything has to hold wherever the steps fall.
  for (size_t pad = 0; pad < 140; ++pad)
    for (const std::string tail : {R"(\\)", R"(\")", R"(\\\")", R"({[}])", R"(")"}) {
      const std::string inside = std::string(pad, 'x') + (tail == "\"" ? "" : tail);
      const std::string object = "{\"k\":\"" + inside + "\",\"z\":[{}]}";
      const Objects o = objects_of(object + object + "\n");
      EXPECT_EQ(o.texts, (Texts{object, object})) << object;
    }
}

TEST(JsonRecordsByLines, HoldsItsBounds) {
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

TEST(JsonRecordsByLines, LostObjectsTakeBoundedTime) {
  // Each line opens an object that never ends and lies open over all that follow.
  std::string body;
  for (int i = 0; i < 20'000; ++i) body += "{\"a\":[\n" + std::string(500, ' ') + "1,\n";
  const Objects o = objects_of(body);
  EXPECT_TRUE(o.texts.empty());
  EXPECT_GT(o.report.rejected, 0u);
}

// Bytes of JSON's own and others, against a walk byte by byte.
TEST(JsonScan, AgreesWithAPlainWalk) {
  std::mt19937 random(11);
  constexpr std::string_view kBytes = "\"\"\"\\\\{}[]{}:,aE_^@AZz0 \t\n\x01\x1f\x7f\xc3\xff`";
  for (int round = 0; round < 3'000; ++round) {
    std::string text;
    const bool dense = random() % 2;
    for (size_t n = 1 + random() % 300; n > 0; --n) text += dense || random() % 16 == 0 ? kBytes[random() % kBytes.size()] : 'x';
    const std::vector<char> exact(text.begin(), text.end());
    JsonScan with, without;
    bool inside = false, escaped = false;
    for (size_t at = 0; at < text.size(); at += JsonScan::kStep) {
      const size_t size = std::min(JsonScan::kStep, text.size() - at);
      const auto a = with.next<true>(exact.data() + at, size), b = without.next<false>(exact.data() + at, size);
      ASSERT_EQ(a.brackets, b.brackets);
      ASSERT_EQ(a.control, b.control);
      ASSERT_EQ(b.stray, 0u);
      for (size_t i = 0; i < size; ++i) {
        const auto c = static_cast<uint8_t>(text[at + i]);
        // A backslash escapes what follows it wherever it stands: outside a string there is none in JSON.
        const bool is_escaped = std::exchange(escaped, false);
        const bool quote = c == '"' && !is_escaped;
        if (c == '\\' && !is_escaped) escaped = true;
        inside ^= quote;
        const bool bracket = c == '{' || c == '}' || c == '[' || c == ']';
        ASSERT_EQ(a.brackets >> i & 1, static_cast<uint64_t>(bracket && !inside)) << text << " " << at + i;
        ASSERT_EQ(a.control >> i & 1, static_cast<uint64_t>(c < 0x20 && inside)) << text << " " << at + i;
        ASSERT_EQ(a.stray >> i & 1, static_cast<uint64_t>(c > 0x40 && c < 0x60 && !bracket && c != '\\' && c != 'E' && !inside)) << text << " " << at + i;
      }
    }
  }
}

TEST(JsonText, TakesEscapesOff) {
  std::string out;
  const std::pair<const char*, const char*> cases[] = {
      {R"(plain)", "plain"}, {R"(a\"b\\c\/d)", "a\"b\\c/d"}, {R"(\b\f\n\r\t)", "\b\f\n\r\t"}, {R"(\u0041\u00e9\u20ac)", "Aé€"},
      {R"(\ud83d\ude00)", "\xf0\x9f\x98\x80"}, {R"(\ud83dx)", "\xef\xbf\xbdx"}, {R"(\ude00)", "\xef\xbf\xbd"}, {R"(\u12)", "\\u12"}, {R"(\q)", "\\q"}, {R"(a\)", "a\\"},
  };
  for (const auto& [in, want] : cases) {
    unescape_json(in, out);
    EXPECT_EQ(out, want) << in;
  }
  EXPECT_EQ(inner_text("\"abc\" "), "abc");
  EXPECT_EQ(inner_text("12\n"), "12");
  EXPECT_EQ(inner_text("null "), "");
  EXPECT_EQ(inner_text("\"\""), "");
}

TEST(CodedText, KeepsEachTextOnce) {
  CodedText lane;
  for (size_t row = 0; row < 1'000; ++row)
    if (row % 3 != 0) lane.put(row, "name" + std::to_string(row % 200));
  const auto column = lane.column(1'001);
  ASSERT_TRUE(column.has_value());
  ASSERT_EQ(column->size(), 1'001u);
  EXPECT_EQ(column->dictionary()->size(), 200u);
  for (size_t row = 0; row < 1'001; ++row) {
    ASSERT_EQ(column->is_null(row), row % 3 == 0 || row == 1'000);
    if (!column->is_null(row)) {
      EXPECT_EQ(column->string_at(row), "name" + std::to_string(row % 200));
    }
  }
  EXPECT_FALSE(lane.column(5).has_value()) << "emptied";
  lane.put(2, "");
  EXPECT_FALSE(lane.column(5).has_value());
}

TEST(CountryCode, KnowsThreeLetters) {
  EXPECT_EQ(country_alpha2("usa"), "US");
  EXPECT_EQ(country_alpha2("SGP"), "SG");
  EXPECT_EQ(country_alpha2("ABW"), "AW");
  EXPECT_EQ(country_alpha2("zwe"), "ZW");
  EXPECT_EQ(country_alpha2("deu"), "DE");
  for (const char* none : {"", "us", "xxx", "usaa", "u1a"}) EXPECT_EQ(country_alpha2(none), "") << none;
}

TEST(Base64, ReadsRfc4648Vectors) {
  const std::pair<const char*, const char*> cases[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}};
  for (const auto& [in, want] : cases) EXPECT_EQ(base64_decoded(in), want) << in;
  EXPECT_FALSE(base64_decoded("Zm9v!"));
  EXPECT_FALSE(base64_decoded("Z"));
}

}  // namespace
}  // namespace sluice::ingest
