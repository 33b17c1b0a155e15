#include "ingest/source/push_envelope.h"

#include <simdjson.h>

#include "ingest/receive/inflate.h"
#include "ingest/source/base64.h"
#include "ingest/source/text_line.h"
#include "storage/model/limits.h"

namespace sluice::ingest {
namespace {

namespace ondemand = simdjson::ondemand;

Error parse_error(std::string_view what, simdjson::error_code code) {
  return Error{ErrorCode::parse, std::string(what) + " cannot be read: " + simdjson::error_message(code)};
}

// Whether all of the document has been read; rubbish behind it makes it another document.
Status at_end(ondemand::document& document, std::string_view what) {
  const char* rest = nullptr;
  if (document.current_location().get(rest) == simdjson::OUT_OF_BOUNDS) return {};
  return Error{ErrorCode::parse, std::string(what) + " is followed by something else"};
}

constexpr int kPackedDepthMax = 3;  // gzip in base64 in a Lambda or Kinesis event is two

class CloudWatchReader {
 public:
  using Sink = std::function<Status(CloudWatchBatch&&)>;
  explicit CloudWatchReader(const Sink& sink) : sink_(sink) {}

  Status read(std::string_view bytes, int depth) {
    if (depth > kPackedDepthMax) return Error{ErrorCode::parse, "body is packed more often than any cloud does"};
    if (const Compression compression = detect_compression(bytes, false); compression != Compression::none) {
      const size_t left = limits::kIngestInflatedBytesMax - inflated_;
      SLUICE_ASSIGN(const std::string text, inflate_to_string(bytes, compression, left));
      inflated_ += text.size();
      return read(text, depth + 1);
    }
    const size_t begin = bytes.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return Error{ErrorCode::parse, "body is empty"};
    bytes.remove_prefix(begin);
    bytes.remove_suffix(bytes.size() - 1 - bytes.find_last_not_of(" \t\r\n"));
    if (bytes[0] == '{') return object(bytes, depth);
    const auto unpacked = base64_decoded(bytes);
    if (!unpacked) return Error{ErrorCode::parse, "body is neither a JSON object nor gzip nor base64; it begins with " + quoted(bytes.substr(0, 16))};
    return read(*unpacked, depth + 1);
  }

 private:
  Status object(std::string_view text, int depth) {
    simdjson::padded_string padded(text);
    ondemand::parser parser;
    ondemand::document document;
    ondemand::object object;
    auto error = parser.iterate(padded).get(document);
    if (!error) error = document.get_object().get(object);
    if (error) return parse_error("CloudWatch body", error);
    CloudWatchBatch batch;
    std::vector<std::string> packed;
    bool is_batch = false;
    for (auto field : object) {
      std::string_view key;
      error = field.unescaped_key().get(key);
      if (!error) error = member(field, key, batch, packed, is_batch);
      if (error) return parse_error("CloudWatch body", error);
    }
    SLUICE_TRY(at_end(document, "CloudWatch body"));
    if (is_batch) {
      batch.envelope.assign(text);
      return sink_(std::move(batch));
    }
    if (packed.empty()) return Error{ErrorCode::parse, "JSON object is no CloudWatch Logs subscription: it has neither logEvents nor awslogs nor Records"};
    for (const std::string& data : packed) SLUICE_TRY(read(data, depth + 1));
    return {};
  }

  template <typename Field>
  simdjson::error_code member(Field& field, std::string_view key, CloudWatchBatch& batch, std::vector<std::string>& packed, bool& is_batch) {
    std::string_view text;
    if (key == "messageType") {
      if (const auto error = field.value().get_string().get(text)) return error;
      batch.is_control = text == "CONTROL_MESSAGE";
    } else if (key == "owner" || key == "logGroup" || key == "logStream") {
      if (const auto error = field.value().get_string().get(text)) return error;
      (key == "owner" ? batch.owner : key == "logGroup" ? batch.group : batch.stream).assign(text);
    } else if (key == "logEvents") {
      ondemand::array events;
      if (const auto error = field.value().get_array().get(events)) return error;
      is_batch = true;
      for (auto element : events) {
        ondemand::object event;
        if (const auto error = element.get_object().get(event)) return error;
        bool has_message = false;
        for (auto item : event) {
          std::string_view name;
          if (const auto error = item.unescaped_key().get(name)) return error;
          if (name == "id") {
            if (const auto error = item.value().get_string().get(text)) return error;
            if (batch.events == 0) batch.first_id.assign(text);
            batch.last_id.assign(text);
          } else if (name == "message" && !has_message) {
            if (const auto error = item.value().get_string().get(text)) return error;
            batch.messages.add(text);
            has_message = true;
          }
        }
        if (!has_message) return simdjson::NO_SUCH_FIELD;
        ++batch.events;
      }
    } else if (key == "awslogs") {
      ondemand::object logs;
      if (const auto error = field.value().get_object().get(logs)) return error;
      if (const auto error = logs["data"].get_string().get(text)) return error;
      packed.emplace_back(text);
    } else if (key == "Records") {
      ondemand::array records;
      if (const auto error = field.value().get_array().get(records)) return error;
      for (auto element : records) {
        ondemand::object record, kinesis;
        if (const auto error = element.get_object().get(record)) return error;
        if (const auto error = record["kinesis"].get_object().get(kinesis)) return error;
        if (const auto error = kinesis["data"].get_string().get(text)) return error;
        packed.emplace_back(text);
      }
    }
    return simdjson::SUCCESS;
  }

  const Sink& sink_;
  size_t inflated_ = 0;
};

// Third-party exceptions stop here. `read` returns what its own T is.
template <typename F>
auto without_exceptions(std::string_view what, F&& read) -> decltype(read()) {
  try {
    return read();
  } catch (const simdjson::simdjson_error& error) {
    return parse_error(what, error.error());
  }
}

Result<FirehoseRequest> firehose(std::string_view body) {
  simdjson::padded_string padded(body);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::object object;
  auto error = parser.iterate(padded).get(document);
  if (!error) error = document.get_object().get(object);
  if (error) return parse_error("Firehose request", error);
  FirehoseRequest request;
  bool has_records = false;
  for (auto field : object) {
    std::string_view key;
    if ((error = field.unescaped_key().get(key))) return parse_error("Firehose request", error);
    if (key == "requestId") {
      std::string_view id;
      if ((error = field.value().get_string().get(id))) return parse_error("requestId", error);
      request.id.assign(id);
    } else if (key == "timestamp") {
      if ((error = field.value().get_int64().get(request.timestamp_ms))) return parse_error("timestamp", error);
    } else if (key == "records") {
      ondemand::array records;
      if ((error = field.value().get_array().get(records))) return parse_error("records", error);
      has_records = true;
      for (auto element : records) {
        const std::string where = "record " + std::to_string(request.records.ends.size() + 1);
        if (request.records.ends.size() >= limits::kFirehoseRecordsMax)
          return Error{ErrorCode::too_large, "more than " + std::to_string(limits::kFirehoseRecordsMax) + " records in one request"};
        ondemand::object record;
        std::string_view data;
        if ((error = element.get_object().get(record))) return parse_error(where, error);
        if ((error = record["data"].get_string().get(data))) return parse_error("data of " + where, error);
        const auto bytes = base64_decoded(data);
        if (!bytes) return Error{ErrorCode::parse, "data of " + where + " is not base64"};
        if (bytes->size() > limits::kFirehoseRecordBytesMax)
          return Error{ErrorCode::too_large, where + " is larger than " + std::to_string(limits::kFirehoseRecordBytesMax) + " bytes"};
        request.records.add(*bytes);
      }
    }
  }
  SLUICE_TRY(at_end(document, "Firehose request"));
  if (request.id.empty()) return Error{ErrorCode::parse, "Firehose request has no requestId"};
  if (!has_records) return Error{ErrorCode::parse, "Firehose request has no records"};
  return request;
}

Result<PubSubMessage> pubsub(std::string_view body) {
  simdjson::padded_string padded(body);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::object object;
  auto error = parser.iterate(padded).get(document);
  if (!error) error = document.get_object().get(object);
  if (error) return parse_error("Pub/Sub message", error);
  PubSubMessage out;
  bool has_message = false;
  std::string_view text;
  for (auto field : object) {
    std::string_view key;
    if ((error = field.unescaped_key().get(key))) return parse_error("Pub/Sub message", error);
    if (key == "subscription") {
      if ((error = field.value().get_string().get(text))) return parse_error("subscription", error);
      out.subscription.assign(text);
    } else if (key == "message") {
      ondemand::object message;
      if ((error = field.value().get_object().get(message))) return parse_error("message", error);
      has_message = true;
      for (auto item : message) {
        std::string_view name;
        if ((error = item.unescaped_key().get(name))) return parse_error("message", error);
        if (name != "data" && name != "messageId" && name != "message_id" && name != "publishTime" && name != "publish_time") continue;
        if ((error = item.value().get_string().get(text))) return parse_error(name, error);
        if (name == "data") {
          auto data = base64_decoded(text);
          if (!data) return Error{ErrorCode::parse, "data of the message is not base64"};
          out.data = std::move(*data);
        } else if (name.starts_with("message")) {
          out.id.assign(text);
        } else if (const auto time = parse_timestamp(text)) {
          out.published = *time;
        }
      }
    }
  }
  SLUICE_TRY(at_end(document, "Pub/Sub message"));
  if (!has_message) return Error{ErrorCode::parse, "JSON object is no Pub/Sub push: it has no message"};
  if (out.id.empty()) return Error{ErrorCode::parse, "Pub/Sub message has no messageId"};
  return out;
}

}  // namespace

Result<FirehoseRequest> read_firehose(std::string_view body) {
  return without_exceptions("Firehose request", [&] { return firehose(body); });
}

std::string firehose_request_id(std::string_view body) {
  std::string id;
  const Status status = without_exceptions("requestId", [&]() -> Status {
    simdjson::padded_string padded(body);
    ondemand::parser parser;
    ondemand::document document;
    std::string_view text;
    auto error = parser.iterate(padded).get(document);
    if (!error) error = document["requestId"].get_string().get(text);
    if (error) return parse_error("requestId", error);
    id.assign(text);
    return {};
  });
  return status.ok() ? id : std::string();
}

std::string firehose_attribute(std::string_view header, std::string_view name) {
  std::string value;
  const Status status = without_exceptions("common attributes", [&]() -> Status {
    simdjson::padded_string padded(header);
    ondemand::parser parser;
    ondemand::document document;
    std::string_view text;
    auto error = parser.iterate(padded).get(document);
    if (!error) error = document["commonAttributes"][name].get_string().get(text);
    if (error) return parse_error("common attributes", error);
    value.assign(text);
    return {};
  });
  return status.ok() ? value : std::string();
}

Status read_cloudwatch(std::string_view body, const std::function<Status(CloudWatchBatch&&)>& sink) {
  return without_exceptions("CloudWatch body", [&] { return CloudWatchReader(sink).read(body, 0); });
}

Result<PubSubMessage> read_pubsub(std::string_view body) {
  return without_exceptions("Pub/Sub message", [&] { return pubsub(body); });
}

}  // namespace sluice::ingest
