// HTTP requests and responses as plain values, and the exchange through which an answer goes out. No Beast in here.
//
// Thread rule: Request and Response are values. An Exchange may be used from one worker thread at a time; it outlives the
// connection if it must, and then only says that the client is gone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/model/ip.h"

namespace sluice::http {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string id;                    // of this exchange: the client's X-Request-Id where it is well-formed, else ours
  std::string method;                // "GET"; upper case
  std::string path;                  // raw, without the query string
  std::vector<std::string> segments; // the path's parts, percent-decoded one by one: "/v1/queries/a%2Fb" has "a/b" last
  HeaderList query;                  // decoded, in order
  HeaderList headers;                // names in lower case
  std::string body;
  std::string peer;                  // "127.0.0.1:51234"
  bool is_tls = false;

  // The first of that name; empty when there is none.
  std::string_view header(std::string_view lower_case_name) const;
  std::optional<std::string_view> query_value(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  HeaderList headers{};
  std::string body{};
};

std::string_view reason_phrase(int status);

// One request being answered:  respond | begin write* (finish | abort)
// Dropping it unanswered answers 500.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  // The body, to be moved from: bodies are large.
  virtual std::string take_body() = 0;

  // The whole answer.
  virtual void respond(Response response) = 0;

  // A streamed answer (chunked; up to the end of the connection for HTTP/1.0). `head.body` is not sent.
  virtual void begin(Response head) = 0;
  // Blocks while ServerOptions::send_buffer_bytes wait to be sent: this is the back-pressure on a query whose client reads
  // slowly. A client that does not read must not hold its worker for longer than the query may run, so while it blocks,
  // `give_up` (may be empty) is asked every ServerOptions::give_up_every; true ends the wait, and the bytes are not sent.
  // False: the client is gone or the wait was given up; stop.
  using GiveUp = std::function<bool()>;
  virtual bool write(std::string bytes, const GiveUp& give_up = {}) = 0;
  // `last` is sent before the end, without waiting for room: the rest of an answer, or the word of its error. At most about
  // as much as one write brings.
  virtual void finish(HeaderList trailers = {}, std::string last = {}) = 0;
  // Cuts the connection, so that the client sees that the answer is not whole.
  virtual void abort() = 0;

  // Called once, from an io thread, when the client goes away before the end of the answer; at once if it already has.
  virtual void on_disconnect(std::function<void()> callback) = 0;
};

// What to do with a request whose head has arrived.
struct Admission {
  std::optional<Response> refusal{};  // set: sent at once, the body is not read
  size_t body_bytes_max = 0;          // beyond: 413
  std::shared_ptr<void> ticket{};     // kept until the answer is out (a share of a bounded budget)
};

class Handler {
 public:
  virtual ~Handler() = default;
  // On an io thread, must not block. `head.body` is still empty. `content_length`: absent for chunked bodies.
  virtual Admission admit(const Request& head, std::optional<uint64_t> content_length) = 0;
  // On an io thread, must not block: hands the exchange to a worker.
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;
  // The answer is out (or given up). For the access log and metrics; any thread, must not block.
  virtual void done(const Request& request, int status, uint64_t bytes_sent, int64_t elapsed_ns) = 0;
};

// "a%20b+c" -> "a b+c", or with plus_is_space "a b c". nullopt for a broken escape or an encoded NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
// Splits a request target into path, segments and query. A whole URL, as proxies are asked (RFC 9112, 3.2.2), is as good as its path,
// and its host stands for the Host header. False: neither, or a broken escape.
bool parse_target(std::string_view target, Request& request);

// The best of `offered` for an Accept header, by q-value, then by order of `offered`; empty: nothing fits. An absent
// or empty header takes the first.
std::string_view negotiate(std::string_view accept, const std::vector<std::string_view>& offered);

}  // namespace sluice::http
