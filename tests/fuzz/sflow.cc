// Sequences of sFlow datagrams, see packet_sequence.h.
#include "tests/fuzz/packet_sequence.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz_packets(data, size, 0);
  return 0;
}
