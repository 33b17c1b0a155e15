#include "ingest/source/json_body.h"

#include <algorithm>

#include "storage/model/byte_scan.h"

namespace sluice::ingest::json {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

bool is_json(std::string_view body) {
  const auto it = std::find_if_not(body.begin(), body.end(), is_blank);
  return it != body.end() && (*it == '{' || *it == '[');
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
