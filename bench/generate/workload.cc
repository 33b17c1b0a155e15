#include "bench/generate/workload.h"

#include <algorithm>

#include "storage/model/result.h"

namespace sluice::generate {
namespace {

constexpr uint32_t kClients = 16'384;
constexpr uint32_t kServers = 700;
constexpr uint32_t kResolvers = 4;
constexpr size_t kRecent = 1 << 16;

enum Kind : uint8_t { kWebOut, kWebIn, kDns, kDnsOut, kInternal, kMail, kNtp, kSnmp, kPing, kPeer };

constexpr uint32_t ipv4(uint32_t a, uint32_t b, uint32_t c, uint32_t d) { return a << 24 | b << 16 | c << 8 | d; }

uint32_t client_address(uint32_t index) {
  return ipv4(10, 16 + (index & 3), (index >> 6) & 255, 10 + ((index >> 2) & 15) * 15);
}
uint32_t server_address(uint32_t index) { return ipv4(172, 20, 1 + index / 50, 10 + index % 50); }
uint32_t resolver_address(uint32_t index) { return ipv4(172, 20, 0, 53 + index); }

// The first octets that internet addresses of the workload come from: 64 blocks with nothing reserved inside.
constexpr uint8_t kBlocks[64] = {2,  5,   8,   13,  17,  18,  20,  23,  31,  34,  35,  37,  40,  44,  46,  50,
                                 52, 54,  57,  62,  64,  66,  68,  70,  72,  74,  76,  78,  80,  82,  84,  86,
                                 88, 90,  92,  94,  96,  98,  101, 103, 104, 106, 108, 110, 112, 114, 116, 118,
                                 121, 124, 128, 130, 134, 138, 142, 146, 151, 155, 160, 176, 185, 194, 205, 213};

struct Service {
  uint16_t port;
  uint8_t protocol;
  uint8_t weight;  // of 100
};
constexpr Service kInternalServices[] = {{445, kTcp, 24},  {389, kTcp, 12}, {88, kTcp, 8},    {3306, kTcp, 12}, {5432, kTcp, 10},
                                         {8080, kTcp, 14}, {22, kTcp, 6},   {3389, kTcp, 4},  {6379, kTcp, 6},  {9092, kTcp, 4}};
constexpr uint16_t kScanPorts[] = {23, 22, 445, 3389, 80, 443, 8080, 5900, 1433, 3306, 6379, 2323, 5060, 21, 25, 8443};

template <size_t N>
const Service& pick(const Service (&services)[N], Prng& random) {
  uint32_t left = random.below(100);
  for (const Service& s : services) {
    if (left < s.weight) return s;
    left -= s.weight;
  }
  return services[0];
}

uint16_t ephemeral(Prng& random) { return static_cast<uint16_t>(32'768 + random.below(28'232)); }

IpAddress ip(uint32_t address) { return IpAddress::v4(address); }

}  // namespace

uint32_t internet_address(uint32_t index) {
  // Four Feistel rounds over 2 × 15 bits: a permutation of 30 bits, so no address comes twice.
  uint32_t left = (index >> 15) & 0x7fff, right = index & 0x7fff;
  for (uint32_t round = 0; round < 4; ++round) {
    const uint32_t f = static_cast<uint32_t>(mix(right << 3 | round)) & 0x7fff;
    const uint32_t old_right = right;
    right = left ^ f;
    left = old_right;
  }
  return uint32_t{kBlocks[left >> 9]} << 24 | (left & 0x1ff) << 15 | right;
}

uint32_t as_number_of(uint32_t address) {
  const uint32_t first = address >> 24;
  if (first == 10 || first == 172) return 64'512;
  // A few large networks hold most /16 blocks.
  const uint64_t h = mix(address >> 16);
  const uint64_t u = h & 0xffff;
  return 1'000 + static_cast<uint32_t>((((u * u) >> 16) * ((u * u) >> 16)) >> 21);  // 0 .. 2047, crowded at the low end
}

Workload::Workload(const WorkloadOptions& options) : options_(options), random_(options.seed, 0xbe) {
  recent_.reserve(kRecent);
}

Reporters Workload::reporters() {
  Reporters r;
  r.routers.push_back({"border", IpAddress::v4(ipv4(10, 16, 0, 1)), 1, 1, true, true});
  return r;
}

uint32_t Workload::client() { return client_address(random_.ranked(kClients, 4)); }

uint32_t Workload::internet(unsigned per_mille_new, unsigned power) {
  if (random_.chance(per_mille_new, 1000)) return internet_address(known_++);
  return internet_address(random_.ranked(known_, power));
}

void Workload::begin(Conversation& c) {
  const uint32_t dice = random_.below(1000);
  c.client_port = ephemeral(random_);
  c.protocol = kTcp;
  if (dice < 370) {
    c.kind = kWebOut;
    c.client = client();
    c.server = internet(240, 9);
    c.server_port = random_.chance(85, 100) ? 443 : 80;
    if (c.server_port == 443 && random_.chance(12, 100)) c.protocol = kUdp;  // QUIC
  } else if (dice < 540) {
    c.kind = kDns;
    c.client = client();
    c.server = resolver_address(random_.ranked(kResolvers, 2));
    c.server_port = 53;
    c.protocol = kUdp;
  } else if (dice < 580) {
    c.kind = kDnsOut;
    c.client = resolver_address(random_.ranked(kResolvers, 2));
    c.server = internet(20, 7);
    c.server_port = 53;
    c.protocol = kUdp;
  } else if (dice < 790) {
    c.kind = kWebIn;
    c.client = internet(870, 5);
    c.server = server_address(random_.ranked(24, 2));
    c.server_port = random_.chance(90, 100) ? 443 : 80;
  } else if (dice < 930) {
    c.kind = kInternal;
    c.client = client();
    c.server = server_address(random_.ranked(kServers, 4));
    const Service& service = pick(kInternalServices, random_);
    c.server_port = service.port;
    c.protocol = service.protocol;
  } else if (dice < 945) {
    c.kind = kMail;
    c.client = internet(250, 3);
    c.server = server_address(random_.below(3));
    c.server_port = 25;
  } else if (dice < 960) {
    c.kind = kNtp;
    c.client = client();
    c.server = resolver_address(random_.below(2));
    c.client_port = 123;
    c.server_port = 123;
    c.protocol = kUdp;
  } else if (dice < 972) {
    c.kind = kSnmp;
    c.client = server_address(7);
    c.server = client();
    c.server_port = 161;
    c.protocol = kUdp;
  } else if (dice < 980) {
    c.kind = kPing;
    c.client = random_.chance(1, 3) ? internet(100, 3) : client();
    c.server = server_address(random_.ranked(kServers, 2));
    c.client_port = 0;
    c.server_port = 8 * 256;  // echo request
    c.protocol = kIcmp;
  } else {
    c.kind = kPeer;
    c.client = client();
    c.server = internet(200, 3);
    c.server_port = ephemeral(random_);
    c.protocol = random_.chance(3, 4) ? kUdp : kTcp;
  }
  c.client_as = as_number_of(c.client);
  c.server_as = as_number_of(c.server);
  // Four interfaces inside, three towards the internet.
  const auto interface_of = [](uint32_t address, uint32_t as) {
    return static_cast<uint8_t>(as == 64'512 ? 1 + ((address >> 16) & 3) : 20 + as % 3);
  };
  c.client_if = interface_of(c.client, c.client_as);
  c.server_if = interface_of(c.server, c.server_as);
}

// The question of `c` into `flow`, and its answer into reverse_.
void Workload::fill(const Conversation& c, Flow& flow) {
  uint64_t out_packets = 1, in_packets = 1, out_bytes = 0, in_bytes = 0;
  DurationNs duration = 0;
  uint8_t out_flags = 0, in_flags = 0;
  switch (c.kind) {
    case kDns:
    case kDnsOut:
      out_bytes = 56 + random_.below(40);
      in_bytes = 80 + random_.below(40) * 8;
      duration = static_cast<DurationNs>(random_.geometric(c.kind == kDns ? 4 : 40)) * kMillisecond;
      break;
    case kNtp:
      out_bytes = in_bytes = 76;
      duration = random_.between(0, 3) * kMillisecond;
      break;
    case kSnmp:
      out_packets = in_packets = 1 + random_.below(8);
      out_bytes = out_packets * 82;
      in_bytes = in_packets * (90 + random_.below(120));
      duration = random_.between(1, 60) * kMillisecond;
      break;
    case kPing:
      out_packets = in_packets = 1 + random_.below(5);
      out_bytes = in_bytes = out_packets * 84;
      duration = static_cast<DurationNs>(out_packets - 1) * kSecond + random_.between(0, 30) * kMillisecond;
      break;
    default: {
      // Requests are small, answers have a long tail; a few transfers are huge.
      out_packets = 3 + random_.geometric(random_.chance(1, 12) ? 60 : 6);
      in_packets = out_packets + random_.geometric(random_.chance(1, 16) ? 120 : 3);
      if (random_.chance(1, 2'000)) in_packets += random_.geometric(40'000);
      out_bytes = out_packets * (52 + random_.below(90));
      out_bytes += random_.below(600);
      in_bytes = in_packets * (60 + random_.ranked(1'380, 2));
      in_bytes += random_.below(1'400);
      if (c.kind == kMail) {
        std::swap(out_bytes, in_bytes);
        std::swap(out_packets, in_packets);
      }
      duration = static_cast<DurationNs>(random_.geometric(random_.chance(1, 6) ? 40'000 : 700)) * kMillisecond;
      duration = std::min<DurationNs>(duration, 5 * kMinute);
      if (c.protocol == kTcp) {
        out_flags = in_flags = kSyn | kAck | kPsh | kFin;
        const uint32_t end = random_.below(100);
        if (end < 12) out_flags = static_cast<uint8_t>((out_flags & ~kFin) | kRst);
        if (end >= 12 && end < 30) out_flags = in_flags = kAck | kPsh;  // the middle of a long conversation
        if (end >= 96) out_flags = kSyn | kAck | kFin, in_flags = kSyn | kAck | kFin;
      }
    }
  }
  flow.src = ip(c.client);
  flow.dst = ip(c.server);
  flow.src_port = c.client_port;
  flow.dst_port = c.server_port;
  flow.protocol = c.protocol;
  flow.tcp_flags = out_flags;
  flow.bytes = std::max<uint64_t>(out_bytes, out_packets * 40);
  flow.packets = out_packets;
  flow.input_if = c.client_if;
  flow.output_if = c.server_if;
  flow.src_as = c.client_as;
  flow.dst_as = c.server_as;
  flow.start = flow.end - duration;

  reverse_ = flow;
  std::swap(reverse_.src, reverse_.dst);
  std::swap(reverse_.src_port, reverse_.dst_port);
  if (c.protocol == kIcmp) reverse_.src_port = 0, reverse_.dst_port = 0;  // echo reply
  std::swap(reverse_.input_if, reverse_.output_if);
  std::swap(reverse_.src_as, reverse_.dst_as);
  reverse_.reply = true;
  reverse_.tcp_flags = in_flags;
  reverse_.bytes = std::max<uint64_t>(in_bytes, in_packets * 40);
  reverse_.packets = in_packets;
  // The answer began after its question, and was over at about the same time.
  const DurationNs later = std::min<DurationNs>(duration, random_.between(0, 3) * kMillisecond);
  reverse_.start = flow.start + later;
}

bool Workload::next(Flow& flow) {
  if (emitted_ == options_.flows) return false;
  // Ends cover the span evenly, to the millisecond. (The product stays below 2^64 for 4 · 10^12 flows.)
  const uint64_t at_ms = emitted_ * static_cast<uint64_t>(kWorkloadSpan / kMillisecond) / options_.flows;
  TimestampNs end = options_.start + static_cast<TimestampNs>(at_ms) * kMillisecond;
  if (at_ms > 0 && random_.chance(1, 5)) end -= kMillisecond;  // exporters do not sort
  ++emitted_;
  if (reverse_pending_) {
    reverse_pending_ = false;
    flow = reverse_;
    // Never before its own start, and in order with its neighbours.
    const DurationNs moved = end - flow.end;
    flow.end = end;
    flow.start += moved;
    return true;
  }
  flow = Flow{};
  flow.end = end;
  // Single rows are 4 % of all: of every 52 beginnings (48 pairs and 4 singles make 100 rows).
  if (random_.chance(4, 52)) {
    if (scan_left_ == 0) {
      scan_left_ = 1 + static_cast<uint32_t>(random_.geometric(random_.chance(1, 8) ? 400 : 6));
      scan_source_ = internet(600, 6);
      scan_target_ = random_.below(1 << 18);
      scan_port_ = kScanPorts[random_.ranked(std::size(kScanPorts), 2)];
    }
    --scan_left_;
    // Mostly hosts that exist, and hardly known ones: neighbours in a block, one after the other.
    const uint32_t target = client_address(scan_target_++ % kClients);
    flow.src = ip(scan_source_);
    flow.dst = ip(random_.chance(1, 8) ? target + 1 + random_.below(8) : target);
    flow.src_port = ephemeral(random_);
    flow.dst_port = scan_port_;
    flow.protocol = kTcp;
    flow.tcp_flags = kSyn;
    flow.packets = random_.chance(1, 5) ? 2 : 1;
    flow.bytes = flow.packets * (random_.chance(1, 2) ? 40 : 44);
    flow.src_as = as_number_of(scan_source_);
    flow.dst_as = 64'512;
    flow.input_if = 20 + flow.src_as % 3;
    flow.output_if = 1 + ((flow.dst.v4_value() >> 16) & 3);
    flow.start = flow.end - static_cast<DurationNs>(flow.packets - 1) * kSecond;
    return true;
  }
  Conversation conversation;
  if (recent_.size() == kRecent && random_.chance(45, 100)) {
    conversation = recent_[random_.below(kRecent)];
  } else {
    begin(conversation);
    if (recent_.size() < kRecent) {
      recent_.push_back(conversation);
    } else {
      recent_[recent_next_] = conversation;
      recent_next_ = (recent_next_ + 1) % kRecent;
    }
  }
  fill(conversation, flow);
  reverse_pending_ = emitted_ < options_.flows;
  return true;
}

}  // namespace sluice::generate
