// A rule, compiled: the text of `create rule`, checked and bound, ready to run over flows that keep coming.
//
// Whatever its text looks like, a rule is one shape here:
//
//   filter of stored columns    shared between rules: each distinct test is evaluated once for a batch (shared_filter.h)
//   stateless stages            where, extend, select, drop, rename: what reads a row at a time
//   stats … window              groups and aggregates by window of flow_end (window_groups.h), or by session (session_groups.h)
//   stateless stages            where over aggregates, extend, select …: run over the groups of one window
//   alert keys, message         columns of what comes out
//
// In place of stats there may be a `sequence`: its steps are waited for, by key (sequence_state.h), and it is done in the minute in which it ends.
//
// A rule without either looks at single flows. It becomes the same shape: it counts its matches by alert key in windows of
// limits::kRuleRecordWindow, so that it has one row for each key and minute, which alerts with the first flow.
//
// What needs the whole table (beacons, baseline, sequence, absent, join …) is asked again and again instead: with `every 1h over 1d` the
// rule's query is answered over [t - 1d, t) for every whole hour t of event time (asked_rule.h). Its windows are those ranges, and
// rules of both kinds are one for everything behind them: findings, episodes, replay.
//
// Refused, with the place in the text: a time range (a rule never ends); on a stream, stages that need the whole table (sort, limit, top,
// tail, sample), those whose state would grow for ever (distinct, a second stats), stats without a window, now(), lists and
// columns that are not known, keys and names in the message that the query does not yield.
//
// Thread rule: immutable, any thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "grammar/syntax.h"
#include "query/continuous/limits.h"
#include "query/engine.h"
#include "query/group.h"
#include "query/plan.h"
#include "query/sequence.h"

namespace sluice::query::continuous {

enum class Severity : uint8_t { info, low, medium, high, critical };
std::string_view to_string(Severity severity);
std::optional<Severity> severity_of(std::string_view word);
// The column that severity_when makes, and that a query may make itself.
inline constexpr std::string_view kSeverityColumn = "alert_severity";

// A message: text, then the value of a column of the plan's output, and so on.
struct MessagePart {
  std::string text;
  std::optional<size_t> column;
};

// `label ("src_ip in @suspects for 7d")`: while it alerts, what the column has is in the list, and for that long after.
struct Label {
  std::string column;  // of the rule's rows, as its output writes it
  std::string list;
  DurationNs lifetime = 0;
};

struct Rule {
  std::string name;
  std::string text;  // the statement in its canonical form
  Severity severity = Severity::medium;
  std::vector<std::string> techniques, tags;                    // ATT&CK ids; free words
  std::string description, false_positives;
  std::vector<std::string> needs;                               // columns or sources without which it says nothing
  std::vector<std::pair<std::string, std::string>> parameters;  // names and values of $name
  std::vector<std::string> fires, quiet;                        // examples: see example.h
  std::vector<Label> labels;
  bool is_silent = false;      // `mode silent`: its alerts are kept and shown, and sent to nobody
  std::optional<size_t> severity_column;  // in plan.output: a word that says the severity of a row; null or another word: `severity`

  DurationNs hold = 0;         // `for`: the condition holds that long before it alerts
  DurationNs keep = 0;         // `keep_firing_for`: it may pause that long within one alert
  DurationNs suppress = 0;     // a key that alerted makes no new alert for that long after its last match
  DurationNs grace = 0;        // flows that come later than a window's end by less than that still count

  bool is_per_record = false;
  bool is_asked = false;       // `every … over …`: plan.window says so; `groups` is null
  // More flows can only add to what a window yields: a row that matched goes on to match, so it may alert before the window ends.
  bool is_rising = false;

  // `first_seen KEY, … lookback D`: only keys that were in none of the windows of the look-back; numbers of the grouping's keys.
  struct FirstSeen {
    std::vector<size_t> keys;
    DurationNs lookback = 0;
  };
  std::optional<FirstSeen> first_seen;

  // `window session gap D`: slots of a row, in which its session begins and ends (a gap behind its last flow).
  struct Session {
    DurationNs gap = 0;
    size_t start = 0, end = 0;
  };
  std::optional<Session> session;

  // `sequence by KEY within D [A] then [B]` on a stream; else null.
  std::shared_ptr<const SequenceSpec> sequence;

  DurationNs learn = 0;        // windows that begin earlier than this behind the first flow that is known alert nobody

  // Of what `except` says: flows that meet the filter but not all of these are left out, and counted. (Of a rule that is asked they are in
  // its query.)
  std::vector<PredicatePtr> exceptions;

  Plan plan;                               // its window is set
  std::shared_ptr<const GroupSpec> groups;  // null of a sequence
  std::vector<size_t> alert_keys;          // in plan.output; none: the rule is one alert
  std::vector<MessagePart> message;        // empty: made of the values
  std::vector<std::string> lists;          // that it reads, in lower case, in order
  std::string query;                       // FlowQL, with what options add; without first_seen of a rule on a stream
  std::string excepted_query;              // of a rule that is asked: FlowQL that counts what its exceptions leave out; empty: nothing does, or its rows have no time
  std::vector<std::string> tables_of_now;  // of a rule that is asked: what queries inside it read that has no history, in order

  // For the query that shows an alert's flows: what stands before the grouping, and each alert key as an expression over flows
  // (nullopt where it is not one).
  std::vector<grammar::Stage> flow_stages;
  std::vector<std::optional<grammar::ExprPtr>> key_expressions;

  // Of sessions: how long one can be at most, and the gap.
  DurationNs window() const { return plan.window->length; }
  DurationNs slide() const { return plan.window->slide; }
};
using RulePtr = std::shared_ptr<const Rule>;

struct CompileOptions {
  const ListBook* lists = nullptr;  // as they are now; a rule is compiled again when one that it reads changes
  bool any_list = false;            // a list that is not there is taken to be empty: for texts that are only looked at
  // Columns of tables that the server knows (`from alerts`), for rules that are asked. May be empty
  std::function<std::optional<Schema>(std::string_view name)> tables;
};

// `text` is what the statement's spans point into.
std::variant<RulePtr, QueryError> compile_rule(const grammar::CreateRule& statement, std::string_view text, const CompileOptions& options = {});

// FlowQL for the flows behind an alert of that key. `keys`: values as texts of literals, in the order of alert_keys; nullopt: null.
std::string flows_query(const Rule& rule, const std::vector<std::optional<std::string>>& keys, TimeRange range);

}  // namespace sluice::query::continuous
