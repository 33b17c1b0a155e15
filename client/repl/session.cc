#include "client/repl/session.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "client/repl/answer.h"
#include "client/repl/commands.h"
#include "client/repl/export.h"
#include "client/repl/follow.h"
#include "client/repl/limits.h"
#include "client/repl/line_editor.h"
#include "client/repl/question.h"
#include "client/repl/terminal.h"
#include "client/repl/typed_text.h"

namespace sluice::client {
namespace {

using nlohmann::json;

// Of tables with more columns than a window has room for, those that tell how things are; \d is a look, and `show` tells all.
constexpr std::array<std::string_view, 2> kOverviews[] = {
    {"sources", "select name, bodies, bytes, accepted, rejected, skipped_data, failed, warning"},
    {"exporters", "select exporter_ip, name, formats, flows, lost, bad_packets, clock_skew, silent = now() - last_seen"},
    {"segments", "sort first desc | select first, last, rows, bytes, damaged"},
    {"rules", "sort alerts desc, name | select name, severity, state, alerts, open = open_alerts, flows, flows_read, note"},
    {"alerts", "sort ts desc | select ts, severity, state, rule, message"},
};

constexpr std::string_view kPrompt = "sluice> ", kMore = "     -> ";

CompletionAnswer complete_question(Http& http, std::string_view text, size_t cursor) {
  CompletionAnswer answer;
  const std::string body = json{{"query", text}, {"cursor", cursor}}.dump(-1, ' ', false, json::error_handler_t::replace);
  const Response response = http.send({"POST", "/v1/query/complete", {"Content-Type: application/json"}, body});
  if (!response.ok()) {
    answer.why_none = response.failure != Response::Failure::none ? "the server does not answer: " + response.failure_text : read_error(response.body, response.status).message;
    return answer;
  }
  const json j = json::parse(response.body, nullptr, false);
  if (!j.is_object()) return answer;
  try {
    answer.replace_offset = j.at("replace").at("offset").get<size_t>();
    answer.replace_length = j.at("replace").at("length").get<size_t>();
    for (const auto& item : j.at("items")) answer.items.push_back({item.at("text").get<std::string>(), item.value("kind", ""), item.value("detail", "")});
  } catch (const json::exception&) {
    answer.items.clear();
  }
  // Text that would act on a terminal or end the line is nothing to put into it.
  std::erase_if(answer.items, [](const CompletionItem& item) { return printable(item.text) != item.text; });
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

// An empty line ends a question that looks unfinished, so that nobody is caught in one; a command is one line.
bool is_finished(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos || text[first] == '\\' || !continues(text)) return true;
  const size_t end = text.rfind('\n');
  return end != std::string_view::npos && text.find_first_not_of(" \t", end) == end && text.find_first_not_of(" \t\n", end) == std::string_view::npos;
}

// To standard output, or through the pager where it does not fit.
void print(const std::string& text, const Terminal& terminal, bool page) {
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  if (page && terminal.is_terminal && terminal.moves && terminal.height > 0 && lines + 3 > terminal.height) {
    const char* pager = std::getenv("PAGER");
    std::fflush(stdout);
    if (FILE* p = popen(pager != nullptr && *pager ? pager : "less -SRFX", "w")) {
      std::fputs(text.c_str(), p);
      const int status = pclose(p);
      Http::clear_interrupt();  // Ctrl-C in the pager was meant for the pager
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 127) return;  // else the shell did not find it
    }
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

class Repl {
 public:
  explicit Repl(Http& http)
      : http_(http),
        editor_(history_path(), {[this](std::string_view text, size_t cursor) { return complete(text, cursor); }, is_finished}, Terminal().colour) {
    options_.keeps_parameters = true;
  }

  int run() {
    const Response hello = http_.send({"GET", "/healthz", {}, {}});
    if (hello.failure != Response::Failure::none) {
      say_unreachable(http_, hello);
      return 3;
    }
    greet();
    std::string text;
    while (true) {
      const auto outcome = editor_.read(std::string(kPrompt), std::string(kMore), text);
      if (outcome == LineEditor::Outcome::end) break;
      if (outcome == LineEditor::Outcome::interrupted) continue;
      const std::string whole = trimmed(text);
      if (whole.empty()) continue;
      editor_.remember(whole);
      if (whole == "exit" || whole == "quit") break;
      // Where in what was typed the question stands, for the carets of errors.
      typed_ = text;
      while (!typed_.empty() && (typed_.back() == '\n' || typed_.back() == ' ' || typed_.back() == '\t')) typed_.pop_back();
      const auto start = static_cast<std::ptrdiff_t>(typed_.find(whole));
      // An empty line that ended the question lies between it and the cursor.
      const bool in_place = text.find('\n', typed_.size()) == std::string::npos;
      if (whole[0] == '\\' || whole == "help") {
        if (!command(whole == "help" ? "\\help" : whole, in_place ? start : -1)) break;
      } else {
        last_ = whole;
        const TypedPlace place{kPrompt, kMore, typed_, start};
        ask(whole, options_, timing_, in_place ? &place : nullptr, false);
      }
    }
    return 0;
  }

 private:
  // What a newcomer wants to know: what is there, what to type, and how to learn more. Others get two lines.
  void greet() {
    std::vector<std::string> lines{"Sluice at " + printable(http_.server().url)};
    if (editor_.has_history()) {
      lines.push_back(editor_.draws() ? "\\help tells what can be asked, TAB completes, Ctrl-D leaves." : "\\help tells what can be asked, Ctrl-D leaves.");
    } else {
      introduce(lines);
      lines.push_back(editor_.draws() ? "TAB completes, \\help tells more, Ctrl-D leaves." : "\\help tells more, Ctrl-D leaves.");
    }
    for (const std::string& line : lines) say(stdout, line);
  }

  void introduce(std::vector<std::string>& lines) {
    const Response response = http_.send({"GET", "/v1/storage", {}, {}});
    const json storage = json::parse(response.body, nullptr, false);
    if (response.status == 401 || response.status == 403) {
      lines.push_back("It wants a token to answer: leave, and start again with SLUICE_TOKEN set.");
      return;
    }
    if (!response.ok() || !storage.is_object() || !storage.contains("flows") || !storage["flows"].is_number_unsigned()) return;
    const uint64_t flows = storage["flows"].get<uint64_t>();
    if (flows == 0) {
      for (const char* line : {"It has no flows yet. Send it some, from another terminal:", "  sluice ingest --source aws_vpc FILE…", "or point a router's NetFlow, IPFIX or sFlow at it. `show sources` lists what it reads."}) lines.emplace_back(line);
      return;
    }
    const auto time = [&](const char* key) { return storage.contains(key) && storage[key].is_string() ? storage[key].get<std::string>() : std::string(); };
    const std::string oldest = time("oldest"), newest = time("newest");
    lines.push_back("It has " + with_thousands(flows) + (flows == 1 ? " flow" : " flows") + ", from " + printable(oldest.substr(0, 16)) + " to " + printable(newest.substr(0, 16)) + " UTC.");
    lines.emplace_back("You might ask:");
    for (const char* line : {"  top 10 src_ip by sum(bytes)", "  timeseries sum(bytes) every 1h by protocol | render timechart", "  dst_port == 22 and action == reject"}) lines.emplace_back(line);
    // Of old flows the last hour would show nothing.
    if (const auto at = time_of(newest); at && std::time(nullptr) - *at / 1000 < 3000) lines.push_back("  last 1h | stats flows = count(), sum(bytes) by dst_port | sort flows desc");
    lines.push_back("  show columns");
  }

  CompletionAnswer complete(std::string_view text, size_t cursor) {
    size_t question = 0;
    if (text.starts_with("\\")) {
      CompletionAnswer answer = complete_command(text, cursor, question);
      if (question == SIZE_MAX) return answer;
    }
    CompletionAnswer answer = complete_question(http_, text.substr(question), cursor - question);
    answer.replace_offset += question;
    return answer;
  }

  int ask(const std::string& text, const QueryOptions& options, bool timing, const TypedPlace* typed, bool chart) {
    if (options.format != "table" && !chart) return stream(http_, text, options, typed);
    int code = 0;
    auto answer = fetch(http_, text, options, typed, code);
    if (!answer) return code;
    const Terminal terminal;
    show(*answer, text, terminal, chart);
    for (const auto& w : answer->warnings) say_warning(w);
    if (timing) std::fputs(draw_account(*answer, terminal).c_str(), stdout);
    kept_.reset();
    if (answer->rows.size() <= limits::kAnswerRowsKept) {
      kept_ = std::move(answer);
      kept_question_ = text;
    }
    return 0;
  }

  void show(const Answer& answer, const std::string& text, const Terminal& terminal, bool chart) {
    if (chart && !measure_of(answer)) say(stdout, "There are no numbers to draw in this answer; `stats`, `top` and `timeseries` make some.");
    print(draw_answer(answer, text, terminal, chart), terminal, paging_);
  }

  // False: leave. `start`: of the command in what was typed; -1: not on the screen's last line.
  bool command(const std::string& text, std::ptrdiff_t start) {
    const size_t space = text.find(' ');
    const std::string name = text.substr(0, space), rest = space == std::string::npos ? "" : trimmed(text.substr(space + 1));
    const PromptCommand* known = find_prompt_command(name);
    if (known == nullptr) {
      const std::string_view near = name.size() > 1 ? nearest_prompt_command(name) : std::string_view();
      say(stdout, "unknown command " + printable(name) + "; " + (near.empty() ? "\\help lists them" : "did you mean " + std::string(near) + "?"));
      return true;
    }
    // Of the rest, which is the end of what was typed.
    const auto place = [&](const std::string& question, size_t put_in_front) {
      return TypedPlace{kPrompt, kMore, typed_, static_cast<std::ptrdiff_t>(typed_.size() - question.size()) - static_cast<std::ptrdiff_t>(put_in_front)};
    };
    const std::string_view which = known->name;
    if (which == "\\quit") return false;
    if (which == "\\help") {
      const Terminal terminal;
      print(for_locale(prompt_help(terminal.width)), terminal, paging_);
    } else if (which == "\\time") {
      toggle(rest, timing_, "timing");
    } else if (which == "\\pager") {
      toggle(rest, paging_, "pager");
    } else if (which == "\\format") {
      if (rest == "table" || rest == "json" || rest == "ndjson" || rest == "csv")
        options_.format = rest;
      else
        std::printf("format is %s; it can be table, json, ndjson or csv\n", options_.format.c_str());
    } else if (which == "\\from" || which == "\\to") {
      // The server knows which times there are; one that it does not know is told here and not with each question to come. By itself: the other
      // end may be moved next.
      std::string& end = which == "\\from" ? options_.from : options_.to;
      QueryOptions alone = options_;
      alone.from.clear();
      alone.to.clear();
      (which == "\\from" ? alone.from : alone.to) = rest;
      int code = 0;
      if (!rest.empty() && !fetch(http_, "from flows | limit 0", alone, nullptr, code) && code == 1) return true;
      end = rest;
      std::printf("questions are about %s to %s\n", options_.from.empty() ? "the beginning" : printable(options_.from).c_str(), options_.to.empty() ? "now" : printable(options_.to).c_str());
    } else if (which == "\\set") {
      set(rest);
    } else if (which == "\\unset") {
      const std::string parameter = rest.starts_with("$") ? rest.substr(1) : rest;
      if (options_.parameters.erase(parameter) == 0) std::printf("there is no parameter $%s\n", printable(parameter).c_str());
    } else if (which == "\\explain") {
      if (const std::string question = or_last(rest, "\\explain QUERY"); !question.empty()) {
        const TypedPlace at = place(question, 8);
        QueryOptions plain = options_;
        plain.format = "table";
        ask("explain " + question, plain, false, start >= 0 && !rest.empty() ? &at : nullptr, false);
      }
    } else if (which == "\\chart") {
      chart(rest, start >= 0 ? std::optional(place(rest, 0)) : std::nullopt);
    } else if (which == "\\d") {
      describe(rest);
    } else if (which == "\\watch") {
      watch(rest, start >= 0);
    } else if (which == "\\tail") {
      const TypedPlace at = place(rest, 0);
      follow(http_, rest, options_, start >= 0 && !rest.empty() ? &at : nullptr);
    } else if (which == "\\export") {
      save(rest, start >= 0);
    }
    return true;
  }

  // The question of a command, or the last one asked; empty, and said, where there is neither.
  std::string or_last(const std::string& rest, const char* usage) {
    if (!rest.empty()) last_ = rest;
    if (last_.empty()) std::printf("%s, or ask something first\n", usage);
    return last_;
  }

  void toggle(const std::string& word, bool& value, const char* what) {
    if (!word.empty() && word != "on" && word != "off") {
      std::printf("%s can be on or off, not '%s'\n", what, printable(word).c_str());
      return;
    }
    value = word == "on" ? true : word == "off" ? false : !value;
    std::printf("%s is %s\n", what, value ? "on" : "off");
  }

  void set(const std::string& rest) {
    const size_t gap = rest.find_first_of(" =");
    if (rest.empty()) {
      for (const auto& [k, values] : options_.parameters) std::printf("$%s = %s\n", printable(k).c_str(), printable(values.front()).c_str());
      if (options_.parameters.empty()) std::printf("no parameters; \\set NAME VALUE makes one\n");
    } else if (gap == std::string::npos) {
      std::printf("\\set NAME VALUE\n");
    } else {
      std::string parameter = rest.substr(0, gap);
      if (parameter.starts_with("$")) parameter.erase(0, 1);
      options_.parameters[parameter] = {trimmed(rest.substr(gap + 1))};
    }
  }

  void describe(const std::string& rest) {
    QueryOptions plain;
    std::string_view tables = find_prompt_command("\\d")->words;
    bool table = false;
    while (!tables.empty()) {
      const size_t end = std::min(tables.size(), tables.find(' '));
      table = table || tables.substr(0, end) == rest;
      tables.remove_prefix(std::min(tables.size(), end + 1));
    }
    if (table) {
      const auto* whole = std::find_if(std::begin(kOverviews), std::end(kOverviews), [&](const auto& o) { return o[0] == rest; });
      const bool is_part = whole != std::end(kOverviews);
      ask("show " + rest + (is_part ? " | " + std::string((*whole)[1]) : ""), plain, false, nullptr, false);
      if (is_part) std::printf("`show %s` tells more of each\n", rest.c_str());
    } else if (rest.empty()) {
      ask("show columns | select name, type, doc", plain, false, nullptr, false);
    } else {
      plain.parameters["text"] = {rest};
      ask("show columns | where name contains $text | select name, type, doc", plain, false, nullptr, false);
    }
  }

  void chart(const std::string& question, const std::optional<TypedPlace>& at) {
    if (question.empty() && kept_) {
      show(*kept_, kept_question_, Terminal(), true);
      return;
    }
    if (const std::string text = or_last(question, "\\chart QUERY"); !text.empty()) ask(text, options_, timing_, at && !question.empty() ? &*at : nullptr, true);
  }

  void save(const std::string& rest, bool in_place) {
    // The file's name may be in quotes.
    std::string path, question;
    if (rest.starts_with("\"") && rest.find('"', 1) != std::string::npos) {
      const size_t end = rest.find('"', 1);
      path = rest.substr(1, end - 1);
      question = trimmed(rest.substr(end + 1));
    } else {
      const size_t end = std::min(rest.size(), rest.find(' '));
      path = rest.substr(0, end);
      question = trimmed(rest.substr(end));
    }
    if (path.empty()) {
      say(stdout, "\\export FILE.csv, FILE.ndjson, FILE.parquet or FILE.arrows: the rows of the last question, or of one behind the name");
      return;
    }
    if (path.starts_with("~/"))
      if (const char* home = std::getenv("HOME")) path = home + path.substr(1);
    const bool own = !question.empty();
    question = or_last(question, "\\export FILE QUERY");
    if (question.empty()) return;
    const TypedPlace at{kPrompt, kMore, typed_, static_cast<std::ptrdiff_t>(typed_.size()) - static_cast<std::ptrdiff_t>(question.size())};
    export_query(http_, question, options_, {path, "", false}, in_place && own ? &at : nullptr);
  }

  void watch(const std::string& rest, bool in_place) {
    double seconds = 2;
    std::string query = rest;
    char* end = nullptr;
    const double n = std::strtod(rest.c_str(), &end);
    if (end != rest.c_str() && *rest.c_str() >= '0' && *rest.c_str() <= '9') {
      const std::string behind = end, unit = behind.substr(0, behind.find(' '));
      const double scale = unit == "ms" ? 0.001 : unit == "m" ? 60 : unit == "h" ? 3600 : unit.empty() || unit == "s" ? 1 : 0;
      if (scale > 0 && std::isfinite(n)) {
        seconds = std::clamp(n * scale, limits::kWatchSecondsMin, limits::kWatchSecondsMax);
        query = trimmed(behind.substr(unit.size()));
      }
    }
    const bool own = !query.empty();
    query = or_last(query, "\\watch 5s QUERY");
    if (query.empty()) return;
    const TypedPlace at{kPrompt, kMore, typed_, static_cast<std::ptrdiff_t>(typed_.size()) - static_cast<std::ptrdiff_t>(query.size())};
    std::optional<Answer> last;
    std::string passing;
    for (bool first = true; !Http::interrupted(); first = false) {
      int code = 0;
      auto answer = fetch(http_, query, options_, first && in_place && own ? &at : nullptr, code, first ? nullptr : &passing);
      // A server that is started anew comes back, and the last answer stays in sight until then; a question that is wrong stays so.
      if (!answer && (code != 3 || first)) break;
      const Terminal terminal;
      if (answer) last = std::move(answer);
      draw_frame(*last, query, seconds, terminal, first, passing);
      for (int i = 0; i < static_cast<int>(seconds * 20) && !Http::interrupted(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    Http::clear_interrupt();
    std::printf("\n");
  }

  // An answer over the one before, line by line, so that nothing flickers. `passing`: why there was no newer one; empty where there was.
  void draw_frame(const Answer& answer, const std::string& query, double seconds, const Terminal& terminal, bool first, const std::string& passing) {
    char clock[80];
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::snprintf(clock, sizeof clock, "every %gs · %02d:%02d:%02d · Ctrl-C ends it", seconds, local.tm_hour, local.tm_min, local.tm_sec);
    const size_t width = terminal.width > 0 ? terminal.width : 80;
    const std::string trouble = passing.empty() ? std::string() : for_locale(cut("no answer now, this is the last one: " + printable(passing), width));
    std::string text = for_locale(cut(clock, width)) + "\n" + for_locale(cut(printable(query), width)) + "\n" + (terminal.colour && !trouble.empty() ? "\x1b[33m" + trouble + "\x1b[0m" : trouble) + "\n" + draw_answer(answer, query, terminal, false) + draw_account(answer, terminal);
    if (!terminal.moves) {
      std::fputs((text + "\n").c_str(), stdout);
      std::fflush(stdout);
      return;
    }
    std::string out = first ? "\x1b[2J\x1b[H" : "\x1b[H";
    size_t lines = 0;
    for (size_t i = 0; i < text.size();) {
      const size_t end = text.find('\n', i);
      // The last line is left for the cursor; what has no room says so.
      const bool full = terminal.height > 0 && lines + 2 >= terminal.height && end + 1 < text.size();
      out += full ? for_locale("…") : text.substr(i, end - i);
      out += "\x1b[K\n";
      if (full) break;
      ++lines;
      i = end + 1;
    }
    out += "\x1b[J";
    std::fwrite(out.data(), 1, out.size(), stdout);
    std::fflush(stdout);
  }

  Http& http_;
  LineEditor editor_;
  QueryOptions options_;
  bool timing_ = true, paging_ = true;
  std::string last_;   // the last question
  std::string typed_;  // what was typed last, as it stands on the screen
  std::optional<Answer> kept_;
  std::string kept_question_;
};

}  // namespace

int run_repl(Http& http) { return Repl(http).run(); }

}  // namespace sluice::client
