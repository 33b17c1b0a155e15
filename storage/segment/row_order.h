// In what order the rows of a segment lie: by time from block to block, and inside a block as it packs best.
// Internal to the writer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::segment {

struct RowOrder {
  std::vector<uint32_t> rows;   // row i of the segment is input row rows[i]
  std::vector<uint32_t> pairs;  // per block: rows 2i and 2i+1 are each other's reverse for i < pairs
};

// Input rows by flow_end, equal ones as they came.
std::vector<uint32_t> order_by_time(std::span<const uint64_t> flow_end);

}  // namespace sluice::segment
