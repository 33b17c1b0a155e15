// Corrections of sampling rates: what an operator says about rows that are stored already. Segments never change; the
// columns that FlowQL computes (bytes, packets, reverse_bytes, reverse_packets) take the corrected rate when they are read.
// The stored column sampling_rate stays what the exporter, or nobody, said.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "query/expression.h"
#include "storage/model/ip.h"
#include "storage/model/time.h"

namespace sluice::query {

struct SamplingRule {
  Prefix exporter = {};
  std::optional<uint32_t> domain = {};     // observation domain
  std::optional<uint32_t> interface = {};  // index: of input, or of output where the flow's direction is egress
  TimeRange range{kTimestampMin, kTimestampMax};  // of flow_end
  uint32_t rate = 1;
  bool force = false;  // also where a rate is stored; else only where none is known

  bool operator==(const SamplingRule&) const = default;
};

// Of the rules that hold for a row the last one counts.
using SamplingRules = std::vector<SamplingRule>;

// Reads a stored column of the rows at hand; nullptr when there is none. A null there matches no condition.
using ColumnReader = std::function<Result<ColumnPtr>(ColumnId)>;

// The rates of the rows after correction: `stored` itself (which may be nullptr) when no rule changes one of them.
Result<ColumnPtr> corrected_rates(const SamplingRules& rules, ColumnPtr stored, size_t rows, const ColumnReader& read, EvalContext& context);
// Whether some rule's range meets [first, last].
bool may_correct(const SamplingRules& rules, TimestampNs first, TimestampNs last);

}  // namespace sluice::query
