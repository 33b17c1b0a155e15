#include <utility>

#include "grammar/nearest.h"
#include "ingest/receive/inflate.h"
#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "server/body_verdict.h"

namespace sluice::api {
namespace {

http::Response unknown_source(const std::string& name) {
  const auto names = server::source_names();
  std::string hint;
  if (const auto nearest = grammar::nearest(name.substr(0, 64), names))
    hint = "did you mean '" + std::string(*nearest) + "'?";
  else
    for (std::string_view known : names) hint.append(hint.empty() ? "known sources: " : ", ").append(known);
  return error_response(404, "not_found", "there is no source '" + name.substr(0, 100) + "'", hint);
}

// A body that makes no sense is 422 here, where a query would be 400.
http::Response ingest_error_response(const Error& error) {
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::parse:
    case ErrorCode::corrupt: return error_response(422, to_string(error.code), error.message);
    default: return error_response(error);
  }
}

}  // namespace

void admit_share(http::Admission& admission, std::optional<uint64_t> content_length, server::IngestService& ingest) {
  if (content_length && *content_length > admission.body_bytes_max) return;  // 413, said by the server
  admission.ticket = ingest.reserve(static_cast<size_t>(content_length.value_or(admission.body_bytes_max)));
  if (admission.ticket) return;
  admission.refusal = error_response(503, "full", "too many bytes of bodies are being ingested");
  admission.refusal->headers.emplace_back("Retry-After", "1");
}

http::Admission admit_ingest(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest, size_t body_bytes_max) {
  http::Admission admission;
  admission.body_bytes_max = body_bytes_max;
  const std::string& source = head.segments.back();
  if (!server::is_known_source(source)) {
    admission.refusal = unknown_source(source);
    return admission;
  }
  for (const auto& [name, value] : head.query)
    if (name != "format") {
      admission.refusal = error_response(400, "invalid_argument", "there is no parameter '" + name.substr(0, 100) + "' here", "known: format");
      return admission;
    }
  if (const auto compression = ingest::compression_of(head.header("content-encoding")); !compression.ok()) {
    admission.refusal = error_response(415, to_string(compression.error().code), compression.error().message);
    return admission;
  }
  admit_share(admission, content_length, ingest);
  return admission;
}

void answer_ingest(Call& call, server::IngestService& ingest) {
  server::IngestBody body;
  body.source = call.arguments[0];
  body.content_encoding = call.request.header("content-encoding");
  body.object = call.request.header("x-sluice-object");
  if (const auto format = call.request.query_value("format"))
    body.format = *format;
  else
    body.format = call.request.header("x-sluice-format");
  body.bytes = call.exchange->take_body();
  const auto outcome = ingest.take(std::move(body));
  if (!outcome.ok()) return call.exchange->respond(ingest_error_response(outcome.error()));

  const auto& report = outcome->report;
  std::string out = "{\"accepted\":" + std::to_string(outcome->rows) + ",\"rejected\":" + std::to_string(report.rejected) + ",\"duplicate\":" +
                    (outcome->duplicate ? "true" : "false") + ",\"no_data\":" + std::to_string(report.no_data) + ",\"skipped_data\":" +
                    std::to_string(report.skipped_data) + ",\"ignored\":" + std::to_string(report.ignored) + ",\"clamped_times\":" +
                    std::to_string(report.clamped_times) + ",\"cut_strings\":" + std::to_string(report.cut_strings) + ",\"errors\":[";
  bool first = true;
  for (const auto& error : report.errors) {
    out += first ? "{\"record\":" : ",{\"record\":";
    first = false;
    out += std::to_string(error.record) + ",\"reason\":";
    append_json_string(out, error.reason);
    out += '}';
  }
  out += "],\"warnings\":[";
  first = true;
  for (const std::string& warning : server::column_warnings(report)) {
    if (!std::exchange(first, false)) out += ',';
    append_json_string(out, warning);
  }
  call.exchange->respond(json_response(out + "]}"));
}

}  // namespace sluice::api
