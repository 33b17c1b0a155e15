// min, max, any, first, last, arg_min, arg_max.
#include "query/aggregate.h"

namespace sluice::query::aggregate_detail {
namespace {

// Reads values of a column as T, whatever the layout.
template <typename T>
T read_as(const Column& c, size_t row) {
  if constexpr (std::is_same_v<T, IpAddress>)
    return c.ip_at(row);
  else if constexpr (std::is_same_v<T, std::string>)
    return std::string(c.string_at(row));
  else if constexpr (std::is_same_v<T, double>)
    return c.float_at(row);
  else
    return static_cast<T>(c.uint_at(row));
}

template <typename T>
class Extreme final : public Aggregate {
 public:
  Extreme(bool greatest, PhysicalType result) : greatest_(greatest), result_(result) {}
  void resize(size_t count) override {
    if (count <= values_.size()) return;
    values_.resize(count);
    seen_.resize(count);
  }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) override {
    const Column& c = *args[0];
    Growth growth(context);
    for (size_t i = 0; i < rows; ++i) {
      if (c.is_null(i)) continue;
      const uint32_t g = groups ? groups[i] : 0;
      if constexpr (std::is_same_v<T, std::string>) {  // a copy only when it wins
        const std::string_view v = c.string_at(i);
        if (seen_[g] && !(greatest_ ? std::string_view(values_[g]) < v : v < std::string_view(values_[g]))) continue;
        if (v.size() > values_[g].size() && !growth.add(v.size() - values_[g].size())) return;
        take(g, std::string(v));
      } else {
        take(g, read_as<T>(c, i));
      }
    }
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext&) override {
    auto& o = static_cast<Extreme&>(other);
    for (size_t g = 0; g < map.size(); ++g) {
      if (!o.seen_[g] || map[g] == kNoGroup) continue;
      if constexpr (std::is_same_v<T, std::string>) o.text_bytes_ -= o.values_[g].size();
      take(map[g], std::move(o.values_[g]));
    }
  }
  Column finish(std::span<const uint32_t> groups, EvalContext& context) const override {
    if constexpr (std::is_same_v<T, std::string>) {
      TextBuilder text(context, groups.size());
      for (uint32_t g : groups) seen_[g] ? text.append(values_[g]) : text.append_null();
      return text.finish();
    }
    Column out(result_);
    for (uint32_t g : groups) {
      if (!seen_[g])
        out.append_null();
      else if constexpr (std::is_same_v<T, IpAddress> || std::is_same_v<T, double>)
        out.append(values_[g]);
      else if constexpr (std::is_integral_v<T>)
        out.append_uint(static_cast<uint64_t>(values_[g]));
    }
    return out;
  }
  bool plain() const override { return !std::is_same_v<T, std::string>; }
  size_t byte_size() const override { return values_.capacity() * sizeof(T) + seen_.capacity() + text_bytes_; }

 private:
  void take(uint32_t g, T value) {
    if (seen_[g] && !(greatest_ ? values_[g] < value : value < values_[g])) return;
    if constexpr (std::is_same_v<T, std::string>) text_bytes_ += value.size() - values_[g].size();
    values_[g] = std::move(value);
    seen_[g] = 1;
  }
  bool greatest_;
  PhysicalType result_;
  std::vector<T> values_;
  std::vector<uint8_t> seen_;
  size_t text_bytes_ = 0;  // of all values
};

// x where y is least or greatest; of several such rows, the least x (the greatest for arg_max), so that the answer does
// not depend on the order of rows.
class ArgExtreme final : public Aggregate {
 public:
  ArgExtreme(bool greatest, Type x, Type y) : greatest_(greatest), x_(std::move(x)), y_(std::move(y)) {}
  void resize(size_t count) override { groups_.resize(std::max(count, groups_.size())); }
  void update(const uint32_t* groups, std::span<const ColumnPtr> args, size_t rows, EvalContext& context) override {
    Growth growth(context);
    for (size_t i = 0; i < rows; ++i) {
      if (args[0]->is_null(i) || args[1]->is_null(i)) continue;
      const uint32_t g = groups ? groups[i] : 0;
      Group& best = groups_[g];
      Value y = value_at(*args[1], y_, i);
      const int order = best.y.is_null() ? 1 : compare_values(y, best.y) * (greatest_ ? 1 : -1);
      if (order < 0) continue;
      Value x = value_at(*args[0], x_, i);
      if (order == 0 && compare_values(x, best.x) * (greatest_ ? 1 : -1) <= 0) continue;
      const size_t before = best.text_bytes();
      best = {std::move(x), std::move(y)};
      const size_t after = best.text_bytes();
      text_bytes_ += after - before;
      if (after > before && !growth.add(after - before)) return;
    }
  }
  void merge(Aggregate& other, std::span<const uint32_t> map, EvalContext&) override {
    auto& o = static_cast<ArgExtreme&>(other);
    auto& theirs = o.groups_;
    for (size_t g = 0; g < map.size(); ++g) {
      if (theirs[g].y.is_null() || map[g] == kNoGroup) continue;
      Group& best = groups_[map[g]];
      const int order = best.y.is_null() ? 1 : compare_values(theirs[g].y, best.y) * (greatest_ ? 1 : -1);
      if (order < 0 || (order == 0 && compare_values(theirs[g].x, best.x) * (greatest_ ? 1 : -1) <= 0)) continue;
      const size_t taken = theirs[g].text_bytes();
      text_bytes_ += taken - best.text_bytes();
      o.text_bytes_ -= taken;
      best = std::move(theirs[g]);
    }
  }
  Column finish(std::span<const uint32_t> groups, EvalContext& context) const override {
    if (x_.physical == PhysicalType::Str) {
      TextBuilder text(context, groups.size());
      for (uint32_t g : groups) {
        const auto* value = std::get_if<std::string>(&groups_[g].x.data);
        value ? text.append(*value) : text.append_null();
      }
      return text.finish();
    }
    Column out(x_.physical);
    for (uint32_t g : groups) append_value(out, groups_[g].x);
    return out;
  }
  size_t byte_size() const override { return groups_.capacity() * sizeof(Group) + text_bytes_; }

 private:
  struct Group {
    Value x, y;
    // Beside what lies in the values themselves.
    size_t text_bytes() const {
      size_t n = 0;
      for (const Value* v : {&x, &y})
        if (const auto* text = std::get_if<std::string>(&v->data); text && text->capacity() > std::string().capacity()) n += text->capacity() + 1;
      return n;
    }
  };
  bool greatest_;
  Type x_, y_;
  std::vector<Group> groups_;
  size_t text_bytes_ = 0;
};

Result<AggregateMake> bind_extreme(std::span<const NodePtr> args, bool greatest) {
  AggregateMake make;
  make.result = args[0]->type;
  make.result.column.reset();
  const PhysicalType p = make.result.physical;
  switch (p) {
    case PhysicalType::Ip: make.make = [greatest, p] { return std::make_unique<Extreme<IpAddress>>(greatest, p); }; break;
    case PhysicalType::Str: make.make = [greatest, p] { return std::make_unique<Extreme<std::string>>(greatest, p); }; break;
    case PhysicalType::F64: make.make = [greatest, p] { return std::make_unique<Extreme<double>>(greatest, p); }; break;
    case PhysicalType::I64: make.make = [greatest, p] { return std::make_unique<Extreme<int64_t>>(greatest, p); }; break;
    default: make.make = [greatest, p] { return std::make_unique<Extreme<uint64_t>>(greatest, p); };
  }
  make.can_be_kept = p != PhysicalType::Str && p != PhysicalType::F64;
  return make;
}

Result<AggregateMake> bind_arg(std::span<const NodePtr> args, bool greatest) {
  AggregateMake make;
  make.result = args[0]->type;
  make.result.column.reset();
  make.make = [greatest, x = make.result, y = args[1]->type] { return std::make_unique<ArgExtreme>(greatest, x, y); };
  return make;
}

}  // namespace

extern const AggregateSpec kMin{"min", "min(x)", "The least value", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_extreme(args, false); }};
extern const AggregateSpec kMax{"max", "max(x)", "The greatest value", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_extreme(args, true); }};
extern const AggregateSpec kAny{"any", "any(x)", "Some value that is not null: always the least, so that answers repeat", 1, 1, nullptr, false,
                                [](std::span<const NodePtr> args, bool) { return bind_extreme(args, false); }};
extern const AggregateSpec kArgMin{"arg_min", "arg_min(x, y)", "x of the row where y is least", 2, 2, nullptr, false,
                                   [](std::span<const NodePtr> args, bool) { return bind_arg(args, false); }};
extern const AggregateSpec kArgMax{"arg_max", "arg_max(x, y)", "x of the row where y is greatest", 2, 2, nullptr, false,
                                   [](std::span<const NodePtr> args, bool) { return bind_arg(args, true); }};
extern const AggregateSpec kFirst{"first", "first(x)", "x of the earliest row by ts that has one", 1, 1, nullptr, true,
                                  [](std::span<const NodePtr> args, bool) { return bind_arg(args, false); }};
extern const AggregateSpec kLast{"last", "last(x)", "x of the latest row by ts that has one", 1, 1, nullptr, true,
                                 [](std::span<const NodePtr> args, bool) { return bind_arg(args, true); }};

}  // namespace sluice::query::aggregate_detail
