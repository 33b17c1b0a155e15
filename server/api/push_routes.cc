// The clouds' own push protocols, to the letter: what they send, how they prove who they are, and which answers they take for a yes.
#include <fnmatch.h>

#include <algorithm>
#include <map>

#include "ingest/receive/inflate.h"
#include "ingest/source/push_envelope.h"
#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "server/log.h"

namespace sluice::api {
namespace {

constexpr std::string_view kAttributes = "x-amz-firehose-common-attributes";
constexpr size_t kRequestIdBytesMax = 256;       // a GUID, by the documents
constexpr size_t kFirehoseMessageBytesMax = 8'192;

struct Destination {
  std::string source, format;
};

// Where records go: the request's own word (query, then `said`), then the first [[push]] whose pattern fits the sender, then `otherwise`.
Result<Destination> destination(const http::Request& request, const std::vector<server::PushRule>& rules, const std::vector<std::string>& senders,
                                std::string_view otherwise, Destination said = {}) {
  Destination to = std::move(said);
  if (const auto source = request.query_value("source")) to.source = *source;
  if (const auto format = request.query_value("format")) to.format = *format;
  if (to.source.empty()) {
    const auto rule = std::find_if(rules.begin(), rules.end(), [&](const server::PushRule& r) {
      return std::any_of(senders.begin(), senders.end(), [&](const std::string& s) { return ::fnmatch(r.from.c_str(), s.c_str(), 0) == 0; });
    });
    if (rule != rules.end()) {
      to.source = rule->source;
      if (to.format.empty()) to.format = rule->format;
    } else {
      to.source = otherwise;
    }
  }
  if (!server::is_known_source(to.source)) {
    const auto nearest = server::source_names();
    std::string known;
    for (const auto name : nearest) known.append(known.empty() ? "" : ", ").append(name);
    return Error{ErrorCode::not_found, "there is no source '" + to.source.substr(0, 100) + "' (known are " + known + ")"};
  }
  return to;
}

// The body without its Content-Encoding.
Result<std::string> plain_body(Call& call) {
  std::string body = call.exchange->take_body();
  SLUICE_ASSIGN(const auto compression, ingest::compression_of(call.request.header("content-encoding")));
  if (compression == ingest::Compression::none) return body;
  // 64 MiB before compression is Firehose's own bound; nobody else sends more.
  return ingest::inflate_to_string(body, compression, limits::kIngestBodyBytesMax);
}

int push_status(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::corrupt: return 422;
    case ErrorCode::parse: return 400;
    default: return status_of(error.code);
  }
}

http::Response push_error(const Error& error) {
  http::Response response = error_response(push_status(error), to_string(error.code), error.message);
  if (response.status == 503) response.headers.emplace_back("Retry-After", "5");
  return response;
}

void note_rejected(std::string_view door, const std::string& who, const server::IngestOutcome& outcome) {
  if (outcome.report.rejected == 0 || outcome.report.errors.empty()) return;
  log::warn("records of a push were rejected", {{"door", door},
                                                {"from", who},
                                                {"rejected", outcome.report.rejected},
                                                {"accepted", outcome.rows},
                                                {"record", outcome.report.errors.front().record},
                                                {"reason", outcome.report.errors.front().reason}});
}

http::Response firehose_response(int status, std::string_view id, const Clock& clock, std::string_view message = {}) {
  http::Response response;
  response.status = status;
  std::string& out = response.body;
  out = "{\"requestId\":";
  append_json_string(out, id);
  out += ",\"timestamp\":" + std::to_string(clock.now() / kMillisecond);
  if (!message.empty()) {
    out += ",\"errorMessage\":";
    append_json_string(out, message.substr(0, kFirehoseMessageBytesMax / 2));  // escapes may double it
  }
  out += '}';
  if (status == 503) response.headers.emplace_back("Retry-After", "5");
  return response;
}

Result<server::IngestOutcome> take_firehose(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules, std::string& id) {
  const http::Request& head = call.request;
  id = head.header("x-amz-firehose-request-id");
  if (const auto version = head.header("x-amz-firehose-protocol-version"); !version.empty() && version != "1.0")
    return Error{ErrorCode::parse, "Firehose protocol version " + std::string(version.substr(0, 20)) + " is not known; 1.0 is"};
  SLUICE_ASSIGN(const std::string body, plain_body(call));
  auto request = ingest::read_firehose(body);
  if (!request.ok()) {
    if (id.empty()) id = ingest::firehose_request_id(body).substr(0, kRequestIdBytesMax);
    return std::move(request).error();
  }
  if (id.empty()) id = request->id.substr(0, kRequestIdBytesMax);
  if (id != request->id) return Error{ErrorCode::parse, "requestId in the body is not that of X-Amz-Firehose-Request-Id"};
  const std::string arn(head.header("x-amz-firehose-source-arn"));
  const auto attributes = head.header(kAttributes);
  Destination said;
  if (!attributes.empty()) {
    said.source = ingest::firehose_attribute(attributes, "sluice-source");
    said.format = ingest::firehose_attribute(attributes, "sluice-format");
  }
  SLUICE_ASSIGN(const Destination to, destination(head, rules, {arn}, "aws_vpc", std::move(said)));
  server::IngestMessages messages;
  messages.source = to.source;
  messages.format = to.format;
  messages.object_key = "push/firehose/" + arn.substr(0, 512) + "\n" + id;
  messages.bytes = std::move(request->records.bytes);
  messages.ends = std::move(request->records.ends);
  auto outcome = ingest.take_messages(std::move(messages));
  // 413 makes Firehose throw the delivery away for good, and is for its own bounds only. What is too large for us lies in its backup
  // bucket once it has tried long enough.
  if (!outcome.ok() && outcome.error().code == ErrorCode::too_large) return Error{ErrorCode::full, outcome.error().message};
  if (outcome.ok()) note_rejected("firehose", arn, *outcome);
  return outcome;
}

void append_counts(std::string& out, const server::IngestOutcome& sum, uint64_t duplicates) {
  out += "\"accepted\":" + std::to_string(sum.rows) + ",\"rejected\":" + std::to_string(sum.report.rejected) + ",\"no_data\":" +
         std::to_string(sum.report.no_data) + ",\"skipped_data\":" + std::to_string(sum.report.skipped_data) + ",\"ignored\":" +
         std::to_string(sum.report.ignored) + ",\"duplicates\":" + std::to_string(duplicates);
}

// The token that Pub/Sub was told to put into its URL. A Google-signed token in Authorization is not looked at: its signature needs
// Google's keys, which change daily and are not here, and unsigned claims prove nothing.
std::string query_token(const http::Request& request) {
  const auto token = request.query_value("token");
  return token ? "Bearer " + std::string(*token) : std::string(request.header("authorization"));
}

}  // namespace

std::string firehose_credential(const http::Request& request) {
  const auto key = request.header("x-amz-firehose-access-key");
  if (key.empty()) return std::string(request.header("authorization"));
  return key.size() > limits::kPushKeyBytesMax ? "Bearer -" : "Bearer " + std::string(key);
}

std::string pubsub_credential(const http::Request& request) { return query_token(request); }

http::Response firehose_refusal(const http::Request& request, const http::Response& refusal, const Clock& clock) {
  std::string message = "refused";
  const auto at = refusal.body.find("\"message\":\"");
  if (at != std::string::npos) {
    const size_t begin = at + 11;
    size_t end = begin;
    while (end < refusal.body.size() && refusal.body[end] != '"') end += refusal.body[end] == '\\' ? 2 : 1;
    message = refusal.body.substr(begin, end - begin);
  }
  http::Response response = firehose_response(refusal.status, request.header("x-amz-firehose-request-id").substr(0, kRequestIdBytesMax), clock, message);
  response.headers = refusal.headers;
  return response;
}

http::Admission admit_push(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest) {
  http::Admission admission;
  // A body as sent is never longer than before compression.
  admission.body_bytes_max = limits::kIngestBodyBytesMax;
  if (const auto compression = ingest::compression_of(head.header("content-encoding")); !compression.ok()) {
    admission.refusal = error_response(415, to_string(compression.error().code), compression.error().message, "gzip and zstd are known");
    return admission;
  }
  if (content_length && *content_length > admission.body_bytes_max) return admission;  // 413, said by the server
  // The body and what is taken out of it are there at once.
  admission.ticket = ingest.reserve(2 * static_cast<size_t>(content_length.value_or(admission.body_bytes_max)));
  if (!admission.ticket) {
    admission.refusal = error_response(503, "full", "too many bytes of bodies are being ingested");
    admission.refusal->headers.emplace_back("Retry-After", "1");
  }
  return admission;
}

void answer_firehose(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules, const Clock& clock) {
  std::string id;
  const auto outcome = take_firehose(call, ingest, rules, id);
  if (outcome.ok()) return call.exchange->respond(firehose_response(200, id, clock));
  const Error& error = outcome.error();
  call.exchange->respond(firehose_response(push_status(error), id, clock, error.message));
}

void answer_cloudwatch(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules) {
  const auto body = plain_body(call);
  if (!body.ok()) return call.exchange->respond(push_error(body.error()));
  server::IngestOutcome sum;
  uint64_t duplicates = 0, control = 0, batches = 0;
  // Each batch under its own key: a stream that tries again may put other batches together.
  const Status status = ingest::read_cloudwatch(*body, [&](ingest::CloudWatchBatch&& batch) -> Status {
    ++batches;
    if (batch.is_control) {
      ++control;
      return {};
    }
    SLUICE_ASSIGN(const Destination to, destination(call.request, rules, {batch.group, batch.group + ":" + batch.stream}, "aws_vpc"));
    server::IngestMessages messages;
    messages.source = to.source;
    messages.format = to.format;
    if (!batch.first_id.empty())
      messages.object_key = "push/cloudwatch/" + (batch.owner + "/" + batch.group + "/" + batch.stream).substr(0, 700) + "\n" + batch.first_id.substr(0, 100) + "-" +
                            batch.last_id.substr(0, 100) + "-" + std::to_string(batch.events);
    const bool reads_envelope = to.source == "aws_vpc" || to.source == "aws_tgw";  // which keeps the events' own times
    if (reads_envelope) {
      messages.ends = {batch.envelope.size()};
      messages.bytes = std::move(batch.envelope);
    } else {
      messages.bytes = std::move(batch.messages.bytes);
      messages.ends = std::move(batch.messages.ends);
    }
    SLUICE_ASSIGN(const server::IngestOutcome outcome, ingest.take_messages(std::move(messages)));
    note_rejected("cloudwatch", batch.group, outcome);
    duplicates += outcome.duplicate;
    sum.rows += outcome.rows;
    if (outcome.duplicate) return {};
    sum.report.rejected += outcome.report.rejected;
    sum.report.no_data += outcome.report.no_data;
    sum.report.skipped_data += outcome.report.skipped_data;
    sum.report.ignored += outcome.report.ignored;
    return {};
  });
  if (!status.ok()) return call.exchange->respond(push_error(status.error()));
  std::string out = "{\"batches\":" + std::to_string(batches) + ",\"control\":" + std::to_string(control) + ",";
  append_counts(out, sum, duplicates);
  call.exchange->respond(json_response(out + "}"));
}

void answer_pubsub(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules) {
  const auto take = [&]() -> Result<server::IngestOutcome> {
    SLUICE_ASSIGN(std::string body, plain_body(call));
    ingest::PubSubMessage message;
    if (const auto id = call.request.header("x-goog-pubsub-message-id"); !id.empty()) {
      // "Payload unwrapping" with metadata: the body is the data itself.
      message.id = id;
      message.subscription = call.request.header("x-goog-pubsub-subscription-name");
      message.data = std::move(body);
    } else {
      SLUICE_ASSIGN(message, ingest::read_pubsub(body));
    }
    SLUICE_ASSIGN(const Destination to, destination(call.request, rules, {message.subscription}, "gcp_vpc"));
    server::IngestMessages messages;
    messages.source = to.source;
    messages.format = to.format;
    messages.object_key = "push/pubsub/" + message.subscription.substr(0, 512) + "\n" + message.id.substr(0, kRequestIdBytesMax);
    messages.ends = {message.data.size()};
    messages.bytes = std::move(message.data);
    SLUICE_ASSIGN(server::IngestOutcome outcome, ingest.take_messages(std::move(messages)));
    note_rejected("pubsub", message.subscription, outcome);
    return outcome;
  };
  const auto outcome = take();
  if (!outcome.ok()) return call.exchange->respond(push_error(outcome.error()));
  std::string out = "{";
  append_counts(out, *outcome, outcome->duplicate);
  call.exchange->respond(json_response(out + "}"));
}

}  // namespace sluice::api
