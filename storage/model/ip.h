// IP addresses, prefixes and MAC addresses.
//
// Every address is 16 bytes in network order; IPv4 is mapped (::ffff:a.b.c.d), so one column holds both families and
// byte order is sort order: a CIDR block is a contiguous range of the order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  static IpAddress v4(uint32_t host_order) {
    IpAddress ip;
    ip.bytes[10] = ip.bytes[11] = 0xff;
    ip.bytes[12] = static_cast<uint8_t>(host_order >> 24);
    ip.bytes[13] = static_cast<uint8_t>(host_order >> 16);
    ip.bytes[14] = static_cast<uint8_t>(host_order >> 8);
    ip.bytes[15] = static_cast<uint8_t>(host_order);
    return ip;
  }
  // 4 bytes in network order.
  static IpAddress v4_bytes(const uint8_t* b) {
    IpAddress ip;
    ip.bytes[10] = ip.bytes[11] = 0xff;
    std::memcpy(ip.bytes.data() + 12, b, 4);
    return ip;
  }
  // 16 bytes in network order.
  static IpAddress v6_bytes(const uint8_t* b) {
    IpAddress ip;
    std::memcpy(ip.bytes.data(), b, 16);
    return ip;
  }

  bool is_v4() const {
    static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(bytes.data(), kMapped, 12) == 0;
  }
  // REQUIRES: is_v4(). Host byte order.
  uint32_t v4_value() const {
    return static_cast<uint32_t>(bytes[12]) << 24 | static_cast<uint32_t>(bytes[13]) << 16 |
           static_cast<uint32_t>(bytes[14]) << 8 | bytes[15];
  }
  // The two halves as big-endian numbers; (high, low) orders as the bytes do.
  uint64_t high() const {
    uint64_t v;
    std::memcpy(&v, bytes.data(), 8);
    return __builtin_bswap64(v);
  }
  uint64_t low() const {
    uint64_t v;
    std::memcpy(&v, bytes.data() + 8, 8);
    return __builtin_bswap64(v);
  }
  static IpAddress from_halves(uint64_t high, uint64_t low) {
    IpAddress ip;
    high = __builtin_bswap64(high);
    low = __builtin_bswap64(low);
    std::memcpy(ip.bytes.data(), &high, 8);
    std::memcpy(ip.bytes.data() + 8, &low, 8);
    return ip;
  }

  bool is_private() const;    // RFC 1918, RFC 6598 shared, loopback, link local, ULA fc00::/7
  bool is_multicast() const;  // 224.0.0.0/4, ff00::/8

  bool operator==(const IpAddress& o) const { return std::memcmp(bytes.data(), o.bytes.data(), 16) == 0; }
  std::strong_ordering operator<=>(const IpAddress& o) const {
    // By halves, and not by memcmp: compilers make a call of that, and order is asked for in every test of a block of addresses.
    const uint64_t mine = high(), theirs = o.high();
    return mine != theirs ? mine <=> theirs : low() <=> o.low();
  }
};
static_assert(sizeof(IpAddress) == 16);

// A mixing hash, not keyed: callers that hash attacker-chosen addresses bound their tables (limits.h).
inline uint64_t hash_of(const IpAddress& ip) {
  uint64_t a = ip.high() ^ 0x9e3779b97f4a7c15ull, b = ip.low();
  a ^= b + 0x9e3779b97f4a7c15ull + (a << 6) + (a >> 2);
  a ^= a >> 33;
  a *= 0xff51afd7ed558ccdull;
  a ^= a >> 33;
  a *= 0xc4ceb9fe1a85ec53ull;
  return a ^ (a >> 33);
}
struct IpHash {
  size_t operator()(const IpAddress& ip) const { return hash_of(ip); }
};

// "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1". No zones, no brackets, no leading zeros in IPv4 parts.
std::optional<IpAddress> parse_ip(std::string_view text);
// IPv4 dotted, IPv6 per RFC 5952. Writes at most 45 characters at `out`, returns the count.
size_t format_ip(const IpAddress& ip, char* out);
std::string to_string(const IpAddress& ip);

// A CIDR block. `length` counts over 128 bits (an IPv4 /24 is 120); host bits of `base` are zero.
struct Prefix {
  IpAddress base;
  uint8_t length = 0;  // 0..128

  IpAddress first() const { return base; }
  IpAddress last() const;
  bool contains(const IpAddress& ip) const { return ip >= base && ip <= last(); }
  bool is_v4() const { return length >= 96 && base.is_v4(); }
  bool operator==(const Prefix&) const = default;

  // Host bits are cleared. REQUIRES: length_128 <= 128
  static Prefix of(IpAddress ip, uint8_t length_128);
};
// "10.0.0.0/8", "2001:db8::/32"; a bare address is its own /32 or /128. Host bits are cleared, not refused.
std::optional<Prefix> parse_prefix(std::string_view text);
std::string to_string(const Prefix& prefix);

// A MAC address is its 48 bits in the low end of a number: 00:1b:21:3c:9d:f8 is 0x001b213c9df8.
using MacAddress = uint64_t;
// "00:1b:21:3c:9d:f8", "00-1B-21-3C-9D-F8", "001b.213c.9df8" or 12 hex digits.
std::optional<MacAddress> parse_mac(std::string_view text);
std::string format_mac(MacAddress mac);

}  // namespace sluice
