// Captures of every make: what is read, what is counted, and that what is wrong with one packet costs only that.

#include <gtest/gtest.h>

#include <algorithm>

#include "ingest/source/packet_body.h"
#include "ingest/source/pcap.h"
#include "tests/unit/ingest/netflow/flow_rows.h"

namespace sluice::ingest {
namespace {

using namespace testing;
using Bytes = std::vector<uint8_t>;

constexpr int64_t kSeconds = 1'795'176'000;

// Numbers in the byte order of a capture.
struct Out {
  explicit Out(bool is_little) : little(is_little) {}
  Out& number(uint64_t v, size_t n) {
    for (size_t i = 0; i < n; ++i) bytes.push_back(static_cast<uint8_t>(v >> (8 * (little ? i : n - 1 - i))));
    return *this;
  }
  Out& u16(uint64_t v) { return number(v, 2); }
  Out& u32(uint64_t v) { return number(v, 4); }
  Out& raw(const Bytes& b) {
    bytes.insert(bytes.end(), b.begin(), b.end());
    return *this;
  }
  Out& block(uint32_t type, const Out& body) {
    const Bytes padded = [&] {
      Bytes b = body.bytes;
      b.resize((b.size() + 3) / 4 * 4);
      return b;
    }();
    return u32(type).u32(12 + padded.size()).raw(padded).u32(12 + padded.size());
  }
  bool little;
  Bytes bytes;
};

Bytes udp4(const Bytes& payload, const std::string& src = "192.0.2.7", uint16_t fragment = 0) {
  Wire w;
  w.u8(0x45).u8(0).u16(28 + payload.size()).u16(1).u16(fragment).u8(64).u8(17).u16(0).ip(src).ip("192.0.2.1").u16(50'000).u16(2'055).u16(8 + payload.size()).u16(0).raw(payload);
  return w.bytes;
}
Bytes ethernet(const Bytes& packet, const Wire& tags = {}, uint16_t type = 0x0800) { return Wire().zeros(12).raw(tags.bytes).u16(type).raw(packet).bytes; }

const Bytes kDatagram = packet5({{}});

Out pcap_head(bool little, uint32_t magic, uint32_t link = 1) {
  Out out(little);
  out.u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65'535).u32(link);
  return out;
}
Out& pcap_packet(Out& out, const Bytes& frame, uint64_t fraction = 500'000, size_t cut = 0) {
  return out.u32(kSeconds).u32(fraction).u32(frame.size() - cut).u32(frame.size()).raw(Bytes(frame.begin(), frame.end() - static_cast<ptrdiff_t>(cut)));
}

Out section(bool little) {
  Out out(little);
  out.block(0x0a0d0d0a, Out(little).u32(0x1a2b3c4d).u16(1).u16(0).u32(UINT32_MAX).u32(UINT32_MAX));
  return out;
}
Out interface(bool little, uint32_t link, const Bytes& options = {}) { return Out(little).u16(link).u16(0).u32(65'535).raw(options); }
Out enhanced(bool little, uint32_t which, uint64_t ticks, const Bytes& frame, size_t captured = SIZE_MAX) {
  return Out(little).u32(which).u32(ticks >> 32).u32(ticks & UINT32_MAX).u32(std::min(captured, frame.size())).u32(frame.size()).raw(frame);
}

struct Read {
  explicit Read(const Bytes& file) {
    status = read_capture(
        file,
        [&](const CapturedDatagram& d) -> Status {
          datagrams.push_back(d);
          whole &= std::ranges::equal(d.payload, kDatagram);
          return {};
        },
        counts);
  }
  Status status;
  CaptureCounts counts;
  std::vector<CapturedDatagram> datagrams;
  bool whole = true;
};

TEST(Capture, ClassicInEitherOrderAndFineness) {
  for (const bool little : {true, false})
    for (const auto& [magic, fraction] : {std::pair<uint32_t, uint64_t>{0xa1b2c3d4, 500'000}, {0xa1b23c4d, 500'000'000}}) {
      Out out = pcap_head(little, magic);
      const Read read(pcap_packet(out, ethernet(udp4(kDatagram)), fraction).bytes);
      ASSERT_TRUE(read.status.ok());
      ASSERT_EQ(read.datagrams.size(), 1u);
      EXPECT_TRUE(read.whole);
      EXPECT_EQ(*read.datagrams[0].time, kSeconds * kSecond + kSecond / 2);
      EXPECT_EQ(to_string(read.datagrams[0].source), "192.0.2.7");
      EXPECT_EQ(read.datagrams[0].destination_port, 2'055);
    }
}

TEST(Capture, LinksAndWhatStandsBeforeUdp) {
  const Bytes v4 = udp4(kDatagram);
  const Bytes v6 = Wire().u32(0x60000000).u16(16 + kDatagram.size()).u8(0).u8(64).ip("2001:db8::7").ip("2001:db8::1").u8(17).zeros(7)  // hop by hop, empty
                       .u16(50'000).u16(2'055).u16(8 + kDatagram.size()).u16(0).raw(kDatagram).bytes;
  const std::pair<uint32_t, Bytes> frames[] = {
      {1, ethernet(v6, {}, 0x86dd)}, {1, ethernet(v4, Wire().u16(0x88a8).u16(5).u16(0x8100).u16(7))}, {101, v4}, {228, v4}, {229, v6},
      {0, Wire().u32(2).raw(v4).bytes}, {113, Wire().zeros(14).u16(0x0800).raw(v4).bytes}, {276, Wire().u16(0x86dd).zeros(18).raw(v6).bytes},
      {1, ethernet(Wire().raw(v4).zeros(9).bytes)}};  // the link's own padding
  for (const auto& [link, frame] : frames) {
    Out out = pcap_head(true, 0xa1b2c3d4, link);
    const Read read(pcap_packet(out, frame).bytes);
    EXPECT_EQ(read.datagrams.size(), 1u) << link;
    EXPECT_TRUE(read.whole) << link;
  }
}

TEST(Capture, WhatIsNoDatagramIsCounted) {
  Out out = pcap_head(true, 0xa1b2c3d4);
  pcap_packet(out, ethernet(udp4(kDatagram)), 0, 10);
  pcap_packet(out, ethernet(udp4(kDatagram, "192.0.2.7", 0x2000)));
  pcap_packet(out, ethernet(Wire().zeros(40).bytes, {}, 0x0806));
  pcap_packet(out, ethernet(udp4(kDatagram)));
  out.u32(kSeconds).u32(0).u32(100).u32(100).u32(1);
  const Read read(out.bytes);
  EXPECT_EQ(read.counts.snapped, 1u);
  EXPECT_EQ(read.counts.fragments, 1u);
  EXPECT_EQ(read.counts.other, 1u);
  EXPECT_EQ(read.datagrams.size(), 1u);
  EXPECT_TRUE(read.counts.truncated);
  // As a body: the cut packet, the fragment and the end are rejected, the other is none of ours.
  const auto report = decode_packet_body({reinterpret_cast<const char*>(out.bytes.data()), out.bytes.size()}, {}, [](Batch&&) -> Status { return {}; });
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->accepted, 1u);
  EXPECT_EQ(report->rejected, 3u);
  EXPECT_EQ(report->ignored, 1u);
}

TEST(Capture, NextGenerationInEitherOrder) {
  const Bytes frame = ethernet(udp4(kDatagram));
  for (const bool little : {true, false}) {
    Out out = section(little);
    const Bytes nanoseconds = Out(little).u16(9).u16(1).raw({9, 0, 0, 0}).bytes;
    out.block(1, interface(little, 1, nanoseconds)).block(1, interface(little, 101));
    out.block(6, enhanced(little, 0, static_cast<uint64_t>(kSeconds) * kSecond + 7, frame));
    out.block(6, enhanced(little, 1, static_cast<uint64_t>(kSeconds) * 1'000'000 + 7, udp4(kDatagram, "192.0.2.8")));
    out.block(3, Out(little).u32(frame.size()).raw(frame));
    out.block(5, Out(little).u32(0).u32(0).u32(0));  // statistics
    // Another section may have another order; its interfaces are its own.
    out.raw(section(!little).block(1, interface(!little, 228)).block(6, enhanced(!little, 0, static_cast<uint64_t>(kSeconds) * 1'000'000, udp4(kDatagram))).bytes);
    const Read read(out.bytes);
    ASSERT_TRUE(read.status.ok()) << read.status.error().message;
    ASSERT_EQ(read.datagrams.size(), 4u);
    EXPECT_TRUE(read.whole);
    EXPECT_EQ(*read.datagrams[0].time, kSeconds * kSecond + 7);
    EXPECT_EQ(*read.datagrams[1].time, kSeconds * kSecond + 7'000);
    EXPECT_FALSE(read.datagrams[2].time.has_value());
    EXPECT_EQ(read.counts.broken + read.counts.other, 0u);
  }
}

TEST(Capture, ABrokenBlockCostsOnlyItsPacket) {
  const Bytes frame = ethernet(udp4(kDatagram));
  const uint64_t ticks = static_cast<uint64_t>(kSeconds) * 1'000'000;
  Out out = section(true);
  out.block(3, Out(true).u32(frame.size()).raw(frame));  // before any interface
  out.block(1, Out(true).u32(0));                        // too short to be one, and the first all the same
  out.block(1, interface(true, 1));
  out.block(6, enhanced(true, 0, ticks, frame));  // of the one that cannot be read: no link that is known
  out.block(6, Out(true).u32(1).u32(0));
  Out longer(true);
  longer.u32(1).u32(0).u32(0).u32(4'000).u32(4'000).raw(frame);
  out.block(6, longer);
  out.block(6, enhanced(true, 9, ticks, frame));
  out.block(6, enhanced(true, 1, ticks, frame));
  const Read read(out.bytes);
  EXPECT_TRUE(read.status.ok());
  EXPECT_EQ(read.datagrams.size(), 1u);
  EXPECT_EQ(read.counts.packets, 6u);
  EXPECT_EQ(read.counts.broken, 4u);
  EXPECT_EQ(read.counts.other, 1u);
  const auto report = decode_packet_body({reinterpret_cast<const char*>(out.bytes.data()), out.bytes.size()}, {}, [](Batch&&) -> Status { return {}; });
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->accepted, 1u);
  EXPECT_EQ(report->rejected, 4u);
  EXPECT_EQ(report->ignored, 1u);
  // A length that cannot be true is the end: nobody knows where the next block is. What came before stays.
  Out end = out;
  end.u32(6).u32(7);
  end.raw(Bytes(16));
  const Read broken(end.bytes);
  EXPECT_FALSE(broken.status.ok());
  EXPECT_EQ(broken.datagrams.size(), 1u);
}

TEST(Capture, CutAnywhere) {
  Out out = section(true);
  out.block(1, interface(true, 1)).block(6, enhanced(true, 0, 1, ethernet(udp4(kDatagram))));
  for (size_t n = 4; n < out.bytes.size(); ++n) {
    const Read read(Bytes(out.bytes.begin(), out.bytes.begin() + static_cast<ptrdiff_t>(n)));
    EXPECT_TRUE(read.datagrams.empty()) << n;
  }
}

}  // namespace
}  // namespace sluice::ingest
