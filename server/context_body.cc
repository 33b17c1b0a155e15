#include "server/context_body.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <vector>

#include "query/limits.h"

namespace sluice::server {
namespace {

using Json = nlohmann::ordered_json;

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

}  // namespace

Result<std::string> csv_of_ndjson(std::string_view body) {
  std::vector<Member> members;
  std::unordered_map<std::string, size_t> places;
  std::string rows;
  std::vector<std::pair<size_t, size_t>> ends;  // of rows: in the text, and how many fields there are
  std::vector<std::string> fields;
  size_t number = 0;
  for (size_t at = body.starts_with("\xef\xbb\xbf") ? 3 : 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    const std::string_view line = body.substr(at, end - at);
    at = end + 1;
    ++number;
    const auto bad = [&](const std::string& what, ErrorCode code = ErrorCode::parse) {
      return Error{code, "line " + std::to_string(number) + " of the body: " + what};
    };
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const Json object = Json::parse(line, nullptr, false);
    if (!object.is_object()) return bad("this is not a JSON object");
    fields.assign(members.size(), {});
    for (const auto& [name, value] : object.items()) {
      const auto [place, fresh] = places.try_emplace(name, members.size());
      if (fresh) {
        if (members.size() == limits::kContextColumnsMax)
          return bad("more members than a table has columns: " + std::to_string(limits::kContextColumnsMax), ErrorCode::too_large);
        members.push_back({name});
        fields.emplace_back();
      }
      std::string& field = fields[place->second];
      if (value.is_string()) {
        field = value.get<std::string>();
        members[place->second].is_text = members[place->second].is_text || looks_like_number(field);
      } else if (value.is_number() || value.is_boolean()) {
        field = value.dump();
      } else if (!value.is_null()) {
        return bad("'" + name.substr(0, 100) + "' is an object or array, and a table has text, numbers, true and false");
      }
    }
    for (size_t i = 0; i < fields.size(); ++i) {
      if (i > 0) rows += ',';
      append_field(rows, fields[i]);
    }
    ends.push_back({rows.size(), fields.size()});
  }
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
