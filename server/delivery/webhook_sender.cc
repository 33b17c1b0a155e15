#include "server/delivery/webhook_sender.h"

#include <algorithm>
#include <charconv>

#include "ingest/receive/digest.h"
#include "ingest/receive/http_url.h"
#include "server/delivery/alert_shape.h"

namespace sluice::delivery {

using ingest::DeclaredSettings;
using ingest::HttpRequest;
using ingest::HttpResponse;
using ingest::HttpTransport;

namespace {

bool is_header_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}
bool has_controls(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

struct WebhookOptions {
  HttpPlace place;
  DeclaredSettings::Secret secret, authorization;
  ingest::HttpHeaders headers;
  std::string method;
  AlertShape shape;
};

class WebhookSender final : public Sender {
 public:
  WebhookSender(WebhookOptions options, std::unique_ptr<HttpTransport> http) : options_(std::move(options)), http_(std::move(http)) {}

  Attempt send(std::span<const Notice> notices, TimestampNs now) override {
    std::string body;
    const std::string id = group_id(notices);
    if (options_.shape != AlertShape::native) {
      for (const Notice& n : notices) (body += alert_text(n, options_.shape)) += '\n';
      return post(id, body, content_type(options_.shape), now);
    }
    body = "{\"id\":\"" + id + "\",\"alerts\":[";
    for (size_t i = 0; i < notices.size(); ++i) (body += i == 0 ? "" : ",") += notice_json(notices[i]);
    return post(id, body + "]}", "application/json", now);
  }

  Attempt forward(std::span<const FlowDocument> flows, TimestampNs now) override {
    std::string body;
    for (const FlowDocument& f : flows) (body += f.body) += '\n';
    return post(ingest::hex(ingest::sha256(body)).substr(0, 32), body, "application/x-ndjson", now);
  }

 private:
  Attempt post(const std::string& id, const std::string& body, std::string_view type, TimestampNs now) {
    HttpRequest request;
    request.method = options_.method;
    request.body = body;
    request.body_bytes_max = limits::kDeliveryAnswerBytesMax;
    request.answer_timeout = limits::kDeliveryTimeout;
    const auto url = options_.place.url();
    if (!url.ok()) return Attempt::failed(url.error());
    request.url = *url;
    const int64_t at = now / kSecond;
    request.headers = options_.headers;
    request.headers.emplace_back("Content-Type", type);
    request.headers.emplace_back("webhook-id", id);
    request.headers.emplace_back("webhook-timestamp", std::to_string(at));
    if (options_.secret) {
      const auto secret = options_.secret();
      if (!secret.ok()) return Attempt::failed(secret.error());
      auto signature = webhook_signature(*secret, id, at, body);
      if (!signature.ok()) return Attempt::failed(signature.error());
      request.headers.emplace_back("webhook-signature", std::move(*signature));
    }
    if (options_.authorization) {
      const auto value = options_.authorization();
      if (!value.ok()) return Attempt::failed(value.error());
      if (has_controls(*value)) return Attempt::failed({ErrorCode::invalid_argument, "the value for Authorization has control characters"});
      request.headers.emplace_back("Authorization", *value);
    }
    return attempt_of(http_->send(request), options_.place.origin);
  }

  const WebhookOptions options_;
  const std::unique_ptr<HttpTransport> http_;
};

}  // namespace

Result<std::string> webhook_signature(std::string_view secret, std::string_view id, int64_t timestamp, std::string_view body) {
  constexpr std::string_view kPrefix = "whsec_";
  std::string key(secret);
  if (secret.starts_with(kPrefix)) {
    auto bytes = ingest::from_base64(secret.substr(kPrefix.size()));
    if (!bytes) return Error{ErrorCode::invalid_argument, "the secret begins with whsec_ and is no base64 behind it"};
    key = std::move(*bytes);
  }
  return "v1," + ingest::base64(ingest::hmac_sha256(key, std::string(id) + "." + std::to_string(timestamp) + "." + std::string(body)));
}

Result<HttpPlace> read_http_place(DeclaredSettings& settings) {
  HttpPlace place;
  if (settings.options.contains("url")) {
    SLUICE_ASSIGN(const std::string url, settings.required("url"));
    if (settings.options.contains("url_file") || settings.options.contains("url_env")) return settings.error_at("url", "stands next to a file or variable that has it; one is enough");
    place.url = [url]() -> Result<std::string> { return url; };
  } else {
    SLUICE_ASSIGN(place.url, settings.secret("url"));
    if (!place.url) return settings.error_at("url", "is needed, or url_file or url_env where it is a secret itself");
  }
  const auto url = place.url();
  if (!url.ok()) return settings.error_at("url", url.error().message);
  const auto parsed = ingest::parse_http_url(*url);
  if (!parsed.ok()) return settings.error_at("url", parsed.error().message);
  place.origin = parsed->origin();
  SLUICE_ASSIGN(place.ca_file, settings.text("ca_file"));
  SLUICE_ASSIGN(place.proxy, settings.text("proxy"));
  return place;
}

std::unique_ptr<HttpTransport> open_http(const HttpPlace& place, const std::function<bool()>& stopping) {
  ingest::HttpClientOptions options;
  options.ca_file = place.ca_file;
  options.proxy = place.proxy;
  options.cancelled = stopping;
  return ingest::open_http_client(std::move(options));
}

Attempt attempt_of(const Result<HttpResponse>& response, const std::string& origin) {
  if (!response.ok()) return Attempt::failed(response.error());
  if (response->ok()) return {};
  // The first line of what it says is for people; it may say anything.
  std::string says(response->body.substr(0, std::min<size_t>(200, response->body.find('\n'))));
  Attempt attempt = Attempt::failed({ErrorCode::io, origin + " answered " + std::to_string(response->status) + (says.empty() ? "" : ": " + without_controls(says))});
  const int s = response->status;
  attempt.refused = s >= 400 && s < 500 && s != 401 && s != 403 && s != 404 && s != 407 && s != 408 && s != 425 && s != 429;
  // Seconds; a date is as good as none here.
  const std::string_view wait = response->header("retry-after");
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(wait.data(), wait.data() + wait.size(), seconds);
  if (!wait.empty() && error == std::errc() && end == wait.data() + wait.size() && seconds > 0)
    attempt.pause = seconds > limits::kReceiverPauseMax / kSecond ? limits::kReceiverPauseMax : seconds * kSecond;
  return attempt;
}

Result<MadeTarget> make_webhook(DeclaredSettings& settings) {
  WebhookOptions options;
  SLUICE_ASSIGN(options.place, read_http_place(settings));
  SLUICE_ASSIGN(options.secret, settings.secret());
  if (options.secret) {
    const auto secret = options.secret();
    if (secret.ok())
      if (const auto signature = webhook_signature(*secret, "", 0, ""); !signature.ok())
        return settings.error_at(settings.options.contains("secret_file") ? "secret_file" : "secret_env", signature.error().message);
  }
  SLUICE_ASSIGN(options.authorization, settings.secret("authorization"));
  SLUICE_ASSIGN(const auto headers, settings.list("headers"));
  if (headers.size() > limits::kWebhookHeadersMax) return settings.error_at("headers", "are more than " + std::to_string(limits::kWebhookHeadersMax));
  for (const std::string& line : headers) {
    const size_t colon = line.find(':');
    std::string name = line.substr(0, colon), value = colon == std::string::npos ? "" : line.substr(colon + 1);
    value.erase(0, value.find_first_not_of(' '));
    if (colon == std::string::npos || !is_header_name(name) || has_controls(value)) return settings.error_at("headers", "are 'Name: value', not '" + without_controls(line.substr(0, 100)) + "'");
    options.headers.emplace_back(std::move(name), std::move(value));
  }
  constexpr std::string_view kMethods[] = {"POST", "PUT"};
  SLUICE_ASSIGN(const size_t method, settings.choice("method", kMethods, 0));
  options.method = kMethods[method];
  SLUICE_ASSIGN(options.shape, read_shape(settings, AlertShape::native));
  const std::string to = options.place.origin;
  return MadeTarget{to, [options](const std::function<bool()>& stopping) -> Result<std::unique_ptr<Sender>> {
                      return std::unique_ptr<Sender>(std::make_unique<WebhookSender>(options, open_http(options.place, stopping)));
                    }};
}

}  // namespace sluice::delivery
