#include "server/api/json_text.h"

#include <charconv>
#include <cmath>

#include "storage/model/utf8.h"

namespace sluice::api {

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  size_t plain = 0;  // start of the run not yet copied
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\' && c < 0x7f) {
      ++i;
      continue;
    }
    if (c >= 0x80) {
      if (const size_t length = utf8_length(text.substr(i))) {
        i += length;
        continue;
      }
    }
    out.append(text.substr(plain, i - plain));
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (c >= 0x80) {
          out += "\xef\xbf\xbd";
        } else {
          static constexpr char kDigits[] = "0123456789abcdef";
          out += "\\u00";
          out += kDigits[c >> 4];
          out += kDigits[c & 15];
        }
    }
    plain = ++i;
  }
  out.append(text.substr(plain));
  out += '"';
}

void append_number(std::string& out, uint64_t value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}
void append_number(std::string& out, int64_t value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}
void append_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append_milliseconds(std::string& out, DurationNs value) {
  // Through the unsigned magnitude, which INT64_MIN has too.
  uint64_t magnitude = static_cast<uint64_t>(value);
  if (value < 0) {
    out += '-';
    magnitude = 0 - magnitude;
  }
  append_number(out, magnitude / kMillisecond);
  uint64_t rest = magnitude % kMillisecond;
  if (rest == 0) return;
  char digits[7] = {'.'};
  for (int i = 6; i > 0; --i, rest /= 10) digits[i] = static_cast<char>('0' + rest % 10);
  size_t count = 7;
  while (digits[count - 1] == '0') --count;
  out.append(digits, count);
}

void append_timestamp(std::string& out, TimestampNs value) { out += format_timestamp(value); }

}  // namespace sluice::api
