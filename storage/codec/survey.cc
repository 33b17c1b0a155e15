// The pass that every column of a segment goes through several times, with the instructions that the machine has: Highway compiles
// this file once per target and picks one at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "storage/codec/survey.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include <algorithm>

#include "hwy/highway.h"
#include "storage/codec/survey.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::codec::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_ATTR void Look(const uint64_t* values, size_t count, Survey* out) {
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d);
  auto low = hn::Set(d, values[0]), high = low;
  size_t changes = 0, i = 1;
  for (; i + lanes <= count; i += lanes) {
    const auto v = hn::LoadU(d, values + i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
    changes += hn::CountTrue(d, hn::Ne(v, hn::LoadU(d, values + i - 1)));
  }
  HWY_ALIGN uint64_t lows[hn::MaxLanes(d)], highs[hn::MaxLanes(d)];
  hn::Store(low, d, lows);
  hn::Store(high, d, highs);
  out->min = *std::min_element(lows, lows + lanes);
  out->max = *std::max_element(highs, highs + lanes);
  for (; i < count; ++i) {
    out->min = std::min(out->min, values[i]);
    out->max = std::max(out->max, values[i]);
    changes += values[i] != values[i - 1];
  }
  out->changes = static_cast<uint32_t>(changes);
}

}  // namespace sluice::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::codec {

HWY_EXPORT(Look);

Survey survey(std::span<const uint64_t> values) {
  Survey out;
  HWY_DYNAMIC_DISPATCH(Look)(values.data(), values.size(), &out);
  return out;
}

}  // namespace sluice::codec
#endif
