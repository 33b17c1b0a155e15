// The wire format of protocol buffers (protobuf.dev/programming-guides/encoding), read field by field.
//
// Thread rule: values; one thread at a time. Nothing is copied: texts are views into the message.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace sluice::ingest {

// Base 128, least significant first; takes it off `rest`. nullopt when it is cut off or longer than 64 bits.
std::optional<uint64_t> take_varint(std::string_view& rest);

struct ProtobufField {
  uint32_t number = 0;
  bool is_bytes = false;   // a text, bytes or a message inside: `bytes`; else `value`
  uint64_t value = 0;      // varint, or 32 or 64 bits as they stand
  std::string_view bytes;
};

class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view message) : rest_(message) {}
  // The next field; false at the end, and where the message is none: fault() then says why, else it is empty.
  bool next(ProtobufField& field);
  std::string_view fault() const { return fault_; }

 private:
  bool fail(std::string_view why) {
    fault_ = why;
    return false;
  }
  std::string_view rest_;
  std::string_view fault_;
};

}  // namespace sluice::ingest
