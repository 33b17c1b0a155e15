// What the server said to a query, read from its JSON, and how it looks on a terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/repl/table.h"

namespace sluice::client {

struct AnswerColumn {
  std::string name, type, unit;
};

struct Answer {
  std::vector<AnswerColumn> columns;
  std::vector<std::vector<Cell>> rows;  // already printable
  std::vector<std::string> warnings;
  std::string range_from, range_to;  // empty: the answer covers no range
  std::string render;                // the query's hint: "timechart", "barchart", "table", "graph" or empty
  std::vector<double> measure;       // of each row, where `render` asks for bars: the first number behind the first column; 0 where there is none
  double elapsed_ms = 0;
  uint64_t rows_scanned = 0, rows_matched = 0, bytes_read = 0, segments = 0, segments_pruned = 0, blocks = 0, blocks_pruned = 0;
};

struct ServerError {
  std::string code, message, hint;
  uint32_t line = 0, column = 0, length = 1;  // line 0: no place in the text
};

// The body of a 200 to /v1/query. nullopt: not such a body; `why` says how.
std::optional<Answer> read_answer(std::string_view json, std::string& why);
// The body of an error answer; whatever it holds, something readable comes out.
ServerError read_error(std::string_view json, long status);
// The message with the offending line of `query` and a caret under its place.
std::string describe(const ServerError& error, std::string_view query, bool colour);

// A table; with bars beside the rows where the answer has a measure.
std::string draw(const Answer& answer, const TableStyle& style);
// "3 rows in 1.2 ms · 12,345 of 1,000,000 flows matched · 1.2 MB read · 3 of 4 segments skipped"
std::string account(const Answer& answer);

// What /v1/admin/verify and /v1/admin/flush answered, for people. `damaged` becomes the number of damaged segments.
std::string describe_verify(std::string_view json, uint64_t& damaged);
std::string describe_flush(std::string_view json);

std::string with_thousands(uint64_t n);
std::string human_bytes(uint64_t n);

}  // namespace sluice::client
