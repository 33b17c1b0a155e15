// The rows of a snapshot whose flow_end is newest, for those who know things again after a start.
#pragma once

#include <functional>
#include <span>

#include "storage/model/batch.h"
#include "storage/model/result.h"
#include "storage/model/time.h"
#include "storage/store/store.h"

namespace sluice::server {

// Calls `take` with batches of the columns asked for, of rows that ended within `age` before the newest: segments block by block and
// then open rows, roughly the oldest first. Whole batches and blocks, so some rows are older. At most rows_max rows and one block, of which
// the oldest are left out. REQUIRES: flow_end is among `columns`. Errors: corrupt, io of a segment; what was read before was taken.
Status each_recent_batch(const store::Snapshot& snapshot, std::span<const ColumnId> columns, DurationNs age, size_t rows_max,
                         const std::function<void(const Batch&)>& take);

}  // namespace sluice::server
