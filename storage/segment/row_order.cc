#include "storage/segment/row_order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <type_traits>
#include <utility>

#include "storage/model/limits.h"

namespace sluice::segment {
namespace {

// By 11 bits of the key, least significant first: stable, and linear in the items.
template <typename Item, typename Key>
void radix_sort(std::vector<Item>& items, unsigned bits, Key key) {
  std::vector<Item> to(items.size());
  for (unsigned shift = 0; shift < bits; shift += 11) {
    std::array<uint32_t, 2048> starts{};
    for (const Item& item : items) ++starts[key(item) >> shift & 2047];
    uint32_t sum = 0;
    for (uint32_t& s : starts) sum += std::exchange(s, sum);
    for (const Item& item : items) to[starts[key(item) >> shift & 2047]++] = item;
    items.swap(to);
  }
}

}  // namespace

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

  // Routers tell whole milliseconds or seconds: then fewer bits decide.
  const auto divides = [&](auto scale) {
    return std::all_of(flow_end.begin(), flow_end.end(), [&](uint64_t t) { return ((t ^ kSign) - min) % scale() == 0; });
  };
  const uint64_t scale = divides([] { return std::integral_constant<uint64_t, 1'000'000>(); }) ? 1'000'000 : 1;
  const auto bits = static_cast<unsigned>(std::bit_width((max - min) / scale)), row_bits = static_cast<unsigned>(std::bit_width(order.size()));
  // A row's number stands below its time, in the same word where both fit.
  if (bits + row_bits <= 64) {
    std::vector<uint64_t> items(order.size());
    for (size_t i = 0; i < items.size(); ++i) {
      const uint64_t time = (flow_end[i] ^ kSign) - min;
      items[i] = (scale == 1 ? time : time / 1'000'000) << row_bits | i;
    }
    radix_sort(items, bits, [row_bits](uint64_t item) { return item >> row_bits; });
    const uint64_t mask = (uint64_t{1} << row_bits) - 1;
    for (size_t i = 0; i < items.size(); ++i) order[i] = static_cast<uint32_t>(items[i] & mask);
  } else {
    struct Item {
      uint64_t time;
      uint32_t row;
    };
    std::vector<Item> items(order.size());
    for (uint32_t i = 0; i < order.size(); ++i) items[i] = {((flow_end[i] ^ kSign) - min) / scale, i};
    radix_sort(items, bits, [](const Item& item) { return item.time; });
    for (size_t i = 0; i < items.size(); ++i) order[i] = items[i].row;
  }
  return order;
}

namespace {

struct Row {
  uint32_t src = 0, dst = 0;
  uint16_t src_port = 0, dst_port = 0;
  uint8_t protocol = 0;

  Row reversed() const { return {dst, src, dst_port, src_port, protocol}; }
  bool operator==(const Row&) const = default;
};

// A row alone, or a row and its answer.
struct Unit {
  uint64_t major;  // protocol, service port, server
  uint64_t minor;  // client, place in time
  uint32_t first, second;
  bool operator<(const Unit& o) const { return major != o.major ? major < o.major : minor < o.minor; }
};
constexpr uint32_t kNone = UINT32_MAX;

// Towards the service: the side with the lower port serves.
bool is_question(const Row& r) { return r.dst_port <= r.src_port; }

uint64_t major_of(const Row& r) {
  const bool question = is_question(r);
  return uint64_t{r.protocol} << 56 | uint64_t{question ? r.dst_port : r.src_port} << 40 | (question ? r.dst : r.src);
}

}  // namespace

void order_blocks(const OrderKeys& keys, RowOrder& order) {
  const size_t blocks = (order.rows.size() + limits::kBlockRows - 1) / limits::kBlockRows;
  order.pairs.assign(blocks, 0);
  auto row_of = [&](uint32_t i) {
    Row r;
    if (!keys.src.empty()) r.src = keys.src[i];
    if (!keys.dst.empty()) r.dst = keys.dst[i];
    if (!keys.src_port.empty()) r.src_port = keys.src_port[i];
    if (!keys.dst_port.empty()) r.dst_port = keys.dst_port[i];
    if (!keys.protocol.empty()) r.protocol = keys.protocol[i];
    return r;
  };
  const bool two_sided = !keys.src.empty() && !keys.dst.empty();

  std::vector<Row> rows;
  std::vector<uint32_t> partner, slots(4 * limits::kBlockRows);
  std::vector<Unit> pairs, singles;
  for (size_t b = 0; b < blocks; ++b) {
    const auto block = std::span<uint32_t>(order.rows).subspan(b * limits::kBlockRows, std::min<size_t>(limits::kBlockRows, order.rows.size() - b * limits::kBlockRows));
    const auto n = static_cast<uint32_t>(block.size());
    rows.resize(n);
    for (uint32_t i = 0; i < n; ++i) rows[i] = row_of(block[i]);

    // A row is paired with the latest row before it that is its reverse and still alone. Slots hold row + 1 under a hash
    // that both directions share; a slot taken by another conversation is overwritten, which only costs a pair.
    partner.assign(n, kNone);
    if (two_sided) {
      std::fill(slots.begin(), slots.end(), 0);
      for (uint32_t i = 0; i < n; ++i) {
        const Row& r = rows[i];
        const uint64_t a = uint64_t{r.src} << 16 | r.src_port, c = uint64_t{r.dst} << 16 | r.dst_port;
        const uint64_t mixed = (std::min(a, c) * 0x9e3779b97f4a7c15ull + std::max(a, c)) * 0xc2b2ae3d27d4eb4full;
        uint32_t& slot = slots[mixed >> 46];
        if (slot != 0 && rows[slot - 1] == r.reversed()) {
          partner[i] = slot - 1;
          partner[slot - 1] = i;
          slot = 0;
        } else {
          slot = i + 1;
        }
      }
    }

    pairs.clear();
    singles.clear();
    for (uint32_t i = 0; i < n; ++i) {
      const uint32_t other = partner[i];
      if (other != kNone && other < i) continue;  // placed with its partner
      const bool swap = other != kNone && !is_question(rows[i]);
      const Row& head = rows[swap ? other : i];
      const Unit unit{major_of(head), uint64_t{is_question(head) ? head.src : head.dst} << 32 | i, block[swap ? other : i],
                      other == kNone ? kNone : block[swap ? i : other]};
      (other == kNone ? singles : pairs).push_back(unit);
    }
    std::sort(pairs.begin(), pairs.end());
    std::sort(singles.begin(), singles.end());
    order.pairs[b] = static_cast<uint32_t>(pairs.size());
    size_t at = 0;
    for (const Unit& u : pairs) {
      block[at++] = u.first;
      block[at++] = u.second;
    }
    for (const Unit& u : singles) block[at++] = u.first;
  }
}

}  // namespace sluice::segment
