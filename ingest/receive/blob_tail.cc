#include "ingest/receive/blob_tail.h"

namespace sluice::ingest {
namespace {

constexpr std::string_view kHead = "{\"records\":[";

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void skip_blanks(std::string_view text, size_t& at) {
  while (at < text.size() && is_blank(text[at])) ++at;
}

// Where the object that begins at `at` ends (past its brace); npos: not within the text. Strings are minded, the rest of JSON is
// the decoder's to check.
size_t end_of_object(std::string_view text, size_t at) {
  size_t depth = 0;
  for (; at < text.size(); ++at) {
    switch (text[at]) {
      case '"':
        for (++at; at < text.size() && text[at] != '"'; ++at)
          if (text[at] == '\\') ++at;
        break;
      case '{':
      case '[': ++depth; break;
      case '}':
      case ']':
        if (--depth == 0) return at + 1;
        break;
      default: break;
    }
  }
  return std::string_view::npos;
}

}  // namespace

std::optional<TailCut> cut_tail(std::string_view text, bool is_start) {
  TailCut cut;
  size_t at = 0;
  const auto finished = [&] {
    if (!cut.body.empty()) cut.body += "]}";
    return std::optional(std::move(cut));
  };
  if (is_start) {
    if (text.starts_with("\xef\xbb\xbf")) at = 3;
    for (const char c : kHead) {
      skip_blanks(text, at);
      if (at == text.size()) return finished();  // not even the head is there yet
      // Blanks may stand between the head's tokens, and not within its name.
      if (text[at] != c) return std::nullopt;
      ++at;
    }
  }
  while (true) {
    while (at < text.size() && (is_blank(text[at]) || text[at] == ',')) ++at;
    if (at == text.size()) return finished();
    if (text[at] == ']') {
      cut.closed = true;
      return finished();
    }
    if (text[at] != '{') return std::nullopt;
    const size_t end = end_of_object(text, at);
    if (end == std::string_view::npos) return finished();
    cut.body.append(cut.body.empty() ? kHead : std::string_view(",")).append(text.substr(at, end - at));
    cut.end = end;
    at = end;
  }
}

}  // namespace sluice::ingest
