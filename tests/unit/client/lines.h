// Text as a terminal shows it: lines. What the tests of this folder share.
#pragma once

#include <string>
#include <vector>

namespace sluice::client {

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t start = 0; start < text.size();) {
    const size_t end = text.find('\n', start);
    lines.push_back(text.substr(start, end - start));
    start = end == std::string::npos ? text.size() : end + 1;
  }
  return lines;
}

}  // namespace sluice::client
