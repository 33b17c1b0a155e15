// Draws an answer as a table that fits the terminal.
//
// Values come from other people's logs: control characters are shown as escapes, so that a hostile name can't drive the
// terminal. Widths count terminal cells (wide and combining characters included).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

struct Cell {
  std::string text;
  bool null = false;
  double number = 0;  // of a numeric column, durations in milliseconds
};

struct TableColumn {
  std::string name;
  bool right = false;  // numbers stand right
};

struct TableStyle {
  size_t width = 0;     // terminal columns; 0: as wide as it needs
  bool colour = false;  // ANSI bold header, dim nulls
  bool wrap = false;    // for tables that explain something: nothing is cut, long text goes on in the next line
};

// Header, rule, rows. When the columns don't fit, the widest text is cut with "…"; when even that can't fit, every row is
// drawn as "name  value" lines, nulls left out. With `wrap`, text is broken between words instead; where that would leave
// columns too narrow to read, the last one goes below its row.
std::string draw_table(const std::vector<TableColumn>& columns, const std::vector<std::vector<Cell>>& rows, const TableStyle& style);

// Lines of at most `width` cells, broken between words where there are some; those after the first are indented.
// REQUIRES: indent < width
std::vector<std::string> wrapped(std::string_view text, size_t width, size_t indent = 0);
// "a b · c d" as lines that end between facts and not inside one that a line can hold; further lines stand two cells in.
std::vector<std::string> wrapped_facts(std::string_view text, size_t width);

// The text if it fits into so many cells, else as much of it as fits before a "…".
std::string cut(std::string_view text, size_t width);

// Terminal cells that a string takes. Invalid UTF-8 counts one cell a byte.
size_t display_width(std::string_view text);
// Control characters, invalid UTF-8 and direction overrides as \xNN or \u{…}.
std::string printable(std::string_view text);

}  // namespace sluice::client
