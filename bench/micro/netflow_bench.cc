// Flow packets per second and core, from datagram to rows of a batch: the comparison's workload in each format.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <vector>

#include "bench/generate/packet.h"
#include "bench/generate/workload.h"
#include "ingest/source/netflow.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01
constexpr uint64_t kFlows = 300'000;

// As sluiced has it; see server/freed_memory.cc.
const int kFreedBlocksKept = mallopt(M_MMAP_THRESHOLD, 20 << 20) + mallopt(M_TRIM_THRESHOLD, 128 << 20);

void BM_Decode(benchmark::State& state) {
  if (kFreedBlocksKept != 2) return state.SkipWithError("mallopt refused");
  const auto format = static_cast<generate::PacketFormat>(state.range(0));
  state.SetLabel(std::string(to_string(format)));
  const generate::Router router = generate::Workload::reporters().routers[0];
  std::vector<std::vector<uint8_t>> packets;
  std::vector<TimestampNs> times;
  uint64_t bytes = 0;
  generate::Packetizer packetizer(format, router, kStart - kDay, [&](const generate::Datagram& d) -> Status {
    packets.emplace_back(d.payload.begin(), d.payload.end());
    times.push_back(d.exported_at);
    bytes += d.payload.size();
    return {};
  });
  generate::Workload workload({1, 20'000'000, kStart});
  generate::Flow flow;
  for (uint64_t i = 0; i < kFlows && workload.next(flow); ++i)
    if (!packetizer.add(flow)) return state.SkipWithError("a flow was refused");
  if (!packetizer.flush()) return state.SkipWithError("a flow was refused");

  ingest::PacketDecoderOptions options;
  options.track_state = false;
  const ingest::PacketSender sender{router.address, 50'000, 2'055, 0};
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
    for (size_t i = 0; i < packets.size(); ++i) {
      auto counts = decoder.decode(packets[i], sender, times[i], out, sink);
      if (!counts || counts->bad > 0) return state.SkipWithError("a packet was not read");
    }
    if (out.rows() > 0 && !sink(out.finish())) return state.SkipWithError("no rows");
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}
BENCHMARK(BM_Decode)
    ->Arg(static_cast<int>(generate::PacketFormat::netflow5))
    ->Arg(static_cast<int>(generate::PacketFormat::netflow9))
    ->Arg(static_cast<int>(generate::PacketFormat::ipfix))
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sluice
