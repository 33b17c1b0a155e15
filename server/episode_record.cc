#include "server/episode_record.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice::server {

using nlohmann::json;
using query::continuous::Episode;
using query::continuous::EpisodeState;
using query::continuous::Severity;

std::string record_of(const Episode& e) {
  return json{{"id", e.id},           {"rule", e.rule},         {"severity", static_cast<int>(e.severity)}, {"peak", static_cast<int>(e.peak)}, {"state", static_cast<int>(e.state)},
              {"key", e.key},         {"start", e.start},       {"last", e.last},                           {"end", e.end},
              {"fired_at", e.fired_at}, {"ended_at", e.ended_at}, {"matches", e.matches},                     {"message", e.message},
              {"values", e.values},   {"techniques", e.techniques}, {"tags", e.tags},                       {"query", e.query},
              {"run_start", e.run_start}, {"silent", e.is_silent}, {"closed", e.was_closed}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<Episode> episode_of(std::string_view record) {
  const json j = json::parse(record, nullptr, false);
  if (!j.is_object()) return std::nullopt;
  try {
    Episode e;
    e.id = j.at("id"), e.rule = j.at("rule"), e.key = j.at("key");
    e.severity = static_cast<Severity>(std::clamp(j.at("severity").get<int>(), 0, 4));
    e.state = static_cast<EpisodeState>(std::clamp(j.at("state").get<int>(), 0, 2));
    e.start = j.at("start"), e.last = j.at("last"), e.end = j.at("end"), e.fired_at = j.at("fired_at"), e.ended_at = j.at("ended_at");
    e.matches = j.at("matches"), e.message = j.at("message"), e.values = j.at("values"), e.techniques = j.at("techniques"), e.tags = j.at("tags");
    e.query = j.at("query"), e.run_start = j.at("run_start");
    e.is_silent = j.value("silent", false);
    e.was_closed = j.value("closed", false);
    e.peak = std::max(e.severity, static_cast<Severity>(std::clamp(j.value("peak", 0), 0, 4)));
    return e;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace sluice::server
