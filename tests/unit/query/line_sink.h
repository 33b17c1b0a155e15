// An answer as lines of text, which tests compare: a row each, its values as they are stored, parted by blanks.
#pragma once

#include <string>
#include <vector>

#include "query/engine.h"

namespace sluice::query {

struct LineSink final : ResultSink {
  Status begin(const Schema&) override { return {}; }
  Status batch(const Batch& rows) override {
    for (size_t r = 0; r < rows.rows; ++r) {
      std::string line;
      for (const Column& c : rows.columns)
        line += c.is_null(r) ? "null " : c.type() == PhysicalType::Str ? std::string(c.string_at(r)) + ' ' : c.type() == PhysicalType::Ip ? to_string(c.ip_at(r)) + ' ' : c.type() == PhysicalType::F64 ? std::to_string(c.float_at(r)) + ' ' : std::to_string(c.uint_at(r)) + ' ';
      lines.push_back(line);
    }
    return {};
  }
  std::vector<std::string> lines;
};

}  // namespace sluice::query
