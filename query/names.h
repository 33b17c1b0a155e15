// Names that are known beside the data: of exporters, and of their interfaces (from their own options data, or an operator's
// files). Queries ask for them row by row: if_name(exporter_ip, input_if).
#pragma once

#include <cstdint>
#include <string>

#include "storage/model/ip.h"

namespace sluice::query {

// Thread rule: const methods from any thread; it does not change while a query holds it.
class NameBook {
 public:
  virtual ~NameBook() = default;
  // nullptr: not known. The text lives as long as the book.
  virtual const std::string* interface_name(const IpAddress& exporter, uint64_t interface) const = 0;
  virtual const std::string* exporter_name(const IpAddress& exporter) const = 0;
};

}  // namespace sluice::query
