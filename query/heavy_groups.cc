#include "query/heavy_groups.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "query/value_filter.h"
#include "query/limits.h"

namespace sluice::query {
namespace {

// What each of the groups has of an aggregate that adds up; nothing where it has no value.
std::vector<uint64_t> amounts(const Aggregate& aggregate, size_t groups, EvalContext& context) {
  std::vector<uint32_t> all(groups);
  std::iota(all.begin(), all.end(), 0u);
  return as_uints(aggregate.finish(all, context));
}

std::vector<std::unique_ptr<Aggregate>> make_aggregates(const GroupSpec& spec, size_t groups) {
  std::vector<std::unique_ptr<Aggregate>> out;
  for (const auto& a : spec.aggregates) {
    out.push_back(a.make.make());
    out.back()->resize(groups);
  }
  return out;
}

std::vector<ColumnPtr> key_columns(const GroupTable& table, size_t keys, std::span<const uint32_t> groups) {
  std::vector<ColumnPtr> out;
  for (size_t k = 0; k < keys; ++k) out.push_back(std::make_shared<Column>(table.keys(k, groups)));
  return out;
}

// Some groups of a part as a part of their own; groups[i] is what picked[i] is there.
Result<GroupPart> pick(const GroupSpec& spec, const GroupPart& from, std::span<const uint32_t> picked, std::vector<uint32_t>& groups, Worker& worker) {
  GroupPart out{GroupTable(key_types(spec)), make_aggregates(spec, picked.size()), picked.size()};
  std::vector<uint32_t> map(from.groups, kNoGroup);
  {
    Growth growth(worker.eval);
    out.table.find(key_columns(from.table, spec.keys.size(), picked), picked.size(), groups, &growth);
  }
  for (size_t i = 0; i < picked.size(); ++i) map[picked[i]] = groups[i];
  for (size_t a = 0; a < out.aggregates.size(); ++a) out.aggregates[a]->merge(*from.aggregates[a], map, worker.eval);
  SLUICE_TRY(worker.eval.meter.stopped);
  out.table.drop_scratch();
  return out;
}

// What all groups have, into a part.
Status add_totals(const GroupSpec& spec, const GroupPart& all, SegmentPart& part, Worker& worker) {
  part.totals.resize(spec.aggregates.size());
  for (size_t a = 0; a < spec.aggregates.size(); ++a) {
    if (!spec.aggregates[a].make.is_total) continue;
    for (const uint64_t v : amounts(*all.aggregates[a], all.groups, worker.eval))
      if (__builtin_add_overflow(part.totals[a], v, &part.totals[a])) part.beyond = true;
  }
  return worker.eval.meter.stopped;
}

}  // namespace

bool can_be_listed(const GroupSpec& spec, const ScanPlan& scan) {
  if (spec.keys.empty() || spec.aggregates.empty() || !spec.aggregates[0].make.is_total) return false;
  // Whether a sum with a sign is beyond 64 bits, the sums of the parts do not say.
  for (const GroupAggregate& a : spec.aggregates)
    if (!a.make.can_be_kept || (a.adds_up && !a.make.is_total)) return false;
  bool found = false;
  for (const GroupKey& k : spec.keys) {
    if (k.other_side) return false;  // one value of a row is looked for, and not either of two
    const auto slot = k.node->slot();
    if (slot && *slot < scan.slots.size() && scan.slots[*slot].source && scan.slots[*slot].source->kind == ScanSource::Kind::stored)
      found = found || k.node->type.physical == PhysicalType::Ip || k.node->type.logical == LogicalType::string;
  }
  return found;
}

Result<SegmentPart> list_all(const GroupSpec& spec, GroupPart whole, Worker& worker) {
  SegmentPart part{std::move(whole)};
  SLUICE_TRY(add_totals(spec, part.groups, part, worker));
  part.bytes = part.groups.byte_size();
  return part;
}

Result<SegmentPart> list_heaviest(const GroupSpec& spec, GroupPart whole, size_t most, uint64_t least, Worker& worker) {
  least = std::max<uint64_t>(least, 1);
  const std::vector<uint64_t> ranks = amounts(*whole.aggregates[0], whole.groups, worker.eval);
  SLUICE_TRY(worker.eval.meter.stopped);
  std::vector<uint32_t> listed;
  uint64_t left_out = 0;
  for (uint32_t g = 0; g < ranks.size(); ++g) {
    if (ranks[g] >= least)
      listed.push_back(g);
    else
      left_out = std::max(left_out, ranks[g]);
  }
  if (listed.size() > most) {
    std::nth_element(listed.begin(), listed.begin() + static_cast<ptrdiff_t>(most), listed.end(), [&](uint32_t a, uint32_t b) { return ranks[a] > ranks[b]; });
    left_out = ranks[listed[most]];
    listed.resize(most);
  }
  if (listed.size() == whole.groups) return list_all(spec, std::move(whole), worker);
  std::sort(listed.begin(), listed.end());
  std::vector<uint32_t> groups;
  SLUICE_ASSIGN(GroupPart picked, pick(spec, whole, listed, groups, worker));
  SegmentPart part{std::move(picked)};
  part.is_complete = false;
  part.left_out = left_out;
  part.bytes = part.groups.byte_size();
  SLUICE_TRY(add_totals(spec, whole, part, worker));
  return part;
}

HeavyGroups::HeavyGroups(const GroupSpec& spec, uint64_t wanted, size_t lists, RunState& run)
    : spec_(spec), wanted_(wanted), claim_(&run), table_(key_types(spec)), aggregates_(make_aggregates(spec, 0)), names_(lists), leaves_out_(lists),
      totals_(spec.aggregates.size()) {}

Status HeavyGroups::add(size_t list, const SegmentPart& part, Worker& worker) {
  beyond_ = beyond_ || part.beyond;
  for (size_t a = 0; a < totals_.size(); ++a)
    if (__builtin_add_overflow(totals_[a], part.totals[a], &totals_[a])) beyond_ = true;
  if (beyond_) return {};
  std::vector<uint32_t> map;
  {
    Growth growth(worker.eval);
    map = table_.merge(part.groups.table, &growth);
  }
  SLUICE_TRY(worker.eval.meter.stopped);
  size_t bytes = 0;
  for (size_t a = 0; a < aggregates_.size(); ++a) {
    aggregates_[a]->resize(table_.size());
    aggregates_[a]->merge(*part.groups.aggregates[a], map, worker.eval);
    bytes += aggregates_[a]->byte_size();
  }
  covered_.resize(table_.size());
  listed_by_.resize(table_.size());
  if (!part.is_complete) {
    for (const uint32_t g : map) {
      covered_[g] += part.left_out;
      ++listed_by_[g];
    }
    leaves_out_[list] = true;
    ++incomplete_;
    left_out_ += part.left_out;  // not more than the total
    names_bytes_ += map.size() * sizeof(uint32_t);
    names_[list] = std::move(map);
  }
  bytes += table_.byte_size() + table_.size() * (sizeof(uint64_t) + 2 * sizeof(uint32_t)) + names_bytes_;
  SLUICE_TRY(worker.eval.meter.stopped);
  return claim_.set(bytes);
}

HeavyGroups::Verdict HeavyGroups::judge(Worker& worker) {
  bar_ = 0;
  if (beyond_) return Verdict::hopeless;
  const std::vector<uint64_t> known = amounts(*aggregates_[0], table_.size(), worker.eval);
  if (known.size() >= wanted_) {
    std::vector<uint64_t> order = known;
    const auto last = order.begin() + static_cast<ptrdiff_t>(wanted_ - 1);
    std::nth_element(order.begin(), last, order.end(), std::greater<>());
    bar_ = *last;
  }
  // Nobody knows a group that no list names; it can have as much as all lists together leave out.
  if (incomplete_ > 0 && left_out_ >= bar_) {
    least_ = (bar_ + incomplete_ - 1) / incomplete_;  // each list leaves out less than its share of the bar
    return bar_ == 0 ? Verdict::hopeless : Verdict::deeper;
  }
  chosen_.clear();
  for (uint32_t g = 0; g < known.size(); ++g)
    if (known[g] + (left_out_ - covered_[g]) >= bar_) chosen_.push_back(g);
  if (incomplete_ == 0 || chosen_.size() <= limits::kHeavyCandidatesMax) return Verdict::found;
  least_ = bar_ / incomplete_ / 8 + 1;  // then candidates are known to have most of the bar
  return Verdict::deeper;
}

void HeavyGroups::select() {
  place_.assign(table_.size(), kNoGroup);
  for (size_t i = 0; i < chosen_.size(); ++i) place_[chosen_[i]] = static_cast<uint32_t>(i);
  keys_ = key_columns(table_, spec_.keys.size(), chosen_);
}

std::vector<uint32_t> HeavyGroups::missing(size_t list) const {
  std::vector<uint32_t> out;
  if (!leaves_out_[list]) return out;
  std::vector<bool> named(chosen_.size());
  for (const uint32_t g : names_[list])
    if (place_[g] != kNoGroup) named[place_[g]] = true;
  for (uint32_t c = 0; c < named.size(); ++c)
    if (!named[c]) out.push_back(c);
  return out;
}

ScanPlan HeavyGroups::narrow(const ScanPlan& scan) const {
  ScanPlan out = scan;
  std::vector<uint32_t> rows;
  for (uint32_t c = 0; c < chosen_.size(); ++c)
    if (listed_by_[chosen_[c]] < incomplete_) rows.push_back(c);
  std::vector<Conjunct> filters;
  for (size_t k = 0; k < keys_.size(); ++k) {
    const auto slot = spec_.keys[k].node->slot();
    if (!slot || *slot >= scan.slots.size() || !scan.slots[*slot].source || scan.slots[*slot].source->kind != ScanSource::Kind::stored) continue;
    const Column values = keys_[k]->gather(rows);
    if (values.null_count() > 0) continue;  // a test of values leaves nulls out
    if (auto filter = make_value_filter(out, *slot, values, "keys of the groups that may rank first")) filters.push_back(std::move(*filter));
  }
  out.conjuncts.insert(out.conjuncts.begin(), filters.begin(), filters.end());
  return out;
}

std::vector<std::unique_ptr<Aggregate>> HeavyGroups::make_sums() const { return make_aggregates(spec_, chosen_.size()); }

Result<SegmentPart> HeavyGroups::look_up(const SegmentPart& part, std::span<const uint32_t> missing, GroupPart found, Worker& worker,
                                         std::vector<std::unique_ptr<Aggregate>>& sums) const {
  std::vector<ColumnPtr> keys;
  for (const ColumnPtr& k : keys_) keys.push_back(std::make_shared<Column>(k->gather(missing)));
  // Candidates that have no rows here become groups of the table alone.
  std::vector<uint32_t> at, in_list;
  std::vector<uint32_t> to_candidate(found.groups, kNoGroup), to_list(found.groups, kNoGroup);
  SegmentPart more{GroupPart{GroupTable(key_types(spec_)), {}, 0}};
  std::vector<uint32_t> old;
  {
    Growth growth(worker.eval);
    found.table.find(keys, missing.size(), at, &growth);
    old = more.groups.table.merge(part.groups.table, &growth);
    more.groups.table.find(keys, missing.size(), in_list, &growth);
  }
  SLUICE_TRY(worker.eval.meter.stopped);
  for (size_t i = 0; i < missing.size(); ++i) {
    if (at[i] >= found.groups) continue;
    to_candidate[at[i]] = missing[i];
    to_list[at[i]] = in_list[i];
  }
  more.groups.groups = more.groups.table.size();
  more.groups.aggregates = make_aggregates(spec_, more.groups.groups);
  for (size_t a = 0; a < sums.size(); ++a) {
    sums[a]->merge(*found.aggregates[a], to_candidate, worker.eval);
    more.groups.aggregates[a]->merge(*part.groups.aggregates[a], old, worker.eval);
    more.groups.aggregates[a]->merge(*found.aggregates[a], to_list, worker.eval);
  }
  SLUICE_TRY(worker.eval.meter.stopped);
  more.groups.table.drop_scratch();
  more.is_complete = part.is_complete;
  more.left_out = part.left_out;
  more.totals = part.totals;
  more.rows_scanned = part.rows_scanned;
  more.rows_matched = part.rows_matched;
  more.unknown_sampling_rows = part.unknown_sampling_rows;
  more.bytes = more.groups.byte_size();
  return more;
}

Result<GroupPart> HeavyGroups::take(std::span<std::vector<std::unique_ptr<Aggregate>>> looked_up, Worker& worker) {
  GroupPart all{std::move(table_), std::move(aggregates_), place_.size()};
  std::vector<uint32_t> map;
  SLUICE_ASSIGN(GroupPart out, pick(spec_, all, chosen_, map, worker));
  for (const auto& sums : looked_up)
    for (size_t a = 0; a < sums.size(); ++a) out.aggregates[a]->merge(*sums[a], map, worker.eval);
  SLUICE_TRY(worker.eval.meter.stopped);
  return out;
}

}  // namespace sluice::query
