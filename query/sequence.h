// Sequences: steps that follow one another, for each key. The definition, for the stage that answers a query (stage_sequence.cc) and for the rule
// that waits for them on a stream (query/continuous/sequence_state.h).
//
// A step is done when N rows (1 unless it says) satisfied its condition, all of them after the step before was done; the sequence is found when its
// last step is done no later than `within` after the first row of its first. Rows are taken in order of ts; rows of one moment in the order of the
// first step that they satisfy, so that they can follow one another. Among several ways to find it the one that began last counts. A found
// sequence uses its rows up: the next of the same key begins anew behind it.
//
// Thread rule: one thread for each progress; the rest is immutable.
#pragma once

#include <bit>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "query/operator.h"
#include "query/stage.h"

namespace sluice::query {

struct SequenceStep {
  PredicatePtr condition;
  uint64_t count = 1;
};
struct SequenceSpec {
  std::vector<StageColumn> keys;
  std::vector<SequenceStep> steps;
  size_t time = 0;  // the slot of flow_end
  DurationNs within = 0;
  std::string text;
};

// A row of one key: when, and which steps' conditions it satisfies (bit s: step s). REQUIRES: one at least
struct SequenceRow {
  TimestampNs time = 0;
  uint32_t mask = 0;
  // The order in which rows are taken. Rows that are equal in it are the same for all purposes.
  auto order() const { return std::tuple(time, std::countr_zero(mask), mask); }
  bool operator<(const SequenceRow& o) const { return order() < o.order(); }
  bool operator==(const SequenceRow&) const = default;
};

// For each row of the chunk the steps that it satisfies. `masks` gets chunk.rows.
void sequence_masks(const SequenceSpec& spec, const Chunk& chunk, EvalContext& context, std::vector<uint32_t>& masks);

// The steps of one key, fed with its rows in their order. For each step: the latest beginning of a way that has got there.
// REQUIRES: the spec outlives it
class SequenceProgress {
 public:
  explicit SequenceProgress(const SequenceSpec& spec) : spec_(spec), best_(spec.steps.size()), rings_(spec.steps.size()) {}

  void clear();
  // The beginning, when this row ends a sequence; then clear() begins anew behind it.
  std::optional<TimestampNs> row(const SequenceRow& row);
  size_t byte_size() const;

 private:
  const SequenceSpec& spec_;
  std::vector<std::optional<TimestampNs>> best_;
  std::vector<std::deque<TimestampNs>> rings_;
};

// What the operator of a `sequence` stage looks for; null: another operator.
std::shared_ptr<const SequenceSpec> sequence_of(const Operator& op);

}  // namespace sluice::query
