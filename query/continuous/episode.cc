#include "query/continuous/episode.h"

#include <algorithm>

#include "grammar/print.h"
#include "query/continuous/value_text.h"
#include "query/group.h"
#include "storage/model/text_list.h"

namespace sluice::query::continuous {
namespace {

// Cut at a whole character.
void cut(std::string& text) {
  if (text.size() <= limits::kAlertTextBytesMax) return;
  size_t end = limits::kAlertTextBytesMax - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  text += "…";
}

Value value_of(const Finding& f, size_t column, size_t row) {
  const OutputColumn& c = f.columns()[column];
  return value_at(*f.rows.slots[c.slot], c.type, row);
}

std::string text_of(const Finding& f, size_t column, size_t row) {
  const OutputColumn& c = f.columns()[column];
  return value_text(*f.rows.slots[c.slot], c.type, row);
}

std::string key_of(const Finding& f, size_t row) {
  std::string key;
  for (const size_t column : f.rule.alert_keys) {
    if (!key.empty()) key += ' ';
    key += f.columns()[column].name + '=' + text_of(f, column, row);
  }
  return key;
}

// As FlowQL writes it; nullopt: null.
std::optional<std::string> literal_of(const Finding& f, size_t column, size_t row) {
  const Value value = value_of(f, column, row);
  if (value.is_null()) return std::nullopt;
  const OutputColumn& c = f.columns()[column];
  if (value.type == LogicalType::string || value.type == LogicalType::list || value.type == LogicalType::enumeration)
    return grammar::quote_string(format_value(value, c.type.enumeration));
  return format_value(value, c.type.enumeration);
}

std::string list_of(const std::vector<std::string>& items) {
  std::string list;
  for (const auto& item : items) append_list_item(list, item);
  return list;
}

void fill(Episode& episode, const Finding& f, size_t row) {
  const Rule& rule = f.rule;
  episode.values.clear();
  for (size_t c = 0; c < f.columns().size(); ++c) append_extra(episode.values, f.columns()[c].name, text_of(f, c, row));
  cut(episode.values);
  // (The rule may have been replaced since the alert began.)
  episode.techniques = list_of(rule.techniques);
  episode.tags = list_of(rule.tags);
  episode.severity = rule.severity;
  if (rule.severity_column) episode.severity = severity_of(text_of(f, *rule.severity_column, row)).value_or(rule.severity);
  episode.peak = std::max(episode.peak, episode.severity);
  episode.message.clear();
  if (rule.message.empty()) {
    for (const auto& [name, value] : extra_items(episode.values)) episode.message += (episode.message.empty() ? "" : ", ") + name + " " + value;
  } else {
    for (const MessagePart& part : rule.message) {
      episode.message += part.text;
      if (part.column) episode.message += text_of(f, *part.column, row);
    }
  }
  if (f.is_partial) {
    append_extra(episode.values, "lower_bound", "true");
    episode.message += " (at least: the rule's groups are at their bound)";
  }
  cut(episode.message);
}

uint64_t hash(std::string_view text, uint64_t seed) {
  uint64_t h = seed;
  for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdull;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ull;
  return h ^ (h >> 33);
}

// How the windows of a rule follow one another, and its sessions.
class Times {
 public:
  explicit Times(const Rule& rule) : rule_(rule), step_(rule.session ? 0 : rule.slide()) {}

  // Of a row: where its window begins and ends.
  std::pair<TimestampNs, TimestampNs> window(const Finding& f, size_t row) const {
    if (!rule_.session) return {f.window, f.window + rule_.window()};
    return {f.rows.slots[rule_.session->start]->int_at(row), f.rows.slots[rule_.session->end]->int_at(row)};
  }
  bool covers(const Episode& e, TimestampNs start, TimestampNs end) const { return rule_.session ? start <= e.end && end >= e.start : start >= e.start && start <= e.last; }
  // (What never fired has nobody who would be told twice: `suppress` is not for it.)
  bool belongs(const Episode& e, TimestampNs start, TimestampNs end) const {
    const DurationNs most = step_ + (e.state == EpisodeState::pending ? rule_.keep : std::max(rule_.keep, rule_.suppress));
    return rule_.session ? start <= e.end + most && end >= e.start - most : start <= e.last + most && start >= e.start - most;
  }
  // Until when the next one begins that goes on with it.
  TimestampNs goes_on(const Episode& e) const { return (rule_.session ? e.end : e.last + step_) + rule_.keep; }
  // A session that has begun in time is told of when it is over, which may be long after. (What fired goes on with it then, too.)
  bool may_yet_go_on(const Episode& e, TimestampNs settled_before) const {
    return rule_.session && rule_.keep > 0 && goes_on(e) + 2 * limits::kSessionLengthMax >= settled_before;
  }
  // What the watermark has passed when a window, or session, that ends at `end` is settled; and when it is known that it has not gone on.
  TimestampNs settled_at(TimestampNs end) const { return end + (rule_.is_asked ? rule_.grace : 0); }
  TimestampNs over_at(const Episode& e) const { return settled_at(rule_.session ? goes_on(e) : slide_start(goes_on(e), step_) + rule_.window()); }
  // What is known to have matched, without a break, is as long as `for` says. (A session lasted until its last flow.)
  bool holds(const Episode& e) const { return (rule_.session ? e.end - rule_.session->gap : e.last + step_) - e.run_start >= rule_.hold; }
  // Until then what comes late, or began long ago, may still belong to it.
  TimestampNs known_until(const Episode& e) const {
    const DurationNs late = rule_.window() + rule_.grace + std::max(rule_.keep, rule_.suppress);
    return rule_.session ? e.end + 2 * rule_.session->gap + late : e.last + step_ + late;
  }

 private:
  const Rule& rule_;
  const DurationNs step_;
};

}  // namespace

std::string_view to_string(EpisodeState state) {
  constexpr std::string_view kNames[] = {"pending", "firing", "ended"};
  return kNames[static_cast<size_t>(state)];
}
std::string_view to_string(EpisodeChange change) {
  constexpr std::string_view kNames[] = {"pending", "started", "resumed", "updated", "ended", "dropped"};
  return kNames[static_cast<size_t>(change)];
}

// 96 bits of FNV-1a, mixed as MurmurHash3 ends: alerts are thousands, not billions, and nobody gains by a clash.
std::string episode_id(std::string_view rule, std::string_view key, TimestampNs start) {
  std::string text(rule);
  text += '\n';
  text += key;
  text += '\n' + std::to_string(start);
  char out[25];
  std::snprintf(out, sizeof out, "%016llx%08llx", static_cast<unsigned long long>(hash(text, 0xcbf29ce484222325ull)),
                static_cast<unsigned long long>(hash(text, 0x9e3779b97f4a7c15ull) >> 32));
  return out;
}

bool EpisodeBook::end(OfRule& of, Episode& e, TimestampNs at, const EpisodeSink& sink) {
  if (e.state == EpisodeState::ended) return false;
  --of.open;
  if (e.state == EpisodeState::pending) {
    sink(e, EpisodeChange::dropped);
    return true;
  }
  e.state = EpisodeState::ended;
  e.ended_at = at;
  sink(e, EpisodeChange::ended);
  return false;
}

void EpisodeBook::restore(Episode episode) {
  OfRule& of = rules_[episode.rule];
  auto& mine = of.by_key;
  // In the order in which they began, as when they were made: a window belongs to the first that it fits.
  auto& of_key = mine[episode.key];
  if (std::any_of(of_key.begin(), of_key.end(), [&](const Episode& e) { return e.id == episode.id; })) return;
  of.open += episode.state != EpisodeState::ended;
  const auto at = std::upper_bound(of_key.begin(), of_key.end(), episode, [](const Episode& a, const Episode& b) { return a.start < b.start; });
  of_key.insert(at, std::move(episode));
}

void EpisodeBook::take(const Finding& finding, TimestampNs now, const EpisodeSink& sink) {
  const Rule& rule = finding.rule;
  OfRule& mine = rules_[rule.name];
  const Times times(rule);
  const auto fired_at = [&](const Episode& e) { return clock_ == EpisodeClock::wall ? now : std::min(now, times.settled_at(e.end)); };
  const auto ended_at = [&](const Episode& e) { return clock_ == EpisodeClock::wall ? now : std::min(now, times.over_at(e)); };
  for (size_t row = 0; row < finding.rows.rows; ++row) {
    const auto window = times.window(finding, row);
    const TimestampNs w = window.first, until = window.second;
    std::string key = key_of(finding, row);
    auto& of_key = mine.by_key[key];
    if (finding.is_settled)
      std::erase_if(of_key, [&](Episode& e) { return w > times.goes_on(e) && end(mine, e, ended_at(e), sink); });
    const auto show = [&](Episode& e) {
      std::vector<std::optional<std::string>> literals;
      for (const size_t column : rule.alert_keys) literals.push_back(literal_of(finding, column, row));
      // A sequence began before the minute in which it ended.
      e.query = flows_query(rule, literals, {e.start - (rule.sequence ? rule.sequence->within : 0), e.end});
    };
    // The alert that this window belongs to: mostly there is one, and rarely more than two.
    // One that has it already goes before one that it would only follow.
    auto at = std::find_if(of_key.begin(), of_key.end(), [&](const Episode& e) { return times.covers(e, w, until); });
    if (at == of_key.end()) at = std::find_if(of_key.begin(), of_key.end(), [&](const Episode& e) { return times.belongs(e, w, until); });
    if (at == of_key.end()) {
      if (mine.open >= limits::kRuleEpisodesMax || mine.by_key.size() > limits::kAlertsMax) {
        ++mine.beyond_bound;
        if (of_key.empty()) mine.by_key.erase(key);
        continue;
      }
      Episode e;
      e.id = episode_id(rule.name, key, rule.session ? bin_start(w, rule.session->gap) : w);
      e.rule = rule.name;
      e.is_silent = rule.is_silent;
      e.key = key;
      ++mine.open;
      e.start = e.last = e.run_start = w;
      e.end = until;
      e.matches = 1;
      fill(e, finding, row);
      show(e);
      const bool waits = !times.holds(e);
      if (!waits) {
        e.state = EpisodeState::firing;
        e.fired_at = fired_at(e);
      }
      of_key.push_back(std::move(e));
      sink(of_key.back(), waits ? EpisodeChange::pending : EpisodeChange::started);
      continue;
    }
    Episode& e = *at;
    const Episode before = e;
    if (rule.session) {
      if (w > e.end) {  // another one
        if (w > e.end + rule.keep) e.run_start = w;
        ++e.matches;
        e.last = w;
      }
      e.end = std::max(e.end, until);
    } else if (w > e.last) {
      if (w > times.goes_on(e)) e.run_start = w;
      ++e.matches;
      e.last = w;
      e.end = until;
    }
    if (w < e.start) {
      if (!rule.session || until < e.start) ++e.matches;  // (else the session that began it has begun earlier)
      if (e.run_start == e.start) e.run_start = w;
      e.start = w;
    }
    // The values of the newest window, and of the whole of it once that is settled.
    if (until == e.end) fill(e, finding, row);
    if (e.start != before.start || e.end != before.end) show(e);
    if (e.state != EpisodeState::firing && times.holds(e) && (e.end > before.end || e.state == EpisodeState::pending || e.was_closed)) {
      const bool is_new = e.fired_at == 0;
      if (is_new)
        e.fired_at = fired_at(e);
      else
        e.peak = e.severity;
      mine.open += e.state == EpisodeState::ended;
      e.state = EpisodeState::firing;
      e.ended_at = 0;
      e.is_silent = rule.is_silent;
      e.was_closed = false;
      sink(e, is_new ? EpisodeChange::started : EpisodeChange::resumed);
    } else if (e != before) {
      sink(e, EpisodeChange::updated);
    }
  }
}

void EpisodeBook::go_on(const Rule& rule, TimestampNs window, const EpisodeSink& sink) {
  SLUICE_CHECK(!rule.session);
  const auto at = rules_.find(rule.name);
  if (at == rules_.end()) return;
  const Times times(rule);
  for (auto& [key, of_key] : at->second.by_key)
    for (Episode& e : of_key) {
      if (e.state == EpisodeState::ended || window <= e.last || window > times.goes_on(e)) continue;
      e.last = window;
      e.end = window + rule.window();
      sink(e, EpisodeChange::updated);
    }
}

void EpisodeBook::settle(const Rule& rule, TimestampNs settled_before, TimestampNs now, const EpisodeSink& sink) {
  const auto at = rules_.find(rule.name);
  if (at == rules_.end()) return;
  const Times times(rule);
  auto& mine = at->second.by_key;
  for (auto it = mine.begin(); it != mine.end();) {
    std::erase_if(it->second, [&](Episode& e) {
      if (times.goes_on(e) >= settled_before) return false;
      if (e.state == EpisodeState::pending && times.may_yet_go_on(e, settled_before)) return false;
      // While late flows may still bring its windows back, it has to be known.
      return end(at->second, e, clock_ == EpisodeClock::wall ? now : std::min(now, times.over_at(e)), sink) || times.known_until(e) < settled_before;
    });
    it = it->second.empty() ? mine.erase(it) : std::next(it);
  }
}

void EpisodeBook::close(const std::string& rule, TimestampNs now, const EpisodeSink& sink) {
  const auto at = rules_.find(rule);
  if (at == rules_.end()) return;
  for (auto& [key, of_key] : at->second.by_key)
    for (Episode& e : of_key) {
      if (e.state == EpisodeState::firing) e.was_closed = true;
      end(at->second, e, now, sink);
    }
  rules_.erase(at);
}

std::vector<std::string> EpisodeBook::rules() const {
  std::vector<std::string> names;
  for (const auto& [name, of] : rules_) names.push_back(name);
  return names;
}

size_t EpisodeBook::open(const std::string& rule) const {
  const auto at = rules_.find(rule);
  return at == rules_.end() ? 0 : at->second.open;
}

uint64_t EpisodeBook::beyond_bound(const std::string& rule) const {
  const auto at = rules_.find(rule);
  return at == rules_.end() ? 0 : at->second.beyond_bound;
}

}  // namespace sluice::query::continuous
