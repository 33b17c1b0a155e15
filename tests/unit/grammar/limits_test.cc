// Hostile and merely large texts: each bound of limits.h at the bound and one past it, and no crash or long wait beyond.
#include "grammar/limits.h"

#include <gtest/gtest.h>


#include "grammar/parse.h"
#include "grammar/print.h"
#include "tests/sanitizer.h"

namespace sluice::grammar {
namespace {

std::string repeat(std::string_view part, size_t times) {
  std::string text;
  text.reserve(part.size() * times);
  for (size_t i = 0; i < times; ++i) text += part;
  return text;
}

bool parses(std::string_view text) { return std::holds_alternative<Statement>(parse(text)); }

std::string error_of(std::string_view text) {
  const ParseResult result = parse(text);
  const auto* error = std::get_if<SyntaxError>(&result);
  return error == nullptr ? "accepted" : error->message;
}

// Runs to its end: work that grows with the square of the text would meet the test program's timeout, and nothing else would.
template <class Call>
void ends(Call call) {
  call();
}

constexpr const char* kDeep = "the query is nested too deep: the limit is 200 levels";
constexpr const char* kDeepTree = "this expression is nested too deep: the limit is 200 levels";

TEST(Limits, Nesting) {
  const auto parens = [](size_t n) { return repeat("(", n) + "a" + repeat(")", n); };
  EXPECT_TRUE(parses(parens(kMaxNestingDepth)));
  EXPECT_EQ(error_of(parens(kMaxNestingDepth + 1)), kDeep);
  EXPECT_EQ(error_of(parens(1'000)), kDeep);
  const auto result = parse(parens(1'000));
  EXPECT_EQ(std::get<SyntaxError>(result).span.column, 201u);
  ends([&] { EXPECT_EQ(error_of(parens(100'000)), kDeep); });
  ends([&] { EXPECT_EQ(error_of(repeat("(", 500'000)), kDeep); });
  EXPECT_TRUE(parses(repeat("not ", 199) + "a"));
  EXPECT_EQ(error_of(repeat("not ", 100'000) + "a"), kDeep);
  EXPECT_EQ(error_of("a == " + repeat("- ", 100'000) + "1"), kDeep);
  EXPECT_EQ(error_of(repeat("!", 100'000) + "a"), kDeep);
  EXPECT_EQ(error_of(repeat("(not ", 100'000) + "a"), kDeep);
  EXPECT_EQ(error_of(repeat("f(", 100'000) + "a"), kDeep);
  EXPECT_EQ(error_of("sequence " + repeat("[", 100'000)), kDeep);
  EXPECT_EQ(error_of(repeat("join (", 100'000)), kDeep);
  EXPECT_EQ(error_of(repeat("join (from flows | ", 50'000)), kDeep);
  EXPECT_EQ(error_of(repeat("a in (f(", 100'000)), kDeep);
  EXPECT_TRUE(parses("a == " + repeat("1 + ", 190) + "1"));
  ends([&] { EXPECT_EQ(error_of("a == " + repeat("1 + ", 100'000) + "1"), kDeepTree); });
  ends([&] { EXPECT_EQ(error_of("a == " + repeat("1 * ", 100'000) + "1"), kDeepTree); });
}

TEST(Limits, LongChainsAndListsAreFlat) {
  ends([&] {
    const std::string text = repeat("a == 1 or ", 60'000) + "a == 1";
    ASSERT_TRUE(parses(text));
  });
  ends([&] {
    std::string text = "ip in (";
    for (int i = 0; i < 50'000; ++i)
      text += (i > 0 ? "," : "") + std::string("10.") + std::to_string(i % 250) + "." + std::to_string(i / 250) + ".77";
    const ParseResult result = parse(text + ")");
    ASSERT_TRUE(std::holds_alternative<Statement>(result)) << std::get<SyntaxError>(result).text();
    const auto* query = std::get<Statement>(result).as<Query>();
    EXPECT_EQ(query->stages.at(0).as<WhereStage>()->predicate->as<In>()->items.size(), 50'000u);
  });
}

TEST(Limits, Tokens) {
  // a, then pairs of ", a"
  const std::string most = "select a" + repeat(",a", kMaxTokens / 2 - 1);
  EXPECT_TRUE(parses(most));
  ends([&] {
    EXPECT_EQ(error_of(most + ",a"), "the query is too long: the limit is 262144 words, values and symbols");
  });
}

TEST(Limits, Bytes) {
  const std::string query = "a == 1 ";
  EXPECT_TRUE(parses(query + repeat(" ", kMaxQueryBytes - query.size())));
  EXPECT_EQ(error_of(query + repeat(" ", kMaxQueryBytes - query.size() + 1)),
            "the query text is too long: it has 1048577 bytes, the limit is 1048576 bytes");
}

TEST(Limits, Stages) {
  EXPECT_TRUE(parses("from flows" + repeat(" | limit 1", kMaxStages)));
  EXPECT_EQ(error_of("from flows" + repeat(" | limit 1", kMaxStages + 1)), "the query has too many stages: the limit is 256");
}

TEST(Limits, NamesAndRegularExpressions) {
  EXPECT_TRUE(parses(repeat("a", kMaxNameBytes)));
  EXPECT_EQ(error_of(repeat("a", kMaxNameBytes + 1)), "this word is too long: the limit is 1024 bytes");
  EXPECT_TRUE(parses("`" + repeat("a", kMaxNameBytes) + "` == 1"));
  EXPECT_EQ(error_of("`" + repeat("a", kMaxNameBytes + 1) + "` == 1"), "this name is too long: the limit is 1024 bytes");
  EXPECT_TRUE(parses("a =~ /" + repeat("a", kMaxRegexBytes) + "/"));
  EXPECT_EQ(error_of("a =~ /" + repeat("a", kMaxRegexBytes + 1) + "/"),
            "this regular expression is too long: the limit is 4096 bytes");
}

// People know the limit and its value; what we call it inside is none of their business.
TEST(Limits, NoMessageNamesAConstant) {
  for (const std::string& text :
       {repeat("(", kMaxNestingDepth + 1), "a == " + repeat("1 + ", kMaxNestingDepth + 1) + "1", "select a" + repeat(",a", kMaxTokens / 2),
        repeat(" ", kMaxQueryBytes + 1), "from flows" + repeat(" | limit 1", kMaxStages + 1), repeat("a", kMaxNameBytes + 1),
        "`" + repeat("a", kMaxNameBytes + 1) + "` == 1", "a == $" + repeat("a", kMaxNameBytes + 1), "a in @" + repeat("a", kMaxNameBytes + 1),
        "a == " + repeat("a.", kMaxNestingDepth + 1) + "a", "a =~ /" + repeat("a", kMaxRegexBytes + 1) + "/"}) {
    const std::string message = error_of(text);
    EXPECT_NE(message.find("the limit is "), std::string::npos) << message;
    EXPECT_EQ(message.find("kMax"), std::string::npos) << message;
  }
}

TEST(Limits, NothingIsQuadratic) {
  for (const char* part : {"a /* c */ ", "-- c\n", "a.", "1e+", "'", "\\", "`", "/", "a not ", "$a ", "@a ", "::", "1-", "a,", "[", "{",
                           "| where a ", "a(", "in ", "between 1 and ", "by ", "\xc2\xa0", "1.1.1.1-", "2026-11-20-", "from ",
                           "create rule a as ", ";", "| foo ", "active ", "is not "}) {
    SCOPED_TRACE(part);
    const std::string text = repeat(part, kMaxQueryBytes / (kAddressSanitizer ? 32 : 4) / std::string_view(part).size());
    ends([&] {
      (void)parse(text);
      (void)parse_script(text);
      (void)parse_expression(text);
    });
  }
}

}  // namespace
}  // namespace sluice::grammar
