// Bodies of context tables as lines of JSON: whatever comes, CSV that a table is read from, or an error that names a line.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "query/context_table.h"
#include "server/context_body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto csv = sluice::server::csv_of_ndjson(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!csv.ok()) {
    SLUICE_CHECK(!csv.error().message.empty());
    return 0;
  }
  const auto table = sluice::query::ContextTable::read("t", "", *csv);
  if (!table.ok()) SLUICE_CHECK(!table.error().message.empty());
  return 0;
}
