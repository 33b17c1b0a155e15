// Bodies of packet sources: pcap, pcapng, IPFIX files, raw datagrams.
#include <cstdlib>
#include <string_view>

#include "ingest/source/packet_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  uint64_t rows = 0;
  DecodeContext context;
  context.received_at = 1'795'176'000 * kSecond;
  const auto report = decode_packet_body({reinterpret_cast<const char*>(data), size}, context, [&](Batch&& batch) -> Status {
    rows += batch.rows;
    return {};
  });
  if (report.ok() && report->accepted != rows) std::abort();
  return 0;
}
