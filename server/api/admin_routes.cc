#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "server/log.h"
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
  const auto before = store.snapshot().damaged;
  const auto damaged = store.verify();
  const auto has = [](const std::vector<store::DamagedSegment>& all, const store::DamagedSegment& one) {
    return std::any_of(all.begin(), all.end(), [&](const auto& d) { return d.info.path == one.info.path; });
  };
  for (const auto& d : damaged)
    if (!has(before, d)) log::error("a segment is damaged; its rows are left out of answers", {{"segment", d.info.id}, {"reason", d.reason}});
  for (const auto& d : before)
    if (!has(damaged, d)) log::info("a segment that was damaged is whole again", {{"segment", d.info.id}});
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

void answer_backup(Call& call, store::Store& store, const std::string& backup_dir) {
  const auto body = nlohmann::json::parse(call.exchange->take_body(), nullptr, false);
  if (!body.is_object() || body.size() != 1 || !body.contains("name") || !body["name"].is_string())
    return call.exchange->respond(error_response(400, "invalid_argument", "the body is JSON with the text member 'name', what the backup is to be called"));
  const std::string name = body["name"].get<std::string>();
  const auto is_plain = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; };
  if (name.empty() || name.size() > limits::kBackupNameBytesMax || !std::all_of(name.begin(), name.end(), is_plain))
    return call.exchange->respond(
        error_response(400, "invalid_argument", "a backup's name has up to " + std::to_string(limits::kBackupNameBytesMax) + " letters, digits, '-' and '_'"));
  if (backup_dir.empty())
    return call.exchange->respond(error_response(409, "conflict", "the server has no folder for backups", "start it with --backup-dir DIR, best on the file system of the data"));
  const std::string path = backup_dir + "/" + name;
  const auto made = store.backup(path);
  if (!made.ok()) {
    log::error("a backup could not be made", {{"path", path}, {"reason", made.error().message}});
    return call.exchange->respond(error_response(made.error()));
  }
  log::info("a backup was made", {{"path", path}, {"segments", made->segments}, {"bytes", made->bytes}, {"copied_bytes", made->copied_bytes}});
  std::string out = "{\"path\":";
  append_json_string(out, path);
  out += ",\"segments\":" + std::to_string(made->segments) + ",\"bytes\":" + std::to_string(made->bytes) + ",\"copied_bytes\":" + std::to_string(made->copied_bytes) +
         ",\"missing\":" + std::to_string(made->missing) + "}";
  http::Response response = json_response(std::move(out));
  response.status = 201;
  call.exchange->respond(std::move(response));
}

void answer_sampling_list(Call& call, const server::ExporterBook& exporters) {
  call.exchange->respond(json_response("{\"rules\":" + objects_json(exporters.rules_table()) + "}"));
}

void answer_sampling_add(Call& call, server::ExporterBook& exporters, const Clock& clock) {
  const auto refuse = [&](const std::string& message) { call.exchange->respond(error_response(400, "invalid_argument", message)); };
  const auto body = nlohmann::json::parse(call.exchange->take_body(), nullptr, false);
  if (!body.is_object()) return refuse("the body is a JSON object with members 'exporter' and 'rate', and 'domain', 'interface', 'from', 'to', 'force', 'comment' as needed");
  query::SamplingRule rule;
  std::string comment;
  for (const auto& [key, value] : body.items()) {
    // Numbers beyond 32 bits, negative ones and fractions are refused, not cut.
    const bool is_number = value.is_number_unsigned() && value.get<uint64_t>() <= UINT32_MAX;
    const bool is_text = value.is_string();
    if (key == "exporter" && is_text) {
      const auto prefix = parse_prefix(value.get<std::string>());
      if (!prefix) return refuse("'exporter' is an address or CIDR block, not '" + value.get<std::string>() + "'");
      rule.exporter = *prefix;
    } else if (key == "rate") {
      if (!is_number || value.get<uint32_t>() == 0) return refuse("'rate' is a whole number from 1 to " + std::to_string(UINT32_MAX) + ": one packet in so many was looked at");
      rule.rate = value.get<uint32_t>();
    } else if (key == "domain" && is_number) {
      rule.domain = value.get<uint32_t>();
    } else if (key == "interface" && is_number) {
      rule.interface = value.get<uint32_t>();
    } else if (key == "force" && value.is_boolean()) {
      rule.force = value.get<bool>();
    } else if ((key == "from" || key == "to") && is_text) {
      const auto time = parse_timestamp(value.get<std::string>());
      if (!time) return refuse("'" + key + "' is a time such as 2026-11-20T08:00:00Z, not '" + value.get<std::string>() + "'");
      (key == "from" ? rule.range.from : rule.range.to) = *time;
    } else if (key == "comment" && is_text && value.get_ref<const std::string&>().size() <= 1'024) {
      comment = value.get<std::string>();
    } else {
      return refuse("'" + key.substr(0, 100) + "' is not a member of a correction, or its value makes no sense");
    }
  }
  if (!body.contains("exporter") || !body.contains("rate")) return refuse("'exporter' (an address or CIDR block) and 'rate' (from 1) are needed");
  if (rule.range.empty()) return refuse("'from' is not before 'to'");
  const auto id = exporters.add_rule(rule, comment, clock.now());
  if (!id.ok()) return call.exchange->respond(error_response(id.error()));
  http::Response response = json_response("{\"id\":" + std::to_string(*id) + "}");
  response.status = 201;
  call.exchange->respond(std::move(response));
}

void answer_sampling_remove(Call& call, server::ExporterBook& exporters) {
  const std::string& text = call.arguments[0];
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size())
    return call.exchange->respond(error_response(404, "not_found", "a correction's id is a number, not '" + text.substr(0, 100) + "'"));
  const Status status = exporters.remove_rule(id);
  if (!status.ok()) return call.exchange->respond(error_response(status.error()));
  call.exchange->respond(json_response("{\"removed\":true}"));
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
