#include "query/continuous/value_text.h"

#include "query/words.h"
#include "storage/model/text_list.h"

namespace sluice::query::continuous {

std::string value_text(const Column& column, const Type& type, size_t row) {
  const Value value = value_at(column, type, row);
  if (value.is_null()) return "null";
  if (type.logical == LogicalType::protocol)
    if (const auto* n = std::get_if<uint64_t>(&value.data))
      if (const std::string_view name = protocol_name(static_cast<uint8_t>(*n)); !name.empty()) return std::string(name);
  if (type.logical == LogicalType::list) {
    std::string out;
    for (const auto& item : list_items(std::get<std::string>(value.data))) out += (out.empty() ? "" : ", ") + item;
    return out;
  }
  return format_value(value, type.enumeration);
}

}  // namespace sluice::query::continuous
