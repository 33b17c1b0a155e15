// The memory of one query: who holds some of it has it on the query's account.
//
// Thread rule: a MemoryAccount is shared by all workers; a MemoryClaim is its owner's, and is not outlived by the account.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "storage/model/result.h"

namespace sluice::query {

// RunState is one.
class MemoryAccount {
 public:
  virtual ~MemoryAccount() = default;
  // Adds to the query's memory, or gives back (which never fails). The bytes are on the account in any case.
  // Errors: too_large, naming the limit. Thread-safe.
  virtual Status charge(int64_t bytes) = 0;
};

// What one owner holds: keeps the account right as it grows and shrinks. Without an account it only counts.
class MemoryClaim {
 public:
  explicit MemoryClaim(MemoryAccount* account) : account_(account) {}
  MemoryClaim(const MemoryClaim&) = delete;
  MemoryClaim& operator=(const MemoryClaim&) = delete;
  ~MemoryClaim() { (void)set(0); }
  Status set(size_t bytes) {
    const auto delta = static_cast<int64_t>(bytes) - static_cast<int64_t>(bytes_);
    bytes_ = bytes;
    return delta == 0 || !account_ ? Status() : account_->charge(delta);
  }
  // Of what was set; not more than that.
  Status give_back(size_t bytes) { return set(bytes_ - std::min(bytes, bytes_)); }
  size_t bytes() const { return bytes_; }

 private:
  MemoryAccount* account_;
  size_t bytes_ = 0;
};

}  // namespace sluice::query
