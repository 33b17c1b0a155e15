// What FlowQL texts say. Each text is parsed, printed in canonical form, and the canonical form must parse to the same tree.
#include "grammar/parse.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "grammar/limits.h"
#include "grammar/literals.h"
#include "grammar/print.h"
#include "grammar/stage_args.h"

namespace sluice::grammar {
namespace {

Statement must_parse(std::string_view text) {
  ParseResult result = parse(text);
  if (const auto* error = std::get_if<SyntaxError>(&result)) {
    ADD_FAILURE() << text.substr(0, 200) << "\n" << error->text() << "\n" << caret_view(text, error->span);
    return Statement{Query{}, {}};
  }
  return std::get<Statement>(std::move(result));
}

Query must_parse_query(std::string_view text) {
  const Statement statement = must_parse(text);
  const auto* query = statement.as<Query>();
  EXPECT_NE(query, nullptr) << text;
  return query == nullptr ? Query{} : *query;
}

ExprPtr must_parse_expr(std::string_view text) {
  auto result = parse_expression(text);
  if (const auto* error = std::get_if<SyntaxError>(&result)) {
    ADD_FAILURE() << text << "\n" << error->text();
    return Expr{NullLiteral{}, {}};
  }
  return std::get<ExprPtr>(std::move(result));
}

template <class Literal>
Literal literal(std::string_view text) {
  const ExprPtr expr = must_parse_expr(text);
  const auto* found = expr->as<Literal>();
  EXPECT_NE(found, nullptr) << text << " is a node of kind " << expr->node.index();
  return found == nullptr ? Literal{} : *found;
}

struct ParseCase {
  const char* text;
  const char* canonical;
};

const ParseCase kParseCases[] = {
    // Shape
    {R"(from flows last 24h
    | where src_ip in 10.0.0.0/8 and dst_port in (22, 3389) and proto == tcp
    | stats flows = count(), total = sum(bytes), peers = dcount(dst_ip) by src_ip, bin(5m)
    | where peers > 100
    | sort total desc
    | limit 20)",
     "from flows last 1d | where src_ip in 10.0.0.0/8 and dst_port in (22, 3389) and proto == tcp | stats flows = count(), "
     "total = sum(bytes), peers = dcount(dst_ip) by src_ip, bin(5m) | where peers > 100 | sort total desc | limit 20"},
    {"dst_port == 53 last 1h | top 10 src_ip by sum(bytes)",
     "from flows last 1h | where dst_port == 53 | top 10 src_ip by sum(bytes)"},
    {"FROM Flows WHERE dst_port = 53", "from Flows | where dst_port == 53"},
    {"from flows dst_port == 53 last 1h", "from flows last 1h | where dst_port == 53"},
    {"from flows last 1h dst_port == 53 | LIMIT 3;", "from flows last 1h | where dst_port == 53 | limit 3"},
    {"where x == 1 last 5m | tail 4", "from flows last 5m | where x == 1 | tail 4"},
    {"stats count()", "from flows | stats count()"},
    {"-- all of it\nfrom flows // really\n/* yes */ | limit 5 -- end", "from flows | limit 5"},
    {"a --b\n> -5", "from flows | where a > -5"},
    // Time
    {"last 15m", "from flows last 15m"},
    {"last $range | limit 1", "from flows last $range | limit 1"},
    {"since 2026-11-20", "from flows since 2026-11-20T00:00:00Z"},
    {"from alerts since now() - 1h", "from alerts since now() - 1h"},
    {"between 2026-11-20T08:00Z and 2026-11-20T09:30Z", "from flows between 2026-11-20T08:00:00Z and 2026-11-20T09:30:00Z"},
    {"x == 1 between $from and '2026-11-20 09:30'", "from flows between $from and 2026-11-20T09:30:00Z | where x == 1"},
    {"a between 1 and 2 between 2026-11-20 and 2026-11-21",
     "from flows between 2026-11-20T00:00:00Z and 2026-11-21T00:00:00Z | where a between 1 and 2"},
    {"(a between 1 and 2) between 2026-11-20 and 2026-11-21",
     "from flows between 2026-11-20T00:00:00Z and 2026-11-21T00:00:00Z | where a between 1 and 2"},
    {"at 2026-11-20T08:14Z +/- 5m", "from flows at 2026-11-20T08:14:00Z +/- 5m"},
    {"at 2026-11-20T08:14Z+/-5m", "from flows at 2026-11-20T08:14:00Z +/- 5m"},
    {"at 2026-11-20T08:14Z \u00b1 5m", "from flows at 2026-11-20T08:14:00Z +/- 5m"},
    {"from flows active between 2026-11-20 and 2026-11-21T00:00:00.5+02:00",
     "from flows active between 2026-11-20T00:00:00Z and 2026-11-20T22:00:00.500Z"},
    {"dst_port == 53 active between 2026-11-20 and 2026-11-21 | limit 1",
     "from flows active between 2026-11-20T00:00:00Z and 2026-11-21T00:00:00Z | where dst_port == 53 | limit 1"},
    // Literals
    {"src_ip in 10.0.0.5-10.0.0.9", "from flows | where src_ip in 10.0.0.5-10.0.0.9"},
    {"src_mac == 00:1B:21:3c:9d:f8", "from flows | where src_mac == 00:1b:21:3c:9d:f8"},
    {"dst_port == https and proto == udp", "from flows | where dst_port == https and proto == udp"},
    {"tcp_flags has syn and not tcp_flags has ack", "from flows | where tcp_flags has syn and not tcp_flags has ack"},
    {"tcp_flags == S and icmp == echo_request", "from flows | where tcp_flags == S and icmp == echo_request"},
    {"url =~ /foo\\/bar/i and url !~ /x/", R"(from flows | where url matches /foo\/bar/i and not url matches /x/)"},
    {"bytes / packets > 10KB", "from flows | where bytes / packets > 10KB"},
    {"duration > 1h30m and rate > 50mbps", "from flows | where duration > 1h30m and rate > 50Mbps"},
    {"src_country in (DE, IN, IS)", "from flows | where src_country in (DE, IN, IS)"},
    {R"(host == 'it\'s' or host == "a\tb\x41\u{e9}")", "from flows | where host == \"it's\" or host == \"a\\tbA\u00e9\""},
    // Either side, names
    {"ip == 10.0.0.5", "from flows | where ip == 10.0.0.5"},
    {"ip != x and ip not in (1.2.3.4, 10.0.0.0/8, @tor)", "from flows | where ip != x and ip not in (1.2.3.4, 10.0.0.0/8, @tor)"},
    {"stats sum(bytes) by ip", "from flows | stats sum(bytes) by ip"},
    {"source.ip == sourceIPv4Address", "from flows | where source.ip == sourceIPv4Address"},
    {R"(extra."weird name" == 1 and `a b`.c == 2 and extra.x.y is null)",
     R"(from flows | where extra."weird name" == 1 and `a b`.c == 2 and extra.x.y is null)"},
    {"@timestamp > 2026-11-20", "from flows | where `@timestamp` > 2026-11-20T00:00:00Z"},
    // Operators
    {"a = 1 && b <> 2 || !c", "from flows | where a == 1 and b != 2 or not c"},
    {"a or b and c or not d", "from flows | where a or b and c or not d"},
    {"(a or b) and c", "from flows | where (a or b) and c"},
    {"(a or b) or (c or d)", "from flows | where a or b or c or d"},
    {"not a == b", "from flows | where not a == b"},
    {"(not a) == b", "from flows | where (not a) == b"},
    {"a - (b - c) - d > 0", "from flows | where a - (b - c) - d > 0"},
    {"a * (b + c) % 2 == -(-d)", "from flows | where a * (b + c) % 2 == - -d"},
    {"a not contains 'x' and a !in (1) and a not between 1 and 2 and a not has s",
     "from flows | where not a contains \"x\" and a not in (1) and a not between 1 and 2 and not a has s"},
    {"a! contains 'x' and b ! in (1)", "from flows | where not a contains \"x\" and b not in (1)"},
    {"a is null and b is not null and c == null and null != d",
     "from flows | where a is null and b is not null and c is null and d is not null"},
    {"port in 1024-65535 and x in (1-5, 7 - 5)", "from flows | where port in 1024-65535 and x in (1-5, 7 - 5)"},
    {"x == 10-5", "from flows | where x == 10 - 5"},
    {"host starts_with 'a' or host endswith 'b'", "from flows | where host starts_with \"a\" or host ends_with \"b\""},
    {"if(a > 5, \"x\", 'y') == x and case(a, 1, b, 2, 3) == count(*)",
     "from flows | where if(a > 5, \"x\", \"y\") == x and case(a, 1, b, 2, 3) == count()"},
    {"src_ip == $ip and in_list(ip, \"tor\")", "from flows | where src_ip == $ip and in_list(ip, \"tor\")"},
    // Soft keywords as columns
    {"end > start and last == 5 and source == action", "from flows | where end > start and last == 5 and source == action"},
    {"last == 5", "from flows | where last == 5"},
    {"since > 3 and at < 4", "from flows | where since > 3 and at < 4"},
    {"limit == 5 | where in in (1) | where has has syn",
     "from flows | where limit == 5 | where (in in (1)) | where (has has syn)"},
    // Operators that are functions too, right behind a stage's name
    {"where contains(a, \"x\")", "from flows | where (contains(a, \"x\"))"},
    {"last 1d | where has(flags, syn) | where matches(a, /x,y/)", "from flows last 1d | where (has(flags, syn)) | where (matches(a, /x,y/))"},
    {"from flows | where not has(flags, syn) and starts_with(upper(a), \"x\")",
     "from flows | where (not has(flags, syn) and starts_with(upper(a), \"x\"))"},
    {"where ! ends_with (a, 'x')", "from flows | where (not ends_with(a, \"x\"))"},
    {"where not not has(a, b) or c == 1", "from flows | where not not has(a, b) or c == 1"},
    {"where contains ('a') | where has (f(x, y))", "from flows | where where contains \"a\" | where where has f(x, y)"},
    {"from flows | sort end desc, last, by asc | drop in, from, where | select stats, limit = top",
     "from flows | sort end desc, last, by | drop in, from, where | select stats, limit = top"},
    {"top 5 last, by by sum(end)", "from flows | top 5 last, by by sum(end)"},
    {"from flows | extend true_bytes = bytes, `null` = null", "from flows | extend true_bytes = bytes, `null` = null"},
    // Stages
    {"from flows | extend a = b = c, d = 5", "from flows | extend a = b == c, d = 5"},
    {"from flows | select a, b = c + 1, d as e", "from flows | select a, b = c + 1, e = d"},
    {"from flows | rename a = b, c as d", "from flows | rename a = b, d = c"},
    {"stats n = count(), sum(bytes) as total by src_ip, hour = bin(1h) window 5m slide 30s",
     "from flows | stats n = count(), total = sum(bytes) by src_ip, hour = bin(1h) window 5m slide 30s"},
    {"stats count() window session gap 10m by src_ip", "from flows | stats count() by src_ip window session gap 10m"},
    {"top 10 src_ip, dst_ip by sum(bytes), n = count() with others",
     "from flows | top 10 src_ip, dst_ip by sum(bytes), n = count() with others"},
    {"top $n src_ip", "from flows | top $n src_ip"},
    {"timeseries sum(bytes), n = count() every 1m by src_ip limit 10 fill previous spread",
     "from flows | timeseries sum(bytes), n = count() every 1m by src_ip limit 10 fill previous spread"},
    {"timeseries count() fill 0 every 1m", "from flows | timeseries count() every 1m fill 0"},
    {"timeseries count() fill null every $d", "from flows | timeseries count() every $d fill null"},
    {"timeseries count() fill -1.5 every 1m", "from flows | timeseries count() every 1m fill -1.5"},
    {"from flows | sort -bytes, a nulls last, b desc nulls first", "from flows | sort -bytes, a nulls last, b desc nulls first"},
    {"from flows | sort by bytes desc", "from flows | sort bytes desc"},
    {"from flows | limit 5 | tail 6 | sample 0.01 | sample 100 | distinct | distinct a, b",
     "from flows | limit 5 | tail 6 | sample 0.01 | sample 100 | distinct | distinct a, b"},
    {"from flows | dst_port == 53 | is_private(src_ip)", "from flows | where dst_port == 53 | where is_private(src_ip)"},
    {"from flows | render timechart", "from flows | render timechart"},
    // Stages for others to read
    {"join left (from flows last 1h | stats count() by dst_ip) on src_ip, dst_ip",
     "from flows | join left (from flows last 1h | stats count() by dst_ip) on src_ip, dst_ip"},
    {"join (dst_port == 53) on (src_ip)", "from flows | join (from flows | where dst_port == 53) on src_ip"},
    {"lookup assets on src_ip as of ts", "from flows | lookup assets on src_ip as of ts"},
    {"stitch within 5m | dedup | compare to 7d", "from flows | stitch within 5m | dedup | compare to 1w"},
    {"baseline sum(bytes) by src_ip every 1h over 14d seasonal 1d",
     "from flows | baseline sum(bytes) by src_ip every 1h over 2w seasonal 1d"},
    {"first_seen src_ip, dst_ip lookback 14d", "from flows | first_seen src_ip, dst_ip lookback 2w"},
    {"absent src_ip for 5m expected by base", "from flows | absent src_ip for 5m expected by base"},
    {"beacons by src_ip, dst_ip, dst_port min 20", "from flows | beacons by src_ip, dst_ip, dst_port min 20"},
    {"sequence by src_ip within 10m [dst_port == 22 count() >= 5] then [dst_port == 443]",
     "from flows | sequence by src_ip within 10m [dst_port == 22 count() >= 5] then [dst_port == 443]"},
    {"reach from 10.0.0.5 within 3 hops", "from flows | reach from 10.0.0.5 within 3 hops"},
    {"from flows | anomalize bytes using (a + b), 5 spread", "from flows | anomalize bytes using a + b, 5 spread"},
    // Statements
    {"explain dst_port == 53", "explain from flows | where dst_port == 53"},
    {"explain analyze from flows | limit 3", "explain analyze from flows | limit 3"},
    {"show columns", "show columns"},
    {"show rules | where severity == high | sort name", "show rules | where severity == high | sort name"},
    {"show rule port_scan", "show rule port_scan"},
    {"show x y! contains 5", "show x not y contains 5"},
    {"show x !(contains) 5", "show x not (contains) 5"},
    {R"(create rule port_scan
      severity medium technique "T1046" tags ("recon")
    as
      from flows
      | where proto == tcp and tcp_flags == S
      | stats ports = dcount(dst_port), hosts = dcount(dst_ip) by src_ip window 5m slide 30s
      | where ports > 100 or hosts > 200
    alert by src_ip suppress 1h
    message "{src_ip} tried {ports} ports on {hosts} hosts in 5 minutes")",
     "create rule port_scan severity medium technique \"T1046\" tags \"recon\" as from flows | where proto == tcp and "
     "tcp_flags == S | stats ports = dcount(dst_port), hosts = dcount(dst_ip) by src_ip window 5m slide 30s | where ports > "
     "100 or hosts > 200 alert by src_ip suppress 1h message \"{src_ip} tried {ports} ports on {hosts} hosts in 5 minutes\""},
    {"create or replace rule 'my rule' tags (a, 'b') as dst_port == 53 for 10m message 'x'",
     "create or replace rule \"my rule\" tags (a, \"b\") as from flows | where dst_port == 53 for 10m message \"x\""},
    {"create list tor (1.2.3.4, 10.0.0.0/8, 22, 'abc', 5-9)", "create list tor (1.2.3.4, 10.0.0.0/8, 22, \"abc\", 5-9)"},
    {"create or replace list empty ()", "create or replace list empty ()"},
    {"replay rule port_scan over last 30d", "replay rule port_scan over last 30d"},
    {"replay rule r over between 2026-11-20 and 2026-11-21",
     "replay rule r over between 2026-11-20T00:00:00Z and 2026-11-21T00:00:00Z"},
    {"test rule port_scan", "test rule port_scan"},
    {"drop rule port_scan", "drop rule port_scan"},
    {"alter rule port_scan disable", "alter rule port_scan disable"},
    {"create or replace table assets key ip from csv 'ip'", "create or replace table assets key ip from csv \"ip\""},
    {"create table assets from csv 'a.csv'", "create table assets from csv \"a.csv\""},
    // Statement words as columns
    {"show == 1 and explain == 2 and create == 3", "from flows | where show == 1 and explain == 2 and create == 3"},
    {"drop rule, x", "from flows | drop rule, x"},
};

TEST(Parse, CanonicalForms) {
  for (const ParseCase& c : kParseCases) {
    SCOPED_TRACE(c.text);
    const Statement tree = must_parse(c.text);
    const std::string canonical = print(tree);
    EXPECT_EQ(canonical, c.canonical);
    const Statement again = must_parse(canonical);
    EXPECT_TRUE(again == tree);
    EXPECT_EQ(print(again), canonical);
  }
}

TEST(Parse, TreesDifferWhereTextsDo) {
  EXPECT_FALSE(must_parse("a == 1") == must_parse("a == 2"));
  EXPECT_FALSE(must_parse("a == b") == must_parse("a == `b`"));
  EXPECT_FALSE(must_parse("a - b - c > 0") == must_parse("a - (b - c) > 0"));
  EXPECT_TRUE(must_parse("a == 16") == must_parse("a == 0x10"));
  EXPECT_TRUE(must_parse("a > 90s") == must_parse("a > 1m30s"));
  EXPECT_FALSE(must_parse("stitch within 5m") == must_parse("stitch within 6m"));
}

TEST(Parse, LiteralValues) {
  EXPECT_EQ(literal<IntegerLiteral>("1_000").value, 1000u);
  EXPECT_EQ(literal<IntegerLiteral>("0xfF").value, 255u);
  EXPECT_EQ(literal<IntegerLiteral>("18446744073709551615").value, UINT64_MAX);
  EXPECT_EQ(literal<IntegerLiteral>("0x10").spelling.text, "0x10");
  EXPECT_DOUBLE_EQ(literal<FloatLiteral>("2.5e-3").value, 0.0025);
  EXPECT_DOUBLE_EQ(literal<FloatLiteral>("1e9").value, 1e9);
  EXPECT_DOUBLE_EQ(literal<FloatLiteral>("1e+20").value, 1e20);
  EXPECT_EQ(literal<DurationLiteral>("1h30m").nanoseconds, 5'400'000'000'000);
  EXPECT_EQ(literal<DurationLiteral>("1.5h").nanoseconds, 5'400'000'000'000);
  EXPECT_EQ(literal<DurationLiteral>("250ms").nanoseconds, 250'000'000);
  EXPECT_EQ(literal<DurationLiteral>("3us").nanoseconds, 3'000);
  EXPECT_EQ(literal<DurationLiteral>("3\u00b5s").nanoseconds, 3'000);
  EXPECT_EQ(literal<DurationLiteral>("2w").nanoseconds, 1'209'600'000'000'000);
  EXPECT_EQ(literal<SizeLiteral>("10KB").bytes, 10'000u);
  EXPECT_EQ(literal<SizeLiteral>("1.5GiB").bytes, 1'610'612'736u);
  EXPECT_EQ(literal<SizeLiteral>("512b").bytes, 512u);
  EXPECT_EQ(literal<BitRateLiteral>("50Mbps").bits_per_second, 50'000'000u);
  EXPECT_EQ(literal<BitRateLiteral>("300bps").bits_per_second, 300u);
  EXPECT_EQ(literal<TimestampLiteral>("1970-01-02").nanoseconds, 86'400'000'000'000);
  EXPECT_EQ(literal<TimestampLiteral>("2026-11-20T08:14:01.5+02:00").nanoseconds, 1'795'155'241'500'000'000);
  EXPECT_EQ(literal<AddressLiteral>("::ffff:1.2.3.4"), literal<AddressLiteral>("1.2.3.4"));
  EXPECT_EQ(literal<AddressLiteral>("::1").address[15], 1);
  EXPECT_EQ(literal<AddressLiteral>("fe80::1").address[0], 0xfe);
  EXPECT_EQ(literal<AddressLiteral>("2001:DB8:0:0:1::5").address[3], 0xb8);
  EXPECT_EQ(literal<CidrLiteral>("10.0.0.0/8").prefix_length, 104);
  EXPECT_EQ(literal<CidrLiteral>("2001:db8::/32").prefix_length, 32);
  EXPECT_EQ(literal<CidrLiteral>("::/0").prefix_length, 0);
  EXPECT_EQ(literal<AddressRangeLiteral>("fe80::1-fe80::9").last[15], 9);
  EXPECT_EQ(literal<MacLiteral>("ab:cd:ef:01:02:03").octets[2], 0xef);
  EXPECT_EQ(literal<StringLiteral>(R"("\\ \" \' \n \u{1F600}")").value, "\\ \" ' \n \xF0\x9F\x98\x80");
  EXPECT_EQ(literal<RegexLiteral>(R"(/a\/b\d/i)").pattern, R"(a/b\d)");
  EXPECT_TRUE(literal<RegexLiteral>("/x/i").ignore_case);
  EXPECT_TRUE(literal<BoolLiteral>("TRUE").value);
  EXPECT_EQ(literal<Parameter>("$__interval").name, "__interval");
}

TEST(Parse, SpansPointAtTheText) {
  const std::string text = "from flows\n | where src_prt == 'é' and\n   dst_port in (22, 10-20)";
  const Query query = must_parse_query(text);
  const auto* both = query.stages.at(0).as<WhereStage>()->predicate->as<Logical>();
  ASSERT_NE(both, nullptr);
  const Expr& first = *both->operands[0]->as<Compare>()->left;
  EXPECT_EQ(text.substr(first.span.offset, first.span.length), "src_prt");
  EXPECT_EQ(first.span.line, 2u);
  EXPECT_EQ(first.span.column, 10u);
  const Expr& second = *both->operands[1];
  EXPECT_EQ(text.substr(second.span.offset, second.span.length), "dst_port in (22, 10-20)");
  EXPECT_EQ(second.span.line, 3u);
  EXPECT_EQ(second.span.column, 4u);
  const Expr& range = *second.as<In>()->items[1];
  EXPECT_EQ(text.substr(range.span.offset, range.span.length), "10-20");
  const Stage& stage = query.stages[0];
  EXPECT_EQ(text.substr(stage.name.span.offset, stage.name.span.length), "where");
  EXPECT_EQ(stage.span.end(), text.size());
  EXPECT_EQ(must_parse_query("dst_port == 53").source.name.span.length, 0u);
}

TEST(Parse, QueriesBehindIn) {
  const Query query = must_parse_query("src_ip not in (from alerts last 1d | where n in (1, 2) | select key) and dst_port in (from, http)");
  const auto* both = query.stages.at(0).as<WhereStage>()->predicate->as<Logical>();
  ASSERT_NE(both, nullptr);
  const auto* in = both->operands[0]->as<In>();
  ASSERT_NE(in, nullptr);
  EXPECT_TRUE(in->negated);
  EXPECT_TRUE(in->items.empty());
  ASSERT_TRUE(in->query.has_value());
  EXPECT_EQ((*in->query)->source.name.text(), "alerts");
  EXPECT_TRUE((*in->query)->time.has_value());
  EXPECT_EQ((*in->query)->stages.size(), 2u);
  // A word is an item of a list as ever.
  EXPECT_FALSE(both->operands[1]->as<In>()->query.has_value());
  EXPECT_EQ(both->operands[1]->as<In>()->items.size(), 2u);
  // And as an argument of a function, and of a stage.
  must_parse_query("stats n = countif(src_ip in (from flows | select dst_ip)) by src_ip");
  must_parse_query("extend seen = src_ip in (from flows | select dst_ip) | sort seen");
  EXPECT_TRUE(std::holds_alternative<SyntaxError>(parse("src_ip in (from flows | select dst_ip")));
  EXPECT_TRUE(std::holds_alternative<SyntaxError>(parse("src_ip in (from flows, 1)")));
}

TEST(Parse, Scripts) {
  auto result = parse_script("create list a (1); ; create list b (2);\n-- done\n");
  ASSERT_TRUE(std::holds_alternative<std::vector<Statement>>(result));
  EXPECT_EQ(std::get<0>(result).size(), 2u);
  EXPECT_TRUE(std::get<0>(parse_script(" -- nothing\n")).empty());
  auto bad = parse_script("create list a (1);\ncreate list b 2");
  ASSERT_TRUE(std::holds_alternative<SyntaxError>(bad));
  EXPECT_EQ(std::get<1>(bad).span.line, 2u);
}

TEST(Parse, StageArgumentsCanBeReadWithoutTheGrammar) {
  const Query query = must_parse_query("from flows | lookup assets on src_ip, dst_ip as of ts");
  StageArgs args(query.stages.at(0));
  EXPECT_EQ(args.name()->text(), "assets");
  EXPECT_TRUE(args.word("on"));
  EXPECT_EQ(args.expressions().size(), 2u);
  EXPECT_FALSE(args.words({"as", "ever"}));
  EXPECT_TRUE(args.words({"as", "of"}));
  EXPECT_TRUE(args.expression().has_value());
  EXPECT_TRUE(args.done());
  const SyntaxError error = args.expected("a column");
  EXPECT_EQ(error.span.offset, 53u);

  const Query sequence = must_parse_query("sequence by src_ip within 10m [a count() > 5] then [b]");
  StageArgs steps(sequence.stages.at(0));
  EXPECT_TRUE(steps.word("by"));
  EXPECT_EQ(steps.expressions().size(), 1u);
  EXPECT_TRUE(steps.word("within"));
  EXPECT_TRUE(steps.duration().has_value());
  EXPECT_EQ(steps.bracketed()->size(), 2u);
  EXPECT_TRUE(steps.word("then"));
  EXPECT_EQ(steps.bracketed()->size(), 1u);
  EXPECT_TRUE(steps.done());

  const Query join = must_parse_query("join anti (from flows | limit 5) on src_ip");
  StageArgs parts(join.stages.at(0));
  EXPECT_EQ(parts.any_word()->text, "anti");
  ASSERT_NE(parts.subquery(), nullptr);
}

TEST(Parse, ManyThreadsAtOnce) {
  const Statement expected = must_parse(kParseCases[0].text);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const ParseResult good = parse(kParseCases[0].text);
        if (!std::holds_alternative<Statement>(good) || !(std::get<Statement>(good) == expected)) ++wrong;
        if (!std::holds_alternative<SyntaxError>(parse("from flows | where x == "))) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace sluice::grammar
