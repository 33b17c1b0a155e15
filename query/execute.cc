#include "query/execute.h"
#include "query/heavy_groups.h"
#include "query/in_query.h"
#include "query/value_filter.h"
#include "query/limits.h"
#include "query/segment_memory.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>

namespace sluice::query {
namespace {

// The operators from one place on, run by one thread, with the answer at the end.
class Chain {
 public:
  Chain(Plan& plan, RunState& run, ResultSink* sink, bool timed, ExecuteReport& report)
      : plan_(plan), run_(run), sink_(sink), timed_(timed), report_(report) {}

  // Pushes through operators [from, end) of the plan; `last` takes what comes out of operator end - 1.
  Status feed(size_t from, size_t end, Chunk chunk, Worker& worker, const Emit& last) {
    if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
    if (chunk.rows == 0) return {};
    if (from == end) return last(std::move(chunk));
    Operator& op = *plan_.operators[from];
    return step(op, from, std::move(chunk), worker, [&](Chunk out) { return feed(from + 1, end, std::move(out), worker, last); });
  }

  Status step(Operator& op, size_t index, Chunk chunk, Worker& worker, const Emit& next) {
    StepCount& count = worker.steps[index];
    count.rows_in += chunk.rows;
    const TimestampNs start = timed_ ? run_.context.clock->now() : 0;
    DurationNs below = 0;
    const Status status = op.push(std::move(chunk), worker, [&](Chunk out) {
      count.rows_out += out.rows;
      const TimestampNs before = timed_ ? run_.context.clock->now() : 0;
      Status s = next(std::move(out));
      if (timed_) below += run_.context.clock->now() - before;
      return s;
    });
    if (timed_) count.time += run_.context.clock->now() - start - below;
    // An operator whose work was stopped half-way has made rows that mean nothing.
    if (status.ok() && !worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
    return status;
  }

  Status finish(size_t from, Worker& worker) {
    for (size_t i = from; i < plan_.operators.size(); ++i) {
      StepCount& count = worker.steps[i];
      const TimestampNs start = timed_ ? run_.context.clock->now() : 0;
      SLUICE_TRY(plan_.operators[i]->finish(worker, [&](Chunk out) {
        count.rows_out += out.rows;
        return feed(i + 1, plan_.operators.size(), std::move(out), worker, deliver_);
      }));
      if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
      if (timed_) count.time += run_.context.clock->now() - start;
      if (worker.eval.overflow && stop_on_overflow && !report_.began) return {};
    }
    return {};
  }

  Status begin() {
    if (report_.began || into_) return {};
    report_.began = true;
    auto schema = std::make_shared<Schema>();
    for (const OutputColumn& c : plan_.output)
      schema->push_back(Field{c.name, c.type.logical, c.type.physical, c.type.enumeration, std::string(c.type.unit), c.type.column});
    schema_ = schema;
    return sink_->begin(*schema);
  }

  Status deliver(Chunk chunk) {
    if (into_) return keep(chunk);
    if (has_enough()) return enough();
    if (report_.rows + chunk.rows > run_.limits.rows_max)
      return Error{ErrorCode::too_large, "the answer has more rows than the limit: rows_max = " + std::to_string(run_.limits.rows_max)};
    report_.rows += chunk.rows;
    if (plan_.may_overflow && stop_on_overflow) {  // sent by flush(), once all rows are known to be right
      held_.push_back(std::move(chunk));
      return {};
    }
    return send(std::move(chunk));
  }

  // Of a sub-query: the columns of its answer, into its table.
  Status keep(const Chunk& chunk) {
    report_.rows += chunk.rows;
    if (report_.rows > limits::kSubqueryRowsMax)
      return Error{ErrorCode::too_large, "a query inside the query has more rows than the limit: " + std::to_string(limits::kSubqueryRowsMax)};
    Chunk shown;
    shown.rows = chunk.rows;
    for (const OutputColumn& c : plan_.output) shown.slots.push_back(chunk.slots[c.slot]);
    SLUICE_TRY(into_->rows.append(shown, into_->claim));
    return into_->claim.set(into_->rows.byte_size());
  }

  // What was held back.
  Status flush() {
    for (Chunk& chunk : held_) {
      if (has_enough()) break;
      SLUICE_TRY(send(std::move(chunk)));
    }
    held_.clear();
    return {};
  }

  Status send(Chunk chunk) {
    SLUICE_TRY(begin());
    Batch batch;
    batch.schema = schema_;
    batch.rows = chunk.rows;
    MemoryClaim claim(&run_);
    size_t bytes = 0;
    for (const OutputColumn& c : plan_.output) bytes += chunk.slots[c.slot]->byte_size();
    SLUICE_TRY(claim.set(bytes));
    for (const OutputColumn& c : plan_.output) batch.columns.push_back(*chunk.slots[c.slot]);
    chunk.slots.clear();
    return sink_->batch(batch);
  }

  // Whether whoever asked has all rows that are wanted. What operators still hold ends with enough(), which is no failure.
  bool has_enough() const { return !into_ && report_.began && sink_->has_enough(); }
  static Status enough() { return Error{ErrorCode::cancelled, "no more rows are wanted"}; }

  // No operator from `from` on wants more rows, or nobody does.
  bool done(size_t from) const {
    if (has_enough()) return true;
    for (size_t i = from; i < plan_.operators.size(); ++i)
      if (plan_.operators[i]->done()) return true;
    return false;
  }

  const Emit& deliver_emit() const { return deliver_; }
  // The answer goes into a sub-query's table; there is no sink.
  void collect(SubTable* table) { into_ = table; }
  bool stop_on_overflow = false;

 private:
  Plan& plan_;
  RunState& run_;
  ResultSink* sink_;
  SubTable* into_ = nullptr;
  bool timed_;
  ExecuteReport& report_;
  std::shared_ptr<const Schema> schema_;
  std::vector<Chunk> held_;
  Emit deliver_ = [this](Chunk chunk) { return deliver(std::move(chunk)); };
};

void add_up(ExecuteReport& report, Worker& worker, std::vector<StepCount>& steps) {
  add_up(report.stats, worker.stats);
  report.unknown_sampling_rows += worker.eval.unknown_sampling_rows;
  report.overflow = report.overflow || worker.eval.overflow;
  report.beyond_time = report.beyond_time || worker.eval.beyond_time;
  report.beyond_count = report.beyond_count || worker.eval.beyond_count;
  report.warnings.insert(report.warnings.end(), worker.warnings.begin(), worker.warnings.end());
  for (size_t i = 0; i < steps.size(); ++i) {
    steps[i].rows_in += worker.steps[i].rows_in;
    steps[i].rows_out += worker.steps[i].rows_out;
    steps[i].time += worker.steps[i].time;
  }
}

struct Execution {
  Plan& plan;
  RunState& run;
  ExecuteReport& report;
  Chain chain;
  Scan scan;
  std::vector<std::unique_ptr<Worker>> workers;
  bool timed;
  size_t split = 0;  // operators before it are stateless
  size_t row_bytes = 0;  // of batches before operator `split`, by estimate
  std::atomic<DurationNs> scan_time{0};
  SegmentMemory::Question question{};  // with no text: nothing is kept
  std::atomic<uint64_t> kept_segments{0}, kept_rows{0};
  std::atomic<size_t> too_large{0};  // parts in a row that were
  size_t rows_max = SIZE_MAX;        // as of the scan
  std::string lists_note{};          // what lists of the heaviest groups did, for explain

  size_t width() const { return std::max<size_t>(1, run.context.executor->width()); }

  std::vector<std::unique_ptr<Worker>> new_workers() const {
    std::vector<std::unique_ptr<Worker>> made;
    for (size_t i = 0; i < width(); ++i) {
      made.push_back(std::make_unique<Worker>(run));
      made.back()->steps.resize(plan.operators.size());
    }
    return made;
  }

  // fn(worker, i) for each i, by as many workers as pay. The first failure stops the others.
  template <typename F>
  Status parallel(size_t count, F fn) {
    const size_t threads = std::min(width(), count);
    std::vector<Status> statuses(threads);
    std::atomic<size_t> next{0};
    run.context.executor->run(threads, [&](size_t t) {
      while (!run.stop.load(std::memory_order_relaxed)) {
        const size_t i = next.fetch_add(1, std::memory_order_relaxed);
        if (i >= count) return;
        Status s = fn(*workers[t], i);
        if (!s.ok()) {
          statuses[t] = std::move(s);
          run.stop.store(true, std::memory_order_relaxed);
        }
      }
    });
    for (Status& s : statuses)
      if (!s.ok()) return std::move(s);
    return {};
  }

  Status prepare(size_t segment, Worker& worker) {
    SLUICE_TRY(run.check());
    return scan.prepare(segment, worker);
  }

  // Of a segment all of whose rows are in the range the plan says nothing about time.
  bool is_whole(size_t segment) const {
    const segment::SegmentInfo& info = run.context.snapshot->segments[segment]->info();
    const TimeRange& range = plan.scan.range;
    return range.from <= info.first && (info.last < range.to || range.to == kTimestampMax);
  }

  // What is asked, if what a segment's rows come to depends on that and on the rows alone.
  void ask(const std::string& text) {
    auto* first = dynamic_cast<GroupsFirst*>(plan.operators[split].get());
    if (text.empty() || !run.context.segment_memory || !run.options.use_kept || !first || !first->groups().can_be_kept()) return;
    if (!plan.subqueries.empty() || plan.scan.overlap || plan.scan.range.empty()) return;
    // The text says it all; what was made of it says so once more, should something else than the text ever have a say.
    question.text = text;
    // Without bounds there is no condition on time, which rows without one would not meet.
    if (plan.scan.range == TimeRange{kTimestampMin, kTimestampMax}) question.text += "\nwhenever";
    for (const SlotSpec& s : plan.scan.slots) {
      question.text += '\n' + s.name + ' ' + std::to_string(static_cast<int>(s.type.logical)) + ' ' + std::to_string(static_cast<int>(s.type.physical));
      if (s.source)
        question.text += ' ' + std::to_string(static_cast<int>(s.source->kind)) + ' ' + std::to_string(static_cast<int>(s.source->id)) + ' ' +
                         std::to_string(static_cast<int>(s.source->derived)) + ' ' + s.source->key;
    }
    for (size_t i = 0; i <= split; ++i) question.text += '\n' + plan.operators[i]->describe();
    if (question.text.size() > limits::kSegmentQuestionBytesMax) return question.text.clear();
    question.sampling_rules = run.context.sampling_rules;
    question.names = run.context.names;
    question.geo = run.context.geo;
    question.lists = run.context.lists;
    question.tables = run.context.tables;
  }

  // By segment: what is kept of it.
  std::vector<std::shared_ptr<const SegmentPart>> find_kept(const SegmentMemory::Question& asked) {
    std::vector<std::shared_ptr<const SegmentPart>> kept(scan.segment_count());
    if (asked.text.empty()) return kept;
    std::vector<size_t> whole;
    std::vector<uint64_t> ids;
    for (size_t s = 0; s < kept.size(); ++s) {
      if (!is_whole(s)) continue;
      whole.push_back(s);
      ids.push_back(run.context.snapshot->segments[s]->info().id);
    }
    auto found = run.context.segment_memory->find(asked, ids);
    for (size_t i = 0; i < whole.size(); ++i) kept[whole[i]] = std::move(found[i]);
    return kept;
  }

  void count_kept(const SegmentPart& part, Worker& w) {
    ++kept_segments;
    kept_rows += part.rows_scanned;
    ++w.stats.segments;
    w.eval.unknown_sampling_rows += part.unknown_sampling_rows;
  }

  Status take_kept(const SegmentPart& part, Operator& into, Worker& w) {
    count_kept(part, w);
    SLUICE_TRY(run.check());
    return dynamic_cast<GroupsFirst&>(into).groups().join(part.groups, w);
  }

  // Groups some rows by themselves. When the query was stopped meanwhile, rows are missing.
  Result<GroupPart> group_alone(Scan& from, std::span<const ScanUnit> units, const Operator& into, Worker& w) {
    const OperatorPtr alone = into.fork(run);
    for (const ScanUnit& unit : units) {
      SLUICE_TRY(timed_scan(from, unit, w, [&](Chunk chunk) {
        return chain.feed(0, split, std::move(chunk), w, [&](Chunk out) {
          return chain.step(*alone, split, std::move(out), w, [](Chunk) { return Status(); });
        });
      }));
    }
    return dynamic_cast<GroupsFirst&>(*alone).groups().take_part(w);
  }

  // Groups the rows of one segment by themselves, joins that, and keeps it.
  Status group_and_keep(std::span<const ScanUnit> units, Operator& into, Worker& w) {
    const ScanStats before = w.stats;
    const uint64_t unknown_before = w.eval.unknown_sampling_rows;
    const size_t warnings_before = w.warnings.size();
    SLUICE_ASSIGN(GroupPart groups, group_alone(scan, units, into, w));
    if (run.stop.load(std::memory_order_relaxed)) return {};  // rows may be missing, and nobody will see the answer
    auto part = std::make_shared<SegmentPart>(SegmentPart{std::move(groups)});
    SLUICE_TRY(dynamic_cast<GroupsFirst&>(into).groups().join(part->groups, w));
    part->bytes = part->groups.byte_size();
    if (part->bytes > limits::kSegmentPartBytesMax) {
      ++too_large;
      return {};
    }
    too_large = 0;
    const EvalContext& e = w.eval;
    const size_t segment = units.front().segment;
    // What raised a flag or a warning must raise it again the next time.
    if (e.overflow || e.beyond_time || e.beyond_count || w.warnings.size() != warnings_before || !scan.is_sound(segment)) return {};
    part->rows_scanned = w.stats.rows_scanned - before.rows_scanned;
    part->rows_matched = w.stats.rows_matched - before.rows_matched;
    part->unknown_sampling_rows = e.unknown_sampling_rows - unknown_before;
    run.context.segment_memory->keep(question, run.context.snapshot->segments[segment]->info().id, std::move(part));
    return {};
  }

  // Everything is aggregated or sorted: all segments at once, partial results per worker.
  Status run_partial() {
    const std::vector<std::shared_ptr<const SegmentPart>> kept = find_kept(question);
    const Status prepared = parallel(scan.segment_count(), [&](Worker& w, size_t i) { return kept[i] ? Status() : prepare(i, w); });
    if (!prepared.ok()) return prepared;
    // A worker goes through a segment by itself, so that each value of its dictionaries is looked up by one of them. Once all
    // segments are begun, workers help each other.
    struct Lot {
      Lot(size_t first, size_t last, const SegmentPart* part, bool is_whole) : from(first), end(last), kept(part), whole(is_whole), next(first) {}
      size_t from, end;
      const SegmentPart* kept;
      bool whole;  // a segment of which something may be kept
      std::atomic<size_t> next;
    };
    std::vector<ScanUnit> units;
    std::deque<Lot> lots;
    for (size_t s = 0; s < scan.segment_count(); ++s) {
      const size_t from = units.size();
      if (!kept[s]) scan.add_units(s, units);
      if (kept[s] || units.size() > from) lots.emplace_back(from, units.size(), kept[s].get(), !question.text.empty() && is_whole(s));
    }
    const size_t open = units.size();
    scan.add_open_units(units);
    if (units.size() > open) lots.emplace_back(open, units.size(), nullptr, false);
    Operator& whole = *plan.operators[split];
    std::vector<OperatorPtr> forks(std::min(width(), std::max<size_t>({units.size(), lots.size(), 1})));
    for (size_t i = 1; i < forks.size(); ++i) forks[i] = whole.fork(run);
    // Where there are fewer segments than workers, they share them instead.
    const bool keeps = lots.size() >= forks.size();
    std::atomic<size_t> next_lot{0};
    const auto work = [&](Worker& w, size_t) -> Status {
      const size_t t = worker_index(w);
      Operator& mine = t == 0 ? whole : *forks[t];
      const auto empty = [&](Lot& lot) -> Status {
        for (size_t i; !run.stop.load(std::memory_order_relaxed) && (i = lot.next.fetch_add(1, std::memory_order_relaxed)) < lot.end;) {
          SLUICE_TRY(timed_scan(scan, units[i], w, [&](Chunk chunk) {
            return chain.feed(0, split, std::move(chunk), w, [&](Chunk out) {
              return chain.step(mine, split, std::move(out), w, [](Chunk) { return Status(); });
            });
          }));
        }
        return {};
      };
      for (size_t l; !run.stop.load(std::memory_order_relaxed) && (l = next_lot.fetch_add(1, std::memory_order_relaxed)) < lots.size();) {
        Lot& lot = lots[l];
        if (lot.kept) {
          SLUICE_TRY(take_kept(*lot.kept, mine, w));
          continue;
        }
        if (lot.whole && keeps && too_large.load(std::memory_order_relaxed) < limits::kSegmentPartsTooLargeMax) {
          // Unless another worker has come to help before it was begun, all of it is this one's.
          size_t unbegun = lot.from;
          if (lot.next.compare_exchange_strong(unbegun, lot.end)) {
            SLUICE_TRY(group_and_keep(std::span(units).subspan(lot.from, lot.end - lot.from), mine, w));
            continue;
          }
        }
        SLUICE_TRY(empty(lot));
      }
      for (Lot& lot : lots) SLUICE_TRY(empty(lot));
      return {};
    };
    SLUICE_TRY(parallel(forks.size(), work));
    for (size_t i = 1; i < forks.size(); ++i) SLUICE_TRY(whole.join(std::move(forks[i]), *workers[0]));
    return {};
  }

  Status run_grouped() {
    SLUICE_ASSIGN(const bool done, try_lists());
    return done ? Status() : run_partial();
  }

  // Whether lists of each segment's heaviest groups (heavy_groups.h) said which groups the answer is made of. If not, nothing has happened.
  Result<bool> try_lists() {
    auto* first = dynamic_cast<GroupsFirst*>(plan.operators[split].get());
    if (!run.options.use_lists || !first || plan.scan.range.empty()) return false;
    const auto wanted = first->wants_heaviest();
    if (!wanted || *wanted == 0 || *wanted > limits::kHeavyWantedMax || !can_be_listed(first->groups().spec(), plan.scan)) return false;
    const Result<bool> done = run_lists(*wanted, first->groups());
    if (done.ok() && done.value()) return true;
    // Lists of many segments can take more memory than the groups that they have in common.
    if (!done.ok() && done.error().code != ErrorCode::too_large) return done;
    run.stop.store(false, std::memory_order_relaxed);
    workers = new_workers();
    scan.begin_again();
    kept_segments = kept_rows = 0;
    return false;
  }

  Result<bool> run_lists(uint64_t wanted, Grouping& groups) {
    const Operator& whole = *plan.operators[split];
    const GroupSpec& spec = groups.spec();
    const bool natural = run.options.list_groups == 0;
    const size_t first_length = natural ? limits::kHeavyListGroups : run.options.list_groups;
    const size_t deep_length = natural ? limits::kHeavyListGroupsDeep : 4 * run.options.list_groups;
    SegmentMemory::Question listed = question;
    if (!listed.text.empty()) listed.text += "\nheaviest groups";
    const size_t segments = scan.segment_count();
    std::vector<std::shared_ptr<const SegmentPart>> lists = find_kept(listed);  // by segment; then of open rows
    const std::vector<std::shared_ptr<const SegmentPart>> remembered = lists;
    SLUICE_TRY(parallel(segments, [&](Worker& w, size_t s) { return lists[s] ? Status() : prepare(s, w); }));
    std::vector<std::vector<ScanUnit>> units(segments);
    std::vector<size_t> unread;
    size_t known = 0;
    for (size_t s = 0; s < segments; ++s) {
      if (lists[s]) {
        ++known;
        continue;
      }
      scan.add_units(s, units[s]);
      if (!units[s].empty()) unread.push_back(s);
    }
    if (natural && known + unread.size() < limits::kHeavySegmentsMin) return false;

    // Rows are counted when they are read first. What is read again is counted in bytes alone.
    const auto helpers = new_workers();
    std::vector<std::unique_ptr<MemoryClaim>> claims;
    for (size_t i = 0; i < width(); ++i) claims.push_back(std::make_unique<MemoryClaim>(&run));
    std::vector<uint8_t> can_keep(segments);
    std::atomic<bool> unsound{false};
    std::atomic<uint64_t> groups_seen{0};
    const auto hold = [&](const Worker& w, size_t bytes) {
      MemoryClaim& claim = *claims[worker_index(w)];
      return claim.set(claim.bytes() + bytes);
    };
    const auto list = [&](size_t s, Worker& w, Worker& counts, size_t most, uint64_t least) -> Status {
      const ScanStats before = counts.stats;
      const uint64_t unknown_before = counts.eval.unknown_sampling_rows;
      const size_t warnings_before = counts.warnings.size();
      SLUICE_ASSIGN(GroupPart all, group_alone(scan, units[s], whole, counts));
      if (run.stop.load(std::memory_order_relaxed)) return {};
      groups_seen += all.groups;
      SLUICE_ASSIGN(SegmentPart part, list_heaviest(spec, std::move(all), most, least, counts));
      part.rows_scanned = counts.stats.rows_scanned - before.rows_scanned;
      part.rows_matched = counts.stats.rows_matched - before.rows_matched;
      part.unknown_sampling_rows = counts.eval.unknown_sampling_rows - unknown_before;
      const EvalContext& e = counts.eval;
      if (!scan.is_sound(s)) unsound = true;
      can_keep[s] = !listed.text.empty() && is_whole(s) && !e.overflow && !e.beyond_time && !e.beyond_count && counts.warnings.size() == warnings_before;
      SLUICE_TRY(hold(w, part.bytes));
      lists[s] = std::make_shared<SegmentPart>(std::move(part));
      return {};
    };
    const auto keep_lists = [&] {
      for (size_t s = 0; s < segments; ++s)
        if (lists[s] && lists[s] != remembered[s] && can_keep[s])
          run.context.segment_memory->keep(listed, run.context.snapshot->segments[s]->info().id, lists[s]);
    };

    // Of rows that are in no segment all groups are held.
    std::vector<ScanUnit> open;
    scan.add_open_units(open);
    const size_t slices = std::min(width(), open.size());
    lists.resize(segments + slices);
    const auto hold_open = [&](Worker& w, size_t i) -> Status {
      const size_t from = open.size() * i / slices, to = open.size() * (i + 1) / slices;
      SLUICE_ASSIGN(GroupPart all, group_alone(scan, std::span(open).subspan(from, to - from), whole, w));
      SLUICE_ASSIGN(SegmentPart part, list_all(spec, std::move(all), w));
      SLUICE_TRY(hold(w, part.bytes));
      lists[segments + i] = std::make_shared<SegmentPart>(std::move(part));
      return {};
    };
    SLUICE_TRY(parallel(slices, hold_open));

    Worker& mine = *workers[0];
    std::optional<HeavyGroups> heavy;
    heavy.emplace(spec, wanted, lists.size(), run);
    for (size_t l = 0; l < lists.size(); ++l) {
      if (!lists[l]) continue;
      if (l < segments) {
        count_kept(*lists[l], mine);
        can_keep[l] = true;
      }
      SLUICE_TRY(heavy->add(l, *lists[l], mine));
    }
    // A few segments of all sizes first, then an eighth of them: where lists will not tell, little was done in vain.
    std::stable_sort(unread.begin(), unread.end(), [&](size_t a, size_t b) {
      return run.context.snapshot->segments[a]->info().rows > run.context.snapshot->segments[b]->info().rows;
    });
    constexpr size_t kWaves = 3, kFew = 8;
    std::array<std::vector<size_t>, kWaves> waves;
    const size_t stride = std::max<size_t>(1, unread.size() / kFew);
    for (size_t i = 0; i < unread.size(); ++i) waves[i % stride == stride / 2 ? 0 : i % kFew == 0 ? 1 : 2].push_back(unread[i]);
    for (size_t n = 0; n < kWaves; ++n) {
      const std::vector<size_t>& wave = waves[n];
      SLUICE_TRY(parallel(wave.size(), [&](Worker& w, size_t i) { return list(wave[i], w, w, first_length, 1); }));
      if (unsound) return false;
      if (natural && n == 0 && known < unread.size() && groups_seen < wave.size() * limits::kHeavyGroupsMin) return false;
      for (const size_t s : wave) SLUICE_TRY(heavy->add(s, *lists[s], mine));
      if (n + 1 == kWaves || waves[n + 1].empty()) continue;
      const HeavyGroups::Verdict so_far = heavy->judge(mine);
      if (so_far == HeavyGroups::Verdict::found || !heavy->is_flat()) continue;
      lists_note = "the heaviest groups of some segments are too many: all groups were made";
      return false;
    }
    HeavyGroups::Verdict verdict = heavy->judge(mine);
    size_t deeper = 0;
    if (verdict == HeavyGroups::Verdict::deeper) {
      std::vector<size_t> shallow;
      bool pays = true;
      for (size_t s = 0; s < segments; ++s) {
        if (!lists[s] || lists[s]->is_complete || lists[s]->left_out < heavy->least()) continue;
        pays = pays && lists[s]->groups.groups < deep_length;
        shallow.push_back(s);
      }
      if (pays) {
        const uint64_t least = heavy->least();
        const auto list_more = [&](Worker& w, size_t i) -> Status {
          Worker& helper = *helpers[worker_index(w)];
          const size_t s = shallow[i];
          if (units[s].empty()) {  // it was remembered
            SLUICE_TRY(prepare(s, helper));
            scan.add_units(s, units[s]);
          }
          return list(s, w, helper, deep_length, least);
        };
        SLUICE_TRY(parallel(shallow.size(), list_more));
        if (unsound) return false;
        deeper = shallow.size();
        heavy.emplace(spec, wanted, lists.size(), run);
        for (size_t l = 0; l < lists.size(); ++l)
          if (lists[l]) SLUICE_TRY(heavy->add(l, *lists[l], mine));
        verdict = heavy->judge(mine);
      }
    }
    if (verdict != HeavyGroups::Verdict::found) {
      keep_lists();
      lists_note = "lists of the heaviest groups of segments did not tell which are the heaviest of all: all groups were made";
      return false;
    }

    heavy->select();
    std::vector<size_t> again;
    std::vector<std::vector<uint32_t>> missing(segments);
    for (size_t s = 0; s < segments; ++s) {
      if (!lists[s] || lists[s]->is_complete) continue;
      missing[s] = heavy->missing(s);
      if (!missing[s].empty()) again.push_back(s);
    }
    std::vector<std::vector<std::unique_ptr<Aggregate>>> sums(width());
    for (auto& s : sums) s = heavy->make_sums();
    if (!again.empty()) {
      const ScanPlan narrowed = heavy->narrow(plan.scan);
      Scan closer(narrowed, *run.context.snapshot, run);
      closer.set_rows_max(rows_max);
      const auto look_up = [&](Worker& w, size_t i) -> Status {
        const size_t s = again[i];
        Worker& helper = *helpers[worker_index(w)];
        SLUICE_TRY(run.check());
        SLUICE_TRY(closer.prepare(s, helper));
        std::vector<ScanUnit> blocks;
        closer.add_units(s, blocks);
        SLUICE_ASSIGN(GroupPart found, group_alone(closer, blocks, whole, helper));
        if (run.stop.load(std::memory_order_relaxed)) return {};
        if (!closer.is_sound(s)) unsound = true;
        closer.release(s);
        SLUICE_ASSIGN(SegmentPart more, heavy->look_up(*lists[s], missing[s], std::move(found), helper, sums[worker_index(w)]));
        if (can_keep[s]) lists[s] = std::make_shared<SegmentPart>(std::move(more));
        return {};
      };
      SLUICE_TRY(parallel(again.size(), look_up));
      if (unsound) return false;
    }
    keep_lists();
    SLUICE_ASSIGN(const GroupPart top, heavy->take(sums, mine));
    SLUICE_TRY(groups.join(top, mine));
    for (const auto& h : helpers) mine.stats.bytes_read += h->stats.bytes_read;
    lists_note = "by lists of the heaviest groups of " + counted(known + unread.size(), "segment") + ", " + counted(heavy->candidates(), "candidate") + " for " +
                 std::to_string(wanted) + (deeper > 0 ? ", " + counted(deeper, "list") + " made longer" : "") + ", " + counted(again.size(), "segment") +
                 " looked at again";
    return true;
  }

  size_t worker_index(const Worker& w) const {
    for (size_t i = 0; i < workers.size(); ++i)
      if (workers[i].get() == &w) return i;
    return 0;
  }

  Status timed_scan(Scan& from, const ScanUnit& unit, Worker& w, const Emit& emit) {
    w.enough = false;
    if (!timed) return from.scan(unit, w, emit);
    const TimestampNs start = run.context.clock->now();
    DurationNs below = 0;
    const Status s = from.scan(unit, w, [&](Chunk chunk) {
      const TimestampNs before = run.context.clock->now();
      Status out = emit(std::move(chunk));
      below += run.context.clock->now() - before;
      return out;
    });
    scan_time += run.context.clock->now() - start - below;
    return s;
  }

  // Rows go through in order: a few units at a time, so that `limit` reads little and memory stays bounded.
  Status run_ordered(std::optional<uint64_t> wanted) {
    size_t segment = 0;
    bool open_added = false;
    std::vector<ScanUnit> units;
    size_t at = 0, wave = 1, unit_bytes = row_bytes * limits::kBlockRows;
    while (!chain.done(split)) {
      if (at == units.size()) {
        units.clear();
        at = 0;
        if (segment < scan.segment_count()) {
          const size_t from = segment, to = std::min(scan.segment_count(), segment + std::max(width(), wave));
          const Status prepared = parallel(to - from, [&](Worker& w, size_t i) { return prepare(from + i, w); });
          if (!prepared.ok()) return prepared;
          for (; segment < to; ++segment) scan.add_units(segment, units);
          if (units.empty()) {
            wave = std::min<size_t>(wave * 2, 256);
            continue;
          }
        } else if (!open_added) {
          open_added = true;
          scan.add_open_units(units);
          if (units.empty()) break;
        } else {
          break;
        }
      }
      // What several units yield waits for its turn, so there must be room for it.
      const size_t room = run.limits.memory_bytes / 4 / std::max<size_t>(unit_bytes, 1);
      const size_t count = std::min({wave, width() * 4, units.size() - at, std::max<size_t>(room, 1)});
      if (count == 1) {
        Worker& w = *workers[0];
        size_t bytes = 0;
        const Emit deliver = [&](Chunk out) {
          bytes += out.byte_size();
          Status status = chain.feed(split, plan.operators.size(), std::move(out), w, chain.deliver_emit());
          w.enough = chain.done(split);
          return status;
        };
        SLUICE_TRY(timed_scan(scan, units[at], w, [&](Chunk chunk) { return chain.feed(0, split, std::move(chunk), w, deliver); }));
        unit_bytes = std::max(unit_bytes, bytes);
      } else {
        std::vector<std::vector<Chunk>> results(count);
        std::vector<size_t> bytes(count);
        SLUICE_TRY(parallel(count, [&](Worker& w, size_t i) {
          uint64_t rows = 0;
          return timed_scan(scan, units[at + i], w, [&](Chunk chunk) {
            return chain.feed(0, split, std::move(chunk), w, [&](Chunk out) -> Status {
              rows += out.rows;
              if (wanted && rows >= *wanted) w.enough = true;
              bytes[i] += out.byte_size();
              results[i].push_back(std::move(out));
              return {};
            });
          });
        }));
        unit_bytes = std::max(unit_bytes, *std::max_element(bytes.begin(), bytes.end()));
        for (auto& chunks : results)
          for (Chunk& chunk : chunks) {
            if (chain.done(split)) break;
            SLUICE_TRY(chain.feed(split, plan.operators.size(), std::move(chunk), *workers[0], chain.deliver_emit()));
          }
      }
      at += count;
      wave = std::min<size_t>(wave * 2, 256);
    }
    return {};
  }
};

Status execute_into(Plan& plan, RunState& run, ResultSink* sink, SubTable* table, bool timed, bool stop_on_overflow, const std::string& question,
                    ExecuteReport& report);
Status execute_rows(Plan& plan, const Batch& rows, RunState& run, ResultSink* sink, SubTable* into, bool timed, bool stop_on_overflow, ExecuteReport& report);

// The few keys of a join as a filter of the scan.
void narrow_scan(ScanPlan& scan, const SubQuery& sub) {
  const RowBuffer& rows = sub.table->rows;
  if (rows.rows() > limits::kJoinKeysPushedMax) return;
  for (const SubQuery::Narrow& n : sub.narrows)
    if (auto filter = make_value_filter(scan, n.slot, rows.slot(n.column), "keys of a join")) scan.conjuncts.push_back(std::move(*filter));
}

// Answers the sub-queries, and tells the operators. What a sub-query read, warned of and lost counts as the query's own.
Status prepare_plan(Plan& plan, RunState& run, bool timed, bool stop_on_overflow, ExecuteReport& report) {
  Worker worker(run);
  for (SubQuery& sub : plan.subqueries) {
    ExecuteReport inner;
    const Status status = execute_into(*sub.plan, run, nullptr, sub.table.get(), timed, stop_on_overflow, {}, inner);
    add_up(report.stats, inner.stats);
    report.unknown_sampling_rows += inner.unknown_sampling_rows;
    report.overflow = report.overflow || inner.overflow;
    report.beyond_time = report.beyond_time || inner.beyond_time;
    report.beyond_count = report.beyond_count || inner.beyond_count;
    for (auto& w : inner.warnings)
      if (std::find(report.warnings.begin(), report.warnings.end(), w) == report.warnings.end()) report.warnings.push_back(std::move(w));
    for (StepReport& step : inner.steps) report.steps.push_back({sub.what + ": " + step.name, step.count, std::move(step.detail)});
    report.lost.insert(report.lost.end(), inner.lost.begin(), inner.lost.end());
    SLUICE_TRY(status);
    if (report.overflow && stop_on_overflow) return {};
    for (const auto& members : sub.members) SLUICE_TRY(members->build(worker));
    narrow_scan(plan.scan, sub);
  }
  for (const auto& w : plan.warnings)
    if (std::find(report.warnings.begin(), report.warnings.end(), w) == report.warnings.end()) report.warnings.push_back(w);
  for (auto& op : plan.operators) {
    SLUICE_TRY(op->begin(worker));
    SLUICE_TRY(worker.eval.meter.stopped);
  }
  for (auto& w : worker.warnings) report.warnings.push_back(std::move(w));
  return {};
}

// The columns of a sub-query's answer are there, also when no row is.
Status show_columns(const Plan& plan, SubTable& table) {
  Chunk none;
  for (const OutputColumn& c : plan.output) none.slots.push_back(std::make_shared<Column>(c.type.physical));
  return table.rows.append(none, table.claim);
}

Status execute_into(Plan& plan, RunState& run, ResultSink* sink, SubTable* table, bool timed, bool stop_on_overflow, const std::string& question,
                    ExecuteReport& report) {
  if (plan.table) return execute_rows(plan, *plan.table, run, sink, table, timed, stop_on_overflow, report);
  SLUICE_TRY(prepare_plan(plan, run, timed, stop_on_overflow, report));
  if (report.overflow && stop_on_overflow) return {};
  const ScanStats before = report.stats;
  Execution e{plan, run, report, Chain(plan, run, sink, timed, report), Scan(plan.scan, *run.context.snapshot, run), {}, timed};
  e.chain.stop_on_overflow = stop_on_overflow;
  if (table) e.chain.collect(table);
  e.workers = e.new_workers();
  while (e.split < plan.operators.size() && plan.operators[e.split]->stateless()) ++e.split;
  const bool partial = e.split < plan.operators.size() && plan.operators[e.split]->fork(run) != nullptr;

  // Columns that are made row by row, and those that are read for them, up to where rows are kept or grouped.
  for (size_t s = 0; s < plan.scan.slots.size(); ++s)
    if (plan.scan.output[s] && plan.scan.slots[s].source) e.row_bytes += width_of(plan.scan.slots[s].type.physical);
  for (size_t i = 0; i < e.split; ++i) e.row_bytes += plan.operators[i]->row_bytes();
  e.rows_max = run.batch_rows(e.row_bytes, limits::kBlockRows);
  e.scan.set_rows_max(e.rows_max);

  Status status;
  if (partial) {
    e.ask(question);
    status = e.run_grouped();
  } else {
    // `limit` right behind: a unit need not yield more than that.
    std::optional<uint64_t> wanted;
    if (e.split < plan.operators.size()) wanted = plan.operators[e.split]->rows_wanted();
    if (wanted && *wanted < limits::kBlockRows)
      e.scan.set_piece(std::max<uint64_t>(segment::kGranuleRows, (*wanted + segment::kGranuleRows - 1) / segment::kGranuleRows * segment::kGranuleRows));
    status = e.run_ordered(wanted);
  }
  bool overflow = false;
  for (const auto& w : e.workers) overflow = overflow || w->eval.overflow;
  const bool again = overflow && stop_on_overflow && !report.began;
  const auto check_files = [&]() -> Status {
    const auto& lost = e.scan.lost();
    if (lost.empty()) return {};
    report.lost.insert(report.lost.end(), lost.begin(), lost.end());
    const store::DamagedSegment& first = lost.front();
    return Error{ErrorCode::corrupt, "segment " + std::to_string(first.info.id) + " was damaged while this query read it, so its answer may be wrong; asked "
                                     "again it leaves those rows out: " + first.reason};
  };
  // Here most queries have said nothing yet, and can be run again without the file.
  if (status.ok() && !report.began) status = check_files();
  if (status.ok() && !again && !e.chain.has_enough()) status = e.chain.finish(e.split, *e.workers[0]);
  if (e.chain.has_enough()) status = {};

  std::vector<StepCount> steps(plan.operators.size());
  for (const auto& w : e.workers) add_up(report, *w, steps);
  report.stats.elapsed = run.context.clock->now() - run.started;
  report.stats.memory_bytes = run.memory_peak();
  report.kept_segments = e.kept_segments;
  report.kept_rows = e.kept_rows;
  if (!status.ok()) return status;
  if (report.overflow && stop_on_overflow && !report.began) return {};
  SLUICE_TRY(e.chain.flush());
  SLUICE_TRY(e.chain.begin());
  if (table) SLUICE_TRY(show_columns(plan, *table));
  SLUICE_TRY(check_files());  // addresses are looked up when rows are sent

  if (timed) {
    PruneCounts prunes;
    for (size_t s = 0; s < e.scan.segment_count(); ++s) {
      const PruneCounts p = e.scan.prunes(s);
      prunes.segments_by_time += p.segments_by_time;
      prunes.segments_by_values += p.segments_by_values;
      prunes.blocks_by_zone += p.blocks_by_zone;
      prunes.blocks_by_posting += p.blocks_by_posting;
    }
    ScanStats s = report.stats;  // without what the sub-queries read
    s.rows_scanned -= before.rows_scanned;
    s.rows_matched -= before.rows_matched;
    s.bytes_read -= before.bytes_read;
    s.segments -= before.segments;
    s.segments_pruned -= before.segments_pruned;
    s.blocks -= before.blocks;
    s.blocks_pruned -= before.blocks_pruned;
    s.granules_pruned -= before.granules_pruned;
    s.open_rows -= before.open_rows;
    StepReport scan{"scan flows", {s.rows_scanned, s.rows_matched, e.scan_time.load()}, {}};
    scan.detail = counted(s.segments, "segment") + " (" + std::to_string(prunes.segments_by_time) + " pruned by time, " +
                  std::to_string(prunes.segments_by_values) + " by dictionary or posting), " + counted(s.blocks, "block") + " (" +
                  std::to_string(s.blocks_pruned) + " pruned; " + std::to_string(prunes.blocks_by_zone) + " by zone, " +
                  std::to_string(prunes.blocks_by_posting) + " by posting), " + counted(s.granules_pruned, "more granule") +
                  " pruned by posting, " + counted(s.open_rows, "open row") + ", " + counted(s.bytes_read, "byte") + " read";
    if (e.kept_segments > 0)
      scan.detail += "; " + counted(e.kept_segments, "segment") + " of " + counted(e.kept_rows, "row") + " answered from memory";
    if (!e.lists_note.empty()) scan.detail += "; " + e.lists_note;
    report.steps.push_back(std::move(scan));
    for (size_t i = 0; i < plan.operators.size(); ++i) report.steps.push_back({plan.operators[i]->describe(), steps[i], {}});
  }
  return {};
}

// As execute_into(), over rows that are there already.
Status execute_rows(Plan& plan, const Batch& rows, RunState& run, ResultSink* sink, SubTable* into, bool timed, bool stop_on_overflow, ExecuteReport& report) {
  SLUICE_TRY(prepare_plan(plan, run, timed, stop_on_overflow, report));
  if (report.overflow && stop_on_overflow) return {};
  Chain chain(plan, run, sink, timed, report);
  chain.stop_on_overflow = stop_on_overflow;
  if (into) chain.collect(into);
  Worker worker(run);
  worker.steps.resize(plan.operators.size());
  Chunk chunk;
  chunk.rows = rows.rows;
  for (const Column& c : rows.columns) chunk.slots.push_back(keep(c, worker.eval));
  Status status = chain.feed(0, plan.operators.size(), std::move(chunk), worker, chain.deliver_emit());
  const bool goes_on = !chain.has_enough() && (!worker.eval.overflow || !stop_on_overflow || report.began);
  if (status.ok() && goes_on) status = chain.finish(0, worker);
  if (!chain.has_enough()) SLUICE_TRY(status);
  std::vector<StepCount> steps(plan.operators.size());
  add_up(report, worker, steps);
  if (report.overflow && stop_on_overflow && !report.began) return {};
  SLUICE_TRY(chain.flush());
  SLUICE_TRY(chain.begin());
  if (into) SLUICE_TRY(show_columns(plan, *into));
  if (timed) {
    report.steps.push_back({"read the server's table", {rows.rows, rows.rows, 0}, {}});
    for (size_t i = 0; i < plan.operators.size(); ++i) report.steps.push_back({plan.operators[i]->describe(), steps[i], {}});
  }
  return {};
}

}  // namespace

Status execute(Plan& plan, RunState& run, ResultSink& sink, bool timed, bool stop_on_overflow, const std::string& question, ExecuteReport& report) {
  return execute_into(plan, run, &sink, nullptr, timed, stop_on_overflow, question, report);
}

Status execute_table(Plan& plan, const Batch& table, RunState& run, ResultSink& sink, bool stop_on_overflow, ExecuteReport& report) {
  return execute_rows(plan, table, run, &sink, nullptr, false, stop_on_overflow, report);
}

}  // namespace sluice::query
