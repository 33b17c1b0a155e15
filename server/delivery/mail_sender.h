// Kind "smtp": e-mails.
//
// Keys: server ("host" or "host:port"; 587, or 465 with tls = "tls"); tls = starttls (default), tls, none; from, to (a list); user with password_file or
// password_env; hello; ca_file. Without TLS no password is sent.
#pragma once

#include "server/delivery/target.h"

namespace sluice::delivery {

Result<MadeTarget> make_smtp(ingest::DeclaredSettings& settings);

// An address of a mailbox as SMTP takes it: printable ASCII without spaces or brackets around one "@".
bool is_mail_address(std::string_view text);
// The value of a header (RFC 5322, RFC 2047): ASCII as it is where it fits, else encoded words, folded so that no line has more than 76 characters.
// Control characters do not get in.
std::string mail_header_text(std::string_view text);
// RFC 5322, lines of at most 76 characters that end with CR LF; a text of any kind as base64.
std::string mail_message(const std::string& from, const std::vector<std::string>& to, std::span<const Notice> notices, TimestampNs now);

}  // namespace sluice::delivery
