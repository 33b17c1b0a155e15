// Classes of characters that FlowQL's text is read by; ASCII, whatever the locale.
//
// Thread rule: pure functions.
#pragma once

namespace sluice::grammar {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_hex(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f'); }
constexpr bool is_letter(char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_'; }
// What a name, a unit or a number may go on with.
constexpr bool is_word_char(char c) { return is_letter(c) || is_digit(c); }

}  // namespace sluice::grammar
