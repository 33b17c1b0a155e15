// sFlow samples per second and core, from datagram to rows of a batch: the comparison's flows as sampled packets, nine and seven
// samples of 128-byte headers to a datagram, as switches send them.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <vector>

#include "bench/generate/workload.h"
#include "ingest/source/netflow.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01
constexpr uint64_t kSamples = 300'000;

// As sluiced has it; see server/freed_memory.cc.
const int kFreedBlocksKept = mallopt(M_MMAP_THRESHOLD, 20 << 20) + mallopt(M_TRIM_THRESHOLD, 128 << 20);

class Bytes {
 public:
  Bytes& u8(uint64_t v) { return number(v, 1); }
  Bytes& u16(uint64_t v) { return number(v, 2); }
  Bytes& u32(uint64_t v) { return number(v, 4); }
  Bytes& number(uint64_t v, size_t n) {
    for (size_t i = n; i-- > 0;) bytes.push_back(static_cast<uint8_t>(v >> (8 * i)));
    return *this;
  }
  Bytes& ip(const IpAddress& a) {
    bytes.insert(bytes.end(), a.bytes.begin() + (a.is_v4() ? 12 : 0), a.bytes.end());
    return *this;
  }
  std::vector<uint8_t> bytes;
};

// An Ethernet frame's first 128 bytes, tagged, with TCP or UDP over either IP.
void frame(Bytes& out, const generate::Flow& flow) {
  const size_t from = out.bytes.size();
  const bool v4 = flow.src.is_v4() && flow.dst.is_v4();
  out.number(0x0200'0000'0002, 6).number(0x0200'0000'0001, 6).u16(0x8100).u16(100).u16(v4 ? 0x0800 : 0x86dd);
  if (v4)
    out.u8(0x45).u8(0).u16(1'000).u32(0x0001'0000).u8(64).u8(flow.protocol).u16(0).ip(flow.src).ip(flow.dst);
  else
    out.u32(0x6000'0000).u16(1'000).u8(flow.protocol).u8(64).number(0x2001'0db8, 4).number(0, 12).number(0x2001'0db8, 4).number(0, 12);
  out.u16(flow.src_port).u16(flow.dst_port).u32(1).u32(2).u16(0x5018).u16(0).u32(0);
  out.bytes.resize(from + 128);
}

void BM_DecodeSflow(benchmark::State& state) {
  if (kFreedBlocksKept != 2) return state.SkipWithError("mallopt refused");
  const bool extended = state.range(0) != 0;
  state.SetLabel(extended ? "header, switch and router records" : "header");
  const size_t per_datagram = extended ? 7 : 9;
  std::vector<std::vector<uint8_t>> packets;
  uint64_t bytes = 0;
  generate::Workload workload({1, 20'000'000, kStart});
  generate::Flow flow;
  uint32_t sequence = 0, sample = 0;
  for (uint64_t made = 0; made < kSamples; made += per_datagram) {
    ++sequence;
    Bytes w;
    w.u32(5).u32(1).u32(0x0a09'0807).u32(0).u32(sequence).u32(1'000 * sequence).u32(per_datagram);
    for (size_t i = 0; i < per_datagram && workload.next(flow); ++i) {
      ++sample;
      Bytes s;
      s.u32(sample / 48 + 1).u32(sample % 48 + 1).u32(1'024).u32(sample * 20).u32(0).u32(sample % 48 + 1).u32(49).u32(extended ? 3 : 1);
      s.u32(1).u32(16 + 128).u32(1).u32(1'018).u32(4).u32(128);
      frame(s, flow);
      if (extended) s.u32(1'001).u32(16).u32(100).u32(0).u32(200).u32(0).u32(1'002).u32(16).u32(1).u32(0xc000'0201).u32(24).u32(24);
      w.u32(1).u32(s.bytes.size());
      w.bytes.insert(w.bytes.end(), s.bytes.begin(), s.bytes.end());
    }
    bytes += w.bytes.size();
    packets.push_back(std::move(w.bytes));
  }
  ingest::PacketDecoderOptions options;
  options.track_state = false;
  const ingest::PacketSender sender{IpAddress::v4(0x0a09'0807), 50'000, 6'343, 0};
  uint64_t rows = 0;
  for (auto _ : state) {
    // A new decoder each time: sequence numbers begin again.
    ingest::PacketDecoder decoder(options);
    FlowBatchBuilder out;
    const auto sink = [&](Batch&& batch) -> Status {
      rows += batch.rows;
      benchmark::DoNotOptimize(batch);
      return {};
    };
    TimestampNs now = kStart;
    for (const auto& packet : packets) {
      auto counts = decoder.decode(packet, sender, now += kMillisecond, out, sink);
      if (!counts || counts->bad > 0) return state.SkipWithError("a datagram was not read");
    }
    if (out.rows() > 0 && !sink(out.finish())) return state.SkipWithError("no rows");
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}
BENCHMARK(BM_DecodeSflow)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sluice
