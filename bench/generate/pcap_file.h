// Capture files of export packets: classic pcap (microseconds, Ethernet), with correct IPv4 and UDP headers and checksums.
// Format: draft-ietf-opsawg-pcap; RFC 791, RFC 768. Not thread safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "bench/generate/output_file.h"
#include "bench/generate/packet.h"
#include "storage/model/ip.h"

namespace sluice::generate {

class PcapFile {
 public:
  // REQUIRES: both addresses are IPv4
  static Result<PcapFile> create(const std::string& path, IpAddress from, uint16_t from_port, IpAddress to, uint16_t to_port);
  Status append(const Datagram& datagram);
  Status finish() { return file_.finish(); }

 private:
  OutputFile file_;
  uint32_t from_ = 0, to_ = 0;
  uint16_t from_port_ = 0, to_port_ = 0;
  uint16_t identification_ = 0;
};

// Reads the UDP payloads of a capture that PcapFile wrote (or any classic pcap of Ethernet and IPv4, without VLAN tags);
// other packets are passed over.
class PcapReader {
 public:
  // `bytes` is the whole file and must outlive the reader.
  static Result<PcapReader> open(std::span<const uint8_t> bytes);
  // False at the end. corrupt where the file breaks off.
  Result<bool> next(Datagram& datagram);

 private:
  std::span<const uint8_t> rest_;
  bool swapped_ = false;
  bool nanoseconds_ = false;
};

}  // namespace sluice::generate
