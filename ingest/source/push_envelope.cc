#include "ingest/source/push_envelope.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "ingest/receive/inflate.h"
#include "ingest/receive/limits.h"
#include "ingest/source/base64.h"
#include "ingest/source/json_body.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"

namespace sluice::ingest {
namespace {

namespace ondemand = simdjson::ondemand;

Error parse_error(std::string_view what, simdjson::error_code code) {
  return Error{ErrorCode::parse, std::string(what) + " cannot be read: " + simdjson::error_message(code)};
}

constexpr int kPackedDepthMax = 3;  // gzip in base64 in a Lambda or Kinesis event is two

// A JSON object that is read from a text that is not padded. What simdjson needs besides the text is held: a copy with its padding, the
// places of its tokens, and its strings once they are out of their escapes.
class Envelope {
 public:
  Envelope(std::string_view text, std::string_view what, MemoryShare* share) : text_(text), what_(what), held_(share) {}

  Status open(ondemand::object& object) {
    SLUICE_TRY(held_.take(2 * (text_.size() + simdjson::SIMDJSON_PADDING) + sizeof(uint32_t) * tokens_at_most()));
    padded_ = simdjson::padded_string(text_);
    auto error = parser_.iterate(padded_).get(document_);
    if (!error) error = document_.get_object().get(object);
    return error ? Status(parse_error(what_, error)) : Status();
  }
  // After all of the object has been read: rubbish behind it makes it another document.
  Status at_end() {
    const char* rest = nullptr;
    if (document_.current_location().get(rest) == simdjson::OUT_OF_BOUNDS) return {};
    return Error{ErrorCode::parse, std::string(what_) + " is followed by something else"};
  }
  // Calls `f(key, field)` for each field, until it fails.
  template <typename F>
  Status each_field(F&& f) {
    ondemand::object object;
    SLUICE_TRY(open(object));
    for (auto field : object) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return parse_error(what_, error);
      SLUICE_TRY(f(key, field));
    }
    return at_end();
  }

 private:
  // simdjson keeps a number for each bracket, colon, comma and beginning of a value.
  size_t tokens_at_most() const {
    static constexpr auto kCounts = [] {
      std::array<uint8_t, 256> counts{};
      for (const char c : std::string_view("{}[]:,\" \t\r\n")) counts[static_cast<uint8_t>(c)] = 1;
      return counts;
    }();
    size_t count = 8;
    for (const char c : text_) count += kCounts[static_cast<uint8_t>(c)];
    return count;
  }

  const std::string_view text_, what_;
  HeldMemory held_;
  simdjson::padded_string padded_;
  ondemand::parser parser_;
  ondemand::document document_;
};

// Bytes out of base64, held. Errors: parse, those of the share.
Result<std::string> unpacked(std::string_view text, std::string_view what, HeldMemory& held) {
  SLUICE_TRY(held.take(text.size() / 4 * 3 + 3));
  auto bytes = base64_decoded(text);
  if (!bytes) return Error{ErrorCode::parse, std::string(what) + " is not base64"};
  return std::move(*bytes);
}

class CloudWatchReader {
 public:
  using Sink = std::function<Status(CloudWatchBatch&&)>;
  CloudWatchReader(MemoryShare* share, const Sink& sink, DecodeReport& report) : share_(share), sink_(sink), report_(report) {}

  Status read(std::string_view bytes, int depth) {
    if (depth > kPackedDepthMax) return Error{ErrorCode::parse, "body is packed more often than any cloud does"};
    HeldMemory held(&guard_);
    if (const Compression compression = detect_compression(bytes, false); compression != Compression::none) {
      const size_t left = limits::kIngestInflatedBytesMax - inflated_;
      if (left == 0) return stop({ErrorCode::too_large, "batches of one body inflate to more than " + std::to_string(limits::kIngestInflatedBytesMax) + " bytes"});
      SLUICE_ASSIGN(const std::string text, inflate_to_string(bytes, compression, std::min(left, limits::kEnvelopeBytesMax), held));
      inflated_ += text.size();
      return read(text, depth + 1);
    }
    const size_t begin = bytes.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return Error{ErrorCode::parse, "body is empty"};
    bytes.remove_prefix(begin);
    bytes.remove_suffix(bytes.size() - 1 - bytes.find_last_not_of(" \t\r\n"));
    if (bytes[0] == '{') return object(bytes, depth);
    auto text = unpacked(bytes, "body", held);
    if (!text.ok() && text.error().code == ErrorCode::parse)
      return Error{ErrorCode::parse, "body is neither a JSON object nor gzip nor base64; it begins with " + quoted(bytes.substr(0, 16))};
    if (!text.ok()) return std::move(text).error();
    return read(*text, depth + 1);
  }

 private:
  // A share that remembers that it refused: then reading ends, where a record that cannot be read is only passed by.
  class Guard final : public MemoryShare {
   public:
    explicit Guard(CloudWatchReader& reader) : reader_(reader) {}
    Status take(size_t bytes) override {
      if (reader_.share_ == nullptr) return {};
      Status status = reader_.share_->take(bytes);
      return status.ok() ? status : reader_.stop(std::move(status).error());
    }
    void release(size_t bytes) override {
      if (reader_.share_ != nullptr) reader_.share_->release(bytes);
    }

   private:
    CloudWatchReader& reader_;
  };

  Status stop(Error error) {
    stopped_ = true;
    return error;
  }

  Status object(std::string_view text, int depth) {
    Envelope envelope(text, "CloudWatch body", &guard_);
    HeldMemory held(&guard_);
    CloudWatchBatch batch;
    bool is_batch = false, is_packed = false;
    const auto field_of_batch = [&](std::string_view key, auto& field) -> Status {
      std::string_view data;
      if (key == "messageType") {
        if (const auto error = field.value().get_string().get(data)) return parse_error(key, error);
        batch.is_control = data == "CONTROL_MESSAGE";
      } else if (key == "owner" || key == "logGroup" || key == "logStream") {
        if (const auto error = field.value().get_string().get(data)) return parse_error(key, error);
        (key == "owner" ? batch.owner : key == "logGroup" ? batch.group : batch.stream).assign(data);
      } else if (key == "logEvents") {
        ondemand::array events;
        if (const auto error = field.value().get_array().get(events)) return parse_error(key, error);
        is_batch = true;
        // Its messages are no longer than itself.
        SLUICE_TRY(held.take(text.size()));
        batch.messages.bytes.reserve(text.size());
        for (auto element : events) SLUICE_TRY(event(element, batch));
      } else if (key == "awslogs") {
        ondemand::object logs;
        auto error = field.value().get_object().get(logs);
        if (!error) error = logs["data"].get_string().get(data);
        if (error) return parse_error("awslogs", error);
        is_packed = true;
        return read(data, depth + 1);
      } else if (key == "Records") {
        ondemand::array records;
        if (const auto error = field.value().get_array().get(records)) return parse_error(key, error);
        is_packed = true;
        for (auto element : records) SLUICE_TRY(record(element, depth));
      }
      return {};
    };
    SLUICE_TRY(envelope.each_field(field_of_batch));
    if (is_batch) {
      batch.envelope = text;
      Status status = sink_(std::move(batch));
      return status.ok() ? status : stop(std::move(status).error());
    }
    if (!is_packed) return Error{ErrorCode::parse, "JSON object is no CloudWatch Logs subscription: it has neither logEvents nor awslogs nor Records"};
    return {};
  }

  template <typename Element>
  Status event(Element& element, CloudWatchBatch& batch) {
    const auto read_event = [&]() -> simdjson::error_code {
      ondemand::object event;
      if (const auto error = element.get_object().get(event)) return error;
      std::string_view text, message;
      bool has_message = false;
      for (auto item : event) {
        std::string_view name;
        if (const auto error = item.unescaped_key().get(name)) return error;
        if (name == "id") {
          if (const auto error = item.value().get_string().get(text)) return error;
          if (batch.first_id.empty()) batch.first_id.assign(text);
          batch.last_id.assign(text);
        } else if (name == "message" && !has_message) {
          if (const auto error = item.value().get_string().get(message)) return error;
          has_message = true;
        }
      }
      if (!has_message) return simdjson::NO_SUCH_FIELD;
      batch.messages.add(message);
      return simdjson::SUCCESS;
    };
    ++batch.events;
    if (const auto error = read_event()) {
      const std::string what = "event " + std::to_string(batch.events);
      if (!json::is_of_one_value(error)) return parse_error(what, error);
      batch.messages.refuse(parse_error(what, error).message);
    }
    return {};
  }

  // One of a stream's. What is wrong with it must not hold back those behind it: whoever reads a stream gets no further otherwise.
  template <typename Element>
  Status record(Element& element, int depth) {
    ++records_;
    const uint64_t number = records_;
    ondemand::object record, kinesis;
    std::string_view data;
    auto error = element.get_object().get(record);
    if (!error) error = record["kinesis"].get_object().get(kinesis);
    if (!error) error = kinesis["data"].get_string().get(data);
    if (error && !json::is_of_one_value(error)) return parse_error("record " + std::to_string(number), error);
    Status status = error ? Status(parse_error("record " + std::to_string(number), error)) : read(data, depth + 1);
    if (status.ok() || stopped_) return status;
    report_.reject(number, std::move(status).error().message);
    return {};
  }

  MemoryShare* const share_;
  const Sink& sink_;
  DecodeReport& report_;
  Guard guard_{*this};
  size_t inflated_ = 0;
  uint64_t records_ = 0;
  bool stopped_ = false;
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

// One record of a request; what is wrong with it is its own matter.
template <typename Element>
Status firehose_record(Element& element, PushedMessages& records, HeldMemory& held) {
  const std::string where = "record " + std::to_string(records.ends.size() + 1);
  if (records.ends.size() >= limits::kFirehoseRecordsMax)
    return Error{ErrorCode::too_large, "more than " + std::to_string(limits::kFirehoseRecordsMax) + " records in one request"};
  ondemand::object record;
  std::string_view data;
  auto error = element.get_object().get(record);
  if (!error) error = record["data"].get_string().get(data);
  if (error) {
    if (!json::is_of_one_value(error)) return parse_error(where, error);
    records.refuse(parse_error("data of " + where, error).message);
    return {};
  }
  HeldMemory alone(held.share());
  auto bytes = unpacked(data, "data of " + where, alone);
  if (!bytes.ok()) {
    if (bytes.error().code != ErrorCode::parse) return std::move(bytes).error();
    records.refuse(std::move(bytes).error().message);
    return {};
  }
  if (bytes->size() > limits::kFirehoseRecordBytesMax)
    return Error{ErrorCode::too_large, where + " is larger than " + std::to_string(limits::kFirehoseRecordBytesMax) + " bytes"};
  SLUICE_TRY(held.grow(records.bytes, bytes->size(), 0));
  records.add(*bytes);
  return {};
}

Result<FirehoseRequest> firehose(std::string_view body, HeldMemory& held) {
  Envelope envelope(body, "Firehose request", held.share());
  FirehoseRequest request;
  bool has_records = false;
  const auto read_field = [&](std::string_view key, auto& field) -> Status {
    if (key == "requestId") {
      std::string_view id;
      if (const auto error = field.value().get_string().get(id)) return parse_error(key, error);
      request.id.assign(id);
    } else if (key == "timestamp") {
      if (const auto error = field.value().get_int64().get(request.timestamp_ms)) return parse_error(key, error);
    } else if (key == "records") {
      ondemand::array records;
      if (const auto error = field.value().get_array().get(records)) return parse_error(key, error);
      has_records = true;
      for (auto element : records) SLUICE_TRY(firehose_record(element, request.records, held));
    }
    return {};
  };
  SLUICE_TRY(envelope.each_field(read_field));
  if (request.id.empty()) return Error{ErrorCode::parse, "Firehose request has no requestId"};
  if (!has_records) return Error{ErrorCode::parse, "Firehose request has no records"};
  return request;
}

Result<PubSubMessage> pubsub(std::string_view body, HeldMemory& held) {
  Envelope envelope(body, "Pub/Sub message", held.share());
  PubSubMessage out;
  bool has_message = false;
  const auto read_field = [&](std::string_view key, auto& field) -> Status {
    std::string_view text;
    if (key == "subscription") {
      if (const auto error = field.value().get_string().get(text)) return parse_error(key, error);
      out.subscription.assign(text);
    } else if (key == "message") {
      ondemand::object message;
      if (const auto error = field.value().get_object().get(message)) return parse_error(key, error);
      has_message = true;
      for (auto item : message) {
        std::string_view name;
        if (const auto error = item.unescaped_key().get(name)) return parse_error(key, error);
        if (name != "data" && name != "messageId" && name != "message_id" && name != "publishTime" && name != "publish_time") continue;
        if (const auto error = item.value().get_string().get(text)) return parse_error(name, error);
        if (name == "data") {
          SLUICE_ASSIGN(out.data, unpacked(text, "data of the message", held));
        } else if (name.starts_with("message")) {
          out.id.assign(text);
        } else if (const auto time = parse_timestamp(text)) {
          out.published = *time;
        }
      }
    }
    return {};
  };
  SLUICE_TRY(envelope.each_field(read_field));
  if (!has_message) return Error{ErrorCode::parse, "JSON object is no Pub/Sub push: it has no message"};
  if (out.id.empty()) return Error{ErrorCode::parse, "Pub/Sub message has no messageId"};
  return out;
}

// One text of a small document, by its path; empty when it is not there, or not small.
std::string text_of(std::string_view json, std::initializer_list<std::string_view> path) {
  constexpr size_t kSmall = 1u << 20;
  if (json.size() > kSmall) return {};
  std::string found;
  const Status status = without_exceptions("document", [&]() -> Status {
    Envelope envelope(json, "document", nullptr);
    ondemand::object object;
    SLUICE_TRY(envelope.open(object));
    auto value = object[*path.begin()];
    for (auto step = path.begin() + 1; step != path.end(); ++step) value = value[*step];
    std::string_view text;
    if (const auto error = value.get_string().get(text)) return parse_error("document", error);
    found.assign(text);
    return {};
  });
  return status.ok() ? found : std::string();
}

}  // namespace

Result<FirehoseRequest> read_firehose(std::string_view body, HeldMemory& held) {
  return without_exceptions("Firehose request", [&] { return firehose(body, held); });
}

std::string firehose_request_id(std::string_view body) { return text_of(body, {"requestId"}); }

std::string firehose_attribute(std::string_view header, std::string_view name) { return text_of(header, {"commonAttributes", name}); }

Status read_cloudwatch(std::string_view body, MemoryShare* share, const std::function<Status(CloudWatchBatch&&)>& sink, DecodeReport& report) {
  return without_exceptions("CloudWatch body", [&] { return CloudWatchReader(share, sink, report).read(body, 0); });
}

Result<PubSubMessage> read_pubsub(std::string_view body, HeldMemory& held) {
  return without_exceptions("Pub/Sub message", [&] { return pubsub(body, held); });
}

}  // namespace sluice::ingest
