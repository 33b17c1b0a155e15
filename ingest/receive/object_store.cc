#include "ingest/receive/object_store.h"

namespace sluice::ingest {

std::string opaque_tag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

Result<HttpResponse> send_with_retries(HttpTransport& transport, const RetryPolicy& policy, const std::function<HttpRequest()>& make) {
  DurationNs pause = 250 * kMillisecond;
  for (int attempt = 1;; ++attempt) {
    auto response = transport.send(make());
    const bool again = response.ok() ? response->status == 429 || response->status >= 500
                                     : response.error().code == ErrorCode::io || response.error().code == ErrorCode::deadline;
    if (!again || attempt >= policy.tries || !policy.wait) return response;
    if (!policy.wait(pause)) return Error{ErrorCode::cancelled, "stopped while waiting to ask again"};
    pause *= 4;
  }
}

}  // namespace sluice::ingest
