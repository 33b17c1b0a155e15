#include "server/delivery/stream_connection.h"

#include <curl/curl.h>
#include <poll.h>

#include <algorithm>
#include <chrono>

#include "ingest/receive/limits.h"
#include "server/delivery/curl_stop.h"

namespace sluice::delivery {
namespace {

using Steady = std::chrono::steady_clock;

class CurlStream final : public StreamConnection {
 public:
  CurlStream(const StreamOptions& options, CURL* curl) : options_(options), curl_(curl) {}
  ~CurlStream() override { curl_easy_cleanup(curl_); }

  Status open() {
    reason_[0] = '\0';
    const std::string url = (options_.tls ? "https://" : "http://") + place();
    curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl_, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl_, CURLOPT_PROXY, "");  // also: not the environment's
    curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl_, CURLOPT_SSL_ENABLE_ALPN, 0L);  // what goes over it is no HTTP
    curl_easy_setopt(curl_, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(curl_, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl_, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl_, CURLOPT_TCP_KEEPALIVE, 1L);
    if (!options_.ca_file.empty()) curl_easy_setopt(curl_, CURLOPT_CAINFO, options_.ca_file.c_str());
    if (!options_.certificate_file.empty()) curl_easy_setopt(curl_, CURLOPT_SSLCERT, options_.certificate_file.c_str());
    if (!options_.key_file.empty()) curl_easy_setopt(curl_, CURLOPT_SSLKEY, options_.key_file.c_str());
    curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits::kHttpConnectTimeout / kMillisecond));
    curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, reason_);
    curl_easy_setopt(curl_, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl_, CURLOPT_XFERINFOFUNCTION, stop_when_asked);
    curl_easy_setopt(curl_, CURLOPT_XFERINFODATA, &options_.stopping);
    if (const CURLcode code = curl_easy_perform(curl_); code != CURLE_OK) return error("cannot connect to ", code);
    if (curl_easy_getinfo(curl_, CURLINFO_ACTIVESOCKET, &socket_) != CURLE_OK || socket_ == CURL_SOCKET_BAD) return Error{ErrorCode::io, "no connection to " + place()};
    return {};
  }

  Status send(std::string_view bytes, DurationNs timeout) override {
    const auto until = Steady::now() + std::chrono::nanoseconds(timeout);
    while (!bytes.empty()) {
      size_t sent = 0;
      const CURLcode code = curl_easy_send(curl_, bytes.data(), bytes.size(), &sent);
      if (code == CURLE_OK) {
        bytes.remove_prefix(sent);
        continue;
      }
      if (code != CURLE_AGAIN) return error("the connection broke off to ", code);
      if (Steady::now() >= until) return Error{ErrorCode::deadline, place() + " takes nothing any more"};
      if (options_.stopping && options_.stopping()) return Error{ErrorCode::cancelled, "stopped while sending to " + place()};
      // A handshake within TLS may want to read first.
      pollfd wait{socket_, POLLOUT, 0};
      ::poll(&wait, 1, 500);
    }
    return {};
  }

  bool is_closed() override {
    // What the other side says is read and not looked at: this is one way.
    char ignored[4'096];
    for (int i = 0; i < 64; ++i) {
      size_t got = 0;
      const CURLcode code = curl_easy_recv(curl_, ignored, sizeof ignored, &got);
      if (code == CURLE_AGAIN) return false;
      if (code != CURLE_OK || got == 0) return true;
    }
    return false;
  }

 private:
  std::string place() const { return options_.host + ":" + std::to_string(options_.port); }
  Error error(const std::string& what, CURLcode code) const {
    if (code == CURLE_ABORTED_BY_CALLBACK) return {ErrorCode::cancelled, "stopped while connecting to " + place()};
    return {code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::deadline : ErrorCode::io, what + place() + ": " + (reason_[0] ? reason_ : curl_easy_strerror(code))};
  }

  const StreamOptions options_;
  CURL* const curl_;
  curl_socket_t socket_ = CURL_SOCKET_BAD;
  char reason_[CURL_ERROR_SIZE] = "";
};

}  // namespace

Result<std::unique_ptr<StreamConnection>> connect_stream(const StreamOptions& options) {
  CURL* curl = curl_easy_init();
  if (!curl) return Error{ErrorCode::io, "libcurl cannot be used"};
  auto stream = std::make_unique<CurlStream>(options, curl);
  SLUICE_TRY(stream->open());
  return std::unique_ptr<StreamConnection>(std::move(stream));
}

}  // namespace sluice::delivery
