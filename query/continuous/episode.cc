#include "query/continuous/episode.h"

#include <algorithm>
#include <utility>

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

bool has_lapsed(const Episode& e) { return e.state == EpisodeState::pending && e.ended_at != 0; }

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
  // Whether what is at `start` would have gone on with it, had all been there in time: no more than what goes on with it lies between.
  bool precedes(const Episode& e, TimestampNs start) const {
    return start > e.last && start <= e.last + step_ + (e.fired_at == 0 ? rule_.keep : std::max(rule_.keep, rule_.suppress));
  }
  // (A session is found whole when a late flow adds to it, and answers wait for what is late.)
  bool may_return() const { return !rule_.session && !rule_.is_asked; }
  // Until when the next one begins that goes on with it.
  TimestampNs goes_on(const Episode& e) const { return (rule_.session ? e.end : e.last + step_) + rule_.keep; }
  // A session that has begun in time is told of when it is over, which may be long after. (What fired goes on with it then, too.)
  bool may_yet_go_on(const Episode& e, TimestampNs settled_before) const {
    return rule_.session && rule_.keep > 0 && goes_on(e) + 2 * limits::kSessionLengthMax >= settled_before;
  }
  // What the watermark has passed when a window, or session, that ends at `end` is settled; and when it is known that it has not gone on.
  TimestampNs settled_at(TimestampNs end) const { return end + (rule_.is_asked ? rule_.grace : 0); }
  TimestampNs over_at(const Episode& e) const { return settled_at(rule_.session ? goes_on(e) : slide_start(goes_on(e), step_) + rule_.window()); }
  // See EpisodeClock. (That one has lapsed is found again after a death, and nobody reads when: by event time it is the same.)
  TimestampNs ended_at(const Episode& e, EpisodeClock clock, TimestampNs now) const {
    if (e.state == EpisodeState::pending) return over_at(e);
    return clock == EpisodeClock::wall ? now : std::min(now, over_at(e));
  }
  // What is known to have matched, without a break, is as long as `for` says. (A session lasted until its last flow.)
  bool holds(const Episode& e) const { return (rule_.session ? e.end - rule_.session->gap : e.last + step_) - e.run_start >= rule_.hold; }
  // Until then what comes late, or began long ago, may still belong to it.
  TimestampNs known_until(const Episode& e) const {
    const DurationNs late = rule_.window() + rule_.grace + (e.state == EpisodeState::pending ? rule_.keep : std::max(rule_.keep, rule_.suppress));
    return rule_.session ? e.end + 2 * rule_.session->gap + late : e.last + step_ + late;
  }

 private:
  const Rule& rule_;
  const DurationNs step_;
};

// What the episode `number` has come to reach to on either side becomes part of it, unless people have been told of both. The one that they were told
// of stays, or the first, as if all had been there in time; `number` and `before` are those of the one that stays. Gives the others; `leaves` hears of each but
// the one that `number` was.
template <typename Leaves>
std::vector<Episode> joined(std::vector<Episode>& of_key, size_t& number, const Times& times, Episode& before, const Leaves& leaves) {
  std::vector<Episode> parts;
  for (size_t i = 0; i < of_key.size();) {
    const Episode &e = of_key[number], &other = of_key[i];
    const bool follows = i != number && times.precedes(e, other.start), leads = i != number && times.precedes(other, e.start);
    if ((!follows && !leads) || (e.fired_at != 0 && other.fired_at != 0)) {
      ++i;
      continue;
    }
    const Episode &first = follows ? e : other, &second = follows ? other : e;
    const Episode& stays = second.fired_at != 0 ? second : first;
    Episode whole = second;  // with the values of the newest window
    whole.id = stays.id;
    whole.state = stays.state;
    whole.fired_at = stays.fired_at;
    whole.ended_at = stays.state == EpisodeState::ended ? stays.ended_at : 0;
    whole.is_silent = stays.is_silent;
    whole.was_closed = stays.was_closed;
    whole.peak = std::max(stays.peak, second.peak);
    whole.start = first.start;
    whole.matches += first.matches;
    if (second.run_start == second.start && second.start <= times.goes_on(first)) whole.run_start = first.run_start;
    leaves(other);
    // (The other lies there as it was before this window.)
    parts.push_back(&stays == &other ? std::exchange(before, other) : other);
    of_key[number] = std::move(whole);
    of_key.erase(of_key.begin() + static_cast<ptrdiff_t>(i));
    number -= i < number;
    i = 0;  // it may reach further now
  }
  return parts;
}

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

void EpisodeBook::OfRule::count(const Episode& e, bool is_there) {
  if (e.state == EpisodeState::ended) return;
  (has_lapsed(e) ? lapsed : open) += is_there ? 1 : -1;
}

bool EpisodeBook::end(OfRule& of, Episode& e, TimestampNs at, bool may_return, const EpisodeSink& sink) {
  if (e.state == EpisodeState::ended || (may_return && has_lapsed(e))) return false;
  of.count(e, false);
  if (e.state == EpisodeState::pending && (!may_return || of.lapsed >= limits::kRuleEpisodesMax)) {
    sink(e, EpisodeChange::dropped);
    return true;
  }
  e.ended_at = at;
  if (e.state == EpisodeState::firing) {
    e.state = EpisodeState::ended;
    sink(e, EpisodeChange::ended);
    return false;
  }
  of.count(e, true);
  sink(e, EpisodeChange::updated);
  return false;
}

void EpisodeBook::restore(Episode episode) {
  OfRule& of = rules_[episode.rule];
  auto& mine = of.by_key;
  // In the order in which they began, as when they were made: a window belongs to the first that it fits.
  auto& of_key = mine[episode.key];
  if (std::any_of(of_key.begin(), of_key.end(), [&](const Episode& e) { return e.id == episode.id; })) return;
  of.count(episode, true);
  const auto at = std::upper_bound(of_key.begin(), of_key.end(), episode, [](const Episode& a, const Episode& b) { return a.start < b.start; });
  of_key.insert(at, std::move(episode));
}

void EpisodeBook::take(const Finding& finding, TimestampNs now, const EpisodeSink& sink) {
  const Rule& rule = finding.rule;
  OfRule& mine = rules_[rule.name];
  const Times times(rule);
  const auto fired_at = [&](const Episode& e) { return clock_ == EpisodeClock::wall ? now : std::min(now, times.settled_at(e.end)); };
  const auto ended_at = [&](const Episode& e) { return times.ended_at(e, clock_, now); };
  for (size_t row = 0; row < finding.rows.rows; ++row) {
    const auto window = times.window(finding, row);
    const TimestampNs w = window.first, until = window.second;
    std::string key = key_of(finding, row);
    auto& of_key = mine.by_key[key];
    if (finding.is_settled)
      std::erase_if(of_key, [&](Episode& e) { return w > times.goes_on(e) && end(mine, e, ended_at(e), times.may_return(), sink); });
    const auto show = [&](Episode& e) {
      std::vector<std::optional<std::string>> literals;
      for (const size_t column : rule.alert_keys) literals.push_back(literal_of(finding, column, row));
      // A sequence began before the minute in which it ended.
      e.query = flows_query(rule, literals, {e.start - (rule.sequence ? rule.sequence->within : 0), e.end});
    };
    const auto id_of = [&](const Episode& e) { return episode_id(rule.name, key, rule.session ? bin_start(e.start, rule.session->gap) : e.start); };
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
      e.rule = rule.name;
      e.is_silent = rule.is_silent;
      e.key = key;
      e.start = e.last = e.run_start = w;
      e.id = id_of(e);
      e.end = until;
      e.matches = 1;
      fill(e, finding, row);
      show(e);
      const bool waits = !times.holds(e);
      if (!waits) {
        e.state = EpisodeState::firing;
        e.fired_at = fired_at(e);
      }
      mine.count(e, true);
      of_key.push_back(std::move(e));
      sink(of_key.back(), waits ? EpisodeChange::pending : EpisodeChange::started);
      continue;
    }
    Episode before = *at;
    mine.count(*at, false);
    Episode& known = *at;
    // (If it still has not gone on, that is found once more.)
    if (has_lapsed(known)) known.ended_at = 0;
    if (rule.session) {
      if (w > known.end) {  // another one
        if (w > known.end + rule.keep) known.run_start = w;
        ++known.matches;
        known.last = w;
      }
      known.end = std::max(known.end, until);
    } else if (w > known.last) {
      if (w > times.goes_on(known)) known.run_start = w;
      ++known.matches;
      known.last = w;
      known.end = until;
    }
    if (w < known.start) {
      if (!rule.session || until < known.start) ++known.matches;  // (else the session that began it has begun earlier)
      if (known.run_start == known.start) known.run_start = w;
      known.start = w;
    }
    size_t number = static_cast<size_t>(at - of_key.begin());
    if (times.may_return())
      for (const Episode& part : joined(of_key, number, times, before, [&](const Episode& other) { mine.count(other, false); })) sink(part, EpisodeChange::dropped);
    Episode& e = of_key[number];
    // Nobody has been told of it: it may as well have the id that it would have had.
    if (e.fired_at == 0 && e.start < before.start) {
      e.id = id_of(e);
      if (e.id != before.id) sink(before, EpisodeChange::dropped);
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
      e.state = EpisodeState::firing;
      e.ended_at = 0;
      e.is_silent = rule.is_silent;
      e.was_closed = false;
      mine.count(e, true);
      sink(e, is_new ? EpisodeChange::started : EpisodeChange::resumed);
      continue;
    }
    mine.count(e, true);
    if (e != before) sink(e, EpisodeChange::updated);
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
      const bool is_known = times.known_until(e) >= settled_before;
      return end(at->second, e, times.ended_at(e, clock_, now), times.may_return() && is_known, sink) || !is_known;
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
      end(at->second, e, now, false, sink);
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
