#include "query/context_table.h"
#include "query/words.h"
#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "server/context_body.h"
#include "server/limits.h"
#include "storage/model/utf8.h"

namespace sluice::api {
namespace {

enum class TableFormat { csv, ndjson };

// Without a content type, and with curl's for --data-binary, a body is CSV.
std::optional<TableFormat> format_of(std::string_view content_type) {
  const std::string type = query::lower_case(content_type.substr(0, content_type.find_first_of("; ")));
  if (type.empty() || type == "text/csv" || type == "text/plain" || type == "application/octet-stream" || type == "application/x-www-form-urlencoded") return TableFormat::csv;
  if (type == "application/x-ndjson" || type == "application/ndjson" || type == "application/jsonl") return TableFormat::ndjson;
  return std::nullopt;
}

}  // namespace

http::Admission admit_table(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest) {
  http::Admission admission;
  admission.body_bytes_max = limits::kContextBodyBytesMax;
  if (!format_of(head.header("content-type"))) {
    admission.refusal = error_response(415, "unsupported", "a table comes as text/csv or application/x-ndjson");
    return admission;
  }
  if (const auto encoding = head.header("content-encoding"); !encoding.empty() && encoding != "identity") {
    admission.refusal = error_response(415, "unsupported", "a table comes as it is, not compressed");
    return admission;
  }
  admit_share(admission, content_length, ingest);
  return admission;
}

void answer_tables(Call& call, const server::ContextKeeper& context) {
  call.exchange->respond(json_response("{\"tables\":" + objects_json(query::tables_table(*context.tables())) + "}"));
}

void answer_table(Call& call, const server::ContextKeeper& context) {
  const auto table = context.tables()->find(call.arguments[0]);
  if (!table) return call.exchange->respond(error_response(404, "not_found", "there is no table '" + call.arguments[0].substr(0, 100) + "'"));
  http::Response response;
  response.content_type = "text/csv; charset=utf-8; header=present";
  response.body = table->csv();
  call.exchange->respond(std::move(response));
}

void answer_table_put(Call& call, server::ContextKeeper& context) {
  std::string body = call.exchange->take_body();
  if (format_of(call.request.header("content-type")) == TableFormat::ndjson) {
    auto csv = server::csv_of_ndjson(body);
    if (!csv.ok()) return call.exchange->respond(error_response(csv.error()));
    body = std::move(csv).value();
  }
  // It is told as it came, as text; and text in another encoding would match nothing of what flows say.
  if (!is_utf8(call.arguments[0]) || !is_utf8(body)) return call.exchange->respond(error_response(400, "parse", "the table is not UTF-8"));
  auto table = query::ContextTable::read(call.arguments[0], call.request.query_value("key").value_or(""), std::move(body));
  if (!table.ok()) return call.exchange->respond(error_response(table.error()));
  const std::string name = table->name(), key = table->key_name();
  const size_t rows = table->rows();
  const auto version = context.put_table(std::move(table).value(), true);
  if (!version.ok()) return call.exchange->respond(error_response(version.error()));
  std::string out = "{\"name\":";
  append_json_string(out, name);
  out += ",\"key\":";
  append_json_string(out, key);
  http::Response response = json_response(out + ",\"rows\":" + std::to_string(rows) + ",\"version\":" + std::to_string(*version) + "}");
  if (*version == 1) response.status = 201;
  call.exchange->respond(std::move(response));
}

void answer_table_drop(Call& call, server::ContextKeeper& context) {
  const Status status = context.drop_table(call.arguments[0]);
  if (!status.ok()) return call.exchange->respond(error_response(status.error()));
  call.exchange->respond(json_response("{\"removed\":true}"));
}

}  // namespace sluice::api
