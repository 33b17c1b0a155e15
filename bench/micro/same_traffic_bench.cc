// What it costs a flow to be compared with what other exporters told: two exporters of one path, a minute of flows each.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "ingest/source/same_traffic.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01

// `flows` flows a batch, of `distinct` over all; each batch comes from one exporter and then from the other.
std::vector<Batch> batches_of(size_t batches, size_t flows) {
  std::mt19937 random(1);
  std::vector<Batch> out;
  for (size_t b = 0; b < batches; ++b) {
    std::vector<uint64_t> picks(flows);
    for (auto& pick : picks) pick = random() | uint64_t{random()} << 32;
    for (const uint32_t exporter : {0x0a000001u, 0x0a000002u}) {
      FlowBatchBuilder rows;
      for (const uint64_t pick : picks) {
        rows.begin_row();
        rows.set_time(ColumnId::flow_start, kStart + static_cast<DurationNs>(b) * kSecond);
        rows.set_time(ColumnId::flow_end, kStart + static_cast<DurationNs>(b + 1) * kSecond);
        rows.set_ip(ColumnId::src_ip, IpAddress::v4(static_cast<uint32_t>(pick)));
        rows.set_ip(ColumnId::dst_ip, IpAddress::v4(static_cast<uint32_t>(pick >> 32)));
        rows.set_uint(ColumnId::src_port, pick >> 16 & 0xffff);
        rows.set_uint(ColumnId::dst_port, 443);
        rows.set_uint(ColumnId::protocol, 6);
        rows.set_enum(ColumnId::source, Source::netflow5);
        rows.set_ip(ColumnId::exporter_ip, IpAddress::v4(exporter));
      }
      out.push_back(rows.finish());
    }
  }
  return out;
}

// Argument: whether the exporters are of a group.
void BM_SameTraffic(benchmark::State& state) {
  constexpr size_t kBatches = 32, kFlows = 65'536;
  const std::vector<Batch> batches = batches_of(kBatches, kFlows);
  ingest::SameTrafficGroup group;
  group.name = "core";
  group.exporters = {*parse_prefix(state.range(0) != 0 ? "10.0.0.0/24" : "10.9.0.0/24")};
  uint64_t marked = 0;
  for (auto _ : state) {
    ingest::SameTraffic marker({group}, 1);
    for (const Batch& batch : batches) {
      state.PauseTiming();
      Batch copy = batch;
      state.ResumeTiming();
      marker.mark(copy);
    }
    marked = marker.stats()[0].marked;
  }
  state.SetLabel(state.range(0) != 0 ? "of a group" : "of no group");
  state.counters["flows/s"] = benchmark::Counter(static_cast<double>(state.iterations()) * 2 * kBatches * kFlows, benchmark::Counter::kIsRate);
  state.counters["marked"] = static_cast<double>(marked);
}
BENCHMARK(BM_SameTraffic)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sluice
