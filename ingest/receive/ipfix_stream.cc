#include "ingest/receive/ipfix_stream.h"

#include <cstring>

namespace sluice::ingest {

std::span<uint8_t> IpfixStream::room() {
  // What is left is less than one message, so there is room behind it once it stands at the front.
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(buffer_).subspan(end_);
}

void IpfixStream::filled(size_t count) {
  SLUICE_CHECK(count <= buffer_.size() - end_);
  end_ += count;
}

Result<std::optional<std::span<const uint8_t>>> IpfixStream::next() {
  using Message = std::optional<std::span<const uint8_t>>;
  const uint8_t* const p = buffer_.data() + begin_;
  const size_t have = end_ - begin_;
  if (have >= 2 && (p[0] != 0 || p[1] != 10))
    return Error{ErrorCode::corrupt, "stream of version " + std::to_string(p[0] << 8 | p[1]) + " where IPFIX (10) was expected"};
  if (have < 4) return Message();
  const auto length = static_cast<size_t>(p[2] << 8 | p[3]);
  if (length < 16) return Error{ErrorCode::corrupt, "IPFIX message of " + std::to_string(length) + " bytes, which is less than its header"};
  if (have < length) return Message();
  begin_ += length;
  return Message(std::span<const uint8_t>(p, length));
}

}  // namespace sluice::ingest
