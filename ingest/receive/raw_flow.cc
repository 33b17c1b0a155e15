#include "ingest/receive/raw_flow.h"

#include "ingest/receive/protobuf.h"

namespace sluice::ingest {
namespace {

Error no_raw_flow(std::string_view why) { return {ErrorCode::parse, "not a RawFlow message: " + std::string(why)}; }

const uint8_t* message_bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace

Result<RawFlow> parse_raw_flow(std::string_view message) {
  RawFlow out;
  bool has_payload = false;
  ProtobufReader reader(message);
  ProtobufField field;
  while (reader.next(field)) {
    // Akvorado writes seconds; finer units of other writers are told by their size.
    if (field.number == 1 && !field.is_bytes && field.value > 0 && field.value <= static_cast<uint64_t>(kTimestampMax)) {
      out.received_at = static_cast<TimestampNs>(field.value);
      for (const DurationNs unit : {kSecond, kMillisecond, kMicrosecond})
        if (static_cast<TimestampNs>(field.value) <= kTimestampMax / unit) {
          out.received_at = static_cast<TimestampNs>(field.value) * unit;
          break;
        }
    }
    if (field.number == 2 && field.is_bytes) {
      out.payload = field.bytes;
      has_payload = true;
    }
    if (field.number == 3 && field.is_bytes && !field.bytes.empty()) {
      if (field.bytes.size() == 4) out.sender = IpAddress::v4_bytes(message_bytes_of(field.bytes));
      else if (field.bytes.size() == 16) out.sender = IpAddress::v6_bytes(message_bytes_of(field.bytes));
      else return no_raw_flow("its source address has neither 4 nor 16 bytes");
    }
  }
  if (!reader.fault().empty()) return no_raw_flow(reader.fault());
  if (!has_payload) return no_raw_flow("it has no payload");
  return out;
}

std::optional<IpAddress> parse_sender(std::string_view text) {
  if (const auto ip = parse_ip(text)) return ip;
  // "192.0.2.1:4711", "[2001:db8::1]:4711"
  if (text.starts_with('[')) {
    if (const size_t end = text.find(']'); end != std::string_view::npos) return parse_ip(text.substr(1, end - 1));
    return std::nullopt;
  }
  if (const size_t colon = text.find(':'); colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos)
    if (const auto ip = parse_ip(text.substr(0, colon))) return ip;
  if (text.size() == 4) return IpAddress::v4_bytes(message_bytes_of(text));
  if (text.size() == 16) return IpAddress::v6_bytes(message_bytes_of(text));
  return std::nullopt;
}

}  // namespace sluice::ingest
