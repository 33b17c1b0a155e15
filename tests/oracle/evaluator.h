// A plain evaluator of FlowQL: one row at a time, from the syntax tree, with maps and nothing clever. It shares the parser with
// the engine and not a line more, so that an answer both agree on is an answer two programs found.
//
// It covers what the random queries of the tests say: where, extend, select, drop, rename, stats, timeseries, distinct, and the stages of
// stages.h; not sort, limit and top, whose order the test checks itself.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "grammar/syntax.h"
#include "storage/model/batch.h"
#include "storage/model/ip.h"

namespace sluice::oracle {

struct Null {
  auto operator<=>(const Null&) const = default;
};
struct Time {
  int64_t ns = 0;
  auto operator<=>(const Time&) const = default;
};
struct Span {
  int64_t ns = 0;
  auto operator<=>(const Span&) const = default;
};
// Integers as wide as any sum of a test can be.
using Integer = __int128;
using Value = std::variant<Null, bool, Integer, double, std::string, IpAddress, Time, Span>;
using Row = std::map<std::string, Value>;

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<Value>> rows;
};

// A row of a context table whose key is an address or a block of them: when it holds, and what it says.
struct TableRow {
  IpAddress first, last;
  int64_t from = INT64_MIN, to = INT64_MAX;
  Row values;
};
// What stands beside the flows.
struct Beside {
  std::map<std::string, std::vector<TableRow>> tables;
  int64_t now = 0;
};

// Every stored and derived column of every flow.
std::vector<Row> rows_of(const Batch& flows);

// Evaluates a query without a time clause or with `between`. Throws std::runtime_error for what it does not cover: in a test that is a
// failure.
Table evaluate(const grammar::Query& query, const std::vector<Row>& flows, const Beside& beside = {});

std::string text_of(const Value& value);

}  // namespace sluice::oracle
