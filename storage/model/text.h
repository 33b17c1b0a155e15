// What readers of text share: blanks, and text without those around it.
//
// Thread rule: pure functions. Views point into the text that was given.
#pragma once

#include <string_view>

namespace sluice {

// A blank as JSON and XML have it. No others: what a byte beyond ASCII means is not for this to say.
constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

constexpr std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace sluice
