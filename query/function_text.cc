// Functions of text.
#include <cmath>
#include <cstdio>
#include <iterator>

#include "query/function.h"
#include "query/growth.h"
#include "query/regex.h"
#include "query/words.h"
#include "storage/model/limits.h"

namespace sluice::query::function_detail {
namespace {

Error too_long(std::string_view what, size_t bytes_max) {
  return Error{ErrorCode::too_large, std::string(what) + " is longer than the limit: " + std::to_string(bytes_max) + " bytes"};
}

ColumnPtr text_of(std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t i, EvalContext& context) {
  return cast_column(args[i], nodes[i]->type, Type::of(LogicalType::string), context);
}

template <typename F>
Column each_text(const Column& in, EvalContext& context, F f) {
  TextBuilder out(context, in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    if (in.is_null(i))
      out.append_null();
    else
      out.append(f(in.string_at(i)));
  }
  return out.finish();
}

template <typename F>
Column test_texts(std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, EvalContext& context, F f) {
  const ColumnPtr a = text_of(nodes, args, 0, context), b = text_of(nodes, args, 1, context);
  std::vector<uint8_t> out(rows);
  for (size_t i = 0; i < rows; ++i) out[i] = !a->is_null(i) && !b->is_null(i) && f(a->string_at(i), b->string_at(i));
  return Column::of<uint8_t>(PhysicalType::U8, std::move(out));
}

Result<Type> gives(LogicalType type) { return Type::of(type); }

std::string upper_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  return out;
}

}  // namespace

extern const FunctionSpec kLower{
    "lower", "lower(text)", "ASCII letters in lower case", 1, 1,
    [](std::span<const NodePtr>) { return gives(LogicalType::string); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext& context) {
      return each_text(*text_of(nodes, args, 0, context), context, [](std::string_view s) { return lower_case(s); });
    }};
extern const FunctionSpec kUpper{
    "upper", "upper(text)", "ASCII letters in upper case", 1, 1,
    [](std::span<const NodePtr>) { return gives(LogicalType::string); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext& context) {
      return each_text(*text_of(nodes, args, 0, context), context, [](std::string_view s) { return upper_case(s); });
    }};
extern const FunctionSpec kContains{
    "contains", "contains(text, part)", "Whether the part is somewhere in the text", 2, 2,
    [](std::span<const NodePtr>) { return gives(LogicalType::boolean); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      return test_texts(nodes, args, rows, context, [](auto a, auto b) { return a.find(b) != std::string_view::npos; });
    }};
extern const FunctionSpec kStartsWith{
    "starts_with", "starts_with(text, part)", "Whether the text begins with the part", 2, 2,
    [](std::span<const NodePtr>) { return gives(LogicalType::boolean); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      return test_texts(nodes, args, rows, context, [](auto a, auto b) { return a.starts_with(b); });
    }};
extern const FunctionSpec kEndsWith{
    "ends_with", "ends_with(text, part)", "Whether the text ends with the part", 2, 2,
    [](std::span<const NodePtr>) { return gives(LogicalType::boolean); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      return test_texts(nodes, args, rows, context, [](auto a, auto b) { return a.ends_with(b); });
    }};
extern const FunctionSpec kExtract{
    "extract", "extract(text, regex [, group])", "What the group of a regular expression matched; group 0 is the whole match, 1 if there is one", 2, 3,
    [](std::span<const NodePtr> args) -> Result<Type> {
      const Value* pattern = args[1]->constant();
      if (!pattern || !std::holds_alternative<std::string>(pattern->data)) return wrong_argument("extract", 1, "a regular expression");
      if (args.size() > 2 && (!args[2]->constant() || !std::holds_alternative<uint64_t>(args[2]->constant()->data)))
        return wrong_argument("extract", 2, "a group number");
      SLUICE_ASSIGN(const Regex regex, Regex::compile(std::get<std::string>(pattern->data), false));
      if (args.size() > 2 && std::get<uint64_t>(args[2]->constant()->data) > regex.groups())
        return Error{ErrorCode::parse, "this regular expression has " + std::to_string(regex.groups()) + (regex.groups() == 1 ? " group" : " groups") + ", counted from 1"};
      return Type::of(LogicalType::string);
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      const ColumnPtr text = text_of(nodes, args, 0, context);
      const auto regex = Regex::compile(std::get<std::string>(nodes[1]->constant()->data), false);
      TextBuilder out(context, rows);
      const size_t group = nodes.size() > 2 ? std::get<uint64_t>(nodes[2]->constant()->data) : regex.ok() && regex->groups() > 0 ? 1 : 0;
      for (size_t i = 0; i < rows; ++i) {
        std::optional<std::string_view> found;
        if (regex.ok() && !text->is_null(i)) found = regex->capture(text->string_at(i), group, &context.meter);
        if (found)
          out.append(*found);
        else
          out.append_null();
      }
      return out.finish();
    }};
extern const FunctionSpec kConcat{
    "concat", "concat(a, b, …)", "The arguments as one text; null arguments are left out", 1, 64,
    [](std::span<const NodePtr>) { return gives(LogicalType::string); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      std::vector<ColumnPtr> texts;
      for (size_t i = 0; i < args.size(); ++i) texts.push_back(text_of(nodes, args, i, context));
      TextBuilder out(context, rows);
      std::string text;
      for (size_t i = 0; i < rows; ++i) {
        text.clear();
        // Texts joined of joined texts double with each step.
        for (const auto& t : texts)
          if (context.meter.stopped.ok() && !t->is_null(i)) {
            text += t->string_at(i);
            if (text.size() > limits::kStringBytesMax) context.meter.stopped = too_long("a text made by concat", limits::kStringBytesMax);
          }
        out.append(text);
      }
      return out.finish();
    }};
extern const FunctionSpec kLength{
    "length", "length(text)", "Bytes of the text", 1, 1, [](std::span<const NodePtr>) { return gives(LogicalType::uint); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      const ColumnPtr text = text_of(nodes, args, 0, context);
      std::vector<uint64_t> out(rows);
      for (size_t i = 0; i < rows; ++i)
        if (!text->is_null(i)) out[i] = text->string_at(i).size();
      return Column::of<uint64_t>(PhysicalType::U64, std::move(out), text->validity());
    }};
extern const FunctionSpec kToString{
    "to_string", "to_string(value)", "The value as text", 1, 1, [](std::span<const NodePtr>) { return gives(LogicalType::string); },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext& context) { return *text_of(nodes, args, 0, context); }};
extern const FunctionSpec kProtocolName{
    "protocol_name", "protocol_name(protocol)", "The protocol's name, or its number as text", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (!is_number(args[0]->type.logical) || args[0]->type.physical == PhysicalType::F64) return wrong_argument("protocol_name", 0, "a protocol");
      return Type::of(LogicalType::string);
    },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext&) {
      Column out(PhysicalType::Str);
      for (size_t i = 0; i < rows; ++i) {
        if (args[0]->is_null(i)) {
          out.append_null();
          continue;
        }
        const uint64_t number = args[0]->uint_at(i);
        const std::string_view name = number < 256 ? protocol_name(static_cast<uint8_t>(number)) : std::string_view();
        if (name.empty())
          out.append_string(std::to_string(number));
        else
          out.append_string(name);
      }
      return out;
    }};
extern const FunctionSpec kFormatBytes{
    "format_bytes", "format_bytes(bytes)", "A byte count for people, in powers of 1000: 1.5 GB", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (!is_number(args[0]->type.logical)) return wrong_argument("format_bytes", 0, "a number");
      return Type::of(LogicalType::string);
    },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext&) {
      const auto values = as_doubles(*args[0]);
      Column out(PhysicalType::Str);
      for (size_t i = 0; i < rows; ++i) {
        if (args[0]->is_null(i)) {
          out.append_null();
          continue;
        }
        // As networks count, and as the prompt, the console and Grafana write it.
        constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
        double v = values[i];
        size_t unit = 0;
        while (std::fabs(v) >= 999.5 && unit + 1 < std::size(kUnits)) v /= 1000, ++unit;
        char text[48];
        std::snprintf(text, sizeof text, unit == 0 || std::fabs(v) >= 99.95 ? "%.0f %s" : "%.1f %s", v, kUnits[unit]);
        out.append_string(text);
      }
      return out;
    }};

}  // namespace sluice::query::function_detail
