// packed: frame of reference and bit-packing, with patches. Each granule has its own base and width; the few values that are
// too wide are packed by their low bits and patched by their high ones, so that one elephant does not widen 1,024 mice.
//
// Payload: varint min, varint scale, u8 base_bytes; per granule an entry {u8 width, u8 high_bytes, u16 patches, base of
// base_bytes}; per granule its data {packed low bits, u16 positions[patches], highs[patches] of high_bytes each}; then
// kUnpackSlack zero bytes. value = min + scale · (base + (low | high << width)), modulo 2^64.
// The idea of patches: Zukowski et al., "Super-Scalar RAM-CPU Cache Compression", ICDE 2006.
#include <algorithm>
#include <array>
#include <vector>

#include "storage/codec/bitpack.h"
#include "storage/codec/integer_codec.h"
#include "storage/codec/survey.h"

namespace sluice::codec {
namespace {

struct Plan {
  uint64_t base = 0;
  unsigned width = 0, high_bytes = 0;
  uint32_t patches = 0;
  size_t bytes = 0;  // of the granule's data
};

// The cheapest width of one granule's quotients.
Plan plan_of(const uint64_t* q, size_t count) {
  const Survey seen = survey({q, count});
  const uint64_t lo = seen.min, hi = seen.max;
  if (lo == hi) return Plan{lo, 0, 0, 0, 0};
  // Neighbours mostly have the same width: counted apart, they don't wait for each other.
  std::array<std::array<uint32_t, 4>, 65> counts{};
  for (size_t i = 0; i < count; ++i) ++counts[static_cast<size_t>(std::bit_width(q[i] - lo))][i % 4];
  const auto histogram = [&counts](unsigned width) { return counts[width][0] + counts[width][1] + counts[width][2] + counts[width][3]; };
  const unsigned widest = static_cast<unsigned>(std::bit_width(hi - lo));
  Plan best{lo, widest, 0, 0, packed_bytes(count, widest)};
  uint32_t wider = 0;
  for (unsigned width = widest; width-- > 0;) {
    wider += histogram(width + 1);
    const unsigned high_bytes = (widest - width + 7) / 8;
    const size_t bytes = packed_bytes(count, width) + wider * (2 + high_bytes);
    if (bytes < best.bytes) best = Plan{lo, width, high_bytes, wider, bytes};
  }
  return best;
}

// (value - min) / scale, the common scales by a constant so that no division is left.
void quotients(std::span<const uint64_t> values, const Shape& shape, uint64_t* q) {
  const uint64_t min = shape.min;
  const size_t n = values.size();
  switch (shape.scale) {
    case 1:
      for (size_t i = 0; i < n; ++i) q[i] = values[i] - min;
      break;
    case 1'000:
      for (size_t i = 0; i < n; ++i) q[i] = (values[i] - min) / 1'000;
      break;
    case 1'000'000:
      for (size_t i = 0; i < n; ++i) q[i] = (values[i] - min) / 1'000'000;
      break;
    default:
      for (size_t i = 0; i < n; ++i) q[i] = (values[i] - min) / shape.scale;
  }
}

struct Granule {
  const uint8_t* data;
  uint64_t base;  // as a value: min + scale · base
  unsigned width, high_bytes;
  uint32_t patches;
  uint32_t rows;
};

// The payload's frame: every offset checked once, granules then come in order.
class Frame {
 public:
  static Result<Frame> of(Bytes payload, uint32_t count) {
    Frame f;
    ByteReader in(payload);
    f.count_ = count;
    f.min_ = in.varint();
    f.scale_ = in.varint();
    f.base_bytes_ = in.get<uint8_t>();
    if (!in.ok() || f.base_bytes_ > 8) return corrupt("packed: bad header");
    const uint32_t granules = (count + kCodecGranule - 1) / kCodecGranule;
    f.entries_ = in.take(size_t{granules} * (4 + f.base_bytes_));
    if (!in.ok() || in.left() < kUnpackSlack) return corrupt("packed: cut short");
    f.data_ = in.take(in.left() - kUnpackSlack);
    return f;
  }

  uint64_t scale() const { return scale_; }

  // The granule at `index`. Calls must ascend.
  Result<Granule> granule(uint32_t index) {
    while (true) {
      const uint8_t* e = entries_.data() + size_t{next_} * (4 + base_bytes_);
      Granule g;
      g.width = e[0];
      g.high_bytes = e[1];
      g.patches = load<uint16_t>(e + 2);
      g.rows = std::min(kCodecGranule, count_ - next_ * kCodecGranule);
      if (g.width > 64 || g.high_bytes > 8 || g.patches > g.rows || (g.patches > 0 && g.width > 63))
        return corrupt("packed: bad granule");
      const size_t bytes = packed_bytes(g.rows, g.width) + size_t{g.patches} * (2 + g.high_bytes);
      if (bytes > data_.size() - offset_) return corrupt("packed: granule beyond the end");
      g.data = data_.data() + offset_;
      if (next_ == index) {
        g.base = min_ + scale_ * load_bytes(e + 4, base_bytes_);
        return g;
      }
      offset_ += bytes;
      ++next_;
    }
  }

 private:
  uint32_t count_ = 0;
  uint64_t min_ = 0, scale_ = 1;
  unsigned base_bytes_ = 0;
  Bytes entries_, data_;
  uint32_t next_ = 0;
  size_t offset_ = 0;
};

// Values are those of the stream modulo 2^bits(T): what a twin's second rows add to their first may be wider than the column.
template <typename T>
void decode_granule(const Granule& g, uint64_t scale, uint32_t from, uint32_t to, T* out) {
  if constexpr (sizeof(T) < 8) {
    // The unpackers know no values wider than what they unpack to.
    if (g.width > 8 * sizeof(T)) {
      uint64_t wide[kCodecGranule];
      decode_granule(g, scale, from, to, wide);
      for (uint32_t i = 0; i < to - from; ++i) out[i] = static_cast<T>(wide[i]);
      return;
    }
  }
  if (scale == 1) {
    unpack_bits(g.data, g.width, from, to - from, out, static_cast<T>(g.base));
  } else {
    unpack_bits(g.data, g.width, from, to - from, out, T{0});
    for (uint32_t i = 0; i < to - from; ++i) out[i] = static_cast<T>(g.base + scale * out[i]);
  }
  const uint8_t* positions = g.data + packed_bytes(g.rows, g.width);
  const uint8_t* highs = positions + size_t{g.patches} * 2;
  for (uint32_t i = 0; i < g.patches; ++i) {
    const uint32_t position = load<uint16_t>(positions + size_t{i} * 2);
    if (position < from) continue;
    if (position >= to) break;  // positions ascend; if hostile bytes don't, values are wrong but in place
    const uint64_t high = load_bytes(highs + size_t{i} * g.high_bytes, g.high_bytes) << g.width;
    out[position - from] = static_cast<T>(out[position - from] + scale * high);
  }
}

class Packed final : public IntegerCodec {
 public:
  CodecId id() const override { return CodecId::packed; }
  std::string_view name() const override { return "packed"; }

  std::optional<size_t> estimate(std::span<const uint64_t> values, const Shape& shape) const override {
    thread_local std::vector<uint64_t> q;
    q.resize(values.size());
    quotients(values, shape, q.data());
    size_t bytes = varint_size(shape.min) + varint_size(shape.scale) + 1 + kUnpackSlack;
    uint64_t base_max = 0;
    size_t granules = 0;
    for (size_t at = 0; at < q.size(); at += kCodecGranule, ++granules) {
      const Plan plan = plan_of(q.data() + at, std::min<size_t>(kCodecGranule, q.size() - at));
      bytes += plan.bytes;
      base_max = std::max(base_max, plan.base);
    }
    return bytes + granules * (4 + bytes_for(base_max));
  }

  void encode(std::span<const uint64_t> values, const Shape& shape, std::string& out) const override {
    std::vector<uint64_t> q(values.size());
    quotients(values, shape, q.data());
    const size_t granules = (q.size() + kCodecGranule - 1) / kCodecGranule;
    std::vector<Plan> plans(granules);
    uint64_t base_max = 0;
    for (size_t g = 0; g < granules; ++g) {
      const size_t at = g * kCodecGranule;
      plans[g] = plan_of(q.data() + at, std::min<size_t>(kCodecGranule, q.size() - at));
      base_max = std::max(base_max, plans[g].base);
    }
    const unsigned base_bytes = bytes_for(base_max);
    put_varint(out, shape.min);
    put_varint(out, shape.scale);
    out.push_back(static_cast<char>(base_bytes));
    for (const Plan& plan : plans) {
      out.push_back(static_cast<char>(plan.width));
      out.push_back(static_cast<char>(plan.high_bytes));
      put(out, static_cast<uint16_t>(plan.patches));
      put_bytes(out, plan.base, base_bytes);
    }
    for (size_t g = 0; g < granules; ++g) {
      const Plan& plan = plans[g];
      const size_t at = g * kCodecGranule;
      const size_t n = std::min<size_t>(kCodecGranule, q.size() - at);
      for (size_t i = at; i < at + n; ++i) q[i] -= plan.base;
      pack_bits(q.data() + at, n, plan.width, out);
      if (plan.patches == 0) continue;
      for (size_t i = 0; i < n; ++i)
        if (q[at + i] >> plan.width != 0) put(out, static_cast<uint16_t>(i));
      for (size_t i = 0; i < n; ++i)
        if (q[at + i] >> plan.width != 0) put_bytes(out, q[at + i] >> plan.width, plan.high_bytes);
    }
    out.append(kUnpackSlack, '\0');
  }

  Status decode(Bytes payload, uint32_t count, uint32_t from, uint32_t to, Out out) const override {
    SLUICE_ASSIGN(Frame frame, Frame::of(payload, count));
    return out.visit([&](auto* p) -> Status {
      while (from < to) {
        const uint32_t g = from / kCodecGranule, start = g * kCodecGranule;
        const uint32_t end = std::min(to, start + kCodecGranule);
        SLUICE_ASSIGN(const Granule granule, frame.granule(g));
        decode_granule(granule, frame.scale(), from - start, end - start, p);
        p += end - from;
        from = end;
      }
      return {};
    });
  }

  Status decode_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, Out out) const override {
    SLUICE_ASSIGN(Frame frame, Frame::of(payload, count));
    return out.visit([&](auto* p) -> Status {
      using T = std::remove_pointer_t<decltype(p)>;
      for (size_t i = 0; i < rows.size();) {
        const uint32_t g = rows[i] / kCodecGranule, start = g * kCodecGranule;
        size_t end = i + 1;
        while (end < rows.size() && rows[end] / kCodecGranule == g) ++end;
        SLUICE_ASSIGN(const Granule granule, frame.granule(g));
        if (end - i > kCodecGranule / 8 || granule.patches > 0) {
          // Many rows, or patches to look up: the granule as a whole is quicker.
          T buffer[kCodecGranule];
          const uint32_t a = rows[i] - start, b = rows[end - 1] - start + 1;
          decode_granule(granule, frame.scale(), a, b, buffer);
          for (; i < end; ++i) p[i] = buffer[rows[i] - start - a];
        } else {
          for (; i < end; ++i)
            p[i] = static_cast<T>(granule.base + frame.scale() * unpack_one(granule.data, granule.width, rows[i] - start));
        }
      }
      return {};
    });
  }
};

}  // namespace

const IntegerCodec& packed_codec() {
  static const Packed codec;
  return codec;
}

}  // namespace sluice::codec
