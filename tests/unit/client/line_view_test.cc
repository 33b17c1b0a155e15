#include "client/repl/line_view.h"

#include <gtest/gtest.h>

#include <clocale>

#include "client/repl/table.h"

namespace sluice::client {
namespace {

class LineViewTest : public ::testing::Test {
 protected:
  void SetUp() override { std::setlocale(LC_ALL, "C.UTF-8"); }

  static LineView view_of(std::string_view text, size_t cursor, size_t width = 80, size_t height = 24) {
    LineView view;
    view.prompt = "sluice> ";
    view.more = "     -> ";
    view.text = text;
    view.cursor = cursor;
    view.width = width;
    view.height = height;
    return view;
  }
};

// Without codes of colour.
std::string plain(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\x1b')
      while (bytes[i] != 'm') ++i;
    else
      out += bytes[i];
  }
  return out;
}

TEST_F(LineViewTest, DrawsPromptAndText) {
  const DrawnLine d = draw_line(view_of("where a == 1", 5));
  EXPECT_EQ(d.bytes, "sluice> where a == 1");
  EXPECT_EQ(d.rows, 1u);
  EXPECT_EQ(d.cursor_row, 0u);
  EXPECT_EQ(d.cursor_column, 13u);
}

TEST_F(LineViewTest, BreaksAtTheEdgeAndAtLineEnds) {
  DrawnLine d = draw_line(view_of("abcdefgh", 8, 12));
  EXPECT_EQ(d.bytes, "sluice> abcd\r\nefgh");
  EXPECT_EQ(d.cursor_row, 1u);
  EXPECT_EQ(d.cursor_column, 4u);
  // A full row: the next character, and so the cursor, belongs below.
  d = draw_line(view_of("abcd", 4, 12));
  EXPECT_EQ(d.bytes, "sluice> abcd\r\n");
  EXPECT_EQ(d.cursor_row, 1u);
  EXPECT_EQ(d.cursor_column, 0u);
  d = draw_line(view_of("a |\nb", 5, 40));
  EXPECT_EQ(d.bytes, "sluice> a |\r\n     -> b");
  EXPECT_EQ(d.cursor_row, 1u);
  EXPECT_EQ(d.cursor_column, 9u);
  // A wide character is not cut in two.
  d = draw_line(view_of("abc東", 6, 12));
  EXPECT_EQ(d.bytes, "sluice> abc\r\n東");
}

TEST_F(LineViewTest, ColoursByKindAndResetsAtEveryRow) {
  LineView view = view_of("where app == \"aaaaaaaaaaaaaaaa\"", 0, 30);
  view.colour = true;
  const DrawnLine d = draw_line(view);
  EXPECT_EQ(plain(d.bytes), "sluice> where app == \"aaaaaaaa\r\naaaaaaaa\"");
  EXPECT_NE(d.bytes.find("\x1b[1;34mwhere\x1b[0m"), std::string::npos) << d.bytes;
  EXPECT_NE(d.bytes.find("\x1b[0m\r\n\x1b[32maaaaaaaa\"\x1b[0m"), std::string::npos) << d.bytes;
  view.colour = false;
  EXPECT_EQ(draw_line(view).bytes, plain(d.bytes));
}

TEST_F(LineViewTest, HostileTextIsDrawnAsEscapes) {
  for (const bool colour : {false, true}) {
    LineView view = view_of("a\x1b[2Jb\xff\xc2\x9b\x07", 3);
    view.colour = colour;
    view.hint = "\x1b]0;title\x07";
    const std::string bytes = draw_line(view).bytes;
    EXPECT_NE(plain(bytes).find("a\\x1b[2Jb\\xff"), std::string::npos) << plain(bytes);
    EXPECT_EQ(bytes.find("\x1b[2J"), std::string::npos);
    EXPECT_EQ(bytes.find('\x07'), std::string::npos);
    EXPECT_EQ(bytes.find("\x1b]"), std::string::npos);
    EXPECT_EQ(bytes.find("\xc2\x9b"), std::string::npos);
  }
}

TEST_F(LineViewTest, SuggestsOnlyInColourAndOnlyWhatFits) {
  LineView view = view_of("wh", 2, 16);
  view.hint = "ere a == 1\nmore";
  EXPECT_EQ(draw_line(view).bytes, "sluice> wh");
  view.colour = true;
  const DrawnLine d = draw_line(view);
  EXPECT_EQ(plain(d.bytes), "sluice> where a…");
  EXPECT_EQ(d.rows, 1u);
  EXPECT_EQ(d.cursor_column, 10u);
}

TEST_F(LineViewTest, WhatIsTallerThanTheTerminalIsDrawnAroundTheCursor) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "line " + std::to_string(i) + " |\n";
  for (size_t cursor = 0; cursor <= text.size(); ++cursor) {
    const DrawnLine d = draw_line(view_of(text, cursor, 40, 10));
    ASSERT_EQ(d.rows, 10u);
    ASSERT_LT(d.cursor_row, 10u);
  }
  // Lines below are the first to go.
  LineView view = view_of("a", 1, 40, 3);
  view.below = {"1", "2", "3", "4"};
  EXPECT_EQ(draw_line(view).bytes, "sluice> a\r\n1\r\n2");
}

TEST_F(LineViewTest, EveryRowFitsEveryWidth) {
  const std::string text = "where a == \"\x1b\x1b\x1b東京東京\" |\ntop 10 src_ip by sum(bytes) -- ünïcode";
  for (size_t width = 2; width < 60; ++width)
    for (const bool colour : {false, true}) {
      LineView view = view_of(text, text.size(), width, 1000);
      view.colour = colour;
      view.hint = " and more of it";
      const DrawnLine d = draw_line(view);
      std::string rest = plain(d.bytes);
      size_t rows = 1;
      for (size_t end; (end = rest.find("\r\n")) != std::string::npos; rest.erase(0, end + 2), ++rows) ASSERT_LE(display_width(rest.substr(0, end)), width);
      ASSERT_LE(display_width(rest), width);
      ASSERT_EQ(rows, d.rows);
    }
}

TEST_F(LineViewTest, KnowsTheColumnOfAByte) {
  EXPECT_EQ(column_of("sluice> ", "where a", 6, 80), 14u);
  EXPECT_EQ(column_of("> ", "東京 a", 7, 80), 7u);
  EXPECT_EQ(column_of("> ", "abc", 9, 80), 5u);
  EXPECT_EQ(column_of("sluice> ", "where a", 6, 14), SIZE_MAX);
}

}  // namespace
}  // namespace sluice::client
