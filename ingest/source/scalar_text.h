// Values written as text in more than one way: numbers, points in time, protocol names. What JSON and TSV have in common once
// their quotes are off. Plain digits and addresses are in text_value.h.
//
// Thread rule: functions share nothing. Nothing here allocates. "false" and nullopt mean: not such a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ingest/source/text_value.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// A whole number in any form that JSON has for one: "443", "443.0", "4.43e2". A fraction that is not zero is no whole number.
bool parse_whole(std::string_view word, uint64_t max, uint64_t& out);

// A decimal number times 10^`scale`, exactly: parse_scaled("0.000095", 9) is 95000. What lies below one is cut. A minus sign
// and exponents are understood; nullopt beyond int64.
std::optional<int64_t> parse_scaled(std::string_view word, int scale);

// Unix time: seconds with or without a fraction, or a whole number of milliseconds, microseconds or nanoseconds, told apart by
// size (10^11 s is the year 5138, 10^11 ms is 1973, and so on).
std::optional<TimestampNs> parse_epoch(std::string_view word);

// "TCP", "ipv6-icmp", "SCTP" …, any case, or the IANA number in decimal ("6", "006").
std::optional<uint8_t> parse_protocol(std::string_view word);

}  // namespace sluice::ingest
