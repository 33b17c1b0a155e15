#include "storage/codec/integer_codec.h"

#include <algorithm>
#include <array>
#include <vector>

#include "storage/codec/survey.h"

namespace sluice::codec {
namespace {

// What a codec's size is known from.
enum class Guess {
  shape,   // the shape alone
  sample,  // a part of the values stands for all of them
  values,  // a part rules it out, but only all values rule it in: a list of distinct values does not grow with the rows
};

// A codec and how much dearer its bytes are than bit-packed ones, in percent: what must be saved before it is taken.
struct Row {
  const IntegerCodec* codec;
  unsigned price;
  Guess guess;
};

std::span<const Row> rows() {
  static const std::array<Row, 6> table = {{
      {&constant_codec(), 100, Guess::shape},
      {&packed_codec(), 100, Guess::sample},
      {&delta_codec(), 130, Guess::sample},
      {&runs_codec(), 105, Guess::shape},
      {&local_codec(), 115, Guess::values},
      {&frame_codec(), 160, Guess::sample},
  }};
  return table;
}

// A stream of many granules is judged by some of them, spread evenly and taken whole, since each is packed by itself. Guessing
// costs as much as encoding, and is done for four codecs.
constexpr size_t kSampleGranules = 10;
constexpr size_t kSampledFrom = 3 * kSampleGranules * kCodecGranule;  // values; shorter streams are judged whole

// Empty: judge all of them. Valid until the thread's next call.
std::span<const uint64_t> sample_of(std::span<const uint64_t> values) {
  if (values.size() < kSampledFrom) return {};
  thread_local std::vector<uint64_t> sample(kSampleGranules * kCodecGranule);
  const size_t granules = values.size() / kCodecGranule;
  for (size_t i = 0; i < kSampleGranules; ++i) {
    // The middle of each tenth.
    const size_t granule = (2 * i + 1) * granules / (2 * kSampleGranules);
    std::copy_n(values.data() + granule * kCodecGranule, kCodecGranule, sample.data() + i * kCodecGranule);
  }
  return sample;
}

struct Choice {
  const IntegerCodec* codec = nullptr;
  size_t cost = 0;  // bytes x price
};

Choice choose(std::span<const uint64_t> values, const Shape& shape, uint32_t without) {
  Choice best;
  const auto offer = [&best](const Row& row, std::optional<size_t> bytes) {
    if (bytes && (!best.codec || *bytes * row.price < best.cost)) best = {row.codec, *bytes * row.price};
  };
  if (shape.min == shape.max) return {&constant_codec(), 0};
  const std::span<const uint64_t> sample = sample_of(values);
  Shape sampled = shape;
  if (!sample.empty()) sampled.count = static_cast<uint32_t>(sample.size());
  const auto size_by_sample = [&](const Row& row) -> std::optional<size_t> {
    const auto part = row.codec->estimate(sample, sampled);
    if (!part) return std::nullopt;
    return *part * values.size() / sample.size();
  };
  for (const Row& row : rows()) {
    if (without >> static_cast<unsigned>(row.codec->id()) & 1) continue;
    if (!sample.empty() && row.guess == Guess::sample)
      offer(row, size_by_sample(row));
    else if (sample.empty() || row.guess == Guess::shape)
      offer(row, row.codec->estimate(values, shape));
  }
  if (sample.empty()) return best;
  for (const Row& row : rows()) {
    if (row.guess != Guess::values || (without >> static_cast<unsigned>(row.codec->id()) & 1)) continue;
    // Its list counts as often as the sample fits into the values, so a guess of twice the best may yet win.
    const auto guessed = size_by_sample(row);
    if (guessed && *guessed * row.price < 2 * best.cost) offer(row, row.codec->estimate(values, shape));
  }
  return best;
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
  const Survey seen = survey(values);
  s.min = seen.min;
  s.max = seen.max;
  s.runs = seen.changes + 1;
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
  const IntegerCodec* best = choose(values, shape, without).codec;
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
