// The hot loop of all scans, with the instructions that the machine has: Highway compiles this file once per target and
// picks one at run time. Kept in step with unpack_one by tests over every width and start.
//
// Eight values of w bits are w bytes, so from a value index that is a multiple of 8 each group of eight lies alike: one
// shuffle brings each value's bytes into its lane, one shift brings its bits to the bottom, one mask cuts the rest off.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "storage/codec/unpack_simd.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "hwy/highway.h"
#include "storage/codec/bitpack.h"
#include "storage/codec/unpack_simd.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::codec::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// No vectors: the plain twin.
template <typename T>
void Plain(const uint8_t* in, unsigned width, size_t groups, T* out, T add) {
  for (size_t i = 0; i < 8 * groups; ++i) out[i] = static_cast<T>(unpack_one(in, width, i) + add);
}
void Unpack16(const uint8_t* in, unsigned width, size_t groups, uint16_t* out, uint16_t add) { Plain(in, width, groups, out, add); }
void Unpack32(const uint8_t* in, unsigned width, size_t groups, uint32_t* out, uint32_t add) { Plain(in, width, groups, out, add); }
void Unpack64(const uint8_t* in, unsigned width, size_t groups, uint64_t* out, uint64_t add) { Plain(in, width, groups, out, add); }

#else

// How one 128-bit vector of lanes of L bytes gets `kLanes` values, the first of which begins at bit `start` of a group.
template <typename L>
struct Step {
  static constexpr size_t kLanes = 16 / sizeof(L);
  alignas(16) uint8_t bytes[16];
  alignas(16) L shifts[kLanes];
  size_t offset;  // of the load, in bytes from the group's start

  Step(unsigned width, size_t start) : offset(start / 8) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const size_t bit = start % 8 + lane * width;
      for (size_t b = 0; b < sizeof(L); ++b) bytes[lane * sizeof(L) + b] = static_cast<uint8_t>(bit / 8 + b);
      shifts[lane] = static_cast<L>(bit % 8);
    }
  }
};

template <typename L>
struct Shuffle {
  using D = hn::FixedTag<L, 16 / sizeof(L)>;
  using D8 = hn::FixedTag<uint8_t, 16>;
  hn::Vec<D8> bytes;
  hn::Vec<D> shifts;
  size_t offset;

  explicit Shuffle(const Step<L>& step) : bytes(hn::Load(D8(), step.bytes)), shifts(hn::Load(D(), step.shifts)), offset(step.offset) {}

  HWY_INLINE hn::Vec<D> operator()(const uint8_t* group, hn::Vec<D> mask) const {
    const auto loaded = hn::LoadU(D8(), group + offset);
    const auto lanes = hn::BitCast(D(), hn::TableLookupBytes(loaded, bytes));
    return hn::And(hn::Shr(lanes, shifts), mask);
  }
};

// Values of up to 25 bits: with the bits before its start, each is within four bytes.
HWY_ATTR void Unpack32(const uint8_t* in, unsigned width, size_t groups, uint32_t* out, uint32_t add) {
  using S = Shuffle<uint32_t>;
  const S::D d;
  const S low(Step<uint32_t>(width, 0)), high(Step<uint32_t>(width, size_t{4} * width));
  const auto mask = hn::Set(d, static_cast<uint32_t>((uint64_t{1} << width) - 1)), base = hn::Set(d, add);
  for (size_t g = 0; g < groups; ++g, in += width, out += 8) {
    hn::StoreU(hn::Add(low(in, mask), base), d, out);
    hn::StoreU(hn::Add(high(in, mask), base), d, out + 4);
  }
}

HWY_ATTR void Unpack16(const uint8_t* in, unsigned width, size_t groups, uint16_t* out, uint16_t add) {
  using S = Shuffle<uint32_t>;
  const S::D d;
  const hn::FixedTag<uint16_t, 8> d16;
  const hn::Half<decltype(d16)> d8;  // eight bytes
  const S low(Step<uint32_t>(width, 0)), high(Step<uint32_t>(width, size_t{4} * width));
  const auto mask = hn::Set(d, (uint32_t{1} << width) - 1);
  const auto base = hn::Set(d16, add);
  for (size_t g = 0; g < groups; ++g, in += width, out += 8)
    hn::StoreU(hn::Add(hn::Combine(d16, hn::TruncateTo(d8, high(in, mask)), hn::TruncateTo(d8, low(in, mask))), base), d16, out);
}

// Values of up to 57 bits.
HWY_ATTR void Unpack64(const uint8_t* in, unsigned width, size_t groups, uint64_t* out, uint64_t add) {
  using S = Shuffle<uint64_t>;
  const S::D d;
  const S a(Step<uint64_t>(width, 0)), b(Step<uint64_t>(width, size_t{2} * width)), c(Step<uint64_t>(width, size_t{4} * width)),
      e(Step<uint64_t>(width, size_t{6} * width));
  const auto mask = hn::Set(d, (uint64_t{1} << width) - 1), base = hn::Set(d, add);
  for (size_t g = 0; g < groups; ++g, in += width, out += 8) {
    hn::StoreU(hn::Add(a(in, mask), base), d, out);
    hn::StoreU(hn::Add(b(in, mask), base), d, out + 2);
    hn::StoreU(hn::Add(c(in, mask), base), d, out + 4);
    hn::StoreU(hn::Add(e(in, mask), base), d, out + 6);
  }
}

#endif  // HWY_SCALAR

}  // namespace sluice::codec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::codec {

HWY_EXPORT(Unpack16);
HWY_EXPORT(Unpack32);
HWY_EXPORT(Unpack64);

void unpack_groups(const uint8_t* in, unsigned width, size_t groups, uint16_t* out, uint16_t add) {
  HWY_DYNAMIC_DISPATCH(Unpack16)(in, width, groups, out, add);
}
void unpack_groups(const uint8_t* in, unsigned width, size_t groups, uint32_t* out, uint32_t add) {
  HWY_DYNAMIC_DISPATCH(Unpack32)(in, width, groups, out, add);
}
void unpack_groups(const uint8_t* in, unsigned width, size_t groups, uint64_t* out, uint64_t add) {
  HWY_DYNAMIC_DISPATCH(Unpack64)(in, width, groups, out, add);
}

}  // namespace sluice::codec
#endif
