// timeseries … spread: a flow's volumes booked over the bins that it spans, instead of the bin of its end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "query/operator.h"

namespace sluice::query {

struct SpreadSpec {
  DurationNs every = 0;
  TimeRange range;           // parts outside are left out; open ends leave nothing out
  NodePtr start, end;        // times; a flow without a start is a point at its end
  size_t bin_slot = 0;       // gets the start of each part's bin
  struct Value {
    NodePtr node;
    size_t slot;  // gets the part's share: in proportion to time; shares of an integer are integers and add up to it
  };
  std::vector<Value> values;
  std::string text;
};

// One row for each bin that a row touches; all other slots are repeated. Stateless.
// Errors: too_large, when a flow spans more than limits::kSpreadBinsPerFlowMax bins.
OperatorPtr make_spread(std::shared_ptr<const SpreadSpec> spec);

}  // namespace sluice::query
