// Where messages are sent to, and a socket for datagrams.
//
// Thread rule: a socket belongs to one thread. Errors: io with the place; invalid_argument for text that is no place.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "storage/model/result.h"

namespace sluice::delivery {

struct HostPort {
  std::string host;  // a name or an address, without brackets
  uint16_t port = 0;

  std::string bracketed() const { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }
};
// "syslog.example.net:514", "[2001:db8::1]:6514".
Result<HostPort> parse_host_port(std::string_view text);

class DatagramSocket {
 public:
  virtual ~DatagramSocket() = default;
  // It is gone, or an error. That nobody listens there is told by the next, if at all.
  virtual Status send(std::string_view datagram) = 0;
};
// Looks the name up, which may take the resolver's time.
Result<std::unique_ptr<DatagramSocket>> open_datagram_socket(const HostPort& to);

}  // namespace sluice::delivery
