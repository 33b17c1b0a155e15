// StreamIngest: IPFIX over TCP and TLS (RFC 7011 §10.4, §11). Exporters connect, and each connection is a session with
// templates and sampling of its own that end with it.
//
// One thread accepts, reads, frames and decodes for all connections: when the store is slow it waits in `hand_over`, the
// kernel's buffers fill, and exporters are held back. Nothing is dropped here. A stream that is no IPFIX, or a message
// whose lengths do not hold, ends its connection (RFC 7011 §9.1) and no other.
//
// Thread rule: owns its thread. start and stop belong to one thread; everything else may be called from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingest/source/netflow.h"
#include "server/config.h"
#include "server/limits.h"
#include "server/loss_book.h"

namespace sluice::server {

struct StreamIngestOptions {
  std::optional<Endpoint> tcp, tls;
  std::string tls_certificate_file, tls_key_file;  // PEM; needed for `tls`
  // PEM: exporters must show a certificate that one of these signed (RFC 7011 §11.3). Empty: none is asked for.
  std::string tls_client_ca_file;
  std::vector<Prefix> allow;  // empty: everyone, which check_exposure() permits on loopback only
  size_t connections_max = limits::kIpfixConnectionsMax;
  DurationNs handshake_timeout = limits::kIpfixHandshakeTimeout;
  DurationNs message_timeout = limits::kIpfixMessageTimeout;
  DurationNs idle_timeout = limits::kIpfixIdleTimeout;
  ingest::PacketDecoderOptions decoder;
};

struct StreamIngestStats {
  uint64_t accepted = 0, open = 0;
  uint64_t refused_senders = 0;  // that `allow` does not name
  uint64_t refused_full = 0;     // beyond connections_max
  uint64_t tls_failures = 0;     // handshakes that failed: no TLS, no trusted certificate
  uint64_t timeouts = 0;         // closed for a handshake or message that did not come whole, or for silence
  uint64_t malformed = 0;        // closed because the stream made no sense
  uint64_t bytes = 0;
  ingest::PacketCounts counts;
};

class StreamIngest {
 public:
  struct Parts {
    const Clock& clock;
    LossBook& losses;
    // Takes rows to be made durable; may block until there is room.
    std::function<Status(Batch&&)> hand_over;
  };
  // Binds and starts. Errors: conflict (address in use), io, invalid_argument (certificate or key), one line each.
  static Result<std::unique_ptr<StreamIngest>> start(StreamIngestOptions options, Parts parts);
  virtual ~StreamIngest() = default;

  // As bound; empty when not asked for.
  virtual std::string tcp_address() const = 0;
  virtual std::string tls_address() const = 0;
  virtual StreamIngestStats stats() const = 0;
  // Copies as of at most half a second ago. Exporters of connections that are open.
  virtual std::vector<ingest::ExporterStats> exporters() const = 0;
  virtual std::vector<ingest::PacketError> errors() const = 0;
  // As UdpIngest's.
  virtual std::vector<ingest::ExporterName> names() const = 0;
  virtual uint64_t names_version() const = 0;

  // Closes all connections and hands over what was decoded. Twice is once.
  virtual void stop() = 0;
};

}  // namespace sluice::server
