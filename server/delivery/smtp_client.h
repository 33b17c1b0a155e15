// Sends one e-mail over SMTP (RFC 5321) by libcurl: STARTTLS or TLS, and SASL where the server asks for it.
//
// Thread rule: a function without state; it may be called from any thread. Errors: unauthenticated (the server does not let us in), deadline,
// cancelled, io with the server's own words.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::delivery {

struct SmtpServer {
  std::string host;  // an IPv6 address in brackets
  uint16_t port = 0;
  enum class Tls : uint8_t { starttls, from_the_start, none } tls = Tls::starttls;
  std::string user, password;  // empty: none
  std::string hello;           // what we call ourselves; empty: libcurl's way
  std::string ca_file;
  std::function<bool()> stopping;
};

// Addresses without angle brackets. `message`: RFC 5322, lines end with CR LF; dots at line starts are ours to care for.
// `refused`: the server does not want this message, now or ever.
Status send_mail(const SmtpServer& server, const std::string& from, const std::vector<std::string>& to, const std::string& message, DurationNs timeout, bool& refused);

}  // namespace sluice::delivery
