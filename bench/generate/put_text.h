// Values as text, at the end of a line that is being written.
//
// Thread rule: pure functions.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>

#include "storage/model/ip.h"

namespace sluice::generate {

inline void put_number(std::string& out, uint64_t v) {
  char text[20];
  out.append(text, std::to_chars(text, text + sizeof text, v).ptr);
}

inline void put_ip(std::string& out, const IpAddress& ip) {
  char text[46];
  out.append(text, format_ip(ip, text));
}

}  // namespace sluice::generate
