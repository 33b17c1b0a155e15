// How a count is written for people: "1 row", "2 rows". Warnings, reasons and notes say every count this way.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

// `one` is what there is one of ("row"), `more` what there are several of; without it, `one` and an s.
inline std::string counted(uint64_t count, std::string_view one, std::string_view more = {}) {
  std::string text = std::to_string(count) + " ";
  if (count == 1)
    text += one;
  else if (more.empty())
    text.append(one).append("s");
  else
    text += more;
  return text;
}

}  // namespace sluice
