#include "query/continuous/replay.h"

#include <algorithm>

#include "grammar/parse.h"
#include "query/continuous/asked_rule.h"
#include "query/continuous/stream.h"
#include "query/retained.h"
#include "query/words.h"
#include "storage/model/counted.h"

namespace sluice::query::continuous {
namespace {

// As wide as a partition of the store usually is.
constexpr DurationNs kStep = kHour;

// A piece of the store: a segment or a batch that is open, and from when to when its flows are.
struct Piece {
  TimestampNs first, last;
  std::shared_ptr<const segment::Segment> segment;
  std::shared_ptr<const Batch> open;
};

// What of the store lies in the range, by its first flow.
std::vector<Piece> pieces_of(const store::Snapshot& snapshot, TimeRange range) {
  std::vector<Piece> out;
  for (const auto& s : snapshot.segments)
    if (range.meets(s->info().first, s->info().last)) out.push_back({s->info().first, s->info().last, s, nullptr});
  for (const auto& b : snapshot.open)
    if (const auto at = b->find(ColumnId::flow_end)) {
      Piece piece{kTimestampMax, kTimestampMin, nullptr, b};
      for (const int64_t t : b->columns[*at].values<int64_t>()) {
        piece.first = std::min(piece.first, t);
        piece.last = std::max(piece.last, t);
      }
      if (piece.first <= piece.last && range.meets(piece.first, piece.last)) out.push_back(std::move(piece));
    }
  std::sort(out.begin(), out.end(), [](const Piece& a, const Piece& b) { return a.first < b.first; });
  return out;
}

TimeRange of_rows(const std::vector<Piece>& pieces) {
  TimeRange range{kTimestampMax, kTimestampMin};
  for (const Piece& p : pieces) {
    range.from = std::min(range.from, p.first);
    range.to = std::max(range.to, p.last == kTimestampMax ? p.last : p.last + 1);
  }
  return range;
}

// Hours that hold flows, one after the other, each with the part of the store that it needs.
class Hours {
 public:
  Hours(std::vector<Piece> pieces, TimeRange range) : pieces_(std::move(pieces)), range_(range), at_(slide_start(range.from, kStep)) {}

  // False: there are no more. `jumped`: hours without flows lie before this one.
  bool next(TimeRange& hour, store::Snapshot& some, bool& jumped) {
    jumped = false;
    for (;;) {
      done_ += std::erase_if(near_, [&](size_t i) { return pieces_[i].last < at_; });
      while (next_ < pieces_.size() && pieces_[next_].first < at_ + kStep) {
        if (pieces_[next_].last >= at_)
          near_.push_back(next_);
        else
          ++done_;
        ++next_;
      }
      if (!near_.empty()) break;
      if (next_ == pieces_.size()) return false;
      jumped = true;
      at_ = slide_start(pieces_[next_].first, kStep);
    }
    hour = range_.intersect({at_, at_ + kStep});
    if (hour.empty()) return false;
    some = {};
    for (const size_t i : near_)
      if (pieces_[i].segment)
        some.segments.push_back(pieces_[i].segment);
      else
        some.open.push_back(pieces_[i].open);
    at_ += kStep;
    return true;
  }
  double share() const { return pieces_.empty() ? 1.0 : static_cast<double>(done_) / static_cast<double>(pieces_.size()); }

 private:
  const std::vector<Piece> pieces_;
  const TimeRange range_;
  TimestampNs at_;
  size_t next_ = 0, done_ = 0;
  std::vector<size_t> near_;  // pieces that the hour meets
};

// The name of the table that the rule's query begins with, if its rows have no time.
std::optional<std::string> table_of_now(const Rule& rule, const QueryContext& context) {
  const auto parsed = grammar::parse(rule.query);
  const auto* statement = std::get_if<grammar::Statement>(&parsed);
  const auto* query = statement ? statement->as<grammar::Query>() : nullptr;
  if (!query || !context.system_tables) return std::nullopt;
  const std::string name = lower_case(query->source.name.text());
  const auto table = context.system_tables(name);
  if (!table || !table->ok()) return std::nullopt;
  for (const Field& f : *(*table)->schema)
    if (f.name == "ts") return std::nullopt;
  return name;
}

Error out_of_time(const QueryRequest& request) {
  return Error{ErrorCode::deadline, "the replay ran past its time limit: timeout = " + format_duration(request.limits.timeout) + "; name a shorter range, or a longer timeout"};
}

// How far behind the moment of an answer its query looks, sub-queries included; nullopt: as far as there is anything, or at something that is
// not of the store.
std::optional<DurationNs> reach_of(const Plan& plan, TimestampNs asked_at) {
  if (!plan.reads_flows || plan.scan.range.from <= kEarliest || plan.scan.overlap) return std::nullopt;
  DurationNs reach = std::max<DurationNs>(0, asked_at - plan.scan.range.from);
  for (const SubQuery& sub : plan.subqueries) {
    const auto inner = reach_of(*sub.plan, asked_at);
    if (!inner) return std::nullopt;
    reach = std::max(reach, *inner);
  }
  return reach;
}

// Moments of answers from `first` to `last`, with flows in reach or without.
struct Stretch {
  TimestampNs first, last;
  bool has_flows;
  int64_t count(DurationNs every) const { return (last - first) / every + 1; }
};

std::vector<Stretch> stretches_of(const Rule& rule, const std::vector<Piece>& pieces, TimestampNs first, TimestampNs last) {
  std::vector<Stretch> out;
  if (first > last) return out;
  // The plan is bound to an answer of some moment, which its range ends with.
  const auto reach = reach_of(rule.plan, rule.plan.scan.range.to);
  if (!reach) return {{first, last, true}};
  const auto add = [&](TimestampNs from, TimestampNs to, bool has_flows) {
    if (from > to) return;
    if (!out.empty() && out.back().has_flows == has_flows)
      out.back().last = to;
    else
      out.push_back({from, to, has_flows});
  };
  TimestampNs next = first;
  for (const Piece& p : pieces) {
    if (next > last) break;
    // A flow at f is in [t - reach, t) for f < t <= f + reach.
    const TimestampNs piece_first = std::clamp(p.first, kEarliest, kLatest), piece_last = std::clamp(p.last, kEarliest, kLatest);
    const TimestampNs from = std::max(next, next_answer(rule, piece_first + 1));
    const TimestampNs to = *reach >= kLatest - std::max<TimestampNs>(piece_last, 0) ? last : std::min(last, slide_start(piece_last + *reach, rule.slide()));
    if (from > to) continue;
    add(next, from - rule.slide(), false);
    add(from, to, true);
    next = to + rule.slide();
  }
  add(next, last, false);
  return out;
}

// Answers for every moment whose range lies in the one asked for; up to the first behind the last flow, where that has no end.
Status replay_answers(const Rule& rule, TimeRange asked, const std::vector<Piece>& pieces, const QueryRequest& request, const QueryContext& context, const ReplayProgress& progress,
                      Replayed& out, const FindingSink& on_finding, const std::function<void(TimestampNs)>& settle) {
  const TimestampNs started = context.clock->now();
  const TimestampNs last = asked.to == kTimestampMax ? next_answer(rule, out.range.to) : slide_start(std::min(asked.to, kLatest), rule.slide());
  // Before the first flow there is nothing to be said.
  const TimestampNs first = std::max(next_answer(rule, std::max(asked.from, kEarliest) + rule.window()), next_answer(rule, out.range.from + 1));
  const std::vector<Stretch> stretches = stretches_of(rule, pieces, first, last);
  int64_t planned = 0, done = 0;
  double share = 0;
  for (const Stretch& s : stretches) planned += s.has_flows ? s.count(rule.slide()) : 1;
  const auto too_many = [&] {
    return Error{ErrorCode::too_large, "the replay would take " + counted(static_cast<uint64_t>(planned), "answer") + ", more than the limit: " + std::to_string(limits::kReplayAnswersMax) +
                                           "; name a shorter range: replay rule " + rule.name + " over last 30d"};
  };
  if (planned > limits::kReplayAnswersMax) return too_many();
  for (const Stretch& s : stretches) {
    bool whole = s.has_flows, found = false;
    const FindingSink sink = [&](const Finding& f) {
      found = true;
      on_finding(f);
    };
    // What the stretch before left is over where this one begins.
    settle(s.first - rule.window());
    for (TimestampNs at = s.first; at <= s.last; at += rule.slide()) {
      if (request.limits.timeout > 0 && context.clock->now() - started >= request.limits.timeout) return out_of_time(request);
      if (has_learned(rule, at, *context.snapshot)) SLUICE_TRY(ask_rule(rule, at, context, sink, out.stats));
      settle(at - rule.window() + rule.slide());
      ++out.steps;
      share = std::max(share, static_cast<double>(++done) / static_cast<double>(planned));
      if (progress) progress(share);
      if (whole) continue;
      if (!found) break;
      whole = true;
      planned += s.count(rule.slide()) - 1;
      if (planned > limits::kReplayAnswersMax) return too_many();
    }
  }
  return {};
}

}  // namespace

Result<Replayed> replay(const RulePtr& rule, TimeRange range, const QueryRequest& request, const QueryContext& context, const ReplayProgress& progress) {
  Replayed out;
  if (rule->is_asked && !rule->plan.reads_flows)
    if (const auto table = table_of_now(*rule, context))
      return Error{ErrorCode::invalid_argument, "the rule '" + rule->name + "' asks '" + *table + "', a table that tells of now alone: there is no history to replay it over"};
  const TimeRange possible = range.intersect({kEarliest, kLatest});
  // Of a rule that is asked the flows before the range are in reach of its first answers.
  std::vector<Piece> pieces = pieces_of(*context.snapshot, rule->is_asked ? TimeRange{kEarliest, kLatest} : possible);
  const TimeRange rows = of_rows(pieces);
  out.range = range.intersect({std::max(rows.from, kEarliest), std::min(rows.to, kLatest)});
  if (out.range.empty()) return out;

  for (const std::string& table : rule->tables_of_now)
    out.warnings.push_back("the rule reads '" + table + "', a table that tells of now alone: the replay has it as it is today, and not as it was");
  EpisodeBook book(EpisodeClock::event);
  std::map<std::string, Episode> alerts;
  const TimestampNs now = context.clock->now();
  const EpisodeSink on_change = [&](const Episode& e, EpisodeChange) {
    if (e.state != EpisodeState::pending) alerts[e.id] = e;
  };
  const FindingSink on_finding = [&](const Finding& f) { book.take(f, now, on_change); };
  const auto finish = [&] {
    for (auto& [id, e] : alerts) out.alerts.push_back(std::move(e));
    std::sort(out.alerts.begin(), out.alerts.end(), [](const Episode& a, const Episode& b) { return std::tie(a.start, a.id) < std::tie(b.start, b.id); });
    out.stats.elapsed = context.clock->now() - now;
    return std::move(out);
  };
  if (rule->is_asked) {
    SLUICE_TRY(replay_answers(*rule, range, pieces, request, context, progress, out, on_finding, [&](TimestampNs settled_before) { book.settle(*rule, settled_before, now, on_change); }));
    return finish();
  }
  const auto state = make_state(rule, {range.from == kTimestampMin ? kEarliest : range.from, {}}, false);
  RuleState& groups = *state;
  if (const auto kept = retained(*context.snapshot)) groups.set_known_since(kept->first);
  const TimestampNs started = context.clock->now();
  if (rule->first_seen) {
    // What the look-back of the first window has.
    RunState run(request, context);
    groups.set_learning(true);
    SLUICE_TRY(read_stored(groups, run, {groups.history_from(), groups.frontier()}, out.stats));
    groups.set_learning(false);
  }
  Hours hours(std::move(pieces), out.range);
  TimeRange hour;
  store::Snapshot some;
  for (bool jumped = false; hours.next(hour, some, jumped); ++out.steps) {
    QueryContext part = context;
    part.snapshot = &some;
    RunState run(request, part);
    // The limit is for all hours together.
    if (request.limits.timeout > 0 && context.clock->now() - started >= request.limits.timeout) return out_of_time(request);
    Worker worker(run);
    if (jumped) {
      // What went on before the gap has ended in it, before anything begins behind it.
      SLUICE_TRY(groups.advance(hour.from, worker, on_finding));
      book.settle(*rule, groups.settled_before(), now, on_change);
    }
    SLUICE_TRY(read_stored(groups, run, hour, out.stats));
    SLUICE_TRY(groups.advance(hour.to, worker, on_finding));
    book.settle(*rule, groups.settled_before(), now, on_change);
    if (progress) progress(hours.share());
  }
  // Windows that lie in the range whole, the last one included, also where no flow came at their end; what may go on behind it, or behind the
  // last flow where the range has no end, is not known to have ended.
  RunState run(request, context);
  Worker worker(run);
  SLUICE_TRY(groups.advance(range.to == kTimestampMax ? out.range.to + rule->window() : std::min(range.to, kLatest), worker, on_finding));
  if (range.to != kTimestampMax) book.settle(*rule, groups.settled_before(), now, on_change);
  out.windows = groups.stats();
  if (progress) progress(1);
  return finish();
}

}  // namespace sluice::query::continuous
