// goflow2's JSON and protocol buffers out of any bytes: never a crash, and what comes out has the shape that batches have.

#include "ingest/source/goflow2.h"
#include "tests/fuzz/decoded_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::ingest::fuzz::decode_anything(sluice::ingest::decode_goflow2, data, size);
  return 0;
}
