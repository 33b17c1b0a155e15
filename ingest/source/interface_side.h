// On which side of a flow the network interface stands whose record it is, for clouds that do not say: learned from the
// addresses that all records of an interface have in common.
//
// Thread rule: as std::vector.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ingest/source/limits.h"
#include "storage/model/ip.h"

namespace sluice::ingest {

enum class Side : uint8_t { src, dst };

// Learns the address of each network interface from its records: one of the two addresses of every one of them is the
// interface's own (AWS: its primary one), so it is the address that all have in common.
class InterfaceAddresses {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t index_of(std::string_view interface_id) {
    if (interface_id == last_id_) return last_index_;
    auto it = indexes_.find(interface_id);
    if (it == indexes_.end()) {
      if (entries_.size() >= limits::kInterfacesLearnedMax || interface_id.size() > kIdBytesMax) return kNone;
      it = indexes_.emplace(std::string(interface_id), static_cast<uint32_t>(entries_.size())).first;
      entries_.emplace_back();
    }
    last_id_ = it->first;
    return last_index_ = it->second;
  }
  void saw(uint32_t index, const IpAddress& a, const IpAddress& b) {
    if (index == kNone || a.is_v4() != b.is_v4()) return;
    Common& c = entries_[index].family[a.is_v4() ? 0 : 1];
    if (c.count == kFresh) {
      c.a = a;
      c.b = b;
      c.count = a == b ? 1 : 2;
      return;
    }
    const bool keep_a = c.count >= 1 && (c.a == a || c.a == b), keep_b = c.count == 2 && (c.b == a || c.b == b);
    if (!keep_a && keep_b) c.a = c.b;
    c.count = static_cast<uint8_t>(keep_a + keep_b);
  }
  // The side whose address is the interface's, where that is known.
  std::optional<Side> side_of(uint32_t index, const IpAddress& src, const IpAddress& dst) const {
    if (index == kNone || src == dst) return std::nullopt;
    const Common& c = entries_[index].family[src.is_v4() ? 0 : 1];
    if (c.count != 1) return std::nullopt;
    if (c.a == src) return Side::src;
    if (c.a == dst) return Side::dst;
    return std::nullopt;
  }

 private:
  static constexpr uint8_t kFresh = 255;
  static constexpr size_t kIdBytesMax = 256;
  struct Common {
    IpAddress a, b;
    uint8_t count = kFresh;  // addresses that all records share: 2, 1, or 0 when they share none
  };
  struct Entry {
    Common family[2];
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> indexes_;
  std::vector<Entry> entries_;
  std::string_view last_id_;  // of a key in indexes_; keys do not move
  uint32_t last_index_ = kNone;
};

}  // namespace sluice::ingest
