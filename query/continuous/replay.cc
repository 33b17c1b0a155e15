#include "query/continuous/replay.h"

#include <algorithm>

#include "query/continuous/asked_rule.h"
#include "query/continuous/stream.h"

namespace sluice::query::continuous {
namespace {

// As wide as a partition of the store usually is.
constexpr DurationNs kStep = kHour;

TimeRange of_rows(const store::Snapshot& snapshot) {
  TimeRange range{kTimestampMax, kTimestampMin};
  for (const auto& s : snapshot.segments) {
    range.from = std::min(range.from, s->info().first);
    range.to = std::max(range.to, s->info().last + 1);
  }
  for (const auto& b : snapshot.open)
    if (const auto at = b->find(ColumnId::flow_end))
      for (const int64_t t : b->columns[*at].values<int64_t>()) {
        range.from = std::min(range.from, t);
        range.to = std::max(range.to, t + 1);
      }
  return range;
}

// Answers for every moment whose range lies in the one asked for; up to the first behind the last flow, where that has no end.
Status replay_answers(const Rule& rule, TimeRange asked, const QueryRequest& request, const QueryContext& context, Replayed& out, const FindingSink& on_finding,
                      const std::function<void(TimestampNs)>& settle) {
  const TimestampNs started = context.clock->now();
  const TimestampNs last = asked.to == kTimestampMax ? next_answer(rule, out.range.to) : std::min(asked.to, kLatest);
  // Before the first flow there is nothing to be said.
  const TimestampNs first = std::max(next_answer(rule, std::max(asked.from, kEarliest) + rule.window()), next_answer(rule, out.range.from + 1));
  for (TimestampNs at = first; at <= last; at += rule.slide()) {
    if (request.limits.timeout > 0 && context.clock->now() - started >= request.limits.timeout)
      return Error{ErrorCode::deadline, "the replay ran past its time limit: timeout = " + format_duration(request.limits.timeout)};
    SLUICE_TRY(ask_rule(rule, at, context, on_finding, out.stats));
    settle(at - rule.window() + rule.slide());
  }
  return {};
}

}  // namespace

Result<Replayed> replay(const RulePtr& rule, TimeRange range, const QueryRequest& request, const QueryContext& context) {
  Replayed out;
  const store::Snapshot& all = *context.snapshot;
  const TimeRange rows = of_rows(all);
  out.range = range.intersect({std::max(rows.from, kEarliest), std::min(rows.to, kLatest)});
  if (out.range.empty()) return out;

  EpisodeBook book;
  std::map<std::string, Episode> alerts;
  const TimestampNs now = context.clock->now();
  const EpisodeSink on_change = [&](const Episode& e, EpisodeChange) {
    if (e.state != EpisodeState::pending) alerts[e.id] = e;
  };
  const FindingSink on_finding = [&](const Finding& f) { book.take(f, now, on_change); };
  const auto finish = [&] {
    for (auto& [id, e] : alerts) out.alerts.push_back(std::move(e));
    std::sort(out.alerts.begin(), out.alerts.end(), [](const Episode& a, const Episode& b) { return std::tie(a.start, a.id) < std::tie(b.start, b.id); });
    return std::move(out);
  };
  if (rule->is_asked) {
    SLUICE_TRY(replay_answers(*rule, range, request, context, out, on_finding, [&](TimestampNs settled_before) { book.settle(*rule, settled_before, now, on_change); }));
    return finish();
  }
  WindowGroups groups(rule, range.from == kTimestampMin ? kEarliest : range.from, false);
  groups.set_known_since(rows.from);
  const TimestampNs started = context.clock->now();
  if (rule->first_seen) {
    // What the look-back of the first window has.
    RunState run(request, context);
    groups.set_learning(true);
    SLUICE_TRY(read_stored(groups, run, {groups.history_from(), groups.frontier()}, out.stats));
    groups.set_learning(false);
  }
  for (TimestampNs from = slide_start(out.range.from, kStep); from < out.range.to; from += kStep) {
    const TimeRange hour = out.range.intersect({from, from + kStep});
    store::Snapshot some;
    some.open = all.open;
    for (const auto& s : all.segments)
      if (hour.meets(s->info().first, s->info().last)) some.segments.push_back(s);
    // An hour without any flow changes nothing that the next one would not.
    if (some.segments.empty() && some.open.empty()) continue;
    QueryContext part = context;
    part.snapshot = &some;
    RunState run(request, part);
    // The limit is for all hours together.
    if (request.limits.timeout > 0 && context.clock->now() - started >= request.limits.timeout)
      return Error{ErrorCode::deadline, "the replay ran past its time limit: timeout = " + format_duration(request.limits.timeout)};
    Worker worker(run);
    SLUICE_TRY(read_stored(groups, run, hour, out.stats));
    SLUICE_TRY(groups.advance(hour.to, worker, on_finding));
    book.settle(*rule, groups.settled_before(), now, on_change);
  }
  // Windows that lie in the range whole, the last one included, also where no flow came at their end; what goes on behind it is not known to
  // have ended.
  RunState run(request, context);
  Worker worker(run);
  SLUICE_TRY(groups.advance(range.to == kTimestampMax ? out.range.to + rule->window() : std::min(range.to, kLatest), worker, on_finding));
  out.windows = groups.stats();
  return finish();
}

}  // namespace sluice::query::continuous
