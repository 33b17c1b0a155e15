// The stage `sequence by KEY, … within D [A] [min N] then [B] [min N] …`: see sequence.h. One row for each that is found: KEY, began, ended, took.
#include <algorithm>
#include <numeric>

#include "query/group.h"
#include "query/limits.h"
#include "query/sequence.h"

namespace sluice::query {
namespace {

namespace g = grammar;

class Sequence final : public Operator {
 public:
  Sequence(std::shared_ptr<const SequenceSpec> spec, RunState* run) : spec_(std::move(spec)), table_(types_of(spec_->keys)), claim_(run) {}

  Status push(Chunk chunk, Worker& worker, const Emit&) override {
    // Only rows that are some step are kept: a group, a time and a mask.
    std::vector<uint32_t> masks;
    sequence_masks(*spec_, chunk, worker.eval, masks);
    std::vector<uint32_t> kept;
    for (uint32_t i = 0; i < chunk.rows; ++i)
      if (masks[i] != 0 && !chunk.slots[spec_->time]->is_null(i)) kept.push_back(i);
    if (kept.empty()) return {};
    std::vector<ColumnPtr> keys;
    for (const auto& k : spec_->keys)
      keys.push_back(kept.size() == chunk.rows ? chunk.slots[k.slot] : keep(chunk.slots[k.slot]->gather(kept), worker.eval));
    std::vector<uint32_t> groups;
    table_.find(keys, kept.size(), groups);
    for (size_t i = 0; i < kept.size(); ++i) rows_.push_back({groups[i], {chunk.slots[spec_->time]->int_at(kept[i]), masks[kept[i]]}});
    return claim_.set(byte_size());
  }
  std::unique_ptr<Operator> fork(RunState& run) const override { return std::make_unique<Sequence>(spec_, &run); }
  Status join(std::unique_ptr<Operator> other, Worker&) override {
    auto& o = static_cast<Sequence&>(*other);
    const std::vector<uint32_t> map = table_.merge(o.table_);
    for (Row r : o.rows_) {
      r.group = map[r.group];
      rows_.push_back(r);
    }
    other.reset();
    return claim_.set(byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& k : spec_->keys) slots.push_back(k.slot);
    for (const auto& s : spec_->steps) query::collect_slots(*s.condition, slots);
    slots.push_back(spec_->time);
  }
  std::string describe() const override { return spec_->text; }
  const std::shared_ptr<const SequenceSpec>& spec() const { return spec_; }

  Status finish(Worker& worker, const Emit& emit) override {
    if (rows_.empty()) return {};
    std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.group != b.group ? a.group < b.group : a.row < b.row; });
    struct Found {
      uint32_t group;
      TimestampNs began, ended;
    };
    std::vector<Found> found;
    SequenceProgress progress(*spec_);
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (!worker.eval.meter.spend(spec_->steps.size())) return worker.eval.meter.stopped;
      if (i == 0 || rows_[i].group != rows_[i - 1].group) progress.clear();
      if (const auto began = progress.row(rows_[i].row)) {
        found.push_back({rows_[i].group, *began, rows_[i].row.time});
        progress.clear();
      }
    }
    SLUICE_TRY(claim_.set(byte_size() + found.size() * sizeof(Found)));
    std::vector<uint32_t> groups(found.size()), order(found.size());
    for (size_t i = 0; i < found.size(); ++i) groups[i] = found[i].group;
    std::vector<Column> keys, out;
    for (size_t k = 0; k < spec_->keys.size(); ++k) keys.push_back(table_.keys(k, groups));
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      if (found[a].ended != found[b].ended) return found[a].ended < found[b].ended;
      return row_less(keys, a, b);
    });
    for (const Column& c : keys) out.push_back(c.gather(order));
    Column began(PhysicalType::I64), ended(PhysicalType::I64), took(PhysicalType::I64);
    for (uint32_t i : order) {
      began.append(found[i].began);
      ended.append(found[i].ended);
      took.append(static_cast<int64_t>(found[i].ended - found[i].began));
    }
    for (Column* c : {&began, &ended, &took}) out.push_back(std::move(*c));
    return emit_columns(std::move(out), worker, emit);
  }

 private:
  struct Row {
    uint32_t group;
    SequenceRow row;
  };
  size_t byte_size() const { return table_.byte_size() + rows_.capacity() * sizeof(Row); }

  std::shared_ptr<const SequenceSpec> spec_;
  GroupTable table_;
  std::vector<Row> rows_;
  MemoryClaim claim_;
};

bool bind_sequence(StageBinder& binder) {
  auto spec = std::make_shared<SequenceSpec>();
  if (!binder.args.word("by")) return binder.expected("'by' and a key");
  spec->keys = binder.keys();
  if (spec->keys.empty()) return false;
  if (!binder.args.word("within")) return binder.expected("'within' and a duration");
  const auto within = binder.duration("within");
  if (!within) return false;
  spec->within = *within;
  while (true) {
    const g::Span at = binder.args.place();
    const auto step = binder.args.bracketed();
    if (!step) return binder.expected("a step in brackets, such as [dst_port == 22]");
    if (spec->steps.size() == limits::kSequenceStepsMax)
      return binder.fail(at, "a sequence has at most " + std::to_string(limits::kSequenceStepsMax) + " steps", {}, ErrorCode::too_large);
    g::StageArgs inner(*step, g::Keyword{"[", at});
    const auto condition = inner.expression();
    if (!condition || !inner.done()) {
      const g::SyntaxError error = inner.expected(condition ? "']' after the condition" : "a condition");
      return binder.fail(condition ? error.span : at, error.message);
    }
    SequenceStep s;
    s.condition = binder.condition(**condition);
    if (!s.condition || binder.failed()) return false;
    if (binder.args.word("min")) {
      const auto n = binder.count("a count of rows");
      if (!n) return false;
      if (*n == 0 || *n > 1'000'000) return binder.fail(at, "a step wants from 1 to 1000000 rows");
      s.count = *n;
    }
    spec->steps.push_back(std::move(s));
    if (!binder.args.word("then")) break;
  }
  if (!binder.end()) return false;
  if (spec->steps.size() < 2 && spec->steps[0].count < 2) return binder.fail(binder.args.place(), "one step is no sequence", "add then [CONDITION], or use where");
  const auto time = binder.need("flow_end");
  if (!time) return false;
  spec->time = time->slot;
  spec->text = binder.text();
  std::vector<StageColumn> columns = spec->keys;
  const size_t keys = columns.size();
  columns.push_back({"began", 0, Type::of(LogicalType::timestamp)});
  columns.push_back({"ended", 0, Type::of(LogicalType::timestamp)});
  columns.push_back({"took", 0, Type::of(LogicalType::duration)});
  binder.push_frame(std::make_unique<Sequence>(std::move(spec), binder.run()), std::move(columns), keys);
  return true;
}

constexpr std::string_view kSequenceWords[] = {"by", "within", "then", "min"};

}  // namespace

void sequence_masks(const SequenceSpec& spec, const Chunk& chunk, EvalContext& context, std::vector<uint32_t>& masks) {
  masks.assign(chunk.rows, 0);
  std::vector<uint8_t> mask(chunk.rows);
  for (size_t s = 0; s < spec.steps.size(); ++s) {
    evaluate(*spec.steps[s].condition, chunk, context, nullptr, mask.data());
    for (size_t i = 0; i < mask.size(); ++i) masks[i] |= static_cast<uint32_t>(mask[i] != 0) << s;
  }
}

void SequenceProgress::clear() {
  for (auto& b : best_) b.reset();
  for (auto& r : rings_) r.clear();
}

std::optional<TimestampNs> SequenceProgress::row(const SequenceRow& row) {
  std::optional<TimestampNs> found;
  // From the last step back: one row is not two steps.
  for (size_t s = spec_.steps.size(); s-- > 0;) {
    if (!(row.mask >> s & 1)) continue;
    const std::optional<TimestampNs> began = s == 0 ? std::optional(row.time) : best_[s - 1];
    if (!began) continue;
    // The n rows of a step lie behind the step before: the first of them tells how the way began.
    auto& ring = rings_[s];
    ring.push_back(*began);
    if (ring.size() > spec_.steps[s].count) ring.pop_front();
    if (ring.size() < spec_.steps[s].count) continue;
    const TimestampNs start = ring.front();
    DurationNs took;
    if (__builtin_sub_overflow(row.time, start, &took) || took > spec_.within) continue;
    best_[s] = std::max(best_[s].value_or(start), start);
    if (s + 1 == spec_.steps.size()) found = start;
  }
  return found;
}

size_t SequenceProgress::byte_size() const {
  size_t bytes = sizeof *this + best_.capacity() * sizeof best_[0] + rings_.capacity() * sizeof rings_[0];
  for (const auto& ring : rings_) bytes += ring.size() * sizeof(TimestampNs);
  return bytes;
}

std::shared_ptr<const SequenceSpec> sequence_of(const Operator& op) {
  const auto* sequence = dynamic_cast<const Sequence*>(&op);
  return sequence ? sequence->spec() : nullptr;
}

namespace stage_detail {
extern const StageSpec kSequence{"sequence", "sequence by KEY, … within D [CONDITION] [min N] then [CONDITION] …", "Steps that follow one another, for each key", kSequenceWords, bind_sequence};
}

}  // namespace sluice::query
