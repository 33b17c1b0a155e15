// JSON tokens as the text that they are written as, for the sources whose columns are mostly text that repeats: nothing is
// copied or unescaped until a column takes it.
//
// Thread rule: functions share nothing. Nothing here throws.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ingest/source/text_line.h"

namespace sluice::ingest {

// Bytes before the next quote or backslash. REQUIRES: there is one, and 16 bytes behind it may be read, as behind all that simdjson reads
// (see json::Document)
inline size_t bytes_to_quote(const char* begin) {
  const char* p = begin;
#ifdef __SSE2__
  for (;; p += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const auto found = static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')))));
    if (found != 0) return static_cast<size_t>(p - begin) + static_cast<size_t>(std::countr_zero(found));
  }
#else
  while (*p != '"' && *p != '\\') ++p;
  return static_cast<size_t>(p - begin);
#endif
}

// A key as it is written, between its quotes. Keys of the formats here need no escapes; one with an escape is unknown.
// REQUIRES: as bytes_to_quote
inline std::string_view raw_key(const char* begin) {
  const char* end = begin + bytes_to_quote(begin);
  while (*end != '"') end += *end == '\\' ? 2 : 1;
  return {begin, static_cast<size_t>(end - begin)};
}

// A scalar token as simdjson hands it out, without the blanks behind it.
inline std::string_view trimmed(std::string_view token) {
  while (!token.empty() && (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' || token.back() == '\t')) token.remove_suffix(1);
  return token;
}

// What is inside the quotes of a string token, escapes as written; a token that is no string stays as it is. "null" is empty.
inline std::string_view inner_text(std::string_view token) {
  token = trimmed(token);
  if (token.size() >= 2 && token.front() == '"' && token.back() == '"') return token.substr(1, token.size() - 2);
  return token == "null" ? std::string_view() : token;
}

// RFC 8259 escapes taken off; what is no escape stays as it is, lone surrogates become U+FFFD. Into `out`, which it empties.
void unescape_json(std::string_view text, std::string& out);

// Inner text as a column may hold it: unescaped, without control characters, cut at limits::kStringBytesMax (`cut` is set).
// Points at the text itself or into the arena.
std::string_view column_text(std::string_view inner, TextArena& arena, bool& cut);

}  // namespace sluice::ingest
