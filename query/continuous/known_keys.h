// Which keys a table of groups has, asked without putting any into it: for states at their bound, whose tables must not grow by what they refuse.
//
// Keys are their fingerprints (KeyHistory::fingerprint), 8 bytes each, made from the table when they are first asked for.
//
// Thread rule: one thread at a time.
#pragma once

#include <functional>
#include <span>
#include <unordered_set>
#include <vector>

#include "query/expression.h"
#include "query/group_table.h"

namespace sluice::query::continuous {

class KnownKeys {
 public:
  // Rows whose keys the table has, and those of as many other keys as there is `room` for, which the caller puts into the table at once.
  // `refused` gets the others.
  std::vector<uint32_t> admit(const GroupTable& table, std::span<const ColumnPtr> keys, size_t rows, size_t room, EvalContext& context,
                              const std::function<void(uint32_t row, uint64_t key)>& refused);
  // The table is another one, or has got keys that were not asked for here.
  void forget();
  size_t byte_size() const { return sorted_.capacity() * sizeof(uint64_t) + recent_.size() * 32; }

 private:
  void learn(const GroupTable& table, size_t key_count, EvalContext& context);
  bool has(uint64_t key) const;

  std::vector<uint64_t> sorted_;
  std::unordered_set<uint64_t> recent_;  // admitted since
};

// The groups `stay` of a table alone. `numbers`: gets the new number of each.
GroupTable table_of(const GroupTable& table, std::vector<Type> types, std::span<const uint32_t> stay, std::vector<uint32_t>& numbers, EvalContext& context);

}  // namespace sluice::query::continuous
