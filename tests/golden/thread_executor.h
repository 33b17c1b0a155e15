// A query's tasks on real threads, for the golden files and the oracle.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "query/engine.h"

namespace sluice {

// Tasks on real threads, so that partial results are merged in any order.
struct ThreadExecutor final : query::Executor {
  static constexpr size_t kThreads = 4;
  size_t width() const override { return kThreads; }
  void run(size_t count, const std::function<void(size_t)>& task) override {
    std::atomic<size_t> next{0};
    const auto work = [&] {
      for (size_t i; (i = next++) < count;) task(i);
    };
    std::vector<std::thread> others;
    for (size_t i = 1; i < std::min(count, kThreads); ++i) others.emplace_back(work);
    work();
    for (std::thread& t : others) t.join();
  }
};

}  // namespace sluice
