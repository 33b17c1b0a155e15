#include "bench/generate/truth.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace sluice::generate {
namespace {

void count(Counts& counts, const Flow& flow) {
  ++counts.flows;
  counts.bytes += flow.bytes;
  counts.packets += flow.packets;
}

std::string json_counts(const Counts& c) {
  return "\"flows\":" + std::to_string(c.flows) + ",\"bytes\":" + std::to_string(c.bytes) + ",\"packets\":" + std::to_string(c.packets);
}

}  // namespace

void Truth::add(const Flow& flow) {
  count(total_, flow);
  count(by_reporter_[reporters_.name_of(flow)], flow);
  count(addresses_[flow.src], flow);
  if (flow.src != flow.dst) count(addresses_[flow.dst], flow);
  first_end_ = std::min(first_end_, flow.end);
  last_end_ = std::max(last_end_, flow.end);
}

Counts Truth::of_address(const IpAddress& ip) const {
  const auto at = addresses_.find(ip);
  return at == addresses_.end() ? Counts{} : at->second;
}

std::optional<IpAddress> Truth::nearest(uint64_t rows) const {
  std::optional<IpAddress> best;
  uint64_t best_distance = UINT64_MAX;
  for (const auto& [ip, counts] : addresses_) {
    const uint64_t distance = counts.flows > rows ? counts.flows - rows : rows - counts.flows;
    if (distance < best_distance || (distance == best_distance && ip < *best)) best = ip, best_distance = distance;
  }
  return best;
}

std::optional<IpAddress> Truth::median() const {
  if (addresses_.empty()) return std::nullopt;
  std::vector<std::pair<uint64_t, IpAddress>> order;
  order.reserve(addresses_.size());
  for (const auto& [ip, counts] : addresses_) order.emplace_back(counts.flows, ip);
  const auto middle = order.begin() + static_cast<ptrdiff_t>(order.size() / 2);
  std::nth_element(order.begin(), middle, order.end());
  return middle->second;
}

std::string Truth::json(const std::string& head) const {
  std::string out = "{" + head + (head.empty() ? "" : ",") + json_counts(total_);
  out += ",\"addresses\":" + std::to_string(addresses_.size());
  if (total_.flows > 0) {
    out += ",\"first_end\":\"" + format_timestamp(first_end_) + "\",\"last_end\":\"" + format_timestamp(last_end_) + "\"";
  }
  out += ",\"reporters\":{";
  bool first = true;
  for (const auto& [name, counts] : by_reporter_) {
    if (!std::exchange(first, false)) out += ",";
    out += "\"" + name + "\":{" + json_counts(counts) + "}";
  }
  out += "},\"needles\":{";
  first = true;
  const auto needle = [&](const char* name, const std::optional<IpAddress>& ip) {
    if (!ip) return;
    if (!std::exchange(first, false)) out += ",";
    out += std::string("\"") + name + "\":{\"ip\":\"" + to_string(*ip) + "\"," + json_counts(of_address(*ip)) + "}";
  };
  needle("median", median());
  needle("rare", nearest(20));
  needle("common", nearest(total_.flows / 20'000));
  needle("heavy", nearest(total_.flows / 200));
  out += "}}\n";
  return out;
}

}  // namespace sluice::generate
