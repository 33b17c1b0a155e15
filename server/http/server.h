// The HTTP/1.1 server: sockets, TLS, framing, time-outs and back-pressure. It knows no routes.
//
// Thread rule: owns its io threads. Handler is called on them. start and stop belong to one thread. Exchanges must be
// dropped before the server is destroyed.
// Hostile input: heads and bodies are bounded, slow senders and slow readers are cut by time-outs, connections are counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "server/http/message.h"
#include "server/limits.h"
#include "storage/model/result.h"

namespace sluice::http {

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: any free one
  size_t io_threads = 2;
  std::string tls_certificate_file;  // PEM chain; empty: plain text
  std::string tls_key_file;
  size_t connections_max = limits::kHttpConnectionsMax;
  size_t header_bytes_max = limits::kHttpHeaderBytesMax;
  size_t send_buffer_bytes = 1u << 20;                  // bytes waiting per streamed answer before write() blocks
  size_t answer_bytes_max = limits::kHttpAnswersWaitingBytesMax;  // waiting on all connections; beyond, a large whole answer is 503
  std::chrono::milliseconds head_timeout{10'000};       // from the first byte of a head to its last (slowloris)
  std::chrono::milliseconds idle_timeout{75'000};       // between requests
  std::chrono::milliseconds body_stall_timeout{30'000}; // without a byte of a body
  std::chrono::milliseconds body_timeout{600'000};      // for a whole body
  // After the grace a body must have come at this rate on average: 408. Or a few senders that trickle hold the memory set aside for all.
  std::chrono::milliseconds body_grace{limits::kHttpBodyGrace / kMillisecond};
  size_t body_bytes_per_second_min = limits::kHttpBodyBytesPerSecondMin;
  std::chrono::milliseconds send_stall_timeout{60'000}; // without the client taking a byte
  std::chrono::milliseconds drain_timeout{limits::kHttpAnswerDrain / kMillisecond};  // for what is left of an answer once its worker is done with it
  std::chrono::milliseconds give_up_every{50};          // how often a write that waits for the client asks whether to go on
  bool tcp_no_delay = true;
};

struct ServerStats {
  uint64_t accepted = 0, refused_full = 0, requests = 0, bad_requests = 0, timeouts = 0, tls_failures = 0;
  uint64_t open = 0;
};

class Server {
 public:
  // Binds, listens and serves. Errors: io (address in use, unreadable certificate …), one line each.
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Handler& handler);
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;
  virtual ServerStats stats() const = 0;
  // Stops accepting; requests already here are answered, then connections close. Waits at most `grace`.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace sluice::http
