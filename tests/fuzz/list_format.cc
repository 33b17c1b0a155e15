// Watch-lists as others write them: the first byte chooses the format.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "server/list_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::server;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto format = static_cast<ListFormat>(data[0] % 4);
  const auto list = read_list(format, text);
  if (list.ok() && list->items.size() != list->ends.size()) __builtin_trap();
  if (list.ok())
    for (const auto& item : list->items)
      if (item.empty()) __builtin_trap();
  (void)guess_list_format("", text);
  return 0;
}
