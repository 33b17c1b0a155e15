// Bounds on query texts, and why. One past a bound is a SyntaxError that names it; nothing is ever cut short silently.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::grammar {

// Fits a watch-list of 50,000 IPv4 addresses written out; keeps every span within 32 bits and a parse within a second.
inline constexpr size_t kMaxQueryBytes = 1 << 20;

// Words, literals and punctuation of one text. Each costs about 300 bytes while parsing: some 80 MB at the bound, freed
// when parse() returns. 50,000 list items take 100,000 tokens.
inline constexpr size_t kMaxTokens = 262'144;

// Parentheses, brackets, subqueries, calls, unary operators and chains of arithmetic, each one level. Every visitor of
// the tree may recurse: 200 levels of the generated parser's deepest path stay well below the 8 MiB of a thread's stack.
inline constexpr size_t kMaxNestingDepth = 200;

// Stages of one pipeline. Real queries have fewer than 20; each stage is an operator with buffers at run time.
inline constexpr size_t kMaxStages = 256;

// Bytes of one name part or bare word. No schema has longer names.
inline constexpr size_t kMaxNameBytes = 1'024;

// Bytes of one regular expression's text: it is compiled per query.
inline constexpr size_t kMaxRegexBytes = 4'096;

}  // namespace sluice::grammar
