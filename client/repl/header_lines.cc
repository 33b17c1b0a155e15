#include "client/repl/header_lines.h"

#include <algorithm>
#include <iterator>

namespace sluice::client {
namespace {

// A header is short; a longer line is none, and would be sent again with every piece.
constexpr size_t kHeaderLineBytesMax = 64u << 10;

// What the lines after it depend on; #open, #close and #types say nothing that is asked for.
constexpr std::string_view kDirectives[] = {"#separator", "#set_separator", "#empty_field", "#unset_field", "#path", "#fields"};

bool names_fields(std::string_view line) {
  return !line.empty() && ((line[0] >= 'a' && line[0] <= 'z') || (line[0] >= 'A' && line[0] <= 'Z')) && line.find(' ') != std::string_view::npos;
}

}  // namespace

void HeaderLines::see(std::string_view piece) {
  if (piece.empty()) return;
  if (kind_ == Kind::unknown) {
    const std::string_view line = piece.substr(0, piece.find('\n'));
    kind_ = line.size() > kHeaderLineBytesMax ? Kind::none : line[0] == '#' ? Kind::directives : names_fields(line) ? Kind::first_line : Kind::none;
    if (kind_ == Kind::first_line) kept_.emplace_back("", line);
  }
  if (kind_ != Kind::directives) return;
  for (size_t at = 0; at < piece.size();) {
    if (piece[at] == '#') {
      const std::string_view line = piece.substr(at, piece.find('\n', at) - at);
      const std::string_view name = line.substr(0, line.find_first_not_of("#abcdefghijklmnopqrstuvwxyz_"));
      if (line.size() <= kHeaderLineBytesMax && std::find(std::begin(kDirectives), std::end(kDirectives), name) != std::end(kDirectives)) {
        const auto it = std::find_if(kept_.begin(), kept_.end(), [&](const auto& kept) { return kept.first == name; });
        if (it == kept_.end())
          kept_.emplace_back(name, line);
        else
          it->second = line;
      }
    }
    // The next line that begins with '#'.
    const size_t next = piece.find("\n#", at);
    if (next == std::string_view::npos) break;
    at = next + 1;
  }
}

std::string HeaderLines::text() const {
  std::string text;
  for (const auto& [name, line] : kept_) text.append(line).append("\n");
  return text;
}

}  // namespace sluice::client
