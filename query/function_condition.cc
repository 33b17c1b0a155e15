// Functions that choose among their arguments.
#include <algorithm>

#include "query/function.h"
#include "query/growth.h"

namespace sluice::query::function_detail {
namespace {

Result<Type> joined(std::span<const NodePtr> args, std::string_view name, auto use) {
  std::optional<Type> type;
  for (size_t i = 0; i < args.size(); ++i) {
    if (!use(i)) continue;
    if (const Value* v = args[i]->constant(); v && v->is_null()) continue;
    if (!type) {
      type = common_type(args[i]->type, args[i]->type);
      continue;
    }
    type = common_type(*type, args[i]->type);
    if (!type) return wrong_argument(name, i, "a value of the same type as the others");
  }
  return type.value_or(Type::of(LogicalType::string));
}

std::vector<ColumnPtr> casts(std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, const Type& to, EvalContext& context) {
  std::vector<ColumnPtr> out;
  for (size_t i = 0; i < args.size(); ++i) out.push_back(cast_column(args[i], nodes[i]->type, to, context));
  return out;
}

bool truth(const Column& c, size_t row) { return !c.is_null(row) && c.uint_at(row) != 0; }

// Row by row the column that choose(row) names; SIZE_MAX is null.
template <typename F>
Column choose_column(const std::vector<ColumnPtr>& columns, size_t rows, const Type& result, EvalContext& context, F choose) {
  if (result.physical == PhysicalType::Str) {
    TextBuilder out(context, rows);
    for (size_t i = 0; i < rows; ++i) {
      const size_t c = choose(i);
      if (c == SIZE_MAX || columns[c]->is_null(i))
        out.append_null();
      else
        out.append(columns[c]->string_at(i));
    }
    return out.finish();
  }
  Column out(result.physical);
  out.reserve(rows);
  for (size_t i = 0; i < rows; ++i) {
    const size_t c = choose(i);
    if (c == SIZE_MAX || columns[c]->is_null(i))
      out.append_null();
    else
      out.append_from(*columns[c], i);
  }
  return out;
}

Result<Type> condition_at(std::span<const NodePtr> args, size_t index, std::string_view name) {
  if (args[index]->type.logical != LogicalType::boolean) return wrong_argument(name, index, "a condition");
  return args[index]->type;
}

bool less_at(const Column& a, const Column& b, size_t row) {
  switch (a.type()) {
    case PhysicalType::F64: return a.float_at(row) < b.float_at(row);
    case PhysicalType::I64: return a.int_at(row) < b.int_at(row);
    case PhysicalType::Ip: return a.ip_at(row) < b.ip_at(row);
    case PhysicalType::Str: return a.string_at(row) < b.string_at(row);
    default: return a.uint_at(row) < b.uint_at(row);
  }
}

Column extreme(std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type& result, EvalContext& context, bool greatest) {
  const auto columns = casts(nodes, args, result, context);
  return choose_column(columns, rows, result, context, [&](size_t row) {
    size_t best = SIZE_MAX;
    for (size_t c = 0; c < columns.size(); ++c) {
      if (columns[c]->is_null(row)) continue;
      if (best == SIZE_MAX || (greatest ? less_at(*columns[best], *columns[c], row) : less_at(*columns[c], *columns[best], row))) best = c;
    }
    return best;
  });
}

}  // namespace

extern const FunctionSpec kIf{
    "if", "if(condition, then [, else])", "One of two values", 2, 3,
    [](std::span<const NodePtr> args) -> Result<Type> {
      SLUICE_TRY(condition_at(args, 0, "if"));
      return joined(args, "if", [](size_t i) { return i > 0; });
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type& result, EvalContext& context) {
      const auto columns = casts(nodes.subspan(1), args.subspan(1), result, context);
      return choose_column(columns, rows, result, context, [&](size_t row) -> size_t {
        if (truth(*args[0], row)) return 0;
        return columns.size() > 1 ? 1 : SIZE_MAX;
      });
    }};

extern const FunctionSpec kCase{
    "case", "case(condition, value, …, else)", "The value of the first condition that holds, else the last argument", 2, 101,
    [](std::span<const NodePtr> args) -> Result<Type> {
      for (size_t i = 0; i + 1 < args.size(); i += 2) SLUICE_TRY(condition_at(args, i, "case"));
      return joined(args, "case", [&](size_t i) { return i % 2 == 1 || i + 1 == args.size(); });
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type& result, EvalContext& context) {
      std::vector<ColumnPtr> columns(args.begin(), args.end());
      for (size_t i = 0; i < columns.size(); ++i)
        if (i % 2 == 1 || i + 1 == columns.size()) columns[i] = cast_column(args[i], nodes[i]->type, result, context);
      return choose_column(columns, rows, result, context, [&](size_t row) -> size_t {
        for (size_t i = 0; i + 1 < columns.size(); i += 2)
          if (truth(*columns[i], row)) return i + 1;
        return columns.size() % 2 == 1 ? columns.size() - 1 : SIZE_MAX;
      });
    }};

extern const FunctionSpec kCoalesce{
    "coalesce", "coalesce(a, b, …)", "The first value that is not null", 1, 64,
    [](std::span<const NodePtr> args) { return joined(args, "coalesce", [](size_t) { return true; }); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type& result, EvalContext& context) {
      const auto columns = casts(nodes, args, result, context);
      return choose_column(columns, rows, result, context, [&](size_t row) -> size_t {
        for (size_t c = 0; c < columns.size(); ++c)
          if (!columns[c]->is_null(row)) return c;
        return SIZE_MAX;
      });
    }};

extern const FunctionSpec kMinOf{
    "min_of", "min_of(a, b, …)", "The least of its arguments that are not null", 1, 64,
    [](std::span<const NodePtr> args) { return joined(args, "min_of", [](size_t) { return true; }); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type& result, EvalContext& context) {
      return extreme(nodes, args, rows, result, context, false);
    }};

extern const FunctionSpec kMaxOf{
    "max_of", "max_of(a, b, …)", "The greatest of its arguments that are not null", 1, 64,
    [](std::span<const NodePtr> args) { return joined(args, "max_of", [](size_t) { return true; }); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type& result, EvalContext& context) {
      return extreme(nodes, args, rows, result, context, true);
    }};

}  // namespace sluice::query::function_detail
