// AWS VPC lines per second and core, as the generator's shop account writes them (26 fields) and in AWS's default format.
#include <benchmark/benchmark.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <string>

#include "bench/generate/aws_objects.h"
#include "bench/generate/company.h"
#include "ingest/source/source.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01
constexpr const char* kAccount = "111122223333";

// One object's text with about 40,000 lines.
std::string shop_text(bool default_format) {
  auto company = generate::make_company({1, kStart, 1, 4});
  const auto folder = std::filesystem::temp_directory_path() / ("sluice_aws_bench_" + std::to_string(::getpid()));
  if (default_format) company->aws_fields.clear();
  generate::AwsObjects objects(folder, company->reporters, company->aws_fields, 60);
  for (const generate::Flow& flow : company->flows)
    if (flow.cloud_interface != generate::kNoInterface && !objects.add(flow).ok()) return {};
  if (!objects.finish().ok()) return {};
  std::string out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().string().find(kAccount) == std::string::npos) continue;
    gzFile file = gzopen(entry.path().c_str(), "rb");
    std::string piece(1 << 20, '\0');
    for (int n; (n = gzread(file, piece.data(), static_cast<unsigned>(piece.size()))) > 0;) out.append(piece, 0, static_cast<size_t>(n));
    gzclose(file);
  }
  std::filesystem::remove_all(folder);
  return out;
}

void BM_AwsVpc(benchmark::State& state) {
  const std::string text = shop_text(state.range(0) == 2);
  state.SetLabel(state.range(0) == 2 ? "default format, 14 fields" : "version 5, 26 fields");
  const ingest::SourceSpec* source = ingest::find_source("aws_vpc");
  uint64_t rows = 0;
  for (auto _ : state) {
    auto report = source->decode(text, {kStart + kDay, ""}, [](Batch&& batch) -> Status {
      benchmark::DoNotOptimize(batch.rows);
      return {};
    });
    if (!report || report->accepted == 0) return state.SkipWithError("the text was not read");
    rows += report->accepted;
  }
  state.SetItemsProcessed(static_cast<int64_t>(rows));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(BM_AwsVpc)->Arg(5)->Arg(2)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sluice
