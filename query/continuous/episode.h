// Episodes: what people see of findings. One alert of a rule and a key starts, goes on and ends.
//
//   pending --held for `for`--> firing --no match for keep_firing_for--> ended --a match within suppress--> firing again
//
// A finding is a matching row in a window that begins at w; the alert's key are its values in the columns of `alert by`. Windows one
// slide apart are consecutive. An episode goes on while the next match begins at most a slide, and keep_firing_for, after the last;
// a match later than that, but within `suppress` of the last, belongs to the same alert; beyond, it begins a new one.
//
// An id is made of the rule's name, the key and the window that began it: replay, restart and what is delivered twice have the
// same one. A finding that an episode covers already changes nothing but its values. If a flow that came late turns out to have
// begun an episode earlier, its start moves; its id stays once people have been told of it.
//
// What did not last as long as `for` has lapsed. It is known on while flows that come late may find the window that was missing: then what is on
// either side of it is one episode, and fires if that lasted long enough, as it would have, had the flows come in time. Two that have both been told of
// stay two.
//
// Of a rule over sessions a finding is a session that matches, however far it has come: it belongs to the alert whose time it overlaps, or
// follows within keep_firing_for or suppress. Starts of two sessions of a key are more than a gap apart, so the id is made of the start
// rounded down to a gap, which a flow that comes somewhat late mostly leaves as it is. Where two sessions that both alert turn out to be one,
// the earlier alert goes on.
//
// A row's column alert_severity, where there is one, says the alert's severity; it is that of the newest window.
//
// Thread rule: one thread at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "query/continuous/rule_state.h"

namespace sluice::query::continuous {

enum class EpisodeState : uint8_t { pending, firing, ended };
std::string_view to_string(EpisodeState state);

struct Episode {
  std::string id;
  std::string rule;
  Severity severity = Severity::medium;
  Severity peak = Severity::info;  // the highest that it has been since it began, or fired again
  EpisodeState state = EpisodeState::pending;
  std::string key;         // "src_ip=10.0.0.5 dst_port=22"; empty: the rule is one alert
  TimestampNs start = 0;   // of the first window
  TimestampNs last = 0;    // start of the last window that matched
  TimestampNs end = 0;     // end of that window
  TimestampNs fired_at = 0, ended_at = 0;  // see EpisodeClock; 0: not yet. Of a pending one ended_at says that it has lapsed
  uint64_t matches = 0;    // windows in which it matched
  std::string message;
  std::string values;      // of the row, see text_list.h (extra)
  std::string techniques, tags;  // lists, see text_list.h
  std::string query;       // FlowQL that shows the flows
  bool is_silent = false;  // as its rule was when it fired last, in silent mode: kept and shown, sent to nobody
  bool was_closed = false; // it ended because its rule was disabled or dropped: a match is news, also in a window that it has already
  // Of the machine: where the run of consecutive windows began that `for` measures.
  TimestampNs run_start = 0;

  bool operator==(const Episode&) const = default;
};

// `started`: a new alert. `resumed`: one that had ended fires again, within `suppress`. `updated`: its values or its end changed.
enum class EpisodeChange : uint8_t { pending, started, resumed, updated, ended, dropped };
std::string_view to_string(EpisodeChange change);
using EpisodeSink = std::function<void(const Episode&, EpisodeChange)>;

// What fired_at and ended_at are. wall: `now`, as it is given. event: what the watermark had to pass until it was decided: the end of the window
// that made it fire, and of the first window that could not go on with it (of a session its own end); of a rule that is asked, the moment of the
// answer. Never later than `now`: what is open yet is decided now.
enum class EpisodeClock : uint8_t { wall, event };

class EpisodeBook {
 public:
  explicit EpisodeBook(EpisodeClock clock = EpisodeClock::wall) : clock_(clock) {}

  // As kept from an earlier life, or from before its rule was disabled; so that they go on, and no id comes twice. One that is there stays.
  void restore(Episode episode);

  // Of a settled window all that begin before it have been looked at, too: what could not go on until then has ended before it is taken.
  void take(const Finding& finding, TimestampNs now, const EpisodeSink& sink);
  // Nobody knows what the window would have said (of a rule that is asked: the answer failed). What could go on with it does.
  void go_on(const Rule& rule, TimestampNs window, const EpisodeSink& sink);
  // All windows of the rule that begin before `settled_before` have been looked at.
  void settle(const Rule& rule, TimestampNs settled_before, TimestampNs now, const EpisodeSink& sink);
  // The rule is gone or disabled: its alerts end, and are forgotten here.
  void close(const std::string& rule, TimestampNs now, const EpisodeSink& sink);

  std::vector<std::string> rules() const;                 // of which it knows alerts
  size_t open(const std::string& rule) const;             // pending and firing, without those that have lapsed
  uint64_t beyond_bound(const std::string& rule) const;   // matches without an alert: limits::kRuleEpisodesMax

 private:
  struct OfRule {
    std::map<std::string, std::vector<Episode>> by_key;
    size_t open = 0, lapsed = 0;  // of these, pending and firing; and pending that have lapsed
    uint64_t beyond_bound = 0;

    void count(const Episode& e, bool is_there);
  };
  // It does not go on. Whether it never was an alert, and is nothing any more; `may_return`: unless a late window brings it back.
  static bool end(OfRule& of, Episode& e, TimestampNs at, bool may_return, const EpisodeSink& sink);
  EpisodeClock clock_;
  std::map<std::string, OfRule> rules_;
};

std::string episode_id(std::string_view rule, std::string_view key, TimestampNs start);

}  // namespace sluice::query::continuous
