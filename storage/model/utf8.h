// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
//
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

// Length in bytes of the sequence at the start of `text`; 0: there is none. REQUIRES: text is not empty
size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

}  // namespace sluice
