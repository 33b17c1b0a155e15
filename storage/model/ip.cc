#include "storage/model/ip.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace sluice {

bool IpAddress::is_private() const {
  if (is_v4()) {
    const uint32_t v = v4_value();
    return v >> 24 == 10 || v >> 20 == (172u << 4 | 1) || v >> 16 == (192u << 8 | 168) || v >> 24 == 127 ||
           v >> 16 == (169u << 8 | 254) || v >> 22 == ((100u << 24 | 64u << 16) >> 22);
  }
  if ((bytes[0] & 0xfe) == 0xfc) return true;                        // unique local
  if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) return true;    // link local
  return high() == 0 && low() == 1;                                  // loopback
}

bool IpAddress::is_multicast() const { return is_v4() ? (bytes[12] & 0xf0) == 0xe0 : bytes[0] == 0xff; }

std::optional<IpAddress> parse_ip(std::string_view text) {
  // Dotted IPv4 by hand: it is the hot case of every text source, and inet_pton wants a terminated string.
  if (text.size() <= 15 && text.find(':') == std::string_view::npos) {
    uint32_t value = 0;
    size_t i = 0;
    for (int part = 0; part < 4; ++part) {
      if (part > 0) {
        if (i >= text.size() || text[i] != '.') return std::nullopt;
        ++i;
      }
      unsigned v = 0;
      const size_t start = i;
      while (i < text.size() && i - start < 3 && text[i] >= '0' && text[i] <= '9') v = v * 10 + unsigned(text[i++] - '0');
      if (i == start || v > 255 || (i - start > 1 && text[start] == '0')) return std::nullopt;
      value = value << 8 | v;
    }
    if (i != text.size()) return std::nullopt;
    return IpAddress::v4(value);
  }
  if (text.size() > 45 || text.find('\0') != std::string_view::npos) return std::nullopt;
  char buffer[46];
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  IpAddress ip;
  if (inet_pton(AF_INET6, buffer, ip.bytes.data()) != 1) return std::nullopt;
  return ip;
}

size_t format_ip(const IpAddress& ip, char* out) {
  if (ip.is_v4()) {
    char* p = out;
    for (int i = 12; i < 16; ++i) {
      if (i > 12) *p++ = '.';
      p = std::to_chars(p, p + 3, static_cast<unsigned>(ip.bytes[static_cast<size_t>(i)])).ptr;
    }
    return static_cast<size_t>(p - out);
  }
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, ip.bytes.data(), buffer, sizeof buffer);
  const size_t n = std::strlen(buffer);
  std::memcpy(out, buffer, n);
  return n;
}

std::string to_string(const IpAddress& ip) {
  char buffer[46];
  return std::string(buffer, format_ip(ip, buffer));
}

namespace {
IpAddress mask_of(uint8_t length) {
  IpAddress m;
  for (unsigned i = 0; i < 16; ++i) {
    const int bits = static_cast<int>(length) - static_cast<int>(i) * 8;
    m.bytes[i] = bits >= 8 ? 0xff : bits <= 0 ? 0 : static_cast<uint8_t>(0xff << (8 - bits));
  }
  return m;
}
}  // namespace

Prefix Prefix::of(IpAddress ip, uint8_t length_128) {
  const IpAddress m = mask_of(length_128);
  for (size_t i = 0; i < 16; ++i) ip.bytes[i] &= m.bytes[i];
  return Prefix{ip, length_128};
}

IpAddress Prefix::last() const {
  const IpAddress m = mask_of(length);
  IpAddress ip = base;
  for (size_t i = 0; i < 16; ++i) ip.bytes[i] |= static_cast<uint8_t>(~m.bytes[i]);
  return ip;
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  const auto ip = parse_ip(text.substr(0, slash));
  if (!ip) return std::nullopt;
  // "::ffff:1.2.3.4/100" counts over 128 bits: only the dotted spelling counts over 32.
  const bool dotted = text.substr(0, slash).find(':') == std::string_view::npos;
  unsigned length = dotted ? 32 : 128;
  if (slash != std::string_view::npos) {
    const std::string_view n = text.substr(slash + 1);
    unsigned v = 0;
    auto [p, ec] = std::from_chars(n.data(), n.data() + n.size(), v);
    if (ec != std::errc() || p != n.data() + n.size() || n.empty() || v > length) return std::nullopt;
    length = v;
  }
  return Prefix::of(*ip, static_cast<uint8_t>(dotted ? length + 96 : length));
}

std::string to_string(const Prefix& prefix) {
  const bool v4 = prefix.is_v4();
  return to_string(prefix.base) + "/" + std::to_string(v4 ? prefix.length - 96 : prefix.length);
}

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress value = 0;
  unsigned digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    unsigned v;
    if (c >= '0' && c <= '9')
      v = unsigned(c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
      v = unsigned((c | 0x20) - 'a') + 10;
    else if ((c == ':' || c == '-') && digits % 2 == 0 && digits > 0 && i + 1 < text.size())
      continue;
    else if (c == '.' && digits % 4 == 0 && digits > 0 && i + 1 < text.size())
      continue;
    else
      return std::nullopt;
    if (++digits > 12) return std::nullopt;
    value = value << 4 | v;
  }
  if (digits != 12) return std::nullopt;
  return value;
}

std::string format_mac(MacAddress mac) {
  char buffer[18];
  std::snprintf(buffer, sizeof buffer, "%02x:%02x:%02x:%02x:%02x:%02x", unsigned(mac >> 40 & 0xff), unsigned(mac >> 32 & 0xff),
                unsigned(mac >> 24 & 0xff), unsigned(mac >> 16 & 0xff), unsigned(mac >> 8 & 0xff), unsigned(mac & 0xff));
  return buffer;
}

}  // namespace sluice
