#include "server/api/query_body.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "query/words.h"
#include "server/columnar/columnar_writer.h"
#include "server/limits.h"

namespace sluice::api {
namespace {

using nlohmann::json;

constexpr std::string_view kParameterPrefix = "param.";

Error bad(std::string message) { return Error{ErrorCode::invalid_argument, std::move(message)}; }

std::string media_type_of(const http::Request& request) {
  std::string_view type = request.header("content-type");
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return query::lower_case(type);
}

// JSON of bounded depth; nlohmann's parser recurses.
Result<json> parse_json(std::string_view body) {
  int depth = 0;
  bool too_deep = false;
  const json::parser_callback_t watch = [&](int d, json::parse_event_t, json&) {
    depth = d;
    if (depth > 16) too_deep = true;
    return !too_deep;
  };
  json parsed = json::parse(body, watch, false);
  if (too_deep) return bad("the JSON body is nested too deep");
  if (parsed.is_discarded()) return bad("the body is not JSON");
  if (!parsed.is_object()) return bad("the JSON body is not an object");
  return parsed;
}

Result<std::string> scalar_text(const json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return std::string(value.get<bool>() ? "true" : "false");
  if (value.is_number_unsigned()) return std::to_string(value.get<uint64_t>());
  if (value.is_number_integer()) return std::to_string(value.get<int64_t>());
  if (value.is_number_float()) return value.dump();
  return bad(where + " is neither text nor a number");
}

Result<query::ParameterValue> parameter_of(const json& value, const std::string& name, const QueryBounds& bounds) {
  query::ParameterValue parameter;
  if (value.is_array()) {
    parameter.is_list = true;
    if (value.size() > bounds.parameter_values_max) return Error{ErrorCode::too_large, "parameter '" + name + "' has too many values"};
    for (const json& item : value) {
      SLUICE_ASSIGN(std::string text, scalar_text(item, "a value of parameter '" + name + "'"));
      parameter.values.push_back(std::move(text));
    }
    return parameter;
  }
  SLUICE_ASSIGN(std::string text, scalar_text(value, "parameter '" + name + "'"));
  parameter.values.push_back(std::move(text));
  return parameter;
}

Result<uint64_t> count_of(std::string_view text, std::string_view name) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return bad(std::string(name) + " is not a whole number");
  return number;
}

Status set_timeout(QueryCall& call, uint64_t milliseconds) {
  if (milliseconds == 0) return bad("timeout_ms is zero");
  const uint64_t most = static_cast<uint64_t>(call.request.limits.timeout / kMillisecond);
  if (milliseconds < most) call.request.limits.timeout = static_cast<DurationNs>(milliseconds) * kMillisecond;
  return {};
}

Status set_bound(std::optional<TimestampNs>& out, std::string_view text, std::string_view name, TimestampNs now) {
  if (text.empty()) return {};
  out = parse_bound(text, now);
  if (!out) return bad(std::string(name) + " is not a time such as 2026-11-20T08:00:00Z, now-15m or milliseconds since 1970");
  return {};
}

Status read_json(QueryCall& call, std::string_view body, const QueryBounds& bounds, TimestampNs now) {
  SLUICE_ASSIGN(const json object, parse_json(body));
  bool has_query = false;
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() && key != "query") continue;
    if (key == "query") {
      if (!value.is_string()) return bad("'query' is not text");
      call.request.text = value.get<std::string>();
      has_query = true;
    } else if (key == "from" || key == "to") {
      SLUICE_ASSIGN(const std::string text, scalar_text(value, "'" + key + "'"));
      SLUICE_TRY(set_bound(key == "from" ? call.request.from : call.request.to, text, key, now));
    } else if (key == "params") {
      if (!value.is_object()) return bad("'params' is not an object of names and values");
      if (value.size() > bounds.parameters_max) return Error{ErrorCode::too_large, "too many parameters"};
      for (const auto& [name, item] : value.items()) {
        SLUICE_ASSIGN(auto parameter, parameter_of(item, name, bounds));
        call.request.parameters[name] = std::move(parameter);
      }
    } else if (key == "limit") {
      if (!value.is_number_unsigned()) return bad("'limit' is not a whole number");
      call.limit = value.get<uint64_t>();
    } else if (key == "timeout_ms") {
      if (!value.is_number_unsigned()) return bad("'timeout_ms' is not a whole number");
      SLUICE_TRY(set_timeout(call, value.get<uint64_t>()));
    } else {
      return bad("the body has an unknown member '" + key.substr(0, 64) + "'; known are query, from, to, params, limit, timeout_ms");
    }
  }
  if (!has_query) return bad("the body has no member 'query'");
  return {};
}

Status read_query_string(QueryCall& call, const http::Request& request, const QueryBounds& bounds, TimestampNs now) {
  for (const auto& [key, value] : request.query) {
    if (key == "q") {
      call.request.text = value;
    } else if (key == "from" || key == "to") {
      SLUICE_TRY(set_bound(key == "from" ? call.request.from : call.request.to, value, key, now));
    } else if (key == "limit") {
      SLUICE_ASSIGN(call.limit, count_of(value, key));
    } else if (key == "timeout_ms") {
      SLUICE_ASSIGN(const uint64_t milliseconds, count_of(value, key));
      SLUICE_TRY(set_timeout(call, milliseconds));
    } else if (key.starts_with(kParameterPrefix)) {
      // The same name twice is a list.
      if (call.request.parameters.size() >= bounds.parameters_max) return Error{ErrorCode::too_large, "too many parameters"};
      query::ParameterValue& parameter = call.request.parameters[key.substr(kParameterPrefix.size())];
      parameter.values.push_back(value);
      parameter.is_list = parameter.values.size() > 1;
    } else if (key != "format") {
      return bad("the query string has an unknown key '" + key.substr(0, 64) + "'; known are q, from, to, limit, timeout_ms, format and param.NAME");
    }
  }
  return {};
}

// The formats, in the order in which a client that takes several alike gets them.
struct FormatRow {
  AnswerFormat format;
  std::string_view name, content_type;
};
constexpr FormatRow kFormats[] = {
    {AnswerFormat::json, "json", "application/json"},
    {AnswerFormat::ndjson, "ndjson", "application/x-ndjson"},
    {AnswerFormat::csv, "csv", "text/csv"},
    {AnswerFormat::ecs, "ecs", "application/x-ndjson"},
    {AnswerFormat::ocsf, "ocsf", "application/x-ndjson"},
    {AnswerFormat::arrow, "arrow", "application/vnd.apache.arrow.stream"},
    {AnswerFormat::parquet, "parquet", "application/vnd.apache.parquet"},
};
const FormatRow& row_of(AnswerFormat format) { return kFormats[static_cast<size_t>(format)]; }

bool is_columnar(AnswerFormat format) { return format == AnswerFormat::arrow || format == AnswerFormat::parquet; }

// What Accept asks for; nothing fits: absent. ECS and OCSF have no type of their own, so only ?format= asks for them.
std::optional<AnswerFormat> accepted_format(std::string_view accept, bool with_columnar) {
  std::vector<std::string_view> offered;
  for (const FormatRow& row : kFormats)
    if (row.format != AnswerFormat::ecs && row.format != AnswerFormat::ocsf && (with_columnar || !is_columnar(row.format))) offered.push_back(row.content_type);
  offered.push_back("application/ndjson");
  const std::string_view type = http::negotiate(accept, offered);
  if (type == "application/ndjson") return AnswerFormat::ndjson;
  for (const FormatRow& row : kFormats)
    if (row.content_type == type) return row.format;
  return std::nullopt;
}

Result<AnswerFormat> format_of(const http::Request& request) {
  if (const auto name = request.query_value("format")) {
    for (const FormatRow& row : kFormats) {
      if (row.name != *name) continue;
      if (is_columnar(row.format)) SLUICE_TRY(columnar::is_built());
      return row.format;
    }
    return bad("format is json, ndjson, csv, ecs, ocsf, arrow or parquet");
  }
  const std::string_view accept = request.header("accept");
  const auto best = accepted_format(accept, true);
  if (!best) return Error{ErrorCode::unsupported, "an answer is application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream or application/vnd.apache.parquet"};
  if (!is_columnar(*best)) return *best;
  // The module is asked for by those alone who want it: it is some 100 MB of libraries.
  const Status built = columnar::is_built();
  if (built.ok()) return *best;
  if (const auto other = accepted_format(accept, false)) return *other;
  return built.error();
}

}  // namespace

std::string_view name_of(AnswerFormat format) { return row_of(format).name; }
std::string_view content_type_of(AnswerFormat format) { return row_of(format).content_type; }

std::optional<TimestampNs> parse_bound(std::string_view text, TimestampNs now) {
  if (text == "now") return now;
  if (text.starts_with("now-") || text.starts_with("now+")) {
    const auto by = parse_duration(text.substr(4));
    TimestampNs moved = 0;
    if (!by || *by < 0) return std::nullopt;
    const bool overflows = text[3] == '-' ? __builtin_sub_overflow(now, *by, &moved) : __builtin_add_overflow(now, *by, &moved);
    return overflows ? std::nullopt : std::optional(moved);
  }
  int64_t milliseconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  // Years are written with four digits, so shorter numbers are not taken for milliseconds.
  if (error == std::errc() && end == text.data() + text.size() && text.size() > 8) {
    TimestampNs time = 0;
    if (__builtin_mul_overflow(milliseconds, kMillisecond, &time)) return std::nullopt;
    return time;
  }
  return parse_timestamp(text);
}

namespace {

Status check_range(const QueryCall& call) {
  if (const auto &from = call.request.from, &to = call.request.to; from && to && *from >= *to)
    return bad("the range is empty: from = " + format_timestamp(*from) + " is not before to = " + format_timestamp(*to));
  return {};
}

}  // namespace

Result<QueryCall> read_replay_call(const http::Request& request, const QueryBounds& bounds, TimestampNs now) {
  QueryCall call;
  call.request.limits = bounds.limits;
  SLUICE_ASSIGN(call.format, format_of(request));
  for (const auto& pair : request.query)
    if (pair.first == "q" || pair.first.starts_with(kParameterPrefix)) return bad("a replay takes from, to, limit, timeout_ms and format, not '" + pair.first.substr(0, 64) + "'");
  SLUICE_TRY(read_query_string(call, request, bounds, now));
  SLUICE_TRY(check_range(call));
  return call;
}

Result<QueryCall> read_query_call(const http::Request& request, std::string_view body, const QueryBounds& bounds, TimestampNs now) {
  QueryCall call;
  call.request.limits = bounds.limits;
  SLUICE_ASSIGN(call.format, format_of(request));
  SLUICE_TRY(read_query_string(call, request, bounds, now));
  if (request.method == "POST") {
    const std::string type = media_type_of(request);
    if (type == "application/json") {
      SLUICE_TRY(read_json(call, body, bounds, now));
    } else if (type.empty() || type == "text/plain" || type == "application/x-www-form-urlencoded") {
      // curl -d says "form" for whatever it sends; a query is never one.
      call.request.text = body;
    } else {
      return Error{ErrorCode::unsupported, "a query is sent as text/plain or application/json, not as " + type.substr(0, 80)};
    }
  }
  if (call.request.text.empty()) return bad(request.method == "POST" ? "the query is empty" : "the query is empty: GET /v1/query?q=…");
  SLUICE_TRY(check_range(call));
  if (call.request.text.size() > limits::kQueryTextBytesMax)
    return Error{ErrorCode::too_large, "the query is longer than the limit of " + std::to_string(limits::kQueryTextBytesMax) + " bytes"};
  return call;
}

Result<CompletionCall> read_completion_call(std::string_view body) {
  SLUICE_ASSIGN(const json object, parse_json(body));
  CompletionCall call;
  if (!object.contains("query") || !object["query"].is_string()) return bad("the body has no member 'query' with text");
  call.text = object["query"].get<std::string>();
  if (call.text.size() > limits::kQueryTextBytesMax) return Error{ErrorCode::too_large, "the query is too long"};
  call.cursor = call.text.size();
  if (object.contains("cursor")) {
    if (!object["cursor"].is_number_unsigned()) return bad("'cursor' is not a byte offset");
    call.cursor = std::min(call.cursor, object["cursor"].get<size_t>());
  }
  return call;
}

}  // namespace sluice::api
