// Suricata's EVE log: JSON, one event an object. Events of type `flow` (both directions of a flow in one record) and
// `netflow` (one record a direction) become rows; all others are counted as ignored. Also in the envelope that AWS Network
// Firewall puts around them. Sources: Suricata user guide, "EVE JSON Format"; docs/sources/suricata.md says what each field
// becomes.
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Errors: whatever the sink returns. Everything else is counted in the report, by number of the object in the body.
Result<DecodeReport> decode_suricata(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
