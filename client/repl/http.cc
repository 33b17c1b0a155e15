#include "client/repl/http.h"

#include <curl/curl.h>

#include <cstring>
#include <memory>
#include <mutex>

namespace sluice::client {

std::atomic<bool> Http::interrupted_{false};

namespace {

struct Transfer {
  CURL* handle = nullptr;
  Response* response = nullptr;
  const std::function<bool(std::string_view)>* sink = nullptr;
  bool sink_stopped = false;
};

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  const std::string_view piece(data, size * count);
  long status = 0;
  curl_easy_getinfo(t->handle, CURLINFO_RESPONSE_CODE, &status);
  if (*t->sink && status >= 200 && status < 300) {
    if (!(*t->sink)(piece)) {
      t->sink_stopped = true;
      return 0;
    }
  } else {
    t->response->body.append(piece);
  }
  return piece.size();
}

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  std::string_view line(data, size * count);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) t->response->headers.clear();  // the headers of a "100 Continue" are not the answer's
  const size_t colon = line.find(':');
  if (colon != std::string_view::npos) {
    std::string name(line.substr(0, colon));
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    t->response->headers[name] = std::string(value);
  }
  return size * count;
}

int on_progress(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return Http::interrupted() ? 1 : 0; }

}  // namespace

Http::Http(ServerAddress server) : server_(std::move(server)) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  while (!server_.url.empty() && server_.url.back() == '/') server_.url.pop_back();
  if (server_.url.find("://") == std::string::npos) server_.url = "http://" + server_.url;
  handle_ = curl_easy_init();
}

Http::~Http() { curl_easy_cleanup(static_cast<CURL*>(handle_)); }

Response Http::send(const Request& request, const std::function<bool(std::string_view)>& sink) {
  CURL* curl = static_cast<CURL*>(handle_);
  curl_easy_reset(curl);  // keeps the connection
  Response response;
  Transfer transfer{curl, &response, &sink, false};
  char error_text[CURL_ERROR_SIZE] = "";

  const std::string url = server_.url + request.path;
  curl_slist* headers = nullptr;
  for (const auto& h : request.headers) headers = curl_slist_append(headers, h.c_str());
  // Waiting a second for "100 Continue" helps nobody.
  headers = curl_slist_append(headers, "Expect:");
  if (!server_.token.empty()) headers = curl_slist_append(headers, ("Authorization: Bearer " + server_.token).c_str());

  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  if (request.silence_seconds > 0) {
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, request.silence_seconds);
  }
  if (!server_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, server_.ca_file.c_str());
  if (server_.insecure) {
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (request.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data() ? request.body.data() : "");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }

  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
  if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && transfer.sink_stopped)) return response;

  response.failure_text = error_text[0] ? error_text : curl_easy_strerror(code);
  if (code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING) response.failure_text = "the server broke it off";
  response.refused = code == CURLE_COULDNT_CONNECT;
  response.untrusted = code == CURLE_PEER_FAILED_VERIFICATION;
  // "Connection refused" says it; curl's own text tells the address again, and how many milliseconds that took.
  long system_error = 0;
  if (response.refused && curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &system_error) == CURLE_OK && system_error != 0) response.failure_text = std::strerror(static_cast<int>(system_error));
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      response.failure = Response::Failure::cancelled;
      response.failure_text = "cancelled";
      break;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      // A server that refuses a large body answers and closes; the answer counts more than the broken pipe.
      if (response.status >= 400 && !response.body.empty()) {
        response.failure_text.clear();
        return response;
      }
      response.failure = Response::Failure::unreachable;
      break;
    default:
      response.failure = Response::Failure::other;
  }
  return response;
}

std::string describe_unreachable(const std::string& url, const Response& response) {
  std::string text = "cannot reach " + url + ": " + response.failure_text + "\n";
  if (response.refused) text += "Is the server running? Start it with: sluiced\n";
  if (response.untrusted) text += "Name the authority that signed its certificate, or the certificate if it signed itself: --ca FILE.pem\n";
  return text;
}

std::string url_encode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || std::strchr("-_.~", c) != nullptr) {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

}  // namespace sluice::client
