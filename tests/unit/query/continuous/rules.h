// Rules out of their text, and what they and queries yield as lines: what the tests of this folder share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "grammar/parse.h"
#include "query/continuous/rule.h"
#include "query/engine.h"
#include "query/value.h"

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

inline std::multiset<std::string> lines_of(const Chunk& rows, const std::vector<OutputColumn>& columns) {
  std::multiset<std::string> lines;
  for (size_t r = 0; r < rows.rows; ++r) {
    std::string line;
    for (const auto& c : columns) line += format_value(value_at(*rows.slots[c.slot], c.type, r), c.type.enumeration) + " ";
    lines.insert(line);
  }
  return lines;
}

// An answer of the engine as such lines.
class LinesSink final : public ResultSink {
 public:
  Status begin(const Schema& schema) override {
    for (size_t i = 0; i < schema.size(); ++i) columns.push_back({schema[i].name, i, Type{schema[i].type, schema[i].physical, schema[i].enumeration, {}, {}}});
    return {};
  }
  Status batch(const Batch& batch) override {
    Chunk chunk;
    chunk.rows = batch.rows;
    for (const Column& c : batch.columns) chunk.slots.push_back(std::make_shared<const Column>(c));
    lines.merge(lines_of(chunk, columns));
    return {};
  }
  std::vector<OutputColumn> columns;
  std::multiset<std::string> lines;
};

}  // namespace sluice::query::continuous
