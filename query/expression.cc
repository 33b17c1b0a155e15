#include "query/expression.h"

#include <cmath>
#include <type_traits>

#include "query/growth.h"

namespace sluice::query {
namespace {

class ConstantNode final : public Node {
 public:
  ConstantNode(Value value, const Type& result) : Node(result), value_(std::move(value)) {}
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    return keep(repeat(value_, type, chunk.rows), context);
  }
  const Value* constant() const override { return &value_; }
  void collect_slots(std::vector<size_t>&) const override {}

 private:
  Value value_;
};

class SlotNode final : public Node {
 public:
  SlotNode(size_t slot, const Type& result) : Node(result), slot_(slot) {}
  ColumnPtr eval(const Chunk& chunk, EvalContext&) const override {
    SLUICE_CHECK(slot_ < chunk.slots.size() && chunk.slots[slot_]);
    return chunk.slots[slot_];
  }
  std::optional<size_t> slot() const override { return slot_; }
  void collect_slots(std::vector<size_t>& slots) const override { slots.push_back(slot_); }

 private:
  size_t slot_;
};

enum class Domain { uint, int64, float64 };

template <typename T>
bool apply(Arithmetic op, T a, T b, T& out, bool& overflow) {
  if constexpr (std::is_floating_point_v<T>) {
    switch (op) {
      case Arithmetic::add: out = a + b; break;
      case Arithmetic::subtract: out = a - b; break;
      case Arithmetic::multiply: out = a * b; break;
      case Arithmetic::divide:
        if (b == 0) return false;
        out = a / b;
        break;
      case Arithmetic::modulo:
        if (b == 0) return false;
        out = std::fmod(a, b);
        break;
    }
    return std::isfinite(out);
  } else {
    switch (op) {
      case Arithmetic::add: overflow |= __builtin_add_overflow(a, b, &out); break;
      case Arithmetic::subtract: overflow |= __builtin_sub_overflow(a, b, &out); break;
      case Arithmetic::multiply: overflow |= __builtin_mul_overflow(a, b, &out); break;
      case Arithmetic::divide: return false;  // always in floats
      case Arithmetic::modulo:
        if (b == 0) return false;
        if constexpr (std::is_signed_v<T>)
          if (b == -1) {  // INT64_MIN % -1 traps
            out = 0;
            return true;
          }
        out = a % b;
        break;
    }
    return true;
  }
}

template <typename T>
std::vector<T> numbers(const Column& column) {
  if constexpr (std::is_same_v<T, double>)
    return as_doubles(column);
  else if constexpr (std::is_same_v<T, int64_t>)
    return as_ints(column);
  else
    return as_uints(column);
}

class ArithmeticNode final : public Node {
 public:
  ArithmeticNode(Arithmetic op, NodePtr left, NodePtr right, Domain domain, const Type& result)
      : Node(result), op_(op), left_(std::move(left)), right_(std::move(right)), domain_(domain) {}
  void collect_slots(std::vector<size_t>& slots) const override {
    left_->collect_slots(slots);
    right_->collect_slots(slots);
  }
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    switch (domain_) {
      case Domain::uint: return run<uint64_t>(chunk, context);
      case Domain::int64: return run<int64_t>(chunk, context);
      case Domain::float64: return run<double>(chunk, context);
    }
    return nullptr;
  }

 private:
  template <typename T>
  ColumnPtr run(const Chunk& chunk, EvalContext& context) const {
    const ColumnPtr l = left_->eval(chunk, context), r = right_->eval(chunk, context);
    // Unsigned values beyond the signed range cannot take part in signed arithmetic.
    const bool l_unsigned = l->type() == PhysicalType::U64, r_unsigned = r->type() == PhysicalType::U64;
    // Times and durations stay what they are when integers become floats, so one that does not fit has no value.
    const bool timely = type.logical == LogicalType::timestamp || type.logical == LogicalType::duration;
    const std::vector<T> a = numbers<T>(*l), b = numbers<T>(*r);
    std::vector<T> out(chunk.rows);
    Bitmap valid = both_valid(*l, *r);
    for (size_t i = 0; i < chunk.rows; ++i) {
      if (!valid.empty() && !valid.get(i)) continue;
      bool overflow = false;
      bool known = apply<T>(op_, a[i], b[i], out[i], overflow);
      if constexpr (std::is_same_v<T, int64_t>) overflow = overflow || (l_unsigned && a[i] < 0) || (r_unsigned && b[i] < 0);
      if (overflow) [[unlikely]] {
        (timely ? context.beyond_time : context.overflow) = true;
        known = known && !timely;
        out[i] = 0;
      }
      if (!known) {
        if (valid.empty()) valid = Bitmap(chunk.rows, true);
        valid.set(i, false);
        out[i] = 0;
      }
    }
    return keep(Column::of<T>(type.physical, std::move(out), std::move(valid)), context);
  }

  Arithmetic op_;
  NodePtr left_, right_;
  Domain domain_;
};

class ComparisonNode final : public Node {
 public:
  ComparisonNode(Comparison op, NodePtr left, NodePtr right)
      : Node(Type::of(LogicalType::boolean)), op_(op), left_(std::move(left)), right_(std::move(right)) {}
  void collect_slots(std::vector<size_t>& slots) const override {
    left_->collect_slots(slots);
    right_->collect_slots(slots);
  }
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    const ColumnPtr l = left_->eval(chunk, context), r = right_->eval(chunk, context);
    std::vector<uint8_t> out(chunk.rows);
    const Bitmap valid = both_valid(*l, *r);
    auto fill = [&](auto order) {  // order(i): <0, 0, >0
      for (size_t i = 0; i < chunk.rows; ++i) {
        if (!valid.empty() && !valid.get(i)) continue;
        const int c = order(i);
        bool yes = false;
        switch (op_) {
          case Comparison::equal: yes = c == 0; break;
          case Comparison::not_equal: yes = c != 0; break;
          case Comparison::less: yes = c < 0; break;
          case Comparison::less_equal: yes = c <= 0; break;
          case Comparison::greater: yes = c > 0; break;
          case Comparison::greater_equal: yes = c >= 0; break;
        }
        out[i] = yes;
      }
    };
    auto three_way = [](auto a, auto b) { return a < b ? -1 : b < a ? 1 : 0; };
    if (l->type() == PhysicalType::Ip) {
      fill([&](size_t i) { return three_way(l->ip_at(i), r->ip_at(i)); });
    } else if (l->type() == PhysicalType::Str || r->type() == PhysicalType::Str) {
      // An enumeration's code beside text compares by its name.
      auto text = [](const Column& c, const Type& t, size_t i) {
        return c.type() == PhysicalType::Str ? c.string_at(i)
                                             : t.enumeration ? t.enumeration->name_of(static_cast<uint8_t>(c.uint_at(i))) : std::string_view();
      };
      fill([&](size_t i) { return three_way(text(*l, left_->type, i), text(*r, right_->type, i)); });
    } else if (l->type() == PhysicalType::F64 || r->type() == PhysicalType::F64) {
      const auto a = as_doubles(*l), b = as_doubles(*r);
      fill([&](size_t i) { return three_way(a[i], b[i]); });
    } else {
      const auto a = as_uints(*l), b = as_uints(*r);
      const bool as = l->type() == PhysicalType::I64, bs = r->type() == PhysicalType::I64;
      fill([&](size_t i) {
        const bool an = as && static_cast<int64_t>(a[i]) < 0, bn = bs && static_cast<int64_t>(b[i]) < 0;
        if (an != bn) return an ? -1 : 1;
        return three_way(a[i], b[i]);  // two's complement keeps the order within one sign
      });
    }
    return keep(Column::of<uint8_t>(PhysicalType::U8, std::move(out)), context);
  }

 private:
  Comparison op_;
  NodePtr left_, right_;
};

class CastNode final : public Node {
 public:
  CastNode(NodePtr node, const Type& to) : Node(to), node_(std::move(node)) {}
  void collect_slots(std::vector<size_t>& slots) const override { node_->collect_slots(slots); }
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    return cast_column(node_->eval(chunk, context), node_->type, type, context);
  }

 private:
  NodePtr node_;
};

class NegateNode final : public Node {
 public:
  NegateNode(NodePtr node, const Type& to) : Node(to), node_(std::move(node)) {}
  void collect_slots(std::vector<size_t>& slots) const override { node_->collect_slots(slots); }
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    const ColumnPtr c = node_->eval(chunk, context);
    Bitmap valid = c->validity();
    if (type.physical == PhysicalType::F64) {
      auto v = as_doubles(*c);
      for (double& d : v) d = -d;
      return keep(Column::of<double>(PhysicalType::F64, std::move(v), std::move(valid)), context);
    }
    auto v = as_ints(*c);
    for (int64_t& i : v) {
      // 2^63 read as signed is INT64_MIN, whose negative is itself: right for an unsigned 2^63, an overflow otherwise.
      if (c->type() == PhysicalType::U64 ? i < 0 && i != INT64_MIN : i == INT64_MIN) context.overflow = true;
      i = static_cast<int64_t>(0 - static_cast<uint64_t>(i));
    }
    return keep(Column::of<int64_t>(PhysicalType::I64, std::move(v), std::move(valid)), context);
  }

 private:
  NodePtr node_;
};

Type numeric_type(Domain domain) {
  return Type::of(domain == Domain::uint ? LogicalType::uint : domain == Domain::int64 ? LogicalType::int64 : LogicalType::float64);
}

template <typename T>
std::vector<T> numbers_of(const Column& column) {
  std::vector<T> out(column.size());
  auto copy = [&](auto values) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(values[i]);
  };
  switch (column.type()) {
    case PhysicalType::U8: copy(column.values<uint8_t>()); break;
    case PhysicalType::U16: copy(column.values<uint16_t>()); break;
    case PhysicalType::U32: copy(column.values<uint32_t>()); break;
    case PhysicalType::U64: copy(column.values<uint64_t>()); break;
    case PhysicalType::I64: copy(column.values<int64_t>()); break;
    case PhysicalType::F64: copy(column.values<double>()); break;
    default: break;  // text and addresses have no number
  }
  return out;
}

}  // namespace

ColumnPtr keep(Column column, EvalContext& context) {
  if (!context.memory) return std::make_shared<Column>(std::move(column));
  struct Kept {
    Kept(MemoryAccount* account, Column made) : claim(account), column(std::move(made)) {}
    MemoryClaim claim;
    Column column;
  };
  auto kept = std::make_shared<Kept>(context.memory, std::move(column));
  if (Status claimed = kept->claim.set(kept->column.byte_size()); !claimed.ok() && context.meter.stopped.ok())
    context.meter.stopped = std::move(claimed);
  const Column* const of = &kept->column;
  return ColumnPtr(std::move(kept), of);
}

Chunk Chunk::gather(std::span<const uint32_t> selection, EvalContext& context) const {
  Chunk out;
  out.rows = selection.size();
  out.slots.resize(slots.size());
  for (size_t i = 0; i < slots.size(); ++i)
    if (slots[i]) out.slots[i] = keep(slots[i]->gather(selection), context);
  return out;
}

size_t Chunk::byte_size() const {
  size_t n = 0;
  for (const auto& s : slots)
    if (s) n += s->byte_size();
  return n;
}

NodePtr make_constant(Value value) {
  const Type type = Type::of(value.type);
  return make_constant(std::move(value), type);
}
NodePtr make_constant(Value value, const Type& type) { return std::make_shared<ConstantNode>(std::move(value), type); }
NodePtr make_slot(size_t slot, const Type& type) { return std::make_shared<SlotNode>(slot, type); }

Result<NodePtr> make_arithmetic(Arithmetic op, NodePtr left, NodePtr right, bool widen) {
  using L = LogicalType;
  const L a = left->type.logical, b = right->type.logical;
  auto build = [&](Domain domain, Type result) -> NodePtr {
    if (result.physical != PhysicalType::F64 && domain == Domain::float64)
      return make_cast(std::make_shared<ArithmeticNode>(op, left, right, domain, Type::of(L::float64)), result);
    return std::make_shared<ArithmeticNode>(op, left, right, domain, result);
  };
  if (is_number(a) && is_number(b)) {
    Domain domain = Domain::uint;
    if (a == L::float64 || b == L::float64 || op == Arithmetic::divide || widen)
      domain = Domain::float64;
    else if (a == L::int64 || b == L::int64 || op == Arithmetic::subtract)
      domain = Domain::int64;
    Type type = numeric_type(domain);
    if (op == Arithmetic::add || op == Arithmetic::subtract) type.unit = left->type.unit == right->type.unit ? left->type.unit : "";
    return build(domain, type);
  }
  const bool plus_or_minus = op == Arithmetic::add || op == Arithmetic::subtract;
  if (a == L::timestamp && b == L::duration && plus_or_minus) return build(Domain::int64, Type::of(L::timestamp));
  if (a == L::duration && b == L::timestamp && op == Arithmetic::add) return build(Domain::int64, Type::of(L::timestamp));
  if (a == L::timestamp && b == L::timestamp && op == Arithmetic::subtract) return build(Domain::int64, Type::of(L::duration));
  if (a == L::duration && b == L::duration) {
    if (plus_or_minus || op == Arithmetic::modulo) return build(Domain::int64, Type::of(L::duration));
    if (op == Arithmetic::divide) return build(Domain::float64, Type::of(L::float64));
  }
  if (a == L::duration && is_number(b) && (op == Arithmetic::multiply || op == Arithmetic::divide))
    return build(b == L::float64 || op == Arithmetic::divide ? Domain::float64 : Domain::int64, Type::of(L::duration));
  if (is_number(a) && b == L::duration && op == Arithmetic::multiply)
    return build(a == L::float64 ? Domain::float64 : Domain::int64, Type::of(L::duration));
  constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "%"};
  return Error{ErrorCode::parse, "cannot compute " + std::string(to_string(a)) + " " + std::string(kSigns[static_cast<size_t>(op)]) + " " +
                                     std::string(to_string(b))};
}

NodePtr with_unit(NodePtr node, std::string_view unit) {
  class Measured final : public Node {
   public:
    Measured(NodePtr of, Type type_and_unit) : Node(std::move(type_and_unit)), node_(std::move(of)) {}
    ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override { return node_->eval(chunk, context); }
    void collect_slots(std::vector<size_t>& slots) const override { node_->collect_slots(slots); }

   private:
    NodePtr node_;
  };
  Type type = node->type;
  type.unit = unit;
  return std::make_shared<Measured>(std::move(node), std::move(type));
}

NodePtr make_negate(NodePtr operand, bool widen) {
  Type type = operand->type;
  type.column.reset();
  if (type.logical == LogicalType::duration)
    type.physical = PhysicalType::I64;
  else
    type = Type::of(type.logical == LogicalType::float64 || widen ? LogicalType::float64 : LogicalType::int64);
  return std::make_shared<NegateNode>(std::move(operand), type);
}

NodePtr make_comparison(Comparison op, NodePtr left, NodePtr right) {
  return std::make_shared<ComparisonNode>(op, std::move(left), std::move(right));
}

NodePtr fold(NodePtr node) {
  EvalContext context;
  context.meter.budget = 0;
  Chunk chunk;
  chunk.rows = 1;
  const ColumnPtr column = node->eval(chunk, context);
  // An overflow is to be met, and reported, when it runs; long work is then under the query's deadline.
  if (context.overflow || context.beyond_time || !context.meter.stopped.ok()) return node;
  return make_constant(value_at(*column, node->type, 0), node->type);
}

std::vector<double> as_doubles(const Column& column) { return numbers_of<double>(column); }
std::vector<int64_t> as_ints(const Column& column) { return numbers_of<int64_t>(column); }
std::vector<uint64_t> as_uints(const Column& column) { return numbers_of<uint64_t>(column); }

ColumnPtr cast_column(ColumnPtr column, const Type& from, const Type& to, EvalContext& context) {
  if (from.physical == to.physical) return column;
  if (column->null_count() == column->size()) return keep(Column::nulls(to.physical, column->size()), context);
  if (to.physical == PhysicalType::Str) {
    TextBuilder out(context, column->size());
    for (size_t i = 0; i < column->size(); ++i) {
      if (column->is_null(i))
        out.append_null();
      else
        out.append(format_value(value_at(*column, from, i), from.enumeration));
    }
    return keep(out.finish(), context);
  }
  if (to.physical == PhysicalType::F64)
    return keep(Column::of<double>(to.physical, as_doubles(*column), column->validity()), context);
  Column out(to.physical);
  out.reserve(column->size());
  const bool from_float = column->type() == PhysicalType::F64;
  for (size_t i = 0; i < column->size(); ++i) {
    if (column->is_null(i)) {
      out.append_null();
    } else if (from_float) {
      const double d = column->float_at(i);
      // What does not fit has no answer.
      if (d > -9.2e18 && d < 9.2e18) {
        out.append_uint(static_cast<uint64_t>(static_cast<int64_t>(d)));
      } else {
        context.beyond_time = true;
        out.append_null();
      }
    } else {
      out.append_uint(column->uint_at(i));
    }
  }
  return keep(std::move(out), context);
}

NodePtr make_cast(NodePtr node, const Type& to) {
  if (node->type.physical == to.physical && node->type.logical == to.logical) return node;
  return std::make_shared<CastNode>(std::move(node), to);
}

std::optional<Type> common_type(const Type& a, const Type& b) {
  if (a.logical == b.logical && a.enumeration == b.enumeration) {
    Type type = Type::of(a.logical);
    type.enumeration = a.enumeration;
    type.unit = a.unit == b.unit ? a.unit : "";
    return type;
  }
  if (is_number(a.logical) && is_number(b.logical)) {
    if (a.logical == LogicalType::float64 || b.logical == LogicalType::float64) return Type::of(LogicalType::float64);
    if (a.logical == LogicalType::int64 || b.logical == LogicalType::int64) return Type::of(LogicalType::int64);
    return Type::of(LogicalType::uint);
  }
  auto textual = [](const Type& t) { return class_of(t.logical) == TypeClass::text || t.logical == LogicalType::enumeration; };
  if (textual(a) && textual(b)) return Type::of(LogicalType::string);
  return std::nullopt;
}

Bitmap both_valid(const Column& a, const Column& b) {
  if (!a.has_nulls()) return b.validity();
  if (!b.has_nulls()) return a.validity();
  Bitmap out = a.validity();
  for (size_t i = 0; i < out.words().size(); ++i) out.words()[i] &= b.validity().words()[i];
  return out;
}

}  // namespace sluice::query
