// IPFIX messages out of a stream of bytes (TCP, TLS): RFC 7011 §10.4. Messages follow each other without anything between
// them, so a length that cannot be true ends the stream: nobody can tell where the next message would begin.
//
//   (room filled next*)*
//
// Thread rule: one thread's. Memory: twice the longest message, once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ingest/receive/limits.h"
#include "storage/model/result.h"

namespace sluice::ingest {

class IpfixStream {
 public:
  // Where the next bytes of the stream go; never empty.
  std::span<uint8_t> room();
  // So many of them came. REQUIRES: count <= room().size() of the call before
  void filled(size_t count);
  // The next whole message, header included; nullopt: more bytes are needed. It is good until room() is called.
  // corrupt: a version other than 10, or a length below the header's. The stream cannot go on.
  Result<std::optional<std::span<const uint8_t>>> next();
  // Whether part of a message has come and the rest has not.
  bool is_within_message() const { return begin_ < end_; }

 private:
  std::vector<uint8_t> buffer_ = std::vector<uint8_t>(2 * limits::kIpfixMessageBytesMax);
  size_t begin_ = 0, end_ = 0;
};

}  // namespace sluice::ingest
