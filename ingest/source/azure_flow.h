// Azure virtual network flow logs (version 4) and network security group flow logs (versions 1 and 2): JSON records of a
// minute each, whose flows are lists of comma-separated tuples. docs/sources/azure_vnet.md and azure_nsg.md say what each
// field becomes.
//
// A record says itself which of the two it is, so both decoders read both; the rows' `source` is the record's. Bodies are a
// blob (PT1H.json, also without its end while the hour goes on), a piece of one, {"records":[…]} as relays push it, or records
// one a line. Sources: Microsoft Learn, "VNet flow logs" and "NSG flow logs".
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Error: whatever the sink returns. Everything else is counted in the report, by the record's number in the body; a bad
// tuple costs only itself.
Result<DecodeReport> decode_azure(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
