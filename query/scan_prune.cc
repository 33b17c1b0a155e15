#include "query/scan_prune.h"

#include <algorithm>

namespace sluice::query {
namespace {

using segment::Segment;
using segment::Zone;

template <typename F>
void each_leaf(const Predicate& p, F&& f) {
  if (p.kind == Predicate::Kind::test && p.column) f(p);
  for (const auto& c : p.children) each_leaf(*c, f);
}

template <typename Judge>
Verdict judge(const Predicate& p, Judge&& leaf) {
  switch (p.kind) {
    case Predicate::Kind::all: return Verdict::all;
    case Predicate::Kind::none: return Verdict::none;
    case Predicate::Kind::expression: return Verdict::some;
    case Predicate::Kind::test: return p.column ? leaf(p) : Verdict::some;
    case Predicate::Kind::negation: {
      const Verdict v = judge(*p.children[0], leaf);
      return v == Verdict::all ? Verdict::none : v == Verdict::none ? Verdict::all : v;
    }
    case Predicate::Kind::conjunction: {
      Verdict out = Verdict::all;
      for (const auto& c : p.children) {
        out = std::min(out, judge(*c, leaf));
        if (out == Verdict::none) break;
      }
      return out;
    }
    case Predicate::Kind::disjunction: {
      Verdict out = Verdict::none;
      for (const auto& c : p.children) {
        out = std::max(out, judge(*c, leaf));
        if (out == Verdict::all) break;
      }
      return out;
    }
  }
  return Verdict::some;
}

// Neighbouring codes joined to ranges.
void add_code(std::vector<ValueRange>& ranges, uint32_t code) {
  if (!ranges.empty() && ranges.back().last + 1 == code)
    ranges.back().last = code;
  else
    ranges.push_back({code, code});
}

Status resolve_codes(const Predicate& leaf, const Segment& segment, const std::shared_ptr<const Dictionary>& dictionary, WorkMeter& meter,
                     LeafCodes& out) {
  if (const auto* ips = std::get_if<IpRanges>(&leaf.test)) {
    for (const auto& [first, last] : ips->ranges) {
      SLUICE_ASSIGN(const auto range, segment.codes_between(*leaf.column, first, last));
      if (range.first < range.second) out.ranges.push_back({range.first, range.second - 1});
    }
  } else if (const auto* text = std::get_if<TextTest>(&leaf.test)) {
    if (text->kind == TextTest::Kind::one_of && !text->negated && text->words.size() * 16 < dictionary->size()) {
      std::vector<uint32_t> codes;
      for (const auto& w : text->words) {
        SLUICE_ASSIGN(const auto code, segment.code_of(*leaf.column, w));
        if (code) codes.push_back(*code);
      }
      std::sort(codes.begin(), codes.end());
      for (uint32_t c : codes) add_code(out.ranges, c);
    } else {
      for (uint32_t c = 0; c < dictionary->size() && meter.stopped.ok(); ++c)
        if (text->matches(dictionary->string_at(c), meter)) add_code(out.ranges, c);
    }
  } else {
    return {};
  }
  out.dictionary = dictionary;
  if (out.ranges.size() > 1) {
    out.set.resize(dictionary->size());
    for (const ValueRange& r : out.ranges)
      for (uint64_t c = r.first; c <= r.last && c < dictionary->size(); ++c) out.set.set(c, true);
  }
  return {};
}

bool less(uint64_t a, uint64_t b, bool is_signed) {
  return is_signed ? static_cast<int64_t>(a) < static_cast<int64_t>(b) : a < b;
}

Verdict judge_ranges(const std::vector<ValueRange>& ranges, const Zone& zone, bool is_signed) {
  if (!zone.has_range) return Verdict::some;
  Verdict out = Verdict::none;
  for (const ValueRange& r : ranges) {
    if (less(zone.max, r.first, is_signed) || less(r.last, zone.min, is_signed)) continue;
    out = Verdict::some;
    if (!less(zone.min, r.first, is_signed) && !less(r.last, zone.max, is_signed) && zone.nulls == 0) return Verdict::all;
  }
  return out;
}

}  // namespace

Result<SegmentLeaves> resolve_leaves(const ScanPlan& plan, const Segment& segment, WorkMeter& meter) {
  SegmentLeaves out;
  out.facts.resize(plan.leaves);
  out.verdicts.assign(plan.leaves, Verdict::some);
  Status status;
  for (const Conjunct& conjunct : plan.conjuncts)
    each_leaf(*conjunct.predicate, [&](const Predicate& leaf) {
      if (!status.ok() || !meter.stopped.ok()) return;
      const auto* null_test = std::get_if<NullTest>(&leaf.test);
      if (!segment.has(*leaf.column)) {  // null in every row
        out.verdicts[leaf.leaf] = null_test && null_test->want_null ? Verdict::all : Verdict::none;
        return;
      }
      if (null_test) return;
      if (leaf.operand->type.physical != PhysicalType::Ip && leaf.operand->type.physical != PhysicalType::Str) return;
      auto dictionary = segment.dictionary(*leaf.column);
      if (!dictionary.ok()) {
        status = std::move(dictionary).error();
        return;
      }
      if (!dictionary.value()) return;
      status = resolve_codes(leaf, segment, dictionary.value(), meter, out.facts[leaf.leaf]);
      if (out.facts[leaf.leaf].dictionary && out.facts[leaf.leaf].ranges.empty()) out.verdicts[leaf.leaf] = Verdict::none;
    });
  if (!status.ok()) return std::move(status).error();
  return out;
}

Verdict judge_segment(const Predicate& predicate, const SegmentLeaves& leaves) {
  return judge(predicate, [&](const Predicate& leaf) { return leaves.verdicts[leaf.leaf]; });
}

Verdict judge_block(const Predicate& predicate, const SegmentLeaves& leaves, const Segment& segment, uint32_t block) {
  return judge(predicate, [&](const Predicate& leaf) {
    if (leaves.verdicts[leaf.leaf] != Verdict::some) return leaves.verdicts[leaf.leaf];
    const Zone zone = segment.zone(*leaf.column, block);
    if (const auto* t = std::get_if<NullTest>(&leaf.test)) {
      const Verdict when_null = t->want_null ? Verdict::all : Verdict::none, when_not = t->want_null ? Verdict::none : Verdict::all;
      return zone.nulls == 0 ? when_not : zone.nulls == zone.rows ? when_null : Verdict::some;
    }
    if (zone.nulls == zone.rows) return Verdict::none;
    const LeafCodes& codes = leaves.facts[leaf.leaf];
    if (codes.dictionary) return judge_ranges(codes.ranges, zone, false);
    if (const auto* ints = std::get_if<IntRanges>(&leaf.test)) {
      const bool is_signed = leaf.operand->type.physical == PhysicalType::I64;
      if (ints->is_signed == is_signed) return judge_ranges(ints->ranges, zone, is_signed);
    }
    if (const auto* flags = std::get_if<FlagsTest>(&leaf.test); flags && zone.has_range && zone.min == zone.max) {
      const bool yes = ((zone.min & flags->mask) == flags->want) != flags->negated;
      return !yes ? Verdict::none : zone.nulls == 0 ? Verdict::all : Verdict::some;
    }
    return Verdict::some;
  });
}

Result<std::optional<Bitmap>> candidate_granules(const Predicate& p, const SegmentLeaves& leaves, const Segment& segment,
                                                 segment::ReadStats* stats) {
  using Kind = Predicate::Kind;
  if (p.kind == Kind::test && p.column) {
    if (leaves.verdicts[p.leaf] == Verdict::none) return std::optional<Bitmap>(Bitmap(segment.granule_count()));
    if (leaves.verdicts[p.leaf] == Verdict::all || !segment.has(*p.column)) return std::optional<Bitmap>();
    const IndexKind index = column_spec(*p.column).index;
    if (index != IndexKind::postings && index != IndexKind::address) return std::optional<Bitmap>();
    const LeafCodes& codes = leaves.facts[p.leaf];
    const std::vector<ValueRange>* ranges = nullptr;
    uint64_t most = 4'096;
    if (codes.dictionary) {
      ranges = &codes.ranges;
      // Beyond a share of all codes, reading their postings costs more than it saves.
      most = std::max<uint64_t>(1'024, codes.dictionary->size() / 8);
    } else if (const auto* ints = std::get_if<IntRanges>(&p.test); ints && !ints->is_signed) {
      ranges = &ints->ranges;
    }
    if (!ranges) return std::optional<Bitmap>();
    uint64_t values = 0;
    for (const ValueRange& r : *ranges) {
      if (r.last - r.first >= most) return std::optional<Bitmap>();
      values += r.last - r.first + 1;
    }
    if (values > most) return std::optional<Bitmap>();
    return segment.candidates(*p.column, *ranges, stats);
  }
  if (p.kind == Kind::none) return std::optional<Bitmap>(Bitmap(segment.granule_count()));
  if (p.kind == Kind::conjunction) {
    std::optional<Bitmap> out;
    for (const auto& child : p.children) {
      SLUICE_ASSIGN(auto bits, candidate_granules(*child, leaves, segment, stats));
      if (!bits) continue;
      if (!out) {
        out = std::move(bits);
        continue;
      }
      for (size_t w = 0; w < out->words().size(); ++w) out->words()[w] &= bits->words()[w];
    }
    return out;
  }
  if (p.kind == Kind::disjunction) {
    std::optional<Bitmap> out;
    for (const auto& child : p.children) {
      SLUICE_ASSIGN(auto bits, candidate_granules(*child, leaves, segment, stats));
      if (!bits) return std::optional<Bitmap>();
      if (!out) {
        out = std::move(bits);
        continue;
      }
      for (size_t w = 0; w < out->words().size(); ++w) out->words()[w] |= bits->words()[w];
    }
    return out;
  }
  return std::optional<Bitmap>();
}

}  // namespace sluice::query
