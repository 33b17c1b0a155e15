// Requests to other people's servers: blocking HTTP(S), bounded in time and in bytes. libcurl is included in http_client.cc
// only.
//
// What it never does: follow a redirect (a signed request must not reach a host that it was not signed for), leave a
// certificate unchecked, unpack a body, send cookies, or read a proxy, a netrc file or credentials from its surroundings.
//
// Thread rule: an HttpClient belongs to one thread at a time; connections are kept between its requests.
// Errors: cancelled; deadline (no connection, no progress or no end in time); too_large (the body's bound); io for the rest,
// with the host and libcurl's reason. What the server answered, errors included, is a response.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/receive/limits.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";  // GET, POST, DELETE, …
  std::string url;             // sent as it is: no "/../" is taken out
  HttpHeaders headers;
  std::string body;            // sent with POST and PUT
  size_t body_bytes_max = limits::kHttpAnswerBytesMax;  // of the answer
  DurationNs answer_timeout = limits::kHttpAnswerTimeout;  // the whole request, connecting included
};

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;  // names in lower case
  std::string body;     // as sent, compressed or not

  bool ok() const { return status >= 200 && status < 300; }
  // "" when there is none; the last where there are several. `name` in lower case.
  std::string_view header(std::string_view name) const;
};

struct HttpClientOptions {
  std::string ca_file;  // PEM with the authorities to trust; empty: the system's
  std::string proxy;    // "http://host:3128"; empty: none, whatever the environment says
  std::function<bool()> cancelled;  // asked about once a second and whenever bytes come; may be empty
};

// The one door, so that tests answer in the server's place.
class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  virtual Result<HttpResponse> send(const HttpRequest& request) = 0;
};

std::unique_ptr<HttpTransport> open_http_client(HttpClientOptions options);

}  // namespace sluice::ingest
