#include "query/regex.h"

#include <gtest/gtest.h>

namespace sluice::query {
namespace {

bool found(std::string_view pattern, std::string_view text, bool ignore_case = false) {
  auto regex = Regex::compile(pattern, ignore_case);
  EXPECT_TRUE(regex.ok()) << pattern;
  return regex.ok() && regex->found_in(text);
}

TEST(RegexTest, Finds) {
  EXPECT_TRUE(found("web", "my-web-1"));
  EXPECT_TRUE(found("^web-\\d+$", "web-12"));
  EXPECT_FALSE(found("^web-\\d+$", "web-12a"));
  EXPECT_TRUE(found("a|bc|d", "xxbc"));
  EXPECT_FALSE(found("^(a|bc|d)$", "b"));
  EXPECT_TRUE(found("a{2,3}b", "xaab"));
  EXPECT_FALSE(found("^a{2,3}b", "ab"));
  EXPECT_FALSE(found("^a{2,3}$", "aaaa"));
  EXPECT_TRUE(found("[^a-c]x", "zx"));
  EXPECT_FALSE(found("[^a-c]x", "ax"));
  EXPECT_TRUE(found("\\bcat\\b", "a cat sat"));
  EXPECT_FALSE(found("\\bcat\\b", "concat"));
  EXPECT_TRUE(found("DNS", "a dns b", true));
  EXPECT_TRUE(found("", ""));
  EXPECT_TRUE(found("(a*)*b", "aaab"));
  EXPECT_TRUE(found("x?y", "y"));
}

TEST(RegexTest, Captures) {
  auto regex = Regex::compile("(\\w+)@(\\w+)", false);
  ASSERT_TRUE(regex.ok());
  EXPECT_EQ(regex->capture("mail bob@example now", 0), "bob@example");
  EXPECT_EQ(regex->capture("mail bob@example now", 1), "bob");
  EXPECT_EQ(regex->capture("mail bob@example now", 2), "example");
  EXPECT_EQ(regex->capture("nothing", 1), std::nullopt);
}

TEST(RegexTest, RefusesWhatItCannotDo) {
  for (const char* bad : {"(", ")", "[", "*a", "a{3,2}", "(?=a)", "\\1", "a\\", "(a{100}){100}", "[b-a]"})
    EXPECT_FALSE(Regex::compile(bad, false).ok()) << bad;
}

TEST(RegexTest, StaysLinear) {
  // Exponential for a backtracker.
  EXPECT_FALSE(found("^(a|aa)+$", std::string(2'000, 'a') + "b"));
  EXPECT_FALSE(found("(x+x+)+y", std::string(2'000, 'x')));
}

}  // namespace
}  // namespace sluice::query
