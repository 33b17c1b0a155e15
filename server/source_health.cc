#include "server/source_health.h"

#include "storage/model/flow_schema.h"
#include "storage/model/ip.h"
#include "storage/model/text_list.h"

namespace sluice::server {

using query::continuous::Episode;
using query::continuous::EpisodeChange;
using query::continuous::EpisodeSink;
using query::continuous::EpisodeState;
using query::continuous::Severity;
using query::continuous::Watermarks;

void SourceHealth::restore(Episode episode, TimestampNs now) {
  std::string key = episode.key;
  open_[std::move(key)] = {std::move(episode), now};
}

void SourceHealth::look(const Watermarks& watermarks, TimestampNs now, const EpisodeSink& sink) {
  for (const auto& [key, state] : watermarks.sources()) {
    const auto ordinary = Watermarks::ordinary_silence(state);
    if (!ordinary) continue;
    const bool is_silent = Watermarks::silent_for(state, now) >= *ordinary;
    // Mostly all send, and no alert is open.
    if (!is_silent && open_.empty()) continue;
    const std::string source(column_spec(ColumnId::source).enumeration->name_of(key.source));
    const bool has_exporter = key.exporter != IpAddress{};
    const std::string name = "source=" + source + (has_exporter ? " exporter_ip=" + to_string(key.exporter) : "");
    const auto at = open_.find(name);
    if (at != open_.end()) {
      Open& open = at->second;
      if (state.arrived_at <= open.since) continue;
      open.episode.state = EpisodeState::ended;
      open.episode.ended_at = now;
      open.episode.end = state.arrived_at;
      sink(open.episode, EpisodeChange::ended);
      open_.erase(at);
      continue;
    }
    if (!is_silent) continue;
    Episode e;
    e.rule = kSourceSilent;
    e.key = name;
    e.id = query::continuous::episode_id(e.rule, e.key, state.arrived_at);
    e.severity = Severity::medium;
    e.state = EpisodeState::firing;
    e.start = e.last = e.run_start = state.arrived_at;
    e.end = now;
    e.fired_at = now;
    e.matches = 1;
    e.message = source + (has_exporter ? " of " + to_string(key.exporter) : "") + " has sent nothing since " + format_timestamp(state.arrived_at) + ", and was never silent for more than " +
                format_duration(state.gap / kSecond * kSecond);
    append_extra(e.values, "source", source);
    if (has_exporter) append_extra(e.values, "exporter_ip", to_string(key.exporter));
    append_list_item(e.tags, "health");
    e.query = "from flows between " + format_timestamp(state.newest - kHour) + " and " + format_timestamp(state.newest + 1) + " | where source == '" + source + "'" +
              (has_exporter ? " and exporter_ip == " + to_string(key.exporter) : "");
    open_[name] = {e, state.arrived_at};
    sink(e, EpisodeChange::started);
  }
}

}  // namespace sluice::server
