#include "client/repl/typed_text.h"

#include <algorithm>
#include <iterator>

namespace sluice::client {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_letter(c) || is_digit(c); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

constexpr std::string_view kStages[] = {"from",     "where", "extend",     "select",  "drop",     "rename",  "stats",  "top",    "timeseries", "sort",  "limit",   "tail",    "sample",
                                        "distinct", "render", "join",      "lookup",  "stitch",   "dedup",   "compare", "baseline", "absent",   "beacons", "sequence", "first_seen", "reach",
                                        "sessions", "show",       "explain", "create",   "replace", "alter",  "replay", "test",       "enable", "disable"};
constexpr std::string_view kWords[] = {"and",   "or",     "not",    "in",   "between", "is",     "has",   "contains", "starts_with", "ends_with", "matches", "by",       "as",       "asc",   "desc",  "nulls",
                                       "first", "with",   "others", "every", "limit",  "fill",   "spread", "window",  "slide",  "session", "gap", "last",      "since",   "at",       "active",   "on",    "within", "lookback",
                                       "over",  "for",    "then",   "to",   "of",      "using",  "hops",  "expected", "seasonal",    "inner",     "left",    "semi",     "anti",     "null",  "true",  "false",
                                       "rule",   "list",  "table",  "analyze", "prefix", "key",    "from",    "min",    "modifiers",   "threats"};

constexpr std::string_view kFrom[] = {"from"};
// Words that name a function where a bracket follows them.
constexpr std::string_view kFunctions[] = {"first", "last", "min"};

template <size_t N>
bool is_one_of(std::string_view word, const std::string_view (&words)[N]) {
  const auto same = [word](std::string_view w) {
    return w.size() == word.size() && std::equal(w.begin(), w.end(), word.begin(), [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
  };
  return std::any_of(std::begin(words), std::end(words), same);
}

// The end of a word that began as a number or address: 10.0.0.0/8, fe80::1, 2026-11-20T08:14:01.5+02:00, 1h30m, 5-10. Names are not touched.
size_t literal_end(std::string_view text, size_t i) {
  const auto at = [&](size_t k) { return k < text.size() ? text[k] : '\0'; };
  size_t end = i;
  // Dates have signs of their own.
  const auto digits = [&](size_t from, size_t count) { return from + count <= text.size() && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(from), text.begin() + static_cast<std::ptrdiff_t>(from + count), is_digit); };
  if (digits(i, 4) && at(i + 4) == '-' && digits(i + 5, 2) && at(i + 7) == '-' && digits(i + 8, 2)) {
    end = i + 10;
    if ((at(end) | 0x20) == 't' && is_digit(at(end + 1)))
      for (++end; end < text.size() && (is_digit(text[end]) || text[end] == ':' || text[end] == '.');) ++end;
    if ((at(end) | 0x20) == 'z')
      ++end;
    else if ((at(end) == '+' || at(end) == '-') && digits(end + 1, 2))
      for (++end; end < text.size() && (is_digit(text[end]) || text[end] == ':');) ++end;
    return end;
  }
  while (end < text.size() && (is_word(text[end]) || text[end] == '.' || (text[end] == ':' && (is_hex(at(end + 1)) || at(end + 1) == ':' || (end > i && text[end - 1] == ':'))))) ++end;
  if (at(end) == '/' && is_digit(at(end + 1)))
    for (++end; end < text.size() && is_digit(text[end]);) ++end;
  return end;
}

// fe80::1 and 00:1b:21:3c:9d:f8 begin as a name might.
bool is_address_with_colons(std::string_view text, size_t i) {
  size_t end = i, colons = 0;
  while (end < text.size() && (is_hex(text[end]) || text[end] == ':')) colons += text[end++] == ':';
  return colons >= 2 && (end == text.size() || !is_letter(text[end]));
}

}  // namespace

std::vector<TypedToken> tokens_of(std::string_view text) {
  std::vector<TypedToken> tokens;
  const auto at = [&](size_t k) { return k < text.size() ? text[k] : '\0'; };
  bool head = true;      // a stage's name may come
  bool operand = true;   // a value may come, so that / begins a regular expression
  bool table = false;    // the name of what is asked may come
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (is_blank(c)) {
      ++i;
      continue;
    }
    const size_t start = i;
    const auto put = [&](TypedKind kind, size_t end, bool open = false) {
      tokens.push_back({kind, start, end - start, open});
      i = end;
    };
    if (c == '\\' && tokens.empty()) {
      size_t end = i + 1;
      while (end < text.size() && !is_blank(text[end])) ++end;
      put(TypedKind::command, end);
      continue;  // the question of \watch or \explain begins with a stage as any
    }
    if ((c == '-' && at(i + 1) == '-') || (c == '/' && at(i + 1) == '/')) {
      put(TypedKind::comment, std::min(text.size(), text.find('\n', i)));
      continue;
    }
    if (c == '/' && at(i + 1) == '*') {
      const size_t end = text.find("*/", i + 2);
      put(TypedKind::comment, end == std::string_view::npos ? text.size() : end + 2, end == std::string_view::npos);
      continue;
    }
    const bool at_head = head, wants_operand = operand, at_table = table;
    head = table = false;
    if (c == '"' || c == '\'' || c == '`' || (c == '/' && wants_operand)) {
      size_t end = i + 1;
      while (end < text.size() && text[end] != c && !(c == '/' && text[end] == '\n')) end += text[end] == '\\' && c != '`' ? 2 : 1;
      // A regular expression ends with its line; what would be one without an end was a division after all.
      const bool closed = end < text.size() && text[end] == c;
      operand = false;
      if (c == '/' && !closed) {
        operand = true;
        put(TypedKind::sign, i + 1);
      } else {
        size_t behind = closed ? end + 1 : text.size();
        if (c == '/' && at(behind) == 'i' && !is_word(at(behind + 1))) ++behind;
        put(c == '`' ? TypedKind::name : TypedKind::string, behind, !closed);
      }
      continue;
    }
    if ((c == '$' || c == '@') && (is_letter(at(i + 1)) || at(i + 1) == '"')) {
      size_t end = i + 1;
      if (text[end] == '"') {
        const size_t quote = text.find('"', end + 1);
        end = quote == std::string_view::npos ? text.size() : quote + 1;
      } else {
        while (end < text.size() && is_word(text[end])) ++end;
      }
      operand = false;
      put(TypedKind::parameter, end);
      continue;
    }
    if (is_digit(c) || ((is_hex(c) || c == ':') && is_address_with_colons(text, i))) {
      operand = false;
      head = tokens.size() == 1 && tokens[0].kind == TypedKind::command;  // \watch 5s stats …
      put(TypedKind::literal, std::max(i + 1, literal_end(text, i)));
      continue;
    }
    if (is_letter(c)) {
      size_t end = i;
      while (end < text.size() && (is_word(text[end]) || (text[end] == '.' && is_letter(at(end + 1))))) ++end;
      const std::string_view word = text.substr(i, end - i);
      size_t next = end;
      while (next < text.size() && (text[next] == ' ' || text[next] == '\t')) ++next;
      const bool bracket = at(next) == '(';
      // `limit == 5` is a filter, not a stage.
      const bool compared = at(next) == '=' || at(next) == '<' || at(next) == '>' || at(next) == '!';
      TypedKind kind = TypedKind::name;
      if (at_head && !compared && is_one_of(word, kStages))
        kind = TypedKind::stage;
      else if (at_table || (!compared && !(bracket && is_one_of(word, kFunctions)) && is_one_of(word, kWords)))
        kind = TypedKind::word;
      else if (bracket)
        kind = TypedKind::function;
      // `explain dst_port == 53` and `explain stats …` go on with a query of their own.
      head = kind == TypedKind::stage && (word == "explain" || word == "analyze");
      head = head || (kind == TypedKind::word && word == "analyze");
      table = (kind == TypedKind::word || kind == TypedKind::stage) && is_one_of(word, kFrom);
      operand = kind == TypedKind::word || kind == TypedKind::stage;
      put(kind, end);
      continue;
    }
    if (c == '|') head = true;
    operand = c != ')' && c != ']';
    // What is no ASCII stays together, so that no colour cuts a character.
    size_t end = i + 1;
    if (static_cast<unsigned char>(c) >= 0x80) {
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
      operand = false;
      put(TypedKind::name, end);
    } else {
      put(TypedKind::sign, end);
    }
  }
  return tokens;
}

bool continues(std::string_view text) {
  int depth = 0;
  char last = 0;
  for (const TypedToken& token : tokens_of(text)) {
    if (token.open) return true;
    if (token.kind == TypedKind::comment) continue;
    last = token.kind == TypedKind::sign ? text[token.offset] : 0;
    if (last == '(' || last == '[') ++depth;
    if (last == ')' || last == ']') --depth;
  }
  return depth > 0 || last == '|' || last == ',';
}

std::string_view colour_of(TypedKind kind) {
  switch (kind) {
    case TypedKind::stage:
    case TypedKind::command: return "\x1b[1;34m";
    case TypedKind::word: return "\x1b[34m";
    case TypedKind::function: return "\x1b[36m";
    case TypedKind::literal: return "\x1b[33m";
    case TypedKind::string: return "\x1b[32m";
    case TypedKind::parameter: return "\x1b[35m";
    case TypedKind::comment: return "\x1b[2m";
    case TypedKind::name:
    case TypedKind::sign: break;
  }
  return {};
}

}  // namespace sluice::client
