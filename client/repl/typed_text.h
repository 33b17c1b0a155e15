// FlowQL as a person types it: which part is what, for colours, and whether a text goes on in the next line.
//
// Colours only: what is right and wrong the server says. So this knows the shapes of words (grammar/LANGUAGE.md, "Words and literals") and
// no columns, and takes whatever is typed; of every text, finished or not, each byte that is no blank is in one token, in order.
// Pure functions, any thread, linear in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace sluice::client {

enum class TypedKind : uint8_t {
  stage,      // `where` at the head of a query or behind a |
  word,       // and, by, last: words that join
  name,       // columns, and what might be one
  function,   // a name before a bracket
  literal,    // numbers, addresses, blocks, times, durations
  string,     // "…", '…', /…/
  parameter,  // $name, @list
  comment,
  sign,       // operators and brackets
  command,    // \watch
};

struct TypedToken {
  TypedKind kind = TypedKind::name;
  size_t offset = 0, length = 0;
  bool open = false;  // a string or comment whose end is not typed yet
};

std::vector<TypedToken> tokens_of(std::string_view text);

// Whether a query goes on in the next line: open brackets, quotes or comments, or a `|` or `,` at the end.
bool continues(std::string_view text);

// The terminal's code for a kind (ECMA-48 SGR, of the 16 colours that every theme sets), empty for those drawn as they are.
std::string_view colour_of(TypedKind kind);

}  // namespace sluice::client
