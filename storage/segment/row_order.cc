#include "storage/segment/row_order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

namespace sluice::segment {

std::vector<uint32_t> order_by_time(std::span<const uint64_t> flow_end) {
  std::vector<uint32_t> order(flow_end.size());
  std::iota(order.begin(), order.end(), 0);
  // Times are signed: flipping the top bit makes their order that of unsigned numbers.
  constexpr uint64_t kSign = uint64_t{1} << 63;
  uint64_t min = ~uint64_t{0}, max = 0, previous = 0;
  bool sorted = true;
  for (uint64_t t : flow_end) {
    t ^= kSign;
    min = std::min(min, t);
    max = std::max(max, t);
    sorted &= t >= previous;
    previous = t;
  }
  if (sorted) return order;

  // Radix sort by 11 bits, least significant first: stable, and linear in the rows.
  struct Item {
    uint64_t key;
    uint32_t row;
  };
  std::vector<Item> from(order.size()), to(order.size());
  for (uint32_t i = 0; i < order.size(); ++i) from[i] = {(flow_end[i] ^ kSign) - min, i};
  const auto bits = static_cast<unsigned>(std::bit_width(max - min));
  for (unsigned shift = 0; shift < bits; shift += 11) {
    std::array<uint32_t, 2048> starts{};
    for (const Item& item : from) ++starts[item.key >> shift & 2047];
    uint32_t sum = 0;
    for (uint32_t& s : starts) sum += std::exchange(s, sum);
    for (const Item& item : from) to[starts[item.key >> shift & 2047]++] = item;
    from.swap(to);
  }
  for (size_t i = 0; i < from.size(); ++i) order[i] = from[i].row;
  return order;
}

}  // namespace sluice::segment
