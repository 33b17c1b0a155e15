// From datagrams to durable, sealed rows without sockets: what one core of a server could take in at most, and what the
// rows then take on disk.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "bench/generate/packet.h"
#include "bench/generate/workload.h"
#include "ingest/source/netflow.h"
#include "storage/store/store.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("sluice_ingest_bench_" + std::to_string(::getpid()))) { clear(); }
  ~Folder() { clear(); }
  std::string path() const { return path_.string(); }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) sum += entry.is_regular_file() ? entry.file_size() : 0;
    return sum;
  }
  void clear() { std::filesystem::remove_all(path_); }

 private:
  std::filesystem::path path_;
};

void BM_IngestPath(benchmark::State& state) {
  const auto flows = static_cast<uint64_t>(state.range(0));
  const bool sync = state.range(1) != 0;
  state.SetLabel(sync ? "synced to disk" : "not synced");
  const generate::Router router = generate::Workload::reporters().routers[0];
  std::vector<uint8_t> bytes;
  std::vector<std::pair<size_t, TimestampNs>> packets;  // where each ends, and when it left
  generate::Packetizer packetizer(generate::PacketFormat::netflow5, router, kStart - kDay, [&](const generate::Datagram& d) -> Status {
    bytes.insert(bytes.end(), d.payload.begin(), d.payload.end());
    packets.emplace_back(bytes.size(), d.exported_at);
    return {};
  });
  generate::Workload workload({1, 20'000'000, kStart});
  generate::Flow flow;
  for (uint64_t i = 0; i < flows && workload.next(flow); ++i)
    if (!packetizer.add(flow)) return state.SkipWithError("a flow was refused");
  if (!packetizer.flush()) return state.SkipWithError("a flow was refused");

  const ingest::PacketSender sender{router.address, 50'000, 2'055, 0};
  for (auto _ : state) {
    Folder folder;
    ManualClock clock(kStart);
    store::StoreOptions options;
    options.directory = folder.path();
    options.sync = sync;
    auto store = store::Store::open(options, clock);
    if (!store) return state.SkipWithError(store.error().message.c_str());
    ingest::PacketDecoder decoder;
    FlowBatchBuilder out;
    const auto append = [&](Batch&& batch) -> Status {
      SLUICE_TRY((*store)->append({&batch, 1}));
      SLUICE_TRY((*store)->seal_due());
      return {};
    };
    size_t from = 0;
    for (const auto& [to, at] : packets) {
      clock.set(at + 100 * kMillisecond);
      auto counts = decoder.decode({bytes.data() + from, to - from}, sender, clock.now(), out, append);
      if (!counts) return state.SkipWithError(counts.error().message.c_str());
      from = to;
    }
    const Status last = out.rows() > 0 ? append(out.finish()) : Status();
    if (!last) return state.SkipWithError(last.error().message.c_str());
    if (auto flushed = (*store)->flush(); !flushed) return state.SkipWithError(flushed.error().message.c_str());
    state.PauseTiming();
    const store::StoreStats stats = (*store)->stats();
    if (stats.segment_rows != flows) return state.SkipWithError("not all rows were sealed");
    state.counters["segment bytes/row"] = static_cast<double>(stats.segment_bytes) / static_cast<double>(flows);
    state.counters["all bytes/row"] = static_cast<double>(folder.bytes()) / static_cast<double>(flows);
    state.counters["segments"] = static_cast<double>(stats.segments);
    store->reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * flows));
}
BENCHMARK(BM_IngestPath)->Args({2'000'000, 1})->Args({2'000'000, 0})->Unit(benchmark::kMillisecond)->Iterations(1)->UseRealTime();

}  // namespace
}  // namespace sluice
