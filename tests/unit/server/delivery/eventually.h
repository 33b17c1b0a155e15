// For tests of threads: waits for what is to come, for long on a slow machine, and no longer than it takes.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace sluice::delivery {

// Asks every 10 ms, for two minutes.
inline bool eventually(const std::function<bool()>& what) {
  for (int i = 0; i < 12'000; ++i) {
    if (what()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace sluice::delivery
