// Bodies of POST /v1/ingest/netflow and /v1/ingest/sflow and files for `sluice ingest`: captures and streams that hold NetFlow,
// IPFIX or sFlow. Packets tell what they are, so either name takes all of them.
//
// What a body is, its first bytes say: a pcap (classic, micro- or nanoseconds, either byte order) or pcapng capture; an IPFIX
// file (RFC 5655: messages end to end); or raw datagrams (NetFlow v1/v5/v7/v9, sFlow v5).
//
// Rows of a capture are stamped received_at = the packet's capture time, so that an old capture is neither "late" nor
// "skewed". Rows of an IPFIX file or a raw datagram carry the context's received_at.
#pragma once

#include <span>
#include <string_view>

#include "ingest/source/netflow.h"
#include "ingest/source/source.h"

namespace sluice::ingest {

enum class PacketBodyKind : uint8_t { pcap, pcapng, ipfix_file, datagram, unknown };
std::string_view to_string(PacketBodyKind kind);
PacketBodyKind packet_body_kind(std::string_view body);

// Decodes one whole body with a decoder of its own (templates must be in the body, as they are in a file). `accepted` counts
// flows, `ignored` options records, sFlow counter samples and packets that are none of ours, `rejected` what could not be read: bad packets, sets,
// records, and data whose template never came. Serves the rows of the source table that have no decoder.
Result<DecodeReport> decode_packet_body(std::string_view body, const DecodeContext& context, const FlowSink& sink);

// The same with the caller's decoder, so that templates outlive the body (a device that posts its datagrams one by one).
Result<DecodeReport> decode_packet_body(std::string_view body, const DecodeContext& context, const FlowSink& sink,
                                        PacketDecoder& decoder, const PacketSender& sender);

}  // namespace sluice::ingest
