// sessions: runs of activity of a key, parted by silence.
//
// `sessions by KEY, … gap D` adds the column `session`: the ts of the first row of the run that the row belongs to. Rows of one key belong to
// one run as long as each ends no later than D after the one before. What is asked of runs is a grouping behind it:
// `sessions by src_ip gap 10m | stats flows = count(), lasted = max(ts) - min(ts) by src_ip, session`.
#include <algorithm>
#include <numeric>

#include "query/group.h"
#include "query/sessions.h"

namespace sluice::query {
namespace {

class Sessions final : public Operator {
 public:
  Sessions(std::shared_ptr<const SessionsSpec> spec, RunState* run) : spec_(std::move(spec)), table_(types_of(spec_->keys)), claim_(run) {}

  Status push(Chunk chunk, Worker&, const Emit&) override {
    std::vector<ColumnPtr> keys;
    for (const auto& k : spec_->keys) keys.push_back(chunk.slots[k.slot]);
    std::vector<uint32_t> groups(chunk.rows, 0);
    if (!keys.empty()) table_.find(keys, chunk.rows, groups);
    groups_.insert(groups_.end(), groups.begin(), groups.begin() + static_cast<ptrdiff_t>(chunk.rows));
    for (size_t i = 0; i < chunk.rows; ++i) times_.push_back(chunk.slots[spec_->time]->int_at(i));
    SLUICE_TRY(rows_.append(chunk, claim_));
    return claim_.set(byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& k : spec_->keys) slots.push_back(k.slot);
    slots.push_back(spec_->time);
  }
  std::string describe() const override { return spec_->text; }

  Status finish(Worker& worker, const Emit& emit) override {
    const size_t count = times_.size();
    std::vector<uint32_t> order(count);
    SLUICE_TRY(claim_.set(byte_size() + count * (sizeof(uint32_t) + sizeof(int64_t))));
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return std::pair(groups_[a], times_[a]) < std::pair(groups_[b], times_[b]); });
    std::vector<int64_t> starts(count);
    TimestampNs cut = kTimestampMax;
    for (size_t i = 0; i < count; ++i) {
      if (!worker.eval.meter.spend(1)) return worker.eval.meter.stopped;
      const uint32_t row = order[i];
      bool goes_on = i > 0 && groups_[order[i - 1]] == groups_[row];
      if (goes_on) {
        DurationNs silence;
        goes_on = !__builtin_sub_overflow(times_[row], times_[order[i - 1]], &silence) && silence <= spec_->gap;
      }
      starts[row] = goes_on ? starts[order[i - 1]] : times_[row];
      if (!spec_->is_cut) continue;
      if (!goes_on) {
        cut = session_cut(times_[row]);
      } else if (times_[row] >= cut) {
        starts[row] = times_[row];
        // (Gaps are shorter than what lies between two cuts.)
        if (__builtin_add_overflow(cut, limits::kSessionLengthMax, &cut)) cut = kTimestampMax;
      }
    }
    order = {};
    for (size_t from = 0; from < count; from += kEmitRows) {
      const size_t to = std::min(count, from + kEmitRows);
      std::vector<uint32_t> numbers(to - from);
      std::iota(numbers.begin(), numbers.end(), static_cast<uint32_t>(from));
      Chunk rows = rows_.gather(numbers, worker.eval);
      if (rows.slots.size() <= spec_->session) rows.slots.resize(spec_->session + 1);
      rows.slots[spec_->session] =
          keep(Column::of<int64_t>(PhysicalType::I64, std::vector<int64_t>(starts.begin() + static_cast<ptrdiff_t>(from), starts.begin() + static_cast<ptrdiff_t>(to))), worker.eval);
      if (!worker.eval.meter.stopped.ok()) return worker.eval.meter.stopped;
      SLUICE_TRY(emit(std::move(rows)));
    }
    return {};
  }

 private:
  size_t byte_size() const { return rows_.byte_size() + table_.byte_size() + groups_.capacity() * sizeof(uint32_t) + times_.capacity() * sizeof(int64_t); }

  std::shared_ptr<const SessionsSpec> spec_;
  RowBuffer rows_;
  GroupTable table_;
  std::vector<uint32_t> groups_;
  std::vector<int64_t> times_;
  MemoryClaim claim_;
};

bool bind_sessions(StageBinder& binder) {
  SessionsSpec bound, *spec = &bound;
  if (!binder.args.word("by")) return binder.expected("'by' and a key");
  spec->keys = binder.keys();
  if (spec->keys.empty()) return false;
  if (!binder.args.word("gap")) return binder.expected("'gap' and a duration");
  const auto gap = binder.duration("gap");
  if (!gap || !binder.end()) return false;
  spec->gap = *gap;
  const auto time = binder.need("flow_end");
  if (!time || !binder.free_name("session", binder.span())) return false;
  spec->time = time->slot;
  const auto session = binder.add_column("session", Type::of(LogicalType::timestamp));
  if (!session) return false;
  spec->session = *session;
  spec->text = binder.text();
  binder.push(make_sessions(std::move(bound), binder.run()), true);
  return true;
}

constexpr std::string_view kSessionsWords[] = {"by", "gap"};

}  // namespace

TimestampNs session_cut(TimestampNs first) {
  TimestampNs least;
  if (__builtin_add_overflow(first, 2 * limits::kSessionLengthMax - 1, &least)) return kTimestampMax;
  return bin_start(least, limits::kSessionLengthMax);
}

OperatorPtr make_sessions(SessionsSpec spec, RunState* run) { return std::make_unique<Sessions>(std::make_shared<const SessionsSpec>(std::move(spec)), run); }

namespace stage_detail {
extern const StageSpec kSessions{"sessions", "sessions by KEY, … gap D", "Runs of activity of a key: adds when each row's began", kSessionsWords, bind_sessions};
}

}  // namespace sluice::query
