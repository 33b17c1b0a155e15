// What one pass over values learns, with vector instructions. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <span>

namespace sluice::codec {

struct Survey {
  uint64_t min = 0, max = 0;
  uint32_t changes = 0;  // values that differ from the one before
};

// REQUIRES: !values.empty(), at most 2^32 - 1 of them
Survey survey(std::span<const uint64_t> values);

}  // namespace sluice::codec
