// A question to the server, and its answer on a terminal or in a pipe.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/repl/answer.h"
#include "client/repl/http.h"
#include "client/repl/terminal.h"

namespace sluice::client {

struct QueryOptions {
  std::string format = "table";  // table, json, ndjson, csv
  std::string from, to;
  std::map<std::string, std::vector<std::string>> parameters;  // several values are a list
  // The parameters are the prompt's, kept for whatever question names them, and only those that do are sent: the server warns of others.
  bool keeps_parameters = false;
  size_t rows_most = 0;  // sent as the question's limit; 0: none
};

// Where a question stands on the screen, so that an error can point into it: what was typed last, and which byte of it the question's
// first byte is (before the text where words were put in front, as by \explain).
struct TypedPlace {
  std::string_view prompt, more, text;
  std::ptrdiff_t shift = 0;
};

// The body of a POST to /v1/query.
std::string query_body(const std::string& text, const QueryOptions& options);
std::string_view accept_of(std::string_view format);

// `sluice query`. Exit code: 0, 1 query error (message with caret on standard error), 3 server unreachable.
int run_query(Http& http, const std::string& text, const QueryOptions& options);

// Asks for rows to draw, limits::kDrawnRows at most. nullopt: why not was said on standard error, and `code` is what run_query() would return.
// With `passing`, what may be over soon (the server is not there, is starting, or has too much to do) is told there and not said.
std::optional<Answer> fetch(Http& http, const std::string& text, const QueryOptions& options, const TypedPlace* typed, int& code, std::string* passing = nullptr);
// As a format that streams, to standard output; on a terminal, without what could drive it. The exit code of run_query().
int stream(Http& http, const std::string& text, const QueryOptions& options, const TypedPlace* typed);

// A picture where it is asked for, by the query (`render`) or by the person (`chart`), and the terminal shows it; else a table.
std::string draw_answer(const Answer& answer, std::string_view query, const Terminal& terminal, bool chart);
// "3 rows in 1.2 ms · … · 2.0 ms in all", in lines that fit.
std::string draw_account(const Answer& answer, const Terminal& terminal);

// Says what the server had against a question: under the place in what was typed where that is the last line on the screen, else with the line again.
void say_error(const ServerError& error, std::string_view question, const TypedPlace* typed);
void say_unreachable(const Http& http, const Response& response);
// On standard error, in lines that fit.
void say_warning(const std::string& warning);
// Warnings of answers that stream: a header, or a trailer once the rows are through.
void say_warnings(const Response& response);

}  // namespace sluice::client
