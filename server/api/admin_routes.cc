#include <nlohmann/json.hpp>

#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "storage/store/store.h"

namespace sluice::api {
namespace {

// A client that asks for compaction wants an end in sight; the rest is done in the background anyway.
constexpr uint64_t kMergesMax = 10'000;

}  // namespace

void answer_flush(Call& call, store::Store& store) {
  const auto segments = store.flush();
  if (!segments.ok()) return call.exchange->respond(error_response(segments.error()));
  call.exchange->respond(json_response("{\"segments\":" + std::to_string(*segments) + "}"));
}

void answer_compact(Call& call, store::Store& store) {
  auto is_gone = std::make_shared<std::atomic<bool>>(false);
  call.exchange->on_disconnect([is_gone] { *is_gone = true; });
  uint64_t merges = 0;
  for (; merges < kMergesMax && !*is_gone; ++merges) {
    const auto merged = store.merge_once();
    if (!merged.ok()) return call.exchange->respond(error_response(merged.error()));
    if (!*merged) break;
  }
  call.exchange->respond(json_response("{\"merges\":" + std::to_string(merges) + "}"));
}

void answer_verify(Call& call, store::Store& store) {
  const auto damaged = store.verify();
  std::string out = "{\"segments\":" + std::to_string(store.stats().segments) + ",\"damaged\":[";
  for (const auto& d : damaged) {
    if (out.back() != '[') out += ',';
    out += "{\"id\":" + std::to_string(d.info.id) + ",\"rows\":" + std::to_string(d.info.rows) + ",\"path\":";
    append_json_string(out, d.info.path);
    out += ",\"reason\":";
    append_json_string(out, d.reason);
    out += '}';
  }
  call.exchange->respond(json_response(out + "]}"));
}

void answer_token_list(Call& call, const server::Auth& auth) {
  std::string out = "{\"tokens\":[";
  for (const auto& token : auth.list()) {
    out += out.back() == '[' ? "{\"name\":" : ",{\"name\":";
    append_json_string(out, token.name);
    out += ",\"role\":\"" + std::string(server::to_string(token.role)) + "\",\"created_at\":\"" + format_timestamp(token.created_at) + "\"}";
  }
  call.exchange->respond(json_response(out + "]}"));
}

void answer_token_add(Call& call, server::Auth& auth, const Clock& clock) {
  const auto body = nlohmann::json::parse(call.exchange->take_body(), nullptr, false);
  if (!body.is_object() || !body.contains("name") || !body["name"].is_string() || !body.contains("role") || !body["role"].is_string())
    return call.exchange->respond(error_response(400, "invalid_argument", "the body is JSON with text members 'name' and 'role' (read, ingest or admin)"));
  const auto role = server::parse_role(body["role"].get<std::string>());
  if (!role) return call.exchange->respond(error_response(400, "invalid_argument", "a token's role is read, ingest or admin"));
  if (!auth.required() && *role != server::Role::admin)
    return call.exchange->respond(error_response(409, "conflict", "the first token must be an admin's: from then on every route asks for one"));
  const std::string name = body["name"].get<std::string>();
  auto token = auth.add(name, *role, clock.now());
  if (!token.ok()) return call.exchange->respond(error_response(token.error()));
  std::string out = "{\"name\":";
  append_json_string(out, name);
  out += ",\"role\":\"" + std::string(server::to_string(*role)) + "\",\"token\":\"" + *token + "\"}";
  http::Response response = json_response(std::move(out));
  response.status = 201;
  call.exchange->respond(std::move(response));
}

void answer_token_remove(Call& call, server::Auth& auth) {
  const Status status = auth.remove(call.arguments[0]);
  if (!status.ok()) return call.exchange->respond(error_response(status.error()));
  call.exchange->respond(json_response("{\"removed\":true}"));
}

}  // namespace sluice::api
