// A plan: what to scan, and the operators that the rows go through. Made by bind.h, run by execute.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "query/operator.h"
#include "query/predicate.h"
#include "query/row_buffer.h"

namespace sluice::query {

// Where a slot's values come from when the scan fills it.
struct ScanSource {
  enum class Kind { stored, derived, extra } kind = Kind::stored;
  ColumnId id{};
  DerivedColumn derived{};
  std::string key;  // extra.NAME

  bool operator==(const ScanSource&) const = default;
};

struct SlotSpec {
  std::string name;
  Type type;
  std::optional<ScanSource> source;  // absent: an operator computes it
};

struct Conjunct {
  PredicatePtr predicate;
  std::vector<size_t> slots;  // that it reads
  std::string text;
};

struct ScanPlan {
  TimeRange range;                  // of flow_end; what the answer covers
  bool overlap = false;             // `active between`: flows that overlap the range
  std::vector<Conjunct> conjuncts;  // all must hold; cheap and selective ones first
  std::vector<SlotSpec> slots;
  std::vector<bool> output;         // slots that operators or the answer read
  size_t leaves = 0;                // tests of stored columns, numbered (Predicate::leaf)
  bool scales = false;              // some output is scaled by the sampling rate
};

struct OutputColumn {
  std::string name;
  size_t slot;
  Type type;
};

struct Plan;
struct Members;  // in_query.h

// The answer of a sub-query, for the operators of the query around it. Filled before their begin(), unchanged afterwards; slot
// i of `rows` is column i. Charged to the query's memory.
struct SubTable {
  std::vector<OutputColumn> columns;
  RowBuffer rows;
  MemoryClaim claim;

  explicit SubTable(RunState* run) : claim(run) {}
};
struct SubQuery {
  std::string what;  // for explain: "join with", "the period before" …
  std::shared_ptr<Plan> plan;
  std::shared_ptr<SubTable> table;
  // Stored columns of the scan whose values must be among a column's of the answer (an inner or semi join): while they are few the
  // scan looks for them with its indexes.
  struct Narrow {
    size_t slot, column;
  };
  std::vector<Narrow> narrows;
  std::vector<std::shared_ptr<Members>> members;  // of `in (QUERY)`: made ready as soon as the answer is there
};

// `stats … window 5m slide 30s` of a rule: windows [n · slide, n · slide + length) of flow_end, for every whole n.
struct PlanWindow {
  DurationNs length = 0, slide = 0;  // slide divides length; as long as it where windows do not overlap
  size_t time_slot = 0;              // of flow_end in the scan's frame
  size_t group = 0;                  // the operator that groups
};

struct Plan {
  std::vector<SubQuery> subqueries;  // answered first, in this order
  bool reads_flows = false;
  bool may_overflow = false;  // computes with integers row by row: the answer is held back until that is known to fit
  ScanPlan scan;
  std::vector<OperatorPtr> operators;
  std::vector<OutputColumn> output;
  std::vector<std::string> keys;  // of the answer's columns those that are keys of its last grouping
  std::string render;
  std::vector<std::string> warnings;  // of what is not known here, whatever the rows say
  std::optional<PlanWindow> window;  // rules only: BindOptions::continuous
  std::shared_ptr<const Batch> table;  // the rows, where they are a table's of the server's and not flows
};

}  // namespace sluice::query
