#include "storage/codec/integer_codec.h"

#include <algorithm>
#include <array>

namespace sluice::codec {
namespace {

// A codec and how much dearer its bytes are than bit-packed ones, in percent: what must be saved before it is taken.
struct Row {
  const IntegerCodec* codec;
  unsigned price;
};

std::span<const Row> rows() {
  static const std::array<Row, 6> table = {{
      {&constant_codec(), 100},
      {&packed_codec(), 100},
      {&delta_codec(), 130},
      {&runs_codec(), 105},
      {&local_codec(), 115},
      {&frame_codec(), 160},
  }};
  return table;
}

}  // namespace

std::span<const IntegerCodec* const> integer_codecs() {
  static const auto list = [] {
    std::array<const IntegerCodec*, 6> codecs{};
    for (size_t i = 0; i < codecs.size(); ++i) codecs[i] = rows()[i].codec;
    return codecs;
  }();
  return list;
}

const IntegerCodec* find_codec(uint8_t id) {
  static const auto by_id = [] {
    std::array<const IntegerCodec*, 32> table{};
    for (const Row& row : rows()) table[static_cast<size_t>(row.codec->id())] = row.codec;
    return table;
  }();
  return id < by_id.size() ? by_id[id] : nullptr;
}

Shape Shape::of(std::span<const uint64_t> values, bool time) {
  SLUICE_CHECK(!values.empty() && values.size() <= kStreamValuesMax);
  Shape s;
  s.count = static_cast<uint32_t>(values.size());
  s.min = s.max = values[0];
  uint32_t changes = 0;
  uint64_t previous = values[0];
  for (uint64_t v : values) {
    s.min = std::min(s.min, v);
    s.max = std::max(s.max, v);
    changes += v != previous;
    previous = v;
  }
  s.runs = changes + 1;
  if (time && s.min != s.max) {
    auto divides = [&](auto scale) {
      for (uint64_t v : values)
        if ((v - s.min) % scale() != 0) return false;
      s.scale = scale();
      return true;
    };
    // Constants, so that the remainder costs a multiplication.
    divides([] { return uint64_t{1'000'000'000}; }) || divides([] { return uint64_t{1'000'000}; }) || divides([] { return uint64_t{1'000}; });
  }
  return s;
}

CodecId encode_integers(std::span<const uint64_t> values, std::string& out, bool time, uint32_t without) {
  if (values.empty()) {
    out.push_back(static_cast<char>(CodecId::constant));
    put_varint(out, 0);
    return CodecId::constant;
  }
  const Shape shape = Shape::of(values, time);
  const IntegerCodec* best = nullptr;
  size_t best_cost = 0;
  for (const Row& row : rows()) {
    if (without >> static_cast<unsigned>(row.codec->id()) & 1) continue;
    const auto size = row.codec->estimate(values, shape);
    if (!size) continue;
    const size_t cost = *size * row.price;
    if (!best || cost < best_cost) {
      best = row.codec;
      best_cost = cost;
    }
    if (best->id() == CodecId::constant) break;
  }
  SLUICE_CHECK(best != nullptr);
  out.push_back(static_cast<char>(best->id()));
  best->encode(values, shape, out);
  return best->id();
}

Status decode_integers(Bytes stream, uint32_t count, uint32_t from, uint32_t to, Out out) {
  SLUICE_CHECK(from <= to && to <= count && count <= kStreamValuesMax);
  if (from == to) return {};
  const IntegerCodec* codec = stream.empty() ? nullptr : find_codec(stream[0]);
  if (!codec) return corrupt("stream: unknown codec");
  return codec->decode(stream.subspan(1), count, from, to, out);
}

Status decode_integer_rows(Bytes stream, uint32_t count, std::span<const uint32_t> wanted, Out out) {
  SLUICE_CHECK(count <= kStreamValuesMax && (wanted.empty() || wanted.back() < count));
  if (wanted.empty()) return {};
  const IntegerCodec* codec = stream.empty() ? nullptr : find_codec(stream[0]);
  if (!codec) return corrupt("stream: unknown codec");
  return codec->decode_rows(stream.subspan(1), count, wanted, out);
}

std::string_view codec_name(Bytes stream) {
  const IntegerCodec* codec = stream.empty() ? nullptr : find_codec(stream[0]);
  return codec ? codec->name() : "?";
}

}  // namespace sluice::codec
