// Values that flows have had, for completion: names of what is there rather than of what could be.
#pragma once

#include <functional>
#include <string_view>

#include "storage/model/flow_schema.h"
#include "storage/store/store.h"

namespace sluice::query {

// Calls add(literal) with values of a text or address column that begin with `typed`, written as literals of the language, newest rows and
// segments first. `typed` is what stands at the cursor: of an address its beginning (nothing is proposed for none), of a text its beginning
// with or without a quote before it. Bounded by limits::kCompletion…, so what only older segments have may be missing; a damaged segment
// proposes nothing. A value may be told more than once. Any thread; the snapshot is only read.
void each_stored_value(const store::Snapshot& snapshot, ColumnId column, std::string_view typed, const std::function<void(std::string_view literal)>& add);

}  // namespace sluice::query
