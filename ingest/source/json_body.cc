#include "ingest/source/json_body.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstring>

#include "ingest/source/json_scan.h"
#include "ingest/source/limits.h"
#include "ingest/source/text_line.h"
#include "storage/model/byte_scan.h"

namespace sluice::ingest::json {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Follows brackets and quotes from an object's first byte.
class Scanner {
 public:
  Scanner(const char* begin, const char* end) : begin_(begin), end_(end) {}

  Extent run() {
    JsonScan text;
    for (const char* p = begin_; p < end_ && !done_; p += JsonScan::kStep) {
      step(p, text.next(p, std::min(JsonScan::kStep, static_cast<size_t>(end_ - p))));
      if (static_cast<size_t>(p - begin_) > limits::kJsonObjectBytesMax && !done_) fail(p, "JSON object is longer than the 16 MiB that are read");
    }
    if (!done_) fail(end_, "JSON object has no end");
    return extent_;
  }

 private:
  void fail(const char* at, const char* reason) {
    done_ = true;
    extent_ = {nullptr, at, reason};
  }

  void step(const char* p, const JsonScan::Step& m) {
    uint64_t events = m.open | m.close | m.control;
    while (events != 0 && !done_) {
      const int i = std::countr_zero(events);
      events &= events - 1;
      const char* const at = p + i;
      switch (*at) {
        case '\n': return fail(at, "JSON object is cut off inside a string");
        case '{':
        case '[':
          if (depth_ == limits::kJsonDepthMax) return fail(at, "JSON object is nested too deeply");
          if (depth_ > 0 && !may_begin_at(at)) return fail(at, "JSON object is cut off");
          is_array_[depth_++] = *at == '[';
          break;
        case '}':
        case ']':
          if (is_array_[depth_ - 1] != (*at == ']')) return fail(at, "JSON object has brackets that do not match");
          if (--depth_ == 0) {
            done_ = true;
            extent_ = {at + 1, at + 1, nullptr};
          }
          break;
        default: break;  // another control character in a string: simdjson's to refuse
      }
    }
  }

  // Whether a value may stand here, by what stands before it.
  bool may_begin_at(const char* at) const {
    const char* before = at - 1;
    while (before > begin_ && is_blank(*before)) --before;
    return *before == ':' || (is_array_[depth_ - 1] && (*before == '[' || *before == ','));
  }

  const char* const begin_;
  const char* const end_;
  Extent extent_;
  bool done_ = false;
  size_t depth_ = 0;
  std::bitset<limits::kJsonDepthMax> is_array_;
};
static_assert(limits::kJsonObjectBytesMax == 16u << 20, "the message above names it");

}  // namespace

bool is_json(std::string_view body) {
  const auto it = std::find_if_not(body.begin(), body.end(), is_blank);
  return it != body.end() && (*it == '{' || *it == '[');
}

Extent object_extent(const char* begin, const char* end) { return Scanner(begin, end).run(); }

ObjectReader::ObjectReader(std::string_view body) : at_(body.data()), end_(body.data() + body.size()) {
  if (body.substr(0, 3) == "\xef\xbb\xbf") at_ += 3;
}

// Where to go on after an object that has no end: the next line that begins one. Looking further ahead than what was lost again
// and again would take time without bound, so once that sum exceeds the body itself, all that was looked at is given up.
const char* ObjectReader::skip_lost(const char* from, const char* scanned) {
  wasted_ += static_cast<size_t>(scanned - from);
  const char* at = from;
  if (wasted_ > limits::kJsonObjectBytesMax * 4) at = std::max(at, std::min(scanned, end_ - 1));
  while (at < end_) {
    const void* line = std::memchr(at, '\n', static_cast<size_t>(end_ - at));
    if (line == nullptr) return end_;
    at = static_cast<const char*>(line) + 1;
    const char* first = at;
    while (first < end_ && (*first == ' ' || *first == '\t')) ++first;
    if (first < end_ && *first == '{') return first;
  }
  return end_;
}

bool ObjectReader::next(std::string_view& object, DecodeReport& report) {
  while (true) {
    while (at_ < end_ && (is_blank(*at_) || *at_ == ',')) ++at_;
    if (at_ == end_) return false;
    if (*at_ == '[') {
      ++arrays_;
      ++at_;
      continue;
    }
    if (arrays_ > 0 && *at_ == ']') {
      --arrays_;
      ++at_;
      continue;
    }
    if (*at_ != '{') {
      ++number_;
      // Not an object: the line is lost, the next may be one.
      const void* line = std::memchr(at_, '\n', static_cast<size_t>(end_ - at_));
      const char* const stop = line == nullptr ? end_ : static_cast<const char*>(line);
      report.reject(number_, "not a JSON object; it begins with " + quoted(std::string_view(at_, static_cast<size_t>(stop - at_)).substr(0, 16)));
      at_ = stop;
      continue;
    }
    ++number_;
    const Extent extent = object_extent(at_, end_);
    if (extent.end == nullptr) {
      report.reject(number_, extent.reason);
      at_ = skip_lost(at_, extent.scanned);
      continue;
    }
    object = std::string_view(at_, static_cast<size_t>(extent.end - at_));
    at_ = extent.end;
    if (object.size() > limits::kJsonObjectBytesMax) {
      report.reject(number_, "JSON object is longer than " + std::to_string(limits::kJsonObjectBytesMax) + " bytes");
      continue;
    }
    return true;
  }
}

simdjson::error_code Document::open(std::string_view text, const char* readable_end, ondemand::object& object) {
  const char* data = text.data();
  if (static_cast<size_t>(readable_end - data) < text.size() + simdjson::SIMDJSON_PADDING) {
    copy_.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    copy_.assign(text);
    data = copy_.data();
  }
  const simdjson::padded_string_view padded(data, text.size(), text.size() + simdjson::SIMDJSON_PADDING);
  if (const auto error = parser_.iterate(padded).get(document_)) return error;
  return document_.get_object().get(object);
}

simdjson::error_code Document::again(ondemand::object& object) {
  document_.rewind();
  return document_.get_object().get(object);
}

std::string error_text(simdjson::error_code error) { return std::string("JSON object cannot be read: ") + simdjson::error_message(error); }

bool is_of_one_value(simdjson::error_code error) {
  switch (error) {
    case simdjson::NO_SUCH_FIELD:
    case simdjson::INCORRECT_TYPE:
    case simdjson::NUMBER_ERROR:
    case simdjson::NUMBER_OUT_OF_RANGE:
    case simdjson::STRING_ERROR: return true;
    default: return false;
  }
}

std::string_view escaped_key(const char* begin, std::string& scratch) {
  // Keys with escapes are hardly ever met; what is left of the backslashes tells them apart well enough.
  scratch.clear();
  for (const char* p = begin; *p != '"'; ++p) {
    if (*p == '\\') ++p;
    scratch += *p;
  }
  return scratch;
}

simdjson::error_code read_scalar(ondemand::value& value, Scalar& out) {
  out = {};
  const std::string_view token = raw_token(value);
  switch (token.empty() ? '\0' : token[0]) {
    case '"': {
      if (has_byte<'\\'>(token)) {
        if (const auto error = value.get_string().get(out.text)) return error;
      } else {
        // Without escapes a text is what stands between the quotes; the first pass over the document has seen that it is UTF-8.
        ondemand::raw_json_string raw;
        if (const auto error = value.get_raw_json_string().get(raw)) return error;
        out.text = inner_text(token);
      }
      if (!out.text.empty() && out.text != "-") out.kind = Scalar::Kind::text;
      return simdjson::SUCCESS;
    }
    case '{':
    case '[':
      out.kind = Scalar::Kind::nested;
      return simdjson::SUCCESS;
    case 't':
    case 'f':
      if (const auto error = value.get_bool().get(out.is_true)) return error;
      out.kind = Scalar::Kind::boolean;
      out.text = out.is_true ? "true" : "false";
      return simdjson::SUCCESS;
    case 'n': {
      bool is_null = false;
      if (const auto error = value.is_null().get(is_null)) return error;
      return is_null ? simdjson::SUCCESS : simdjson::N_ATOM_ERROR;
    }
    default:
      out.text = trimmed(token);
      if (out.text.empty() || !(out.text[0] == '-' || (out.text[0] >= '0' && out.text[0] <= '9'))) return simdjson::TAPE_ERROR;
      out.kind = Scalar::Kind::number;
      return simdjson::SUCCESS;
  }
}

simdjson::error_code raw_json_of(ondemand::value& value, std::string_view& out) {
  ondemand::json_type type;
  if (const auto error = value.type().get(type)) return error;
  if (type == ondemand::json_type::object) {
    ondemand::object object;
    if (const auto error = value.get_object().get(object)) return error;
    return object.raw_json().get(out);
  }
  if (type == ondemand::json_type::array) {
    ondemand::array array;
    if (const auto error = value.get_array().get(array)) return error;
    return array.raw_json().get(out);
  }
  out = raw_token(value);
  return simdjson::SUCCESS;
}

simdjson::error_code keep_in_extra(FlowRow& row, std::string_view key, ondemand::value& value) {
  Scalar scalar;
  if (const auto error = read_scalar(value, scalar)) return error;
  if (scalar.is_nested()) {
    if (const auto error = raw_json_of(value, scalar.text)) return error;
    // The text of a nested value runs up to the next token.
    scalar.text = scalar.text.substr(0, scalar.text.find_last_not_of(" \t\r\n,") + 1);
    if (scalar.text == "{}" || scalar.text == "[]") return simdjson::SUCCESS;
  } else if (scalar.is_nothing()) {
    return simdjson::SUCCESS;
  }
  row.add_extra(key, scalar.text);
  return simdjson::SUCCESS;
}

}  // namespace sluice::ingest::json
