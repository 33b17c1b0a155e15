// JSON as it goes out to others: on one line, and bytes that are no UTF-8 replaced, since a document that cannot be written would be an alert
// that is not told.
//
// Thread rule: a pure function.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace sluice::delivery {

inline std::string json_text(const nlohmann::ordered_json& document) {
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace sluice::delivery
