#include "query/spread.h"

#include <algorithm>

#include "query/group.h"
#include "query/limits.h"
#include "query/row_buffer.h"

namespace sluice::query {
namespace {

class Spread final : public Operator {
 public:
  explicit Spread(std::shared_ptr<const SpreadSpec> spec) : spec_(std::move(spec)) {}
  bool stateless() const override { return true; }
  void collect_slots(std::vector<size_t>& slots) const override {
    spec_->start->collect_slots(slots);
    spec_->end->collect_slots(slots);
    for (const auto& v : spec_->values) v.node->collect_slots(slots);
  }
  std::string describe() const override { return "spread each flow over bins of " + format_duration(spec_->every); }

  Status push(Chunk chunk, Worker& worker, const Emit& emit) override {
    const ColumnPtr starts = spec_->start->eval(chunk, worker.eval), ends = spec_->end->eval(chunk, worker.eval);
    std::vector<ColumnPtr> values;
    for (const auto& v : spec_->values) values.push_back(v.node->eval(chunk, worker.eval));
    std::vector<Part> parts;
    for (uint32_t row = 0; row < chunk.rows; ++row) {
      if (ends->is_null(row)) continue;
      const TimestampNs end = ends->int_at(row), start = starts->is_null(row) ? end : std::min(end, starts->int_at(row));
      // [start, end) has the bytes; a point has them at its moment.
      TimestampNs from = std::max(start, spec_->range.from), to = end;
      if (spec_->range.to != kTimestampMax) to = std::min(to, spec_->range.to);
      if (start == end) {
        if (!(spec_->range.from <= end && (spec_->range.to == kTimestampMax || end < spec_->range.to))) continue;
        parts.push_back({row, bin_start(end, spec_->every), 0, 0, 0});
        if (parts.size() >= kEmitRows) SLUICE_TRY(flush(chunk, values, parts, worker, emit));
        continue;
      }
      if (from >= to) continue;
      const auto whole = static_cast<uint64_t>(end) - static_cast<uint64_t>(start);
      uint64_t bins = 0;
      for (TimestampNs bin = bin_start(from, spec_->every); bin < to;) {
        if (++bins > limits::kSpreadBinsPerFlowMax)
          return Error{ErrorCode::too_large, "a flow from " + format_timestamp(start) + " to " + format_timestamp(end) + " spans more bins than spread books it over: " +
                                                 std::to_string(limits::kSpreadBinsPerFlowMax)};
        TimestampNs next;
        if (__builtin_add_overflow(bin, spec_->every, &next)) next = kTimestampMax;
        const auto before = static_cast<uint64_t>(std::max(bin, from)) - static_cast<uint64_t>(start);
        const auto after = static_cast<uint64_t>(std::min(next, to)) - static_cast<uint64_t>(start);
        parts.push_back({row, bin, before, after, whole});
        if (parts.size() >= kEmitRows) SLUICE_TRY(flush(chunk, values, parts, worker, emit));
        bin = next;
      }
    }
    return parts.empty() ? Status() : flush(chunk, values, parts, worker, emit);
  }

 private:
  struct Part {
    uint32_t row;
    TimestampNs bin;
    uint64_t before, after, whole;  // of the flow's time; whole == 0: all of it
  };

  Status flush(const Chunk& chunk, const std::vector<ColumnPtr>& values, std::vector<Part>& parts, Worker& worker, const Emit& emit) const {
    SLUICE_TRY(worker.run.check());
    std::vector<uint32_t> rows;
    rows.reserve(parts.size());
    Column bins(PhysicalType::I64);
    for (const Part& p : parts) {
      rows.push_back(p.row);
      bins.append(p.bin);
    }
    Chunk out = chunk.gather(rows, worker.eval);
    auto put = [&](size_t slot, Column column) {
      if (out.slots.size() <= slot) out.slots.resize(slot + 1);
      out.slots[slot] = keep(std::move(column), worker.eval);
    };
    put(spec_->bin_slot, std::move(bins));
    for (size_t v = 0; v < values.size(); ++v) {
      const Column& from = *values[v];
      Column column(from.type());
      column.reserve(parts.size());
      for (const Part& p : parts) {
        if (from.is_null(p.row)) {
          column.append_null();
        } else if (from.type() == PhysicalType::F64) {
          column.append(p.whole == 0 ? from.float_at(p.row)
                                     : from.float_at(p.row) * (static_cast<double>(p.after - p.before) / static_cast<double>(p.whole)));
        } else if (p.whole == 0) {
          column.append_uint(from.uint_at(p.row));
        } else if (from.type() == PhysicalType::I64) {
          const bool negative = from.int_at(p.row) < 0;
          const uint64_t size = negative ? 0 - from.uint_at(p.row) : from.uint_at(p.row), share = share_of(size, p);
          column.append_uint(negative ? 0 - share : share);
        } else {
          column.append_uint(share_of(from.uint_at(p.row), p));
        }
      }
      put(spec_->values[v].slot, std::move(column));
    }
    parts.clear();
    return emit(std::move(out));
  }
  // What lies below one time of the flow, rounded down, is the same for the part that ends there and the one that begins.
  static uint64_t share_of(uint64_t value, const Part& p) {
    const auto below = [&](uint64_t t) { return static_cast<uint64_t>(static_cast<unsigned __int128>(value) * t / p.whole); };
    return below(p.after) - below(p.before);
  }

  std::shared_ptr<const SpreadSpec> spec_;
};

}  // namespace

OperatorPtr make_spread(std::shared_ptr<const SpreadSpec> spec) { return std::make_unique<Spread>(std::move(spec)); }

}  // namespace sluice::query
