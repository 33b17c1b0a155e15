// The clouds' own push protocols, to the letter: what they send, how they prove who they are, and which answers they take for a yes.
#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <optional>

#include "ingest/receive/inflate.h"
#include "ingest/source/push_envelope.h"
#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "server/limits.h"
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

// 413 makes Firehose throw the delivery away for good, and is for its own bounds only. What is too large for our memory is told as what
// others hold at the moment, 503: it lies in Firehose's backup bucket once that has tried long enough.
class FirehoseMemory final : public ingest::MemoryShare {
 public:
  explicit FirehoseMemory(ingest::MemoryShare& memory) : memory_(memory) {}
  Status take(size_t bytes) override {
    Status status = memory_.take(bytes);
    return status.ok() ? status : Status(Error{ErrorCode::full, status.error().message});
  }
  void release(size_t bytes) override { memory_.release(bytes); }

 private:
  ingest::MemoryShare& memory_;
};

// A push's body without its Content-Encoding, and the memory of all that is made of it.
struct PushBody {
  PushBody(std::string sent, server::IngestService& ingest, bool is_firehose = false)
      : bytes(std::move(sent)), memory(ingest.memory(bytes.size())), firehose(memory), held(is_firehose ? static_cast<ingest::MemoryShare*>(&firehose) : &memory) {}

  Status unpack(const http::Request& head) {
    SLUICE_ASSIGN(const auto compression, ingest::compression_of(head.header("content-encoding")));
    if (compression == ingest::Compression::none) return {};
    // 64 MiB before compression is Firehose's own bound; nobody else sends more.
    SLUICE_ASSIGN(bytes, ingest::inflate_to_string(bytes, compression, limits::kIngestBodyBytesMax, held));
    return {};
  }
  // Once all that is needed was read out of it.
  void drop() {
    std::string().swap(bytes);
    held.release();
  }
  ingest::MemoryShare* share() const { return held.share(); }

  std::string bytes;
  server::BodyMemory memory;
  FirehoseMemory firehose;
  ingest::HeldMemory held;  // of `bytes`, where they were packed
};

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
  PushBody body(call.exchange->take_body(), ingest, true);
  SLUICE_TRY(body.unpack(head));
  ingest::HeldMemory records(body.share());
  auto request = ingest::read_firehose(body.bytes, records);
  if (!request.ok()) {
    if (id.empty()) id = ingest::firehose_request_id(body.bytes).substr(0, kRequestIdBytesMax);
    return std::move(request).error();
  }
  body.drop();
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
  messages.refused = std::move(request->records.refused);
  auto outcome = ingest.take_messages(std::move(messages), body.memory);
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
  const bool has_key = !request.header("x-amz-firehose-access-key").empty() || !request.header("authorization").empty();
  const auto at = refusal.body.find("\"message\":\"");
  if (at != std::string::npos) {
    const size_t begin = at + 11;
    size_t end = begin;
    while (end < refusal.body.size() && refusal.body[end] != '"') end += refusal.body[end] == '\\' ? 2 : 1;
    message = refusal.body.substr(begin, end - begin);
  }
  if (refusal.status == 401 && !has_key) message = "X-Amz-Firehose-Access-Key is missing: the stream's destination needs an access key, which is a token of role ingest";
  http::Response response = firehose_response(refusal.status, request.header("x-amz-firehose-request-id").substr(0, kRequestIdBytesMax), clock, message);
  response.headers = refusal.headers;
  return response;
}

http::Admission admit_push(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest) {
  http::Admission admission;
  // A body as sent is never longer than before compression.
  admission.body_bytes_max = limits::kIngestBodyBytesMax;
  if (const auto compression = ingest::compression_of(head.header("content-encoding")); !compression.ok()) {
    admission.refusal = error_response(415, to_string(compression.error().code), compression.error().message);
    return admission;
  }
  admit_share(admission, content_length, ingest);  // what is taken out of it is counted as it is (PushBody)
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
  PushBody body(call.exchange->take_body(), ingest);
  if (const Status status = body.unpack(call.request); !status.ok()) return call.exchange->respond(push_error(status.error()));
  server::IngestOutcome sum;
  uint64_t duplicates = 0, control = 0, batches = 0, unreadable = 0;
  std::map<std::string, uint64_t> lost;  // records by source
  std::optional<Error> first_unreadable;
  // Each batch under its own key: a stream that tries again may put other batches together.
  const auto sink = [&](ingest::CloudWatchBatch&& batch) -> Status {
    ++batches;
    if (batch.is_control) {
      ++control;
      return {};
    }
    SLUICE_ASSIGN(const Destination to, destination(call.request, rules, {batch.group, batch.group + ":" + batch.stream}, "aws_vpc"));
    server::IngestMessages messages;
    messages.source = to.source;
    messages.format = to.format;
    const size_t events = batch.events;
    if (!batch.first_id.empty())
      messages.object_key = "push/cloudwatch/" + (batch.owner + "/" + batch.group + "/" + batch.stream).substr(0, 700) + "\n" + batch.first_id.substr(0, 100) + "-" +
                            batch.last_id.substr(0, 100) + "-" + std::to_string(batch.events);
    const bool reads_envelope = to.source == "aws_vpc" || to.source == "aws_tgw";  // which keeps the events' own times
    ingest::HeldMemory held(body.share());
    if (reads_envelope) {
      SLUICE_TRY(held.take(batch.envelope.size()));
      messages.ends = {batch.envelope.size()};
      messages.bytes = batch.envelope;
    } else {
      messages.bytes = std::move(batch.messages.bytes);
      messages.ends = std::move(batch.messages.ends);
      messages.refused = std::move(batch.messages.refused);
    }
    const auto outcome = ingest.take_messages(std::move(messages), body.memory);
    if (!outcome.ok()) {
      if (outcome.error().code != ErrorCode::invalid_argument) return outcome.error();
      // Of a stream's record of which nothing can be read the others know nothing: they go on.
      if (++unreadable == 1) first_unreadable = outcome.error();
      lost[to.source] += events;
      return {};
    }
    note_rejected("cloudwatch", batch.group, *outcome);
    duplicates += outcome->duplicate;
    sum.rows += outcome->rows;
    if (!outcome->duplicate) sum.report.merge(outcome->report);
    return {};
  };
  ingest::DecodeReport refused;
  const Status status = ingest::read_cloudwatch(body.bytes, body.share(), sink, refused);
  if (!status.ok()) return call.exchange->respond(push_error(status.error()));
  if (refused.rejected > 0) {
    lost["unknown"] += refused.rejected;
    if (!first_unreadable) first_unreadable = Error{ErrorCode::invalid_argument, refused.errors.front().reason};
  }
  if (first_unreadable) {
    // Nothing of it could be read: whoever sent it shall keep it.
    if (batches == unreadable) return call.exchange->respond(push_error(*first_unreadable));
    for (const auto& [source, records] : lost) {
      sum.report.rejected += records;
      ingest.count_refused(source, records);
    }
    log::warn("parts of a push cannot be read and are passed by", {{"door", "cloudwatch"}, {"batches", unreadable + refused.rejected}, {"of", batches + refused.rejected}, {"reason", first_unreadable->message}});
  }
  std::string out = "{\"batches\":" + std::to_string(batches) + ",\"control\":" + std::to_string(control) + ",";
  append_counts(out, sum, duplicates);
  call.exchange->respond(json_response(out + "}"));
}

void answer_pubsub(Call& call, server::IngestService& ingest, const std::vector<server::PushRule>& rules) {
  const auto take = [&]() -> Result<server::IngestOutcome> {
    PushBody body(call.exchange->take_body(), ingest);
    SLUICE_TRY(body.unpack(call.request));
    ingest::HeldMemory data(body.share());
    ingest::PubSubMessage message;
    if (const auto id = call.request.header("x-goog-pubsub-message-id"); !id.empty()) {
      // "Payload unwrapping" with metadata: the body is the data itself.
      message.id = id;
      message.subscription = call.request.header("x-goog-pubsub-subscription-name");
      message.data = std::move(body.bytes);
    } else {
      SLUICE_ASSIGN(message, ingest::read_pubsub(body.bytes, data));
      body.drop();
    }
    SLUICE_ASSIGN(const Destination to, destination(call.request, rules, {message.subscription}, "gcp_vpc"));
    server::IngestMessages messages;
    messages.source = to.source;
    messages.format = to.format;
    messages.object_key = "push/pubsub/" + message.subscription.substr(0, 512) + "\n" + message.id.substr(0, kRequestIdBytesMax);
    messages.ends = {message.data.size()};
    messages.bytes = std::move(message.data);
    SLUICE_ASSIGN(server::IngestOutcome outcome, ingest.take_messages(std::move(messages), body.memory));
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
