// Writes small databases in MaxMind's DB format, version 2 (https://maxmind.github.io/MaxMind-DB/), for tests: 24-bit records, an IPv6 tree
// with IPv4 below ::/96, one data record a block.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/model/ip.h"

namespace sluice::small_mmdb {

// Values, encoded.
inline std::string control(unsigned type, size_t size) {
  std::string out;
  const auto low = static_cast<unsigned>(size < 29 ? size : 29);  // sizes here are below 29 + 256
  out += static_cast<char>((type < 8 ? type << 5 : 0) | low);
  if (type >= 8) out += static_cast<char>(type - 7);
  if (size >= 29) out += static_cast<char>(size - 29);
  return out;
}
inline std::string text(std::string_view value) { return control(2, value.size()) + std::string(value); }
inline std::string unsigned_number(unsigned type, uint64_t value) {
  std::string bytes;
  for (; value > 0; value >>= 8) bytes.insert(bytes.begin(), static_cast<char>(value & 0xff));
  return control(type, bytes.size()) + bytes;
}
inline std::string number(uint32_t value) { return unsigned_number(6, value); }
inline std::string small_number(uint16_t value) { return unsigned_number(5, value); }
inline std::string map(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out = control(7, members.size());
  for (const auto& [name, value] : members) out += text(name) + value;
  return out;
}

// The bytes of a database: blocks with their records, which do not overlap.
inline std::string database(const std::vector<std::pair<std::string, std::string>>& blocks, const std::string& type = "Test") {
  constexpr uint32_t kNothing = UINT32_MAX, kData = 1u << 31;
  std::vector<std::array<uint32_t, 2>> nodes = {{kNothing, kNothing}};
  std::string data;
  for (const auto& [block, record] : blocks) {
    const Prefix prefix = *parse_prefix(block);
    std::array<uint8_t, 16> bytes = prefix.base.bytes;
    if (prefix.is_v4()) bytes[10] = bytes[11] = 0;
    uint32_t at = 0;
    for (unsigned bit = 0; bit < prefix.length; ++bit) {
      const unsigned side = bytes[bit / 8] >> (7 - bit % 8) & 1;
      if (bit + 1 == prefix.length) {
        nodes[at][side] = kData | static_cast<uint32_t>(data.size());
        break;
      }
      if (nodes[at][side] == kNothing) {
        nodes[at][side] = static_cast<uint32_t>(nodes.size());
        nodes.push_back({kNothing, kNothing});
      }
      at = nodes[at][side];
    }
    data += record;
  }
  const auto count = static_cast<uint32_t>(nodes.size());
  std::string out;
  for (const auto& node : nodes)
    for (uint32_t side : node) {
      const uint32_t value = side == kNothing ? count : side & kData ? count + 16 + (side & ~kData) : side;
      for (int shift : {16, 8, 0}) out += static_cast<char>(value >> shift & 0xff);
    }
  out += std::string(16, '\0') + data + "\xab\xcd\xefMaxMind.com";
  return out + map({{"node_count", number(count)},
                    {"record_size", small_number(24)},
                    {"ip_version", small_number(6)},
                    {"database_type", text(type)},
                    {"languages", control(11, 0)},
                    {"binary_format_major_version", small_number(2)},
                    {"binary_format_minor_version", small_number(0)},
                    {"build_epoch", unsigned_number(9, 1'700'000'000)},
                    {"description", map({})}});
}

}  // namespace sluice::small_mmdb
