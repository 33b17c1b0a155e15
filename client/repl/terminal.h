// Where answers are shown: what the terminal can do, and what may be sent to it.
//
// Thread rule: plain values; TerminalText as std::string.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace sluice::client {

// Standard output, as it is at the moment of construction.
struct Terminal {
  Terminal();

  bool is_terminal = false;
  size_t width = 0, height = 0;  // 0: unknown
  // Colours are wanted: a terminal that knows them, and no NO_COLOR (no-color.org: present and not empty).
  bool colour = false;
  // The cursor can be moved (not TERM=dumb), so that a picture may be drawn over another.
  bool moves = false;
};

// Where a terminal has just echoed "^C": what comes next on `out` stands in its place.
void write_over_echo(std::FILE* out);

// Text of others on its way to a terminal, piece by piece: line ends and TABs stay, other control characters, invalid UTF-8 and overrides of
// direction become escapes as in printable(), however the pieces cut them.
class TerminalText {
 public:
  std::string take(std::string_view piece);
  // What was kept in case its character went on.
  std::string finish();

 private:
  std::string rest_;
};

// Lines and blocks of tables and charts as ASCII where the locale's encoding is not UTF-8, else the text as it is.
std::string for_locale(std::string text);
// The same whatever the locale.
std::string as_ascii(std::string_view text);

}  // namespace sluice::client
