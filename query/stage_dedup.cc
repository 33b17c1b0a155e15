// dedup: one row where several reporters saw the same flow.
//
// Rows whose key (the 5-tuple, unless `by` says otherwise; null equals null) is the same are looked at together. A reporter is
// the combination of source, exporter, observation domain, interface of the side that reports, side and direction; rows that
// were marked as duplicates when they came in count as a reporter of their own. Within a key, reporters are ranked:
//   1. rows not marked as duplicates, before those that are;
//   2. the lower sampling rate (the highest among its rows of this key), an unknown rate last;
//   3. more packets, then more bytes, as reported, over its rows of this key;
//   4. by the reporter's parts, so that the answer repeats.
// From the best on, a reporter's row is left out when its time overlaps, within a tolerance, that of a row already kept from a
// better reporter; else it is kept. Rows of one reporter are never held against each other: they are one long flow in several
// records. So nothing that only a worse reporter saw is lost, and nothing that a better one saw is counted twice.
#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "query/group.h"
#include "query/limits.h"
#include "query/stage.h"
#include "query/words.h"
#include "storage/model/text_list.h"

namespace sluice::query {
namespace {

namespace g = grammar;

constexpr DurationNs kTolerance = kSecond;

// The columns that make a reporter, in the order in which they are named and ranked.
constexpr std::string_view kReporterColumns[] = {"source",   "exporter_ip",      "observation_domain", "src_interface_id",
                                                 "dst_interface_id", "reporter", "direction",          "duplicate"};
enum ReporterPart { kSource, kExporter, kDomain, kSrcInterface, kDstInterface, kSide, kWay, kDuplicate, kParts };

struct DedupSpec {
  std::vector<StageColumn> keys;
  size_t start = SIZE_MAX, end = SIZE_MAX;  // SIZE_MAX: not there
  size_t rate = SIZE_MAX, packets = SIZE_MAX, bytes = SIZE_MAX;
  std::vector<std::optional<StageColumn>> reporter;  // by ReporterPart
  DurationNs tolerance = kTolerance;
  size_t out = 0;  // the slot of `reporters`
  std::string text;
};

class Dedup final : public Operator {
 public:
  Dedup(std::shared_ptr<const DedupSpec> spec, RunState* run) : spec_(std::move(spec)), claim_(run) {}

  Status push(Chunk chunk, Worker&, const Emit&) override {
    SLUICE_TRY(rows_.append(chunk, claim_));
    return claim_.set(rows_.byte_size());
  }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Dedup>(spec_, &run); }
  Status join(std::unique_ptr<Operator> other, Worker&) override {
    auto& o = static_cast<Dedup&>(*other);
    rows_.take(std::move(o.rows_));
    other.reset();
    return claim_.set(rows_.byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& k : spec_->keys) slots.push_back(k.slot);
    for (const auto& r : spec_->reporter)
      if (r) slots.push_back(r->slot);
    for (size_t s : {spec_->start, spec_->end, spec_->rate, spec_->packets, spec_->bytes})
      if (s != SIZE_MAX) slots.push_back(s);
  }
  std::string describe() const override { return spec_->text; }

  Status finish(Worker& worker, const Emit& emit) override {
    const size_t count = rows_.rows();
    if (count == 0) return {};
    SLUICE_TRY(claim_.set(rows_.byte_size() + count * 48));
    std::vector<uint32_t> keys, reporters;
    std::vector<StageColumn> parts;
    for (const auto& r : spec_->reporter)
      if (r) parts.push_back(*r);
    number(spec_->keys, keys);
    const std::vector<std::string> names = number_reporters(parts, reporters);

    // Rows by key, then reporter.
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      if (keys[a] != keys[b]) return keys[a] < keys[b];
      if (reporters[a] != reporters[b]) return reporters[a] < reporters[b];
      return a < b;
    });
    std::vector<uint32_t> kept;
    std::vector<std::vector<uint32_t>> seen_by(count);  // of kept rows: reporters whose rows were left out for them
    for (size_t from = 0; from < count;) {
      size_t to = from;
      while (to < count && keys[order[to]] == keys[order[from]]) ++to;
      SLUICE_TRY(choose({order.begin() + static_cast<ptrdiff_t>(from), order.begin() + static_cast<ptrdiff_t>(to)}, reporters, kept, seen_by, worker));
      from = to;
    }
    std::sort(kept.begin(), kept.end());  // as they lay
    for (size_t i = 0; i < kept.size(); i += kEmitRows) {
      SLUICE_TRY(worker.run.check());
      const std::span piece = std::span(kept).subspan(i, std::min(kEmitRows, kept.size() - i));
      Chunk out = rows_.gather(piece, worker.eval);
      Column list(PhysicalType::Str);
      for (uint32_t row : piece) {
        std::set<std::string_view> others;
        for (uint32_t r : seen_by[row])
          if (names[r] != names[reporters[row]]) others.insert(names[r]);
        std::string text;
        append_list_item(text, names[reporters[row]]);
        size_t left = limits::kReportersPerRowMax - 1;
        for (std::string_view name : others) {
          if (left-- == 0) break;
          append_list_item(text, name);
        }
        list.append_string(text);
      }
      out.slots.resize(std::max(out.slots.size(), spec_->out + 1));
      out.slots[spec_->out] = keep(std::move(list), worker.eval);
      SLUICE_TRY(emit(std::move(out)));
    }
    return {};
  }

 private:
  size_t number(const std::vector<StageColumn>& columns, std::vector<uint32_t>& out) const {
    std::vector<Type> types;
    std::vector<ColumnPtr> values;
    for (const auto& c : columns) {
      types.push_back(c.type);
      values.push_back(rows_.shared(c.slot));
    }
    if (columns.empty()) {
      out.assign(rows_.rows(), 0);
      return 1;
    }
    GroupTable table(types);
    table.find(values, rows_.rows(), out);
    return table.size();
  }

  // Numbers reporters in the order of their parts, and names them.
  std::vector<std::string> number_reporters(const std::vector<StageColumn>& parts, std::vector<uint32_t>& out) const {
    const size_t count = number(parts, out);
    std::vector<uint32_t> first(count, UINT32_MAX), order(count), place(count);
    for (uint32_t row = 0; row < out.size(); ++row)
      if (first[out[row]] == UINT32_MAX) first[out[row]] = row;
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      for (const auto& p : parts)
        if (const int c = compare_rows(rows_.slot(p.slot), first[a], first[b])) return c < 0;
      return false;
    });
    std::vector<std::string> names;
    for (uint32_t i = 0; i < count; ++i) {
      place[order[i]] = i;
      names.push_back(name_of(first[order[i]]));
    }
    for (uint32_t& r : out) r = place[r];
    return names;
  }

  std::string part(size_t which, uint32_t row) const {
    const auto& column = spec_->reporter[which];
    if (!column || rows_.slot(column->slot).is_null(row)) return {};
    return format_value(value_at(rows_.slot(column->slot), column->type, row), column->type.enumeration);
  }
  // netflow9/192.0.2.1/7/ingress, aws_vpc/eni-0a1b/src: what is not known is left out.
  std::string name_of(uint32_t row) const {
    const std::string side = part(kSide, row);
    std::string out = part(kSource, row);
    auto add = [&](const std::string& text) {
      if (!text.empty()) out += (out.empty() ? "" : "/") + text;
    };
    add(part(kExporter, row));
    add(part(kDomain, row));
    if (side == "src") add(part(kSrcInterface, row));
    if (side == "dst") add(part(kDstInterface, row));
    add(side);
    add(part(kWay, row));
    return out.empty() ? "unknown" : out;
  }

  struct Reporter {
    uint32_t id;
    bool duplicate;
    uint64_t rate, packets, bytes;
    std::span<const uint32_t> rows;
  };
  uint64_t number_at(size_t slot, uint32_t row, uint64_t otherwise) const {
    return slot == SIZE_MAX || rows_.slot(slot).is_null(row) ? otherwise : rows_.slot(slot).uint_at(row);
  }
  static uint64_t add(uint64_t a, uint64_t b) {
    uint64_t out;
    return __builtin_add_overflow(a, b, &out) ? UINT64_MAX : out;
  }
  // First and last moment; a flow without a start is a point.
  std::pair<TimestampNs, TimestampNs> time_of(uint32_t row) const {
    const Column& ends = rows_.slot(spec_->end);
    const TimestampNs end = ends.is_null(row) ? 0 : ends.int_at(row);
    TimestampNs start = end;
    if (spec_->start != SIZE_MAX && !rows_.slot(spec_->start).is_null(row)) start = std::min(end, rows_.slot(spec_->start).int_at(row));
    return {start, end};
  }

  // The rows of one key, by reporter.
  Status choose(std::span<const uint32_t> rows, const std::vector<uint32_t>& reporter_of, std::vector<uint32_t>& kept,
                std::vector<std::vector<uint32_t>>& seen_by, Worker& worker) {
    std::vector<Reporter> ranked;
    for (size_t from = 0; from < rows.size();) {
      size_t to = from;
      Reporter r{reporter_of[rows[from]], false, 0, 0, 0, {}};
      for (; to < rows.size() && reporter_of[rows[to]] == r.id; ++to) {
        r.rate = std::max(r.rate, number_at(spec_->rate, rows[to], UINT64_MAX));
        r.packets = add(r.packets, number_at(spec_->packets, rows[to], 0));
        r.bytes = add(r.bytes, number_at(spec_->bytes, rows[to], 0));
      }
      r.duplicate = part(kDuplicate, rows[from]) == "true";
      r.rows = rows.subspan(from, to - from);
      ranked.push_back(r);
      from = to;
    }
    if (!worker.eval.meter.spend(rows.size())) return worker.eval.meter.stopped;
    if (ranked.size() == 1) {
      kept.insert(kept.end(), rows.begin(), rows.end());
      return {};
    }
    std::sort(ranked.begin(), ranked.end(), [](const Reporter& a, const Reporter& b) {
      return std::tuple(a.duplicate, a.rate, ~a.packets, ~a.bytes, a.id) < std::tuple(b.duplicate, b.rate, ~b.packets, ~b.bytes, b.id);
    });
    // Kept rows by start. None is longer than `longest`, so those that can overlap lie in a range of starts.
    std::multimap<TimestampNs, std::pair<TimestampNs, uint32_t>> taken;
    uint64_t longest = 0;
    const auto back = [](TimestampNs t, uint64_t d) {
      TimestampNs out;
      return d > INT64_MAX || __builtin_sub_overflow(t, static_cast<int64_t>(d), &out) ? kTimestampMin : out;
    };
    std::vector<uint32_t> mine;
    for (const Reporter& r : ranked) {
      mine.clear();
      for (uint32_t row : r.rows) {
        const auto [start, end] = time_of(row);
        const TimestampNs reach = back(start, static_cast<uint64_t>(spec_->tolerance));
        TimestampNs last;
        if (__builtin_add_overflow(end, spec_->tolerance, &last)) last = kTimestampMax;
        bool overlaps = false;
        for (auto it = taken.lower_bound(back(reach, longest)); it != taken.end() && it->first <= last; ++it) {
          if (!worker.eval.meter.spend(1)) return worker.eval.meter.stopped;
          if (it->second.first < reach) continue;
          overlaps = true;
          auto& seen = seen_by[it->second.second];
          if (seen.empty() || seen.back() != r.id) seen.push_back(r.id);
        }
        if (!overlaps) mine.push_back(row);
      }
      for (uint32_t row : mine) {
        const auto [start, end] = time_of(row);
        longest = std::max(longest, static_cast<uint64_t>(end) - static_cast<uint64_t>(start));
        taken.emplace(start, std::pair(end, row));
      }
      kept.insert(kept.end(), mine.begin(), mine.end());
    }
    return {};
  }

  std::shared_ptr<const DedupSpec> spec_;
  RowBuffer rows_;
  MemoryClaim claim_;
};

bool bind_dedup(StageBinder& binder) {
  auto spec = std::make_shared<DedupSpec>();
  bool by = false, within = false;
  while (!binder.args.done()) {
    if (!by && binder.args.word("by")) {
      spec->keys = binder.keys();
      if (spec->keys.empty()) return false;
      by = true;
    } else if (!within && binder.args.word("within")) {
      const auto d = binder.duration("within");
      if (!d) return false;
      spec->tolerance = *d;
      within = true;
    } else {
      return binder.expected("'by KEY, …' or 'within DURATION'");
    }
  }
  if (!binder.free_name("reporters", binder.span())) return false;
  if (!by)
    for (std::string_view name : {"src_ip", "dst_ip", "src_port", "dst_port", "protocol"}) {
      auto column = binder.need(name);
      if (!column) return false;
      spec->keys.push_back(std::move(*column));
    }
  const auto end = binder.need("flow_end");
  if (!end) return false;
  spec->end = end->slot;
  auto slot_of = [&](std::string_view name) {
    const auto column = binder.column(name);
    return column ? column->slot : SIZE_MAX;
  };
  spec->start = slot_of("flow_start");
  spec->rate = slot_of("sampling_rate");
  spec->packets = slot_of("raw_packets");
  spec->bytes = slot_of("raw_bytes");
  for (std::string_view name : kReporterColumns) spec->reporter.push_back(binder.column(name));
  if (binder.failed()) return false;
  const auto out = binder.add_column("reporters", Type::of(LogicalType::list));
  if (!out) return false;
  spec->out = *out;
  spec->text = binder.text();
  binder.push(std::make_unique<Dedup>(std::move(spec), binder.run()), true);
  return true;
}

constexpr std::string_view kDedupWords[] = {"by", "within"};

}  // namespace

namespace stage_detail {
extern const StageSpec kDedup{"dedup", "dedup [by KEY, …] [within D]", "One row where several reporters saw the same flow", kDedupWords, bind_dedup};
}

}  // namespace sluice::query
