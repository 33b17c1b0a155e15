// What goflow2 (and goflow before it) makes of NetFlow, IPFIX and sFlow: one flow a record, as JSON or as protocol buffers.
//
// JSON: the names of FlowMessage in snake_case (goflow2 v2) or PascalCase (v1, goflow), one object a line or more in a list; enumerations as
// names or numbers, addresses as text or base64. Protocol buffers: one FlowMessage, as in a Kafka record, or several with their
// length before each. Sources: github.com/netsampler/goflow2, pb/flow.proto and docs/protocols.md; github.com/cloudflare/goflow, pb/flow.proto.
//
// Zero is what a FlowMessage has where its exporter said nothing, so it is null wherever zero cannot be told from that.
#pragma once

#include "ingest/source/source.h"

namespace sluice::ingest {

Result<DecodeReport> decode_goflow2(std::string_view body, const DecodeContext& context, const FlowSink& sink);

}  // namespace sluice::ingest
