// What POST and GET /v1/query say, read into a query request. Hostile input: everything is checked, nothing is assumed.
//
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "query/engine.h"
#include "server/http/message.h"
#include "storage/model/result.h"

namespace sluice::api {

// ecs and ocsf are lines of JSON; arrow (the IPC streaming format) and parquet are for builds with the Arrow module.
enum class AnswerFormat : uint8_t { json, ndjson, csv, ecs, ocsf, arrow, parquet };
std::string_view name_of(AnswerFormat format);  // as ?format= has it
std::string_view content_type_of(AnswerFormat format);

struct QueryCall {
  query::QueryRequest request;
  std::optional<uint64_t> limit;  // rows at most; the answer says when it was cut
  AnswerFormat format = AnswerFormat::json;
};

// Bounds for what a request may ask: it may ask for less time, never for more.
struct QueryBounds {
  query::QueryLimits limits;
  size_t parameters_max = 1'000;
  size_t parameter_values_max = 100'000;
};

// A body of JSON {"query","from","to","params","limit","timeout_ms"} or the plain text of a query, by Content-Type; for GET
// the query string's q, from, to, limit, timeout_ms and param.NAME. `now` is for "now" and "now-15m" in from and to.
// Errors: invalid_argument (400), unsupported (415), not_built (501: a format of the Arrow module, and there is none), too_large.
Result<QueryCall> read_query_call(const http::Request& request, std::string_view body, const QueryBounds& bounds, TimestampNs now);

// The query string of a replay: from, to, limit, timeout_ms, format. The call's text is empty. Errors: as above.
Result<QueryCall> read_replay_call(const http::Request& request, const QueryBounds& bounds, TimestampNs now);

// {"query","cursor"}; a cursor beyond the text is its end.
struct CompletionCall {
  std::string text;
  size_t cursor = 0;
};
Result<CompletionCall> read_completion_call(std::string_view body);

// RFC 3339, "now", "now-15m", or whole milliseconds since the epoch.
std::optional<TimestampNs> parse_bound(std::string_view text, TimestampNs now);

}  // namespace sluice::api
