// sFlow datagrams and sampled packets built by hand.
#pragma once

#include <string>
#include <vector>

#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest::testing {

inline Wire record(uint64_t format, const Wire& body) {
  Wire w;
  w.u32(format).u32(body.bytes.size());
  return w.raw(body.bytes);
}
inline Wire opaque(const std::vector<uint8_t>& bytes) {
  Wire w;
  return w.u32(bytes.size()).raw(bytes).zeros((4 - bytes.size() % 4) % 4);
}
inline Wire xdr_text(const std::string& s) { return opaque({s.begin(), s.end()}); }
inline Wire address(const std::string& ip) {
  Wire w;
  return w.u32(ip.find(':') == std::string::npos ? 1 : 2).ip(ip);
}
// Format 1 of flow records.
inline Wire raw_header(const std::vector<uint8_t>& header, uint64_t frame_length = 1'000, uint64_t protocol = 1) {
  Wire w;
  w.u32(protocol).u32(frame_length).u32(4).raw(opaque(header).bytes);
  return record(1, w);
}

struct SampleHead {
  uint32_t sequence = 1, source = 7, rate = 512, pool = 5'120, drops = 0, input = 7, output = 9;
};
inline Wire joined(const std::vector<Wire>& parts) {
  Wire w;
  for (const Wire& part : parts) w.raw(part.bytes);
  return w;
}
inline Wire flow_sample(const std::vector<Wire>& records, const SampleHead& h = {}) {
  Wire w;
  w.u32(h.sequence).u32(h.source).u32(h.rate).u32(h.pool).u32(h.drops).u32(h.input).u32(h.output).u32(records.size());
  return record(1, w.raw(joined(records).bytes));
}
inline Wire expanded_sample(const std::vector<Wire>& records, uint32_t in_format, uint32_t in, uint32_t out_format, uint32_t out, const SampleHead& h = {}) {
  Wire w;
  w.u32(h.sequence).u32(0).u32(h.source).u32(h.rate).u32(h.pool).u32(h.drops).u32(in_format).u32(in).u32(out_format).u32(out).u32(records.size());
  return record(3, w.raw(joined(records).bytes));
}
inline Wire discard_sample(const std::vector<Wire>& records, uint32_t reason, const SampleHead& h = {}) {
  Wire w;
  w.u32(h.sequence).u32(0).u32(h.source).u32(h.drops).u32(h.input).u32(h.output).u32(reason).u32(records.size());
  return record(5, w.raw(joined(records).bytes));
}
struct DatagramHead {
  std::string agent = "10.9.8.7";
  uint32_t sub_agent = 3, sequence = 100, uptime = 1'000'000;
};
inline std::vector<uint8_t> datagram(const std::vector<Wire>& samples, const DatagramHead& h = {}) {
  Wire w;
  w.u32(5).raw(address(h.agent).bytes).u32(h.sub_agent).u32(h.sequence).u32(h.uptime).u32(samples.size());
  return w.raw(joined(samples).bytes).bytes;
}

// Layers of packets, outermost first: ethernet(0x0800) + ipv4(…) + tcp(…).
inline Wire operator+(Wire a, const Wire& b) { return a.raw(b.bytes); }
inline Wire ethernet(uint64_t type, uint64_t dst = 0x0200'0000'0002, uint64_t src = 0x0200'0000'0001) {
  Wire w;
  return w.number(dst, 6).number(src, 6).u16(type);
}
inline Wire tag(uint64_t vlan, uint64_t type) {
  Wire w;
  return w.u16(vlan).u16(type);
}
inline Wire ipv4(const std::string& src, const std::string& dst, uint64_t protocol, uint64_t fragment = 0, uint64_t options = 0, uint64_t total = 0) {
  Wire w;
  return w.u8(0x45 + options / 4).u8(0x2e).u16(total).u16(1).u16(fragment).u8(64).u8(protocol).u16(0).ip(src).ip(dst).zeros(options);
}
inline Wire ipv6(const std::string& src, const std::string& dst, uint64_t next) {
  Wire w;
  return w.u32(0x6000'0000 | 0x2e << 20).u16(0).u8(next).u8(64).ip(src).ip(dst);
}
inline Wire tcp(uint64_t src, uint64_t dst, uint64_t flags = 0x12) {
  Wire w;
  return w.u16(src).u16(dst).u32(1).u32(2).u16(0x5000 | flags).u16(100).u32(0);
}
inline Wire udp(uint64_t src, uint64_t dst) {
  Wire w;
  return w.u16(src).u16(dst).u16(0).u16(0);
}

}  // namespace sluice::ingest::testing
