// What the server said to a query, read from its JSON, and how it looks on a terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/repl/chart.h"
#include "client/repl/table.h"

namespace sluice::client {

struct AnswerColumn {
  std::string name, type, unit;
};

// Drawn to the right, and measured in charts.
bool is_number(const AnswerColumn& column);

struct Answer {
  std::vector<AnswerColumn> columns;
  std::vector<std::vector<Cell>> rows;  // already printable
  std::vector<std::string> warnings;
  std::string range_from, range_to;  // empty: the answer covers no range
  std::string render;                // the query's hint: "timechart", "barchart", "table", "graph" or empty
  std::vector<std::string> keys;     // names of the columns that its last grouping groups by; may be numbers, as ports are
  double elapsed_ms = 0;             // at the server
  double total_ms = 0;               // with the way there and back; set by who asked
  uint64_t rows_scanned = 0, rows_matched = 0, bytes_read = 0, segments = 0, segments_pruned = 0, blocks = 0, blocks_pruned = 0;
  uint64_t kept_rows = 0;            // not among those scanned: the server knew what they come to from a question before
};

struct ServerError {
  std::string code, message, hint;
  uint32_t line = 0, column = 0, length = 1;  // line 0: no place in the text
};

// The body of a 200 to /v1/query. nullopt: not such a body; `why` says how.
std::optional<Answer> read_answer(std::string_view json, std::string& why);
// Columns and rows alone, as events of a stream have them ({"columns":[…]}, {"rows":[…]}). False: not such a text; `why` says how.
bool read_columns(std::string_view json, std::vector<AnswerColumn>& columns, std::string& why);
bool read_rows(std::string_view json, const std::vector<AnswerColumn>& columns, std::vector<std::vector<Cell>>& rows, std::string& why);
// The body of an error answer; whatever it holds, something readable comes out.
ServerError read_error(std::string_view json, long status);
// The message with the offending line of `query` and a caret under its place. Words go on in the next line where a terminal of `width` cells ends (0: nobody knows where
// that is); of a line of the query that is longer, the part around the place is shown.
std::string describe(const ServerError& error, std::string_view query, bool colour, size_t width = 0);
// The same right below the line that was typed: the caret in the terminal's column `caret`, then the message. `cells`: how many it may underline.
std::string describe_below(const ServerError& error, size_t caret, size_t cells, bool colour, size_t width = 0);

// The column of numbers that a picture is of: the first that is no key, of an answer without keys rather not the very first. nullopt: there is none.
std::optional<size_t> measure_of(const Answer& answer);

// A table; with bars of its measure beside the rows where it has one and `bars` says so.
std::string draw(const Answer& answer, const TableStyle& style, bool bars = false);
// A chart of each measure over the answer's time, a series for each combination of what is no measure; rows that `others` marks are one. Empty: it has no column of times or no
// numbers.
std::string draw_over_time(const Answer& answer, size_t width);
// "3 rows in 1.2 ms · 12,345 of 1,000,000 flows matched · 1.2 MB read · 3 of 4 segments skipped", or what was known from before in the place of, or beside, what
// was read.
std::string account(const Answer& answer);

// What /v1/admin/verify and /v1/admin/flush answered, for people. `damaged` becomes the number of damaged segments.
std::string describe_verify(std::string_view json, uint64_t& damaged);
std::string describe_flush(std::string_view json);

std::string with_thousands(uint64_t n);
std::string human_bytes(uint64_t n);

}  // namespace sluice::client
