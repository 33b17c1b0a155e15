#include "query/operator.h"

#include <algorithm>
#include <numeric>

#include "query/group.h"
#include "query/row_buffer.h"

namespace sluice::query {
namespace {

class Filter final : public Operator {
 public:
  Filter(PredicatePtr predicate, std::string text) : predicate_(std::move(predicate)), text_(std::move(text)) {}
  Status push(Chunk chunk, Worker& worker, const Emit& emit) override {
    std::vector<uint8_t> mask(chunk.rows);
    evaluate(*predicate_, chunk, worker.eval, nullptr, mask.data());
    std::vector<uint32_t> kept;
    for (size_t i = 0; i < mask.size(); ++i)
      if (mask[i]) kept.push_back(static_cast<uint32_t>(i));
    if (kept.empty()) return {};
    if (kept.size() == chunk.rows) return emit(std::move(chunk));
    return emit(chunk.gather(kept));
  }
  bool stateless() const override { return true; }
  void collect_slots(std::vector<size_t>& slots) const override { query::collect_slots(*predicate_, slots); }
  std::string describe() const override { return text_; }

 private:
  PredicatePtr predicate_;
  std::string text_;
};

class Compute final : public Operator {
 public:
  Compute(std::vector<Computed> columns, std::string text) : columns_(std::move(columns)), text_(std::move(text)) {}
  Status push(Chunk chunk, Worker& worker, const Emit& emit) override {
    for (const Computed& c : columns_) {
      if (chunk.slots.size() <= c.slot) chunk.slots.resize(c.slot + 1);
      chunk.slots[c.slot] = c.node->eval(chunk, worker.eval);
    }
    return emit(std::move(chunk));
  }
  bool stateless() const override { return true; }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const Computed& c : columns_) c.node->collect_slots(slots);
  }
  std::string describe() const override { return text_; }

 private:
  std::vector<Computed> columns_;
  std::string text_;
};

Chunk first_rows(const Chunk& chunk, size_t count) {
  std::vector<uint32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0u);
  return chunk.gather(rows);
}

class Limit final : public Operator {
 public:
  explicit Limit(uint64_t count) : count_(count), left_(count) {}
  Status push(Chunk chunk, Worker&, const Emit& emit) override {
    if (left_ == 0) return {};
    if (chunk.rows > left_) chunk = first_rows(chunk, left_);
    left_ -= chunk.rows;
    return emit(std::move(chunk));
  }
  bool done() const override { return left_ == 0; }
  std::optional<uint64_t> rows_wanted() const override { return count_; }
  void collect_slots(std::vector<size_t>&) const override {}
  std::string describe() const override { return "limit " + std::to_string(count_); }

 private:
  uint64_t count_, left_;
};

class Tail final : public Operator {
 public:
  Tail(RunState* run, uint64_t count) : count_(count), claim_(run) {}
  Status push(Chunk chunk, Worker&, const Emit&) override {
    rows_.append(chunk);
    if (rows_.rows() > 2 * count_ + 4'096) trim();
    return claim_.set(rows_.byte_size());
  }
  Status finish(Worker& worker, const Emit& emit) override {
    trim();
    std::vector<uint32_t> order(rows_.rows());
    std::iota(order.begin(), order.end(), 0u);
    return emit_in_pieces(rows_, order, worker, emit);
  }
  void collect_slots(std::vector<size_t>&) const override {}
  std::string describe() const override { return "tail " + std::to_string(count_); }

 private:
  void trim() {
    if (rows_.rows() <= count_) return;
    std::vector<uint32_t> last(count_);
    std::iota(last.begin(), last.end(), static_cast<uint32_t>(rows_.rows() - count_));
    rows_.keep(last);
  }
  uint64_t count_;
  RowBuffer rows_;
  MemoryClaim claim_;
};

// xorshift64*, from a fixed seed: the same rows each time.
class Random {
 public:
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  double share() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_ = 0x9e3779b97f4a7c15ull;
};

class SampleShare final : public Operator {
 public:
  explicit SampleShare(double share) : share_(share) {}
  Status push(Chunk chunk, Worker&, const Emit& emit) override {
    std::vector<uint32_t> kept;
    for (uint32_t i = 0; i < chunk.rows; ++i)
      if (random_.share() < share_) kept.push_back(i);
    return kept.empty() ? Status() : emit(chunk.gather(kept));
  }
  void collect_slots(std::vector<size_t>&) const override {}
  std::string describe() const override { return "sample " + std::to_string(share_); }

 private:
  double share_;
  Random random_;
};

// Each row draws a number; the `count` least stay. Equal to a reservoir, and simple to trim.
class SampleCount final : public Operator {
 public:
  SampleCount(RunState* run, uint64_t count) : count_(count), claim_(run) {}
  Status push(Chunk chunk, Worker&, const Emit&) override {
    std::vector<uint32_t> kept;
    for (uint32_t i = 0; i < chunk.rows; ++i) {
      const uint64_t drawn = random_.next();
      if (drawn > bar_) continue;
      kept.push_back(i);
      draws_.push_back(drawn);
    }
    if (!kept.empty()) rows_.append_rows(chunk, kept);
    if (rows_.rows() > 2 * count_ + 4'096) trim();
    return claim_.set(rows_.byte_size() + draws_.capacity() * 8);
  }
  Status finish(Worker& worker, const Emit& emit) override {
    trim();
    std::vector<uint32_t> order(rows_.rows());
    std::iota(order.begin(), order.end(), 0u);
    return emit_in_pieces(rows_, order, worker, emit);
  }
  void collect_slots(std::vector<size_t>&) const override {}
  std::string describe() const override { return "sample " + std::to_string(count_); }

 private:
  void trim() {
    if (rows_.rows() <= count_) return;
    std::vector<uint32_t> order(rows_.rows());
    std::iota(order.begin(), order.end(), 0u);
    std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(count_), order.end(),
                     [&](uint32_t a, uint32_t b) { return draws_[a] < draws_[b]; });
    order.resize(count_);
    std::sort(order.begin(), order.end());
    std::vector<uint64_t> draws;
    for (uint32_t i : order) draws.push_back(draws_[i]);
    draws_ = std::move(draws);
    bar_ = draws_.empty() ? 0 : *std::max_element(draws_.begin(), draws_.end());
    rows_.keep(order);
  }
  uint64_t count_;
  uint64_t bar_ = UINT64_MAX;
  std::vector<uint64_t> draws_;
  Random random_;
  RowBuffer rows_;
  MemoryClaim claim_;
};

class Sort final : public Operator {
 public:
  Sort(RunState* run, std::vector<SortKeySpec> keys, std::vector<size_t> tiebreak, std::optional<uint64_t> limit, std::string text)
      : keys_(std::move(keys)), tiebreak_(std::move(tiebreak)), limit_(limit), text_(std::move(text)), claim_(run) {}

  Status push(Chunk chunk, Worker& worker, const Emit&) override {
    // Key values ride along in slots of their own behind the others.
    const size_t base = chunk.slots.size();
    if (key_slot_ == SIZE_MAX) key_slot_ = base;
    SLUICE_CHECK(key_slot_ == base);
    for (const auto& k : keys_) chunk.slots.push_back(k.node->eval(chunk, worker.eval));
    if (limit_ && bar_set_) {  // rows that come after the last one kept have no chance
      const std::vector<uint32_t> kept = not_behind_bar(*chunk.slots[base]);
      if (kept.empty()) return {};
      rows_.append_rows(chunk, kept);
    } else {
      rows_.append(chunk);
    }
    if (limit_ && rows_.rows() > 2 * *limit_ + 8'192) trim();
    return claim_.set(rows_.byte_size());
  }
  Status finish(Worker& worker, const Emit& emit) override {
    if (rows_.rows() == 0) return {};
    std::vector<uint32_t> order = sorted();
    return emit_in_pieces(rows_, order, worker, [&](Chunk chunk) {
      chunk.slots.resize(key_slot_);
      return emit(std::move(chunk));
    });
  }
  std::unique_ptr<Operator> fork(RunState& run) const override {
    return std::make_unique<Sort>(&run, keys_, tiebreak_, limit_, text_);
  }
  Status join(std::unique_ptr<Operator> other, Worker&) override {
    auto& o = static_cast<Sort&>(*other);
    if (o.rows_.rows() == 0) return {};
    if (key_slot_ == SIZE_MAX) key_slot_ = o.key_slot_;
    std::vector<uint32_t> all(o.rows_.rows());
    std::iota(all.begin(), all.end(), 0u);
    rows_.append(o.rows_.gather(all));
    other.reset();
    return claim_.set(rows_.byte_size());
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    for (const auto& k : keys_) k.node->collect_slots(slots);
    slots.insert(slots.end(), tiebreak_.begin(), tiebreak_.end());
  }
  std::string describe() const override { return text_ + (limit_ ? " (first " + std::to_string(*limit_) + " kept)" : ""); }

 private:
  int compare_key(size_t k, uint32_t a, uint32_t b) const {
    const Column& c = rows_.slot(key_slot_ + k);
    const bool an = c.is_null(a), bn = c.is_null(b);
    if (an || bn) return an == bn ? 0 : an == keys_[k].nulls_first ? -1 : 1;
    const int order = compare_rows(c, a, b);
    return keys_[k].descending ? -order : order;
  }
  bool less(uint32_t a, uint32_t b) const {
    for (size_t k = 0; k < keys_.size(); ++k)
      if (const int c = compare_key(k, a, b)) return c < 0;
    for (size_t s : tiebreak_)
      if (rows_.has(s))
        if (const int c = compare_rows(rows_.slot(s), a, b)) return c < 0;
    return false;
  }
  std::vector<uint32_t> sorted() const {
    std::vector<uint32_t> order(rows_.rows());
    std::iota(order.begin(), order.end(), 0u);
    auto by = [&](uint32_t a, uint32_t b) { return less(a, b); };
    if (limit_ && *limit_ < order.size()) {
      std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(*limit_), order.end(), by);
      order.resize(*limit_);
    } else {
      std::sort(order.begin(), order.end(), by);
    }
    return order;
  }
  void trim() {
    std::vector<uint32_t> order = sorted();
    rows_.keep(order);
    if (order.empty()) return;
    const Column& first = rows_.slot(key_slot_);
    const auto last = static_cast<uint32_t>(rows_.rows() - 1);
    bar_ = value_at(first, keys_[0].node->type, last);
    bar_set_ = true;
  }
  std::vector<uint32_t> not_behind_bar(const Column& column) const {
    std::vector<uint32_t> kept;
    // Nearly all keys are integers without nulls, and nearly all rows are behind: that comparison must cost nothing.
    auto compare = [&](const auto& values, auto bar) {
      for (uint32_t i = 0; i < values.size(); ++i)
        if (keys_[0].descending ? values[i] >= bar : values[i] <= bar) kept.push_back(i);
    };
    const auto* number = std::get_if<uint64_t>(&bar_.data);
    const auto* integer = std::get_if<int64_t>(&bar_.data);
    const PhysicalType type = column.type();
    if (!column.has_nulls() && number && type == PhysicalType::U64) {
      compare(column.values<uint64_t>(), *number);
    } else if (!column.has_nulls() && number && type == PhysicalType::U32) {
      compare(column.values<uint32_t>(), *number);
    } else if (!column.has_nulls() && number && type == PhysicalType::U16) {
      compare(column.values<uint16_t>(), *number);
    } else if (!column.has_nulls() && integer && type == PhysicalType::I64) {
      compare(column.values<int64_t>(), *integer);
    } else {
      for (uint32_t i = 0; i < column.size(); ++i)
        if (!behind_bar(column, i)) kept.push_back(i);
    }
    return kept;
  }
  // Whether the row's first key alone puts it after every row that is kept.
  bool behind_bar(const Column& column, uint32_t row) const {
    const bool null = column.is_null(row);
    if (null || bar_.is_null()) return null != bar_.is_null() && null != keys_[0].nulls_first;
    const int order = compare_values(value_at(column, keys_[0].node->type, row), bar_);
    return keys_[0].descending ? order < 0 : order > 0;
  }

  std::vector<SortKeySpec> keys_;
  std::vector<size_t> tiebreak_;
  std::optional<uint64_t> limit_;
  std::string text_;
  size_t key_slot_ = SIZE_MAX;
  RowBuffer rows_;
  Value bar_;
  bool bar_set_ = false;
  MemoryClaim claim_;
};

}  // namespace

OperatorPtr make_filter(PredicatePtr predicate, std::string text) { return std::make_unique<Filter>(std::move(predicate), std::move(text)); }
OperatorPtr make_compute(std::vector<Computed> columns, std::string text) {
  return std::make_unique<Compute>(std::move(columns), std::move(text));
}
OperatorPtr make_limit(uint64_t count) { return std::make_unique<Limit>(count); }
OperatorPtr make_tail(RunState* run, uint64_t count) { return std::make_unique<Tail>(run, count); }
OperatorPtr make_sample_share(double share) { return std::make_unique<SampleShare>(share); }
OperatorPtr make_sample_count(RunState* run, uint64_t count) { return std::make_unique<SampleCount>(run, count); }
OperatorPtr make_sort(RunState* run, std::vector<SortKeySpec> keys, std::vector<size_t> tiebreak, std::optional<uint64_t> limit, std::string text) {
  return std::make_unique<Sort>(run, std::move(keys), std::move(tiebreak), limit, std::move(text));
}

}  // namespace sluice::query
