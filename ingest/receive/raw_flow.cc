#include "ingest/receive/raw_flow.h"

#include <algorithm>
#include <charconv>

namespace sluice::ingest {
namespace {

Error bad(std::string_view why) { return {ErrorCode::parse, "not a RawFlow message: " + std::string(why)}; }

// Base 128, least significant first; nullopt when it is cut off or longer than 64 bits.
std::optional<uint64_t> take_varint(std::string_view& rest) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace

Result<RawFlow> parse_raw_flow(std::string_view message) {
  RawFlow out;
  bool has_payload = false;
  std::string_view rest = message;
  while (!rest.empty()) {
    const auto tag = take_varint(rest);
    if (!tag || *tag >> 3 == 0) return bad("a field has no number");
    switch (*tag & 7) {
      case 0: {
        const auto value = take_varint(rest);
        if (!value) return bad("a number is cut off");
        // Akvorado writes seconds; finer units of other writers are told by their size.
        if (*tag >> 3 == 1 && *value > 0 && *value <= static_cast<uint64_t>(kTimestampMax)) {
          out.received_at = static_cast<TimestampNs>(*value);
          for (const DurationNs unit : {kSecond, kMillisecond, kMicrosecond})
            if (static_cast<TimestampNs>(*value) <= kTimestampMax / unit) {
              out.received_at = static_cast<TimestampNs>(*value) * unit;
              break;
            }
        }
        break;
      }
      case 1:
        if (rest.size() < 8) return bad("a number is cut off");
        rest.remove_prefix(8);
        break;
      case 5:
        if (rest.size() < 4) return bad("a number is cut off");
        rest.remove_prefix(4);
        break;
      case 2: {
        const auto length = take_varint(rest);
        if (!length || *length > rest.size()) return bad("a text is cut off");
        const std::string_view value = rest.substr(0, static_cast<size_t>(*length));
        rest.remove_prefix(value.size());
        if (*tag >> 3 == 2) {
          out.payload = value;
          has_payload = true;
        } else if (*tag >> 3 == 3 && !value.empty()) {
          if (value.size() == 4) out.sender = IpAddress::v4_bytes(bytes_of(value));
          else if (value.size() == 16) out.sender = IpAddress::v6_bytes(bytes_of(value));
          else return bad("its source address has neither 4 nor 16 bytes");
        }
        break;
      }
      default: return bad("a field has a type that is none");
    }
  }
  if (!has_payload) return bad("it has no payload");
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
  if (text.size() == 4) return IpAddress::v4_bytes(bytes_of(text));
  if (text.size() == 16) return IpAddress::v6_bytes(bytes_of(text));
  return std::nullopt;
}

}  // namespace sluice::ingest
