#include "client/repl/typed_text.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice::client {
namespace {

// "stage:where name:src_ip sign:= …", which reads better than offsets.
std::string kinds_of(std::string_view text) {
  constexpr const char* kNames[] = {"stage", "word", "name", "function", "literal", "string", "parameter", "comment", "sign", "command"};
  std::string out;
  for (const TypedToken& t : tokens_of(text)) {
    if (!out.empty()) out += ' ';
    out += std::string(kNames[static_cast<size_t>(t.kind)]) + ":" + std::string(text.substr(t.offset, t.length)) + (t.open ? "…" : "");
  }
  return out;
}

TEST(TypedText, TellsStagesFromColumnsOfTheirNames) {
  EXPECT_EQ(kinds_of("from flows | where dst_port == 53"), "stage:from word:flows sign:| stage:where name:dst_port sign:= sign:= literal:53");
  EXPECT_EQ(kinds_of("limit == 5 | limit 5"), "name:limit sign:= sign:= literal:5 sign:| stage:limit literal:5");
  EXPECT_EQ(kinds_of("stats n = count(), b = sum(bytes) by top"),
            "stage:stats name:n sign:= function:count sign:( sign:) sign:, name:b sign:= function:sum sign:( name:bytes sign:) word:by name:top");
  EXPECT_EQ(kinds_of("TOP 5 src_ip BY sum(bytes)"), "stage:TOP literal:5 name:src_ip word:BY function:sum sign:( name:bytes sign:)");
  EXPECT_EQ(kinds_of("from alerts | sort flows desc"), "stage:from word:alerts sign:| stage:sort name:flows word:desc");
  EXPECT_EQ(kinds_of("sessions by src_ip gap 10m | stats min(bytes), a = first(ts) window session gap 5m | beacons min 20"),
            "stage:sessions word:by name:src_ip word:gap literal:10m sign:| stage:stats function:min sign:( name:bytes sign:) sign:, name:a sign:= function:first sign:( name:ts sign:) word:window "
            "word:session word:gap literal:5m sign:| stage:beacons word:min literal:20");
  EXPECT_EQ(kinds_of("a in (from flows | distinct b)"), "name:a word:in sign:( word:from word:flows sign:| stage:distinct name:b sign:)");
  EXPECT_EQ(kinds_of("explain analyze top 3 app"), "stage:explain word:analyze stage:top literal:3 name:app");
  EXPECT_EQ(kinds_of("\\watch 5s stats count()"), "command:\\watch literal:5s stage:stats function:count sign:( sign:)");
}

TEST(TypedText, ReadsLiteralsThatNeedNoQuotes) {
  for (const char* literal : {"10.0.0.0/8", "fe80::1", "::1", "::/0", "2001:db8::/32", "::ffff:1.2.3.4", "00:1b:21:3c:9d:f8", "2026-11-20", "2026-11-20T08:14Z", "2026-11-20T08:14:01.5+02:00", "1h30m",
                              "1_000", "0x1f", "2.5Gbps", "1.5GiB"})
    EXPECT_EQ(kinds_of(literal), std::string("literal:") + literal);
  EXPECT_EQ(kinds_of("a - 5"), "name:a sign:- literal:5");
  EXPECT_EQ(kinds_of("in $who, @bad, @\"a list\""), "word:in parameter:$who sign:, parameter:@bad sign:, parameter:@\"a list\"");
}

TEST(TypedText, TellsDivisionFromARegularExpression) {
  EXPECT_EQ(kinds_of("bytes / packets / 2"), "name:bytes sign:/ name:packets sign:/ literal:2");
  EXPECT_EQ(kinds_of("app matches /a|b\\/c/i or x"), "name:app word:matches string:/a|b\\/c/i word:or name:x");
  EXPECT_EQ(kinds_of("matches /open"), "word:matches sign:/ name:open");
  EXPECT_EQ(kinds_of("(1) / 2 // half"), "sign:( literal:1 sign:) sign:/ literal:2 comment:// half");
}

TEST(TypedText, KnowsWhatIsNotClosedYet) {
  EXPECT_EQ(kinds_of("app == \"a | b"), "name:app sign:= sign:= string:\"a | b…");
  EXPECT_EQ(kinds_of("app == 'it\\'s' x"), "name:app sign:= sign:= string:'it\\'s' name:x");
  EXPECT_EQ(kinds_of("`a b` -- x\ny"), "name:`a b` comment:-- x name:y");
  EXPECT_EQ(kinds_of("a /* b\nc"), "name:a comment:/* b\nc…");
  EXPECT_EQ(kinds_of("'\\"), "string:'\\…");
}

TEST(TypedText, PutsEveryByteThatIsNoBlankIntoOneToken) {
  // Also of texts that are no queries: every cut of one that has everything, and bytes of all values.
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const std::string query = "from flows last 1h | where a == \"é\\\"\" and b in (10.0.0.0/8, fe80::1) /* c */ or d matches /x\\/y/i -- e\n| top 3 `f g` by sum($h)";
  for (const std::string& text : {query, all})
    for (size_t from = 0; from < text.size(); ++from)
      for (size_t to = from; to <= text.size(); to += 3) {
        const std::string_view part = std::string_view(text).substr(from, to - from);
        size_t done = 0;
        for (const TypedToken& t : tokens_of(part)) {
          ASSERT_GE(t.offset, done);
          for (size_t i = done; i < t.offset; ++i) ASSERT_NE(std::string_view(" \t\r\n").find(part[i]), std::string_view::npos);
          ASSERT_GT(t.length, 0u);
          done = t.offset + t.length;
          ASSERT_LE(done, part.size());
        }
        for (size_t i = done; i < part.size(); ++i) ASSERT_NE(std::string_view(" \t\r\n").find(part[i]), std::string_view::npos);
      }
}

TEST(TypedText, KnowsWhenAQuestionGoesOn) {
  for (const char* open : {"from flows |", "where src_ip in (1,", "stats count(", "where a == 'x", "stats a = count(),", "from flows | -- all", "a /* b"}) EXPECT_TRUE(continues(open)) << open;
  for (const char* done : {"", "from flows", "dst_port == 53 last 1h | top 10 src_ip", "where a == \"x(\"", "last 1h -- comment (", "app matches /a|(/"}) EXPECT_FALSE(continues(done)) << done;
}

}  // namespace
}  // namespace sluice::client
