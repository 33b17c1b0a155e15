#include "query/execution.h"
#include "query/limits.h"
#include "storage/model/limits.h"

#include <deque>

namespace sluice::query {

std::vector<std::unique_ptr<Worker>> Execution::new_workers() const {
  std::vector<std::unique_ptr<Worker>> made;
  for (size_t i = 0; i < width(); ++i) {
    made.push_back(std::make_unique<Worker>(run));
    made.back()->steps.resize(plan.operators.size());
  }
  return made;
}

Status Execution::prepare(size_t segment, Worker& worker) {
  SLUICE_TRY(run.check());
  return scan.prepare(segment, worker);
}

bool Execution::is_whole(size_t segment) const {
  const segment::SegmentInfo& info = run.context.snapshot->segments[segment]->info();
  const TimeRange& range = plan.scan.range;
  return range.from <= info.first && (info.last < range.to || range.to == kTimestampMax);
}

void Execution::ask(const std::string& text) {
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

std::vector<std::shared_ptr<const SegmentPart>> Execution::find_kept(const SegmentMemory::Question& asked) {
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

void Execution::count_kept(const SegmentPart& part, Worker& w) {
  ++kept_segments;
  kept_rows += part.rows_scanned;
  ++w.stats.segments;
  w.eval.unknown_sampling_rows += part.unknown_sampling_rows;
}

Status Execution::take_kept(const SegmentPart& part, Operator& into, Worker& w) {
  count_kept(part, w);
  SLUICE_TRY(run.check());
  return dynamic_cast<GroupsFirst&>(into).groups().join(part.groups, w);
}

Result<GroupPart> Execution::group_alone(Scan& from, std::span<const ScanUnit> units, const Operator& into, Worker& w) {
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

Status Execution::group_and_keep(std::span<const ScanUnit> units, Operator& into, Worker& w) {
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

Status Execution::run_partial() {
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

Status Execution::run_grouped() {
  SLUICE_ASSIGN(const bool done, try_lists());
  return done ? Status() : run_partial();
}

size_t Execution::worker_index(const Worker& w) const {
  for (size_t i = 0; i < workers.size(); ++i)
    if (workers[i].get() == &w) return i;
  return 0;
}

Status Execution::timed_scan(Scan& from, const ScanUnit& unit, Worker& w, const Emit& emit) {
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

Status Execution::run_ordered(std::optional<uint64_t> wanted) {
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

}  // namespace sluice::query
