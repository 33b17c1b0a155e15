// What is known of addresses from databases of places and networks: country(ip), asn(ip), as_name(ip).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "storage/model/ip.h"

namespace sluice::query {

// Thread rule: const methods from any thread; it does not change while a query holds it, and texts live as long as it does.
class GeoBook {
 public:
  virtual ~GeoBook() = default;
  // Whether there is a database to ask; without one every answer is "not known".
  virtual bool has_countries() const = 0;
  virtual bool has_networks() const = 0;
  // ISO 3166-1 code, two letters. nullopt: not known.
  virtual std::optional<std::string_view> country(const IpAddress& ip) const = 0;
  virtual std::optional<uint32_t> as_number(const IpAddress& ip) const = 0;
  virtual std::optional<std::string_view> as_name(const IpAddress& ip) const = 0;
};

}  // namespace sluice::query
