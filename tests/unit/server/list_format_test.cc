#include "server/list_format.h"

#include <gtest/gtest.h>

#include "server/limits.h"

namespace sluice::server {
namespace {

using Items = std::vector<std::string>;

ReadList read(ListFormat format, std::string_view text) {
  auto list = read_list(format, text);
  EXPECT_TRUE(list.ok()) << list.error().message;
  return list.ok() ? std::move(list).value() : ReadList{};
}

TEST(ListFormat, PlainTextHasCommentsAndEnds) {
  const auto list = read(ListFormat::plain, "# tor exits\n\n203.0.113.7\r\n 198.51.100.0/24  # a block\n2001:db8::1 // six\nword#with;signs\n10.0.0.1 until 2027-01-02T00:00:00Z ; why\n10.0.0.2 until soon\n8000-8999");
  EXPECT_EQ(list.items, (Items{"203.0.113.7", "198.51.100.0/24", "2001:db8::1", "word#with;signs", "10.0.0.1", "8000-8999"}));
  ASSERT_EQ(list.ends.size(), 6u);
  EXPECT_EQ(list.ends[4], *parse_timestamp("2027-01-02T00:00:00Z"));
  EXPECT_EQ(list.ends[0], kTimestampMax);
  EXPECT_EQ(list.left_out.at("'until' without a time"), 1u);
}

TEST(ListFormat, LeavesOutWhatIsNotUtf8) {
  const auto plain = read(ListFormat::plain, "gr\xfc\xdf" "e.example\ngr\u00fc\u00dfe.example\n\xff\n");
  EXPECT_EQ(plain.items, (Items{"gr\u00fc\u00dfe.example"}));
  EXPECT_EQ(plain.left_out.at("text that is not UTF-8"), 2u);
  EXPECT_EQ(read(ListFormat::csv, "item\n\x80\n10.0.0.1\n").items, (Items{"10.0.0.1"}));
}

TEST(ListFormat, LeavesOutWhatLooksLikeAnAddressAndIsNone) {
  for (const std::string& item : std::vector<std::string>{"10.0.0.0/33", "300.1.2.3", "10.0.0.0/8x", "10.0/40", "::zz/64", "::zz", "2001:db8::/129", "2001:db8::g", "2001:db8:0:0:0:0:0:zz", "1.2.3.4-1.2.3.400", "1.2.3.4444"}) {
    for (const auto& list : {read(ListFormat::plain, item + "\n10.0.0.1\n"), read(ListFormat::csv, "ip,why\n" + item + ",x\n10.0.0.1,y\n")}) {
      EXPECT_EQ(list.items, Items{"10.0.0.1"}) << item;
      ASSERT_EQ(list.left_out.size(), 1u) << item;
      EXPECT_EQ(list.left_out.at("no address or block, though it looks like one"), 1u);
    }
  }
  for (const std::string& item : std::vector<std::string>{"10.0.0.1;10.0.0.2", "10.0.0.1 10.0.0.0/8", "10.0.0.1\t::1", "10.0.0.1|10.0.0.2"}) {
    const auto list = read(ListFormat::plain, item + "\n10.0.0.1\n");
    EXPECT_EQ(list.items, Items{"10.0.0.1"}) << item;
    EXPECT_EQ(list.left_out.at("several addresses in one place: one a line"), 1u) << item;
  }
  for (const std::string& item : std::vector<std::string>{"10.0.0.1 host", "10.0.0.1;443", "10.0.0.0/32", "255.1.2.3", "2001:db8::/128", "::", "::ffff:10.0.0.1", "1.2.3.4-1.2.3.40", "::1-::9", "00:00:5e:00:53:01", "00-00-5e-00-53-01", "10.0.0.1:443", "10.0.0.1>10.0.0.2", "std::string", "64500:1:2", "1.2.3",
                                 "1.2.3.4.5", "8000-8999", "443", "bad.example", "and/or", "-", "/", "/24", ":", "a-", "-a", "10.0.0.1-host"}) {
    const auto list = read(ListFormat::plain, item);
    EXPECT_EQ(list.items, Items{item});
    EXPECT_TRUE(list.left_out.empty()) << item;
  }
}

TEST(ListFormat, CsvFindsItsColumn) {
  auto list = read(ListFormat::csv, "# feed\nfirst_seen,ip_address,note,expires\n2026-01-01,203.0.113.7,\"a, \"\"b\"\"\nc\",2027-01-02T00:00:00Z\n2026-01-01,203.0.113.8,,\n2026-01-01\n2026-01-01,203.0.113.9,,never\n");
  EXPECT_EQ(list.items, (Items{"203.0.113.7", "203.0.113.8"}));
  EXPECT_EQ(list.ends[0], *parse_timestamp("2027-01-02T00:00:00Z"));
  EXPECT_EQ(list.ends[1], kTimestampMax);
  EXPECT_EQ(list.left_out.size(), 2u);
  // Without a header: the first column.
  EXPECT_EQ(read(ListFormat::csv, "203.0.113.7,x\n203.0.113.8,y\n").items, (Items{"203.0.113.7", "203.0.113.8"}));
}

std::string bundle(const std::string& indicators) { return "{\"type\":\"bundle\",\"id\":\"bundle--1\",\"objects\":[{\"type\":\"identity\",\"name\":\"x\"}," + indicators + "]}"; }
std::string indicator(const std::string& pattern, const std::string& more = "") {
  return "{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"pattern_type\":\"stix\",\"valid_from\":\"2026-01-01T00:00:00Z\",\"pattern\":\"" + pattern + "\"" + more + "}";
}

TEST(ListFormat, StixTakesWhatAListCanHoldAndNoMore) {
  const auto of = [](const std::string& pattern) {
    const auto list = read(ListFormat::stix, bundle(indicator(pattern)));
    EXPECT_EQ(list.items.empty() ? 1u : 0u, list.left_out.size()) << pattern;
    return list.items;
  };
  EXPECT_EQ(of("[ipv4-addr:value = '198.51.100.1']"), Items{"198.51.100.1"});
  EXPECT_EQ(of("[ipv4-addr:value ISSUBSET '198.51.100.0/24']"), Items{"198.51.100.0/24"});
  EXPECT_EQ(of("[ ipv4-addr:value IN ('198.51.100.1','198.51.100.2') OR ipv6-addr:value = '2001:db8::1' ]"), (Items{"198.51.100.1", "198.51.100.2", "2001:db8::1"}));
  EXPECT_EQ(of("([ipv4-addr:value = '198.51.100.1'] OR [ipv4-addr:value = '198.51.100.2'])"), (Items{"198.51.100.1", "198.51.100.2"}));
  EXPECT_EQ(of("[network-traffic:dst_ref.type = 'ipv4-addr' AND network-traffic:dst_ref.value = '198.51.100.1']"), Items{"198.51.100.1"});
  EXPECT_EQ(of("[autonomous-system:number = 64500]"), Items{"64500"});
  // A list that had a part of it would match more than was meant.
  for (const char* pattern : {"[network-traffic:dst_ref.value = '198.51.100.1' AND network-traffic:dst_port = 443]", "[domain-name:value = 'example.com']",
                              "[ipv4-addr:value != '198.51.100.1']", "[ipv4-addr:value = '198.51.100.1'] FOLLOWEDBY [ipv4-addr:value = '198.51.100.2']",
                              "[ipv4-addr:value = '198.51.100.1'] AND [ipv4-addr:value = '198.51.100.2']", "[ipv4-addr:value = '198.51.100.1'] REPEATS 5 TIMES WITHIN 60 SECONDS",
                              "[ipv4-addr:value = 'nonsense']", "[network-traffic:dst_ref.type = 'ipv4-addr']", "[ipv4-addr:value = '198.51.100.1'", "", "[", "[NOT ipv4-addr:value = '198.51.100.1']"})
    EXPECT_EQ(of(pattern), Items{}) << pattern;
  EXPECT_EQ(of(std::string(1'000, '(') + "[ipv4-addr:value = '198.51.100.1']" + std::string(1'000, ')')), Items{});
  const auto several = read(ListFormat::stix, bundle(indicator("[ipv4-addr:value = '198.51.100.1']", ",\"valid_until\":\"2027-01-01T00:00:00Z\"") + "," +
                                                     indicator("[ipv4-addr:value = '198.51.100.2']", ",\"revoked\":true") + "," + indicator("[ipv4-addr:value = '198.51.100.3']", ",\"valid_until\":7")));
  EXPECT_EQ(several.items, (Items{"198.51.100.1", "198.51.100.3"}));
  EXPECT_EQ(several.ends[0], *parse_timestamp("2027-01-01T00:00:00Z"));
  EXPECT_EQ(several.left_out.at("revoked"), 1u);
  EXPECT_FALSE(read_list(ListFormat::stix, "[]").ok());
  EXPECT_FALSE(read_list(ListFormat::stix, "{\"objects\":7}").ok());
  EXPECT_FALSE(read_list(ListFormat::stix, "{").ok());
}

TEST(ListFormat, MispTakesAttributesThatAreMeantForDetection) {
  const std::string event =
      "{\"Event\":{\"info\":\"x\",\"Attribute\":[{\"type\":\"ip-dst\",\"value\":\"198.51.100.1\",\"to_ids\":true},{\"type\":\"ip-src|port\",\"value\":\"198.51.100.2|443\"},"
      "{\"type\":\"ip-dst\",\"value\":\"198.51.100.3\",\"to_ids\":false},{\"type\":\"md5\",\"value\":\"abc\"},{\"type\":\"ip-dst\",\"value\":\"198.51.100.4\",\"deleted\":true},7,"
      "{\"type\":\"ip-dst\",\"value\":\"not one\"},{\"type\":\"AS\",\"value\":\"AS64500\"}],"
      "\"Object\":[{\"name\":\"ip-port\",\"Attribute\":[{\"type\":\"domain|ip\",\"value\":\"example.com|2001:db8::9\",\"to_ids\":\"1\"}],\"Object\":[{\"Attribute\":[{\"type\":\"ip-dst\",\"value\":\"10.0.0.1\"}]}]}]}}";
  const Items wanted = {"198.51.100.1", "198.51.100.2", "64500", "2001:db8::9"};
  const auto list = read(ListFormat::misp, event);
  EXPECT_EQ(list.items, wanted);
  uint64_t left_out = 0;
  for (const auto& [why, count] : list.left_out) left_out += count;
  EXPECT_EQ(left_out, 4u);
  EXPECT_EQ(read(ListFormat::misp, "{\"response\":[" + event + "]}").items, wanted);
  EXPECT_EQ(read(ListFormat::misp, "{\"response\":{\"Attribute\":[{\"type\":\"ip-dst\",\"value\":\"198.51.100.1\"}]}}").items, Items{"198.51.100.1"});
  EXPECT_FALSE(read_list(ListFormat::misp, "{\"x\":1}").ok());
  EXPECT_FALSE(read_list(ListFormat::misp, "7").ok());
}

TEST(ListFormat, IsGuessed) {
  EXPECT_EQ(guess_list_format("text/csv; charset=utf-8", "a"), ListFormat::csv);
  EXPECT_EQ(guess_list_format("application/stix+json;version=2.1", "{}"), ListFormat::stix);
  EXPECT_EQ(guess_list_format("application/json", bundle(indicator("[ipv4-addr:value = '198.51.100.1']"))), ListFormat::stix);
  EXPECT_EQ(guess_list_format("application/json", "{\"Event\":{\"Attribute\":[]}}"), ListFormat::misp);
  EXPECT_EQ(guess_list_format("", "10.0.0.1\n"), ListFormat::plain);
}

TEST(ListFormat, CsvIsToldByItsHeaderWhateverItIsLabelled) {
  for (const char* type : {"", "application/x-www-form-urlencoded", "text/plain", "application/octet-stream"})
    for (const char* text : {"indicator,until\n203.0.113.7,2027-01-01\n", "\xef\xbb\xbfIP,Note\r\n203.0.113.7,x\r\n", "# feed\n\n\"first seen (UTC)\",\"dst_ip\"\n\"2026-01-01\",\"203.0.113.7\"\n",
                             "cidr,", "# no end of line\ndomain,valid_until"})
      EXPECT_EQ(guess_list_format(type, text), ListFormat::csv) << type << " " << text;
  // Lines of items stay what they are: addresses with commas, words that are names of columns alone, names of which none is known.
  for (const char* text : {"203.0.113.7,198.51.100.1\n", "port\n443\n", "port,443\n", "guest,servers\n", "# ip,until\n203.0.113.7\n", "#", "\n", ""})
    EXPECT_EQ(guess_list_format("", text), ListFormat::plain) << text;
  EXPECT_EQ(read(ListFormat::csv, "domain,until\nbad.example,2027-01-01\n").items, Items{"bad.example"});
}

TEST(ListFormat, AHeaderIsLookedForUpToItsBound) {
  const auto header = [](size_t bytes) { return "ip,value," + std::string(bytes - 12, 'n') + ",.x\n"; };
  EXPECT_EQ(guess_list_format("", header(limits::kListHeaderBytesMax)), ListFormat::plain) << "'.x' is no name, and is seen";
  EXPECT_EQ(guess_list_format("", header(limits::kListHeaderBytesMax + 2)), ListFormat::csv) << "what lies beyond is not looked at";
}

// A tree takes a hundred bytes for what is two bytes of text: at the bounds it is read, one past it is refused before it is made.
TEST(ListFormat, TheTreeOfADocumentIsBounded) {
  const auto values = [](size_t count) {  // the object, its list, and as many numbers as are left
    std::string text = "{\"objects\":[";
    for (size_t i = 2; i < count; ++i) text += i > 2 ? ",0" : "0";
    return text + "]}";
  };
  EXPECT_TRUE(read_list(ListFormat::stix, values(limits::kListJsonValuesMax)).ok());
  EXPECT_EQ(read_list(ListFormat::stix, values(limits::kListJsonValuesMax + 1)).error().code, ErrorCode::too_large);
  const auto nested = [](size_t depth) { return "{\"objects\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}"; };
  EXPECT_TRUE(read_list(ListFormat::stix, nested(limits::kListJsonDepthMax)).ok());
  EXPECT_EQ(read_list(ListFormat::stix, nested(limits::kListJsonDepthMax + 1)).error().code, ErrorCode::too_large);
  EXPECT_EQ(read_list(ListFormat::misp, std::string(10'000'000, '[')).error().code, ErrorCode::too_large);
  EXPECT_EQ(read_list(ListFormat::misp, "{\"a\":").error().code, ErrorCode::parse);
}

}  // namespace
}  // namespace sluice::server
