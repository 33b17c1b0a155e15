#include "client/repl/table.h"

#include <wchar.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

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

// At most `width` cells, with "…" in the last one if something was cut.
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

void pad(std::string& out, std::string_view text, size_t width, bool right, bool last) {
  const size_t used = display_width(text);
  const size_t gap = width > used ? width - used : 0;
  if (right) out.append(gap, ' ');
  out.append(text);
  if (!right && !last) out.append(gap, ' ');
}

constexpr std::string_view kBold = "\x1b[1m", kDim = "\x1b[2m", kReset = "\x1b[0m", kNull = "-";

std::string draw_records(const std::vector<TableColumn>& columns, const std::vector<std::vector<Cell>>& rows, const TableStyle& style) {
  size_t name_width = 0;
  for (const auto& c : columns) name_width = std::max(name_width, display_width(c.name));
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    out += "── " + std::to_string(r + 1) + " ──\n";
    for (size_t i = 0; i < columns.size(); ++i) {
      if (rows[r][i].null) continue;  // a record of 80 columns is mostly nulls; what it says is what counts
      if (style.colour) out += kBold;
      pad(out, columns[i].name, name_width, false, false);
      if (style.colour) out += kReset;
      out += "  " + rows[r][i].text + "\n";
    }
  }
  return out;
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

std::string draw_table(const std::vector<TableColumn>& columns, const std::vector<std::vector<Cell>>& rows, const TableStyle& style) {
  if (columns.empty()) return {};
  std::vector<size_t> widths(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    widths[i] = display_width(columns[i].name);
    for (const auto& row : rows) widths[i] = std::max(widths[i], row[i].null ? 1 : display_width(row[i].text));
  }
  constexpr size_t kGap = 2, kSmallest = 8;
  if (style.width > 0) {
    size_t sum = kGap * (columns.size() - 1);
    for (size_t w : widths) sum += w;
    while (sum > style.width) {
      // Shrink the widest column to the next one's width; columns of short values stay whole.
      const auto widest = std::max_element(widths.begin(), widths.end());
      if (*widest <= kSmallest) return draw_records(columns, rows, style);
      size_t next = kSmallest;
      for (auto it = widths.begin(); it != widths.end(); ++it)
        if (it != widest) next = std::max(next, std::min(*it, *widest - 1));
      const size_t shrink = std::max<size_t>(1, std::min(sum - style.width, *widest - next));
      *widest -= shrink;
      sum -= shrink;
    }
  }
  std::string out;
  if (style.colour) out += kBold;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) out.append(kGap, ' ');
    pad(out, cut(columns[i].name, widths[i]), widths[i], columns[i].right, i + 1 == columns.size());
  }
  if (style.colour) out += kReset;
  out += '\n';
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) out.append(kGap, ' ');
    for (size_t k = 0; k < widths[i]; ++k) out += "─";
  }
  out += '\n';
  for (const auto& row : rows) {
    for (size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) out.append(kGap, ' ');
      if (row[i].null) {
        std::string dash;
        pad(dash, kNull, widths[i], columns[i].right, i + 1 == columns.size());
        if (style.colour) out += kDim;
        out += dash;
        if (style.colour) out += kReset;
      } else {
        pad(out, cut(row[i].text, widths[i]), widths[i], columns[i].right, i + 1 == columns.size());
      }
    }
    out += '\n';
  }
  return out;
}

}  // namespace sluice::client
