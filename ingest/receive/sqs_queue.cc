#include "ingest/receive/limits.h"
#include "ingest/receive/sqs_queue.h"

#include <simdjson.h>

#include <algorithm>

namespace sluice::ingest {
namespace {

std::string text_at(simdjson::dom::element object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

std::string json_string(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

Result<std::unique_ptr<SqsQueue>> SqsQueue::open(SqsOptions options, HttpTransport& transport, const Clock& clock) {
  SLUICE_ASSIGN(HttpUrl endpoint, parse_http_url(options.url));
  if (endpoint.path.size() < 2) return Error{ErrorCode::invalid_argument, "the queue's URL names no queue: '" + options.url + "'"};
  if (options.region.empty()) {
    // sqs.REGION.amazonaws.com, and the older REGION.queue.amazonaws.com
    const std::string& host = endpoint.host;
    if (host.starts_with("sqs.") && host.find(".amazonaws.com") != std::string::npos) options.region = host.substr(4, host.find('.', 4) - 4);
    else if (const size_t at = host.find(".queue.amazonaws.com"); at != std::string::npos) options.region = host.substr(0, at);
    if (options.region.empty()) return Error{ErrorCode::invalid_argument, "the queue's URL tells no region; set region"};
  }
  return std::unique_ptr<SqsQueue>(new SqsQueue(std::move(options), std::move(endpoint), transport, clock));
}

Result<HttpResponse> SqsQueue::call(std::string_view action, std::string body, DurationNs timeout) {
  const std::string what = std::string(action) + " of " + options_.url;
  AwsCredentials credentials;
  if (options_.credentials) {
    auto loaded = options_.credentials();
    if (!loaded.ok()) return std::move(loaded).error().with(what);
    credentials = std::move(*loaded);
  }
  AwsRequest ask;
  ask.method = "POST";
  ask.url = endpoint_;
  ask.headers = {{"content-type", "application/x-amz-json-1.0"}, {"x-amz-target", "AmazonSQS." + std::string(action)}};
  ask.body = std::move(body);
  auto response = send_with_retries(transport_, options_.retry, [&] {
    HttpRequest request = sign_aws(ask, credentials, {options_.region, "sqs"}, clock_.now());
    request.answer_timeout = timeout;
    return request;
  });
  if (!response.ok()) return std::move(response).error().with(what);
  if (response->ok()) return response;

  std::string message = what + ": status " + std::to_string(response->status);
  std::string kind;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(response->body).get(root) == simdjson::SUCCESS && root.is_object()) {
    kind = text_at(root, "__type");
    kind = kind.substr(kind.find('#') == std::string::npos ? 0 : kind.find('#') + 1).substr(0, 100);
    std::string text = text_at(root, "message");
    if (text.empty()) text = text_at(root, "Message");
    message += (kind.empty() ? "" : " " + kind) + (text.empty() ? "" : ": " + text.substr(0, 300));
  }
  ErrorCode code = ErrorCode::io;
  if (response->status == 401 || kind == "InvalidClientTokenId" || kind == "InvalidSignatureException" || kind == "ExpiredTokenException" || kind == "UnrecognizedClientException")
    code = ErrorCode::unauthenticated;
  else if (response->status == 403 || kind == "AccessDeniedException") {
    code = ErrorCode::forbidden;
    message += "; the policy needs sqs:ReceiveMessage and sqs:DeleteMessage on the queue";
  } else if (response->status == 404 || kind == "QueueDoesNotExist") code = ErrorCode::not_found;
  else if (response->status == 429 || response->status == 503 || kind == "RequestThrottled") code = ErrorCode::full;
  else if (response->status < 500) code = ErrorCode::invalid_argument;
  return Error{code, message};
}

Result<std::vector<QueueMessage>> SqsQueue::receive(DurationNs wait) {
  const int64_t seconds = std::clamp<int64_t>(wait / kSecond, 0, 20);
  const std::string body = "{\"QueueUrl\":" + json_string(options_.url) + ",\"MaxNumberOfMessages\":10,\"WaitTimeSeconds\":" + std::to_string(seconds) +
                           ",\"VisibilityTimeout\":" + std::to_string(options_.visibility / kSecond) + "}";
  SLUICE_ASSIGN(const HttpResponse response, call("ReceiveMessage", body, seconds * kSecond + limits::kHttpStallTimeout));
  return parse_sqs_messages(response.body);
}

Status SqsQueue::remove(const QueueMessage& message) {
  const auto response = call("DeleteMessage", "{\"QueueUrl\":" + json_string(options_.url) + ",\"ReceiptHandle\":" + json_string(message.receipt) + "}", limits::kHttpStallTimeout);
  return response.ok() ? Status() : Status(response.error());
}

Result<std::vector<QueueMessage>> parse_sqs_messages(std::string_view json) {
  std::vector<QueueMessage> out;
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS || !root.is_object()) return Error{ErrorCode::parse, "the queue's answer is no JSON object"};
  simdjson::dom::array messages;
  // An empty queue leaves the member out, or says null.
  if (root["Messages"].get(messages) != simdjson::SUCCESS) return out;
  for (const auto message : messages) {
    QueueMessage m{text_at(message, "MessageId"), text_at(message, "ReceiptHandle"), text_at(message, "Body")};
    if (m.receipt.empty()) return Error{ErrorCode::parse, "a message of the queue has no receipt"};
    out.push_back(std::move(m));
  }
  return out;
}

}  // namespace sluice::ingest
