#include "server/delivery/notice.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "ingest/receive/digest.h"
#include "storage/model/text_list.h"

namespace sluice::delivery {

using nlohmann::json;
using nlohmann::ordered_json;
using query::continuous::EpisodeState;
using query::continuous::Severity;

namespace {

constexpr std::array<std::string_view, 6> kEvents = {"started", "resumed", "ended", "test", "dropped", "raised"};

}  // namespace

std::string_view to_string(Event event) { return kEvents[static_cast<size_t>(event)]; }

std::string notice_id(const Episode& alert, Event event) {
  std::string of = alert.id + '\n' + std::string(to_string(event));
  // An alert starts once, and is told once of each severity since it fired; it may resume and end several times, each time at another last match.
  if (event == Event::raised)
    of += '\n' + std::string(to_string(alert.severity)) + (alert.run_start > alert.start ? '\n' + std::to_string(alert.run_start) : std::string());
  else if (event != Event::started)
    of += '\n' + std::to_string(alert.last);
  return ingest::hex(ingest::sha256(of)).substr(0, 32);
}

std::string group_id(std::span<const Notice> notices) {
  if (notices.size() == 1) return notices[0].id;
  std::string all;
  for (const Notice& n : notices) all += n.id + '\n';
  return ingest::hex(ingest::sha256(all)).substr(0, 32);
}

std::string to_record(const Notice& n) {
  const Episode& a = n.alert;
  return json{{"id", n.id},
              {"event", static_cast<int>(n.event)},
              {"at", n.at},
              {"alert",
               {{"id", a.id},
                {"rule", a.rule},
                {"severity", static_cast<int>(a.severity)},
                {"state", static_cast<int>(a.state)},
                {"key", a.key},
                {"start", a.start},
                {"last", a.last},
                {"end", a.end},
                {"fired_at", a.fired_at},
                {"ended_at", a.ended_at},
                {"matches", a.matches},
                {"message", a.message},
                {"values", a.values},
                {"techniques", a.techniques},
                {"tags", a.tags},
                {"query", a.query}}}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Notice> from_record(std::string_view record) {
  const json j = json::parse(record, nullptr, false);
  if (!j.is_object()) return std::nullopt;
  try {
    Notice n;
    n.id = j.at("id"), n.at = j.at("at");
    n.event = static_cast<Event>(std::clamp<int>(j.at("event").get<int>(), 0, kEvents.size() - 1));
    const json& a = j.at("alert");
    Episode& e = n.alert;
    e.id = a.at("id"), e.rule = a.at("rule"), e.key = a.at("key");
    e.severity = static_cast<Severity>(std::clamp(a.at("severity").get<int>(), 0, 4));
    e.state = static_cast<EpisodeState>(std::clamp(a.at("state").get<int>(), 0, 2));
    e.start = a.at("start"), e.last = a.at("last"), e.end = a.at("end"), e.fired_at = a.at("fired_at"), e.ended_at = a.at("ended_at");
    e.matches = a.at("matches"), e.message = a.at("message"), e.values = a.at("values"), e.techniques = a.at("techniques"), e.tags = a.at("tags");
    e.query = a.at("query");
    return n;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

std::string notice_json(const Notice& n) {
  const Episode& a = n.alert;
  ordered_json values = ordered_json::object();
  for (const auto& [name, value] : extra_items(a.values)) values.emplace(name, value);  // the first of a name counts
  ordered_json alert{{"id", a.id},
                     {"rule", a.rule},
                     {"severity", to_string(a.severity)},
                     {"state", to_string(a.state)},
                     {"key", a.key},
                     {"message", a.message},
                     {"start", format_timestamp(a.start)},
                     {"end", format_timestamp(a.end)},
                     {"fired_at", format_timestamp(a.fired_at)}};
  if (a.ended_at) alert["ended_at"] = format_timestamp(a.ended_at);
  alert["matches"] = a.matches;
  alert["values"] = std::move(values);
  alert["techniques"] = list_items(a.techniques);
  alert["tags"] = list_items(a.tags);
  alert["query"] = a.query;
  return ordered_json{{"id", n.id}, {"event", to_string(n.event)}, {"at", format_timestamp(n.at)}, {"alert", std::move(alert)}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
}

std::string shortened(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return std::string(text);
  constexpr std::string_view kMore = "…";
  size_t end = bytes > kMore.size() ? bytes - kMore.size() : 0;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + std::string(kMore);
}

}  // namespace sluice::delivery
