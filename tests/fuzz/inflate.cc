// Compressed bodies out of any bytes: never a crash, never more than the bound, and the same whether asked for pieces or
// for the whole.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ingest/receive/inflate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  constexpr size_t kLimit = 1u << 20;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  for (const Compression compression : {detect_compression(body), Compression::none, Compression::gzip, Compression::zlib, Compression::zstd}) {
    size_t seen = 0;
    const auto pieces = inflate(
        body, compression,
        [&](std::string_view piece) -> Status {
          SLUICE_CHECK(!piece.empty() && piece.size() <= 256u << 10);
          seen += piece.size();
          return {};
        },
        kLimit);
    SLUICE_CHECK(seen <= kLimit);
    const auto whole = inflate_to_string(body, compression, kLimit);
    SLUICE_CHECK(pieces.ok() == whole.ok());
    if (pieces.ok()) SLUICE_CHECK(*pieces == seen && whole->size() == seen);
  }
  return 0;
}
