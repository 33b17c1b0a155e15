// Segments of the comparison's workload: how fast they are written, how many bytes a row takes and where, how fast a column
// is read and an address is found.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

#include "bench/generate/flow_batch.h"
#include "bench/generate/workload.h"
#include "storage/model/limits.h"
#include "storage/segment/segment.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01

// The first rows of the 20 M workload, so that times lie as close together as there.
std::vector<Batch> workload_batches(uint64_t rows) {
  generate::Workload workload({1, 20'000'000, kStart});
  const generate::Reporters reporters = generate::Workload::reporters();
  std::vector<Batch> batches;
  FlowBatchBuilder builder;
  generate::Flow flow;
  for (uint64_t i = 0; i < rows && workload.next(flow); ++i) {
    generate::append_row(flow, reporters, builder);
    if (builder.rows() == limits::kBatchRows) batches.push_back(builder.finish());
  }
  if (builder.rows() > 0) batches.push_back(builder.finish());
  return batches;
}

class File {
 public:
  File() : path_(std::filesystem::temp_directory_path() / ("sluice_segment_bench_" + std::to_string(::getpid()))) {}
  ~File() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

segment::WriteOptions options(bool postings) {
  segment::WriteOptions o;
  o.postings = postings;
  o.sync = false;
  return o;
}

void BM_WriteSegment(benchmark::State& state) {
  const auto rows = static_cast<uint64_t>(state.range(0));
  const std::vector<Batch> batches = workload_batches(rows);
  const File file;
  for (auto _ : state) {
    auto written = segment::write_segment(file.path(), 1, kStart, batches, options(state.range(1) != 0));
    if (!written) return state.SkipWithError(written.error().message.c_str());
    state.counters["bytes/row"] = static_cast<double>(written->file_bytes) / static_cast<double>(rows);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * rows));
  auto opened = segment::Segment::open(file.path());
  if (!opened) return state.SkipWithError(opened.error().message.c_str());
  for (const segment::ColumnStats& c : (*opened)->column_stats()) {
    const double bytes = static_cast<double>(c.data_bytes + c.dictionary_bytes + c.posting_bytes) / static_cast<double>(rows);
    if (bytes >= 0.01) state.counters[std::string(column_spec(c.id).name)] = bytes;
  }
}
BENCHMARK(BM_WriteSegment)->Args({1 << 20, 1})->Args({1 << 20, 0})->Args({1 << 22, 1})->Unit(benchmark::kMillisecond)->Iterations(1);

std::shared_ptr<const segment::Segment> open_workload(const File& file) {
  static const std::vector<Batch> batches = workload_batches(1 << 20);
  if (!segment::write_segment(file.path(), 1, kStart, batches, options(true))) return nullptr;
  auto opened = segment::Segment::open(file.path());
  return opened ? *opened : nullptr;
}

void BM_ReadColumn(benchmark::State& state) {
  const File file;
  const auto segment = open_workload(file);
  if (!segment) return state.SkipWithError("cannot write the segment");
  const auto id = static_cast<ColumnId>(state.range(0));
  state.SetLabel(std::string(column_spec(id).name));
  for (auto _ : state) {
    for (uint32_t block = 0; block < segment->block_count(); ++block) {
      auto column = segment->read(id, block, 0, segment->block_rows(block), nullptr);
      if (!column) return state.SkipWithError(column.error().message.c_str());
      benchmark::DoNotOptimize(*column);
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * segment->rows()));
}
BENCHMARK(BM_ReadColumn)
    ->Arg(static_cast<int>(ColumnId::src_ip))
    ->Arg(static_cast<int>(ColumnId::dst_port))
    ->Arg(static_cast<int>(ColumnId::protocol))
    ->Arg(static_cast<int>(ColumnId::raw_bytes))
    ->Arg(static_cast<int>(ColumnId::flow_end))
    ->Arg(static_cast<int>(ColumnId::flow_start))
    ->Unit(benchmark::kMillisecond);

// One address, either side: dictionary, then postings. What is left is to read the candidate granules.
void BM_FindAddress(benchmark::State& state) {
  const File file;
  const auto segment = open_workload(file);
  if (!segment) return state.SkipWithError("cannot write the segment");
  uint32_t index = 0;
  uint64_t granules = 0;
  for (auto _ : state) {
    const IpAddress ip = IpAddress::v4(generate::internet_address(4'096 + index++ % 8'192));
    for (const ColumnId id : {ColumnId::src_ip, ColumnId::dst_ip}) {
      auto codes = segment->codes_between(id, ip, ip);
      if (!codes) return state.SkipWithError(codes.error().message.c_str());
      if (codes->first == codes->second) continue;
      const segment::ValueRange range{codes->first, codes->second - 1};
      auto found = segment->candidates(id, {&range, 1}, nullptr);
      if (!found) return state.SkipWithError(found.error().message.c_str());
      if (!*found) return state.SkipWithError("this segment has no postings for addresses");
      granules += (*found)->count();
    }
  }
  state.counters["granules"] = benchmark::Counter(static_cast<double>(granules), benchmark::Counter::kAvgIterations);
}
BENCHMARK(BM_FindAddress)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sluice
