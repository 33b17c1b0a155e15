// The parts of an http or https URL (RFC 3986), and percent-encoding as AWS and Azure sign it.
//
// Thread rule: functions share nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/model/result.h"

namespace sluice::ingest {

struct HttpUrl {
  bool tls = true;
  std::string host;    // lower case; a literal IPv6 address keeps its brackets
  uint16_t port = 0;   // 0: the scheme's own
  std::string path;    // as written, "" or with a leading "/"
  std::string query;   // as written, without "?"

  // host, and port unless it is the scheme's own: what the Host header holds.
  std::string authority() const;
  // "https://host:port", without path.
  std::string origin() const;
};

// Errors: invalid_argument for another scheme, user information, a fragment, control characters, or no host.
Result<HttpUrl> parse_http_url(std::string_view text);

// All but A-Z a-z 0-9 - . _ ~ becomes %XX with capital digits; with `keep_slash`, "/" stays.
std::string percent_encode(std::string_view text, bool keep_slash = false);
// %XX to bytes; what is no such escape stays as it is. With `plus_is_space`, "+" is a space, as in forms and S3's answers.
std::string percent_decode(std::string_view text, bool plus_is_space = false);

}  // namespace sluice::ingest
