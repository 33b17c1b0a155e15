#include "ingest/source/aws_envelope.h"

#include <simdjson.h>

#include <algorithm>

#include "ingest/receive/inflate.h"
#include "ingest/receive/limits.h"
#include "ingest/source/base64.h"
#include "ingest/source/json_body.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"

namespace sluice::ingest::aws {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr std::string_view kBlanks = " \t\r\n";

// The object that `text` begins with, its braces included; empty when it has no end.
std::string_view first_object(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return {};
      if (--depth == 0) return text.substr(0, i + 1);
    }
  }
  return {};
}

class Unwrapper {
 public:
  Unwrapper(DecodeReport& report, HeldMemory& held) : report_(report), held_(held) {}

  Status all(std::string_view body, int depth) {
    while (true) {
      const size_t begin = body.find_first_not_of(kBlanks);
      if (begin == std::string_view::npos) return {};
      body.remove_prefix(begin);
      ++number_;
      if (body[0] != '{') {
        // Not an object: the line is lost, the next may be one.
        report_.reject(number_, "not a JSON object; it begins with " + quoted(body.substr(0, 16)));
        const size_t end = body.find('\n');
        if (end == std::string_view::npos) return {};
        body.remove_prefix(end + 1);
        continue;
      }
      const std::string_view object = first_object(body);
      if (object.empty()) {
        report_.reject(number_, "JSON object has no end");
        return {};
      }
      body.remove_prefix(object.size());
      if (object.size() > limits::kEnvelopeBytesMax) {
        report_.reject(number_, "JSON object is longer than " + std::to_string(limits::kEnvelopeBytesMax) + " bytes");
        continue;
      }
      SLUICE_TRY(one(object, depth));
    }
  }

  Unwrapped take() { return std::move(out_); }

 private:
  // An object; what is wrong with it costs only itself.
  Status one(std::string_view object, int depth) {
    const size_t messages_before = out_.messages.size(), text_before = out_.text.size();
    // Its messages are no longer than the object.
    SLUICE_TRY(held_.grow(out_.text, object.size(), 0));
    std::string packed;
    bad_events_.clear();
    events_ = 0;
    const char* reason = nullptr;
    std::string detail;
    bool control = false;
    {
      simdjson::padded_string padded(object);
      ondemand::document document;
      // Errors are codes here: get() and tie() never throw.
      auto error = parser_.iterate(padded).get(document);
      if (!error) error = read(document, packed, control, reason);
      if (error) {
        reason = "JSON object cannot be read";
        detail = std::string(": ") + simdjson::error_message(error);
      }
    }
    if (reason != nullptr || control) {
      out_.messages.resize(messages_before);
      out_.text.resize(text_before);
    }
    if (reason != nullptr) {
      report_.reject(number_, reason + detail);
      return {};
    }
    if (control) {
      ++report_.ignored;
      return {};
    }
    for (const std::string& why : bad_events_) report_.reject(number_, why);
    if (!packed.empty()) return unpack(packed, depth);
    return {};
  }

  simdjson::error_code read(ondemand::document& document, std::string& packed, bool& control, const char*& reason) {
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) return error;
    bool any = false;
    for (auto field : object) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return error;
      if (key == "messageType") {
        std::string_view type;
        if (const auto error = field.value().get_string().get(type)) return error;
        control = type == "CONTROL_MESSAGE";
      } else if (key == "message") {
        std::string_view message;
        if (const auto error = field.value().get_string().get(message)) return error;
        add(message, 0);
        any = true;
      } else if (key == "logEvents") {
        ondemand::array events;
        if (const auto error = field.value().get_array().get(events)) return error;
        if (const auto error = read_events(events)) return error;
        any = true;
      } else if (key == "awslogs") {
        ondemand::object logs;
        if (const auto error = field.value().get_object().get(logs)) return error;
        std::string_view data;
        if (const auto error = logs["data"].get_string().get(data)) return error;
        packed.assign(data);
        any = true;
      }
    }
    if (!any && !control) reason = "JSON object has neither message nor logEvents nor awslogs";
    return simdjson::SUCCESS;
  }

  simdjson::error_code read_events(ondemand::array& events) {
    for (auto element : events) {
      ++events_;
      if (const auto error = read_event(element)) {
        // What is wrong with one event costs only it, as long as the text goes on as JSON behind it.
        if (!json::is_of_one_value(error)) return error;
        bad_events_.push_back("event " + std::to_string(events_) + " cannot be read: " + simdjson::error_message(error));
      }
    }
    return simdjson::SUCCESS;
  }

  template <typename Element>
  simdjson::error_code read_event(Element& element) {
    ondemand::object event;
    if (const auto error = element.get_object().get(event)) return error;
    TimestampNs time = 0;
    std::string_view message;
    bool found = false;
    for (auto field : event) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return error;
      if (key == "timestamp") {
        int64_t ms = 0;
        if (const auto error = field.value().get_int64().get(ms)) return error;
        if (ms > 0 && ms <= kTimestampMax / kMillisecond) time = ms * kMillisecond;
      } else if (key == "message") {
        if (const auto error = field.value().get_string().get(message)) return error;
        found = true;
      }
    }
    if (!found) return simdjson::NO_SUCH_FIELD;
    add(message, time);
    return simdjson::SUCCESS;
  }

  void add(std::string_view message, TimestampNs time) {
    out_.messages.push_back({out_.text.size(), message.size(), time});
    out_.text += message;
  }

  Status unpack(const std::string& packed, int depth) {
    if (depth > 0) {
      report_.reject(number_, "awslogs inside awslogs");
      return {};
    }
    const auto bytes = base64_decoded(packed);
    if (!bytes) {
      report_.reject(number_, "awslogs data is not base64");
      return {};
    }
    HeldMemory held(held_.share());
    std::string text;
    bool refused = false;  // by the share
    const InflateSink append = [&](std::string_view piece) -> Status {
      const Status status = held.grow(text, piece.size(), bytes->size());
      refused = !status.ok();
      if (status.ok()) text += piece;
      return status;
    };
    const auto inflated = inflate(*bytes, detect_compression(*bytes), append, limits::kEnvelopeBytesMax);
    if (!inflated.ok()) {
      if (refused) return inflated.error();
      report_.reject(number_, "awslogs data: " + inflated.error().message);
      return {};
    }
    inflated_ += text.size();
    if (inflated_ > limits::kIngestInflatedBytesMax) return Error{ErrorCode::too_large, "awslogs data of the body inflates to more than " + std::to_string(limits::kIngestInflatedBytesMax) + " bytes"};
    return all(text, depth + 1);
  }

  DecodeReport& report_;
  HeldMemory& held_;  // for out_.text
  std::vector<std::string> bad_events_;  // of the object at hand
  uint64_t events_ = 0;
  ondemand::parser parser_;
  Unwrapped out_;
  uint64_t number_ = 0;
  size_t inflated_ = 0;
};

}  // namespace

bool is_json(std::string_view body) {
  const size_t begin = body.find_first_not_of(kBlanks);
  return begin != std::string_view::npos && body[begin] == '{';
}

Result<Unwrapped> unwrap(std::string_view body, DecodeReport& report, HeldMemory& held) {
  try {
    Unwrapper unwrapper(report, held);
    SLUICE_TRY(unwrapper.all(body, 0));
    return unwrapper.take();
  } catch (const simdjson::simdjson_error& error) {
    return Error{ErrorCode::corrupt, std::string("JSON body cannot be read: ") + error.what()};
  }
}

}  // namespace sluice::ingest::aws
