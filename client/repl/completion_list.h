// What may come next, as lines below the line being typed.
//
// Pure, any thread. Texts come from the server and are drawn with control characters as escapes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

struct CompletionItem {
  std::string text, kind, detail;
};

struct CompletionAnswer {
  size_t replace_offset = 0, replace_length = 0;  // bytes of the text asked about
  std::vector<CompletionItem> items;
  std::string why_none;  // where that is not because nothing fits
};

// A few items are told one a line with what they are; more are names side by side, and those that limits::kCompletionLines have no room for
// are counted. `selected`: the item that stands in the text now, always among those shown; SIZE_MAX: none.
std::vector<std::string> completion_lines(const std::vector<CompletionItem>& items, size_t selected, size_t width, bool colour);

// What all items begin with.
std::string common_beginning(const std::vector<CompletionItem>& items);

}  // namespace sluice::client
