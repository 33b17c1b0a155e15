#include <gtest/gtest.h>

#include <clocale>

#include "client/repl/answer.h"
#include "client/repl/follow.h"
#include "client/repl/header_lines.h"
#include "client/repl/question.h"
#include "client/repl/table.h"
#include "tests/unit/client/lines.h"

namespace sluice::client {
namespace {

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override { std::setlocale(LC_ALL, "C.UTF-8"); }
};

TEST_F(ClientTest, HostileTextNeverReachesTheTerminal) {
  EXPECT_EQ(printable("a\x1b[31mred\x07"), "a\\x1b[31mred\\x07");
  EXPECT_EQ(printable("line\nbreak\ttab"), "line\\nbreak\\ttab");
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");          // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(printable("a\u202eb"), "a\\u{202e}b");
  EXPECT_EQ(printable("Größe 東京"), "Größe 東京");
}

// What the prompt keeps goes along with the questions that name it; what came with a question goes with it, used or not.
TEST(QueryBody, SendsTheParametersThatAreMeant) {
  QueryOptions options;
  options.parameters = {{"ip", {"10.0.0.1"}}, {"port", {"443"}}, {"other", {"1"}}, {"tor", {"2", "3"}}};
  const std::string text = "src_ip == $ip and dst_ip in @tor and app != \"$other\" -- $other\n| where dst_port == $port";
  EXPECT_EQ(query_body("ip == $ip", options), R"({"params":{"ip":"10.0.0.1","other":"1","port":"443","tor":["2","3"]},"query":"ip == $ip"})");
  options.keeps_parameters = true;
  EXPECT_NE(query_body(text, options).find(R"("params":{"ip":"10.0.0.1","port":"443"})"), std::string::npos) << query_body(text, options);
  EXPECT_EQ(query_body("from flows", options), R"({"query":"from flows"})");
  options.rows_most = 7;
  EXPECT_EQ(query_body("from flows", options), R"({"limit":7,"query":"from flows"})");
}

TEST(HeaderLines, AreRepeatedForEveryPiece) {
  HeaderLines aws;
  aws.see("version account-id\n2 1\n");
  aws.see("2 3\n");
  EXPECT_EQ(aws.text(), "version account-id\n");
  EXPECT_EQ(aws.lines(), 1u);

  HeaderLines none;
  none.see("2 123 eni-1\n");
  none.see("version account-id\n");  // only the first line of a file is a header for all of it
  EXPECT_EQ(none.text(), "");
  HeaderLines json;
  json.see("{\"a\":1}\n#fields\tx\n");
  EXPECT_EQ(json.text(), "");

  // Zeek: the directives that the lines depend on, the newest of each.
  const std::string marks = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n";
  HeaderLines zeek;
  zeek.see(marks + "#open\t2020\n#fields\tts\tuid\n#types\ttime\tstring\n1\tC\n");
  EXPECT_EQ(zeek.text(), marks + "#fields\tts\tuid\n");
  EXPECT_EQ(zeek.lines(), 6u);
  zeek.see("2\tD#fields\n#close\t2021\n#fields\tuid\tts\nE\t3\n");
  zeek.see("F\t4\n");
  EXPECT_EQ(zeek.text(), marks + "#fields\tuid\tts\n");
}

TEST_F(ClientTest, WidthsCountCells) {
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("東京"), 4u);
  EXPECT_EQ(display_width("e\u0301"), 1u);
}

TEST_F(ClientTest, TablesFitTheTerminal) {
  const std::vector<TableColumn> columns{{"name", false}, {"n", true}};
  const std::vector<std::vector<Cell>> rows{{{std::string(200, 'x'), false}, {"12", false}}, {{"short", false}, {"", true}}};
  for (size_t width : {20u, 40u, 80u}) {
    const std::string t = draw_table(columns, rows, {width, false});
    size_t start = 0;
    while (start < t.size()) {
      const size_t end = t.find('\n', start);
      EXPECT_LE(display_width(std::string_view(t).substr(start, end - start)), width);
      start = end + 1;
    }
    EXPECT_NE(t.find("…"), std::string::npos);
  }
  EXPECT_EQ(draw_table(columns, {{{"a", false}, {"1", false}}, {{"bb", false}, {"10", false}}}, {}),
            "name   n\n────  ──\na      1\nbb    10\n");
}

TEST_F(ClientTest, TooManyColumnsBecomeRecords) {
  std::vector<TableColumn> columns;
  std::vector<Cell> row;
  for (int i = 0; i < 40; ++i) {
    columns.push_back({"column" + std::to_string(i), false});
    row.push_back({i == 7 ? "" : "value", i == 7});
  }
  const std::string t = draw_table(columns, {row}, {80, false});
  EXPECT_NE(t.find("column39  value"), std::string::npos);
  EXPECT_EQ(t.find("column7 "), std::string::npos);
}

TEST_F(ClientTest, WrapsBetweenWords) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(wrapped("bytes of the flow as reported", 12), (Lines{"bytes of the", "flow as", "reported"}));
  EXPECT_EQ(wrapped("  filter in scan", 10, 4), (Lines{"  filter", "    in", "    scan"}));
  EXPECT_EQ(wrapped("abcdefghij", 4), (Lines{"abcd", "efgh", "ij"}));
  EXPECT_EQ(wrapped_facts("10 rows in 2 ms · 3 of 4 flows · 9 ms in all", 40), (Lines{"10 rows in 2 ms · 3 of 4 flows ·", "  9 ms in all"}));
  EXPECT_EQ(wrapped_facts("10 rows in 2 ms · 9 ms", 24), (Lines{"10 rows in 2 ms · 9 ms"}));
  EXPECT_EQ(wrapped("a abcdefgh b", 4, 1), (Lines{"a", " abc", " def", " gh", " b"}));
  EXPECT_EQ(wrapped("東京 東京", 4), (Lines{"東京", "東京"}));
  EXPECT_EQ(wrapped("", 4), (Lines{""}));
  EXPECT_EQ(wrapped("a    b", 3), (Lines{"a", "b"}));
}

TEST_F(ClientTest, TablesThatExplainCutNothing) {
  const std::string doc = "Bytes that the exporter reported for the flow, before any scaling by the sampling rate of the exporter";
  const std::vector<TableColumn> columns{{"name", false}, {"type", false}, {"doc", false}};
  const std::vector<std::vector<Cell>> rows{{{"raw_bytes", false}, {"uint", false}, {doc, false}}, {{"src_ip", false}, {"ip", false}, {"", true}}};
  std::vector<std::string> lines = lines_of(draw_table(columns, rows, {60, false, true}));
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[2], "raw_bytes  uint  Bytes that the exporter reported for the");
  EXPECT_EQ(lines[3], "                 flow, before any scaling by the sampling");
  EXPECT_EQ(lines[4], "                 rate of the exporter");
  EXPECT_EQ(lines[5], "src_ip     ip    -");
  // Beside the others there is no room to read it: below its row.
  lines = lines_of(draw_table(columns, rows, {44, false, true}));
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[0], "name       type");
  EXPECT_EQ(lines[2], "raw_bytes  uint");
  EXPECT_EQ(lines[3], "    Bytes that the exporter reported for the");
  EXPECT_EQ(lines[6], "src_ip     ip");
  // A last column of short texts stays beside the others, below its heading.
  lines = lines_of(draw_table({{"who", false}, {"how", false}, {"to", false}}, {{{"aws_vpc", false}, {"the source says that it skipped data", false}, {"2026-11-26T19:31:01Z", false}}}, {44, false, true}));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0], "who      how            to");
  EXPECT_EQ(lines[2], "aws_vpc  the source     2026-11-26T19:31:01Z");
  EXPECT_EQ(lines[4], "         skipped data");
  // A plan: one column, whose lines are told apart by their indentation.
  lines = lines_of(draw_table({{"plan", false}}, {{{"  read src_ip, raw_bytes, protocol, tcp_flags", false}}}, {40, false, true}));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[2], "  read src_ip, raw_bytes, protocol,");
  EXPECT_EQ(lines[3], "    tcp_flags");
  for (size_t width : {20u, 33u, 45u, 60u, 79u, 80u, 200u})
    for (const std::string& line : lines_of(draw_table(columns, rows, {width, false, true}))) EXPECT_LE(display_width(line), width) << line;
}

TEST_F(ClientTest, ReadsAnswers) {
  std::string why;
  const auto a = read_answer(
      R"({"columns":[{"name":"src_ip","type":"ip"},{"name":"b","type":"uint"},{"name":"d","type":"duration"},{"name":"f","type":"float"}],)"
      R"("rows":[["10.0.0.1",18446744073709551615,1500,2.5],[null,null,0.25,null]],"range":{"from":"a","to":"b"},"warnings":["w"],)"
      R"("stats":{"elapsed_ms":1.25,"rows_scanned":10,"rows_matched":2,"bytes_read":100,"segments":1}})",
      why);
  ASSERT_TRUE(a) << why;
  EXPECT_EQ(a->rows[0][1].text, "18446744073709551615");
  EXPECT_EQ(a->rows[0][2].text, "1.5s");
  EXPECT_EQ(a->rows[1][2].text, "250us");
  EXPECT_TRUE(a->rows[1][0].null);
  // A duration back in time is the one forward with a sign.
  const auto durations = read_answer(
      R"({"columns":[{"name":"d","type":"duration"}],"rows":[[-3600000],[-1500],[-5400000],[-180000000],[-0.25],[-0.0005],[0],[3600000],[0.0005]]})", why);
  ASSERT_TRUE(durations) << why;
  std::vector<std::string> texts;
  for (const auto& row : durations->rows) texts.push_back(row[0].text);
  EXPECT_EQ(texts, (std::vector<std::string>{"-1h00m", "-1.5s", "-1h30m", "-2d02h", "-250us", "-500ns", "0s", "1h00m", "500ns"}));
  EXPECT_EQ(a->warnings.at(0), "w");
  EXPECT_FALSE(read_answer("{\"columns\":3}", why));
  EXPECT_FALSE(read_answer("[]", why));
  EXPECT_FALSE(read_answer(R"({"columns":[{"name":"a","type":"uint"}],"rows":[[]]})", why));
  EXPECT_FALSE(read_answer(R"({"columns":[{"name":"a","type":"uint"}],"rows":[7]})", why));
  EXPECT_FALSE(read_answer(R"({"rows":[[1]],"columns":[{"name":"a","type":"uint"}]})", why)) << "columns come first";
  EXPECT_FALSE(read_answer(R"({"columns":[{"name":"a","type":"uint"}]})", why));
  EXPECT_TRUE(read_answer(R"({"columns":[{"name":"a","type":"list"}],"rows":[[["x","y"]]]})", why)) << why;
  EXPECT_FALSE(read_answer(R"({"columns":[],"rows":[],"error":{"message":"deadline"}})", why));
  EXPECT_EQ(why, "deadline");
}

TEST_F(ClientTest, DrawsBarsOfTheFirstAggregate) {
  std::string why;
  const auto read = [&](const std::string& columns, const std::string& rows) { return read_answer("{\"columns\":[" + columns + "],\"rows\":[" + rows + "],\"render\":\"barchart\"}", why); };
  const auto answer = read(R"({"name":"asn","type":"uint"},{"name":"b","type":"uint"},{"name":"n","type":"uint"})", "[64500,400,1],[64501,100,9],[64502,null,5]");
  ASSERT_TRUE(answer) << why;
  EXPECT_EQ(answer->render, "barchart");
  const std::string drawn = draw(*answer, {0, false, false}, true);
  std::string full, quarter;
  for (int i = 0; i < 24; ++i) full += "█";
  for (int i = 0; i < 6; ++i) quarter += "█";
  EXPECT_NE(drawn.find(full), std::string::npos) << drawn;
  EXPECT_EQ(drawn.find(full + "█"), std::string::npos) << drawn;
  EXPECT_NE(drawn.find("9  " + quarter + "\n"), std::string::npos) << drawn;
  EXPECT_EQ(draw(*answer, {0, false, false}).find("█"), std::string::npos);
  // Keys may be numbers: what the query groups by is not its measure.
  EXPECT_EQ(measure_of(*answer), 1u);
  Answer grouped = *answer;
  grouped.keys = {"asn", "b"};
  EXPECT_EQ(measure_of(grouped), 2u);
  grouped.keys = {"b", "n"};
  EXPECT_EQ(measure_of(grouped), 0u);
  EXPECT_EQ(measure_of(*read(R"({"name":"n","type":"float"},{"name":"s","type":"string"})", R"([0.5,"x"])")), 0u);
  EXPECT_EQ(measure_of(*read(R"({"name":"s","type":"string"})", R"(["x"])")), std::nullopt);
}

TEST_F(ClientTest, DrawsSeriesOverTime) {
  std::string why;
  const auto a = read_answer(R"({"columns":[{"name":"ts","type":"timestamp"},{"name":"dst_port","type":"uint"},{"name":"b","type":"uint","unit":"bytes"}],"rows":[)"
                             R"(["2025-11-20T00:00:00Z",443,5000],["2025-11-20T00:00:00Z",53,10],["2025-11-20T01:00:00Z",443,2500],["2025-11-20T01:00:00Z",53,null],["2025-11-20T04:00:00Z",53,20]],"keys":["dst_port"]})", why);
  ASSERT_TRUE(a) << why;
  const std::string drawn = draw_over_time(*a, 60);
  EXPECT_NE(drawn.find("443  ████▄▄▄▄               5.0 kB  2.5 kB"), std::string::npos) << drawn;
  EXPECT_NE(drawn.find("every 1h"), std::string::npos) << drawn;
  // The year is said once, so that the next day has room.
  std::string hours;
  for (int h = 0; h < 26; ++h) hours += std::string(hours.empty() ? "" : ",") + "[\"2025-11-" + std::to_string(20 + (8 + h) / 24) + "T" + ((8 + h) % 24 < 10 ? "0" : "") + std::to_string((8 + h) % 24) + ":00:00Z\",\"x\"," + std::to_string(h) + "],[\"2025-11-20T08:00:00Z\",\"y\",1]";
  const auto days = read_answer(R"({"columns":[{"name":"ts","type":"timestamp"},{"name":"app","type":"string"},{"name":"n","type":"uint"}],"rows":[)" + hours + R"(],"keys":["app"]})", why);
  ASSERT_TRUE(days) << why;
  EXPECT_NE(draw_over_time(*days, 80).find("\n   2025-11-20 08:00    18:00      23:00     11-21 04:00\n"), std::string::npos) << draw_over_time(*days, 80);
  // What sums up the rest is called so.
  const auto rest = read_answer(R"({"columns":[{"name":"ts","type":"timestamp"},{"name":"dst_port","type":"uint"},{"name":"n","type":"uint"},{"name":"others","type":"bool"}],"rows":[)"
                                R"(["2025-11-20T00:00:00Z",443,5,false],["2025-11-20T00:00:00Z",null,9,true],["2025-11-20T00:00:00Z",null,1,false]],"keys":["dst_port","others"]})", why);
  ASSERT_TRUE(rest) << why;
  const std::string summed = draw_over_time(*rest, 60);
  EXPECT_NE(summed.find("\nall others  "), std::string::npos) << summed;
  EXPECT_NE(summed.find("\n443         "), std::string::npos) << summed;
  EXPECT_NE(summed.find("\n-           "), std::string::npos) << summed;
  // One series is drawn large; a hostile name does not reach the terminal.
  const auto one = read_answer(R"({"columns":[{"name":"ts","type":"timestamp"},{"name":"app","type":"string"},{"name":"n","type":"uint"}],"rows":[["2025-11-20T00:00:00Z","\u001b[2J",7]]})", why);
  ASSERT_TRUE(one) << why;
  const std::string large = draw_over_time(*one, 60);
  EXPECT_NE(large.find("n of \\x1b[2J"), std::string::npos) << large;
  EXPECT_EQ(large.find('\x1b'), std::string::npos);
  const auto none = read_answer(R"({"columns":[{"name":"a","type":"string"},{"name":"n","type":"uint"}],"rows":[["x",7]]})", why);
  EXPECT_EQ(draw_over_time(*none, 60), "");
}

TEST_F(ClientTest, PointsAtTheMistake) {
  const auto e = read_error(R"({"error":{"code":"parse","message":"unknown column 'src_prt'","line":2,"column":9,"length":7,"hint":"did you mean 'src_port'?"}})", 400);
  EXPECT_EQ(describe(e, "from flows\n| where src_prt == 53", false),
            "error at line 2, column 9: unknown column 'src_prt'\n"
            "  | where src_prt == 53\n"
            "          ^~~~~~~\n"
            "did you mean 'src_port'?\n");
  EXPECT_EQ(describe_below(e, 10, 7, false), "          ^~~~~~~\nerror: unknown column 'src_prt'\ndid you mean 'src_port'?\n");
  // Columns count characters, and a long line keeps its place in view.
  const auto far = read_error(R"({"error":{"message":"m","line":1,"column":301}})", 400);
  const std::string shown = describe(far, std::string(300, 'y') + "!" + std::string(300, 'z'), false);
  EXPECT_NE(shown.find("!zzz"), std::string::npos);
  EXPECT_LT(shown.size(), 400u);
  EXPECT_EQ(read_error("<html>", 502).message, "the server answered 502: <html>");
}

TEST_F(ClientTest, KeepsAnErrorWithinItsTerminal) {
  const auto e = read_error(R"({"error":{"message":"unknown column 'src_prt' among the many columns of flows","line":1,"column":61,"length":7,"hint":"the columns here are src_ip, src_port, dst_ip, dst_port and ninety more of them"}})", 400);
  const std::string question = "from flows last 30d | where src_ip != 10.0.0.1 and äö ==1 or src_prt == 53 | stats n = count() by dst_port";
  const std::string shown = describe(e, question, false, 40);
  EXPECT_EQ(shown,
            "error at line 1, column 61: unknown\n"
            "  column 'src_prt' among the many\n"
            "  columns of flows\n"
            "  ….0.1 and äö ==1 or src_prt == 53 | s…\n"
            "                     ^~~~~~~\n"
            "the columns here are src_ip, src_port,\n"
            "  dst_ip, dst_port and ninety more of\n"
            "  them\n");
  // At the end of the text, and at its beginning.
  const auto end = read_error(R"({"error":{"message":"m","line":1,"column":50,"length":1}})", 400);
  EXPECT_EQ(describe(end, std::string(49, 'x'), false, 30), "error at line 1, column 50: m\n  …" + std::string(25, 'x') + "\n" + std::string(28, ' ') + "^\n");
  const auto begin = read_error(R"({"error":{"message":"m","line":1,"column":1,"length":4}})", 400);
  EXPECT_EQ(describe(begin, "from" + std::string(49, 'x'), false, 30), "error at line 1, column 1: m\n  from" + std::string(22, 'x') + "…\n  ^~~~\n");
  // A place that the underlining would leave by the edge; and each line is bold by itself.
  const std::string below = describe_below(e, 36, 9, true, 40);
  EXPECT_TRUE(below.starts_with(std::string(36, ' ') + "\x1b[31m^~~~\x1b[0m\n\x1b[31merror\x1b[0m: \x1b[1munknown column 'src_prt' among\x1b[0m\n\x1b[1m  the many columns of flows\x1b[0m\n")) << below;
}

TEST_F(ClientTest, WritesNumbersForPeople) {
  EXPECT_EQ(cut("protocol_name  function · ähnlich", 26), "protocol_name  function ·…");
  Answer answer;
  answer.elapsed_ms = 1.5;
  answer.rows_scanned = 60'000;
  answer.rows_matched = 13'429;
  EXPECT_EQ(account(answer), "0 rows in 1.50 ms · 13,429 of 60,000 flows matched · 0 B read");
  answer.kept_rows = 445'073;
  EXPECT_EQ(account(answer), "0 rows in 1.50 ms · 13,429 of 60,000 flows matched · 0 B read · 445,073 more known from before");
  answer.rows_scanned = answer.rows_matched = 0;
  answer.segments = 24;
  EXPECT_EQ(account(answer), "0 rows in 1.50 ms · 445,073 flows known from before");
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(1234567), "1,234,567");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1'500'000), "1.5 MB");
  EXPECT_EQ(human_bytes(99'960), "100 kB");
  EXPECT_EQ(human_bytes(999'600), "1.0 MB");  // and not "1000 kB"
  EXPECT_EQ(human_bytes(UINT64_MAX), "18.4 EB");
}

TEST_F(ClientTest, ALineOfATailSpendsItsRoomOnWhoSpokeWithWhom) {
  EndlessTable table({{"flow_end", "timestamp", ""}, {"src_ip", "ip", ""}, {"protocol", "uint", ""}}, 80, false);
  EXPECT_EQ(table.head(), "flow_end  src_ip         protocol");
  EXPECT_EQ(table.line({{"2026-11-20T08:14:01.512Z"}, {"10.0.0.5"}, {"tcp"}}, "2026-11-20"), "08:14:01  10.0.0.5            tcp");
  // Of another day the whole time, and the lines that follow stand below it.
  EXPECT_EQ(table.line({{"2026-11-19T23:59:59Z"}, {"10.0.0.5"}, {"udp"}}, "2026-11-20"), "2026-11-19T23:59:59Z  10.0.0.5            udp");
  EXPECT_EQ(table.line({{"2026-11-20T08:14:02Z"}, {"10.0.0.5"}, {"udp"}}, "2026-11-20"), "08:14:02              10.0.0.5            udp");
  EXPECT_EQ(table.line({{"", true}, {"", true}, {"", true}}, "2026-11-20"), "-                     -                     -");
  EXPECT_EQ(table.left_out(), 0u);
  // A column has its room, or is left out; the first is always there.
  EndlessTable narrow({{"flow_end", "timestamp", ""}, {"src_ip", "ip", ""}, {"protocol", "uint", ""}}, 30, false);
  EXPECT_EQ(narrow.head(), "flow_end  src_ip");
  EXPECT_EQ(narrow.line({{"2026-11-20T08:14:01.512Z"}, {"10.0.0.5"}, {"tcp"}}, "2026-11-20"), "08:14:01  10.0.0.5");
  EXPECT_EQ(narrow.left_out(), 1u);
  EXPECT_EQ(EndlessTable({{"flow_end", "timestamp", ""}, {"src_ip", "ip", ""}}, 5, false).head(), "flow…");
}

TEST_F(ClientTest, ProtocolsHaveTheirNames) {
  std::string why;
  const auto answer = read_answer(R"({"columns":[{"name":"protocol","type":"uint"},{"name":"n","type":"uint"}],"rows":[[6,6],[253,17],[null,1]],"warnings":[],"stats":{}})", why);
  ASSERT_TRUE(answer) << why;
  EXPECT_EQ(answer->rows[0][0].text, "tcp");
  EXPECT_EQ(answer->rows[0][1].text, "6");
  EXPECT_EQ(answer->rows[1][0].text, "253");
  EXPECT_TRUE(answer->rows[2][0].null);
}

}  // namespace
}  // namespace sluice::client
