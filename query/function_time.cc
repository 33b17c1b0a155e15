// Functions of time, and bin().
#include "query/function.h"

#include <algorithm>
#include <cmath>

namespace sluice::query::function_detail {
namespace {

// The greatest multiple of width at or below v, counted from origin.
int64_t floor_to(int64_t v, int64_t width, int64_t origin) {
  int64_t shifted;
  if (__builtin_sub_overflow(v, origin, &shifted)) return v;
  int64_t remainder = shifted % width;
  if (remainder < 0) remainder += width;
  int64_t out;
  return __builtin_sub_overflow(v, remainder, &out) ? v : out;
}

// floor_to() of each value. Flows of one block end within minutes of each other, so that mostly one bin or two hold them all.
void floor_all(std::vector<int64_t>& values, int64_t width, int64_t origin) {
  if (values.empty()) return;
  int64_t least = values[0], greatest = values[0];
  for (const int64_t v : values) {
    least = std::min(least, v);
    greatest = std::max(greatest, v);
  }
  const int64_t first = floor_to(least, width, origin);
  const uint64_t span = static_cast<uint64_t>(greatest) - static_cast<uint64_t>(first);
  // Beyond 2^52 a double does not hold every number; above 2^62 the next bin's start may not be a number of 64 bits.
  constexpr int64_t kFar = int64_t{1} << 62;
  if (least < -kFar || greatest > kFar || width > kFar / 2 || span >= uint64_t{1} << 52) {
    for (int64_t& v : values) v = floor_to(v, width, origin);
    return;
  }
  const int64_t second = first + width;
  if (greatest < second) {
    std::fill(values.begin(), values.end(), first);
    return;
  }
  if (greatest - second < width) {
    for (int64_t& v : values) v = v < second ? first : second;
    return;
  }
  // A multiplication instead of a division: at most one bin off, which the remainder tells.
  const double per_width = 1.0 / static_cast<double>(width);
  for (int64_t& v : values) {
    const int64_t shifted = v - first;
    int64_t bin = static_cast<int64_t>(static_cast<double>(shifted) * per_width);
    const int64_t rest = shifted - bin * width;
    bin += (rest >= width) - (rest < 0);
    v = first + bin * width;
  }
}

template <typename F>
Column each_time(const Column& in, F f) {
  std::vector<uint64_t> out(in.size());
  const auto values = as_ints(in);
  for (size_t i = 0; i < out.size(); ++i)
    if (!in.is_null(i)) out[i] = f(values[i]);
  return Column::of<uint64_t>(PhysicalType::U64, std::move(out), in.validity());
}

Result<Type> takes_time(std::span<const NodePtr> args, std::string_view name) {
  if (args[0]->type.logical != LogicalType::timestamp) return wrong_argument(name, 0, "a time");
  return Type::of(LogicalType::uint);
}

}  // namespace

extern const FunctionSpec kBin{
    "bin", "bin(value, width)", "The start of the value's bin; bin(5m) alone means bin(ts, 5m)", 2, 2,
    [](std::span<const NodePtr> args) -> Result<Type> {
      const Type& type = args[0]->type;
      const Value* width = args[1]->constant();
      if (!width || width->is_null()) return wrong_argument("bin", 1, "a constant width");
      const bool timely = type.logical == LogicalType::timestamp || type.logical == LogicalType::duration;
      if (timely && width->type != LogicalType::duration) return wrong_argument("bin", 1, "a duration such as 5m");
      if (!timely && (!is_number(type.logical) || !width->is_number())) return wrong_argument("bin", 0, "a time or a number");
      if (timely ? std::get<int64_t>(width->data) <= 0 : width->as_double() <= 0) return wrong_argument("bin", 1, "a width above zero");
      if (timely) return Type::of(type.logical);
      if (type.logical == LogicalType::float64 || width->type == LogicalType::float64) return Type::of(LogicalType::float64);
      return Type::of(type.logical == LogicalType::int64 ? LogicalType::int64 : LogicalType::uint);
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t, const Type& result, EvalContext&) {
      const Value& width = *nodes[1]->constant();
      if (result.physical == PhysicalType::F64) {
        auto values = as_doubles(*args[0]);
        const double w = width.as_double();
        for (double& v : values) v = std::floor(v / w) * w;
        return Column::of<double>(PhysicalType::F64, std::move(values), args[0]->validity());
      }
      if (result.physical == PhysicalType::U64) {
        auto values = as_uints(*args[0]);
        const uint64_t w = std::get<uint64_t>(width.data);
        for (uint64_t& v : values) v -= v % w;
        return Column::of<uint64_t>(PhysicalType::U64, std::move(values), args[0]->validity());
      }
      auto values = as_ints(*args[0]);
      const int64_t w = width.type == LogicalType::duration || width.type == LogicalType::int64
                            ? std::get<int64_t>(width.data)
                            : static_cast<int64_t>(std::get<uint64_t>(width.data));
      // 1970-01-01 was a Thursday; weeks begin on Monday.
      const int64_t origin = result.logical == LogicalType::timestamp && w % kWeek == 0 ? 4 * kDay : 0;
      floor_all(values, w, origin);
      return Column::of<int64_t>(PhysicalType::I64, std::move(values), args[0]->validity());
    }};

extern const FunctionSpec kHour{
    "hour", "hour(time)", "Hour of the day in UTC, 0 to 23", 1, 1, [](std::span<const NodePtr> args) { return takes_time(args, "hour"); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_time(*args[0], [](int64_t t) { return static_cast<uint64_t>((t - floor_to(t, kDay, 0)) / sluice::kHour); });
    }};

extern const FunctionSpec kDayOfWeek{
    "day_of_week", "day_of_week(time)", "Day of the week in UTC, 1 (Monday) to 7 (Sunday), as ISO 8601 counts", 1, 1,
    [](std::span<const NodePtr> args) { return takes_time(args, "day_of_week"); },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      return each_time(*args[0], [](int64_t t) { return static_cast<uint64_t>((t - floor_to(t, kWeek, 4 * kDay)) / kDay + 1); });
    }};

extern const FunctionSpec kSeconds{
    "seconds", "seconds(duration)", "A duration as a number of seconds", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      if (args[0]->type.logical != LogicalType::duration) return wrong_argument("seconds", 0, "a duration");
      return Type::of(LogicalType::float64);
    },
    [](std::span<const NodePtr>, std::span<const ColumnPtr> args, size_t, const Type&, EvalContext&) {
      auto values = as_doubles(*args[0]);
      for (double& v : values) v /= static_cast<double>(kSecond);
      return Column::of<double>(PhysicalType::F64, std::move(values), args[0]->validity());
    }};

extern const FunctionSpec kDuration{
    "duration", "duration(x)", "A number of seconds, or text such as '1h30m', as a duration; null where it is none", 1, 1,
    [](std::span<const NodePtr> args) -> Result<Type> {
      const LogicalType type = args[0]->type.logical;
      if (!is_number(type) && type != LogicalType::string && type != LogicalType::duration) return wrong_argument("duration", 0, "seconds or text");
      return Type::of(LogicalType::duration);
    },
    [](std::span<const NodePtr> nodes, std::span<const ColumnPtr> args, size_t rows, const Type&, EvalContext& context) {
      const LogicalType type = nodes[0]->type.logical;
      if (type == LogicalType::duration) return Column::of<int64_t>(PhysicalType::I64, as_ints(*args[0]), args[0]->validity());
      Column out(PhysicalType::I64);
      out.reserve(rows);
      const std::vector<double> seconds = type == LogicalType::string ? std::vector<double>() : as_doubles(*args[0]);
      for (size_t i = 0; i < rows; ++i) {
        std::optional<DurationNs> value;
        if (args[0]->is_null(i) || !context.meter.spend(1)) {
          // stays null
        } else if (type == LogicalType::string) {
          value = parse_duration(args[0]->string_at(i));
        } else if (const double ns = seconds[i] * static_cast<double>(kSecond); std::fabs(ns) < 9.2e18) {
          value = static_cast<DurationNs>(std::llround(ns));
        }
        value ? out.append(*value) : out.append_null();
      }
      return out;
    }};

}  // namespace sluice::query::function_detail
