// count, sum, avg, stdev and their conditional kin.
#include <cmath>

#include "query/aggregate.h"
#include "query/huge_vector.h"

namespace sluice::query::aggregate_detail {
namespace {

// States of more groups than this are not in a near cache; they are asked for so many rows ahead.
constexpr size_t kCached = 32'768, kAhead = 24;

template <typename F>
void each_valid(const uint32_t* groups, const Column* column, size_t rows, F f) {
  if (column && column->has_nulls()) {
    const auto words = column->validity().words();
    for (size_t i = 0; i < rows; ++i)
      if (words[i / 64] >> (i % 64) & 1) f(groups ? groups[i] : 0, i);
  } else if (groups) {
    for (size_t i = 0; i < rows; ++i) f(groups[i], i);
  } else {
    for (size_t i = 0; i < rows; ++i) f(0, i);
  }
}

class Count final : public Aggregate {
 public:
  void resize(size_t count) override { counts_.resize(std::max(count, counts_.size())); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext&) override {
    if (!groups) {
      counts_[0] += rows - (args.empty() ? 0 : args[0]->null_count());
      return;
    }
    if (counts_.size() > kCached && (args.empty() || !args[0]->has_nulls())) {
      for (size_t i = 0; i < rows; ++i) {
        if (i + kAhead < rows) __builtin_prefetch(&counts_[groups[i + kAhead]], 1);
        ++counts_[groups[i]];
      }
      return;
    }
    each_valid(groups, args.empty() ? nullptr : args[0].get(), rows, [&](uint32_t g, size_t) { ++counts_[g]; });
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext&) override {
    const auto& theirs = static_cast<Count&>(other).counts_;
    for (size_t g = 0; g < map.size(); ++g)
      if (theirs[g] != 0 && map[g] != kNoGroup) counts_[map[g]] += theirs[g];
  }
  bool plain() const override { return true; }
  Column finish(std::span<const uint32_t> groups, EvalContext&) const override {
    std::vector<uint64_t> out(groups.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = counts_[groups[i]];
    return Column::of<uint64_t>(PhysicalType::U64, std::move(out));
  }
  size_t byte_size() const override { return counts_.capacity() * 8; }

 private:
  HugeVector<uint64_t> counts_;
};

// T is what is added up: uint64_t, int64_t or double. A group without values is null, so it has a seen bit.
template <typename T>
class Sum final : public Aggregate {
 public:
  explicit Sum(PhysicalType result) : result_(result) {}
  void resize(size_t count) override {
    if (count <= sums_.size()) return;
    sums_.resize(count);
    seen_.resize((count + 63) / 64);
  }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) override {
    const Column& c = *args[0];
    switch (c.type()) {
      case PhysicalType::U8: return add(groups, c, c.values<uint8_t>(), rows, context);
      case PhysicalType::U16: return add(groups, c, c.values<uint16_t>(), rows, context);
      case PhysicalType::U32: return add(groups, c, c.values<uint32_t>(), rows, context);
      case PhysicalType::U64: return add(groups, c, c.values<uint64_t>(), rows, context);
      case PhysicalType::I64: return add(groups, c, c.values<int64_t>(), rows, context);
      case PhysicalType::F64: return add(groups, c, c.values<double>(), rows, context);
      default: return;
    }
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext& context) override {
    auto& o = static_cast<Sum&>(other);
    for (size_t g = 0; g < map.size(); ++g) {
      if (!o.seen(g) || map[g] == kNoGroup) continue;
      plus(sums_[map[g]], o.sums_[g], context.overflow);
      see(map[g]);
    }
  }
  bool plain() const override { return true; }
  Column finish(std::span<const uint32_t> groups, EvalContext& context) const override {
    if constexpr (std::is_same_v<T, double>)
      if (result_ == PhysicalType::I64) return finish_durations(groups, context);
    std::vector<T> out(groups.size());
    Bitmap valid;
    for (size_t i = 0; i < out.size(); ++i) {
      const uint32_t g = groups[i];
      out[i] = sums_[g];
      if (seen(g)) continue;
      if (valid.empty()) valid.resize(out.size(), true);
      valid.set(i, false);
    }
    return Column::of<T>(result_, std::move(out), std::move(valid));
  }
  size_t byte_size() const override { return (sums_.capacity() + seen_.capacity()) * 8; }

 private:
  bool seen(size_t g) const { return seen_[g / 64] >> (g % 64) & 1; }
  // Mostly set already: reading is cheaper than writing.
  void see(size_t g) {
    if (!seen(g)) seen_[g / 64] |= uint64_t{1} << (g % 64);
  }
  // Durations added up in floats: what is beyond 64 bits of nanoseconds has no value.
  Column finish_durations(std::span<const uint32_t> groups, EvalContext& context) const {
    Column out(PhysicalType::I64);
    out.reserve(groups.size());
    for (const uint32_t g : groups) {
      const auto sum = static_cast<double>(sums_[g]);
      const bool fits = std::fabs(sum) < 9.2e18;
      context.beyond_time = context.beyond_time || (seen(g) && !fits);
      if (seen(g) && fits)
        out.append_uint(static_cast<uint64_t>(static_cast<int64_t>(std::llround(sum))));
      else
        out.append_null();
    }
    return out;
  }
  template <typename V>
  static void plus(T& sum, V value, bool& overflow) {
    if constexpr (std::is_same_v<T, double>)
      sum += static_cast<double>(value);
    else
      overflow |= __builtin_add_overflow(sum, static_cast<T>(value), &sum);
  }
  template <typename V>
  void add(const uint32_t* groups, const Column& column, std::span<const V> values, size_t rows, EvalContext& context) {
    bool overflow = false;
    if (!groups && !column.has_nulls() && rows > 0) {
      T sum = sums_[0];
      if constexpr (sizeof(V) <= 4 && !std::is_same_v<T, double>) {
        uint64_t part = 0;  // cannot overflow: fewer than 2^32 rows
        for (size_t i = 0; i < rows; ++i) part += values[i];
        plus(sum, part, overflow);
      } else {
        for (size_t i = 0; i < rows; ++i) plus(sum, values[i], overflow);
      }
      sums_[0] = sum;
      see(0);
    } else if (groups && !column.has_nulls() && sums_.size() > kCached) {
      for (size_t i = 0; i < rows; ++i) {
        if (i + kAhead < rows) __builtin_prefetch(&sums_[groups[i + kAhead]], 1);
        plus(sums_[groups[i]], values[i], overflow);
        see(groups[i]);
      }
    } else {
      each_valid(groups, &column, rows, [&](uint32_t g, size_t i) {
        plus(sums_[g], values[i], overflow);
        see(g);
      });
    }
    context.overflow |= overflow;
  }

  PhysicalType result_;
  HugeVector<T> sums_;
  std::vector<uint64_t> seen_;  // one bit per group, so that it stays in the cache beside millions of sums
};

// Mean and squared deviations by Welford, merged by Chan et al., "Updating Formulae and a Pairwise Algorithm for Computing
// Sample Variances" (1979): no cancellation for large values.
class Moments final : public Aggregate {
 public:
  Moments(bool deviation, PhysicalType result) : deviation_(deviation), result_(result) {}
  void resize(size_t count) override { groups_.resize(std::max(count, groups_.size())); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext&) override {
    const auto values = as_doubles(*args[0]);
    if (!deviation_) {  // a plain sum is quicker, and is all that a mean needs
      each_valid(groups, args[0].get(), rows, [&](uint32_t g, size_t i) {
        ++groups_[g].count;
        groups_[g].mean += values[i];
      });
      return;
    }
    each_valid(groups, args[0].get(), rows, [&](uint32_t g, size_t i) {
      Group& s = groups_[g];
      const double delta = values[i] - s.mean;
      s.mean += delta / static_cast<double>(++s.count);
      s.squares += delta * (values[i] - s.mean);
    });
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext&) override {
    const auto& theirs = static_cast<Moments&>(other).groups_;
    for (size_t g = 0; g < map.size(); ++g) {
      const Group& b = theirs[g];
      if (b.count == 0 || map[g] == kNoGroup) continue;
      Group& a = groups_[map[g]];
      if (!deviation_) {
        a.count += b.count;
        a.mean += b.mean;
        continue;
      }
      const double n = static_cast<double>(a.count + b.count), delta = b.mean - a.mean;
      a.squares += b.squares + delta * delta * static_cast<double>(a.count) * static_cast<double>(b.count) / n;
      a.mean += delta * static_cast<double>(b.count) / n;
      a.count += b.count;
    }
  }
  Column finish(std::span<const uint32_t> groups, EvalContext&) const override {
    Column out(result_);
    for (uint32_t g : groups) {
      const Group& s = groups_[g];
      if (s.count < (deviation_ ? 2u : 1u)) {
        out.append_null();
        continue;
      }
      const double n = static_cast<double>(s.count);
      const double v = deviation_ ? std::sqrt(std::max(0.0, s.squares) / (n - 1)) : s.mean / n;
      if (result_ == PhysicalType::F64)
        out.append(v);
      else
        out.append_uint(static_cast<uint64_t>(static_cast<int64_t>(std::llround(v))));
    }
    return out;
  }
  bool plain() const override { return true; }
  size_t byte_size() const override { return groups_.capacity() * sizeof(Group); }

 private:
  struct Group {
    uint64_t count = 0;
    double mean = 0;  // the sum, while no deviation is asked for
    double squares = 0;
  };
  bool deviation_;
  PhysicalType result_;
  std::vector<Group> groups_;
};

Result<AggregateMake> bind_count(std::span<const NodePtr>, bool) {
  return AggregateMake{Type::of(LogicalType::uint), [] { return std::make_unique<Count>(); }, {}, true, true, true};
}

Result<AggregateMake> bind_sum(std::span<const NodePtr> args, bool widen) {
  const Type& in = args[0]->type;
  AggregateMake make;
  if (in.logical == LogicalType::duration) {
    make.result = Type::of(LogicalType::duration);
    if (widen)
      make.make = [] { return std::make_unique<Sum<double>>(PhysicalType::I64); };
    else
      make.make = [] { return std::make_unique<Sum<int64_t>>(PhysicalType::I64); };
  } else if (!is_number(in.logical) && in.logical != LogicalType::boolean) {
    return wrong_aggregate_argument("sum", 0, "a number or a duration");
  } else if (in.physical == PhysicalType::F64 || widen) {
    make.result = Type::of(LogicalType::float64);
    make.make = [] { return std::make_unique<Sum<double>>(PhysicalType::F64); };
  } else if (in.physical == PhysicalType::I64) {
    make.result = Type::of(LogicalType::int64);
    make.make = [] { return std::make_unique<Sum<int64_t>>(PhysicalType::I64); };
  } else {
    make.result = Type::of(LogicalType::uint);
    make.make = [] { return std::make_unique<Sum<uint64_t>>(PhysicalType::U64); };
    make.is_total = true;
  }
  make.result.unit = in.unit;
  make.can_be_kept = in.physical != PhysicalType::F64 && !widen;
  return make;
}

Result<AggregateMake> bind_moments(std::span<const NodePtr> args, bool deviation) {
  const Type& in = args[0]->type;
  const bool duration = in.logical == LogicalType::duration;
  if (!is_number(in.logical) && !duration && in.logical != LogicalType::boolean)
    return wrong_aggregate_argument(deviation ? "stdev" : "avg", 0, "a number or a duration");
  AggregateMake make;
  make.result = Type::of(duration ? LogicalType::duration : LogicalType::float64);
  make.result.unit = in.unit;
  make.make = [deviation, physical = make.result.physical] { return std::make_unique<Moments>(deviation, physical); };
  return make;
}

}  // namespace

extern const AggregateSpec kCount{"count", "count()", "How many rows; count(x): how many where x is not null", 0, 1, nullptr, false, bind_count};
extern const AggregateSpec kCountIf{"countif", "countif(condition)", "How many rows meet the condition", 1, 1, &kCount, false, nullptr};
extern const AggregateSpec kSum{"sum", "sum(x)", "The sum; null values are skipped, no values give null", 1, 1, nullptr, false, bind_sum};
extern const AggregateSpec kSumIf{"sumif", "sumif(x, condition)", "The sum over rows that meet the condition", 2, 2, &kSum, false, nullptr};
extern const AggregateSpec kAvg{"avg", "avg(x)", "The mean of values that are not null", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_moments(args, false); }};
extern const AggregateSpec kAvgIf{"avgif", "avgif(x, condition)", "The mean over rows that meet the condition", 2, 2, &kAvg, false, nullptr};
extern const AggregateSpec kStdev{"stdev", "stdev(x)", "The sample standard deviation (n - 1); null below two values", 1, 1, nullptr, false,
                                  [](std::span<const NodePtr> args, bool) { return bind_moments(args, true); }};

}  // namespace sluice::query::aggregate_detail
