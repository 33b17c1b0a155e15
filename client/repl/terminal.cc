#include "client/repl/terminal.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "client/repl/limits.h"
#include "client/repl/table.h"

namespace sluice::client {
namespace {

std::string cleaned(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.size(), text.find_first_of("\n\r\t"));
    out += printable(text.substr(0, end));
    if (end < text.size() && text[end] != '\r') out += text[end];
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return out;
}

// How many bytes at the end may be the beginning of a character.
size_t unfinished(std::string_view text) {
  for (size_t n = 1; n <= 3 && n <= text.size(); ++n) {
    const auto b = static_cast<unsigned char>(text[text.size() - n]);
    if ((b & 0xc0) == 0x80) continue;
    const size_t length = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : b >= 0xc0 ? 2 : 1;
    return length > n ? n : 0;
  }
  return 0;
}

}  // namespace

Terminal::Terminal(int file) : is_terminal(isatty(file) != 0) {
  winsize size{};
  if (is_terminal && ioctl(file, TIOCGWINSZ, &size) == 0) {
    width = size.ws_col;
    height = size.ws_row;
  }
  const char *term = std::getenv("TERM"), *no_colour = std::getenv("NO_COLOR");
  moves = is_terminal && term != nullptr && *term != 0 && std::strcmp(term, "dumb") != 0;
  colour = moves && (no_colour == nullptr || *no_colour == 0);
}

std::vector<std::string> Terminal::fitted(std::string_view line) const {
  if (width <= limits::kWrapCellsMin) return {std::string(line)};
  return wrapped(line, width, 2);
}

void say(std::FILE* out, std::string_view text) {
  const Terminal terminal(fileno(out));
  while (!text.empty()) {
    const size_t end = std::min(text.size(), text.find('\n'));
    for (const std::string& line : terminal.fitted(text.substr(0, end))) std::fprintf(out, "%s\n", for_locale(line).c_str());
    text.remove_prefix(std::min(text.size(), end + 1));
  }
}

void write_over_echo(std::FILE* out) {
  const char* term = std::getenv("TERM");
  if (isatty(fileno(out)) != 0 && term != nullptr && *term != 0 && std::strcmp(term, "dumb") != 0) std::fputs("\r\x1b[K", out);
}

std::string TerminalText::take(std::string_view piece) {
  rest_ += piece;
  const size_t keep = unfinished(rest_);
  std::string out = cleaned(std::string_view(rest_).substr(0, rest_.size() - keep));
  rest_.erase(0, rest_.size() - keep);
  return out;
}

std::string TerminalText::finish() {
  std::string out = cleaned(rest_);
  rest_.clear();
  return out;
}

std::string as_ascii(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> kSigns[] = {
      {"─", "-"}, {"│", "|"}, {"┤", "|"}, {"└", "+"}, {"…", "."}, {"·", "-"}, {"█", "#"}, {"▉", "#"}, {"▊", "#"}, {"▋", "="}, {"▌", "="}, {"▍", "="}, {"▎", "-"}, {"▏", "-"},
      {"▁", "_"}, {"▂", "."}, {"▃", "-"}, {"▄", "="}, {"▅", "+"}, {"▆", "*"}, {"▇", "%"}, {"→", ">"}};
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto* sign = static_cast<unsigned char>(text[i]) < 0x80 ? std::end(kSigns) : std::find_if(std::begin(kSigns), std::end(kSigns), [&](const auto& s) { return text.substr(i).starts_with(s.first); });
    if (sign == std::end(kSigns)) {
      out += text[i++];
    } else {
      out += sign->second;
      i += sign->first.size();
    }
  }
  return out;
}

std::string for_locale(std::string text) {
  static const bool utf8 = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  return utf8 ? text : as_ascii(text);
}

}  // namespace sluice::client
