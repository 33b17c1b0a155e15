// dcount (HyperLogLog), count_distinct, entropy, values.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>

#include "query/aggregate.h"
#include "query/group_table.h"
#include "storage/model/text_list.h"

namespace sluice::query::aggregate_detail {
namespace {

// HyperLogLog (Flajolet et al. 2007) of 2^14 registers with Ertl's improved estimator ("New cardinality estimation
// algorithms for HyperLogLog sketches", 2017, algorithm 6): standard error 1.04 / sqrt(2^14) = 0.81 %, without the bias
// of the original at small and middling counts. A group keeps its hashes themselves while it has few, and is exact then.
class HyperLogLog {
 public:
  static constexpr int kBits = 14;
  static constexpr size_t kRegisters = size_t{1} << kBits;
  static constexpr size_t kExactMax = 1'024;

  void add(uint64_t hash) {
    ++added_;
    if (!registers_.empty()) return add_register(hash);
    add_exact(hash);
  }
  void merge(const HyperLogLog& o) {
    added_ += o.added_;
    if (o.registers_.empty()) {
      for (uint64_t h : o.hashes_)
        if (h != 0) registers_.empty() ? add_exact(h) : add_register(h);
      return;
    }
    if (registers_.empty()) to_registers();
    for (size_t i = 0; i < kRegisters; ++i) registers_[i] = std::max(registers_[i], o.registers_[i]);
  }
  bool exact() const { return registers_.empty(); }
  // Never more than the values that were counted, of which there may be hardly more than distinct ones.
  uint64_t estimate() const {
    if (registers_.empty()) return count_;
    constexpr int q = 64 - kBits;
    std::array<double, q + 2> histogram{};
    for (uint8_t r : registers_) ++histogram[r];
    const double m = kRegisters;
    double z = m * tau(1 - histogram[q + 1] / m);
    for (int k = q; k >= 1; --k) z = 0.5 * (z + histogram[static_cast<size_t>(k)]);
    z += m * sigma(histogram[0] / m);
    return std::min(added_, static_cast<uint64_t>(std::llround(m * m / (2 * std::log(2.0) * z))));
  }
  size_t byte_size() const { return hashes_.capacity() * 8 + registers_.capacity(); }

 private:
  void add_exact(uint64_t hash) {
    if (hash == 0) hash = 1;  // 0 marks an empty place
    if (hashes_.empty()) hashes_.assign(8, 0);
    for (size_t i = hash & (hashes_.size() - 1);; i = (i + 1) & (hashes_.size() - 1)) {
      if (hashes_[i] == hash) return;
      if (hashes_[i] != 0) continue;
      hashes_[i] = hash;
      break;
    }
    if (++count_ > kExactMax) {
      to_registers();
    } else if (count_ * 2 > hashes_.size()) {
      std::vector<uint64_t> old(hashes_.size() * 2, 0);
      old.swap(hashes_);
      for (uint64_t h : old) {
        if (h == 0) continue;
        size_t i = h & (hashes_.size() - 1);
        while (hashes_[i] != 0) i = (i + 1) & (hashes_.size() - 1);
        hashes_[i] = h;
      }
    }
  }
  void to_registers() {
    registers_.assign(kRegisters, 0);
    for (uint64_t h : hashes_)
      if (h != 0) add_register(h);
    hashes_ = {};
  }
  void add_register(uint64_t hash) {
    const size_t index = hash >> (64 - kBits);
    const uint64_t rest = hash << kBits;
    const auto rank = static_cast<uint8_t>(rest == 0 ? 64 - kBits + 1 : std::countl_zero(rest) + 1);
    registers_[index] = std::max(registers_[index], rank);
  }
  static double sigma(double x) {
    if (x == 1) return INFINITY;
    double y = 1, z = x, before;
    do {
      x *= x;
      before = z;
      z += x * y;
      y += y;
    } while (z != before);
    return z;
  }
  static double tau(double x) {
    if (x == 0 || x == 1) return 0;
    double y = 1, z = 1 - x, before;
    do {
      x = std::sqrt(x);
      before = z;
      y *= 0.5;
      z -= (1 - x) * (1 - x) * y;
    } while (z != before);
    return z / 3;
  }

  std::vector<uint64_t> hashes_;
  std::vector<uint8_t> registers_;
  size_t count_ = 0;
  uint64_t added_ = 0;  // values, each as often as it came
};

class Dcount final : public Aggregate {
 public:
  void resize(size_t count) override { groups_.resize(std::max(count, groups_.size())); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) override {
    const Column& c = *args[0];
    Growth growth(context);
    for (size_t i = 0; i < rows; ++i) {
      if (c.is_null(i)) continue;
      HyperLogLog& sketch = groups_[groups ? groups[i] : 0];
      const size_t before = sketch.byte_size();
      sketch.add(hash_at(c, i));
      const size_t after = sketch.byte_size();
      if (after == before) [[likely]] continue;
      bytes_ += after - before;
      if (after > before && !growth.add(after - before)) return;
    }
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext& context) override {
    auto& theirs = static_cast<Dcount&>(other).groups_;
    Growth growth(context);
    for (size_t g = 0; g < map.size(); ++g) {
      if (map[g] == kNoGroup) continue;
      HyperLogLog& sketch = groups_[map[g]];
      const size_t before = sketch.byte_size();
      sketch.merge(theirs[g]);
      const size_t after = sketch.byte_size();
      bytes_ += after - before;
      if (after > before && !growth.add(after - before)) return;
    }
  }
  Column finish(std::span<const uint32_t> groups, EvalContext&) const override {
    std::vector<uint64_t> out(groups.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = groups_[groups[i]].estimate();
    return Column::of<uint64_t>(PhysicalType::U64, std::move(out));
  }
  bool estimates(std::span<const uint32_t> groups) const override {
    return std::any_of(groups.begin(), groups.end(), [&](uint32_t g) { return !groups_[g].exact(); });
  }
  size_t byte_size() const override { return bytes_ + groups_.capacity() * sizeof(HyperLogLog); }

 private:
  std::vector<HyperLogLog> groups_;
  size_t bytes_ = 0;  // of all sketches
};

// Exact counts of each value: count_distinct and entropy. One table of all pairs of group and value rather than a table
// per group: mostly groups are many and their values few. Memory is what the query's limit says.
class ValueCounts final : public Aggregate {
 public:
  ValueCounts(const Type& value, bool entropy) : pairs_({group_type(), value}), entropy_(entropy) {}
  void resize(size_t count) override { groups_ = std::max(count, groups_); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) override {
    std::vector<uint32_t> group_of_row(rows, 0);
    if (groups) std::copy_n(groups, rows, group_of_row.begin());
    ColumnPtr values = args[0];
    if (values->has_nulls()) {
      std::vector<uint32_t> valid;
      for (uint32_t i = 0; i < rows; ++i)
        if (!values->is_null(i)) {
          group_of_row[valid.size()] = group_of_row[i];
          valid.push_back(i);
        }
      group_of_row.resize(valid.size());
      values = keep(values->gather(valid), context);
    }
    Growth growth(context);
    add(std::move(group_of_row), std::move(values), {}, growth);
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext& context) override {
    const auto& o = static_cast<ValueCounts&>(other);
    Growth growth(context);
    const bool drops = std::find(map.begin(), map.end(), kNoGroup) != map.end();
    std::vector<uint32_t> pairs;
    std::vector<uint64_t> counts;  // of those that stay
    for (size_t from = 0; from < o.pairs_.size(); from += kPiece) {
      pairs.resize(std::min(kPiece, o.pairs_.size() - from));
      std::iota(pairs.begin(), pairs.end(), static_cast<uint32_t>(from));
      const Column theirs = o.pairs_.keys(0, pairs);
      std::vector<uint32_t> groups(pairs.size());
      for (size_t i = 0; i < groups.size(); ++i) groups[i] = map[theirs.values<uint32_t>()[i]];
      std::span<const uint64_t> their_counts = entropy_ ? std::span<const uint64_t>(o.counts_).subspan(from, pairs.size()) : std::span<const uint64_t>();
      if (drops) {
        size_t stay = 0;
        counts.clear();
        for (size_t i = 0; i < pairs.size(); ++i) {
          if (groups[i] == kNoGroup) continue;
          if (entropy_) counts.push_back(their_counts[i]);
          pairs[stay] = pairs[i];
          groups[stay++] = groups[i];
        }
        if (stay == 0) continue;
        pairs.resize(stay);
        groups.resize(stay);
        if (entropy_) their_counts = counts;
      }
      const size_t before = byte_size();
      add(std::move(groups), keep(o.pairs_.keys(1, pairs), context), their_counts, growth);
      const size_t after = byte_size();
      if (after > before && !growth.add(after - before)) return;
    }
  }
  Column finish(std::span<const uint32_t> groups, EvalContext&) const override {
    if (starts_.size() != groups_ + 1) sort_out();
    Column out(entropy_ ? PhysicalType::F64 : PhysicalType::U64);
    for (uint32_t g : groups) {
      const size_t from = starts_[g], to = starts_[g + 1];
      if (!entropy_) {
        out.append<uint64_t>(to - from);
      } else if (from == to) {
        out.append_null();
      } else {
        std::vector<uint64_t> sorted(sorted_counts_.begin() + static_cast<ptrdiff_t>(from), sorted_counts_.begin() + static_cast<ptrdiff_t>(to));
        std::sort(sorted.begin(), sorted.end());  // so that rounding does not depend on the order of the table
        uint64_t total = 0;
        for (uint64_t n : sorted) total += n;
        double bits = 0;
        for (uint64_t n : sorted) {
          const double p = static_cast<double>(n) / static_cast<double>(total);
          bits -= p * std::log2(p);
        }
        out.append(bits == 0 ? 0.0 : bits);
      }
    }
    return out;
  }
  size_t byte_size() const override {
    return pairs_.byte_size() + (counts_.capacity() + starts_.capacity() + sorted_counts_.capacity()) * 8 + numbers_.capacity() * 4;
  }

 private:
  static constexpr size_t kPiece = 16'384;
  static Type group_type() {
    Type type = Type::of(LogicalType::uint);
    type.physical = PhysicalType::U32;
    return type;
  }
  // One more of each pair, or as many as `counts` says.
  void add(std::vector<uint32_t> groups, ColumnPtr values, std::span<const uint64_t> counts, Growth& growth) {
    starts_.clear();
    const size_t rows = groups.size();
    const ColumnPtr columns[2] = {std::make_shared<Column>(Column::of<uint32_t>(PhysicalType::U32, std::move(groups))), std::move(values)};
    pairs_.find(columns, rows, numbers_, &growth);
    if (!entropy_) return;
    counts_.resize(pairs_.size());
    for (size_t i = 0; i < rows; ++i) counts_[numbers_[i]] += counts.empty() ? 1 : counts[i];
  }
  // Where each group's pairs begin, were they sorted by group; and, for entropy, their counts in that order.
  void sort_out() const {
    starts_.assign(groups_ + 2, 0);
    std::vector<uint32_t> pairs;
    auto each_piece = [&](auto f) {
      for (size_t from = 0; from < pairs_.size(); from += kPiece) {
        pairs.resize(std::min(kPiece, pairs_.size() - from));
        std::iota(pairs.begin(), pairs.end(), static_cast<uint32_t>(from));
        const Column group = pairs_.keys(0, pairs);
        for (size_t i = 0; i < pairs.size(); ++i) f(group.values<uint32_t>()[i], from + i);
      }
    };
    // Shifted by one place while filling, so that each group's place ends where the next begins.
    each_piece([&](uint32_t g, size_t) { ++starts_[g + 2]; });
    for (size_t g = 2; g < starts_.size(); ++g) starts_[g] += starts_[g - 1];
    sorted_counts_.resize(entropy_ ? pairs_.size() : 0);
    each_piece([&](uint32_t g, size_t pair) {
      const size_t at = starts_[g + 1]++;
      if (entropy_) sorted_counts_[at] = counts_[pair];
    });
    starts_.pop_back();
  }

  GroupTable pairs_;
  bool entropy_;
  size_t groups_ = 0;
  std::vector<uint64_t> counts_;  // by pair; for entropy
  std::vector<uint32_t> numbers_;
  mutable std::vector<uint64_t> starts_, sorted_counts_;  // made by the first finish()
};

// The n least distinct values, as a list: the same whatever the order of rows.
class Values final : public Aggregate {
 public:
  Values(Type type, uint64_t most) : type_(std::move(type)), most_(most) {}
  void resize(size_t count) override { groups_.resize(std::max(count, groups_.size())); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) override {
    Growth growth(context);
    for (size_t i = 0; i < rows; ++i)
      if (!args[0]->is_null(i) && !growth.add(add(groups ? groups[i] : 0, value_at(*args[0], type_, i)))) return;
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext&) override {
    auto& o = static_cast<Values&>(other);
    for (size_t g = 0; g < map.size(); ++g)
      while (map[g] != kNoGroup && !o.groups_[g].empty()) {
        auto node = o.groups_[g].extract(o.groups_[g].begin());
        o.bytes_ -= cost_of(node.value());
        add(map[g], std::move(node.value()));  // moves: the query has no more of it than before
      }
  }
  Column finish(std::span<const uint32_t> groups, EvalContext& context) const override {
    TextBuilder out(context, groups.size());
    std::string list;
    for (uint32_t g : groups) {
      list.clear();
      for (const Value& v : groups_[g]) append_list_item(list, format_value(v, type_.enumeration));
      out.append(list);
    }
    return out.finish();
  }
  size_t byte_size() const override { return bytes_ + groups_.capacity() * sizeof(groups_[0]); }

 private:
  struct Less {
    bool operator()(const Value& a, const Value& b) const { return compare_values(a, b) < 0; }
  };
  // Returns the bytes that it has grown by; growth by less than a value is none.
  size_t add(uint32_t group, Value value) {
    auto& values = groups_[group];
    if (values.size() == most_ && !Less()(value, *values.rbegin())) return 0;
    const auto [it, added] = values.insert(std::move(value));
    if (!added) return 0;
    const size_t before = bytes_;
    bytes_ += cost_of(*it);
    if (values.size() <= most_) return bytes_ - before;
    const auto last = std::prev(values.end());
    bytes_ -= cost_of(*last);
    values.erase(last);
    return bytes_ > before ? bytes_ - before : 0;
  }
  // A node of the set with its allocation, and text that lies outside of it. The capacity of a text never changes here.
  static size_t cost_of(const Value& value) {
    const auto* text = std::get_if<std::string>(&value.data);
    return sizeof(Value) + 48 + (text && text->capacity() > std::string().capacity() ? text->capacity() + 1 : 0);
  }
  Type type_;
  uint64_t most_;
  std::vector<std::set<Value, Less>> groups_;
  size_t bytes_ = 0;
};

}  // namespace

extern const AggregateSpec kDcount{
    "dcount", "dcount(x)", "How many distinct values, within 0.8 % (HyperLogLog); exact up to 1,024", 1, 1, nullptr, false,
    [](std::span<const NodePtr>, bool) -> Result<AggregateMake> {
      return AggregateMake{Type::of(LogicalType::uint), [] { return std::make_unique<Dcount>(); },
                           "counts by dcount() of more than 1,024 distinct values are estimates, with a standard error of 0.8 %", true, true};
    }};
extern const AggregateSpec kCountDistinct{
    "count_distinct", "count_distinct(x)", "How many distinct values, exactly", 1, 1, nullptr, false,
    [](std::span<const NodePtr> args, bool) -> Result<AggregateMake> {
      return AggregateMake{Type::of(LogicalType::uint), [type = args[0]->type] { return std::make_unique<ValueCounts>(type, false); }, {}, true};
    }};
extern const AggregateSpec kEntropy{
    "entropy", "entropy(x)", "Shannon entropy of the values in bits", 1, 1, nullptr, false,
    [](std::span<const NodePtr> args, bool) -> Result<AggregateMake> {
      return AggregateMake{Type::of(LogicalType::float64), [type = args[0]->type] { return std::make_unique<ValueCounts>(type, true); }, {}, false};
    }};
extern const AggregateSpec kValues{
    "values", "values(x [, n])", "The distinct values as a list, sorted, at most n (100)", 1, 2, nullptr, false,
    [](std::span<const NodePtr> args, bool) -> Result<AggregateMake> {
      uint64_t most = 100;
      if (args.size() > 1) {
        SLUICE_ASSIGN(most, constant_count("values", args, 1, 10'000));
      }
      return AggregateMake{Type::of(LogicalType::list), [type = args[0]->type, most] { return std::make_unique<Values>(type, most); }, {}, false};
    }};

}  // namespace sluice::query::aggregate_detail
