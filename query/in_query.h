// `x in (QUERY)`: whether a value is among those of the first column of a query's answer. Used in any condition.
//
// A null is in no list, and in none is it out: `in` and `not in` are false for it. Nulls of the answer count for nothing, so one of them does
// not empty a `not in` as it would in SQL.
//
// Thread rule: build() once, before the rows flow; then any thread.
#pragma once

#include <memory>

#include "query/key_index.h"
#include "query/plan.h"

namespace sluice::query {

struct Members {
  Members(std::shared_ptr<SubTable> answer, NodePtr value, RunState* run) : table(std::move(answer)), key(std::move(value)), claim(run) {}
  // Errors: the query's memory, its deadline.
  Status build(Worker& worker);

  const std::shared_ptr<SubTable> table;
  const NodePtr key;  // over the answer's columns, as the values that are asked for are laid out
  KeyIndex index;
  MemoryClaim claim;
};

// REQUIRES: `value` is laid out as members->key; the members are built when the node is evaluated
NodePtr make_in_query(std::shared_ptr<const Members> members, NodePtr value, bool negated);

}  // namespace sluice::query
