#include "ingest/receive/http_client.h"
#include "ingest/receive/limits.h"

#include <curl/curl.h>

#include <algorithm>
#include <mutex>

namespace sluice::ingest {
namespace {

struct Transfer {
  HttpResponse* response;
  size_t body_bytes_max;
  const std::function<bool()>* cancelled;
  size_t header_bytes = 0;
  bool too_large = false, headers_too_large = false;
};

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  if (bytes > t->body_bytes_max - t->response->body.size()) {
    t->too_large = true;
    return 0;  // ends the transfer
  }
  t->response->body.append(data, bytes);
  return bytes;
}

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto* t = static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  t->header_bytes += bytes;
  if (t->header_bytes > limits::kHttpAnswerHeaderBytesMax) {
    t->headers_too_large = true;
    return 0;
  }
  std::string_view line(data, bytes);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) t->response->headers.clear();  // the headers of a "100 Continue" are not the answer's
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bytes;
  std::string name(line.substr(0, colon));
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  t->response->headers.emplace_back(std::move(name), std::string(value));
  return bytes;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto* t = static_cast<const Transfer*>(user);
  return *t->cancelled && (*t->cancelled)() ? 1 : 0;
}

// Scheme, host and port only: a query string may hold a signature.
std::string place_of(const std::string& url) {
  const size_t host = url.find("://");
  return url.substr(0, url.find_first_of("/?", host == std::string::npos ? 0 : host + 3));
}

class CurlClient final : public HttpTransport {
 public:
  explicit CurlClient(HttpClientOptions options) : options_(std::move(options)) {
    static std::once_flag once;
    std::call_once(once, [] { SLUICE_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
    handle_ = curl_easy_init();
    SLUICE_CHECK(handle_ != nullptr);
  }
  ~CurlClient() override { curl_easy_cleanup(handle_); }
  CurlClient(const CurlClient&) = delete;

  Result<HttpResponse> send(const HttpRequest& request) override;

 private:
  const HttpClientOptions options_;
  CURL* handle_;
};

Result<HttpResponse> CurlClient::send(const HttpRequest& request) {
  CURL* const curl = handle_;
  curl_easy_reset(curl);  // keeps connections
  HttpResponse response;
  Transfer transfer{&response, request.body_bytes_max, &options_.cancelled};
  char reason[CURL_ERROR_SIZE] = "";

  curl_slist* list = nullptr;
  // libcurl would add these by itself, and would wait a second for "100 Continue".
  for (const char* none : {"Expect:", "Accept:"}) list = curl_slist_append(list, none);
  bool has_content_type = false;
  for (const auto& [name, value] : request.headers) {
    has_content_type |= name == "Content-Type" || name == "content-type";
    // "Name;" is libcurl's way to send a header without a value.
    list = curl_slist_append(list, (value.empty() ? name + ";" : name + ": " + value).c_str());
  }
  if (!has_content_type) list = curl_slist_append(list, "Content-Type:");
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> guard(list, curl_slist_free_all);

  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);  // a key may hold "/../", and is signed so
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_PROXY, options_.proxy.c_str());  // "" also means: not the environment's
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits::kHttpConnectTimeout / kMillisecond));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.answer_timeout / kMillisecond));
  // A server that trickles holds a feed for ever otherwise, within the whole request's time.
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 64L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(limits::kHttpStallTimeout / kSecond));
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  if (request.method == "POST" || request.method == "PUT") {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }
  if (request.method != "GET" && request.method != "POST") curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());

  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);  // it ends with this call
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  response.status = static_cast<int>(status);
  if (code == CURLE_OK) return response;

  const std::string place = place_of(request.url);
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK: return Error{ErrorCode::cancelled, "stopped while asking " + place};
    case CURLE_WRITE_ERROR:
      if (transfer.too_large)
        return Error{ErrorCode::too_large, "the answer of " + place + " exceeds the limit of bytes: " + std::to_string(request.body_bytes_max)};
      if (transfer.headers_too_large) return Error{ErrorCode::io, "the headers of the answer of " + place + " are too long"};
      break;
    case CURLE_OPERATION_TIMEDOUT:
      return Error{ErrorCode::deadline, "no answer in time from " + place + ": " + (reason[0] ? reason : curl_easy_strerror(code))};
    default: break;
  }
  return Error{ErrorCode::io, "cannot ask " + place + ": " + (reason[0] ? reason : curl_easy_strerror(code))};
}

}  // namespace

std::string_view HttpResponse::header(std::string_view name) const {
  const auto it = std::find_if(headers.rbegin(), headers.rend(), [&](const auto& h) { return h.first == name; });
  return it == headers.rend() ? std::string_view() : std::string_view(it->second);
}

std::unique_ptr<HttpTransport> open_http_client(HttpClientOptions options) { return std::make_unique<CurlClient>(std::move(options)); }

}  // namespace sluice::ingest
