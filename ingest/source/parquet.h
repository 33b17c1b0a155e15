// Parquet objects of flow records: AWS VPC and Transit Gateway flow logs as AWS writes them to S3, and the OCSF Network Activity events
// that Amazon Security Lake makes of them.
//
// This is an optional module: Parquet is read by Apache Arrow's C++ libraries, and a build without them answers `not_built` for such an
// object. Arrow stays in the module (arrow_module.h).
//
// A row becomes the text line that AWS would have written, and the text decoder reads it: one meaning of each field, whichever way it
// was delivered. Columns may stand in any order and be any of those of the source; their names may have hyphens or underscores. Row groups are
// read one after another, in portions.
//
// Errors: not_built; corrupt (not Parquet, cut short, a footer or page that does not hold, more memory than
// limits::kParquetMemoryBytesMax); too_large (columns beyond limits::kParquetColumnsMax); unsupported (encrypted, or a codec that the
// library lacks); what `lines` says of columns that are no flow record's. What stands before the damage was handed to the sink.
// Source: the Parquet format's documentation; AWS VPC user guide, "Publish flow logs to Amazon S3"; OCSF 1.0 and 1.1, class 4001.
#pragma once

#include <string_view>

#include "ingest/source/source.h"

namespace sluice::ingest {

// Whether this build reads Parquet.
bool has_parquet();

// `lines` decodes text: a header line of field names, and a line a row. REQUIRES: is_parquet(body) (ingest/receive/line_cut.h)
Result<DecodeReport> decode_parquet(std::string_view body, const DecodeContext& context, const FlowSink& sink, BodyDecoder lines);

}  // namespace sluice::ingest
