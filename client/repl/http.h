// The client's one way to the server: blocking HTTP(S) requests over libcurl, with streaming and cancellation.
//
// Thread rule: a Http object belongs to one thread. Errors: what kept the request from being answered (no connection, TLS,
// cancelled) is in Response::failure; what the server answered, errors included, is status and body.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::client {

struct ServerAddress {
  std::string url = "http://127.0.0.1:8080";
  std::string token;      // bearer token; empty: none
  std::string ca_file;    // PEM with the authority to trust; empty: the system's
  bool insecure = false;  // do not check the certificate
};

struct Request {
  std::string method = "GET";
  std::string path;  // "/v1/query", with its query string
  std::vector<std::string> headers;
  std::string_view body;  // must live until send() returns
  long silence_seconds = 0;  // give up when so long nothing came; 0: wait
};

struct Response {
  enum class Failure { none, unreachable, cancelled, other } failure = Failure::none;
  std::string failure_text;
  bool refused = false;    // nobody listens there
  bool untrusted = false;  // its certificate is of no authority that is known here
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // empty when a sink took it

  bool ok() const { return failure == Failure::none && status >= 200 && status < 300; }
};

class Http {
 public:
  explicit Http(ServerAddress server);
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  // Sends and waits. When `sink` is given and the status is 2xx, the body goes there piece by piece (false: stop).
  Response send(const Request& request, const std::function<bool(std::string_view)>& sink = {});

  // Makes the running or the next send() end with Failure::cancelled. Safe from a signal handler.
  static void interrupt() { interrupted_.store(true); }
  static void clear_interrupt() { interrupted_.store(false); }
  static bool interrupted() { return interrupted_.load(); }

  const ServerAddress& server() const { return server_; }

 private:
  ServerAddress server_;
  void* handle_;
  static std::atomic<bool> interrupted_;
};

// What to tell a person whose request was not answered. REQUIRES: response.failure is not none
std::string describe_unreachable(const std::string& url, const Response& response);

std::string url_encode(std::string_view text);

}  // namespace sluice::client
