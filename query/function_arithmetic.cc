// Functions of numbers.
#include <cmath>

#include "query/function.h"

namespace sluice::query::function_detail {
namespace {

// f over doubles; what is not finite has no answer.
template <typename F>
Column each_number(const Column& in, F f) {
  const auto values = as_doubles(in);
  Column out(PhysicalType::F64);
  out.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const double v = in.is_null(i) ? NAN : f(values[i]);
    if (std::isfinite(v))
      out.append(v);
    else
      out.append_null();
  }
  return out;
}

Result<Type> number_to_float(std::span<const NodePtr> args, std::string_view name) {
  for (size_t i = 0; i < args.size(); ++i)
    if (!is_number(args[i]->type.logical)) return wrong_argument(name, i, "a number");
  return Type::of(LogicalType::float64);
}

// Integers stay as they are.
Result<Type> rounding(std::span<const NodePtr> args, std::string_view name) {
  SLUICE_TRY(number_to_float(args, name));
  if (args[0]->type.physical == PhysicalType::F64) return Type::of(LogicalType::float64);
  return Type::of(args[0]->type.physical == PhysicalType::I64 ? LogicalType::int64 : LogicalType::uint);
}

template <typename F>
Column round_with(std::span<const NodePtr> nodes, const ColumnPtr& in, const Type& result, EvalContext& context, F f) {
  if (result.physical != PhysicalType::F64) return *cast_column(in, nodes[0]->type, result, context);
  return each_number(*in, f);
}

}  // namespace

extern const FunctionSpec kAbs{
    "abs", "abs(x)", "The absolute value", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (args[0]->type.logical == LogicalType::duration) return Type::of(LogicalType::duration);
      return rounding(args, "abs");
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type& result, EvalContext& context) {
      if (result.physical == PhysicalType::I64) {
        auto values = as_ints(*args[0]);
        Bitmap valid = args[0]->validity();
        for (size_t i = 0; i < values.size(); ++i) {
          int64_t& v = values[i];
          if (v != INT64_MIN) {
            v = v < 0 ? -v : v;
            continue;
          }
          (result.logical == LogicalType::duration ? context.beyond_time : context.overflow) = true;
          if (valid.empty()) valid = Bitmap(values.size(), true);
          valid.set(i, false);
        }
        return Column::of<int64_t>(PhysicalType::I64, std::move(values), std::move(valid));
      }
      return round_with(nodes, args[0], result, context, [](double v) { return std::fabs(v); });
    }};
extern const FunctionSpec kFloor{
    "floor", "floor(x)", "The greatest whole number at or below x", 1, 1, [](std::span<const NodePtr> args) { return rounding(args, "floor"); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type& result, EvalContext& context) {
      return round_with(nodes, args[0], result, context, [](double v) { return std::floor(v); });
    }};
extern const FunctionSpec kCeil{
    "ceil", "ceil(x)", "The least whole number at or above x", 1, 1, [](std::span<const NodePtr> args) { return rounding(args, "ceil"); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type& result, EvalContext& context) {
      return round_with(nodes, args[0], result, context, [](double v) { return std::ceil(v); });
    }};
extern const FunctionSpec kRound{
    "round", "round(x [, digits])", "The nearest number of that many decimal digits, halves away from zero", 1, 2,
    [](std::span<const NodePtr> args) -> Result<Type> {
      Type type;
      SLUICE_ASSIGN(type, rounding(args, "round"));
      // Whole numbers are whole already, unless tens or hundreds are to be rounded.
      const Value* digits = args.size() > 1 ? args[1]->constant() : nullptr;
      const bool tens = args.size() > 1 && !(digits && !digits->is_null() && digits->as_double() >= 0);
      return tens ? Type::of(LogicalType::float64) : type;
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type& result, EvalContext& context) {
      if (result.physical != PhysicalType::F64) return *cast_column(args[0], nodes[0]->type, result, context);
      const auto values = as_doubles(*args[0]);
      const auto digits = args.size() > 1 ? as_doubles(*args[1]) : std::vector<double>();
      Column out(PhysicalType::F64);
      for (size_t i = 0; i < values.size(); ++i) {
        const double scale = digits.empty() || args[1]->is_null(i) ? 1 : std::pow(10, std::fmax(-15, std::fmin(15, digits[i])));
        const double v = args[0]->is_null(i) ? NAN : std::round(values[i] * scale) / scale;
        if (std::isfinite(v))
          out.append(v);
        else
          out.append_null();
      }
      return out;
    }};
extern const FunctionSpec kLog{
    "log", "log(x)", "The natural logarithm; null where x is not above zero", 1, 1,
    [](std::span<const NodePtr> args) { return number_to_float(args, "log"); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_number(*args[0], [](double v) { return std::log(v); });
    }};
extern const FunctionSpec kLog2{
    "log2", "log2(x)", "The logarithm to base 2", 1, 1, [](std::span<const NodePtr> args) { return number_to_float(args, "log2"); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_number(*args[0], [](double v) { return std::log2(v); });
    }};
extern const FunctionSpec kLog10{
    "log10", "log10(x)", "The logarithm to base 10", 1, 1, [](std::span<const NodePtr> args) { return number_to_float(args, "log10"); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_number(*args[0], [](double v) { return std::log10(v); });
    }};
extern const FunctionSpec kSqrt{
    "sqrt", "sqrt(x)", "The square root; null where x is below zero", 1, 1,
    [](std::span<const NodePtr> args) { return number_to_float(args, "sqrt"); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_number(*args[0], [](double v) { return std::sqrt(v); });
    }};
extern const FunctionSpec kPow{
    "pow", "pow(x, y)", "x to the power of y", 2, 2, [](std::span<const NodePtr> args) { return number_to_float(args, "pow"); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext&) {
      const auto a = as_doubles(*args[0]), b = as_doubles(*args[1]);
      Column out(PhysicalType::F64);
      for (size_t i = 0; i < rows; ++i) {
        const double v = args[0]->is_null(i) || args[1]->is_null(i) ? NAN : std::pow(a[i], b[i]);
        if (std::isfinite(v))
          out.append(v);
        else
          out.append_null();
      }
      return out;
    }};

}  // namespace sluice::query::function_detail
