#include "query/continuous/stream.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "query/continuous/checkpoint.h"
#include "query/limits.h"
#include "storage/model/limits.h"

namespace sluice::query::continuous {
namespace {

QueryRequest endless() {
  QueryRequest request;
  request.limits.timeout = 0;
  request.limits.memory_bytes = SIZE_MAX;  // bounded by rule: limits::kRuleBytesMax
  return request;
}

// Rows from which on threads are worth waking.
constexpr size_t kLargeBatch = 2'048;

// What all rules together hold, against their bound.
Room room_beside(uint64_t bytes) { return bytes < limits::kRulesBytesScarce ? Room::plenty : bytes < limits::kRulesBytesMax ? Room::scarce : Room::none; }

TimestampNs horizon_of(TimestampNs now) { return now >= kLatest ? kLatest : now + limits::kClockSkewMax; }

}  // namespace

RuleRun::RuleRun(std::shared_ptr<const SamplingRules> sampling_rules, std::shared_ptr<const NameBook> names, size_t threads)
    : request_(endless()),
      context_([&] {
        QueryContext context;
        context.clock = &clock_;
        context.sampling_rules = std::move(sampling_rules);
        context.names = std::move(names);
        return context;
      }()),
      run_(request_, context_),
      loader_(run_) {
  for (size_t i = 0; i < std::max<size_t>(1, threads); ++i) workers_.push_back(std::make_unique<Worker>(run_));
}

void Stream::add(std::unique_ptr<RuleState> state) {
  remove(state->rule()->name);
  const RulePtr rule = state->rule();
  rules_.emplace(rule->name, Entry{std::move(state), filter_.add({rule, &rule->plan}), {}});
}

void Stream::remove(const std::string& name) {
  const auto at = rules_.find(name);
  if (at == rules_.end()) return;
  filter_.remove(at->second.use);
  rules_.erase(at);
}

const RuleState* Stream::find(const std::string& name) const {
  const auto at = rules_.find(name);
  return at == rules_.end() ? nullptr : at->second.state.get();
}

uint64_t Stream::state_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, entry] : rules_) bytes += entry.state->stats().bytes;
  return bytes;
}

const std::string& Stream::trouble(const std::string& name) const {
  static const std::string kNone;
  const auto at = rules_.find(name);
  return at == rules_.end() ? kNone : at->second.trouble;
}

std::vector<const RuleState*> Stream::all() const {
  std::vector<const RuleState*> out;
  for (const auto& [name, entry] : rules_) out.push_back(entry.state.get());
  return out;
}

void Stream::note(Entry& entry, const Status& status, Worker& worker) {
  if (status.ok()) return;
  entry.trouble = status.error().message;
  worker.eval.meter.stopped = {};
}

void Stream::each_rule(bool is_large, const FindingSink& sink, const RuleWork& work) {
  const size_t threads = is_large && executor_ ? std::min(run_->threads(), rules_.size()) : 1;
  if (threads < 2) {
    for (auto& [name, entry] : rules_) work(entry, run_->worker(), sink);
    return;
  }
  std::vector<Entry*> entries;
  for (auto& [name, entry] : rules_) entries.push_back(&entry);
  std::mutex mutex;
  const FindingSink one_at_a_time = [&](const Finding& finding) {
    const std::lock_guard lock(mutex);
    sink(finding);
  };
  std::atomic<size_t> next{0};
  executor_->run(threads, [&](size_t thread) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < entries.size();) work(*entries[i], run_->worker(thread), one_at_a_time);
  });
}

void Stream::push(std::shared_ptr<const Batch> flows, TimestampNs now, const FindingSink& sink) {
  watermarks_.see(*flows, now);
  watermark_ = watermark_at(now);
  const bool is_large = flows->rows >= kLargeBatch;
  filter_.begin(std::move(flows), run_->sampling_rules(), run_->loader());
  const Room room = room_beside(state_bytes());
  const TimestampNs horizon = horizon_of(now);
  each_rule(is_large, sink, [&](Entry& entry, Worker& worker, const FindingSink& tell) {
    worker.eval.overflow = false;
    auto rows = filter_.select(entry.use, worker);
    if (!rows.ok())
      note(entry, rows.error(), worker);
    else if (rows->rows > 0)
      note(entry, entry.state->take(std::move(*rows), worker, horizon, room, tell), worker);
    note(entry, entry.state->advance(watermark_, worker, tell), worker);
  });
  filter_.end();
  run_->loader().eval.meter.stopped = {};
}

void Stream::tick(TimestampNs now, const FindingSink& sink) {
  watermark_ = watermark_at(now);
  each_rule(false, sink, [&](Entry& entry, Worker& worker, const FindingSink& tell) { note(entry, entry.state->advance(watermark_, worker, tell), worker); });
}

Resume Stream::beginning(const Rule& rule, TimestampNs watermark) {
  Resume from;
  if (watermark <= kEarliest) return from;
  if (rule.sequence) {
    from.frontier = watermark - rule.sequence->within;
    from.checkpoint = to_text({watermark, {}, {}});
  } else if (rule.session) {
    const DurationNs gap = rule.session->gap;
    from.frontier = watermark - std::min(limits::kSessionLengthMax, std::max(limits::kRuleSessionReadMin, limits::kRuleSessionGapsRead * gap));
    from.checkpoint = to_text({watermark - gap, {}, {}});
  } else {
    from.frontier = slide_start(watermark - rule.window(), rule.slide()) + rule.slide();
  }
  return from;
}

Status read_stored(RuleState& state, RunState& run, TimeRange range, ScanStats& stats, uint64_t room) {
  // The rule's scan, narrowed to the range, so that it is pruned like any query's.
  const Plan& plan = state.rule()->plan;
  ScanPlan scan = plan.scan;
  scan.range = range;
  IntRanges times;
  times.is_signed = true;
  times.ranges.push_back({static_cast<uint64_t>(range.from), static_cast<uint64_t>(range.to == kTimestampMax ? range.to : range.to - 1)});
  auto test = std::make_shared<Predicate>(*make_test(make_slot(plan.window->time_slot, Type::of(ColumnId::flow_end)), std::move(times)));
  test->leaf = scan.leaves++;
  scan.conjuncts.push_back({std::move(test), {plan.window->time_slot}, "ts in the time range"});
  if (range.empty()) return {};

  Scan reader(scan, *run.context.snapshot, run);
  const size_t width = std::max<size_t>(1, run.context.executor->width());
  std::vector<std::unique_ptr<Worker>> workers;
  for (size_t i = 0; i < width; ++i) workers.push_back(std::make_unique<Worker>(run));
  const auto prepare = [&](Worker& w, size_t i) -> Status {
    SLUICE_TRY(run.check());
    return reader.prepare(i, w);
  };
  SLUICE_TRY(for_each_of(reader.segment_count(), run, workers, prepare));
  std::vector<ScanUnit> units;
  for (size_t s = 0; s < reader.segment_count(); ++s) reader.add_units(s, units);
  reader.add_open_units(units);
  // Reading and filtering go on at once; into the groups it is one at a time.
  std::mutex mutex;
  const FindingSink nobody = [](const Finding&) {};
  const uint64_t others = limits::kRulesBytesMax - std::min<uint64_t>(room, limits::kRulesBytesMax);
  SLUICE_TRY(for_each_of(units.size(), run, workers, [&](Worker& w, size_t i) {
    return reader.scan(units[i], w, [&](Chunk chunk) {
      const std::lock_guard lock(mutex);
      return state.take(std::move(chunk), w, kTimestampMin, room_beside(others + state.stats().bytes), nobody);
    });
  }));
  for (const auto& w : workers) add_up(stats, w->stats);
  stats.memory_bytes = std::max<uint64_t>(stats.memory_bytes, run.memory_peak() + state.stats().bytes);
  return {};
}

Status read_again(RuleState& state, RunState& run, ScanStats& stats, uint64_t room) {
  const TimestampNs from = state.history_from();
  state.set_learning(true);
  Status status;
  if (!state.reads_in_order()) {
    status = read_stored(state, run, {from, kTimestampMax}, stats, room);
  } else {
    TimeRange rows = range_of(*run.context.snapshot).intersect({from, kLatest});
    for (TimestampNs at = rows.from; status.ok() && at < rows.to; at += kHour) {
      status = read_stored(state, run, {at, at + kHour >= rows.to ? kTimestampMax : at + kHour}, stats, room);
      state.read_before(at + kHour);
    }
  }
  state.set_learning(false);
  return status;
}

Status look_again(RuleState& state, TimestampNs watermark, TimestampNs now, Worker& worker, const FindingSink& sink) {
  SLUICE_TRY(state.advance(watermark, worker, sink));
  return state.look_at_open(horizon_of(now), worker, sink);
}

TimeRange range_of(const store::Snapshot& snapshot) {
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

}  // namespace sluice::query::continuous
