#include "grammar/complete.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::grammar {
namespace {

// The cursor stands where "^" is in the text.
Completion at_mark(std::string text) {
  const size_t cursor = text.find('^');
  text.erase(cursor, 1);
  return complete(text, cursor);
}

bool offers(const Completion& completion, Suggest kind, std::string_view text = "") {
  return std::any_of(completion.suggestions.begin(), completion.suggestions.end(),
                     [&](const Suggestion& s) { return s.kind == kind && s.text == text; });
}
bool offers_word(const Completion& completion, std::string_view word) { return offers(completion, Suggest::kKeyword, word); }

TEST(Complete, TheStart) {
  const Completion c = at_mark("^");
  EXPECT_TRUE(offers_word(c, "from"));
  EXPECT_TRUE(offers_word(c, "explain"));
  EXPECT_TRUE(offers_word(c, "last"));
  EXPECT_TRUE(offers(c, Suggest::kColumn));
  EXPECT_TRUE(offers(c, Suggest::kStage));
  EXPECT_EQ(c.prefix, "");
}

TEST(Complete, ThePrefixIsReplacedAsAWhole) {
  const Completion c = at_mark("from flows | whe^re x == 1");
  EXPECT_EQ(c.prefix, "whe");
  EXPECT_EQ(c.replace.offset, 13u);
  EXPECT_EQ(c.replace.length, 5u);
  EXPECT_EQ(c.replace.column, 14u);
  EXPECT_EQ(c.suggestions.size(), 1u);
  EXPECT_TRUE(offers(c, Suggest::kStage));
  EXPECT_EQ(at_mark("source.^").prefix, "source.");
}

TEST(Complete, Sources) {
  EXPECT_TRUE(offers(at_mark("from ^"), Suggest::kSource));
  const Completion after = at_mark("from flows ^");
  EXPECT_TRUE(offers_word(after, "|"));
  EXPECT_TRUE(offers_word(after, "last"));
  EXPECT_FALSE(offers_word(at_mark("from flows last 5m ^"), "last"));
  EXPECT_TRUE(offers(at_mark("from flows last ^"), Suggest::kDuration));
  EXPECT_TRUE(offers(at_mark("from flows between ^"), Suggest::kTimestamp));
  EXPECT_TRUE(offers(at_mark("from flows between 2026-11-20 and ^"), Suggest::kTimestamp));
  EXPECT_TRUE(offers_word(at_mark("from flows between 2026-11-20 ^"), "and"));
  EXPECT_TRUE(offers_word(at_mark("from flows at 2026-11-20 ^"), "+/-"));
}

TEST(Complete, Conditions) {
  EXPECT_TRUE(offers(at_mark("from flows | where ^"), Suggest::kColumn));
  const Completion operators = at_mark("from flows | where src_port ^");
  EXPECT_TRUE(offers_word(operators, "=="));
  EXPECT_TRUE(offers_word(operators, "not in"));
  EXPECT_TRUE(offers(at_mark("from flows | where proto == ^"), Suggest::kValue, "proto"));
  EXPECT_TRUE(offers(at_mark("proto == t^"), Suggest::kValue, "proto"));
  EXPECT_TRUE(offers(at_mark("proto == tcp and source.ip != ^"), Suggest::kValue, "source.ip"));
  EXPECT_TRUE(offers(at_mark("dst_port not in (22, ^"), Suggest::kValue, "dst_port"));
  EXPECT_TRUE(offers(at_mark("src_ip in ^"), Suggest::kList));
  EXPECT_TRUE(offers(at_mark("src_ip in @t^"), Suggest::kList));
  EXPECT_TRUE(offers(at_mark("src_ip == $t^"), Suggest::kParameter));
  const Completion done = at_mark("proto == tcp ^");
  EXPECT_TRUE(offers_word(done, "and"));
  EXPECT_TRUE(offers_word(done, "last"));
  EXPECT_FALSE(offers_word(done, "=="));
  EXPECT_TRUE(offers(at_mark("host == \"exa^"), Suggest::kValue, "host"));
  EXPECT_EQ(at_mark("host == \"exa^").prefix, "\"exa");
  EXPECT_EQ(at_mark("host == '^").prefix, "'");
  EXPECT_TRUE(offers(at_mark("host in ('a', 'b-^"), Suggest::kValue, "host"));
  EXPECT_EQ(at_mark("host in ('a', 'b-^").prefix, "'b-");
  EXPECT_EQ(at_mark("host == 'e-^x' and proto == tcp").replace.length, 5u) << "with the quote that ends it";
  EXPECT_TRUE(at_mark("last 1h | stats n = count() | render '^").suggestions.empty());
  EXPECT_TRUE(at_mark("x == 1 /* wh^").suggestions.empty());
}

TEST(Complete, Stages) {
  EXPECT_TRUE(offers(at_mark("from flows | stats ^"), Suggest::kAggregate));
  EXPECT_TRUE(offers(at_mark("from flows | stats n = ^"), Suggest::kAggregate));
  EXPECT_TRUE(offers(at_mark("from flows | stats sum(^"), Suggest::kColumn));
  EXPECT_TRUE(offers_word(at_mark("from flows | stats count() ^"), "by"));
  EXPECT_TRUE(offers(at_mark("from flows | stats count() by ^"), Suggest::kColumn));
  EXPECT_FALSE(offers(at_mark("from flows | stats count() by ^"), Suggest::kAggregate));
  EXPECT_TRUE(offers(at_mark("from flows | top ^"), Suggest::kNumber));
  EXPECT_TRUE(offers(at_mark("from flows | top 5 ^"), Suggest::kColumn));
  EXPECT_TRUE(offers(at_mark("from flows | top 5 src_ip by ^"), Suggest::kAggregate));
  EXPECT_TRUE(offers_word(at_mark("from flows | timeseries count() ^"), "every"));
  EXPECT_TRUE(offers(at_mark("from flows | timeseries count() every ^"), Suggest::kDuration));
  EXPECT_TRUE(offers_word(at_mark("from flows | sort bytes ^"), "desc"));
  EXPECT_TRUE(offers(at_mark("from flows | lookup ^"), Suggest::kTable));
  EXPECT_TRUE(offers_word(at_mark("from flows | lookup assets ^"), "on"));
  EXPECT_TRUE(offers_word(at_mark("from flows | stitch ^"), "within"));
  EXPECT_TRUE(offers(at_mark("from flows | stitch within ^"), Suggest::kDuration));
  EXPECT_TRUE(offers_word(at_mark("show ^"), "columns"));
  EXPECT_TRUE(offers_word(at_mark("create rule r severity ^"), "high"));
}

TEST(Complete, QueriesInParentheses) {
  const Completion join = at_mark("from flows last 1h | join ^");
  for (const char* word : {"inner", "left", "semi", "anti", "("}) EXPECT_TRUE(offers_word(join, word)) << word;
  const Completion inside = at_mark("from flows last 1h | join semi (^");
  EXPECT_TRUE(offers_word(inside, "from"));
  EXPECT_TRUE(offers_word(inside, "last"));
  EXPECT_TRUE(offers(inside, Suggest::kColumn));
  EXPECT_TRUE(offers_word(at_mark("last 1h | join (dst_port == 53 ^"), "last"));
  EXPECT_FALSE(offers_word(at_mark("last 1h | join (last 2h | where dst_port == 53 ^"), "last"));
  EXPECT_TRUE(offers_word(at_mark("last 1h | join (last 2h | stats count() by src_ip) ^"), "on"));
}

TEST(Complete, SurvivesEveryCutOfATextAndAnyCursor) {
  const std::string text = "from flows last 5m | where a in (1, 'x') and \xc3\xa9 | stats n = count() by bin(5m) | sort n desc; show x";
  for (size_t i = 0; i <= text.size() + 2; ++i) {
    const Completion c = complete(text, i);
    EXPECT_LE(c.replace.end(), text.size());
    (void)complete(std::string_view(text).substr(0, i), i);
  }
  (void)complete(std::string(2'000'000, 'a'), 1'000'000);
}

}  // namespace
}  // namespace sluice::grammar
