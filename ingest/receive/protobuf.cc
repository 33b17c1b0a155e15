#include "ingest/receive/protobuf.h"

namespace sluice::ingest {

std::optional<uint64_t> take_varint(std::string_view& rest) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    if (shift == 63 && byte > 1) return std::nullopt;
    value |= static_cast<uint64_t>(byte & 127) << shift;
    if (byte < 128) return value;
  }
  return std::nullopt;
}

bool ProtobufReader::next(ProtobufField& field) {
  if (rest_.empty() || !fault_.empty()) return false;
  const auto tag = take_varint(rest_);
  if (!tag || *tag >> 3 == 0 || *tag >> 3 >= 1u << 29) return fail("a field has no number");
  field.number = static_cast<uint32_t>(*tag >> 3);
  field.is_bytes = false;
  field.bytes = {};
  const auto fixed = [&](size_t size) {
    if (rest_.size() < size) return fail("a number is cut off");
    field.value = 0;
    for (size_t i = 0; i < size; ++i) field.value |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[i])) << 8 * i;
    rest_.remove_prefix(size);
    return true;
  };
  switch (*tag & 7) {
    case 0: {
      const auto value = take_varint(rest_);
      if (!value) return fail("a number is cut off");
      field.value = *value;
      return true;
    }
    case 1: return fixed(8);
    case 5: return fixed(4);
    case 2: {
      const auto length = take_varint(rest_);
      if (!length || *length > rest_.size()) return fail("a text is cut off");
      field.is_bytes = true;
      field.bytes = rest_.substr(0, static_cast<size_t>(*length));
      rest_.remove_prefix(field.bytes.size());
      return true;
    }
    default: return fail("a field has a type that is none");
  }
}

}  // namespace sluice::ingest
