#include "ingest/source/pcap.h"

#include <algorithm>
#include <string>
#include <vector>

namespace sluice::ingest {
namespace {

using Bytes = std::span<const uint8_t>;

// Interfaces of one section; a real capture has a handful. Beyond: not kept, and their packets are broken.
constexpr size_t kInterfacesMax = 4'096;
constexpr uint32_t kNoLink = UINT32_MAX;  // no link type that there is
// Capture times beyond this are not times.
constexpr TimestampNs kLatestTime = 7'258'118'400 * kSecond;  // the year 2200

uint32_t read(Bytes b, size_t at, size_t bytes, bool little) {
  uint32_t v = 0;
  for (size_t i = 0; i < bytes; ++i) v |= static_cast<uint32_t>(b[at + i]) << (8 * (little ? i : bytes - 1 - i));
  return v;
}
uint32_t net16(Bytes b, size_t at) { return read(b, at, 2, false); }
uint32_t net32(Bytes b, size_t at) { return read(b, at, 4, false); }

enum class Dissected { datagram, snapped, fragment, other };

Dissected udp(Bytes b, bool cut, CapturedDatagram& d) {
  if (b.size() < 8) return cut ? Dissected::snapped : Dissected::other;
  d.source_port = static_cast<uint16_t>(net16(b, 0));
  d.destination_port = static_cast<uint16_t>(net16(b, 2));
  const size_t length = net16(b, 4);
  Bytes payload = b.subspan(8);
  if (length != 0) {  // 0 is a jumbogram: all there is
    if (length < 8) return Dissected::other;
    if (length - 8 > payload.size()) return cut ? Dissected::snapped : Dissected::other;
    payload = payload.first(length - 8);
  }
  d.payload = payload;
  return Dissected::datagram;
}

Dissected ipv4(Bytes b, bool cut, CapturedDatagram& d) {
  if (b.size() < 20) return cut ? Dissected::snapped : Dissected::other;
  const size_t header = (b[0] & 15) * size_t{4};
  const size_t total = net16(b, 2);
  if (header < 20 || b[9] != 17) return Dissected::other;
  if ((net16(b, 6) & 0x3fff) != 0) return Dissected::fragment;  // offset, or more to come
  if (header > b.size()) return cut ? Dissected::snapped : Dissected::other;
  d.source = IpAddress::v4_bytes(b.data() + 12);
  d.destination = IpAddress::v4_bytes(b.data() + 16);
  // The link may pad; 0 is what offloading network cards leave behind.
  if (total != 0 && total >= header && total < b.size()) b = b.first(total);
  return udp(b.subspan(header), cut, d);
}

Dissected ipv6(Bytes b, bool cut, CapturedDatagram& d) {
  if (b.size() < 40) return cut ? Dissected::snapped : Dissected::other;
  const size_t payload = net16(b, 4);
  uint8_t next = b[6];
  d.source = IpAddress::v6_bytes(b.data() + 8);
  d.destination = IpAddress::v6_bytes(b.data() + 24);
  b = b.subspan(40);
  if (payload != 0 && payload < b.size()) b = b.first(payload);
  for (int headers = 0; headers < 8; ++headers) {
    if (next == 17) return udp(b, cut, d);
    if (next != 0 && next != 43 && next != 44 && next != 60) return Dissected::other;
    if (b.size() < 8) return cut ? Dissected::snapped : Dissected::other;
    if (next == 44 && (net16(b, 2) & 0xfff9) != 0) return Dissected::fragment;
    const size_t length = next == 44 ? 8 : (b[1] + size_t{1}) * 8;
    if (length > b.size()) return cut ? Dissected::snapped : Dissected::other;
    next = b[0];
    b = b.subspan(length);
  }
  return Dissected::other;
}

Dissected ip(Bytes b, bool cut, CapturedDatagram& d) {
  if (b.empty()) return cut ? Dissected::snapped : Dissected::other;
  if (b[0] >> 4 == 4) return ipv4(b, cut, d);
  if (b[0] >> 4 == 6) return ipv6(b, cut, d);
  return Dissected::other;
}

Dissected ethertype(uint32_t type, Bytes b, bool cut, CapturedDatagram& d) {
  for (int tags = 0; tags < 8 && (type == 0x8100 || type == 0x88a8 || type == 0x9100); ++tags) {
    if (b.size() < 4) return cut ? Dissected::snapped : Dissected::other;
    type = net16(b, 2);
    b = b.subspan(4);
  }
  return type == 0x0800 || type == 0x86dd ? ip(b, cut, d) : Dissected::other;
}

Dissected dissect(uint32_t link, Bytes b, bool cut, CapturedDatagram& d) {
  auto need = [&](size_t n) { return b.size() >= n; };
  const Dissected too_short = cut ? Dissected::snapped : Dissected::other;
  switch (link) {
    case 0:     // BSD loopback: a family in the capturing host's byte order; the IP version says the same
    case 108:   // OpenBSD loopback
      return need(4) ? ip(b.subspan(4), cut, d) : too_short;
    case 1:  // Ethernet
      return need(14) ? ethertype(net16(b, 12), b.subspan(14), cut, d) : too_short;
    case 12:
    case 14:
    case 101:  // raw IP, under the numbers that systems gave it
    case 228:
    case 229: return ip(b, cut, d);
    case 113:  // Linux cooked
      return need(16) ? ethertype(net16(b, 14), b.subspan(16), cut, d) : too_short;
    case 276:  // Linux cooked v2
      return need(20) ? ethertype(net16(b, 0), b.subspan(20), cut, d) : too_short;
    default: return Dissected::other;
  }
}

class CaptureReader {
 public:
  CaptureReader(const std::function<Status(const CapturedDatagram&)>& sink, CaptureCounts& counts) : sink_(sink), counts_(counts) {}

  Status packet(uint32_t link, std::optional<TimestampNs> time, Bytes data, size_t original) {
    CapturedDatagram d;
    d.packet = ++counts_.packets;
    if (time && *time > 0 && *time < kLatestTime) d.time = time;
    switch (dissect(link, data, original > data.size(), d)) {
      case Dissected::datagram: ++counts_.datagrams; return sink_(d);
      case Dissected::snapped: ++counts_.snapped; break;
      case Dissected::fragment: ++counts_.fragments; break;
      case Dissected::other: ++counts_.other; break;
    }
    return {};
  }

  Status pcap(Bytes file);
  Status pcapng(Bytes file);

 private:
  const std::function<Status(const CapturedDatagram&)>& sink_;
  CaptureCounts& counts_;
};

Status CaptureReader::pcap(Bytes file) {
  const uint32_t magic = net32(file, 0);
  const bool little = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
  const bool nanoseconds = magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
  if (file.size() < 24) {
    counts_.truncated = true;
    return {};
  }
  const uint32_t link = read(file, 20, 4, little) & 0xffff;  // above: length of a frame check sequence
  file = file.subspan(24);
  while (!file.empty()) {
    if (file.size() < 16) {
      counts_.truncated = true;
      return {};
    }
    const TimestampNs time = static_cast<int64_t>(read(file, 0, 4, little)) * kSecond +
                             static_cast<int64_t>(read(file, 4, 4, little)) * (nanoseconds ? 1 : kMicrosecond);
    const size_t captured = read(file, 8, 4, little), original = read(file, 12, 4, little);
    file = file.subspan(16);
    if (captured > file.size()) {
      counts_.truncated = true;
      return {};
    }
    SLUICE_TRY(packet(link, time, file.first(captured), original));
    file = file.subspan(captured);
  }
  return {};
}

struct Interface {
  uint32_t link = 0;
  uint64_t ticks_per_second = 1'000'000;
  int64_t offset_seconds = 0;

  std::optional<TimestampNs> time(uint32_t high, uint32_t low) const {
    const uint64_t ticks = static_cast<uint64_t>(high) << 32 | low;
    const auto seconds = static_cast<int64_t>(ticks / ticks_per_second);
    const auto fraction = static_cast<int64_t>(static_cast<unsigned __int128>(ticks % ticks_per_second) * kSecond / ticks_per_second);
    if (seconds > kLatestTime / kSecond || offset_seconds > kLatestTime / kSecond || offset_seconds < -kLatestTime / kSecond)
      return std::nullopt;
    return (seconds + offset_seconds) * kSecond + fraction;
  }
};

Interface interface_of(Bytes body, bool little) {
  Interface out;
  out.link = read(body, 0, 2, little);
  body = body.subspan(8);
  while (body.size() >= 4) {
    const uint32_t code = read(body, 0, 2, little);
    const size_t length = read(body, 2, 2, little), padded = (length + 3) & ~size_t{3};
    if (code == 0 || length > body.size() - 4) break;
    if (code == 9 && length >= 1) {
      const uint8_t v = body[4];
      const unsigned exponent = v & 0x7f;
      // Finer than 10^-18 or 2^-63 of a second does not fit; such a clock is taken for microseconds.
      if (v & 0x80) {
        if (exponent < 64) out.ticks_per_second = uint64_t{1} << exponent;
      } else if (exponent <= 18) {
        out.ticks_per_second = 1;
        for (unsigned i = 0; i < exponent; ++i) out.ticks_per_second *= 10;
      }
    }
    if (code == 14 && length >= 8) {
      const uint64_t a = read(body, 4, 4, little), b = read(body, 8, 4, little);
      out.offset_seconds = static_cast<int64_t>(little ? b << 32 | a : a << 32 | b);
    }
    if (padded > body.size() - 4) break;
    body = body.subspan(4 + padded);
  }
  return out;
}

Status CaptureReader::pcapng(Bytes file) {
  bool little = false;
  std::vector<Interface> interfaces;
  while (!file.empty()) {
    if (file.size() < 12) {
      counts_.truncated = true;
      return {};
    }
    const bool section = net32(file, 0) == 0x0a0d0d0a;
    if (section) {
      const uint32_t order = net32(file, 8);
      if (order != 0x1a2b3c4d && order != 0x4d3c2b1a) return Error{ErrorCode::corrupt, "pcapng section without byte order"};
      little = order == 0x4d3c2b1a;
      interfaces.clear();
    }
    const uint32_t type = section ? 0 : read(file, 0, 4, little);
    const size_t length = read(file, 4, 4, little);
    if (length < 12 || length % 4 != 0) return Error{ErrorCode::corrupt, "pcapng block of impossible length: " + std::to_string(length)};
    if (length > file.size()) {
      counts_.truncated = true;
      return {};
    }
    const Bytes body = file.subspan(8, length - 12);
    file = file.subspan(length);
    if (section) continue;
    // A block's length holds whatever is in it, so what is wrong with one costs only its packet.
    auto broken = [&] {
      ++counts_.packets;
      ++counts_.broken;
    };
    switch (type) {
      case 1:  // interface description
        // Packets name it by its place, so one that cannot be read still has its own.
        if (interfaces.size() < kInterfacesMax) interfaces.push_back(body.size() < 8 ? Interface{.link = kNoLink} : interface_of(body, little));
        break;
      case 2:    // packet (obsolete)
      case 6: {  // enhanced packet
        if (body.size() < 20) {
          broken();
          break;
        }
        const size_t which = read(body, 0, type == 2 ? 2 : 4, little);
        const size_t captured = read(body, 12, 4, little), original = read(body, 16, 4, little);
        if (captured > body.size() - 20 || which >= interfaces.size()) {
          broken();
          break;
        }
        const Interface& i = interfaces[which];
        SLUICE_TRY(packet(i.link, i.time(read(body, 4, 4, little), read(body, 8, 4, little)), body.subspan(20, captured), original));
        break;
      }
      case 3: {  // simple packet: of the first interface, without time
        if (body.size() < 4 || interfaces.empty()) {
          broken();
          break;
        }
        const size_t original = read(body, 0, 4, little);
        SLUICE_TRY(packet(interfaces[0].link, std::nullopt, body.subspan(4, std::min(original, body.size() - 4)), original));
        break;
      }
      default: break;  // names, statistics, keys: nothing for us
    }
  }
  return {};
}

}  // namespace

bool is_pcap(Bytes file) {
  if (file.size() < 4) return false;
  const uint32_t magic = net32(file, 0);
  return magic == 0xa1b2c3d4 || magic == 0xd4c3b2a1 || magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
}

bool is_pcapng(Bytes file) { return file.size() >= 4 && net32(file, 0) == 0x0a0d0d0a; }

Status read_capture(Bytes file, const std::function<Status(const CapturedDatagram&)>& sink, CaptureCounts& counts) {
  CaptureReader reader(sink, counts);
  if (is_pcap(file)) return reader.pcap(file);
  if (is_pcapng(file)) return reader.pcapng(file);
  return Error{ErrorCode::invalid_argument, "neither a pcap nor a pcapng file"};
}

}  // namespace sluice::ingest
