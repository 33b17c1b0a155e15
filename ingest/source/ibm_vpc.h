// IBM Cloud flow logs for VPC: one JSON object a delivery, a header with the array `flow_logs`; one connection's window a
// record, both directions in it. Source: cloud.ibm.com/docs/vpc?topic=vpc-fl-analyze; docs/sources/ibm_vpc.md says what each
// field becomes.
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Errors: whatever the sink returns. Everything else is counted in the report; a record's number counts the records of all
// objects in the body.
Result<DecodeReport> decode_ibm_vpc(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
