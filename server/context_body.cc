#include "server/context_body.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <vector>

#include "query/limits.h"

namespace sluice::server {
namespace {

using Json = nlohmann::json;

void append_field(std::string& out, std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

bool looks_like_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error != std::errc::invalid_argument && end == text.data() + text.size() && !text.empty();
}

struct Member {
  std::string name;
  bool is_text = false;  // some value is text that looks like a number
};

// The lines, value by value. What cannot be a row ends its line at once: a line costs no more than its bytes, whatever is nested in it and
// however many members it has.
class RowReader final : public nlohmann::json_sax<Json> {
 public:
  // The next line becomes the fields of a row.
  Status read(std::string_view line) {
    fields_.assign(members_.size(), {});
    field_ = nullptr;
    in_object_ = false;
    refusal_.reset();
    if (Json::sax_parse(line, this)) return {};
    return refusal_ ? std::move(*refusal_) : Error{ErrorCode::parse, "this is not a JSON object"};
  }
  const std::vector<Member>& members() const { return members_; }
  const std::vector<std::string>& fields() const { return fields_; }

  bool start_object(size_t) override {
    if (in_object_) return refuse_nested();
    in_object_ = true;
    return true;
  }
  bool key(std::string& name) override {
    const auto [place, fresh] = places_.try_emplace(name, members_.size());
    if (fresh) {
      if (members_.size() == limits::kContextColumnsMax) {
        places_.erase(place);
        refusal_ = Error{ErrorCode::too_large, "more members than a table has columns: " + std::to_string(limits::kContextColumnsMax)};
        return false;
      }
      members_.push_back({name});
      fields_.emplace_back();
    }
    member_ = place->second;
    field_ = &fields_[member_];
    return true;
  }
  bool string(std::string& text) override {
    if (!field_) return false;
    members_[member_].is_text = members_[member_].is_text || looks_like_number(text);
    *field_ = std::move(text);
    return true;
  }
  bool null() override { return set({}); }
  bool boolean(bool value) override { return set(value ? "true" : "false"); }
  bool number_integer(int64_t value) override { return set(std::to_string(value)); }
  bool number_unsigned(uint64_t value) override { return set(std::to_string(value)); }
  bool number_float(double value, const std::string&) override { return set(Json(value).dump()); }
  bool binary(Json::binary_t&) override { return false; }
  bool start_array(size_t) override { return in_object_ && refuse_nested(); }
  bool end_array() override { return true; }
  bool end_object() override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  bool set(std::string text) {
    if (!field_) return false;  // a value alone is no object
    *field_ = std::move(text);
    return true;
  }
  bool refuse_nested() {
    refusal_ = Error{ErrorCode::parse, "'" + members_[member_].name.substr(0, 100) + "' is an object or array, and a table has text, numbers, true and false"};
    return false;
  }

  std::vector<Member> members_;
  std::unordered_map<std::string, size_t> places_;
  std::vector<std::string> fields_;
  size_t member_ = 0;
  std::string* field_ = nullptr;  // of the member whose value comes
  bool in_object_ = false;
  std::optional<Error> refusal_;
};

}  // namespace

Result<std::string> csv_of_ndjson(std::string_view body) {
  RowReader reader;
  std::string rows;
  std::vector<std::pair<size_t, size_t>> ends;  // of rows: in the text, and how many fields there are
  size_t number = 0;
  for (size_t at = body.starts_with("\xef\xbb\xbf") ? 3 : 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    const std::string_view line = body.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (Status read = reader.read(line); !read.ok()) return Error{read.error().code, "line " + std::to_string(number) + " of the body: " + read.error().message};
    const auto& fields = reader.fields();
    for (size_t i = 0; i < fields.size(); ++i) {
      if (i > 0) rows += ',';
      append_field(rows, fields[i]);
    }
    ends.push_back({rows.size(), fields.size()});
  }
  const auto& members = reader.members();
  std::string csv;
  for (const Member& m : members) {
    if (!csv.empty()) csv += ',';
    append_field(csv, m.is_text ? m.name + ":string" : m.name);
  }
  if (members.empty()) return csv;
  csv += '\n';
  // Members that came up later are missing in the rows before.
  csv.reserve(csv.size() + rows.size() + ends.size());
  size_t from = 0;
  for (const auto& [end, count] : ends) {
    csv.append(rows, from, end - from);
    csv.append(members.size() - count, ',');
    csv += '\n';
    from = end;
  }
  return csv;
}

}  // namespace sluice::server
