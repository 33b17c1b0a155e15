// Oracle Cloud VCN flow logs: JSON, one record an object: as the console and Object Storage have it ({"datetime":…,
// "logContent":{…}}), as streams have it ({"specversion":…, "data":{…}, "oracle":{…}}, or base64 of either in `value`), as
// searches answer ({"results":[…]}), or flat, with or without dotted names. Source:
// docs.oracle.com/en-us/iaas/Content/Logging/Reference/details_for_vcn_flow_logs.htm; docs/sources/oci_vcn.md says what each
// field becomes.
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Errors: whatever the sink returns. Everything else is counted in the report, by number of the object in the body.
Result<DecodeReport> decode_oci_vcn(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
