// Envelopes around datagrams in Kafka records, and senders in headers and keys.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ingest/receive/raw_flow.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto flow = parse_raw_flow(text); flow.ok() && !flow->payload.empty())
    SLUICE_CHECK(flow->payload.data() >= text.data() && flow->payload.data() + flow->payload.size() <= text.data() + size);
  (void)parse_sender(text);
  return 0;
}
