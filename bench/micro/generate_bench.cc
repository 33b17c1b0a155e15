// How fast flows are made and packed: the generator must outrun what it measures.
#include <benchmark/benchmark.h>

#include "bench/generate/packet.h"
#include "bench/generate/workload.h"

namespace sluice::generate {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01

void BM_Workload(benchmark::State& state) {
  Workload workload({1, UINT32_MAX, kStart});
  Flow flow;
  for (auto _ : state) {
    workload.next(flow);
    benchmark::DoNotOptimize(flow);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Workload);

void BM_Packetize(benchmark::State& state) {
  // Packets of the same flows again and again; only the packing is timed.
  std::vector<Flow> flows(30'000);
  Workload workload({1, 30'000, kStart});
  for (Flow& flow : flows) workload.next(flow);
  uint64_t bytes = 0;
  Packetizer packets(static_cast<PacketFormat>(state.range(0)), Workload::reporters().routers[0], kStart - kDay, [&](const Datagram& d) {
    bytes += d.payload.size();
    return Status();
  });
  for (auto _ : state) {
    for (const Flow& flow : flows)
      if (!packets.add(flow)) state.SkipWithError("a flow was refused");
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * flows.size()));
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}
BENCHMARK(BM_Packetize)->Arg(static_cast<int>(PacketFormat::netflow5))->Arg(static_cast<int>(PacketFormat::netflow9))->Arg(static_cast<int>(PacketFormat::ipfix));

}  // namespace
}  // namespace sluice::generate
