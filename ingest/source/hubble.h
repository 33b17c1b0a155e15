// Cilium Hubble's flows: JSON, one event an object, as the Hubble exporter and `hubble observe -o json` write them
// ({"flow":{…},"node_name":…,"time":…}), or the bare flow. An event is one packet, or one request or answer of layer 7; there
// are no byte counts. Source: cilium/cilium api/v1/flow/flow.proto; docs/sources/hubble.md says what each field becomes.
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Errors: whatever the sink returns. Everything else is counted in the report, by number of the object in the body.
Result<DecodeReport> decode_hubble(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
