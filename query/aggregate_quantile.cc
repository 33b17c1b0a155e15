// quantile and its short forms.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "query/aggregate.h"

namespace sluice::query::aggregate_detail {
namespace {

// DDSketch (Masson, Rim, Lee, VLDB 2019): buckets of logarithmic width, so a quantile is within 0.5 % of a value of that
// rank, whatever the distribution, and merging is exact. A group keeps its values while it has few, and is exact then.
class QuantileSketch {
 public:
  static constexpr double kRelativeError = 0.005;
  static constexpr size_t kExactMax = 512;

  void add(double value) {
    if (!sketched_) {
      values_.push_back(value);
      if (values_.size() > kExactMax) to_buckets();
      return;
    }
    bucket(value, 1);
  }
  void merge(QuantileSketch& o) {
    if (!o.sketched_) {
      for (double v : o.values_) add(v);
      return;
    }
    if (!sketched_) to_buckets();
    for (auto [index, count] : o.buckets_) buckets_[index] += count;
    count_ += o.count_;
    least_ = std::min(least_, o.least_);
    greatest_ = std::max(greatest_, o.greatest_);
  }
  // The value of rank ceil(q · n). nullopt without values.
  std::optional<double> quantile(double q) const {
    if (!sketched_) {
      if (values_.empty()) return std::nullopt;
      std::vector<double> sorted = values_;
      std::sort(sorted.begin(), sorted.end());
      return sorted[rank(q, sorted.size()) - 1];
    }
    uint64_t left = rank(q, count_);
    if (left == 1) return least_;
    if (left == count_) return greatest_;
    for (auto [index, count] : buckets_) {
      // A bucket's middle may lie beyond the values that are in it.
      if (left <= count) return std::clamp(value_of(index), least_, greatest_);
      left -= count;
    }
    return std::nullopt;
  }
  // The least and the greatest value are always known.
  bool exact(double q) const { return !sketched_ || rank(q, count_) == 1 || rank(q, count_) == count_; }
  size_t byte_size() const { return values_.capacity() * 8 + buckets_.size() * 64; }

 private:
  static uint64_t rank(double q, uint64_t n) {
    // 0.07 · 100 is 7.000000000000001 in doubles, and still the 7th.
    double r = q * static_cast<double>(n);
    r = std::fabs(r - std::round(r)) <= r * 1e-15 ? std::round(r) : std::ceil(r);
    return std::clamp<uint64_t>(r < 1 ? 1 : static_cast<uint64_t>(r), 1, n);
  }
  static double gamma() { return (1 + kRelativeError) / (1 - kRelativeError); }
  // Negative values mirror positive ones; what is nearer to zero than 1e-9 counts as zero. Logarithms of doubles above
  // 1e-9 need fewer than 75,000 buckets a side.
  static constexpr int kMiddle = 1 << 20;
  static int index_of(double v) {
    if (std::fabs(v) < 1e-9) return 0;
    const int i = static_cast<int>(std::ceil(std::log(std::fabs(v)) / std::log(gamma())));
    return v > 0 ? kMiddle + i : -kMiddle - i;
  }
  static double value_of(int index) {
    if (index == 0) return 0;
    const int i = index > 0 ? index - kMiddle : -index - kMiddle;
    const double v = 2 * std::pow(gamma(), i) / (gamma() + 1);
    return index > 0 ? v : -v;
  }
  void bucket(double value, uint64_t count) {
    buckets_[index_of(value)] += count;
    count_ += count;
    least_ = std::min(least_, value);
    greatest_ = std::max(greatest_, value);
  }
  void to_buckets() {
    sketched_ = true;
    for (double v : values_) bucket(v, 1);
    values_ = {};
  }

  bool sketched_ = false;
  std::vector<double> values_;
  std::map<int, uint64_t> buckets_;
  uint64_t count_ = 0;
  double least_ = std::numeric_limits<double>::infinity(), greatest_ = -std::numeric_limits<double>::infinity();  // of what is in buckets
};

class Quantile final : public Aggregate {
 public:
  Quantile(double q, PhysicalType result) : q_(q), result_(result) {}
  void resize(size_t count) override { groups_.resize(std::max(count, groups_.size())); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) override {
    const auto values = as_doubles(*args[0]);
    Growth growth(context);
    for (size_t i = 0; i < rows; ++i) {
      if (args[0]->is_null(i)) continue;
      QuantileSketch& sketch = groups_[groups ? groups[i] : 0];
      const size_t before = sketch.byte_size();
      sketch.add(values[i]);
      if (!grew(before, sketch.byte_size(), growth)) return;
    }
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext& context) override {
    auto& theirs = static_cast<Quantile&>(other).groups_;
    Growth growth(context);
    for (size_t g = 0; g < map.size(); ++g) {
      if (map[g] == kNoGroup) continue;
      QuantileSketch& sketch = groups_[map[g]];
      const size_t before = sketch.byte_size();
      sketch.merge(theirs[g]);
      if (!grew(before, sketch.byte_size(), growth)) return;
    }
  }
  Column finish(std::span<const uint32_t> groups, EvalContext&) const override {
    Column out(result_);
    for (uint32_t g : groups) {
      const auto v = groups_[g].quantile(q_);
      if (!v)
        out.append_null();
      else if (result_ == PhysicalType::F64)
        out.append(*v);
      else
        out.append_uint(static_cast<uint64_t>(static_cast<int64_t>(std::llround(*v))));
    }
    return out;
  }
  bool estimates(std::span<const uint32_t> groups) const override {
    return std::any_of(groups.begin(), groups.end(), [&](uint32_t g) { return !groups_[g].exact(q_); });
  }
  size_t byte_size() const override { return bytes_ + groups_.capacity() * sizeof(QuantileSketch); }

 private:
  bool grew(size_t before, size_t after, Growth& growth) {
    bytes_ += after - before;
    return after <= before || growth.add(after - before);
  }
  double q_;
  PhysicalType result_;
  std::vector<QuantileSketch> groups_;
  size_t bytes_ = 0;  // of all sketches
};

Result<AggregateMake> bind_quantile(std::string_view name, std::span<const NodePtr> args, double q) {
  const bool duration = args[0]->type.logical == LogicalType::duration;
  if (!is_number(args[0]->type.logical) && !duration) return wrong_aggregate_argument(name, 0, "a number or a duration");
  AggregateMake make;
  make.result = Type::of(duration ? LogicalType::duration : LogicalType::float64);
  make.result.unit = args[0]->type.unit;
  make.make = [q, p = make.result.physical] { return std::make_unique<Quantile>(q, p); };
  make.estimate_note = "quantiles of more than 512 values are estimates, within 0.5 % of the exact one";
  return make;
}

}  // namespace

extern const AggregateSpec kQuantile{
    "quantile", "quantile(x, q)", "The value of rank ceil(q · n), within 0.5 % above 512 values; 0 is min, 1 is max", 2, 2, nullptr, false,
    [](std::span<const NodePtr> args, bool) -> Result<AggregateMake> {
      const Value* q = args[1]->constant();
      if (!q || !q->is_number() || q->as_double() < 0 || q->as_double() > 1) return wrong_aggregate_argument("quantile", 1, "a share from 0 to 1");
      return bind_quantile("quantile", args, q->as_double());
    }};
extern const AggregateSpec kP50{"p50", "p50(x)", "quantile(x, 0.5)", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_quantile("p50", args, 0.5); }};
extern const AggregateSpec kMedian{"median", "median(x)", "quantile(x, 0.5)", 1, 1, nullptr, false,
                                   [](std::span<const NodePtr> args, bool) { return bind_quantile("median", args, 0.5); }};
extern const AggregateSpec kP90{"p90", "p90(x)", "quantile(x, 0.9)", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_quantile("p90", args, 0.9); }};
extern const AggregateSpec kP95{"p95", "p95(x)", "quantile(x, 0.95)", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_quantile("p95", args, 0.95); }};
extern const AggregateSpec kP99{"p99", "p99(x)", "quantile(x, 0.99)", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_quantile("p99", args, 0.99); }};

}  // namespace sluice::query::aggregate_detail
