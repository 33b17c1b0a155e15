#include "bench/generate/packet.h"

#include <algorithm>
#include <cstring>

namespace sluice::generate {
namespace {

constexpr size_t kV5Header = 24, kV5Record = 48, kV5Max = 30;
constexpr size_t kV9Header = 20, kIpfixHeader = 16;
constexpr uint16_t kTemplateV4 = 256, kTemplateV6 = 257, kTemplateSampling = 258;

class Writer {
 public:
  Writer(uint8_t* at) : at_(at), begin_(at) {}
  void u8(uint64_t v) { *at_++ = static_cast<uint8_t>(v); }
  void u16(uint64_t v) {
    u8(v >> 8);
    u8(v);
  }
  void u32(uint64_t v) {
    const uint32_t x = __builtin_bswap32(static_cast<uint32_t>(v));
    std::memcpy(at_, &x, 4);
    at_ += 4;
  }
  void u64(uint64_t v) {
    const uint64_t x = __builtin_bswap64(v);
    std::memcpy(at_, &x, 8);
    at_ += 8;
  }
  void bytes(const void* from, size_t n) {
    std::memcpy(at_, from, n);
    at_ += n;
  }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  uint8_t* at_;
  uint8_t* begin_;
};

struct Element {
  uint16_t id, length;
};

// Shared by v9 and IPFIX, which took v9's numbers over; times and the sampler differ. The order is that of put_record().
constexpr Element kAddressesV4[] = {{8, 4}, {12, 4}};
constexpr Element kAddressesV6[] = {{27, 16}, {28, 16}};
constexpr Element kCommon[] = {
    {7, 2},   // sourceTransportPort
    {11, 2},  // destinationTransportPort
    {4, 1},   // protocolIdentifier
    {6, 1},   // tcpControlBits
    {5, 1},   // ipClassOfService
    {10, 4},  // ingressInterface
    {14, 4},  // egressInterface
    {16, 4},  // bgpSourceAsNumber
    {17, 4},  // bgpDestinationAsNumber
    {1, 8},   // octetDeltaCount
    {2, 8},   // packetDeltaCount
};
constexpr Element kIcmpV4{32, 2}, kIcmpV6{139, 2};                   // icmpTypeCode
constexpr Element kTimesV9[] = {{22, 4}, {21, 4}};                   // FIRST_SWITCHED, LAST_SWITCHED
constexpr Element kTimesIpfix[] = {{152, 8}, {153, 8}};              // flowStart/EndMilliseconds
constexpr Element kSamplerV9{48, 1};                                 // FLOW_SAMPLER_ID
constexpr Element kSelectorIpfix{302, 8};                            // selectorId
constexpr size_t kBiggestRecord = 32 + 39 + 2 + 16 + 8;

std::vector<Element> template_of(PacketFormat format, bool v6, bool sampled) {
  std::vector<Element> elements;
  const auto append = [&](const auto& list) { elements.insert(elements.end(), std::begin(list), std::end(list)); };
  if (v6) append(kAddressesV6); else append(kAddressesV4);
  append(kCommon);
  elements.push_back(v6 ? kIcmpV6 : kIcmpV4);
  if (format == PacketFormat::ipfix) append(kTimesIpfix); else append(kTimesV9);
  if (sampled) elements.push_back(format == PacketFormat::ipfix ? kSelectorIpfix : kSamplerV9);
  return elements;
}

uint64_t milliseconds(TimestampNs t) { return static_cast<uint64_t>(t / kMillisecond); }

}  // namespace

std::string_view to_string(PacketFormat format) {
  switch (format) {
    case PacketFormat::netflow5: return "netflow5";
    case PacketFormat::netflow9: return "netflow9";
    case PacketFormat::ipfix: return "ipfix";
  }
  return "?";
}

uint16_t collector_port(PacketFormat format) { return format == PacketFormat::ipfix ? 4739 : 2055; }

Packetizer::Packetizer(PacketFormat format, const Router& router, TimestampNs booted_at, DatagramSink sink)
    : format_(format), router_(router), booted_at_(booted_at), sink_(std::move(sink)) {}

Status Packetizer::add(const Flow& flow) {
  const bool relative_times = format_ != PacketFormat::ipfix;
  if (flow.start > flow.end) return Error{ErrorCode::invalid_argument, "a flow ends before it starts: " + format_timestamp(flow.start)};
  if (relative_times && (flow.start < booted_at_ || flow.end - booted_at_ > TimestampNs{UINT32_MAX} * kMillisecond))
    return Error{ErrorCode::invalid_argument, "a flow lies outside the router's uptime: " + format_timestamp(flow.start)};
  // A packet leaves when it is full, or when its first flow has waited long enough.
  if (flows_ > 0 && flow.end - first_end_ > kPacketLinger) SLUICE_TRY(send());
  return format_ == PacketFormat::netflow5 ? add_v5(flow) : add_templated(flow);
}

Status Packetizer::add_v5(const Flow& flow) {
  if (!flow.src.is_v4() || !flow.dst.is_v4()) return Error{ErrorCode::invalid_argument, "NetFlow v5 cannot say IPv6: " + to_string(flow.src)};
  if (flow.bytes > UINT32_MAX || flow.packets > UINT32_MAX)
    return Error{ErrorCode::invalid_argument, "NetFlow v5 counts to 2^32: " + std::to_string(flow.bytes)};
  begin_packet();
  Writer w(packet_.data() + used_);
  w.u32(flow.src.v4_value());
  w.u32(flow.dst.v4_value());
  w.u32(0);  // next hop
  w.u16(flow.input_if);
  w.u16(flow.output_if);
  w.u32(flow.packets);
  w.u32(flow.bytes);
  w.u32(milliseconds(flow.start - booted_at_));
  w.u32(milliseconds(flow.end - booted_at_));
  w.u16(flow.src_port);
  w.u16(flow.dst_port);
  w.u8(0);
  w.u8(flow.tcp_flags);
  w.u8(flow.protocol);
  w.u8(flow.tos);
  w.u16(flow.src_as > UINT16_MAX ? 23'456 : flow.src_as);  // AS_TRANS, RFC 6793
  w.u16(flow.dst_as > UINT16_MAX ? 23'456 : flow.dst_as);
  w.u8(0);
  w.u8(0);
  w.u16(0);
  used_ += w.size();
  if (flows_++ == 0) first_end_ = flow.end;
  last_end_ = std::max(last_end_, flow.end);
  return flows_ == kV5Max ? send() : Status{};
}

Status Packetizer::add_templated(const Flow& flow) {
  if (flow.src.is_v4() != flow.dst.is_v4()) return Error{ErrorCode::invalid_argument, "a flow between IPv4 and IPv6: " + to_string(flow.src)};
  // Padding of a set (3) and the header of a new one (4) must fit too.
  if (used_ > 0 && used_ + kBiggestRecord + 7 > kPacketMax) SLUICE_TRY(send());
  last_end_ = std::max(last_end_, flow.end);
  begin_packet();
  const bool v4 = flow.src.is_v4();
  const uint16_t id = v4 ? kTemplateV4 : kTemplateV6;
  if (set_at_ == 0 || set_id_ != id) {
    close_set();
    set_at_ = used_;
    set_id_ = id;
    used_ += 4;
  }
  Writer w(packet_.data() + used_);
  if (v4) {
    w.u32(flow.src.v4_value());
    w.u32(flow.dst.v4_value());
  } else {
    w.bytes(flow.src.bytes.data(), 16);
    w.bytes(flow.dst.bytes.data(), 16);
  }
  const bool icmp = flow.protocol == kIcmp || flow.protocol == kIcmp6;
  w.u16(flow.src_port);
  w.u16(icmp ? 0 : flow.dst_port);
  w.u8(flow.protocol);
  w.u8(flow.tcp_flags);
  w.u8(flow.tos);
  w.u32(flow.input_if);
  w.u32(flow.output_if);
  w.u32(flow.src_as);
  w.u32(flow.dst_as);
  w.u64(flow.bytes);
  w.u64(flow.packets);
  w.u16(icmp ? flow.dst_port : 0);
  if (format_ == PacketFormat::ipfix) {
    w.u64(milliseconds(flow.start));
    w.u64(milliseconds(flow.end));
    if (router_.sampling > 1) w.u64(1);
  } else {
    w.u32(milliseconds(flow.start - booted_at_));
    w.u32(milliseconds(flow.end - booted_at_));
    if (router_.sampling > 1) w.u8(1);
  }
  used_ += w.size();
  if (flows_++ == 0) first_end_ = flow.end;
  ++records_;
  ++data_records_;
  return {};
}

void Packetizer::begin_packet() {
  if (used_ > 0) return;
  switch (format_) {
    case PacketFormat::netflow5: used_ = kV5Header; return;
    case PacketFormat::netflow9: used_ = kV9Header; break;
    case PacketFormat::ipfix: used_ = kIpfixHeader; break;
  }
  if (packets_since_templates_ >= kTemplateInterval || last_end_ - templates_at_ > 5 * kMinute) put_templates();
}

void Packetizer::close_set() {
  if (set_at_ == 0) return;
  while ((used_ - set_at_) % 4 != 0) packet_[used_++] = 0;
  Writer w(packet_.data() + set_at_);
  w.u16(set_id_);
  w.u16(used_ - set_at_);
  set_at_ = 0;
}

// The two data templates in one set, and for a sampling router the options template with its one record.
void Packetizer::put_templates() {
  const bool ipfix = format_ == PacketFormat::ipfix;
  const bool sampled = router_.sampling > 1;
  packets_since_templates_ = 0;
  templates_at_ = last_end_;

  set_at_ = used_;
  set_id_ = ipfix ? 2 : 0;
  used_ += 4;
  for (const bool v6 : {false, true}) {
    const std::vector<Element> elements = template_of(format_, v6, sampled);
    Writer w(packet_.data() + used_);
    w.u16(v6 ? kTemplateV6 : kTemplateV4);
    w.u16(elements.size());
    for (const Element& e : elements) {
      w.u16(e.id);
      w.u16(e.length);
    }
    used_ += w.size();
    ++records_;
  }
  close_set();
  if (!sampled) return;

  set_at_ = used_;
  set_id_ = ipfix ? 3 : 1;
  used_ += 4;
  Writer w(packet_.data() + used_);
  w.u16(kTemplateSampling);
  if (ipfix) {
    w.u16(4);  // fields
    w.u16(1);  // of them scope
    for (const Element& e : {Element{302, 8}, Element{304, 2}, Element{305, 4}, Element{306, 4}}) {
      w.u16(e.id);
      w.u16(e.length);
    }
  } else {
    w.u16(4);   // bytes of scope fields
    w.u16(12);  // bytes of option fields
    w.u16(1);   // scope: system
    w.u16(4);
    for (const Element& e : {Element{48, 1}, Element{49, 1}, Element{50, 4}}) {
      w.u16(e.id);
      w.u16(e.length);
    }
  }
  used_ += w.size();
  ++records_;
  close_set();

  set_at_ = used_;
  set_id_ = kTemplateSampling;
  used_ += 4;
  Writer d(packet_.data() + used_);
  if (ipfix) {
    d.u64(1);                    // selectorId
    d.u16(1);                    // selectorAlgorithm: systematic count-based
    d.u32(1);                    // samplingPacketInterval: packets taken in a row
    d.u32(router_.sampling - 1); // samplingPacketSpace: packets left out between
  } else {
    d.u32(router_.domain);  // the system
    d.u8(1);                // FLOW_SAMPLER_ID
    d.u8(1);                // FLOW_SAMPLER_MODE: deterministic
    d.u32(router_.sampling);
  }
  used_ += d.size();
  ++records_;
  ++data_records_;
  close_set();
}

Status Packetizer::send() {
  if (flows_ == 0) return {};
  close_set();
  ++packets_since_templates_;
  // Exported when its last flow was over; routers stamp whole packets.
  // v9 says whole seconds: it leaves on one, so that flow times come out exactly.
  TimestampNs exported_at = last_end_ + kMillisecond;
  if (format_ == PacketFormat::netflow9) exported_at = (exported_at + kSecond - 1) / kSecond * kSecond;
  Writer w(packet_.data());
  const uint64_t seconds = static_cast<uint64_t>(exported_at / kSecond);
  switch (format_) {
    case PacketFormat::netflow5: {
      w.u16(5);
      w.u16(flows_);
      w.u32(milliseconds(exported_at - booted_at_));
      w.u32(seconds);
      w.u32(static_cast<uint64_t>(exported_at % kSecond));
      w.u32(sequence_);
      w.u8(0);
      w.u8(router_.domain);
      w.u16(router_.sampling > 1 ? 1u << 14 | (router_.sampling & 0x3fff) : 0);  // mode 1: deterministic
      sequence_ += flows_;
      break;
    }
    case PacketFormat::netflow9:
      w.u16(9);
      w.u16(records_);
      w.u32(milliseconds(exported_at - booted_at_));
      w.u32(seconds);
      w.u32(sequence_);
      w.u32(router_.domain);
      sequence_ += 1;
      break;
    case PacketFormat::ipfix:
      w.u16(10);
      w.u16(used_);
      w.u32(seconds);
      w.u32(sequence_);
      w.u32(router_.domain);
      sequence_ += data_records_;
      break;
  }
  const Datagram datagram{exported_at, std::span<const uint8_t>(packet_.data(), used_), flows_};
  totals_.flows += flows_;
  totals_.packets += 1;
  totals_.bytes += used_;
  used_ = 0;
  records_ = data_records_ = flows_ = 0;
  return sink_(datagram);
}

Status Packetizer::flush() { return send(); }

}  // namespace sluice::generate
