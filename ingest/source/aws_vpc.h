// AWS VPC flow logs and transit gateway flow logs: text, one record a line, fields by a header line, by configuration or
// by AWS's default; also wrapped in JSON (see aws_envelope.h). docs/sources/aws_vpc.md says what each field becomes.
//
// The two decoders share everything but the format they assume when nothing else says: AWS's default of either service.
// A header with transit gateway fields makes transit gateway rows in both.
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

// Error: invalid_argument when the first line is neither a header nor a record of a known format, or the configured format
// makes no sense; whatever the sink returns. Everything else is counted in the report, by line number.
Result<DecodeReport> decode_aws_vpc(std::string_view body, const DecodeContext& context, const FlowSink& sink);
Result<DecodeReport> decode_aws_tgw(std::string_view body, const DecodeContext& context, const FlowSink& sink);

// Whether a line names fields, by the same look at it as the decoders take.
bool is_aws_header(std::string_view line, bool first);

}  // namespace sluice::ingest
