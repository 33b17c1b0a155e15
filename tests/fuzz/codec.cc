// Any bytes as an encoded stream, text or null map; and any bytes as numbers, which must come back.
//
// Input: u8 what, u16 count - 1, then the bytes.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "storage/codec/integer_codec.h"
#include "storage/codec/null_map.h"
#include "storage/codec/text_codec.h"

using namespace sluice;

namespace {

template <typename T>
void decode(codec::Bytes stream, uint32_t count) {
  std::vector<T> out(count + 4);  // the rows below may repeat
  const std::vector<uint32_t> rows = {0, count / 3, count / 2, count - 1};
  (void)codec::decode_integers(stream, count, 0, count, codec::Out(out.data())).ok();
  (void)codec::decode_integers(stream, count, count / 3, count / 2, codec::Out(out.data())).ok();
  (void)codec::decode_integer_rows(stream, count, rows, codec::Out(out.data())).ok();
}

void round_trip(codec::Bytes bytes, unsigned width) {
  std::vector<uint64_t> values;
  for (size_t i = 0; i + width <= bytes.size() && values.size() < codec::kStreamValuesMax; i += width)
    values.push_back(codec::load_bytes(bytes.data() + i, width));
  if (values.empty()) return;
  const codec::Shape shape = codec::Shape::of(values, true);
  for (const codec::IntegerCodec* c : codec::integer_codecs()) {
    if (!c->estimate(values, shape)) continue;
    std::string payload;
    c->encode(values, shape, payload);
    std::vector<uint64_t> out(values.size());
    const auto count = static_cast<uint32_t>(values.size());
    const codec::Bytes coded(reinterpret_cast<const uint8_t*>(payload.data()), payload.size());
    if (!c->decode(coded, count, 0, count, codec::Out(out.data())).ok() || out != values) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const uint32_t count = uint32_t{codec::load<uint16_t>(data + 1)} + 1;
  const codec::Bytes bytes(data + 3, size - 3);
  switch (data[0] % 8) {
    case 0: decode<uint8_t>(bytes, count); break;
    case 1: decode<uint16_t>(bytes, count); break;
    case 2: decode<uint32_t>(bytes, count); break;
    case 3: decode<uint64_t>(bytes, count); break;
    case 4: {
      StringVector out;
      (void)codec::decode_text(bytes, count, 0, count, out).ok();
      const std::vector<uint32_t> rows = {0, count / 2};
      (void)codec::decode_text_rows(bytes, count, rows, out).ok();
      break;
    }
    case 5: (void)codec::decode_null_map(bytes, count).ok(); break;
    case 6: round_trip(bytes, 1 + count % 8); break;
    default: round_trip(bytes, 2); break;
  }
  return 0;
}
