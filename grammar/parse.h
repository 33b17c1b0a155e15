// FlowQL text -> syntax tree, or the one error that stops it.
//
// Thread rule: every function here may be called from any number of threads at once; calls share nothing but
// read-mostly prediction tables. Nothing throws except std::bad_alloc. Input may be hostile: size, nesting and token
// count are bounded (limits.h), and are checked before the parser recurses. LANGUAGE.md describes the language.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "grammar/syntax.h"

namespace sluice::grammar {

struct SyntaxError {
  std::string message;                // one sentence without a final stop: "expected a duration such as 15m after 'last'"
  std::string hint;                   // may be empty: "did you mean 'where'?"
  Span span;                          // the offending text; at the end of the text, the place after it (length 0)
  std::vector<std::string> expected;  // what would have been right, in words or quoted keywords; may be empty

  // "line 2, column 9: MESSAGE (HINT)". Place first, then what is wrong.
  std::string text() const;
};

using ParseResult = std::variant<Statement, SyntaxError>;

// Reads exactly one statement; a final ';' is allowed.
ParseResult parse(std::string_view text);

// A text of statements separated by ';' (rule files). Stops at the first error. Empty statements are skipped, so an
// empty text gives an empty vector.
std::variant<std::vector<Statement>, SyntaxError> parse_script(std::string_view text);

// Reads one filter expression (`dst_port == 53 and proto == udp`), as for a rule's condition or a UI's filter box.
std::variant<ExprPtr, SyntaxError> parse_expression(std::string_view text);

// The line of `text` that the span begins on, and a line that marks it:
//     | where src_prt == 53
//             ^~~~~~~
// Tabs become one space, long lines are cut around the place with "…", control characters are shown as "?". Ends
// with a newline. Safe for any span, also one that does not belong to this text.
std::string caret_view(std::string_view text, const Span& span);

}  // namespace sluice::grammar
