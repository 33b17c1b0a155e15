// What a rule's state keeps beside the flows, of any bytes: it is a checkpoint that is written as it was read, or none.
#include "query/continuous/checkpoint.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::query::continuous;
  const auto read = checkpoint_of(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!read) return 0;
  const auto again = checkpoint_of(to_text(*read));
  if (!again || *again != *read) std::abort();
  return 0;
}
