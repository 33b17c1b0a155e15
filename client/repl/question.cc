#include "client/repl/question.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "client/repl/limits.h"
#include "client/repl/line_view.h"
#include "client/repl/typed_text.h"

namespace sluice::client {
namespace {

using nlohmann::json;

// Its answer is to be read rather than to be compared: no word of it is cut.
bool explains(std::string_view text) {
  const auto tokens = tokens_of(text);
  if (tokens.empty() || tokens[0].kind != TypedKind::stage) return false;
  const std::string_view word = text.substr(tokens[0].offset, tokens[0].length);
  return (word.size() == 7 && (word[0] | 0x20) == 'e') || (word.size() == 4 && (word[0] | 0x20) == 's' && (word[1] | 0x20) == 'h');
}

// The byte that the server's line and column name; both count from 1, columns count characters. SIZE_MAX: not in the text.
size_t offset_of(std::string_view text, uint32_t line, uint32_t column) {
  size_t at = 0;
  for (uint32_t l = 1; l < line; ++l) {
    at = text.find('\n', at);
    if (at == std::string_view::npos) return SIZE_MAX;
    ++at;
  }
  for (uint32_t c = 1; c < column && at < text.size() && text[at] != '\n'; ++c)
    do ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

// What a person sees of it is drawn without the pager's or the pipe's help.
bool answered(const Http& http, const Response& response, std::string_view text, const TypedPlace* typed, int& code) {
  code = 0;
  switch (response.failure) {
    case Response::Failure::none: break;
    case Response::Failure::cancelled:
      Http::clear_interrupt();
      write_over_echo(stderr);
      std::fprintf(stderr, "cancelled\n");
      code = 1;
      return false;
    default:
      say_unreachable(http, response);
      code = 3;
      return false;
  }
  if (!response.ok()) {
    say_error(read_error(response.body, response.status), text, typed);
    code = 1;
    return false;
  }
  return true;
}

}  // namespace

std::string_view accept_of(std::string_view format) {
  if (format == "csv") return "text/csv";
  if (format == "ndjson" || format == "ecs" || format == "ocsf") return "application/x-ndjson";
  if (format == "arrow") return "application/vnd.apache.arrow.stream";
  if (format == "parquet") return "application/vnd.apache.parquet";
  return "application/json";
}

// The values of a JSON text that came from outside never break out of it.
std::string query_body(const std::string& text, const QueryOptions& options) {
  json body{{"query", text}};
  if (options.rows_most > 0) body["limit"] = options.rows_most;
  if (!options.from.empty()) body["from"] = options.from;
  if (!options.to.empty()) body["to"] = options.to;
  auto parameters = options.parameters;
  if (options.keeps_parameters && !parameters.empty()) {
    std::set<std::string_view> named;
    for (const auto& token : tokens_of(text))
      if (token.kind == TypedKind::parameter && text[token.offset] == '$') named.insert(std::string_view(text).substr(token.offset + 1, token.length - 1));
    std::erase_if(parameters, [&](const auto& p) { return !named.contains(p.first); });
  }
  for (const auto& [name, values] : parameters) {
    if (values.size() == 1)
      body["params"][name] = values.front();
    else
      body["params"][name] = values;
  }
  return body.dump(-1, ' ', false, json::error_handler_t::replace);
}

void say_unreachable(const Http& http, const Response& response) { say(stderr, describe_unreachable(http.server().url, response)); }

void say_warnings(const Response& response) {
  const auto it = response.headers.find("x-sluice-summary");
  if (it == response.headers.end()) return;
  const json summary = json::parse(it->second, nullptr, false);
  if (!summary.is_object() || !summary.contains("warnings") || !summary["warnings"].is_array()) return;
  for (const auto& w : summary["warnings"])
    if (w.is_string()) say_warning(w.get<std::string>());
}

void say_warning(const std::string& warning) { say(stderr, "warning: " + printable(warning)); }

void say_error(const ServerError& error, std::string_view question, const TypedPlace* typed) {
  const Terminal terminal(STDERR_FILENO);
  const size_t offset = error.line > 0 ? offset_of(question, error.line, error.column) : SIZE_MAX;
  if (typed != nullptr && offset != SIZE_MAX && terminal.moves && static_cast<std::ptrdiff_t>(offset) + typed->shift >= 0) {
    const auto at = static_cast<size_t>(static_cast<std::ptrdiff_t>(offset) + typed->shift);
    const size_t end = typed->text.rfind('\n'), last = end == std::string_view::npos ? 0 : end + 1;
    const std::string_view line = typed->text.substr(last), prompt = last == 0 ? typed->prompt : typed->more;
    if (at >= last && at <= typed->text.size()) {
      const size_t caret = column_of(prompt, line, at - last, terminal.width), behind = offset_of(line.substr(at - last), 1, error.length + 1);
      if (caret != SIZE_MAX && caret < terminal.width) {
        const size_t cells = column_of("", line.substr(at - last), behind, terminal.width);
        std::fputs(for_locale(describe_below(error, caret, cells == SIZE_MAX ? 1 : cells, terminal.colour, terminal.width)).c_str(), stderr);
        return;
      }
    }
  }
  std::fputs(for_locale(describe(error, question, terminal.colour, terminal.width)).c_str(), stderr);
}

std::optional<Answer> fetch(Http& http, const std::string& text, const QueryOptions& options, const TypedPlace* typed, int& code, std::string* passing) {
  QueryOptions drawn = options;
  drawn.rows_most = limits::kDrawnRows;
  const std::string body = query_body(text, drawn);
  const auto started = std::chrono::steady_clock::now();
  const Response response = http.send({"POST", "/v1/query", {"Content-Type: application/json", "Accept: application/json"}, body});
  if (passing != nullptr) {
    passing->clear();
    if (response.failure == Response::Failure::unreachable || response.failure == Response::Failure::other) *passing = response.failure_text;
    if (response.failure == Response::Failure::none && (response.status == 503 || response.status == 429)) *passing = read_error(response.body, response.status).message;
    if (!passing->empty()) {
      code = 3;
      return std::nullopt;
    }
  }
  if (!answered(http, response, text, typed, code)) return std::nullopt;
  std::string why;
  auto answer = read_answer(response.body, why);
  if (!answer) {
    say(stderr, "error: " + why);
    code = 1;
    return std::nullopt;
  }
  if (answer->rows.size() == limits::kDrawnRows)
    answer->warnings.push_back("a table has " + with_thousands(limits::kDrawnRows) + " rows at most; csv, ndjson and \\export have all of them");
  answer->total_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  return answer;
}

int stream(Http& http, const std::string& text, const QueryOptions& options, const TypedPlace* typed) {
  const std::string body = query_body(text, options);
  const bool to_terminal = isatty(STDOUT_FILENO) != 0;
  TerminalText clean;
  const auto put = [](std::string_view piece) { return std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size(); };
  const Response response = http.send({"POST", "/v1/query", {"Content-Type: application/json", "Accept: " + std::string(accept_of(options.format))}, body},
                                      [&](std::string_view piece) { return put(to_terminal ? clean.take(piece) : piece); });
  put(clean.finish());
  int code = 0;
  if (!answered(http, response, text, typed, code)) return code;
  if (options.format == "json") std::fputc('\n', stdout);
  std::fflush(stdout);
  say_warnings(response);
  return 0;
}

std::string draw_answer(const Answer& answer, std::string_view query, const Terminal& terminal, bool chart) {
  // What a pipe gets is rows: two lines of a heading above none would be counted as such.
  if (answer.columns.empty() || (answer.rows.empty() && !terminal.is_terminal)) return {};
  if (chart || (answer.render == "timechart" && terminal.is_terminal)) {
    std::string drawn = draw_over_time(answer, terminal.width > 0 ? terminal.width : 80);
    if (!drawn.empty()) return for_locale(std::move(drawn));
  }
  const bool bars = chart || answer.render == "timechart" || answer.render == "barchart";
  return for_locale(draw(answer, {terminal.width, terminal.colour, explains(query)}, bars));
}

std::string draw_account(const Answer& answer, const Terminal& terminal) {
  char all[40];
  std::snprintf(all, sizeof all, answer.total_ms < 100 ? " · %.1f ms in all" : " · %.0f ms in all", answer.total_ms);
  const std::string line = account(answer) + all;
  std::string out;
  for (const std::string& part : terminal.width > 20 ? wrapped_facts(line, terminal.width) : std::vector<std::string>{line}) {
    if (terminal.colour) out += "\x1b[2m";
    out += part;
    if (terminal.colour) out += "\x1b[0m";
    out += '\n';
  }
  return for_locale(std::move(out));
}

int run_query(Http& http, const std::string& text, const QueryOptions& options) {
  if (options.format != "table") return stream(http, text, options, nullptr);
  int code = 0;
  const auto answer = fetch(http, text, options, nullptr, code);
  if (!answer) return code;
  const Terminal terminal;
  std::fputs(draw_answer(*answer, text, terminal, false).c_str(), stdout);
  std::fflush(stdout);
  for (const auto& w : answer->warnings) say_warning(w);
  // A script that reads the table from standard output is not bothered with how long it took.
  std::fputs(draw_account(*answer, terminal).c_str(), terminal.is_terminal ? stdout : stderr);
  return 0;
}

}  // namespace sluice::client
