#include "storage/codec/null_map.h"

#include <vector>

#include "storage/codec/compress.h"
#include "storage/codec/integer_codec.h"

namespace sluice::codec {
namespace {

enum Kind : uint8_t { kAll = 0, kNone = 1, kStretches = 2, kBits = 3 };

}  // namespace

void encode_null_map(const Bitmap& validity, uint32_t rows, std::string& out) {
  const size_t valid = validity.empty() ? rows : validity.count();
  if (valid == rows || valid == 0) {
    out.push_back(valid == rows ? kAll : kNone);
    return;
  }
  std::vector<uint64_t> stretches;
  bool value = true;
  uint64_t length = 0;
  for (uint32_t i = 0; i < rows && stretches.size() <= rows / 16; ++i) {
    if (validity.get(i) != value) {
      stretches.push_back(length);
      length = 0;
      value = !value;
    }
    ++length;
  }
  stretches.push_back(length);
  std::string bits;
  bits.push_back(kBits);
  compress_piece(Bytes(reinterpret_cast<const uint8_t*>(validity.words().data()), (rows + 7) / 8), bits);
  if (stretches.size() <= rows / 16) {
    std::string text;
    text.push_back(kStretches);
    put_varint(text, stretches.size());
    encode_integers(stretches, text);
    if (text.size() < bits.size()) {
      out += text;
      return;
    }
  }
  out += bits;
}

Result<Bitmap> decode_null_map(Bytes payload, uint32_t rows) {
  ByteReader in(payload);
  switch (in.get<uint8_t>()) {
    case kAll:
      if (!in.ok()) break;
      return Bitmap{};
    case kNone: return Bitmap(rows, false);
    case kStretches: {
      const uint64_t count = in.varint();
      if (!in.ok() || count == 0 || count > rows) break;
      std::vector<uint32_t> stretches(count);
      SLUICE_TRY(decode_integers(in.rest(), static_cast<uint32_t>(count), 0, static_cast<uint32_t>(count), Out(stretches.data())));
      Bitmap map(rows, false);
      uint64_t at = 0;
      bool value = true;
      for (uint32_t length : stretches) {
        if (length > rows - at) return corrupt("null map: stretches beyond the rows");
        if (value)
          for (uint64_t i = at; i < at + length; ++i) map.set(i, true);
        at += length;
        value = !value;
      }
      if (at != rows) return corrupt("null map: stretches do not add up");
      return map;
    }
    case kBits: {
      Bitmap map(rows, false);
      SLUICE_TRY(expand_piece(in.rest(), reinterpret_cast<uint8_t*>(map.words().data()), (rows + 7) / 8));
      if (rows % 64 != 0 && (map.words().back() >> (rows % 64)) != 0) return corrupt("null map: bits beyond the rows");
      return map;
    }
    default: break;
  }
  return corrupt("null map: bad kind");
}

}  // namespace sluice::codec
