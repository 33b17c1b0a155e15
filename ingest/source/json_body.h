// JSON objects: how one is opened, and how its values are read, whoever wrote them.
//
//   JsonRecords records(body);
//   json::Document document;
//   std::string_view text;
//   while (records.next(text, report)) {
//     json::ondemand::object object;
//     if (document.open(text, records.readable_end(), object)) …
//   }
//
// simdjson reads on demand: an object is walked once, forwards, and what is skipped is not looked at. Errors are codes here;
// nothing throws.
//
// Thread rule: as std::vector.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/source/flow_row.h"
#include "ingest/source/json_records.h"
#include "ingest/source/json_token.h"
#include "ingest/source/key_table.h"
#include "ingest/source/source.h"

namespace sluice::ingest::json {

namespace ondemand = simdjson::ondemand;

// Whether the body is JSON rather than lines: its first byte that is not blank is '{' or '['.
bool is_json(std::string_view body);

// One object at a time.
class Document {
 public:
  // `text` lies in memory that may be read up to `readable_end`. Strings and objects that are read out are good until the next
  // open(); numbers' texts while `text` is.
  simdjson::error_code open(std::string_view text, const char* readable_end, ondemand::object& object);
  // The object once more from its beginning.
  simdjson::error_code again(ondemand::object& object);

 private:
  ondemand::parser parser_;
  ondemand::document document_;
  std::string copy_;
};

// "…: error in JSON: the reason", for reports.
std::string error_text(simdjson::error_code error);
// Whether an error is that of one value (of another type, not there, no number) and the JSON around it can be read on.
bool is_of_one_value(simdjson::error_code error);

// A value as it is written; empty where there is none. simdjson takes a token's length from the structural character behind it: in a document
// that breaks off there is none, and the length wraps around.
inline std::string_view raw_token(ondemand::value& value) {
  const std::string_view token = value.raw_json_token();
  return token.size() > INT32_MAX ? std::string_view() : token;
}

// The key of a field as text; one with escapes is unescaped into `scratch`.
std::string_view escaped_key(const char* begin, std::string& scratch);
inline std::string_view key_of(const ondemand::field& field, std::string& scratch) {
  const char* const begin = field.key().raw();
  const size_t size = bytes_to_quote(begin);
  return begin[size] == '"' ? std::string_view(begin, size) : escaped_key(begin, scratch);
}

// A value that is no object and no array, whichever way its writer chose: numbers may be strings, and null, "" and "-" are all
// nothing.
struct Scalar {
  enum class Kind : uint8_t { nothing, text, number, boolean, nested } kind = Kind::nothing;
  std::string_view text;  // kind text: unescaped; number, boolean: as written
  bool is_true = false;

  bool is_nothing() const { return kind == Kind::nothing; }
  bool is_nested() const { return kind == Kind::nested; }
};
// A nested value is left for the caller: value.get_object(), get_array() or raw_json_of(). (Values are handed on by reference: simdjson
// writes them in pieces, and a copy would wait for all of them to have reached memory.)
simdjson::error_code read_scalar(ondemand::value& value, Scalar& out);

// The text of a nested value as it stands in the body.
simdjson::error_code raw_json_of(ondemand::value& value, std::string_view& out);

// Calls `f(key, value)` for each field of an object, until it or simdjson returns an error.
template <typename F>
simdjson::error_code each_field(ondemand::object& object, F&& f) {
  std::string scratch;
  for (auto result : object) {
    if (result.error()) return result.error();
    ondemand::field& field = result.value_unsafe();
    const std::string_view key = key_of(field, scratch);
    if (const simdjson::error_code error = f(key, field.value())) return error;
  }
  return simdjson::SUCCESS;
}
// The same for a nested value that has to be an object.
template <typename F>
simdjson::error_code each_field(ondemand::value& value, F&& f) {
  ondemand::object object;
  if (const auto error = value.get_object().get(object)) return error;
  return each_field(object, f);
}
// Calls `f(value)` for each element of a value that has to be an array.
template <typename F>
simdjson::error_code each_element(ondemand::value& value, F&& f) {
  ondemand::array array;
  if (const auto error = value.get_array().get(array)) return error;
  for (auto element : array) {
    if (element.error()) return element.error();
    if (const simdjson::error_code error = f(element.value_unsafe())) return error;
  }
  return simdjson::SUCCESS;
}

// A field that no column holds, for `extra`: a scalar's text, a nested value as it stands.
simdjson::error_code keep_in_extra(FlowRow& row, std::string_view key, ondemand::value& value);

}  // namespace sluice::ingest::json
