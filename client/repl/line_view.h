// What is being typed, as the bytes that draw it on a terminal: prompt, text in its colours, what the history suggests, and lines below.
//
// The text breaks at the terminal's edge where this says and not where the terminal would, so that the cursor's place is known. What is
// taller than the terminal is drawn around the cursor. Control characters are drawn as escapes, wherever the text came from.
// Pure, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

struct LineView {
  std::string_view prompt, more;  // before the first line, and before the others
  std::string_view text;          // may have several lines
  size_t cursor = 0;              // its byte in `text`
  std::string_view hint;          // what would follow the text; drawn dim, and only with colours, since without it would look typed
  size_t mark_offset = 0, mark_length = 0;  // a part of the text to set off: what a search found
  std::vector<std::string> below;           // lines under the text, cut at the edge; printable but for colours
  size_t width = 80, height = 24;           // of the terminal, in cells
  bool colour = false;
};

struct DrawnLine {
  std::string bytes;      // rows with CR LF between them; leaves the cursor behind the last
  size_t rows = 1;        // how many, at most `height`
  size_t cursor_row = 0;  // where the cursor belongs, counted from the first of them
  size_t cursor_column = 0;
};

DrawnLine draw_line(const LineView& view);

// The cells from the edge to the byte `offset` of a line of text behind a prompt. SIZE_MAX: the line does not fit into `width`.
size_t column_of(std::string_view prompt, std::string_view line, size_t offset, size_t width);

}  // namespace sluice::client
