// constant: every value is the same. Payload: the value as a varint.
#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

class Constant final : public IntegerCodec {
 public:
  CodecId id() const override { return CodecId::constant; }
  std::string_view name() const override { return "constant"; }
  std::optional<size_t> estimate(std::span<const uint64_t>, const Shape& shape) const override {
    if (shape.min != shape.max) return std::nullopt;
    return varint_size(shape.min);
  }
  void encode(std::span<const uint64_t>, const Shape& shape, std::string& out) const override { put_varint(out, shape.min); }
  Status decode(Bytes payload, uint32_t, uint32_t from, uint32_t to, Out out) const override {
    return fill(payload, to - from, out);
  }
  Status decode_rows(Bytes payload, uint32_t, std::span<const uint32_t> rows, Out out) const override {
    return fill(payload, rows.size(), out);
  }

 private:
  static Status fill(Bytes payload, size_t count, Out out) {
    ByteReader in(payload);
    const uint64_t value = in.varint();
    if (!in.ok()) return corrupt("constant: no value");
    out.visit([&](auto* p) {
      using T = std::remove_pointer_t<decltype(p)>;
      for (size_t i = 0; i < count; ++i) p[i] = static_cast<T>(value);
    });
    return {};
  }
};

}  // namespace

const IntegerCodec& constant_codec() {
  static const Constant codec;
  return codec;
}

}  // namespace sluice::codec
