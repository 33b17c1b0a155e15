#include "client/repl/commands.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "client/repl/table.h"

namespace sluice::client {
namespace {

constexpr PromptCommand kCommands[] = {
    {"\\d", "[TEXT | TABLE]", "columns (with TEXT in their names), or what `show TABLE` tells", "sources exporters interfaces segments storage queries tables lists rules alerts functions stages", false},
    {"\\explain", "[QUERY]", "how a question would be answered", "", true},
    {"\\chart", "[QUERY]", "the last answer, or that of QUERY, as a chart", "", true},
    {"\\watch", "[SECONDS] [QUERY]", "ask (the last question) again and again; Ctrl-C ends it", "", true},
    {"\\tail", "[FILTER]", "flows as they come in; Ctrl-C ends it", "", true},
    {"\\export", "FILE [QUERY]", "all rows of the last question into FILE.csv, .ndjson, .parquet or .arrows", "", false},
    {"\\format", "FORMAT", "table, json, ndjson or csv", "table json ndjson csv", false},
    {"\\set", "NAME VALUE", "a parameter, $NAME in a question; \\set alone lists them", "", false},
    {"\\unset", "NAME", "forgets one", "", false},
    {"\\from", "TIME", "nothing before, in every question; without TIME takes it back", "", false},
    {"\\to", "TIME", "nothing at or after; without TIME takes it back", "", false},
    {"\\time", "on|off", "how long each answer took", "on off", false},
    {"\\pager", "on|off", "long answers through less, or your PAGER", "on off", false},
    {"\\help", "", "this", "", false},
    {"\\quit", "", "as Ctrl-D", "", false},
};

constexpr std::string_view kShort[][2] = {{"\\h", "\\help"}, {"\\?", "\\help"}, {"\\q", "\\quit"}, {"\\timing", "\\time"}};

constexpr std::string_view kExamples =
    "Type a question and press Enter. For instance:\n"
    "  dst_port == 53 last 1h | top 10 src_ip by sum(bytes)\n"
    "  ip == 10.0.0.5 last 30d\n"
    "  timeseries sum(bytes) every 1h by protocol | render timechart\n"
    "  show columns | where name contains \"ip\"\n\n";

constexpr std::string_view kKeys[][2] = {
    {"TAB", "completes; once more goes through what fits"},
    {"Ctrl-R", "searches what you asked before"},
    {"Up, Down", "through the lines, then through what you asked before"},
    {"Right, End", "take the suggestion that stands dim behind the cursor"},
    {"Enter", "asks; after `|`, `,` or an open bracket it begins a new line, and an empty line asks"},
    {"Alt-Enter", "begins a new line anywhere"},
    {"Ctrl-C", "cancels the question, or clears the line"},
    {"Ctrl-D", "leaves"},
};

// Differences of two short words (Levenshtein).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 0; i < a.size(); ++i) {
    size_t corner = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, corner + (a[i] == b[j] ? 0 : 1)});
      corner = above;
    }
  }
  return row.back();
}

}  // namespace

std::span<const PromptCommand> prompt_commands() { return kCommands; }

const PromptCommand* find_prompt_command(std::string_view name) {
  for (const auto& [short_name, whole] : kShort)
    if (name == short_name) name = whole;
  const auto* it = std::find_if(std::begin(kCommands), std::end(kCommands), [&](const PromptCommand& c) { return c.name == name; });
  return it == std::end(kCommands) ? nullptr : it;
}

std::string_view nearest_prompt_command(std::string_view name) {
  if (name.size() > 20) return {};
  const auto* nearest = std::min_element(std::begin(kCommands), std::end(kCommands), [&](const PromptCommand& a, const PromptCommand& b) { return distance(a.name, name) < distance(b.name, name); });
  return distance(nearest->name, name) <= 2 ? nearest->name : std::string_view{};
}

CompletionAnswer complete_command(std::string_view text, size_t cursor, size_t& question) {
  question = SIZE_MAX;
  CompletionAnswer answer;
  const size_t gap = std::min(text.size(), text.find(' '));
  if (cursor <= gap) {
    answer.replace_length = cursor;
    for (const PromptCommand& c : kCommands)
      if (c.name.starts_with(text.substr(0, cursor))) answer.items.push_back({std::string(c.name), std::string(c.arguments), std::string(c.doc)});
    return answer;
  }
  const PromptCommand* command = find_prompt_command(text.substr(0, gap));
  if (command == nullptr) return answer;
  size_t begin = text.find_first_not_of(' ', gap);
  begin = begin == std::string_view::npos || begin > cursor ? cursor : begin;
  if (command->asks) {
    // Behind the seconds of \watch.
    if (command->name == "\\watch" && begin < cursor && text[begin] >= '0' && text[begin] <= '9') {
      const size_t end = text.find(' ', begin);
      if (end == std::string_view::npos || end >= cursor) return answer;
      begin = end + 1;
    }
    question = begin;
    return answer;
  }
  const std::string_view typed = text.substr(begin, cursor - begin);
  answer.replace_offset = begin;
  answer.replace_length = typed.size();
  for (std::string_view words = command->words; !words.empty();) {
    const size_t end = std::min(words.size(), words.find(' '));
    if (words.substr(0, end).starts_with(typed)) answer.items.push_back({std::string(words.substr(0, end)), "", ""});
    words.remove_prefix(std::min(words.size(), end + 1));
  }
  return answer;
}

std::string prompt_help(size_t width) {
  width = width < 20 ? 80 : width;
  std::string out;
  for (std::string_view rest = kExamples; !rest.empty();) {
    const size_t end = rest.find('\n');
    for (const std::string& l : wrapped(rest.substr(0, end), width, 4)) out += l + "\n";
    rest.remove_prefix(end + 1);
  }
  const auto line = [&](std::string_view left, std::string_view right, size_t cells) {
    std::string head = "  " + std::string(left);
    head.resize(std::max(head.size() + 1, cells), ' ');
    if (cells + 20 > width) {
      out += head + "\n";
      for (const std::string& l : wrapped("      " + std::string(right), width, 6)) out += l + "\n";
      return;
    }
    bool first = true;
    for (const std::string& l : wrapped(right, width - cells)) {
      out += (first ? head : std::string(cells, ' ')) + l + "\n";
      first = false;
    }
  };
  for (const PromptCommand& c : kCommands) line(std::string(c.name) + (c.arguments.empty() ? "" : " ") + std::string(c.arguments), c.doc, 28);
  out += "\n";
  for (const auto& [key, doc] : kKeys) line(key, doc, 14);
  return out;
}

}  // namespace sluice::client
