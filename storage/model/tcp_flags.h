// TCP control bits (RFC 9293; NS of RFC 3540) as people write them.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

// Letters of the bits that are set, in the order F S R P A U E C N: "SA".
inline std::string flags_text(uint64_t flags) {
  constexpr std::string_view kLetters = "FSRPAUECN";
  std::string text;
  for (size_t bit = 0; bit < kLetters.size(); ++bit)
    if (flags >> bit & 1) text += kLetters[bit];
  return text;
}

}  // namespace sluice
