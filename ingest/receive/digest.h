// Hashes and text forms that requests to cloud stores are signed with. OpenSSL is included in digest.cc only.
//
// Thread rule: functions share nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::ingest {

// 32 bytes.
std::string sha256(std::string_view data);
std::string hmac_sha256(std::string_view key, std::string_view data);
// Lower case.
std::string hex(std::string_view bytes);

// RFC 4648 section 4, padded.
std::string base64(std::string_view bytes);
// nullopt for anything but whole, padded base64 without white space.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace sluice::ingest
