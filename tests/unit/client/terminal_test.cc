#include "client/repl/terminal.h"

#include <gtest/gtest.h>

#include <clocale>
#include <fstream>
#include <iterator>
#include <string>

#include "client/repl/commands.h"
#include "client/repl/completion_list.h"
#include "client/repl/limits.h"
#include "client/repl/table.h"

namespace sluice::client {
namespace {

class TerminalTest : public ::testing::Test {
 protected:
  void SetUp() override { std::setlocale(LC_ALL, "C.UTF-8"); }
};

TEST_F(TerminalTest, TextOfOthersIsCleanHoweverItIsCut) {
  const std::string text = "a,\x1b]0;t\x07\tb\r\nGr\xc3\xb6\xc3\x9f" "e \xe2\x80\xae \xc2\x9b 2\xf0\x9f\x90\x8c\xe6\x9d\xb1\xff\n\xe6\x9d";
  const std::string expected = "a,\\x1b]0;t\\x07\tb\nGröße \\u{202e} \\u{9b} 2🐌東\\xff\n\\xe6\\x9d";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    TerminalText clean;
    std::string out;
    for (size_t i = 0; i < text.size(); i += piece) out += clean.take(std::string_view(text).substr(i, piece));
    EXPECT_EQ(out + clean.finish(), expected) << piece;
  }
}

TEST_F(TerminalTest, DrawingsHaveAFormInAscii) {
  EXPECT_EQ(as_ascii("800 ┤▁▄█\n    └──… · é"), "800 |_=#\n    +--. - é");
}

std::vector<CompletionItem> items_of(size_t count) {
  std::vector<CompletionItem> items;
  for (size_t i = 0; i < count; ++i) items.push_back({"item" + std::to_string(i), "column", "what it is"});
  return items;
}

TEST_F(TerminalTest, CompletionsFitTheirRoom) {
  EXPECT_EQ(completion_lines(items_of(2), SIZE_MAX, 80, false), (std::vector<std::string>{"  item0  column · what it is", "  item1  column · what it is"}));
  EXPECT_EQ(completion_lines(items_of(2), 1, 80, false)[1], "> item1  column · what it is");
  EXPECT_EQ(completion_lines(items_of(2), 1, 80, true)[1], "  \x1b[7mitem1\x1b[0m  \x1b[2mcolumn · what it is\x1b[0m");
  for (const size_t count : {1u, 12u, 13u, 40u, 200u})
    for (const size_t width : {16u, 20u, 40u, 80u, 200u})
      for (const size_t selected : {size_t{0}, count / 2, count - 1, SIZE_MAX}) {
        const auto lines = completion_lines(items_of(count), selected, width, false);
        ASSERT_LE(lines.size(), limits::kCompletionLines);
        bool seen = selected == SIZE_MAX;
        for (const std::string& line : lines) {
          EXPECT_LE(display_width(line), width);
          seen = seen || line.find("> item" + std::to_string(selected)) != std::string::npos;
        }
        EXPECT_TRUE(seen) << count << " " << width << " " << selected;
      }
  EXPECT_EQ(completion_lines(items_of(200), SIZE_MAX, 20, false).back(), "  … 178 more");
  const auto hostile = completion_lines({{"a\x1b[2J", "\x1b", "\n"}}, SIZE_MAX, 80, false);
  EXPECT_EQ(hostile, (std::vector<std::string>{"  a\\x1b[2J  \\x1b · \\n"}));
  EXPECT_TRUE(completion_lines({}, SIZE_MAX, 80, true).empty());
}

TEST_F(TerminalTest, TheCommonBeginningIsOfWholeCharacters) {
  EXPECT_EQ(common_beginning({{"src_ip", "", ""}, {"src_port", "", ""}}), "src_");
  EXPECT_EQ(common_beginning({{"aé", "", ""}, {"aè", "", ""}}), "a");
  EXPECT_EQ(common_beginning({{"aé", "", ""}}), "aé");
  EXPECT_EQ(common_beginning({{"aé", "", ""}, {"aéb", "", ""}}), "aé");
  EXPECT_EQ(common_beginning({}), "");
}

TEST_F(TerminalTest, CommandsComplete) {
  const auto texts = [](std::string_view text, size_t& question) {
    std::string out;
    for (const auto& item : complete_command(text, text.size(), question).items) out += (out.empty() ? "" : " ") + item.text;
    return out;
  };
  size_t question = 0;
  EXPECT_EQ(texts("\\ex", question), "\\explain \\export");
  EXPECT_EQ(texts("\\format n", question), "ndjson");
  EXPECT_EQ(texts("\\pager ", question), "on off");
  EXPECT_EQ(texts("\\nonsense x", question), "");
  EXPECT_EQ(question, SIZE_MAX);
  texts("\\tail dst_p", question);
  EXPECT_EQ(question, 6u);
  texts("\\watch 5s stats", question);
  EXPECT_EQ(question, 10u);
  texts("\\watch 5", question);
  EXPECT_EQ(question, SIZE_MAX);
  EXPECT_EQ(complete_command("\\format n", 9, question).replace_offset, 8u);
  // Every cut of every text is answered within it.
  for (const std::string text : {"\\watch  5s  stats count()", "\\d  so", "\\"})
    for (size_t cursor = 0; cursor <= text.size(); ++cursor) {
      const auto answer = complete_command(text, cursor, question);
      EXPECT_LE(answer.replace_offset + answer.replace_length, text.size());
      EXPECT_TRUE(question == SIZE_MAX || question <= cursor);
    }
}

TEST_F(TerminalTest, MistypedCommandsAreKnown) {
  EXPECT_EQ(nearest_prompt_command("\\wacth"), "\\watch");
  EXPECT_EQ(nearest_prompt_command("\\nonsense"), "");
  EXPECT_NE(find_prompt_command("\\q"), nullptr);
  EXPECT_EQ(find_prompt_command("\\x"), nullptr);
}

TEST_F(TerminalTest, EveryCommandIsInTheDocumentation) {
  std::ifstream file(std::string(SLUICE_SOURCE_DIR) + "/docs/repl.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const PromptCommand& c : prompt_commands()) EXPECT_NE(page.find("`" + std::string(c.name)), std::string::npos) << c.name;
}

TEST_F(TerminalTest, TheHelpFitsEveryWidth) {
  for (const size_t width : {20u, 40u, 50u, 60u, 80u, 200u}) {
    const std::string help = prompt_help(width);
    for (size_t i = 0; i < help.size();) {
      const size_t end = help.find('\n', i);
      EXPECT_LE(display_width(std::string_view(help).substr(i, end - i)), std::max<size_t>(width, 30)) << help.substr(i, end - i);
      i = end + 1;
    }
    for (const PromptCommand& c : prompt_commands()) EXPECT_NE(help.find(c.name), std::string::npos) << c.name;
  }
}

}  // namespace
}  // namespace sluice::client
