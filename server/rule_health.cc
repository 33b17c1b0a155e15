#include "server/rule_health.h"

#include "server/limits.h"
#include "storage/model/counted.h"
#include "storage/model/text_list.h"

namespace sluice::server {

using query::continuous::Episode;
using query::continuous::EpisodeChange;
using query::continuous::EpisodeSink;
using query::continuous::EpisodeState;
using query::continuous::Severity;

namespace {

constexpr std::string_view kKey = "rule=";

void end(Episode& alert, TimestampNs last_loss, TimestampNs now, const EpisodeSink& sink) {
  alert.state = EpisodeState::ended;
  alert.ended_at = now;
  alert.end = last_loss;
  sink(alert, EpisodeChange::ended);
}

}  // namespace

void RuleHealth::restore(Episode episode, TimestampNs now) {
  if (!episode.key.starts_with(kKey)) return;
  OfRule& mine = rules_[episode.key.substr(kKey.size())];
  mine.last_loss = now;
  mine.alert = std::move(episode);
}

void RuleHealth::look(const std::string& rule, const Loss& loss, TimestampNs now, const EpisodeSink& sink) {
  OfRule& mine = rules_[rule];
  const auto more = [](uint64_t after, uint64_t before) { return after > before ? after - before : 0; };
  const uint64_t dropped = more(loss.dropped_rows, mine.known.dropped_rows), let_go = more(loss.let_go_groups, mine.known.let_go_groups);
  mine.known = loss;
  if (dropped == 0 && let_go == 0) {
    if (mine.alert && now - mine.last_loss >= limits::kRuleLossQuiet) {
      end(*mine.alert, mine.last_loss, now, sink);
      mine.alert.reset();
    }
    return;
  }
  mine.last_loss = now;
  if (mine.alert) return;
  Episode e;
  e.rule = kRuleOverflow;
  e.key = std::string(kKey) + rule;
  e.id = query::continuous::episode_id(e.rule, e.key, now);
  e.severity = e.peak = Severity::medium;
  e.state = EpisodeState::firing;
  e.start = e.last = e.run_start = e.end = e.fired_at = now;
  e.matches = 1;
  e.message = "The rule " + rule + " is at the bound of its state: ";
  if (let_go > 0) e.message += counted(let_go, "group was", "groups were") + " let go, the least ones" + (dropped > 0 ? ", and " : "");
  if (dropped > 0) e.message += counted(dropped, "flow was", "flows were") + " left out";
  e.message += (loss.groups > 0 ? ", of some " + counted(loss.groups, "group", "groups") : std::string()) + ". Narrow its filter, shorten its window, or group by less";
  append_extra(e.values, "rule", rule);
  append_extra(e.values, "dropped_flows", std::to_string(dropped));
  append_extra(e.values, "let_go_groups", std::to_string(let_go));
  append_extra(e.values, "lost_groups", std::to_string(loss.groups));
  append_list_item(e.tags, "health");
  e.query = "from rules | where name == '" + rule + "'";
  mine.alert = e;
  sink(e, EpisodeChange::started);
}

void RuleHealth::forget(const std::string& rule, TimestampNs now, const EpisodeSink& sink) {
  const auto at = rules_.find(rule);
  if (at == rules_.end()) return;
  if (at->second.alert) end(*at->second.alert, at->second.last_loss, now, sink);
  rules_.erase(at);
}

}  // namespace sluice::server
