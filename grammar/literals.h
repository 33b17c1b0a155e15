// What the unquoted literals of FlowQL mean: text <-> value, one pair of functions each.
//
// Readers take the whole text or nothing (no leading or trailing blanks) and never throw; writers give the canonical
// spelling that the reader takes back to the same value. Pure, any thread. The binder uses the readers too, for values
// that come in quotes or as parameters.
//
// Sources: IPv4/IPv6 text RFC 4291 2.2 and RFC 5952, dates RFC 3339, size units IEC 80000-13.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "grammar/syntax.h"

namespace sluice::grammar {

// 0x1f, 5060, 1_000 (underscores only between digits). nullopt past 2^64 - 1.
std::optional<uint64_t> read_integer(std::string_view text);
// 1.5, 1e9, 2.5e-3, always with '.' or an exponent. nullopt if not finite.
std::optional<double> read_float(std::string_view text);
// 15m, 1h30m, 250ms, 1.5h: units w d h m s ms us ns (also µs), largest first, each at most once. Nanoseconds; nullopt on overflow.
std::optional<int64_t> read_duration(std::string_view text);
// Whether text that read_duration refuses is written as a duration all the same: then it is too long for nanoseconds in 64 bits.
bool is_duration_too_long(std::string_view text);
// 512B, 10KB, 1.5GiB: B, k/M/G/T/P/E + B (powers of 1,000) or iB (powers of 1,024), any case. Bytes, rounded down.
std::optional<uint64_t> read_size(std::string_view text);
// 300bps, 50Mbps, 2.5Gbps: bps with k, M, G, T, any case. Bits per second, rounded down.
std::optional<uint64_t> read_bit_rate(std::string_view text);
// Dotted quad without leading zeros, or IPv6 in any RFC 4291 form.
std::optional<AddressBytes> read_address(std::string_view text);
bool is_ipv4(const AddressBytes& address);
// 00:1b:21:3c:9d:f8
std::optional<std::array<uint8_t, 6>> read_mac(std::string_view text);
// 2026-11-20, 2026-11-20T08:14Z, 2026-11-20 08:14:01.5+02:00. Nanoseconds since the epoch, 1677-09-21 to 2262-04-11;
// digits past the nanosecond are cut.
std::optional<int64_t> read_timestamp(std::string_view text);

std::string write_float(double value);
std::string write_duration(int64_t nanoseconds);
std::string write_size(uint64_t bytes);
std::string write_bit_rate(uint64_t bits_per_second);
std::string write_address(const AddressBytes& address);
std::string write_mac(const std::array<uint8_t, 6>& octets);
std::string write_timestamp(int64_t nanoseconds);

}  // namespace sluice::grammar
