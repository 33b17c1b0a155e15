// A connection over which bytes are sent one way, TCP or TLS 1.2 and newer: libcurl makes it, so names, trust stores and time limits are
// its business, and the same as for HTTP.
//
// Thread rule: one thread. Errors: deadline, cancelled, io with the host and the reason.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::delivery {

struct StreamOptions {
  std::string host;  // a name or an address; an IPv6 address in brackets
  uint16_t port = 0;
  bool tls = false;
  std::string ca_file;                        // empty: the system's
  std::string certificate_file, key_file;     // ours, where the other side asks; empty: none
  std::function<bool()> stopping;
};

class StreamConnection {
 public:
  virtual ~StreamConnection() = default;
  // All of it, or an error; then the connection is of no use any more, and how much has arrived is not known.
  virtual Status send(std::string_view bytes, DurationNs timeout) = 0;
  // Whether the other side has closed it, as far as is known without waiting.
  virtual bool is_closed() = 0;
};
Result<std::unique_ptr<StreamConnection>> connect_stream(const StreamOptions& options);

}  // namespace sluice::delivery
