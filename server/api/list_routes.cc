// Watch-lists as documents: GET, PUT, POST and DELETE /v1/lists/{name}.
#include "server/api/json_text.h"
#include "server/api/routes.h"
#include "server/limits.h"
#include "server/list_format.h"
#include "server/list_keeper.h"
#include "storage/model/utf8.h"

namespace sluice::api {

http::Admission admit_list(const http::Request& head, std::optional<uint64_t> content_length, server::IngestService& ingest) {
  http::Admission admission;
  admission.body_bytes_max = limits::kListBodyBytesMax;
  if (const auto encoding = head.header("content-encoding"); !encoding.empty() && encoding != "identity") {
    admission.refusal = error_response(415, "unsupported", "a list comes as it is, not compressed");
    return admission;
  }
  admit_share(admission, content_length, ingest);
  return admission;
}

void answer_lists(Call& call, const server::ListKeeper& lists) {
  call.exchange->respond(json_response("{\"lists\":" + objects_json(query::lists_table(*lists.lists())) + "}"));
}

// An item a line, as PUT takes it.
void answer_list(Call& call, const server::ListKeeper& lists) {
  const auto book = lists.lists();
  const query::WatchList* list = book->find(call.arguments[0]);
  if (!list) return call.exchange->respond(error_response(404, "not_found", "there is no list '" + call.arguments[0].substr(0, 100) + "'"));
  http::Response response;
  response.content_type = "text/plain; charset=utf-8";
  for (size_t i = 0; i < list->items.size(); ++i) {
    response.body += list->items[i];
    if (!list->ends.empty() && list->ends[i] != kTimestampMax) response.body += " until " + format_timestamp(list->ends[i]);
    response.body += '\n';
  }
  call.exchange->respond(std::move(response));
}

// The body has no item. nullopt: it may be so.
std::optional<http::Response> refusal_to_empty(const std::string& name, const std::map<std::string, uint64_t>& left_out, const server::ListKeeper& lists) {
  const Status may = lists.may_empty(name);
  if (may.ok()) return std::nullopt;
  std::string why;
  for (const auto& [reason, count] : left_out) why += (why.empty() ? "; left out: " : ", ") + std::to_string(count) + " (" + reason + ")";
  return error_response(422, "invalid_argument", may.error().message + why, "?allow_empty=true empties it all the same");
}

void answer_list_put(Call& call, server::ListKeeper& lists, const Clock& clock, bool replaces) {
  const std::string body = call.exchange->take_body();
  if (!is_utf8(call.arguments[0])) return call.exchange->respond(error_response(400, "invalid_argument", "the list's name is not UTF-8"));
  server::ListFormat format = server::guess_list_format(call.request.header("content-type"), body);
  std::optional<DurationNs> lifetime;
  bool allows_empty = false;
  for (const auto& [name, value] : call.request.query) {
    if (name == "format") {
      const auto said = server::list_format_of(value);
      if (!said) return call.exchange->respond(error_response(400, "invalid_argument", "format is plain, csv, stix or misp"));
      format = *said;
    } else if (name == "lifetime") {
      lifetime = parse_duration(value);
      if (!lifetime || *lifetime <= 0) return call.exchange->respond(error_response(400, "invalid_argument", "lifetime is a duration, such as 7d"));
    } else if (name == "allow_empty" && replaces) {
      if (value != "true" && value != "false") return call.exchange->respond(error_response(400, "invalid_argument", "allow_empty is true or false"));
      allows_empty = value == "true";
    } else {
      return call.exchange->respond(error_response(400, "invalid_argument", std::string(replaces ? "a list is put with format, lifetime and allow_empty" : "items are added with format and lifetime") + ", not with '" + name.substr(0, 100) + "'"));
    }
  }
  auto read = server::read_list(format, body);
  if (!read.ok()) return call.exchange->respond(error_response(read.error()));
  const TimestampNs now = clock.now();
  std::vector<std::string> items;
  std::vector<TimestampNs> ends;
  for (size_t i = 0; i < read->items.size(); ++i) {
    TimestampNs end = read->ends[i];
    if (end <= now) {
      ++read->left_out["ended already"];
      continue;
    }
    if (lifetime) end = std::min(end, now + *lifetime);
    items.push_back(std::move(read->items[i]));
    ends.push_back(end);
  }
  server::ListKeeper::Merged done;
  if (replaces) {
    if (items.empty() && !allows_empty)
      if (auto refusal = refusal_to_empty(call.arguments[0], read->left_out, lists)) return call.exchange->respond(std::move(*refusal));
    done.items = items.size();
    auto list = query::make_watch_list(call.arguments[0], std::move(items), std::move(ends));
    if (!list.ok()) return call.exchange->respond(error_response(list.error()));
    const auto version = lists.put_list(std::move(*list), true, allows_empty);
    if (!version.ok()) return call.exchange->respond(error_response(version.error()));
    done.version = *version;
  } else {
    const auto merged = lists.merge(call.arguments[0], std::move(items), std::move(ends));
    if (!merged.ok()) return call.exchange->respond(error_response(merged.error()));
    done = *merged;
  }
  std::string answer = "{\"name\":";
  append_json_string(answer, call.arguments[0]);
  answer += ",\"items\":" + std::to_string(done.items) + ",\"version\":" + std::to_string(done.version) + ",\"left_out\":{";
  for (const auto& [why, count] : read->left_out) {
    if (answer.back() != '{') answer += ',';
    append_json_string(answer, why);
    answer += ':' + std::to_string(count);
  }
  call.exchange->respond(json_response(answer + "}}"));
}

void answer_list_remove(Call& call, server::ListKeeper& lists) {
  const Status done = lists.drop_list(call.arguments[0]);
  if (!done.ok()) return call.exchange->respond(error_response(done.error()));
  call.exchange->respond(json_response("{\"removed\":true}"));
}

}  // namespace sluice::api
