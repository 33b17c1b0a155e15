// A stream of bytes cut into pieces: the messages must not depend on where it is cut, and together they are the stream's front.
#include "ingest/receive/ipfix_stream.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace {

struct Read {
  std::vector<uint8_t> bytes;
  size_t messages = 0;
  bool broken = false;
};

Read read(std::span<const uint8_t> stream, size_t piece) {
  sluice::ingest::IpfixStream in;
  Read out;
  while (!stream.empty() && !out.broken) {
    const auto room = in.room();
    const size_t n = std::min({piece, room.size(), stream.size()});
    if (n == 0) std::abort();  // no room: it would never go on
    std::copy_n(stream.begin(), n, room.begin());
    in.filled(n);
    stream = stream.subspan(n);
    while (true) {
      const auto next = in.next();
      out.broken = !next.ok();
      if (out.broken || !*next) break;
      if ((*next)->size() < 16) std::abort();
      out.bytes.insert(out.bytes.end(), (*next)->begin(), (*next)->end());
      ++out.messages;
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span stream(data, size);
  const Read whole = read(stream, SIZE_MAX);
  if (whole.bytes.size() > size || !std::equal(whole.bytes.begin(), whole.bytes.end(), data)) std::abort();
  for (const size_t piece : {1u, 7u, 4'096u}) {
    if (piece == 1 && size > 65'536) continue;
    const Read cut = read(stream, piece);
    if (cut.bytes != whole.bytes || cut.messages != whole.messages || cut.broken != whole.broken) std::abort();
  }
  return 0;
}
