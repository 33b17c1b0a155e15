#include "ingest/receive/http_url.h"

#include <charconv>

namespace sluice::ingest {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_host_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_';
}

}  // namespace

std::string HttpUrl::authority() const {
  const bool own = port == 0 || port == (tls ? 443 : 80);
  return own ? host : host + ":" + std::to_string(port);
}

std::string HttpUrl::origin() const { return (tls ? "https://" : "http://") + authority(); }

Result<HttpUrl> parse_http_url(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return Error{ErrorCode::invalid_argument, "not a URL to ask (" + std::string(why) + "): '" + std::string(text.substr(0, 200)) + "'"};
  };
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= ' ' || c == 127) return bad("it has blanks or control characters");
  HttpUrl url;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
    url.tls = false;
  } else {
    return bad("it begins with neither https:// nor http://");
  }
  if (rest.find('#') != std::string_view::npos) return bad("it has a fragment");
  if (const size_t question = rest.find('?'); question != std::string_view::npos) {
    url.query = rest.substr(question + 1);
    rest = rest.substr(0, question);
  }
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    url.path = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  if (rest.find('@') != std::string_view::npos) return bad("it names a user; credentials have settings of their own");
  std::string_view port;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return bad("a bracket is not closed");
    port = rest.substr(end + 1);
    url.host = rest.substr(0, end + 1);
    for (const char c : std::string_view(url.host).substr(1, url.host.size() - 2))
      if (hex_value(c) < 0 && c != ':' && c != '.') return bad("no IPv6 address between the brackets");
    if (url.host.size() < 4) return bad("no IPv6 address between the brackets");
  } else {
    const size_t colon = rest.find(':');
    url.host = rest.substr(0, colon);
    if (colon != std::string_view::npos) port = rest.substr(colon);
    for (char& c : url.host) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
      if (!is_host_char(c)) return bad("its host has other characters than letters, digits, dots and hyphens");
    }
  }
  if (url.host.empty()) return bad("it names no host");
  if (!port.empty()) {
    unsigned number = 0;
    const char* const end = port.data() + port.size();
    const auto [stop, error] = std::from_chars(port.data() + 1, end, number);
    if (port[0] != ':' || error != std::errc() || stop != end || number == 0 || number > 65'535) return bad("its port is no port");
    url.port = static_cast<uint16_t>(number);
  }
  return url;
}

std::string percent_encode(std::string_view text, bool keep_slash) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' || c == '~' ||
        (keep_slash && c == '/')) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
      i += 2;
    } else {
      out += plus_is_space && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace sluice::ingest
