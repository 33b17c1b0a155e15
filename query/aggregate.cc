#include "query/aggregate.h"

#include <array>
#include <bit>

namespace sluice::query {
namespace {
using namespace aggregate_detail;
constexpr std::array kAggregates = {
    &kCount, &kCountIf, &kSum,   &kSumIf, &kAvg,  &kAvgIf,  &kStdev,         &kMin,     &kMax,    &kAny,      &kArgMin, &kArgMax,
    &kFirst, &kLast,    &kDcount, &kCountDistinct, &kEntropy, &kValues, &kQuantile, &kP50,    &kP90,    &kP95,      &kP99,    &kMedian, &kTrw,
};

uint64_t sketch_hash(uint64_t v) {
  v ^= v >> 33;
  v *= 0xff51afd7ed558ccdull;
  v ^= v >> 33;
  v *= 0xc4ceb9fe1a85ec53ull;
  return v ^ (v >> 33);
}
}  // namespace

std::span<const AggregateSpec* const> aggregates() { return kAggregates; }

const AggregateSpec* find_aggregate(std::string_view name) {
  for (const AggregateSpec* a : kAggregates)
    if (a->name == name) return a;
  return nullptr;
}

Error wrong_aggregate_argument(std::string_view name, size_t index, std::string_view what) {
  return Error{ErrorCode::parse, std::string(name) + "() wants " + std::string(what) + " as argument " + std::to_string(index + 1)};
}

Result<uint64_t> constant_count(std::string_view name, std::span<const NodePtr> args, size_t index, uint64_t most) {
  const Value* v = args[index]->constant();
  const auto* n = v ? std::get_if<uint64_t>(&v->data) : nullptr;
  if (!n || *n == 0 || *n > most) return wrong_aggregate_argument(name, index, "a count from 1 to " + std::to_string(most));
  return *n;
}

int compare_values(const Value& a, const Value& b) {
  auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.data.index() != b.data.index()) return order(a.data.index(), b.data.index());
  return std::visit([&](const auto& x) -> int {
    using T = std::decay_t<decltype(x)>;
    if constexpr (std::is_same_v<T, std::monostate>)
      return 0;
    else
      return order(x, std::get<T>(b.data));
  }, a.data);
}

uint64_t hash_at(const Column& column, size_t row) {
  switch (column.type()) {
    case PhysicalType::Ip: return hash_of(column.ip_at(row));
    case PhysicalType::Str: {
      // FNV over 8-byte steps would do; text is rarely counted in bulk, so plain and portable wins.
      uint64_t h = 0xcbf29ce484222325ull;
      for (char c : column.string_at(row)) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
      return sketch_hash(h);
    }
    case PhysicalType::F64: {
      const double d = column.float_at(row);
      return sketch_hash(std::bit_cast<uint64_t>(d == 0 ? 0.0 : d) + 0x9e3779b97f4a7c15ull);
    }
    default: return sketch_hash(column.uint_at(row) + 0x9e3779b97f4a7c15ull);
  }
}

}  // namespace sluice::query
