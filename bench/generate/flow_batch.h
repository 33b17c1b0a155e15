// Generated flows as a batch of flow columns, as the decoders of NetFlow and of AWS flow logs would make them: for tests and benchmarks of what
// comes after decoding.
#pragma once

#include "bench/generate/flow.h"
#include "storage/model/batch.h"

namespace sluice::generate {

// Adds one row. Cloud columns are set only for flows of cloud interfaces. `received_at` is half a second after the flow's end.
void append_row(const Flow& flow, const Reporters& reporters, FlowBatchBuilder& out);

}  // namespace sluice::generate
