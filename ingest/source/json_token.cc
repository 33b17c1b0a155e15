#include "ingest/source/json_token.h"

#include <cstdint>

#include "storage/model/byte_scan.h"
#include "storage/model/limits.h"

namespace sluice::ingest {
namespace {

// Four hex digits, or -1.
int hex4(std::string_view text) {
  if (text.size() < 4) return -1;
  int value = 0;
  for (size_t i = 0; i < 4; ++i) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

void append_utf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

}  // namespace

void unescape_json(std::string_view text, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    switch (c) {
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case '"':
      case '\\':
      case '/': out += c; break;
      case 'u': {
        const int unit = hex4(text.substr(i + 1));
        if (unit < 0) {
          out += "\\u";
          break;
        }
        i += 4;
        if (unit < 0xd800 || unit > 0xdfff) {
          append_utf8(static_cast<uint32_t>(unit), out);
          break;
        }
        const int low = unit < 0xdc00 && text.substr(i + 1).starts_with("\\u") ? hex4(text.substr(i + 3)) : -1;
        if (low < 0xdc00 || low > 0xdfff) {
          append_utf8(0xfffd, out);
          break;
        }
        i += 6;
        append_utf8(0x10000 + ((static_cast<uint32_t>(unit) - 0xd800) << 10) + (static_cast<uint32_t>(low) - 0xdc00), out);
        break;
      }
      default:
        out += '\\';
        out += c;
    }
  }
}

std::string_view column_text(std::string_view inner, TextArena& arena, bool& cut) {
  if (inner.size() <= limits::kStringBytesMax && is_printable_ascii(inner) && !has_byte<'\\'>(inner)) [[likely]]
    return inner;
  if (has_byte<'\\'>(inner)) {
    std::string plain;
    unescape_json(inner, plain);
    inner = arena.emplace_back(std::move(plain));
  }
  return clean_text(inner, arena, cut);
}

}  // namespace sluice::ingest
