// What is said of wrong texts: message, line, column, the marked token, and the hint.
#include <gtest/gtest.h>

#include "grammar/parse.h"

namespace sluice::grammar {
namespace {

struct Case {
  const char* text;
  uint32_t line;
  uint32_t column;
  const char* marked;  // the text under the marks; "" at the end
  const char* message;
  const char* hint = "";
};

const Case kCases[] = {
    {"", 1, 1, "", "the query is empty", "a query begins with a filter such as dst_port == 53, or with 'from flows'"},
    {"-- nothing\n", 2, 1, "", "the query is empty", "a query begins with a filter such as dst_port == 53, or with 'from flows'"},
    {"| limit 5", 1, 1, "|", "a query can't begin with '|'",
     "a '|' stands between two stages: leave this one out, or put 'from flows' or 'last 1h' before it"},
    // Missing pieces
    {"from flows | timeseries count() every abc", 1, 39, "abc", "expected a duration such as 15m after 'every'"},
    {"from flows | timeseries count() every 5", 1, 39, "5", "expected a duration such as 15m after 'every'",
     "the number needs a unit: 5m for minutes, 5h for hours, 5d for days"},
    {"from flows\n| timeseries count()", 2, 3, "timeseries count()", "a timeseries needs 'every' and a duration",
     "such as: timeseries count() every 5m"},
    {"from flows last", 1, 16, "", "expected a duration such as 15m after 'last'"},
    {"from flows since", 1, 17, "", "expected a point in time such as 2026-11-20T08:00Z after 'since'"},
    {"from flows since 10.0.0.1", 1, 18, "10.0.0.1", "expected a point in time such as 2026-11-20T08:00Z after 'since'"},
    {"from flows at 2026-11-20", 1, 25, "", "expected '+/-', but the query ends here"},
    {"from flows between 2026-11-20", 1, 30, "", "expected 'and', but the query ends here"},
    {"between 2026-11-21 and 2026-11-20", 1, 9, "2026-11-21 and 2026-11-20", "this time range ends before it begins"},
    {"from flows | where", 1, 19, "", "expected a condition after 'where'"},
    {"from flows |", 1, 13, "", "expected a stage such as where or stats after '|'"},
    {"from flows | top src_ip", 1, 18, "src_ip", "expected a whole number after 'top'", "such as: top 10 src_ip by sum(bytes)"},
    {"from flows | limit 1.5", 1, 20, "1.5", "expected a whole number after 'limit'"},
    {"from flows | sample 1.5", 1, 21, "1.5", "expected a number of rows or a share such as 0.01 after 'sample'"},
    {"from flows | top 5 a by b with love", 1, 32, "love", "expected 'others' after 'with'"},
    {"x == ", 1, 6, "", "expected a value or column after '=='"},
    {"x in", 1, 5, "",
     "expected a list such as (22, 3389), a block such as 10.0.0.0/8, or a list's name such as @tor after 'in'"},
    {"x in ()", 1, 7, ")", "expected a value or column after '('"},
    {"x is 5", 1, 6, "5", "expected 'null' or 'not null' after 'is'"},
    {"sum(a, ) > 1", 1, 8, ")", "expected a value or column after ','"},
    {"f(a b) > 1", 1, 5, "b", "expected an operator, ',' or ')', found 'b'",
     "conditions are joined with 'and' or 'or'; text stands in quotes"},
    {"from flows | extend a", 1, 21, "a", "this new column has no name", "name it: extend name = …"},
    {"from flows | select *", 1, 21, "*", "expected a column after 'select'", "without a select stage all columns are kept"},
    {"x == (5 and", 1, 12, "", "expected a condition after 'and'"},
    {"x == (5", 1, 8, "", "expected an operator or ')', but the query ends here", "the '(' at line 1, column 6 is not closed"},
    // Mistyped words
    {"from flows | wehre x == 5", 1, 14, "wehre", "unknown stage 'wehre'", "did you mean 'where'?"},
    {"from flows\n  | statz a = count() by x", 2, 5, "statz", "unknown stage 'statz'", "did you mean 'stats'?"},
    {"form flows | limit 5", 1, 6, "flows", "expected an operator, '|' or the end of the query, found 'flows'",
     "did you mean 'from'?"},
    {"x == 5 adn y == 3", 1, 8, "adn", "expected an operator, '|' or the end of the query, found 'adn'", "did you mean 'and'?"},
    {"from flows limit 5", 1, 12, "limit", "expected an operator, '|' or the end of the query, found 'limit'",
     "a stage begins with '|': | limit …"},
    {"x = y = z", 1, 7, "=", "expected an operator, '|' or the end of the query, found '='",
     "comparisons do not chain: join them with 'and'"},
    {"from flows | where x == 5 | | limit 5", 1, 29, "|", "expected a stage such as where or stats after '|'",
     "'or' is written 'or' or '||'"},
    // What other languages would say
    {"from flows | stats by src_ip", 1, 20, "by", "expected an aggregate such as count() after 'stats'"},
    {"timeseries every 5m", 1, 12, "every", "expected an aggregate such as count() after 'timeseries'"},
    {"sum(bytes) by src_ip", 1, 12, "by", "expected an operator, '|' or the end of the query, found 'by'",
     "grouping needs a stage: | stats … by …"},
    {"select src_ip from flows", 1, 15, "from", "expected an operator, '|' or the end of the query, found 'from'",
     "the source comes first: from flows | where … | select …"},
    {"host like '%a%'", 1, 6, "like", "expected an operator, '|' or the end of the query, found 'like'",
     "'contains', 'starts_with' and 'matches /…/' compare texts"},
    {"dst port 53", 1, 5, "port", "expected an operator, '|' or the end of the query, found 'port'", "did you mean 'dst_port'?"},
    {"port 443", 1, 6, "443", "expected an operator, '|' or the end of the query, found '443'",
     "a comparison needs an operator: port == …"},
    {"src_ip == 10.0.0.5:443", 1, 11, "10.0.0.5:443", "'10.0.0.5:443' is not an IPv6 address or MAC address",
     "an address and a port are two conditions, joined with 'and'"},
    {"from flows last hour", 1, 17, "hour", "expected a duration such as 15m after 'last'", "did you mean '1h'?"},
    {"stats count() as", 1, 17, "", "expected a name after 'as'"},
    {"create rule r as", 1, 17, "", "expected a query after 'as'"},
    {"create rule r as x alert", 1, 25, "", "expected 'by' after 'alert'"},
    {"from flows | top 10", 1, 20, "", "expected a column after '10'"},
    {"where proto = tcp, dst_port = 53", 1, 18, ",", "expected an operator, '|' or the end of the query, found ','",
     "conditions are joined with 'and' or 'or'"},
    // What newcomers type
    {"last 99999999d", 1, 6, "99999999d", "'99999999d' is too long", "durations go up to 106751d, which is 292 years"},
    {"last 106752d", 1, 6, "106752d", "'106752d' is too long", "durations go up to 106751d, which is 292 years"},
    {"last 15mins", 1, 6, "15mins", "'15mins' is not a number, duration, size or address", "did you mean '15m'?"},
    {"stats count() by bin(2Hours)", 1, 22, "2Hours", "'2Hours' is not a number, duration, size or address", "did you mean '2h'?"},
    {"last 15", 1, 6, "15", "expected a duration such as 15m after 'last'", "the number needs a unit: 15m for minutes, 15h for hours, 15d for days"},
    {"last 1 h", 1, 6, "1", "expected a duration such as 15m after 'last'", "number and unit stand together: 1h"},
    {"last week", 1, 6, "week", "expected a duration such as 15m after 'last'", "did you mean '1w'?"},
    {"last xyz", 1, 6, "xyz", "expected a duration such as 15m after 'last'"},
    {"last '1h'", 1, 6, "'1h'", "expected a duration such as 15m after 'last'"},
    {"explain last xyz | limit 1", 1, 14, "xyz", "expected a duration such as 15m after 'last'"},
    {"bytes > 10 mb", 1, 12, "mb", "expected an operator, '|' or the end of the query, found 'mb'", "number and unit stand together: 10MB"},
    {"bytes > 10 KiB", 1, 12, "KiB", "expected an operator, '|' or the end of the query, found 'KiB'", "number and unit stand together: 10KiB"},
    {"duration > 5 minutes", 1, 14, "minutes", "expected an operator, '|' or the end of the query, found 'minutes'", "number and unit stand together: 5m"},
    {"proto tcp", 1, 7, "tcp", "expected an operator, '|' or the end of the query, found 'tcp'", "a comparison needs an operator: proto == tcp"},
    {"host 10.0.0.1", 1, 6, "10.0.0.1", "expected an operator, '|' or the end of the query, found '10.0.0.1'", "did you mean 'ip == 10.0.0.1'?"},
    {"src host 10.0.0.1", 1, 5, "host", "expected an operator, '|' or the end of the query, found 'host'", "did you mean 'src_ip == 10.0.0.1'?"},
    {"ip == 10.0.0.*", 1, 7, "10.0.0.", "'10.0.0.' is not an IPv4 address", "a block is written 10.0.0.0/24"},
    {"dst_port in 80,443", 1, 15, ",", "expected an operator, '|' or the end of the query, found ','", "a list stands in parentheses: in (80, 443)"},
    {"dst_port in [80, 443]", 1, 13, "[",
     "expected a list such as (22, 3389), a block such as 10.0.0.0/8, or a list's name such as @tor after 'in'", "a list stands in parentheses"},
    {"dst_port in (80 443)", 1, 17, "443", "expected an operator, ',' or ')', found '443'", "the items of a list are parted by commas"},
    {"select src_ip dst_ip", 1, 15, "dst_ip", "expected an operator, '|' or the end of the query, found 'dst_ip'", "columns are parted by commas"},
    {"stats count() by src_ip dst_ip", 1, 25, "dst_ip", "expected an operator, '|' or the end of the query, found 'dst_ip'", "columns are parted by commas"},
    {"stats sum bytes by src_ip", 1, 11, "bytes", "expected an operator, '|' or the end of the query, found 'bytes'", "did you mean 'sum(bytes)'?"},
    {"stats count(), max bytes", 1, 20, "bytes", "expected an operator, '|' or the end of the query, found 'bytes'", "did you mean 'max(bytes)'?"},
    {"top 5 src_ip by sum bytes", 1, 21, "bytes", "expected an operator, '|' or the end of the query, found 'bytes'", "did you mean 'sum(bytes)'?"},
    {"stats sum(bytes) group by src_ip", 1, 18, "group", "expected an operator, '|' or the end of the query, found 'group'", "did you mean 'by' alone?"},
    {"top 10 src_ip by sum(bytes) desc", 1, 29, "desc", "expected an operator, '|' or the end of the query, found 'desc'",
     "top has the greatest first; the least come by | sort … | limit …"},
    {"sort bytes des", 1, 12, "des", "expected an operator, '|' or the end of the query, found 'des'", "did you mean 'desc'?"},
    {"sort bytes descending", 1, 12, "descending", "expected an operator, '|' or the end of the query, found 'descending'", "did you mean 'desc'?"},
    {"head 10", 1, 6, "10", "expected an operator, '|' or the end of the query, found '10'", "did you mean 'limit 10'?"},
    {"order by bytes", 1, 7, "by", "expected an operator, '|' or the end of the query, found 'by'", "did you mean 'sort'?"},
    {"count by src_ip", 1, 7, "by", "expected an operator, '|' or the end of the query, found 'by'", "did you mean 'stats count() by …'?"},
    {"app =~ web.*", 1, 11, ".", "unexpected '.'", "text stands in quotes, a regular expression between slashes: /web.*/"},
    // Places
    {"from flows | where x == 5 last 1h", 1, 27, "last", "a time range stands before the first '|'"},
    {"last 5m x == 5 last 1h", 1, 16, "last 1h", "the query has a time range already"},
    {"from flows | stats count() by a by b", 1, 33, "by b", "this stage has a 'by' already"},
    {"x == 5; y == 3", 1, 9, "y", "only one statement can stand here", "a second one begins after the ';'"},
    {"from flows | limit 5)", 1, 21, ")", "this ')' closes nothing"},
    {"x in (1, 2]", 1, 11, "]", "expected ')' before ']'", "the '(' at line 1, column 6 is still open"},
    {"(a == 1 | limit 5", 1, 9, "|", "a '|' stands inside parentheses",
     "the '(' at line 1, column 1 is open; 'or' and '||' combine conditions"},
    {"(a == 1; b", 1, 8, ";", "the statement ends inside parentheses", "the '(' at line 1, column 1 is still open"},
    {"a & b", 1, 3, "&", "unexpected '&'", "conditions are combined with 'and' or '&&'"},
    {"a == b as c", 1, 8, "as", "expected an operator, '|' or the end of the query, found 'as'"},
    {"stats a = b as c", 1, 13, "as", "this expression has a name already", "'a = b' and 'b as a' say the same"},
    // Literals
    {"'é' == 300.1.1.1", 1, 8, "300.1.1.1", "'300.1.1.1' is not an IPv4 address"},
    {"ip in 10.0.0.0/33", 1, 7, "10.0.0.0/33", "a prefix length here is a number from 0 to 32, not '33'"},
    {"ip in 10.0.0.0/255.0.0.0", 1, 7, "10.0.0.0/255.0.0.0", "a prefix length here is a number from 0 to 32, not '255.0.0.0'"},
    {"ip in 10.0.0.9-10.0.0.5", 1, 7, "10.0.0.9-10.0.0.5", "this range ends before it begins"},
    {"ip in 10.0.0.9-fe80::1", 1, 7, "10.0.0.9-fe80::1", "the ends of this range are of different address families"},
    {"port in 9-5", 1, 9, "9-5", "this range ends before it begins"},
    {"ip == 1:2:3", 1, 7, "1:2:3", "'1:2:3' is not an IPv6 address or MAC address"},
    {"x == 5M", 1, 6, "5M", "'5M' is not a number, duration, size or address",
     "minutes are 'm', months are not a unit; a size is 10MB, a rate 10Mbps"},
    {"x == 6to4", 1, 6, "6to4", "'6to4' is not a number, duration, size or address",
     "durations look like 15m or 1h30m, sizes like 10KB, rates like 50Mbps; text stands in quotes"},
    {"x == 18446744073709551616", 1, 6, "18446744073709551616", "this number is more than 18446744073709551615"},
    {"ts > 2026-02-29", 1, 6, "2026-02-29", "'2026-02-29' is not a valid date or time",
     "timestamps look like 2026-11-20, 2026-11-20T08:14Z or 2026-11-20T08:14:01.5+02:00"},
    {"ts > 2026-11-20 08:14", 1, 6, "2026-11-20 08:14", "a date and a time are joined by 'T'",
     "write 2026-11-20T08:14, or put both in quotes"},
    {"a == \"abc", 1, 6, "\"", "this text in quotes is not closed"},
    {"a == 'x\\q'", 1, 8, "\\q", "unknown escape '\\q'",
     "known are \\n \\t \\r \\\\ \\\" \\' \\xHH \\u{…}; a backslash itself is written \\\\"},
    {"a == '\\xff'", 1, 6, "'\\xff'", "the escapes in this text do not make valid UTF-8"},
    {"a == '\\u{d800}'", 1, 7, "\\u", "'\\u' needs a code point such as \\u{e9}"},
    {"a =~ /abc", 1, 6, "/", "this regular expression is not closed",
     "a '/' where a value may stand begins one; '\\/' is a slash in it"},
    {"a =~ /abc/g", 1, 11, "g", "unknown flag of a regular expression", "'i' ignores case"},
    {"a == 1 /* b", 1, 8, "/*", "this comment is not closed", "'*/' ends it"},
    {"a == \u201cb\u201d", 1, 6, "\u201c", "unexpected '\u201c'", "text stands in plain quotes, ' or \""},
    {"stra\u00dfe == 1", 1, 5, "\u00df", "unexpected '\u00df'",
     "names with other than A-Z, 0-9 and _ stand in back-quotes, text in quotes"},
    {"a == $", 1, 6, "$", "expected a parameter's name after '$'"},
    {"a in @", 1, 6, "@", "expected a list's name after '@'"},
    {"a == @tor", 1, 6, "@tor", "expected a value or column after '=='"},
    {"show", 1, 5, "", "expected what to show, such as columns after 'show'"},
    {"explain", 1, 8, "", "expected a query after 'explain'"},
    // Rules
    {"create rule r severity a severity b as x", 1, 26, "severity", "the rule has 'severity' already"},
    {"create rule r severity", 1, 23, "", "expected a value after 'severity'"},
    {"create list 5 (1)", 1, 13, "5", "expected a name", "names look like port_scan"},
};

TEST(Errors, PlaceMessageAndHint) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.text);
    const ParseResult result = parse(c.text);
    const auto* error = std::get_if<SyntaxError>(&result);
    if (error == nullptr) {
      ADD_FAILURE() << "is accepted";
      continue;
    }
    EXPECT_EQ(error->message, c.message);
    EXPECT_EQ(error->hint, c.hint);
    EXPECT_EQ(error->span.line, c.line);
    EXPECT_EQ(error->span.column, c.column);
    EXPECT_EQ(std::string_view(c.text).substr(error->span.offset, error->span.length), c.marked);
  }
}

TEST(Errors, BytesThatAreNoText) {
  const auto nul = parse(std::string_view("a == \0", 6));
  ASSERT_TRUE(std::holds_alternative<SyntaxError>(nul));
  EXPECT_EQ(std::get<SyntaxError>(nul).text(), "line 1, column 6: the query contains a NUL byte");
  for (const char* bad : {"a == '\xff'", "a == '\xc0\xaf'", "a == '\xed\xa0\x80'", "a == '\xf4\x90\x80\x80'", "a == '\xe2\x82"}) {
    const auto result = parse(bad);
    ASSERT_TRUE(std::holds_alternative<SyntaxError>(result));
    EXPECT_EQ(std::get<SyntaxError>(result).message, "the query is not valid UTF-8");
    EXPECT_EQ(std::get<SyntaxError>(result).span.column, 7u);
  }
}

TEST(Errors, TheFirstInTheTextIsTold) {
  // The parser's complaint stands before the tokenizer's.
  const auto result = parse("a b == 6to4");
  ASSERT_TRUE(std::holds_alternative<SyntaxError>(result));
  EXPECT_EQ(std::get<SyntaxError>(result).span.column, 3u);
}

TEST(Errors, ExpectedIsListed) {
  const auto result = parse("a == 1 b");
  ASSERT_TRUE(std::holds_alternative<SyntaxError>(result));
  EXPECT_EQ(std::get<SyntaxError>(result).expected,
            (std::vector<std::string>{"an operator", "'|'", "the end of the query"}));
}

std::string view_of(std::string_view text) {
  const ParseResult result = parse(text);
  const auto* error = std::get_if<SyntaxError>(&result);
  return error == nullptr ? "accepted" : caret_view(text, error->span);
}

TEST(CaretView, MarksTheToken) {
  EXPECT_EQ(view_of("from flows\n| wehre src_ip == 5\n| limit 3"), "| wehre src_ip == 5\n  ^~~~~\n");
  EXPECT_EQ(view_of("from flows | where"), "from flows | where\n                  ^\n");
  EXPECT_EQ(view_of("\t'\u00e9' == 6to4"), " '\u00e9' == 6to4\n        ^~~~\n");
  EXPECT_EQ(view_of("a ==\r\n| limit 5\r\n"), "| limit 5\n^\n");
  EXPECT_EQ(view_of(""), "\n^\n");
}

TEST(CaretView, CutsLongLinesAndHidesControlCharacters) {
  const std::string text = '"' + std::string(5000, 'a') + "\" b '" + std::string(5000, 'c') + "'";
  const std::string view = view_of(text);
  EXPECT_LT(view.size(), 300u);
  const size_t line_end = view.find('\n');
  // Both lines start with one character for the cut; the ellipsis has three bytes.
  const size_t caret = view.find('^') - line_end - 1;
  EXPECT_EQ(view.substr(caret + 2, 1), "b");
  EXPECT_EQ(caret_view("a \x1b[31m b", Span{2, 1, 1, 3}), "a ?[31m b\n  ^\n");
  EXPECT_EQ(caret_view("\xff\xfe", Span{0, 1, 1, 1}), "??\n^\n");
  EXPECT_EQ(caret_view("abc", Span{4'000'000'000u, 4'000'000'000u, 9, 9}), "abc\n   ^\n");
}

}  // namespace
}  // namespace sluice::grammar
