// The hash join: rows of a query beside the rows of a sub-query's answer that have the same keys. Used by join, compare and
// first_seen.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "query/plan.h"

namespace sluice::query {

struct JoinSpec {
  // inner: one row for each pair. left: also rows without a partner, once, its columns null. semi, anti: rows with or without
  // a partner, once, and no columns of it.
  enum class Kind { inner, left, semi, anti } kind = Kind::inner;
  std::shared_ptr<SubTable> table;
  std::vector<NodePtr> keys;         // of the rows that flow
  std::vector<NodePtr> table_keys;   // over the table's columns; the same number, of the same layouts
  bool nulls_match = false;
  struct Added {
    size_t column;  // of the table
    size_t slot;    // of the frame
  };
  std::vector<Added> added;
  std::string text;
};

// Rows keep their order; the partners of one come in the order of the table. Stateless once begun.
OperatorPtr make_join(std::shared_ptr<const JoinSpec> spec, RunState* run);

}  // namespace sluice::query
