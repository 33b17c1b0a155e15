#include "client/repl/table.h"

#include <wchar.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "client/repl/terminal.h"

namespace sluice::client {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 1;
  bool valid = false;
};

// Strict UTF-8: no overlong forms, no surrogates.
CodePoint next_code_point(std::string_view s) {
  const auto b = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = b(0);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xf5 ? 0 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || s.size() < length) return {first, 1, false};
  uint32_t v = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((b(i) & 0xc0) != 0x80) return {first, 1, false};
    v = v << 6 | (b(i) & 0x3fu);
  }
  if ((length == 3 && (v < 0x800 || (v >= 0xd800 && v < 0xe000))) || (length == 4 && (v < 0x10000 || v > 0x10ffff)))
    return {first, 1, false};
  return {v, length, true};
}

bool is_unsafe(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e ||
         c == 0x200f || c == 0xfeff;
}

size_t cells_of(uint32_t c) {
  const int w = wcwidth(static_cast<wchar_t>(c));
  return w < 0 ? 1 : static_cast<size_t>(w);
}

void pad(std::string& out, std::string_view text, size_t width, bool right, bool last) {
  const size_t used = display_width(text);
  const size_t gap = width > used ? width - used : 0;
  if (right) out.append(gap, ' ');
  out.append(text);
  if (!right && !last) out.append(gap, ' ');
}

constexpr std::string_view kNull = "-";

constexpr size_t kGap = 2;
// A text column is not cut below this; nor broken into lines that are shorter than a short sentence.
constexpr size_t kCutSmallest = 8, kWrapSmallest = 32;
// Rather than below its row, where no heading names it, a last column of short texts stands beside narrow ones.
constexpr size_t kWrapNarrow = 12;

std::string draw_records(const std::vector<TableColumn>& columns, const std::vector<std::vector<Cell>>& rows, const TableStyle& style) {
  size_t name_width = 0;
  for (const auto& c : columns) name_width = std::max(name_width, display_width(c.name));
  const size_t room = style.width > name_width + kGap + kCutSmallest ? style.width - name_width - kGap : 0;
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    out += "── " + std::to_string(r + 1) + " ──\n";
    for (size_t i = 0; i < columns.size(); ++i) {
      if (rows[r][i].null) continue;  // a record of 80 columns is mostly nulls; what it says is what counts
      if (style.colour) out += ansi::kBold;
      pad(out, columns[i].name, name_width, false, false);
      if (style.colour) out += ansi::kReset;
      bool first = true;
      for (const std::string& line : room > 0 ? wrapped(rows[r][i].text, room) : std::vector<std::string>{rows[r][i].text}) {
        if (!first) out.append(name_width, ' ');
        first = false;
        out.append(kGap, ' ');
        out += line + "\n";
      }
    }
  }
  return out;
}

// Takes from the widest columns until all fit, none below its least. False: that can't be.
bool shrink(std::vector<size_t>& widths, size_t width, const std::vector<size_t>& least) {
  size_t sum = kGap * (widths.size() - 1);
  for (size_t w : widths) sum += w;
  while (sum > width) {
    // The widest column to the next one's width; columns of short values stay whole.
    size_t widest = widths.size();
    for (size_t i = 0; i < widths.size(); ++i)
      if (widths[i] > least[i] && (widest == widths.size() || widths[i] > widths[widest])) widest = i;
    if (widest == widths.size()) return false;
    size_t next = least[widest];
    for (size_t i = 0; i < widths.size(); ++i)
      if (i != widest) next = std::max(next, std::min(widths[i], widths[widest] - 1));
    const size_t less = std::max<size_t>(1, std::min(sum - width, widths[widest] - next));
    widths[widest] -= less;
    sum -= less;
  }
  return true;
}

bool shrink(std::vector<size_t>& widths, size_t width, size_t least) { return shrink(widths, width, std::vector<size_t>(widths.size(), least)); }

size_t longest_word(std::string_view text) {
  size_t longest = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.size(), text.find(' '));
    longest = std::max(longest, display_width(text.substr(0, end)));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return longest;
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t n = 0;
  while (!text.empty()) {
    const CodePoint c = next_code_point(text);
    n += c.valid ? cells_of(c.value) : 1;
    text.remove_prefix(c.bytes);
  }
  return n;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = next_code_point(text);
    char buffer[16];
    if (!c.valid || (c.value < 0x80 && is_unsafe(c.value))) {
      if (c.value == '\n')
        out += "\\n";
      else if (c.value == '\t')
        out += "\\t";
      else {
        std::snprintf(buffer, sizeof buffer, "\\x%02x", c.value & 0xff);
        out += buffer;
      }
    } else if (is_unsafe(c.value)) {
      std::snprintf(buffer, sizeof buffer, "\\u{%x}", c.value);
      out += buffer;
    } else {
      out.append(text.substr(0, c.bytes));
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string cut(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::string out;
  size_t used = 0;
  while (!text.empty()) {
    const CodePoint c = next_code_point(text);
    const size_t w = cells_of(c.value);
    if (used + w + 1 > width) break;
    out.append(text.substr(0, c.bytes));
    used += w;
    text.remove_prefix(c.bytes);
  }
  return out + "…";
}

std::vector<std::string> wrapped(std::string_view text, size_t width, size_t indent) {
  std::vector<std::string> lines;
  std::string line, word;
  size_t used = 0;
  bool blank = true;  // the line has no word yet
  auto end_line = [&] {
    while (!line.empty() && line.back() == ' ') line.pop_back();
    lines.push_back(std::move(line));
    line.assign(indent, ' ');
    used = indent;
    blank = true;
  };
  auto put_word = [&] {
    const size_t cells = display_width(word);
    if (used + cells > width && !blank) end_line();
    for (std::string_view rest = word; !rest.empty();) {
      const CodePoint c = next_code_point(rest);
      const size_t w = c.valid ? cells_of(c.value) : 1;
      if (used + w > width && used > indent) end_line();  // a word that no line holds
      line.append(rest.substr(0, c.bytes));
      used += w;
      blank = false;
      rest.remove_prefix(c.bytes);
    }
    word.clear();
  };
  for (const char c : text) {
    if (c != ' ') {
      word += c;
      continue;
    }
    put_word();
    if (used >= width) {
      end_line();
    } else if (!blank || lines.empty()) {  // blanks at the beginning of the text are its indentation
      line += ' ';
      ++used;
    }
  }
  put_word();
  if (!blank || lines.empty()) end_line();
  return lines;
}

std::vector<std::string> wrapped_facts(std::string_view text, size_t width) {
  constexpr std::string_view kDot = " · ";
  constexpr char kHeld = '\x1f';  // stands for a space that wrapped() is not to see
  std::string held;
  for (; !text.empty(); text.remove_prefix(1)) {
    const bool between = text.starts_with(kDot) || (text.front() == ' ' && held.ends_with(kDot.substr(0, kDot.size() - 1)));
    held += text.front() == ' ' && !between ? kHeld : text.front();
  }
  std::vector<std::string> lines = wrapped(held, width, 2);
  for (std::string& line : lines) std::replace(line.begin(), line.end(), kHeld, ' ');
  return lines;
}

std::string draw_table(const std::vector<TableColumn>& columns, const std::vector<std::vector<Cell>>& rows, const TableStyle& style) {
  if (columns.empty()) return {};
  std::vector<size_t> widths(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    widths[i] = display_width(columns[i].name);
    for (const auto& row : rows) widths[i] = std::max(widths[i], row[i].null ? 1 : display_width(row[i].text));
  }
  size_t shown = columns.size();  // columns beside each other; one more goes below
  if (style.width > 0) {
    const std::vector<size_t> whole = widths;
    if (!shrink(widths, style.width, style.wrap ? kWrapSmallest : kCutSmallest)) {
      if (!style.wrap || columns.size() == 1 || columns.back().right) return draw_records(columns, rows, style);
      if (whole.back() <= kWrapSmallest) {
        widths = whole;
        std::vector<size_t> least(columns.size(), kWrapNarrow);  // and no word is broken
        for (const auto& row : rows)
          for (size_t i = 0; i < row.size(); ++i) least[i] = std::max(least[i], longest_word(row[i].text));
        if (!shrink(widths, style.width, least)) return draw_records(columns, rows, style);
      } else {
        widths.assign(whole.begin(), whole.end() - 1);
        if (!shrink(widths, style.width, kWrapSmallest)) return draw_records(columns, rows, style);
        --shown;
      }
    }
  }
  std::string out;
  if (style.colour) out += ansi::kBold;
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) out.append(kGap, ' ');
    pad(out, cut(columns[i].name, widths[i]), widths[i], columns[i].right, i + 1 == shown);
  }
  if (style.colour) out += ansi::kReset;
  out += '\n';
  for (size_t i = 0; i < shown; ++i) {
    if (i > 0) out.append(kGap, ' ');
    for (size_t k = 0; k < widths[i]; ++k) out += "─";
  }
  out += '\n';
  std::vector<std::vector<std::string>> lines(shown);
  for (const auto& row : rows) {
    size_t height = 1;
    for (size_t i = 0; i < shown; ++i) {
      if (row[i].null || !style.wrap || display_width(row[i].text) <= widths[i]) {
        lines[i] = {row[i].null ? std::string(kNull) : cut(row[i].text, widths[i])};
        continue;
      }
      // Where lines of two rows can't be told apart by the columns beside them, indentation tells.
      const size_t lead = row[i].text.find_first_not_of(' '), more = shown == 1 ? 2 : 0;
      lines[i] = wrapped(row[i].text, widths[i], std::min(widths[i] / 2, (lead == std::string::npos ? 0 : lead) + more));
      height = std::max(height, lines[i].size());
    }
    for (size_t l = 0; l < height; ++l) {
      std::string drawn;
      for (size_t i = 0; i < shown; ++i) {
        if (i > 0) drawn.append(kGap, ' ');
        const bool dim = style.colour && row[i].null && l == 0;
        if (dim) drawn += ansi::kDim;
        pad(drawn, l < lines[i].size() ? lines[i][l] : "", widths[i], columns[i].right, i + 1 == shown);
        if (dim) drawn += ansi::kReset;
      }
      while (!drawn.empty() && drawn.back() == ' ') drawn.pop_back();
      out += drawn + '\n';
    }
    if (shown < columns.size() && !row[shown].null && !row[shown].text.empty())
      for (const std::string& line : wrapped("    " + row[shown].text, style.width, 4)) out += line + '\n';
  }
  return out;
}

}  // namespace sluice::client
