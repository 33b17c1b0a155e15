// Zones: which part of the network an address belongs to, as watch-lists of the names zone_NAME say.
//
//   create zone dmz (192.0.2.0/24)      create list zone_servers (10.9.0.0/16, 10.12.0.0-10.12.3.255)      (the same)
//   extend a = zone(src_ip), b = zone(dst_ip) | where a == 'dmz' and b == 'servers'
//
// The block or range with the fewest addresses that holds an address decides; of two alike, the zone whose name comes first. What no
// zone holds is `internal` where it is of private use, unless there is a list zone_internal, and else `external`.
//
// Thread rule: immutable, any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "query/expression.h"
#include "query/watch_list.h"

namespace sluice::query {

inline constexpr std::string_view kZonePrefix = "zone_";
// What Binder notes among the lists that a query reads when it asks for zones: any list with that prefix.
inline constexpr std::string_view kAllZones = "zone_*";

class ZoneBook {
 public:
  // null: there are no lists
  explicit ZoneBook(const ListBook* lists);
  std::string_view zone_of(const IpAddress& ip) const;
  size_t parts() const { return starts_.size(); }

 private:
  std::vector<std::string> names_;
  // Sorted, disjoint: from starts_[i] on, up to the next, zones_[i] counts; kNone: none.
  static constexpr uint32_t kNone = UINT32_MAX;
  std::vector<IpAddress> starts_;
  std::vector<uint32_t> zones_;
  bool says_internal_ = false;
};

// `show zones`: each with its blocks.
Batch zones_table(const ListBook& lists);

// zone(ip). REQUIRES: `ip` is an address
NodePtr make_zone(NodePtr ip, std::shared_ptr<const ZoneBook> book);

}  // namespace sluice::query
