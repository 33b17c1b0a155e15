// What a stream of flows is made of: distinct values, groups, entropies. It tells whether the workload still has the shape
// that PERFORMANCE's numbers were taken on.
//
// Memory: about 60 bytes per group. The entropies are order 0, in bytes per row. Not thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "bench/generate/flow.h"

namespace sluice::generate {

class ProfileFacts {
 public:
  void add(const Flow& flow);
  std::string json() const;

 private:
  using Histogram = std::unordered_map<uint64_t, uint64_t>;
  uint64_t flows_ = 0, reversed_ = 0, syn_only_ = 0;
  Flow last_;
  std::unordered_set<uint64_t> pairs_, tuples_;  // hashes: a collision in 10^7 groups is a chance of 10^-5
  std::unordered_set<uint64_t> addresses_;
  Histogram end_delta_, duration_, src_, dst_, src_port_, dst_port_, bytes_, packets_, protocol_flags_, interfaces_, as_numbers_;
};

}  // namespace sluice::generate
