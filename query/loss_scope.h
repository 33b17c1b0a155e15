// Which known losses concern a query: those of its time range whose rows its conditions would have let through.
//
// Thread rule: a LossQuestion is used by the thread that asks the query, while its plan lives.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "query/engine.h"
#include "query/plan.h"

namespace sluice::query {

// Asks for the losses of this plan, in `range`. REQUIRES: the plan outlives it
LossQuestion loss_question(const ScanPlan& plan, TimeRange range);

}  // namespace sluice::query
