// Values that a column must have one of, as a filter of the scan: what has none of them is left out by dictionary, posting and zone.
#pragma once

#include <optional>
#include <string>

#include "query/plan.h"

namespace sluice::query {

// Numbers its leaf in the scan. Nulls among the values are not looked for. nullopt: a scan cannot look for values of that type.
// REQUIRES: the scan fills the slot
std::optional<Conjunct> make_value_filter(ScanPlan& scan, size_t slot, const Column& values, std::string text);

}  // namespace sluice::query
