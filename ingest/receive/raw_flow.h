// The envelope in which Akvorado's inlet puts a datagram into Kafka: the protocol buffer message RawFlow
// (github.com/akvorado/akvorado, common/pb/rawflow.proto: 1 time_received, 2 payload, 3 source_address, 4 use_source_address,
// 5 decoder), read by its wire format (protobuf.dev/programming-guides/encoding).
//
// Thread rule: functions share nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "storage/model/ip.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

struct RawFlow {
  std::string_view payload;  // within the message
  IpAddress sender{};        // all zero when the message has none
  TimestampNs received_at = 0;  // 0: not said
};

// Fields that are not known are passed over. Errors: parse (not a protocol buffer message, no payload, an address that is neither
// 4 nor 16 bytes).
Result<RawFlow> parse_raw_flow(std::string_view message);

// A sender written as text ("192.0.2.1", "::ffff:192.0.2.1", with or without a port behind it) or as 4 or 16 bytes.
std::optional<IpAddress> parse_sender(std::string_view text);

}  // namespace sluice::ingest
