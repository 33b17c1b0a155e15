// frame: values cut into bytes, bytes of equal weight together, each such plane compressed. For values that are skewed but
// not small: what bit-packing leaves, entropy coding takes. Slower to read than the others, so it must save a lot.
//
// Payload: varint min, varint scale, u8 planes; per group of kGroup values and plane a u32 length of its piece
// (compress.h); the pieces, group by group, low plane first. value = min + scale · Σ plane_b << 8b.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "storage/codec/compress.h"
#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

// Small enough that one row of a block opens an eighth of it, large enough for a good table of frequencies.
constexpr uint32_t kGroup = 8 * kCodecGranule;

unsigned planes_of(const Shape& shape) { return bytes_for((shape.max - shape.min) / shape.scale); }

class FrameReader {
 public:
  static Result<FrameReader> of(Bytes payload, uint32_t count) {
    FrameReader r;
    ByteReader in(payload);
    r.count_ = count;
    r.min_ = in.varint();
    r.scale_ = in.varint();
    r.planes_ = in.get<uint8_t>();
    if (!in.ok() || r.planes_ > 8) return corrupt("frame: bad header");
    r.lengths_ = in.take(size_t{(count + kGroup - 1) / kGroup} * r.planes_ * 4);
    r.pieces_ = in.rest();
    if (!in.ok()) return corrupt("frame: cut short");
    return r;
  }

  // Opens a group's values as numbers. Calls must ascend.
  Status open(uint32_t group, std::vector<uint64_t>& values) {
    const uint32_t rows = std::min(kGroup, count_ - group * kGroup);
    values.assign(rows, 0);
    std::array<uint8_t, kGroup> plane;
    for (;; ++next_) {
      for (unsigned b = 0; b < planes_; ++b) {
        const auto length = load<uint32_t>(lengths_.data() + (size_t{next_} * planes_ + b) * 4);
        if (length > pieces_.size() - offset_) return corrupt("frame: piece beyond the end");
        if (next_ == group) {
          SLUICE_TRY(expand_piece(pieces_.subspan(offset_, length), plane.data(), rows));
          for (uint32_t i = 0; i < rows; ++i) values[i] |= static_cast<uint64_t>(plane[i]) << (8 * b);
        }
        offset_ += length;
      }
      if (next_ == group) break;
    }
    ++next_;
    for (uint64_t& v : values) v = min_ + scale_ * v;
    return {};
  }

 private:
  uint32_t count_ = 0;
  uint64_t min_ = 0, scale_ = 1;
  unsigned planes_ = 0;
  Bytes lengths_, pieces_;
  uint32_t next_ = 0;
  size_t offset_ = 0;
};

class FrameCodec final : public IntegerCodec {
 public:
  CodecId id() const override { return CodecId::frame; }
  std::string_view name() const override { return "frame"; }

  std::optional<size_t> estimate(std::span<const uint64_t> values, const Shape& shape) const override {
    if (shape.count < 512) return std::nullopt;
    const unsigned planes = planes_of(shape);
    // Order-0 entropy of each plane over the block, from every second value.
    double bits = 0;
    for (unsigned b = 0; b < planes; ++b) {
      std::array<uint32_t, 256> histogram{};
      size_t n = 0;
      for (size_t i = 0; i < values.size(); i += 2, ++n) ++histogram[(values[i] - shape.min) / shape.scale >> (8 * b) & 0xff];
      for (uint32_t h : histogram)
        if (h > 0) bits -= 2 * h * std::log2(static_cast<double>(h) / static_cast<double>(n));
    }
    return static_cast<size_t>(bits / 8) + (values.size() / kGroup + 1) * planes * 60;
  }

  void encode(std::span<const uint64_t> values, const Shape& shape, std::string& out) const override {
    const unsigned planes = planes_of(shape);
    put_varint(out, shape.min);
    put_varint(out, shape.scale);
    out.push_back(static_cast<char>(planes));
    const size_t groups = (values.size() + kGroup - 1) / kGroup;
    const size_t lengths = out.size();
    out.append(groups * planes * 4, '\0');
    std::vector<uint64_t> q;
    std::vector<uint8_t> plane;
    for (size_t g = 0; g < groups; ++g) {
      const auto part = values.subspan(g * kGroup, std::min<size_t>(kGroup, values.size() - g * kGroup));
      q.resize(part.size());
      for (size_t i = 0; i < part.size(); ++i) q[i] = (part[i] - shape.min) / shape.scale;
      plane.resize(part.size());
      for (unsigned b = 0; b < planes; ++b) {
        for (size_t i = 0; i < q.size(); ++i) plane[i] = static_cast<uint8_t>(q[i] >> (8 * b));
        const size_t start = out.size();
        compress_piece(plane, out, true);
        const auto length = static_cast<uint32_t>(out.size() - start);
        std::memcpy(out.data() + lengths + (g * planes + b) * 4, &length, 4);
      }
    }
  }

  Status decode(Bytes payload, uint32_t count, uint32_t from, uint32_t to, Out out) const override {
    SLUICE_ASSIGN(FrameReader reader, FrameReader::of(payload, count));
    return out.visit([&](auto* p) -> Status {
      using T = std::remove_pointer_t<decltype(p)>;
      std::vector<uint64_t> values;
      while (from < to) {
        const uint32_t group = from / kGroup, start = group * kGroup;
        const uint32_t end = std::min(to, start + kGroup);
        SLUICE_TRY(reader.open(group, values));
        for (; from < end; ++from) *p++ = static_cast<T>(values[from - start]);
      }
      return {};
    });
  }

  Status decode_rows(Bytes payload, uint32_t count, std::span<const uint32_t> rows, Out out) const override {
    SLUICE_ASSIGN(FrameReader reader, FrameReader::of(payload, count));
    return out.visit([&](auto* p) -> Status {
      using T = std::remove_pointer_t<decltype(p)>;
      std::vector<uint64_t> values;
      for (size_t i = 0; i < rows.size();) {
        const uint32_t group = rows[i] / kGroup, start = group * kGroup;
        SLUICE_TRY(reader.open(group, values));
        for (; i < rows.size() && rows[i] / kGroup == group; ++i) p[i] = static_cast<T>(values[rows[i] - start]);
      }
      return {};
    });
  }
};

}  // namespace

const IntegerCodec& frame_codec() {
  static const FrameCodec codec;
  return codec;
}

}  // namespace sluice::codec
