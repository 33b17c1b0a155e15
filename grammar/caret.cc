// caret_view() of parse.h.
#include <algorithm>
#include <string>
#include <string_view>

#include "grammar/parse.h"

namespace sluice::grammar {
namespace {

// One displayed character: a code point, or "?" for what must not reach a terminal.
struct Glyph {
  std::string text;
  size_t offset;  // in the query
};

}  // namespace

std::string caret_view(std::string_view text, const Span& span) {
  constexpr size_t kMostColumns = 100;
  constexpr size_t kBefore = 50;  // kept before the place when a line is cut
  const size_t place = std::min<size_t>(span.offset, text.size());
  size_t begin = place;
  while (begin > 0 && text[begin - 1] != '\n' && place - begin < 4 * kMostColumns) --begin;
  const bool cut_before = begin > 0 && text[begin - 1] != '\n';
  while (begin < place && (static_cast<uint8_t>(text[begin]) & 0xc0) == 0x80) ++begin;
  size_t end = place;
  while (end < text.size() && text[end] != '\n' && end - place < 4 * kMostColumns) ++end;
  const bool cut_after = end < text.size() && text[end] != '\n';

  std::vector<Glyph> glyphs;
  for (size_t i = begin; i < end;) {
    size_t next = i + 1;
    while (next < end && (static_cast<uint8_t>(text[next]) & 0xc0) == 0x80) ++next;
    const auto lead = static_cast<uint8_t>(text[i]);
    const size_t length = next - i;
    const size_t announced = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    std::string shown(text.substr(i, length));
    if (lead == '\t') shown = " ";
    // C0, DEL, C1 (U+0080 to U+009F) and broken UTF-8.
    if ((lead < 0x20 && lead != '\t') || lead == 0x7f || length != announced || lead > 0xf4 ||
        (lead == 0xc2 && static_cast<uint8_t>(text[i + 1]) < 0xa0))
      shown = "?";
    if (!(shown == "?" && text[i] == '\r' && next == text.size())) glyphs.push_back({std::move(shown), i});
    i = next;
  }
  if (!glyphs.empty() && end > begin && text[end - 1] == '\r' && glyphs.back().text == "?") glyphs.pop_back();

  size_t at = 0;
  while (at < glyphs.size() && glyphs[at].offset < place) ++at;
  size_t marked = 0;
  const size_t mark_end = place + span.length;
  while (at + marked < glyphs.size() && glyphs[at + marked].offset < mark_end) ++marked;

  size_t first = at > kBefore && glyphs.size() > kMostColumns ? at - kBefore : 0;
  const size_t last = std::min(glyphs.size(), first + kMostColumns);
  std::string line;
  size_t indent = at - first;
  if (first > 0 || cut_before) {
    line += "…";
    ++indent;
  }
  for (size_t i = first; i < last; ++i) line += glyphs[i].text;
  if (last < glyphs.size() || cut_after) line += "…";
  marked = std::max<size_t>(1, std::min(marked, last - std::min(last, at)));
  return line + "\n" + std::string(indent, ' ') + "^" + std::string(marked - 1, '~') + "\n";
}

}  // namespace sluice::grammar
