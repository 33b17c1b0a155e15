#include "client/repl/line_view.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <utility>

#include "client/repl/limits.h"
#include "client/repl/table.h"
#include "client/repl/terminal.h"
#include "client/repl/typed_text.h"

namespace sluice::client {
namespace {

// Rows of cells with codes of colour between them, which take none.
class Rows {
 public:
  Rows(size_t width, bool colour) : width_(std::max<size_t>(width, 2)), colour_(colour) {}

  void set(std::string_view code) {
    if (!colour_ || code == code_) return;
    if (!code_.empty()) rows_.back() += ansi::kReset;
    rows_.back() += code;
    code_ = code;
  }
  // One character, as it is to be seen.
  void put(std::string_view character) {
    const size_t cells = display_width(character);
    if (used_ + cells > width_) new_row();
    rows_.back() += character;
    used_ += cells;
  }
  void new_row() {
    const std::string code(code_);
    if (!code_.empty()) rows_.back() += ansi::kReset;
    rows_.emplace_back(code_);
    used_ = 0;
  }
  // Where the next character will stand: at the edge that is the next row.
  std::pair<size_t, size_t> place() {
    if (used_ >= width_) new_row();
    return {rows_.size() - 1, used_};
  }
  std::vector<std::string>& all() {
    set({});
    return rows_;
  }

 private:
  const size_t width_;
  const bool colour_;
  std::vector<std::string> rows_{std::string()};
  std::string_view code_;
  size_t used_ = 0;
};

size_t character_length(std::string_view text, size_t i) {
  size_t n = 1;
  while (i + n < text.size() && n < 4 && (static_cast<unsigned char>(text[i + n]) & 0xc0) == 0x80) ++n;
  return n;
}

void put_text(Rows& rows, std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t n = character_length(text, i);
    const std::string seen = printable(text.substr(i, n));
    // An escape such as \x1b is many characters, which may stand in two rows.
    if (seen.size() > n)
      for (const char& c : seen) rows.put({&c, 1});
    else
      rows.put(seen);
    i += n;
  }
}

}  // namespace

DrawnLine draw_line(const LineView& view) {
  Rows rows(view.width, view.colour);
  rows.set(ansi::kBold);
  put_text(rows, view.prompt);
  rows.set({});
  const std::vector<TypedToken> tokens = view.colour && view.text.size() <= limits::kColouredBytes ? tokens_of(view.text) : std::vector<TypedToken>{};
  size_t token = 0;
  DrawnLine drawn;
  const size_t mark_end = view.mark_offset + view.mark_length;
  for (size_t i = 0; i <= view.text.size();) {
    if (i == view.cursor) std::tie(drawn.cursor_row, drawn.cursor_column) = rows.place();
    if (i == view.text.size()) break;
    if (view.text[i] == '\n') {
      rows.set({});
      rows.new_row();
      rows.set(ansi::kDim);
      put_text(rows, view.more);
      rows.set({});
      ++i;
      continue;
    }
    while (token < tokens.size() && tokens[token].offset + tokens[token].length <= i) ++token;
    const bool in_token = token < tokens.size() && tokens[token].offset <= i;
    rows.set(i >= view.mark_offset && i < mark_end ? ansi::kReverse : in_token ? colour_of(tokens[token].kind) : std::string_view{});
    const size_t n = character_length(view.text, i);
    put_text(rows, view.text.substr(i, n));
    i += n;
  }
  if (view.colour && !view.hint.empty()) {
    rows.set(ansi::kDim);
    // Only its first line, and only what fits: a suggestion is not to push what is typed about.
    const std::string shown = printable(view.hint.substr(0, view.hint.find('\n')));
    const size_t room = view.width - std::min(view.width, drawn.cursor_column);
    if (room > 1) put_text(rows, cut(shown, room));
  }
  std::vector<std::string>& all = rows.all();
  const size_t text_rows = all.size();
  for (const std::string& line : view.below) all.push_back(line);
  // The window of rows that the terminal has room for, with the cursor's in it; lines below give way first.
  const size_t height = std::max<size_t>(view.height, 1);
  size_t first = 0;
  if (all.size() > height) {
    if (text_rows > height) first = std::min(drawn.cursor_row > height / 2 ? drawn.cursor_row - height / 2 : 0, text_rows - height);
    all.resize(first + height);
  }
  drawn.cursor_row -= first;
  drawn.rows = all.size() - first;
  for (size_t i = first; i < all.size(); ++i) {
    if (i > first) drawn.bytes += "\r\n";
    drawn.bytes += all[i];
  }
  return drawn;
}

size_t column_of(std::string_view prompt, std::string_view line, size_t offset, size_t width) {
  const size_t before = display_width(prompt);
  if (before + display_width(printable(line)) > width) return SIZE_MAX;
  return before + display_width(printable(line.substr(0, std::min(offset, line.size()))));
}

}  // namespace sluice::client
