#include "query/predicate.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "query/words.h"
#include "storage/model/text_list.h"

namespace sluice::query {
namespace {

bool before(uint64_t a, uint64_t b, bool is_signed) {
  return is_signed ? static_cast<int64_t>(a) < static_cast<int64_t>(b) : a < b;
}

void clear_nulls(const Column& column, uint8_t* mask) {
  if (!column.has_nulls()) return;
  for (size_t i = 0; i < column.size(); ++i) mask[i] &= column.validity().get(i);
}

template <typename T>
void test_range(std::span<const T> values, T low, T high, uint8_t* mask) {
  // One unsigned comparison per value: vectorises.
  using U = std::make_unsigned_t<T>;
  const U base = static_cast<U>(low), span = static_cast<U>(static_cast<U>(high) - base);
  for (size_t i = 0; i < values.size(); ++i) mask[i] = static_cast<U>(static_cast<U>(values[i]) - base) <= span;
}

template <typename T>
void test_ranges(std::span<const T> values, const IntRanges& test, uint8_t* mask) {
  std::memset(mask, 0, values.size());
  // The part of each range that the layout can hold; the rest cannot match.
  std::vector<std::pair<T, T>> fits;
  for (const ValueRange& r : test.ranges) {
    uint64_t first = r.first, last = r.last;
    if constexpr (std::is_signed_v<T>) {
      if (!test.is_signed) {  // a test made for unsigned values
        if (first > static_cast<uint64_t>(INT64_MAX)) continue;
        last = std::min<uint64_t>(last, static_cast<uint64_t>(INT64_MAX));
      }
    } else {
      constexpr uint64_t kMax = std::numeric_limits<T>::max();
      if (test.is_signed) {
        if (static_cast<int64_t>(last) < 0) continue;
        if (static_cast<int64_t>(first) < 0) first = 0;
      }
      if (first > kMax) continue;
      last = std::min(last, kMax);
    }
    fits.emplace_back(static_cast<T>(first), static_cast<T>(last));
  }
  if (fits.size() == 1) return test_range<T>(values, fits[0].first, fits[0].second, mask);
  if (fits.empty()) return;
  if constexpr (sizeof(T) <= 2) {
    std::vector<uint8_t> table(size_t{1} << (8 * sizeof(T)));
    for (const auto& [first, last] : fits) std::fill(table.begin() + first, table.begin() + last + 1, uint8_t{1});
    for (size_t i = 0; i < values.size(); ++i) mask[i] = table[values[i]];
  } else if (fits.size() <= 4) {
    std::vector<uint8_t> one(values.size());
    for (const auto& [first, last] : fits) {
      test_range<T>(values, first, last, one.data());
      for (size_t i = 0; i < values.size(); ++i) mask[i] |= one[i];
    }
  } else {
    for (size_t i = 0; i < values.size(); ++i) {
      const auto it = std::upper_bound(fits.begin(), fits.end(), values[i], [](T v, const auto& r) { return v < r.first; });
      mask[i] = it != fits.begin() && values[i] <= std::prev(it)->second;
    }
  }
}

void test_ints(const IntRanges& test, const Column& column, uint8_t* mask) {
  switch (column.type()) {
    case PhysicalType::U8: test_ranges(column.values<uint8_t>(), test, mask); break;
    case PhysicalType::U16: test_ranges(column.values<uint16_t>(), test, mask); break;
    case PhysicalType::U32: test_ranges(column.values<uint32_t>(), test, mask); break;
    case PhysicalType::U64: test_ranges(column.values<uint64_t>(), test, mask); break;
    case PhysicalType::I64: test_ranges(column.values<int64_t>(), test, mask); break;
    default: std::memset(mask, 0, column.size());
  }
}

template <typename T>
bool in_ranges(const std::vector<std::pair<T, T>>& ranges, const T& value) {
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), value, [](const T& v, const auto& r) { return v < r.first; });
  return it != ranges.begin() && value <= std::prev(it)->second;
}

// Blocks of addresses as pairs of numbers, made once for a column: a test is then two comparisons, and a search only where blocks are many.
class IpBlocks {
 public:
  explicit IpBlocks(const IpRanges& test) {
    for (const auto& [first, last] : test.ranges) ranges_.emplace_back(number(first), number(last));
  }
  bool holds(const IpAddress& ip) const {
    constexpr size_t kFew = 12;
    const Number value = number(ip);
    if (ranges_.size() > kFew) return in_ranges(ranges_, value);
    bool found = false;
    for (const auto& [first, last] : ranges_) found |= value - first <= last - first;
    return found;
  }

 private:
  __extension__ using Number = unsigned __int128;
  static Number number(const IpAddress& ip) { return static_cast<Number>(ip.high()) << 64 | ip.low(); }
  std::vector<std::pair<Number, Number>> ranges_;
};

// Values behind codes are judged once each where that is less work than once a row.
template <typename ByCode, typename ByRow>
void test_coded(const Column& column, uint8_t* mask, ByCode by_code, ByRow by_row) {
  if (column.is_coded()) {
    const auto codes = column.codes();
    const uint32_t size = column.dictionary()->size();
    if (size <= column.size()) {
      std::vector<uint8_t> yes(size + 1);
      for (uint32_t c = 0; c < size; ++c) yes[c] = by_code(c);
      for (size_t i = 0; i < codes.size(); ++i) mask[i] = yes[std::min(codes[i], size)];
    } else {
      for (size_t i = 0; i < codes.size(); ++i) mask[i] = codes[i] < size && by_code(codes[i]);
    }
    return;
  }
  for (size_t i = 0; i < column.size(); ++i) mask[i] = !column.is_null(i) && by_row(i);
}

void test_codes(const LeafCodes& leaf, std::span<const uint32_t> codes, uint8_t* mask) {
  if (leaf.ranges.empty()) {
    std::memset(mask, 0, codes.size());
  } else if (leaf.ranges.size() == 1) {
    test_range<uint32_t>(codes, static_cast<uint32_t>(leaf.ranges[0].first), static_cast<uint32_t>(leaf.ranges[0].last), mask);
  } else {
    const auto words = leaf.set.words();
    const size_t size = leaf.set.size();
    for (size_t i = 0; i < codes.size(); ++i) mask[i] = codes[i] < size && (words[codes[i] / 64] >> (codes[i] % 64) & 1);
  }
}

bool in_float_range(const FloatRange& r, double v) {
  const bool inside = (r.low_open ? v > r.low : v >= r.low) && (r.high_open ? v < r.high : v <= r.high);
  return inside != r.outside;
}

class PredicateNode final : public Node {
 public:
  explicit PredicateNode(PredicatePtr predicate) : Node(Type::of(LogicalType::boolean)), predicate_(std::move(predicate)) {}
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    std::vector<uint8_t> mask(chunk.rows);
    evaluate(*predicate_, chunk, context, nullptr, mask.data());
    return keep(Column::of<uint8_t>(PhysicalType::U8, std::move(mask)), context);
  }
  void collect_slots(std::vector<size_t>& slots) const override { query::collect_slots(*predicate_, slots); }

 private:
  PredicatePtr predicate_;
};

PredicatePtr combine(std::vector<PredicatePtr> children, Predicate::Kind kind, Predicate::Kind neutral, Predicate::Kind absorbing) {
  std::vector<PredicatePtr> flat;
  for (auto& child : children) {
    if (child->kind == neutral) continue;
    if (child->kind == absorbing) return make_predicate(absorbing == Predicate::Kind::all);
    if (child->kind == kind)
      flat.insert(flat.end(), child->children.begin(), child->children.end());
    else
      flat.push_back(std::move(child));
  }
  if (flat.empty()) return make_predicate(neutral == Predicate::Kind::all);
  if (flat.size() == 1) return flat[0];
  auto out = std::make_shared<Predicate>();
  out->kind = kind;
  out->children = std::move(flat);
  return out;
}

}  // namespace

void IntRanges::normalize() {
  std::erase_if(ranges, [&](const ValueRange& r) { return before(r.last, r.first, is_signed); });
  std::sort(ranges.begin(), ranges.end(), [&](const ValueRange& a, const ValueRange& b) { return before(a.first, b.first, is_signed); });
  std::vector<ValueRange> joined;
  const uint64_t top = is_signed ? static_cast<uint64_t>(INT64_MAX) : UINT64_MAX;
  for (const ValueRange& r : ranges) {
    if (!joined.empty() && (joined.back().last == top || !before(joined.back().last + 1, r.first, is_signed))) {
      if (before(joined.back().last, r.last, is_signed)) joined.back().last = r.last;
    } else {
      joined.push_back(r);
    }
  }
  ranges = std::move(joined);
}

IntRanges IntRanges::complement() const {
  IntRanges out;
  out.is_signed = is_signed;
  uint64_t next = is_signed ? static_cast<uint64_t>(INT64_MIN) : 0;
  const uint64_t top = is_signed ? static_cast<uint64_t>(INT64_MAX) : UINT64_MAX;
  for (const ValueRange& r : ranges) {
    if (before(next, r.first, is_signed)) out.ranges.push_back({next, r.first - 1});
    if (r.last == top) return out;
    next = r.last + 1;
  }
  out.ranges.push_back({next, top});
  return out;
}

namespace {
IpAddress step(const IpAddress& ip, bool up) {
  uint64_t high = ip.high(), low = ip.low();
  if (up) {
    if (++low == 0) ++high;
  } else if (low-- == 0) {
    --high;
  }
  return IpAddress::from_halves(high, low);
}
const IpAddress kLastIp = IpAddress::from_halves(UINT64_MAX, UINT64_MAX);
}  // namespace

void FloatRanges::normalize() {
  std::erase_if(ranges, [](const auto& r) { return !(r.first <= r.second); });
  std::sort(ranges.begin(), ranges.end());
  std::vector<std::pair<double, double>> joined;
  for (const auto& r : ranges) {
    if (!joined.empty() && r.first <= joined.back().second)
      joined.back().second = std::max(joined.back().second, r.second);
    else
      joined.push_back(r);
  }
  ranges = std::move(joined);
}

void IpRanges::normalize() {
  std::sort(ranges.begin(), ranges.end());
  std::vector<std::pair<IpAddress, IpAddress>> joined;
  for (const auto& r : ranges) {
    if (!joined.empty() && (joined.back().second == kLastIp || r.first <= step(joined.back().second, true)))
      joined.back().second = std::max(joined.back().second, r.second);
    else
      joined.push_back(r);
  }
  ranges = std::move(joined);
}

IpRanges IpRanges::complement() const {
  IpRanges out;
  IpAddress next{};
  for (const auto& r : ranges) {
    if (next < r.first) out.ranges.emplace_back(next, step(r.first, false));
    if (r.second == kLastIp) return out;
    next = step(r.second, true);
  }
  out.ranges.emplace_back(next, kLastIp);
  return out;
}

bool TextTest::matches(std::string_view value, WorkMeter& meter) const {
  if (!meter.spend(value.size() / 16 + 1 + (kind == Kind::has_item && words.size() > 1 ? words.size() : 0))) return false;
  bool yes = false;
  switch (kind) {
    case Kind::one_of: yes = words.contains(std::string(value)); break;
    case Kind::contains: yes = value.find(text) != std::string_view::npos; break;
    case Kind::starts_with: yes = value.starts_with(text); break;
    case Kind::ends_with: yes = value.ends_with(text); break;
    case Kind::matches: yes = regex->found_in(value, &meter); break;
    case Kind::between:
      yes = (!has_low || (low_open ? value > text : value >= text)) && (!has_high || (high_open ? value < high : value <= high));
      break;
    case Kind::has_item:
      for (const std::string& w : words) yes = yes || list_contains(value, w);
      break;
  }
  return yes != negated;
}

PredicatePtr make_predicate(bool value) {
  auto p = std::make_shared<Predicate>();
  p->kind = value ? Predicate::Kind::all : Predicate::Kind::none;
  return p;
}

PredicatePtr make_test(NodePtr operand, Test test) {
  auto p = std::make_shared<Predicate>();
  p->kind = Predicate::Kind::test;
  p->column = operand->slot() ? operand->type.column : std::nullopt;
  p->operand = std::move(operand);
  p->test = std::move(test);
  if (p->operand->constant()) {
    Chunk chunk;
    chunk.rows = 1;
    EvalContext context;
    context.meter.budget = 0;
    uint8_t yes = 0;
    evaluate(*p, chunk, context, nullptr, &yes);
    if (!context.meter.stopped.ok()) return p;  // too long for here: it runs with the query, under its deadline
    return make_predicate(yes != 0);
  }
  return p;
}

PredicatePtr make_condition(NodePtr boolean) {
  if (const Value* v = boolean->constant()) {
    const auto* u = std::get_if<uint64_t>(&v->data);
    return make_predicate(u && *u);
  }
  auto p = std::make_shared<Predicate>();
  p->kind = Predicate::Kind::expression;
  p->operand = std::move(boolean);
  return p;
}

PredicatePtr make_and(std::vector<PredicatePtr> children) {
  return combine(std::move(children), Predicate::Kind::conjunction, Predicate::Kind::all, Predicate::Kind::none);
}
PredicatePtr make_or(std::vector<PredicatePtr> children) {
  return combine(std::move(children), Predicate::Kind::disjunction, Predicate::Kind::none, Predicate::Kind::all);
}
PredicatePtr make_not(PredicatePtr child) {
  if (child->kind == Predicate::Kind::all) return make_predicate(false);
  if (child->kind == Predicate::Kind::none) return make_predicate(true);
  if (child->kind == Predicate::Kind::negation) return child->children[0];
  auto p = std::make_shared<Predicate>();
  p->kind = Predicate::Kind::negation;
  p->children.push_back(std::move(child));
  return p;
}

void evaluate(const Test& test, const Column& column, const LeafCodes* codes, WorkMeter& meter, uint8_t* mask) {
  if (const auto* t = std::get_if<NullTest>(&test)) {
    for (size_t i = 0; i < column.size(); ++i) mask[i] = column.is_null(i) == t->want_null;
    return;
  }
  if (codes && column.is_coded() && codes->dictionary && column.dictionary() == codes->dictionary) {
    test_codes(*codes, column.codes(), mask);
  } else if (const auto* ints = std::get_if<IntRanges>(&test)) {
    test_ints(*ints, column, mask);
  } else if (const auto* floats = std::get_if<FloatRange>(&test)) {
    const auto values = as_doubles(column);
    for (size_t i = 0; i < values.size(); ++i) mask[i] = in_float_range(*floats, values[i]);
  } else if (const auto* listed = std::get_if<FloatRanges>(&test)) {
    const auto values = as_doubles(column);
    for (size_t i = 0; i < values.size(); ++i) mask[i] = in_ranges(listed->ranges, values[i]);
  } else if (const auto* ips = std::get_if<IpRanges>(&test)) {
    const IpBlocks blocks(*ips);
    test_coded(
        column, mask, [&](uint32_t c) { return blocks.holds(column.dictionary()->ip_at(c)); }, [&](size_t i) { return blocks.holds(column.ip_at(i)); });
  } else if (const auto* text = std::get_if<TextTest>(&test)) {
    test_coded(
        column, mask, [&](uint32_t c) { return text->matches(column.dictionary()->string_at(c), meter); },
        [&](size_t i) { return text->matches(column.string_at(i), meter); });
  } else if (const auto* flags = std::get_if<FlagsTest>(&test)) {
    const auto values = as_uints(column);
    for (size_t i = 0; i < values.size(); ++i) mask[i] = ((values[i] & flags->mask) == flags->want) != flags->negated;
  }
  clear_nulls(column, mask);
}

void evaluate(const Predicate& predicate, const Chunk& chunk, EvalContext& context, const LeafFacts* facts, uint8_t* mask) {
  const size_t rows = chunk.rows;
  switch (predicate.kind) {
    case Predicate::Kind::all: std::memset(mask, 1, rows); return;
    case Predicate::Kind::none: std::memset(mask, 0, rows); return;
    case Predicate::Kind::negation:
      evaluate(*predicate.children[0], chunk, context, facts, mask);
      for (size_t i = 0; i < rows; ++i) mask[i] ^= 1;
      return;
    case Predicate::Kind::conjunction:
    case Predicate::Kind::disjunction: {
      const bool both = predicate.kind == Predicate::Kind::conjunction;
      evaluate(*predicate.children[0], chunk, context, facts, mask);
      std::vector<uint8_t> other(rows);
      for (size_t c = 1; c < predicate.children.size(); ++c) {
        // Ten thousands of comparisons are long for one batch.
        if (!context.meter.spend(rows)) return;
        evaluate(*predicate.children[c], chunk, context, facts, other.data());
        if (both)
          for (size_t i = 0; i < rows; ++i) mask[i] &= other[i];
        else
          for (size_t i = 0; i < rows; ++i) mask[i] |= other[i];
      }
      return;
    }
    case Predicate::Kind::test: {
      const ColumnPtr column = predicate.operand->eval(chunk, context);
      const LeafCodes* codes = predicate.column && facts && predicate.leaf < facts->size() ? &(*facts)[predicate.leaf] : nullptr;
      evaluate(predicate.test, *column, codes, context.meter, mask);
      return;
    }
    case Predicate::Kind::expression: {
      const ColumnPtr column = predicate.operand->eval(chunk, context);
      for (size_t i = 0; i < rows; ++i) mask[i] = !column->is_null(i) && column->uint_at(i) != 0;
      return;
    }
  }
}

NodePtr make_predicate_node(PredicatePtr predicate) {
  if (predicate->kind == Predicate::Kind::all || predicate->kind == Predicate::Kind::none)
    return make_constant(Value::boolean(predicate->kind == Predicate::Kind::all));
  if (predicate->kind == Predicate::Kind::expression) return predicate->operand;
  return std::make_shared<PredicateNode>(std::move(predicate));
}

void collect_slots(const Predicate& predicate, std::vector<size_t>& slots) {
  if (predicate.operand) predicate.operand->collect_slots(slots);
  for (const auto& child : predicate.children) collect_slots(*child, slots);
}

}  // namespace sluice::query
