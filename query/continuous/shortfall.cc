#include "query/continuous/shortfall.h"

#include <algorithm>
#include <bit>

#include "query/aggregate.h"
#include "query/continuous/limits.h"

namespace sluice::query::continuous {

Shortfall::Shortfall(size_t measures, size_t groups, size_t keys)
    : keys_(std::clamp<uint64_t>(std::bit_ceil(uint64_t{keys} * limits::kRuleLetGoKeyBits), limits::kRuleLetGoFilterBitsMin, limits::kRuleLetGoFilterBitsMax)),
      since_(groups, 0),
      most_(1, std::vector<double>(measures, 0)) {}

void Shortfall::begin(uint64_t key) {
  const bool is_partial = is_all_ || keys_.may_have(key);
  since_.push_back(is_partial ? static_cast<uint32_t>(most_.size()) : 0);
  partial_ += is_partial;
}

void Shortfall::add_all() {
  is_all_ = true;
  for (uint32_t& since : since_)
    if (since == 0) since = static_cast<uint32_t>(most_.size());
  partial_ = since_.size();
}

void Shortfall::renumber(std::span<const uint32_t> map, size_t groups, std::vector<double> most) {
  std::vector<uint32_t> since(groups, 0);
  partial_ = 0;
  for (size_t g = 0; g < map.size(); ++g) {
    if (map[g] == kNoGroup) continue;
    since[map[g]] = since_[g];
    partial_ += since_[g] != 0;
  }
  since_ = std::move(since);
  most_.push_back(std::move(most));
}

}  // namespace sluice::query::continuous
