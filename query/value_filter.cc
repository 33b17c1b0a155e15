#include "query/value_filter.h"

namespace sluice::query {

std::optional<Conjunct> make_value_filter(ScanPlan& scan, size_t slot, const Column& values, std::string text) {
  const Type& type = scan.slots[slot].type;
  Test test;
  if (type.physical == PhysicalType::Ip) {
    IpRanges ranges;
    for (size_t i = 0; i < values.size(); ++i)
      if (!values.is_null(i)) ranges.ranges.emplace_back(values.ip_at(i), values.ip_at(i));
    ranges.normalize();
    test = std::move(ranges);
  } else if (type.physical == PhysicalType::Str) {
    if (type.logical != LogicalType::string) return std::nullopt;
    TextTest words;
    for (size_t i = 0; i < values.size(); ++i)
      if (!values.is_null(i)) words.words.emplace(values.string_at(i));
    test = std::move(words);
  } else if (type.physical == PhysicalType::F64) {
    return std::nullopt;
  } else {
    IntRanges ranges;
    ranges.is_signed = type.physical == PhysicalType::I64;
    for (size_t i = 0; i < values.size(); ++i)
      if (!values.is_null(i)) ranges.ranges.push_back({values.uint_at(i), values.uint_at(i)});
    ranges.normalize();
    test = std::move(ranges);
  }
  auto predicate = std::make_shared<Predicate>(*make_test(make_slot(slot, type), std::move(test)));
  if (predicate->kind == Predicate::Kind::test && predicate->column) predicate->leaf = scan.leaves++;
  return Conjunct{std::move(predicate), {slot}, std::move(text)};
}

}  // namespace sluice::query
