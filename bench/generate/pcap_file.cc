#include "bench/generate/pcap_file.h"

#include <algorithm>
#include <cstring>

namespace sluice::generate {
namespace {

constexpr size_t kFileHeader = 24, kPacketHeader = 16, kEthernet = 14, kIpv4 = 20, kUdpHeader = 8;
constexpr size_t kHeaders = kEthernet + kIpv4 + kUdpHeader;

void put16(uint8_t* at, uint32_t v) {
  at[0] = static_cast<uint8_t>(v >> 8);
  at[1] = static_cast<uint8_t>(v);
}
void put32(uint8_t* at, uint32_t v) {
  put16(at, v >> 16);
  put16(at + 2, v & 0xffff);
}
uint32_t get16(const uint8_t* at) { return uint32_t{at[0]} << 8 | at[1]; }
// Little-endian whatever the machine, as the magic number then says.
void put32_file(uint8_t* at, uint32_t v) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<uint8_t>(v >> (8 * i));
}

uint32_t sum16(std::span<const uint8_t> bytes, uint32_t sum) {
  size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += get16(bytes.data() + i);
  if (i < bytes.size()) sum += uint32_t{bytes[i]} << 8;
  return sum;
}
uint16_t fold(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace

Result<PcapFile> PcapFile::create(const std::string& path, IpAddress from, uint16_t from_port, IpAddress to, uint16_t to_port) {
  PcapFile pcap;
  SLUICE_ASSIGN(pcap.file_, OutputFile::create(path));
  pcap.from_ = from.v4_value();
  pcap.to_ = to.v4_value();
  pcap.from_port_ = from_port;
  pcap.to_port_ = to_port;
  uint8_t header[kFileHeader] = {};
  put32_file(header, 0xa1b2c3d4);
  header[4] = 2;  // version 2.4
  header[6] = 4;
  put32_file(header + 16, 65'535);  // longest packet
  put32_file(header + 20, 1);       // Ethernet
  SLUICE_TRY(pcap.file_.write({reinterpret_cast<const char*>(header), sizeof header}));
  return pcap;
}

Status PcapFile::append(const Datagram& datagram) {
  const size_t payload = datagram.payload.size();
  uint8_t head[kPacketHeader + kHeaders] = {};
  put32_file(head, static_cast<uint32_t>(datagram.exported_at / kSecond));
  put32_file(head + 4, static_cast<uint32_t>(datagram.exported_at % kSecond / kMicrosecond));
  put32_file(head + 8, static_cast<uint32_t>(kHeaders + payload));
  put32_file(head + 12, static_cast<uint32_t>(kHeaders + payload));

  uint8_t* ethernet = head + kPacketHeader;
  constexpr uint8_t kMacs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};  // locally administered
  std::memcpy(ethernet, kMacs, 12);
  put16(ethernet + 12, 0x0800);

  uint8_t* ip = ethernet + kEthernet;
  ip[0] = 0x45;
  put16(ip + 2, static_cast<uint32_t>(kIpv4 + kUdpHeader + payload));
  put16(ip + 4, identification_++);
  ip[8] = 64;
  ip[9] = kUdp;
  put32(ip + 12, from_);
  put32(ip + 16, to_);
  put16(ip + 10, fold(sum16({ip, kIpv4}, 0)));

  uint8_t* udp = ip + kIpv4;
  put16(udp, from_port_);
  put16(udp + 2, to_port_);
  put16(udp + 4, static_cast<uint32_t>(kUdpHeader + payload));
  uint32_t sum = sum16({ip + 12, 8}, kUdp + static_cast<uint32_t>(kUdpHeader + payload));
  sum = sum16({udp, kUdpHeader}, sum);
  const uint16_t checksum = fold(sum16(datagram.payload, sum));
  put16(udp + 6, checksum == 0 ? 0xffff : checksum);

  SLUICE_TRY(file_.write({reinterpret_cast<const char*>(head), sizeof head}));
  return file_.write({reinterpret_cast<const char*>(datagram.payload.data()), payload});
}

Result<PcapReader> PcapReader::open(std::span<const uint8_t> bytes) {
  if (bytes.size() < kFileHeader) return Error{ErrorCode::corrupt, "not a pcap file: too short"};
  uint32_t magic, link;
  std::memcpy(&magic, bytes.data(), 4);
  std::memcpy(&link, bytes.data() + 20, 4);
  PcapReader reader;
  reader.swapped_ = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
  if (reader.swapped_) magic = __builtin_bswap32(magic), link = __builtin_bswap32(link);
  if (magic != 0xa1b2c3d4 && magic != 0xa1b23c4d) return Error{ErrorCode::corrupt, "not a pcap file: magic " + std::to_string(magic)};
  if (link != 1) return Error{ErrorCode::unsupported, "a pcap file of another link type than Ethernet: " + std::to_string(link)};
  reader.nanoseconds_ = magic == 0xa1b23c4d;
  reader.rest_ = bytes.subspan(kFileHeader);
  return reader;
}

Result<bool> PcapReader::next(Datagram& datagram) {
  while (!rest_.empty()) {
    if (rest_.size() < kPacketHeader) return Error{ErrorCode::corrupt, "a pcap file breaks off in a packet header"};
    uint32_t words[4];
    std::memcpy(words, rest_.data(), sizeof words);
    if (swapped_)
      for (uint32_t& w : words) w = __builtin_bswap32(w);
    if (words[2] > rest_.size() - kPacketHeader) return Error{ErrorCode::corrupt, "a pcap file breaks off in a packet"};
    const std::span<const uint8_t> frame = rest_.subspan(kPacketHeader, words[2]);
    rest_ = rest_.subspan(kPacketHeader + words[2]);
    if (frame.size() < kHeaders || get16(frame.data() + 12) != 0x0800) continue;
    const uint8_t* ip = frame.data() + kEthernet;
    const size_t ip_header = size_t{4} * (ip[0] & 15);
    if (ip[0] >> 4 != 4 || ip_header < kIpv4 || ip[9] != kUdp || frame.size() < kEthernet + ip_header + kUdpHeader) continue;
    const uint8_t* udp = ip + ip_header;
    const size_t length = get16(udp + 4);
    const size_t left = frame.size() - kEthernet - ip_header;
    if (length < kUdpHeader || length > left) continue;
    datagram.exported_at = TimestampNs{words[0]} * kSecond + TimestampNs{words[1]} * (nanoseconds_ ? 1 : kMicrosecond);
    datagram.payload = {udp + kUdpHeader, length - kUdpHeader};
    // NetFlow v5 says how many flows it has; others are counted by who made them.
    datagram.flows = datagram.payload.size() >= 4 && get16(datagram.payload.data()) == 5 ? get16(datagram.payload.data() + 2) : 0;
    return true;
  }
  return false;
}

}  // namespace sluice::generate
