// Writing JSON by hand, for answers whose size makes it matter. Output is always valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/model/time.h"

namespace sluice::api {

// With quotes. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
void append_number(std::string& out, uint64_t value);
void append_number(std::string& out, int64_t value);
void append_number(std::string& out, double value);  // null for NaN and infinities
// Nanoseconds as milliseconds, exactly: 1500000 -> 1.5
void append_milliseconds(std::string& out, DurationNs value);
void append_timestamp(std::string& out, TimestampNs value);  // RFC 3339, no quotes

}  // namespace sluice::api
