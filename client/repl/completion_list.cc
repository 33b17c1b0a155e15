#include "client/repl/completion_list.h"

#include <algorithm>

#include "client/repl/limits.h"
#include "client/repl/table.h"
#include "client/repl/terminal.h"

namespace sluice::client {
namespace {

// "  name" or, where it is the chosen one, set off.
std::string name_cell(const std::string& name, size_t cells, bool chosen, bool colour) {
  const std::string gap(cells > display_width(name) ? cells - display_width(name) : 0, ' ');
  if (!chosen) return "  " + name + gap;
  return colour ? "  " + std::string(ansi::kReverse) + name + std::string(ansi::kReset) + gap : "> " + name + gap;
}

}  // namespace

std::vector<std::string> completion_lines(const std::vector<CompletionItem>& items, size_t selected, size_t width, bool colour) {
  std::vector<std::string> lines;
  if (items.empty()) return lines;
  width = std::max<size_t>(width, 16);
  std::vector<std::string> names;
  size_t widest = 0;
  for (const CompletionItem& item : items) {
    names.push_back(cut(printable(item.text), width - 4));
    widest = std::max(widest, display_width(names.back()));
  }
  if (items.size() <= limits::kCompletionLines) {
    for (size_t i = 0; i < items.size(); ++i) {
      const std::string name = name_cell(names[i], widest, i == selected, colour);
      std::string about = printable(items[i].kind);
      if (!items[i].detail.empty()) about += (about.empty() ? "" : " · ") + printable(items[i].detail);
      const size_t room = width - std::min(width, widest + 4);
      if (about.empty() || room < 8)
        lines.push_back(name);
      else
        lines.push_back(name + "  " + (colour ? std::string(ansi::kDim) : "") + cut(about, room) + (colour ? std::string(ansi::kReset) : ""));
    }
    return lines;
  }
  const size_t cell = widest + 2, columns = std::max<size_t>(1, width / cell);
  const size_t shown = columns * (limits::kCompletionLines - 1);
  // Page by page, so that what is chosen does not wander.
  const size_t first = selected < items.size() ? selected / shown * shown : 0, count = std::min(shown, items.size() - first);
  const size_t rows = (count + columns - 1) / columns;
  for (size_t r = 0; r < rows; ++r) {
    std::string line;
    for (size_t c = 0; c < columns && c * rows + r < count; ++c) {
      const size_t i = first + c * rows + r;
      line += name_cell(names[i], widest, i == selected, colour);
    }
    while (line.ends_with(' ')) line.pop_back();
    lines.push_back(line);
  }
  if (items.size() > count) lines.push_back("  … " + std::to_string(items.size() - count) + " more");
  return lines;
}

std::string common_beginning(const std::vector<CompletionItem>& items) {
  if (items.empty()) return {};
  std::string common = items[0].text;
  for (const CompletionItem& item : items) {
    size_t n = 0;
    while (n < common.size() && n < item.text.size() && common[n] == item.text[n]) ++n;
    common.resize(n);
  }
  // Not a part of a character: what differs may lie within one.
  if (common.size() < items[0].text.size())
    while (!common.empty() && (static_cast<unsigned char>(items[0].text[common.size()]) & 0xc0) == 0x80) common.pop_back();
  return common;
}

}  // namespace sluice::client
