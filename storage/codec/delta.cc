// delta: differences between neighbours, packed. Each granule starts from its own value, so it decodes alone.
//
// Payload: u8 mode (0: differences, never negative; 1: zigzag of them; 2: the same, all below 2^32), varint min, varint
// scale, u8 first_bytes, the first quotient of each granule in first_bytes, then the payload of `packed` with one difference
// per value (0 for a granule's first). value = min + scale · quotient.
#include <algorithm>
#include <vector>

#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

enum Mode : uint8_t { kPlain = 0, kZigzag = 1, kShortZigzag = 2 };

struct Differences {
  std::vector<uint64_t> firsts, steps;
  uint8_t mode = kPlain;
};

Differences differences(std::span<const uint64_t> values, const Shape& shape) {
  Differences d;
  d.steps.resize(values.size());
  uint64_t previous = 0;
  bool falls = false;
  uint64_t widest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint64_t q = shape.scale == 1           ? values[i] - shape.min
                       : shape.scale == 1'000'000 ? (values[i] - shape.min) / 1'000'000
                                                  : (values[i] - shape.min) / shape.scale;
    if (i % kCodecGranule == 0) {
      d.firsts.push_back(q);
      d.steps[i] = 0;
    } else {
      d.steps[i] = q - previous;
      falls |= q < previous;
    }
    previous = q;
  }
  if (falls) {
    for (uint64_t& s : d.steps) {
      s = zigzag(s);
      widest |= s;
    }
    d.mode = widest >> 32 == 0 ? kShortZigzag : kZigzag;
  }
  return d;
}

struct Header {
  uint8_t mode;
  uint64_t min, scale;
  unsigned first_bytes;
  Bytes firsts, steps;

  static Result<Header> of(Bytes payload, uint32_t count) {
    Header h;
    ByteReader in(payload);
    h.mode = in.get<uint8_t>();
    h.min = in.varint();
    h.scale = in.varint();
    h.first_bytes = in.get<uint8_t>();
    if (!in.ok() || h.mode > kShortZigzag || h.first_bytes > 8) return corrupt("delta: bad header");
    h.firsts = in.take(size_t{(count + kCodecGranule - 1) / kCodecGranule} * h.first_bytes);
    h.steps = in.rest();
    if (!in.ok()) return corrupt("delta: cut short");
    return h;
  }

  // Values [from, to) of granule g, counted from its start.
  template <typename T>
  Status granule(uint32_t count, uint32_t g, uint32_t from, uint32_t to, T* out) const {
    const uint32_t start = g * kCodecGranule;
    const uint64_t first = load_bytes(firsts.data() + size_t{g} * first_bytes, first_bytes);
    // Only sums modulo the type's width are kept, so narrow types are added up in 32 bits, which is twice as quick.
    if (sizeof(T) <= 4 && mode != kZigzag) return sum_up<uint32_t>(count, start, from, to, first, out);
    return sum_up<uint64_t>(count, start, from, to, first, out);
  }

  template <typename S, typename T>
  Status sum_up(uint32_t count, uint32_t start, uint32_t from, uint32_t to, uint64_t first, T* out) const {
    S sums[kCodecGranule];
    // Of a step that does not fit in 32 bits its low half, which is what counts.
    SLUICE_TRY(packed_codec().decode(steps, count, start, start + to, Out(sums)));
    const auto m = static_cast<S>(min), factor = static_cast<S>(scale);
    if (scale == 1) {
      add_up(sums, to, static_cast<S>(first + min));
      for (uint32_t i = from; i < to; ++i) out[i - from] = static_cast<T>(sums[i]);
    } else {
      add_up(sums, to, static_cast<S>(first));
      for (uint32_t i = from; i < to; ++i) out[i - from] = static_cast<T>(m + factor * sums[i]);
    }
    return {};
  }

  template <typename S>
  void add_up(S* sums, uint32_t count, S q) const {
    if (count == 0) return;
    if (mode != kPlain)
      for (uint32_t i = 0; i < count; ++i) sums[i] = static_cast<S>((sums[i] >> 1) ^ (0 - (sums[i] & 1)));
    sums[0] = q;
    // Four at a time: only one addition in four waits for the one before.
    uint32_t i = 1;
    for (; i + 4 <= count; i += 4) {
      const S a = sums[i], b = static_cast<S>(a + sums[i + 1]), c = static_cast<S>(b + sums[i + 2]), d = static_cast<S>(c + sums[i + 3]);
      sums[i] = static_cast<S>(q + a);
      sums[i + 1] = static_cast<S>(q + b);
      sums[i + 2] = static_cast<S>(q + c);
      q = sums[i + 3] = static_cast<S>(q + d);
    }
    for (; i < count; ++i) q = sums[i] = static_cast<S>(q + sums[i]);
  }
};

class Delta final : public IntegerCodec {
 public:
  CodecId id() const override { return CodecId::delta; }
  std::string_view name() const override { return "delta"; }

  std::optional<size_t> estimate(std::span<const uint64_t> values, const Shape& shape) const override {
    const Differences d = differences(values, shape);
    const uint64_t first_max = *std::max_element(d.firsts.begin(), d.firsts.end());
    return 2 + varint_size(shape.min) + varint_size(shape.scale) + d.firsts.size() * bytes_for(first_max) +
           *packed_codec().estimate(d.steps, Shape::of(d.steps));
  }

  void encode(std::span<const uint64_t> values, const Shape& shape, std::string& out) const override {
    const Differences d = differences(values, shape);
    const unsigned first_bytes = bytes_for(*std::max_element(d.firsts.begin(), d.firsts.end()));
    out.push_back(static_cast<char>(d.mode));
    put_varint(out, shape.min);
    put_varint(out, shape.scale);
    out.push_back(static_cast<char>(first_bytes));
    for (uint64_t first : d.firsts) put_bytes(out, first, first_bytes);
    packed_codec().encode(d.steps, Shape::of(d.steps), out);
  }

  Status decode(Bytes payload, uint32_t count, uint32_t from, uint32_t to, Out out) const override {
    SLUICE_ASSIGN(const Header header, Header::of(payload, count));
    return out.visit([&](auto* p) -> Status {
      while (from < to) {
        const uint32_t g = from / kCodecGranule, start = g * kCodecGranule;
        const uint32_t end = std::min(to, start + kCodecGranule);
        SLUICE_TRY(header.granule(count, g, from - start, end - start, p));
        p += end - from;
        from = end;
      }
      return {};
    });
  }

  Status decode_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, Out out) const override {
    SLUICE_ASSIGN(const Header header, Header::of(payload, count));
    return out.visit([&](auto* p) -> Status {
      using T = std::remove_pointer_t<decltype(p)>;
      for (size_t i = 0; i < rows.size();) {
        const uint32_t g = rows[i] / kCodecGranule, start = g * kCodecGranule;
        size_t end = i + 1;
        while (end < rows.size() && rows[end] / kCodecGranule == g) ++end;
        T buffer[kCodecGranule];
        SLUICE_TRY(header.granule(count, g, 0, rows[end - 1] - start + 1, buffer));
        for (; i < end; ++i) p[i] = buffer[rows[i] - start];
      }
      return {};
    });
  }
};

}  // namespace

const IntegerCodec& delta_codec() {
  static const Delta codec;
  return codec;
}

}  // namespace sluice::codec
