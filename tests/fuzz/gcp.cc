// Google VPC Flow Logs out of any bytes: never a crash, and what comes out has the shape that batches have.
#include "ingest/source/gcp_vpc.h"
#include "tests/fuzz/decoded_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::ingest::fuzz::decode_anything(sluice::ingest::decode_gcp_vpc, data, size);
  return 0;
}
