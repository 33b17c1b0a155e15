#include "client/repl/session.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "client/repl/answer.h"
#include "client/repl/line_editor.h"
#include "client/repl/typed_text.h"

namespace sluice::client {
namespace {

using nlohmann::json;

struct Terminal {
  bool is_terminal = isatty(STDOUT_FILENO) != 0;
  size_t width = 0, height = 0;

  Terminal() {
    winsize size{};
    if (is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
      width = size.ws_col;
      height = size.ws_row;
    }
  }
  bool colour() const {
    const char* term = std::getenv("TERM");
    return is_terminal && std::getenv("NO_COLOR") == nullptr && (term == nullptr || std::string_view(term) != "dumb");
  }
};

std::string_view accept_of(const std::string& format) {
  if (format == "csv") return "text/csv";
  if (format == "ndjson") return "application/x-ndjson";
  return "application/json";
}

// The values of a JSON text that came from outside never break out of it.
std::string query_body(const std::string& text, const QueryOptions& options) {
  json body{{"query", text}};
  if (!options.from.empty()) body["from"] = options.from;
  if (!options.to.empty()) body["to"] = options.to;
  if (!options.parameters.empty()) body["params"] = options.parameters;
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

void explain_unreachable(const Http& http, const Response& response) {
  std::fputs(describe_unreachable(http.server().url, response).c_str(), stderr);
}

// Warnings of answers that stream: a header, or a trailer once the rows are through.
void print_warnings(const Response& response) {
  const auto it = response.headers.find("x-sluice-summary");
  if (it == response.headers.end()) return;
  const json summary = json::parse(it->second, nullptr, false);
  if (!summary.is_object() || !summary.contains("warnings") || !summary["warnings"].is_array()) return;
  for (const auto& w : summary["warnings"])
    if (w.is_string()) std::fprintf(stderr, "warning: %s\n", printable(w.get<std::string>()).c_str());
}

// Its answer is to be read rather than to be compared: no word of it is cut.
bool explains(std::string_view text) {
  const size_t from = std::min(text.size(), text.find_first_not_of(" \t\n"));
  const size_t to = std::min(text.size(), text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", from));
  std::string word(text.substr(from, to - from));
  for (char& c : word) c = static_cast<char>(c | 0x20);
  return word == "explain" || word == "show";
}

enum class Wish { print, page };

int ask(Http& http, const std::string& text, const QueryOptions& options, bool timing, Wish wish) {
  const std::string body = query_body(text, options);
  Request request{"POST", "/v1/query", {"Content-Type: application/json", "Accept: " + std::string(accept_of(options.format))}, body};
  const bool table = options.format == "table";
  const Terminal terminal;
  const auto started = std::chrono::steady_clock::now();
  const Response response = table ? http.send(request) : http.send(request, [](std::string_view piece) {
    return std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size();
  });
  switch (response.failure) {
    case Response::Failure::none: break;
    case Response::Failure::cancelled:
      Http::clear_interrupt();
      std::fprintf(stderr, "cancelled\n");
      return 1;
    default:
      explain_unreachable(http, response);
      return 3;
  }
  if (!response.ok()) {
    std::fputs(describe(read_error(response.body, response.status), text, isatty(STDERR_FILENO) && terminal.colour()).c_str(), stderr);
    return 1;
  }
  if (!table) {
    if (options.format == "json") std::fputc('\n', stdout);
    std::fflush(stdout);
    print_warnings(response);
    return 0;
  }
  // Before the pager: how long a person reads is not how long the answer took.
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  std::string why;
  const auto answer = read_answer(response.body, why);
  if (!answer) {
    std::fprintf(stderr, "error: %s\n", why.c_str());
    return 1;
  }
  // What a pipe gets is rows: two lines of a heading above none would be counted as such.
  const bool nothing = answer->columns.empty() || (answer->rows.empty() && !terminal.is_terminal);
  const std::string drawn = nothing ? "" : draw(*answer, {terminal.width, terminal.colour(), explains(text)});
  const size_t lines = static_cast<size_t>(std::count(drawn.begin(), drawn.end(), '\n'));
  FILE* out = stdout;
  if (wish == Wish::page && terminal.is_terminal && terminal.height > 0 && lines + 3 > terminal.height) {
    const char* pager = std::getenv("PAGER");
    if (FILE* p = popen(pager != nullptr && *pager ? pager : "less -SRFX", "w")) out = p;
  }
  std::fputs(drawn.c_str(), out);
  if (out != stdout) pclose(out);
  Http::clear_interrupt();  // Ctrl-C in the pager was meant for the pager
  std::fflush(stdout);
  for (const auto& w : answer->warnings) std::fprintf(stderr, "warning: %s\n", w.c_str());
  if (timing) {
    // A script that reads the table from standard output is not bothered with how long it took.
    FILE* timing_out = terminal.is_terminal ? stdout : stderr;
    const std::string_view dim = terminal.colour() ? "\x1b[2m" : "", off = terminal.colour() ? "\x1b[0m" : "";
    char all[40];
    std::snprintf(all, sizeof all, ms < 100 ? " · %.1f ms in all" : " · %.0f ms in all", ms);
    const std::string line = account(*answer) + all;
    std::fputs(dim.data(), timing_out);
    for (const std::string& part : terminal.width > 20 ? wrapped_facts(line, terminal.width) : std::vector<std::string>{line})
      std::fprintf(timing_out, "%s\n", part.c_str());
    std::fputs(off.data(), timing_out);
  }
  return 0;
}

CompletionAnswer complete_at(Http& http, std::string_view text, size_t cursor) {
  CompletionAnswer answer;
  const std::string body = json{{"query", text}, {"cursor", cursor}}.dump(-1, ' ', false, json::error_handler_t::replace);
  const Response response = http.send({"POST", "/v1/query/complete", {"Content-Type: application/json"}, body});
  if (!response.ok()) return answer;
  const json j = json::parse(response.body, nullptr, false);
  if (!j.is_object()) return answer;
  try {
    answer.replace_offset = j.at("replace").at("offset").get<size_t>();
    answer.replace_length = j.at("replace").at("length").get<size_t>();
    for (const auto& item : j.at("items"))
      answer.items.push_back({item.at("text").get<std::string>(), item.value("kind", ""), item.value("detail", "")});
  } catch (const json::exception&) {
    answer.items.clear();
  }
  return answer;
}

std::string history_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::string folder = state != nullptr && *state ? state : home != nullptr && *home ? std::string(home) + "/.local/state" : "";
  if (folder.empty()) return {};
  // Made step by step; failure only means that history is not kept.
  std::string path;
  for (size_t i = 1; i <= folder.size(); ++i)
    if (i == folder.size() || folder[i] == '/') {
      path = folder.substr(0, i);
      ::mkdir(path.c_str(), 0700);
    }
  ::mkdir((folder + "/sluice").c_str(), 0700);
  return folder + "/sluice/history";
}

std::string trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t' || s.front() == '\n')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\n')) s.remove_suffix(1);
  return std::string(s);
}

constexpr std::string_view kHelp =
    "Type a question and press Enter; after `|`, `,` or an open bracket it goes on in\n"
    "the next line.\n"
    "  dst_port == 53 last 1h | top 10 src_ip by sum(bytes)\n"
    "  ip == 10.0.0.5 last 30d\n"
    "  timeseries sum(bytes) every 1h by protocol\n"
    "  show columns | where name contains \"ip\"\n"
    "\n"
    "  \\d [TEXT]          columns (with TEXT in their names)\n"
    "  \\d TABLE           sources, exporters, segments, storage or queries\n"
    "  \\format FORMAT     table, json, ndjson or csv\n"
    "  \\set NAME VALUE    a parameter, $NAME in a question; \\set alone lists them\n"
    "  \\unset NAME        forgets one\n"
    "  \\from T  \\to T     narrow every question; empty takes it back\n"
    "  \\time on|off       show how long each answer took\n"
    "  \\watch 5s [QUERY]  ask (the last question) again and again; Ctrl-C ends it\n"
    "  \\explain QUERY     how a question would be answered\n"
    "  \\pager on|off      long answers through less\n"
    "  \\help  \\quit\n"
    "TAB completes; Ctrl-R searches what you typed before; Ctrl-C cancels.\n";

class Repl {
 public:
  explicit Repl(Http& http)
      : http_(http), editor_(history_path(), [this](std::string_view text, size_t cursor) { return complete_at(http_, text, cursor); }) {}

  int run() {
    const Response hello = http_.send({"GET", "/healthz", {}, {}});
    if (hello.failure != Response::Failure::none) {
      explain_unreachable(http_, hello);
      return 3;
    }
    std::printf("Sluice at %s\n\\help tells what can be asked, TAB completes, Ctrl-D leaves.\n", http_.server().url.c_str());
    std::string text;
    while (true) {
      std::string line;
      const auto outcome = editor_.read(text.empty() ? "sluice> " : "     -> ", text.empty() ? "" : text + "\n", line);
      if (outcome == LineEditor::Outcome::end) break;
      if (outcome == LineEditor::Outcome::interrupted) {
        text.clear();
        continue;
      }
      text += (text.empty() ? "" : "\n") + line;
      // An empty line ends a question that looks unfinished, so that nobody is caught in one.
      if (!line.empty() && trimmed(text).starts_with("\\") == false && continues(text)) continue;
      const std::string whole = trimmed(text);
      text.clear();
      if (whole.empty()) continue;
      editor_.remember(one_line(whole));
      if (whole == "exit" || whole == "quit") break;
      if (whole[0] == '\\' || whole == "help") {
        if (!command(whole == "help" ? "\\help" : whole)) break;
      } else {
        last_ = whole;
        ask(http_, whole, options_, timing_, paging_ ? Wish::page : Wish::print);
      }
    }
    return 0;
  }

 private:
  // False: leave.
  bool command(const std::string& text) {
    const size_t space = text.find(' ');
    const std::string name = text.substr(0, space), rest = space == std::string::npos ? "" : trimmed(text.substr(space + 1));
    if (name == "\\quit" || name == "\\q") return false;
    if (name == "\\help" || name == "\\h" || name == "\\?") {
      std::fwrite(kHelp.data(), 1, kHelp.size(), stdout);
    } else if (name == "\\time" || name == "\\timing") {
      toggle(rest, timing_, "timing");
    } else if (name == "\\pager") {
      toggle(rest, paging_, "pager");
    } else if (name == "\\format") {
      if (rest == "table" || rest == "json" || rest == "ndjson" || rest == "csv")
        options_.format = rest;
      else
        std::printf("format is %s; it can be table, json, ndjson or csv\n", options_.format.c_str());
    } else if (name == "\\from" || name == "\\to") {
      (name == "\\from" ? options_.from : options_.to) = rest;
      std::printf("questions are about %s to %s\n", options_.from.empty() ? "the beginning" : options_.from.c_str(),
                  options_.to.empty() ? "now" : options_.to.c_str());
    } else if (name == "\\set") {
      const size_t gap = rest.find_first_of(" =");
      if (rest.empty()) {
        for (const auto& [k, v] : options_.parameters) std::printf("$%s = %s\n", k.c_str(), v.c_str());
        if (options_.parameters.empty()) std::printf("no parameters; \\set NAME VALUE makes one\n");
      } else if (gap == std::string::npos) {
        std::printf("\\set NAME VALUE\n");
      } else {
        std::string parameter = rest.substr(0, gap);
        if (parameter.starts_with("$")) parameter.erase(0, 1);
        options_.parameters[parameter] = trimmed(rest.substr(gap + 1));
      }
    } else if (name == "\\unset") {
      options_.parameters.erase(rest.starts_with("$") ? rest.substr(1) : rest);
    } else if (name == "\\explain") {
      ask(http_, "explain " + (rest.empty() ? last_ : rest), options_, false, Wish::print);
    } else if (name == "\\d") {
      static constexpr std::string_view kTables[] = {"sources", "exporters", "segments", "storage", "queries", "tables", "rules"};
      QueryOptions plain;
      bool table = false;
      for (auto t : kTables) table = table || rest == t;
      if (table) {
        ask(http_, "show " + rest, plain, false, Wish::page);
      } else if (rest.empty()) {
        ask(http_, "show columns | select name, type, doc", plain, false, Wish::page);
      } else {
        plain.parameters["text"] = rest;
        ask(http_, "show columns | where name contains $text | select name, type, doc", plain, false, Wish::page);
      }
    } else if (name == "\\watch") {
      watch(rest);
    } else {
      std::printf("unknown command %s; \\help lists them\n", printable(name).c_str());
    }
    return true;
  }

  void toggle(const std::string& word, bool& value, const char* what) {
    if (!word.empty() && word != "on" && word != "off") {
      std::printf("%s can be on or off, not '%s'\n", what, printable(word).c_str());
      return;
    }
    value = word == "on" ? true : word == "off" ? false : !value;
    std::printf("%s is %s\n", what, value ? "on" : "off");
  }

  void watch(const std::string& rest) {
    double seconds = 2;
    std::string query = rest;
    char* end = nullptr;
    const double n = std::strtod(rest.c_str(), &end);
    if (end != rest.c_str()) {
      const std::string unit(end, std::min<size_t>(std::string(end).find(' '), std::string(end).size()));
      const double scale = unit == "ms" ? 0.001 : unit == "m" ? 60 : unit == "h" ? 3600 : unit.empty() || unit == "s" ? 1 : 0;
      if (scale > 0) {
        seconds = std::max(0.2, n * scale);
        query = trimmed(std::string(end).substr(unit.size()));
      }
    }
    if (query.empty()) query = last_;
    if (query.empty()) {
      std::printf("\\watch 5s QUERY, or ask something first\n");
      return;
    }
    last_ = query;
    while (!Http::interrupted()) {
      if (isatty(STDOUT_FILENO)) std::printf("\x1b[H\x1b[2J");
      std::printf("every %gs, Ctrl-C ends it: %s\n\n", seconds, printable(query).c_str());
      if (ask(http_, query, options_, true, Wish::print) != 0) break;
      for (int i = 0; i < static_cast<int>(seconds * 20) && !Http::interrupted(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    Http::clear_interrupt();
    std::printf("\n");
  }

  Http& http_;
  LineEditor editor_;
  QueryOptions options_;
  bool timing_ = true, paging_ = true;
  std::string last_;
};

}  // namespace

std::string one_line(const std::string& text) {
  std::string out;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i], next = i + 1 < text.size() ? text[i + 1] : 0;
    if (quote == 0 && ((c == '-' && next == '-') || (c == '/' && next == '/'))) {
      const size_t end = text.find('\n', i);
      if (end == std::string::npos) return out + text.substr(i);
      i = end - 1;
      continue;
    }
    if (quote != 0 && c == '\\' && next != 0) {
      out += c;
      out += next == '\n' ? ' ' : next;
      ++i;
      continue;
    }
    if (quote == c)
      quote = 0;
    else if (quote == 0 && (c == '"' || c == '\'' || c == '`'))
      quote = c;
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

int run_query(Http& http, const std::string& text, const QueryOptions& options) {
  return ask(http, text, options, true, Wish::print);
}

int run_repl(Http& http) { return Repl(http).run(); }

}  // namespace sluice::client
