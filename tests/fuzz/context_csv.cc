// CSV of context tables: whatever comes, a table that answers or an error that names a line.
#include <cstddef>
#include <cstdint>
#include <string>

#include "query/context_table.h"

using sluice::query::ContextTable;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto table = ContextTable::read("t", "", text);
  if (!table.ok()) {
    SLUICE_CHECK(!table.error().message.empty());
    return 0;
  }
  for (const auto& value : table->values()) SLUICE_CHECK(value.column.size() == table->rows());
  const auto in_table = [&](uint32_t row) { SLUICE_CHECK(row == ContextTable::kNone || row < table->rows()); };
  in_table(table->find(sluice::IpAddress::v4(0x0a000005), 0));
  in_table(table->find(uint64_t{443}, 0));
  in_table(table->find(std::string_view("a"), 0));
  // What is kept is read back the same.
  const auto again = ContextTable::read("t", table->key_name(), table->csv());
  SLUICE_CHECK(again.ok() && again->rows() == table->rows() && again->values().size() == table->values().size());
  return 0;
}
