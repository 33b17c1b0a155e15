// Where answers are shown: what the terminal can do, and what may be sent to it.
//
// Thread rule: plain values; TerminalText as std::string.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

// What a terminal that knows colours is sent (ECMA-48, SGR).
namespace ansi {
inline constexpr std::string_view kBold = "\x1b[1m", kDim = "\x1b[2m", kReverse = "\x1b[7m", kRed = "\x1b[31m", kReset = "\x1b[0m";
}

// What an open file is shown on, as it is at the moment of construction.
struct Terminal {
  explicit Terminal(int file = STDOUT_FILENO);

  // A text in lines that fit, broken between words, those after the first two cells in; where nothing is known of the width, the text as it is.
  std::vector<std::string> fitted(std::string_view line) const;

  bool is_terminal = false;
  size_t width = 0, height = 0;  // 0: unknown
  // Colours are wanted: a terminal that knows them, and no NO_COLOR (no-color.org: present and not empty).
  bool colour = false;
  // The cursor can be moved (not TERM=dumb), so that a picture may be drawn over another.
  bool moves = false;
};

// Says something to a person: each line of the text in lines that fit, where `out` is a terminal. What is from outside in it is printable() already.
void say(std::FILE* out, std::string_view text);

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
