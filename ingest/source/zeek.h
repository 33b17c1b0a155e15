// Zeek's conn.log: tab separated text with its header lines (#separator … #fields …), or JSON, one connection a record, both
// directions in it. Source: zeek/zeek scripts/base/protocols/conn/main.zeek and the documentation of its ASCII writer;
// docs/sources/zeek.md says what each field becomes.
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Error: invalid_argument when the body is text and neither its beginning nor the configured format names the fields of a
// connection; whatever the sink returns. Everything else is counted in the report, by line or by number of the object.
Result<DecodeReport> decode_zeek(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
