// Crash points: named places of the store's write paths where a test can have the process die as by kill -9.
//
// Compiled in always, so that what is tested is what ships; a point that is not armed costs one relaxed load. Armed only
// by a program that calls set_crash_point (tests/crash), never by environment or configuration.
// Thread rule: any thread; arm before other threads run.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

namespace sluice::store {

// All points, in the order that a row meets them.
std::span<const std::string_view> crash_point_names();

// The process kills itself when the point is passed for the nth time (1: the first). An empty name disarms.
// REQUIRES: name is empty or one of crash_point_names()
void set_crash_point(std::string_view name, uint32_t nth);

namespace crash_detail {
extern std::atomic<bool> armed;
void pass(std::string_view name);
}  // namespace crash_detail

inline void crash_point(std::string_view name) {
  if (crash_detail::armed.load(std::memory_order_relaxed)) [[unlikely]] crash_detail::pass(name);
}

}  // namespace sluice::store
