#include "query/continuous/replay.h"

#include <algorithm>

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

}  // namespace

Result<Replayed> replay(const RulePtr& rule, TimeRange range, const QueryRequest& request, const QueryContext& context) {
  Replayed out;
  const store::Snapshot& all = *context.snapshot;
  const TimeRange rows = of_rows(all);
  out.range = range.intersect({std::max(rows.from, kEarliest), std::min(rows.to, kLatest)});
  if (out.range.empty()) return out;

  WindowGroups groups(rule, range.from == kTimestampMin ? kEarliest : range.from, false);
  EpisodeBook book;
  std::map<std::string, Episode> alerts;
  const TimestampNs now = context.clock->now();
  const EpisodeSink on_change = [&](const Episode& e, EpisodeChange) {
    if (e.state != EpisodeState::pending) alerts[e.id] = e;
  };
  const FindingSink on_finding = [&](const Finding& f) { book.take(f, now, on_change); };
  const TimestampNs started = context.clock->now();
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
  // Windows that lie in the range whole, the last one included; what goes on behind it is not known to have ended.
  if (range.to == kTimestampMax) {
    RunState run(request, context);
    Worker worker(run);
    SLUICE_TRY(groups.advance(out.range.to + rule->window(), worker, on_finding));
  }
  out.windows = groups.stats();
  for (auto& [id, e] : alerts) out.alerts.push_back(std::move(e));
  std::sort(out.alerts.begin(), out.alerts.end(), [](const Episode& a, const Episode& b) { return std::tie(a.start, a.id) < std::tie(b.start, b.id); });
  return out;
}

}  // namespace sluice::query::continuous
