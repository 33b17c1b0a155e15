// Flows as others read them: one JSON object a flow, one line each; or records of IPFIX.
//
//   native  columns by their names, as in NDJSON answers to queries; volumes scaled by the sampling rate
//   ecs     Elastic Common Schema 8.11: event.category network, type connection. What ECS has no field for is under `sluice.flow`
//   ipfix   a record of IPFIX, see ipfix_sender.h; no text, and for targets of that kind alone
//   ocsf    OCSF 1.3 Network Activity (class 4001), activity Traffic. What it has no attribute for is under `unmapped`
//
// Thread rule: functions share nothing.
#pragma once

#include <vector>

#include "server/delivery/sender.h"
#include "storage/model/batch.h"

namespace sluice::delivery {

enum class FlowShape : uint8_t { native, ecs, ocsf, ipfix };

// A document for each row of a query's answer over flows.
void append_documents(const Batch& flows, FlowShape shape, std::vector<FlowDocument>& out);

}  // namespace sluice::delivery
