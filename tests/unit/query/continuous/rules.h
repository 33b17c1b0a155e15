// Rules out of their text, flows to run them over, and what they and queries yield as lines: what the tests of this folder share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "grammar/parse.h"
#include "query/continuous/example.h"
#include "query/continuous/rule.h"
#include "query/continuous/stream.h"
#include "query/engine.h"
#include "query/value.h"
#include "query/watch_list.h"

namespace sluice::query::continuous {

inline std::variant<RulePtr, QueryError> compiled(const std::string& text, const CompileOptions& options = {}) {
  auto parsed = grammar::parse(text);
  if (const auto* error = std::get_if<grammar::SyntaxError>(&parsed)) return QueryError{ErrorCode::parse, error->text(), {}, std::nullopt, {}};
  return compile_rule(*std::get<grammar::Statement>(parsed).as<grammar::CreateRule>(), text, options);
}

// nullptr, and a failure of the test: the text is no rule.
inline RulePtr rule_of(const std::string& text, const CompileOptions& options = {}) {
  auto rule = compiled(text, options);
  if (auto* error = std::get_if<QueryError>(&rule)) {
    ADD_FAILURE() << text << ": " << error->message << "\n" << error->caret;
    return nullptr;
  }
  return std::get<RulePtr>(rule);
}

// Why a text is no rule.
inline std::string refused(const std::string& text, const CompileOptions& options = {}) {
  auto rule = compiled(text, options);
  const auto* error = std::get_if<QueryError>(&rule);
  return error ? error->message : "taken";
}

// What a query needs that is asked over some flows at some time. The snapshot outlives it.
struct Over {
  Over(const store::Snapshot& snapshot, TimestampNs now) : clock(now) {
    context.snapshot = &snapshot;
    context.clock = &clock;
    context.executor = &executor;
  }
  Over(const Over&) = delete;
  ManualClock clock;
  InlineExecutor executor;
  QueryContext context;
};

// Flows as examples write them, asked over a day after the last.
struct Stored {
  explicit Stored(const std::string& flows) {
    auto batches = example_flows(flows);
    EXPECT_TRUE(batches.ok()) << batches.error().message;
    snapshot.open = *batches;
    for (const auto& b : snapshot.open)
      for (const int64_t t : b->columns[*b->find(ColumnId::flow_end)].values<int64_t>()) first = std::min(first, t), last = std::max(last, t);
    over.clock.set(last + kDay);
    context.lists = std::make_shared<ListBook>();
  }
  store::Snapshot snapshot;
  TimestampNs first = kTimestampMax, last = kTimestampMin;
  Over over{snapshot, 0};
  ManualClock& clock = over.clock;
  QueryContext& context = over.context;
};

// A stream after a death: made again, as the server makes it, of the stored flows and of what the one before kept. What has come since the
// last push is in the snapshot; the caller tells the watermarks of it.
inline std::unique_ptr<Stream> made_again(const Stream& before, const std::vector<RulePtr>& rules, const store::Snapshot& snapshot, TimestampNs now, const FindingSink& sink) {
  auto next = std::make_unique<Stream>();
  for (const auto& [key, source] : before.watermarks().sources()) next->watermarks().restore(key, source);
  const Over over(snapshot, now);
  const QueryRequest request;
  for (const RulePtr& rule : rules) {
    const RuleState& kept = *before.find(rule->name);
    auto state = make_state(rule, {kept.frontier(), kept.checkpoint()});
    RunState run(request, over.context);
    Worker worker(run);
    ScanStats stats;
    EXPECT_TRUE(read_again(*state, run, stats).ok());
    EXPECT_TRUE(look_again(*state, next->watermark_at(now), now, worker, sink).ok());
    next->add(std::move(state));
  }
  return next;
}

inline std::string cell(const Column& column, const Type& type, size_t row) {
  const Value value = value_at(column, type, row);
  if (const auto* d = std::get_if<double>(&value.data)) {
    char text[40];
    std::snprintf(text, sizeof text, "%.9g", *d);  // sums of floats differ in their last digits with the order of rows
    return text;
  }
  return format_value(value, type.enumeration);
}

inline std::string line_of(const Chunk& rows, const std::vector<OutputColumn>& columns, size_t row) {
  std::string line;
  for (const auto& c : columns) line += cell(*rows.slots[c.slot], c.type, row) + " ";
  return line;
}

using Rows = std::multiset<std::string>;

inline Rows lines_of(const Chunk& rows, const std::vector<OutputColumn>& columns) {
  Rows lines;
  for (size_t r = 0; r < rows.rows; ++r) lines.insert(line_of(rows, columns, r));
  return lines;
}

// An answer of the engine as such lines.
class LinesSink final : public ResultSink {
 public:
  Status begin(const Schema& columns) override {
    schema = columns;
    return {};
  }
  Status batch(const Batch& batch) override {
    for (size_t r = 0; r < batch.rows; ++r) {
      std::string line;
      for (size_t c = 0; c < schema.size(); ++c) line += cell(batch.columns[c], Type{schema[c].type, schema[c].physical, schema[c].enumeration, {}, {}}, r) + " ";
      in_order.push_back(line);
      lines.insert(std::move(line));
    }
    return {};
  }
  Schema schema;
  std::vector<std::string> in_order;
  Rows lines;
};

}  // namespace sluice::query::continuous
