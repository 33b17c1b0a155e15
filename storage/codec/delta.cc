// delta: differences between neighbours, packed. Each granule starts from its own value, so it decodes alone.
//
// Payload: u8 mode (0: differences, never negative; 1: zigzag of them), varint min, varint scale, u8 first_bytes, the first
// quotient of each granule in first_bytes, then the payload of `packed` with one difference per value (0 for a granule's
// first). value = min + scale · quotient.
#include <algorithm>
#include <vector>

#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

struct Differences {
  std::vector<uint64_t> firsts, steps;
  bool zigzagged = false;
};

Differences differences(std::span<const uint64_t> values, const Shape& shape) {
  Differences d;
  d.steps.resize(values.size());
  uint64_t previous = 0;
  bool falls = false;
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
  d.zigzagged = falls;
  if (falls)
    for (uint64_t& s : d.steps) s = zigzag(s);
  return d;
}

struct Header {
  bool zigzagged;
  uint64_t min, scale;
  unsigned first_bytes;
  Bytes firsts, steps;

  static Result<Header> of(Bytes payload, uint32_t count) {
    Header h;
    ByteReader in(payload);
    const uint8_t mode = in.get<uint8_t>();
    h.zigzagged = mode == 1;
    h.min = in.varint();
    h.scale = in.varint();
    h.first_bytes = in.get<uint8_t>();
    if (!in.ok() || mode > 1 || h.first_bytes > 8) return corrupt("delta: bad header");
    h.firsts = in.take(size_t{(count + kCodecGranule - 1) / kCodecGranule} * h.first_bytes);
    h.steps = in.rest();
    if (!in.ok()) return corrupt("delta: cut short");
    return h;
  }

  // Values [from, to) of granule g, counted from its start.
  template <typename T>
  Status granule(uint32_t count, uint32_t g, uint32_t from, uint32_t to, T* out) const {
    uint64_t steps_buffer[kCodecGranule];
    const uint32_t start = g * kCodecGranule;
    SLUICE_TRY(packed_codec().decode(steps, count, start, start + to, Out(steps_buffer)));
    uint64_t q = load_bytes(firsts.data() + size_t{g} * first_bytes, first_bytes);
    steps_buffer[0] = 0;
    if (zigzagged) {
      for (uint32_t i = 0; i < to; ++i) {
        q += unzigzag(steps_buffer[i]);
        steps_buffer[i] = q;
      }
    } else {
      for (uint32_t i = 0; i < to; ++i) {
        q += steps_buffer[i];
        steps_buffer[i] = q;
      }
    }
    for (uint32_t i = from; i < to; ++i) out[i - from] = static_cast<T>(min + scale * steps_buffer[i]);
    return {};
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
    out.push_back(d.zigzagged ? 1 : 0);
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
