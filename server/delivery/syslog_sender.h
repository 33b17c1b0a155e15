// Kind "syslog": RFC 5424 messages over UDP (RFC 5426), TCP (RFC 6587: octet counting, or a line end behind each) or TLS (RFC 5425).
//
// Keys: address ("host:port", "[::1]:6514"); transport = udp, tcp, tls; framing = octets, lines (tcp); shape = plain (default), cef, ecs, ocsf, native; facility (0 to 23,
// default 16, local0); hostname, app_name; ca_file, certificate_file, key_file (tls).
//
// Syslog has no acknowledgement. What the system has taken from us counts as delivered; when a connection breaks, what was on its way is
// lost, and only TCP's and TLS's next message learns of it.
#pragma once

#include "server/delivery/target.h"

namespace sluice::delivery {

Result<MadeTarget> make_syslog(ingest::DeclaredSettings& settings);

// Of RFC 5424 section 6; a field that is empty is "-", and what a field may not hold is "_".
struct SyslogHeader {
  int facility = 16, severity = 6;
  TimestampNs time = 0;
  std::string_view hostname, app_name, process_id, message_id;
};
// `message` is one line. A text that is more than ASCII gets a byte order mark in front, as RFC 5424 section 6.4 asks, if `marks_utf8`.
std::string syslog_message(const SyslogHeader& header, std::string_view message, bool marks_utf8);
// RFC 6587 section 3.4.1, RFC 5425 section 4.3.
std::string octet_counted(std::string_view message);

}  // namespace sluice::delivery
