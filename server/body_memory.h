// Memory of one body, taken from the budget for bytes in flight as it grows and given back at the end.
//
// Thread rule: one body's belongs to the thread that brings it; the budget is shared by all. It outlives the body's memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>

#include "ingest/receive/memory_share.h"

namespace sluice::server {

class BodyMemory final : public ingest::MemoryShare {
 public:
  // `own`: what the body holds of the budget already, as it came.
  BodyMemory(std::atomic<size_t>& in_flight, size_t max, size_t own) : in_flight_(in_flight), max_(max), own_(own) {}
  ~BodyMemory() override { release(taken_); }
  BodyMemory(const BodyMemory&) = delete;
  BodyMemory& operator=(const BodyMemory&) = delete;

  Status take(size_t bytes) override {
    if (bytes > max_ || own_ + taken_ > max_ - bytes) return Error{ErrorCode::too_large, "the body takes more memory once unpacked than the limit of " + std::to_string(max_) + " bytes; split it"};
    size_t now = in_flight_.load();
    do {
      if (now > max_ - bytes) return Error{ErrorCode::full, "too many bytes of bodies are being ingested"};
    } while (!in_flight_.compare_exchange_weak(now, now + bytes));
    taken_ += bytes;
    return {};
  }
  void release(size_t bytes) override {
    taken_ -= bytes;
    in_flight_ -= bytes;
  }

 private:
  std::atomic<size_t>& in_flight_;
  const size_t max_, own_;
  size_t taken_ = 0;
};

}  // namespace sluice::server
