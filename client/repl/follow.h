// Flows as they come in (/v1/tail), a line each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/repl/answer.h"
#include "client/repl/http.h"
#include "client/repl/question.h"
#include "client/repl/terminal.h"

namespace sluice::client {

// Lines of a table that has no end: a column is as wide as its widest value so far. Columns that have no room from the first on are left out.
class EndlessTable {
 public:
  // `width` 0: as wide as it needs.
  EndlessTable(const std::vector<AnswerColumn>& columns, size_t width, bool colour);
  std::string head() const;
  // Times of `today` ("2026-11-20", UTC) as their clock, to the second; others as they are.
  std::string line(const std::vector<Cell>& row, std::string_view today);
  // How many columns have no room.
  size_t left_out() const { return left_out_; }

 private:
  std::string fit(std::string line) const;

  std::vector<AnswerColumn> columns_;
  std::vector<size_t> widths_;
  size_t left_out_ = 0;
  const size_t width_;
  const bool colour_;
};

// Prints flows that meet `filter` (stages that read one flow at a time; empty: all) until Ctrl-C. A connection that breaks is asked for
// again where it was. Exit code as run_query().
int follow(Http& http, const std::string& filter, const QueryOptions& options, const TypedPlace* typed);

}  // namespace sluice::client
