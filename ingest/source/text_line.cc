#include "ingest/source/text_line.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>

#include "storage/model/byte_scan.h"
#include "storage/model/limits.h"
#include "storage/model/utf8.h"

namespace sluice::ingest {
namespace {

struct Masks {
  uint32_t blank;  // bit i: byte i is a space or a tab
  uint32_t odd;    // bit i: byte i is a control character (tabs are not), DEL or beyond ASCII
};

constexpr size_t kStep = 16;

#ifdef __SSE2__
Masks look_at(const char* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
  const __m128i blank = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), tab);
  // Signed comparison: bytes beyond ASCII are negative, so one test finds them and the control characters.
  const __m128i odd = _mm_or_si128(_mm_andnot_si128(tab, _mm_cmplt_epi8(v, _mm_set1_epi8(' '))), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
  return {static_cast<uint32_t>(_mm_movemask_epi8(blank)), static_cast<uint32_t>(_mm_movemask_epi8(odd))};
}
#else
Masks look_at(const char* p) {
  Masks m{0, 0};
  for (size_t i = 0; i < kStep; ++i) {
    const auto c = static_cast<uint8_t>(p[i]);
    m.blank |= static_cast<uint32_t>(c == ' ' || c == '\t') << i;
    m.odd |= static_cast<uint32_t>((c < ' ' && c != '\t') || c >= 0x7f) << i;
  }
  return m;
}
#endif

}  // namespace

size_t split_words(std::string_view line, const char* readable_end, std::span<std::string_view> words, bool& plain) {
  const char* const begin = line.data();
  const size_t size = line.size();
  size_t count = 0;
  size_t start = 0;      // where the word begun last starts
  bool inside = false;   // whether the byte before this step belongs to a word
  uint32_t odd_seen = 0;
  for (size_t at = 0; at < size; at += kStep) {
    Masks m;
    if (begin + at + kStep <= readable_end) {
      m = look_at(begin + at);
    } else {
      char last[kStep];
      std::memset(last, ' ', kStep);
      std::memcpy(last, begin + at, size - at);
      m = look_at(last);
    }
    if (const size_t left = size - at; left < kStep) {
      const uint32_t beyond = ~0u << left;
      m.blank |= beyond;
      m.odd &= ~beyond;
    }
    odd_seen |= m.odd;
    // A bit where a word starts or ends: where a byte differs in kind from the one before.
    const uint32_t word = ~m.blank & 0xffff;
    uint32_t edges = (word ^ (word << 1 | static_cast<uint32_t>(inside))) & 0xffff;
    while (edges != 0) {
      const size_t position = at + static_cast<size_t>(std::countr_zero(edges));
      edges &= edges - 1;
      if (inside) {
        if (count < words.size()) words[count] = std::string_view(begin + start, position - start);
        ++count;
      }
      start = position;
      inside = !inside;
    }
  }
  if (inside) {
    if (count < words.size()) words[count] = line.substr(start);
    ++count;
  }
  plain = odd_seen == 0;
  return count;
}

std::string quoted(std::string_view text) {
  constexpr size_t kShown = 64;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, kShown)) {
    const auto b = static_cast<uint8_t>(c);
    if (b >= ' ' && b < 0x7f && c != '"' && c != '\\') {
      out += c;
    } else {
      out += "\\x";
      out += kHex[b >> 4];
      out += kHex[b & 15];
    }
  }
  out += text.size() > kShown ? "\"…" : "\"";
  return out;
}

std::string_view clean_text(std::string_view text, TextArena& arena, bool& cut) {
  cut = text.size() > limits::kStringBytesMax;
  if (cut) {
    text = text.substr(0, limits::kStringBytesMax);
    // Not in the middle of a character: go back to where the last one starts.
    for (int i = 0; i < 3 && !text.empty() && (static_cast<uint8_t>(text.back()) & 0xc0) == 0x80; ++i) text.remove_suffix(1);
    if (!text.empty() && static_cast<uint8_t>(text.back()) >= 0xc0) text.remove_suffix(1);
  }
  if (is_printable_ascii(text)) return text;
  bool changed = false;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length(text.substr(i));
    const auto c = static_cast<uint8_t>(text[i]);
    if (length == 0 || (length == 1 && (c < ' ' || c == 0x7f))) {
      out += "\xef\xbf\xbd";
      changed = true;
      ++i;
    } else {
      out.append(text, i, length);
      i += length;
    }
  }
  if (!changed) return text;
  // Replacement characters are longer than what they replace.
  if (out.size() > limits::kStringBytesMax) {
    cut = true;
    out.resize(limits::kStringBytesMax);
    while (!out.empty() && (static_cast<uint8_t>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (!out.empty() && static_cast<uint8_t>(out.back()) >= 0xc0) out.pop_back();
  }
  return arena.emplace_back(std::move(out));
}

std::string percent_decoded(std::string_view text) {
  const auto hex = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) << 4 | hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace sluice::ingest
