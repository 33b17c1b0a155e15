// Server-sent events as the client reads them: however the bytes are cut, the same events come out, and none is larger than its bound.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "client/repl/event_reader.h"

namespace {

constexpr size_t kBytesMax = 256;

// Its events and whether it was read to the end.
std::string read_in_pieces(std::string_view text, size_t piece) {
  sluice::client::EventReader reader(kBytesMax);
  std::string out;
  bool well = true;
  for (size_t i = 0; i < text.size() && well; i += piece)
    well = reader.read(text.substr(i, piece), [&](const sluice::client::StreamEvent& e) {
      if (e.data.size() > kBytesMax || e.name.empty()) std::abort();
      out += e.name + '\0' + e.data + '\0' + e.id + '\0';
      return true;
    });
  return out + (well ? "" : "failed");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  // The whole at once may be refused for the length of a line that pieces would have refused as well: both see the same bytes before it.
  const std::string whole = read_in_pieces(text, text.size() + 1), pieces = read_in_pieces(text, 1 + data[0] % 17);
  if (whole != pieces) std::abort();
  return 0;
}
