// Google Cloud VPC Flow Logs: Cloud Logging entries as JSON, alone, in a list, one a line, as Logging's API lists them
// ({"entries":[…]}), in a Pub/Sub push or pull envelope, or the bare payload. docs/sources/gcp_vpc.md says what each field
// becomes. Source: Google Cloud documentation, "VPC Flow Logs records".
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Error: whatever the sink returns. Everything else is counted in the report, by the entry's number in the body.
Result<DecodeReport> decode_gcp_vpc(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
