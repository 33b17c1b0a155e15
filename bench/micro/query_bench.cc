// The comparison's questions without HTTP: FlowQL over a store of the workload's first rows (SLUICE_BENCH_ROWS, default two
// million), on one thread and on two. Counters say how much each question had to read.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/generate/flow_batch.h"
#include "bench/generate/truth.h"
#include "bench/generate/workload.h"
#include "query/engine.h"
#include "storage/model/limits.h"
#include "storage/store/store.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01

uint64_t rows_wanted() {
  const char* text = std::getenv("SLUICE_BENCH_ROWS");
  const uint64_t rows = text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
  return rows == 0 ? 2'000'000 : rows;
}

// Made once for all benchmarks: sealed and merged, as a server leaves its rows.
class Fixture {
 public:
  Fixture() : clock_(kStart + kDay), reporters_(generate::Workload::reporters()), truth_(reporters_) {
    path_ = std::filesystem::temp_directory_path() / ("sluice_query_bench_" + std::to_string(::getpid()));
    std::filesystem::remove_all(path_);
    store::StoreOptions options;
    options.directory = path_.string();
    options.sync = false;
    auto opened = store::Store::open(options, clock_);
    if (!opened) {
      error_ = opened.error().message;
      return;
    }
    store_ = std::move(opened).value();
    // Spread over the whole span whatever their number, so that minutes and hours are as in the comparison.
    generate::Workload workload({1, rows_wanted(), kStart});
    FlowBatchBuilder builder;
    generate::Flow flow;
    Status status;
    const auto append = [&] {
      const Batch batch = builder.finish();
      if (auto appended = store_->append({&batch, 1}); !appended) status = appended.error();
      if (auto sealed = store_->seal_due(); !sealed) status = sealed.error();
    };
    while (status.ok() && workload.next(flow)) {
      truth_.add(flow);
      generate::append_row(flow, reporters_, builder);
      if (builder.rows() == limits::kBatchRows) append();
    }
    if (status.ok() && builder.rows() > 0) append();
    if (auto flushed = store_->flush(); status.ok() && !flushed) status = flushed.error();
    while (status.ok()) {
      auto merged = store_->merge_once();
      if (!merged) status = merged.error();
      if (!merged || !*merged) break;
    }
    if (!status) error_ = status.error().message;
    snapshot_ = store_->snapshot();
  }
  ~Fixture() {
    snapshot_ = {};
    store_.reset();
    std::filesystem::remove_all(path_);
  }

  const std::string& error() const { return error_; }
  const store::Snapshot& snapshot() const { return snapshot_; }
  const Clock& clock() const { return clock_; }
  std::string address(uint64_t rows) const { return to_string(*truth_.nearest(rows)); }
  uint64_t rows() const { return truth_.total().flows; }

 private:
  ManualClock clock_;
  std::filesystem::path path_;
  std::unique_ptr<store::Store> store_;
  store::Snapshot snapshot_;
  generate::Reporters reporters_;
  generate::Truth truth_;
  std::string error_;
};

Fixture& fixture() {
  static Fixture one;
  return one;
}

// The caller and helpers started for each run: some tens of microseconds, no more than a server's pool has in wake-ups.
class Threads final : public query::Executor {
 public:
  explicit Threads(size_t width) : width_(width) {}
  size_t width() const override { return width_; }
  void run(size_t count, const std::function<void(size_t)>& task) override {
    std::atomic<size_t> next{0};
    const auto work = [&] {
      for (size_t i; (i = next.fetch_add(1)) < count;) task(i);
    };
    std::vector<std::thread> helpers;
    for (size_t i = 1; i < width_ && i < count; ++i) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
  }

 private:
  size_t width_;
};

class Counting final : public query::ResultSink {
 public:
  Status begin(const Schema&) override { return {}; }
  Status batch(const Batch& rows) override {
    rows_ += rows.rows;
    benchmark::DoNotOptimize(rows);
    return {};
  }
  uint64_t rows() const { return rows_; }

 private:
  uint64_t rows_ = 0;
};

std::vector<std::pair<std::string, std::string>> questions() {
  Fixture& f = fixture();
  return {
      {"address", "from flows | where ip == " + f.address(f.rows() / 20'000) + " | stats flows = count(), total = sum(bytes)"},
      {"address_heavy", "from flows | where ip == " + f.address(f.rows() / 200) + " | stats flows = count(), total = sum(bytes)"},
      {"rare", "from flows | where ip == " + f.address(20) + " | select flow_start, flow_end, src_ip, dst_ip, src_port, dst_port, protocol, bytes, packets"},
      {"sources", "from flows | top 10 src_ip by sum(bytes)"},
      {"pairs", "from flows | top 10 src_ip, dst_ip by sum(bytes)"},
      {"minutes", "from flows | stats total = sum(bytes) by minute = bin(1m), protocol"},
      {"scanners",
       "from flows | where protocol == tcp and tcp_flags == S | stats targets = count_distinct(dst_ip) by src_ip | sort targets desc, src_ip | limit 10"},
      {"dns", "from flows | where dst_port == 53 and src_ip in 10.17.0.0/16 | stats flows = count(), total = sum(bytes) by dst_ip"},
      {"tuples", "from flows | top 10 src_ip, dst_ip, dst_port, protocol by sum(bytes)"},
      {"last_minutes", "from flows between 2026-01-01T01:02:00Z and 2026-01-01T01:07:00Z | stats flows = count() by dst_port | sort flows desc, dst_port | limit 10"},
      {"p95", "from flows | stats p = p95(bytes) by protocol"},
  };
}

void ask(benchmark::State& state, const std::string& text, size_t width) {
  Threads threads(width);
  query::QueryContext context;
  context.snapshot = &fixture().snapshot();
  context.clock = &fixture().clock();
  context.executor = &threads;
  query::QuerySummary summary;
  for (auto _ : state) {
    Counting sink;
    summary = {};
    query::QueryRequest request;
    request.text = text;
    if (auto error = query::run(request, context, sink, summary)) return state.SkipWithError(error->message.c_str());
  }
  state.counters["rows"] = static_cast<double>(summary.rows);
  state.counters["scanned"] = static_cast<double>(summary.stats.rows_scanned);
  state.counters["MB read"] = static_cast<double>(summary.stats.bytes_read) / 1e6;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (!sluice::fixture().error().empty()) {
    std::fprintf(stderr, "the store could not be made: %s\n", sluice::fixture().error().c_str());
    return 1;
  }
  for (const auto& [name, text] : sluice::questions()) {
    for (const size_t width : {1, 2}) {
      benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(width)).c_str(), [text = text, width](benchmark::State& state) {
        sluice::ask(state, text, width);
      })->Unit(benchmark::kMillisecond)->UseRealTime();
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
