#include "server/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "server/metrics.h"

namespace sluice::server {
namespace {

TEST(WorkerPool, RefusesBeyondItsBound) {
  std::latch go(1);
  std::atomic<int> ran{0};
  WorkerPool pool("test", 2, 3);
  int taken = 0;
  for (int i = 0; i < 10; ++i)
    taken += pool.post([&] {
      go.wait();
      ++ran;
    });
  EXPECT_EQ(taken, 5);
  go.count_down();
  for (int i = 0; i < 500 && ran < 5; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_EQ(ran, 5);
  EXPECT_TRUE(pool.post([] {}));
  pool.stop();
  EXPECT_FALSE(pool.post([] {}));
}

TEST(WorkerPool, DropsWhatWaitsWhenStopped) {
  auto token = std::make_shared<int>();
  std::latch go(1);
  WorkerPool pool("test", 1, 10);
  pool.post([&] { go.wait(); });
  for (int i = 0; i < 5; ++i) pool.post([token] {});
  std::thread stopper([&] { pool.stop(); });
  for (int i = 0; i < 500 && token.use_count() > 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_EQ(token.use_count(), 1);
  go.count_down();
  stopper.join();
}

TEST(ParallelExecutor, RunsEachTaskOnceForManyCallers) {
  ParallelExecutor executor(4);
  std::vector<std::thread> callers;
  std::atomic<uint64_t> sum{0};
  for (int c = 0; c < 6; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) executor.run(100, [&](size_t i) { sum += i; });
    });
  for (auto& t : callers) t.join();
  EXPECT_EQ(sum, 6u * 50u * 4950u);
  executor.run(0, [](size_t) { FAIL(); });
  // A task may run tasks: the caller works itself, so nobody waits for nobody.
  std::atomic<int> inner{0};
  executor.run(8, [&](size_t) { executor.run(8, [&](size_t) { ++inner; }); });
  EXPECT_EQ(inner, 64);
}

TEST(Metrics, WritesPrometheusText) {
  MetricsText text;
  text.family("a_total", "counter", "A");
  text.sample(3, {{"x", "q\"\\\n"}});
  text.gauge("b", "B", 0.5);
  EXPECT_EQ(text.take(), "# HELP a_total A\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\"} 3\n# HELP b B\n# TYPE b gauge\nb 0.5\n");
  Histogram h;
  h.observe_ns(2'000'000);
  h.observe_ns(700'000'000'000);
  MetricsText out;
  h.write(out, "h", "H");
  const std::string t = out.take();
  EXPECT_NE(t.find("h_bucket{le=\"0.001\"} 0\n"), std::string::npos) << t;
  EXPECT_NE(t.find("h_bucket{le=\"0.0025\"} 1\n"), std::string::npos) << t;
  EXPECT_NE(t.find("h_bucket{le=\"+Inf\"} 2\n"), std::string::npos) << t;
  EXPECT_NE(t.find("h_count 2\n"), std::string::npos) << t;
}

}  // namespace
}  // namespace sluice::server
