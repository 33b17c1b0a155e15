// Captures: pcap and pcapng files, read in place, down to the UDP payloads in them.
//
// pcap: draft-ietf-opsawg-pcap, micro- and nanoseconds, either byte order. pcapng: draft-ietf-opsawg-pcapng, sections of either
// byte order, enhanced, simple and (old) packet blocks, if_tsresol and if_tsoffset. Link types: null and loop, Ethernet with
// VLAN tags, raw IP, Linux cooked v1 and v2. IPv4 and IPv6 with extension headers. Files are hostile input like any other.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "storage/model/ip.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

struct CapturedDatagram {
  uint64_t packet = 0;              // 1-based number in the file
  std::optional<TimestampNs> time;  // absent in simple packet blocks, or when it makes no sense
  IpAddress source, destination;
  uint16_t source_port = 0, destination_port = 0;
  std::span<const uint8_t> payload;  // points into the file
};

struct CaptureCounts {
  uint64_t packets = 0;    // all in the file
  uint64_t datagrams = 0;  // whole UDP datagrams
  uint64_t snapped = 0;    // UDP cut short by the capture's snap length
  uint64_t fragments = 0;  // IP fragments, which are not put together
  uint64_t other = 0;      // not UDP over IP, or a link type that is not known
  uint64_t broken = 0;     // packets of pcapng whose block does not hold together, or that name an interface that was not described
  bool truncated = false;  // the file ends inside a packet or block
};

bool is_pcap(std::span<const uint8_t> file);
bool is_pcapng(std::span<const uint8_t> file);

// Hands over each UDP datagram, in the file's order. Fails for a file that is neither, where nobody can tell where the next block begins
// (what came before was handed over), and with what `sink` fails with. A file that just ends early is read as far as it goes.
Status read_capture(std::span<const uint8_t> file, const std::function<Status(const CapturedDatagram&)>& sink, CaptureCounts& counts);

}  // namespace sluice::ingest
