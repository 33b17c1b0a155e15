// Kind "webhook": HTTP requests to one address, signed as Standard Webhooks has it (github.com/standard-webhooks): headers webhook-id,
// webhook-timestamp and webhook-signature "v1," and the base64 of HMAC-SHA256 over id.timestamp.body.
//
// Keys: url, or url_file / url_env where it is a secret itself; secret_file / secret_env (what to sign with; one that begins with "whsec_" is base64 behind
// that); authorization_file / authorization_env (that header's value); headers ("Name: value"); method; shape; ca_file, proxy.
// Shape native is one object with all alerts of the message; the others are a line each.
//
// 2xx takes it. 4xx but 408, 425 and 429 refuses it for good, unless it says that we are not let in (401, 403, 407) or that nothing is there (404): that is
// mended by people, so it is tried again.
#pragma once

#include <optional>

#include "ingest/receive/http_client.h"
#include "server/delivery/target.h"

namespace sluice::delivery {

Result<MadeTarget> make_webhook(ingest::DeclaredSettings& settings);

// "v1,…". Errors: a secret "whsec_…" that is no base64.
Result<std::string> webhook_signature(std::string_view secret, std::string_view id, int64_t timestamp, std::string_view body);

// --- shared with the chat kinds ---

// Where and how requests are made: keys url (or url_file, url_env), ca_file, proxy.
struct HttpPlace {
  ingest::DeclaredSettings::Secret url;
  std::string origin;  // without path, for people
  std::string ca_file, proxy;
};
Result<HttpPlace> read_http_place(ingest::DeclaredSettings& settings);
std::unique_ptr<ingest::HttpTransport> open_http(const HttpPlace& place, const std::function<bool()>& stopping);
// What an answer means.
Attempt attempt_of(const Result<ingest::HttpResponse>& response, const std::string& origin);

}  // namespace sluice::delivery
