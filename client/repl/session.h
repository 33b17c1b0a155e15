// The REPL and the one-shot query: text in, tables out.
#pragma once

#include <map>
#include <string>

#include "client/repl/http.h"

namespace sluice::client {

struct QueryOptions {
  std::string format = "table";  // table, json, ndjson, csv
  std::string from, to;
  std::map<std::string, std::string> parameters;
};

// `sluice query`. Exit code: 0, 1 query error (message with caret on standard error), 3 server unreachable.
int run_query(Http& http, const std::string& text, const QueryOptions& options);

// `sluice` with no command. Exit code 0, or 3 when the server is not there at the start.
int run_repl(Http& http);

// A query of several lines as one that means the same, for the history. Comments that end with their line are left out.
std::string one_line(const std::string& text);

}  // namespace sluice::client
