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

// What the order inside a block is decided by; an empty span: no row has it. Nulls count as 0.
struct OrderKeys {
  std::span<const uint32_t> src, dst;  // address codes
  std::span<const uint16_t> src_port, dst_port;
  std::span<const uint8_t> protocol;
};

// Reorders the rows of each block (of limits::kBlockRows) of `order.rows` and fills `order.pairs`.
//
// Rows and their reverses (same protocol, addresses and ports swapped) come first, two by two, the one towards the lower
// port (the service) before its answer; both parts are sorted by protocol, service, server and client. So a service's and a
// server's rows share few granules, and columns become runs or small deltas; what it costs is paid in the time column.
void order_blocks(const OrderKeys& keys, RowOrder& order);

// Input rows by flow_end, equal ones as they came.
std::vector<uint32_t> order_by_time(std::span<const uint64_t> flow_end);

}  // namespace sluice::segment
