#include "query/continuous/groups.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "query/continuous/key_history.h"
#include "query/continuous/limits.h"

namespace sluice::query::continuous {

GroupStates::GroupStates(const GroupSpec& spec) : spec_(&spec) {
  for (const auto& a : spec.aggregates) aggregates_.push_back(a.make.make());
}

void GroupStates::resize(size_t count) {
  for (const auto& a : aggregates_) a->resize(count);
}

void GroupStates::update(const uint32_t* groups, const Chunk& rows, EvalContext& context) {
  for (size_t a = 0; a < aggregates_.size(); ++a) {
    const GroupAggregate& spec = spec_->aggregates[a];
    std::vector<ColumnPtr> args;
    if (!spec.filter) {
      for (const auto& n : spec.args) args.push_back(n->eval(rows, context));
      aggregates_[a]->update(groups, args, rows.rows, context);
      continue;
    }
    std::vector<uint8_t> mask(rows.rows);
    evaluate(*spec.filter, rows, context, nullptr, mask.data());
    std::vector<uint32_t> picked, their_groups;
    for (uint32_t i = 0; i < rows.rows; ++i) {
      if (!mask[i]) continue;
      picked.push_back(i);
      if (groups) their_groups.push_back(groups[i]);
    }
    if (picked.empty()) continue;
    for (const auto& n : spec.args) args.push_back(keep(n->eval(rows, context)->gather(picked), context));
    aggregates_[a]->update(groups ? their_groups.data() : nullptr, args, picked.size(), context);
  }
}

void GroupStates::take(GroupStates& other, std::span<const uint32_t> map, EvalContext& context) {
  for (size_t a = 0; a < aggregates_.size(); ++a) aggregates_[a]->merge(*other.aggregates_[a], map, context);
}

void GroupStates::append(std::span<const uint32_t> groups, Chunk& out, EvalContext& context) const {
  for (const auto& a : aggregates_) out.slots.push_back(keep(a->finish(groups, context), context));
}

std::vector<double> GroupStates::values(size_t aggregate, std::span<const uint32_t> groups, EvalContext& context) const {
  return as_doubles(aggregates_[aggregate]->finish(groups, context));
}

size_t GroupStates::byte_size() const {
  size_t bytes = 0;
  for (const auto& a : aggregates_) bytes += a->byte_size();
  return bytes;
}

Groups::Groups(const GroupSpec& spec) : spec_(spec), table_(key_types(spec)), states_(spec) { states_.resize(1); }

void Groups::push(const Chunk& rows, EvalContext& context, std::vector<uint32_t>* touched) {
  known_.forget();
  push_sides(rows, context, touched);
}

uint64_t Groups::push_known(const Chunk& rows, EvalContext& context, std::vector<uint32_t>* touched, LostGroups& lost) {
  left_out_ = 0;
  lost_ = &lost;
  push_sides(rows, context, touched);
  lost_ = nullptr;
  return left_out_;
}

void Groups::push_sides(const Chunk& rows, EvalContext& context, std::vector<uint32_t>* touched) {
  std::vector<ColumnPtr> keys;
  bool either = false;
  for (const auto& k : spec_.keys) {
    keys.push_back(k.node->eval(rows, context));
    either = either || k.other_side;
  }
  if (!either) return push_side(rows, std::move(keys), context, touched);
  // A flow counts once for each side; where both sides say the same, once (as in Grouping::push).
  std::vector<ColumnPtr> others = keys;
  for (size_t i = 0; i < keys.size(); ++i)
    if (spec_.keys[i].other_side) others[i] = spec_.keys[i].other_side->eval(rows, context);
  std::vector<uint32_t> second;
  for (uint32_t row = 0; row < rows.rows; ++row) {
    bool same = true;
    for (size_t i = 0; i < keys.size() && same; ++i)
      if (spec_.keys[i].other_side) same = same_value(*keys[i], *others[i], row);
    if (!same) second.push_back(row);
  }
  push_side(rows, keys, context, touched);
  if (second.empty()) return;
  std::vector<ColumnPtr> picked;
  for (const auto& c : others) picked.push_back(keep(c->gather(second), context));
  push_side(rows.gather(second, context), std::move(picked), context, touched);
}

void Groups::push_side(const Chunk& rows, std::vector<ColumnPtr> keys, EvalContext& context, std::vector<uint32_t>* touched) {
  if (lost_ && !keys.empty()) {
    const std::vector<uint32_t> stay = known_.admit(*table_, keys, rows.rows, 0, context, [&](uint32_t, uint64_t key) {
      lost_->add(key);
      add_shortfall(table_->size()).add(key);
    });
    if (stay.size() < rows.rows) {
      left_out_ += rows.rows - stay.size();
      if (stay.empty()) return;
      for (ColumnPtr& k : keys) k = keep(k->gather(stay), context);
      LostGroups* const lost = std::exchange(lost_, nullptr);
      push_side(rows.gather(stay, context), std::move(keys), context, touched);
      lost_ = lost;
      return;
    }
  }
  const uint32_t* groups = nullptr;
  if (!keys.empty()) {
    const size_t before = table_->size();
    table_->find(keys, rows.rows, numbers_);
    if (shortfall_) begin_groups(before, keys, rows.rows);
    groups = numbers_.data();
  }
  if (touched) {
    if (groups)
      touched->insert(touched->end(), numbers_.begin(), numbers_.begin() + static_cast<ptrdiff_t>(rows.rows));
    else
      touched->push_back(0);
  }
  states_.resize(size());
  states_.update(groups, rows, context);
}

Chunk Groups::rows(std::span<const uint32_t> groups, EvalContext& context) const {
  Chunk out;
  out.rows = groups.size();
  for (size_t k = 0; k < spec_.keys.size(); ++k) out.slots.push_back(keep(table_->keys(k, groups), context));
  states_.append(groups, out, context);
  return out;
}

size_t Groups::byte_size() const {
  return table_->byte_size() + known_.byte_size() + numbers_.capacity() * sizeof(uint32_t) + states_.byte_size() + (shortfall_ ? shortfall_->byte_size() : 0);
}

void Groups::begin_groups(size_t before, std::span<const ColumnPtr> keys, size_t rows) {
  if (table_->size() == before) return;
  std::vector<uint64_t> fingerprints(table_->size() - before, 0);
  for (size_t row = 0; row < rows; ++row)
    if (numbers_[row] >= before && fingerprints[numbers_[row] - before] == 0) fingerprints[numbers_[row] - before] = KeyHistory::fingerprint(keys, row);
  for (const uint64_t key : fingerprints) shortfall_->begin(key);
}

Shortfall& Groups::add_shortfall(size_t keys) {
  if (!shortfall_) shortfall_ = std::make_unique<Shortfall>(measures().size(), size(), keys);
  return *shortfall_;
}

void Groups::lack_rows() { add_shortfall(0).add_all(); }

std::vector<size_t> Groups::measures() const {
  std::vector<size_t> out;
  for (size_t a = 0; a < spec_.aggregates.size(); ++a)
    switch (spec_.aggregates[a].make.result.logical) {
      case LogicalType::uint:
      case LogicalType::int64:
      case LogicalType::float64:
      case LogicalType::duration: out.push_back(a); break;
      default: break;
    }
  return out;
}

std::vector<std::vector<double>> Groups::weights(EvalContext& context) const {
  std::vector<uint32_t> all(size());
  std::iota(all.begin(), all.end(), 0u);
  std::vector<std::vector<double>> out;
  for (const size_t a : measures()) {
    std::vector<double>& weights = out.emplace_back(states_.values(a, all, context));
    for (uint32_t g = 0; g < weights.size(); ++g) {
      if (std::isnan(weights[g])) weights[g] = 0;
      if (shortfall_) weights[g] += shortfall_->most(g, out.size() - 1);
    }
  }
  return out;
}

std::vector<bool> Groups::heaviest(const std::vector<std::vector<double>>& weights, size_t count) const {
  std::vector<bool> out(size(), false);
  std::vector<uint32_t> order(size());
  std::iota(order.begin(), order.end(), 0u);
  // Of equal ones those that came last: more may follow.
  const auto mark = [&](size_t most, auto is_heavier) {
    most = std::min(most, order.size());
    std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(most), order.end(), is_heavier);
    for (size_t i = 0; i < most; ++i) out[order[i]] = true;
  };
  for (const std::vector<double>& w : weights) mark(count / weights.size(), [&](uint32_t a, uint32_t b) { return w[a] != w[b] ? w[a] > w[b] : a > b; });
  // Where several have the most of the same groups, or there is nothing to go by, the newest of the others.
  std::erase_if(order, [&](uint32_t g) { return out[g]; });
  mark(count - std::min(count, size() - order.size()), std::greater<uint32_t>());
  return out;
}

template <typename F>
void Groups::each_key(std::span<const uint32_t> groups, EvalContext& context, F f) const {
  for (size_t from = 0; from < groups.size(); from += limits::kGroupsPiece) {
    const auto piece = groups.subspan(from, std::min(limits::kGroupsPiece, groups.size() - from));
    std::vector<ColumnPtr> keys;
    for (size_t k = 0; k < spec_.keys.size(); ++k) keys.push_back(keep(table_->keys(k, piece), context));
    for (size_t i = 0; i < piece.size(); ++i) f(piece[i], KeyHistory::fingerprint(keys, i));
  }
}

std::vector<uint32_t> Groups::keep_heaviest(size_t count, const std::unordered_set<uint64_t>& held, LostGroups& lost, EvalContext& context) {
  const auto weights = this->weights(context);
  std::vector<bool> stays = heaviest(weights, count);
  std::vector<uint32_t> stay, gone, numbers, map(size(), kNoGroup);
  for (uint32_t g = 0; g < stays.size(); ++g)
    if (!stays[g]) gone.push_back(g);
  Shortfall& shortfall = add_shortfall(gone.size());
  std::vector<double> most = shortfall.most();
  each_key(gone, context, [&](uint32_t group, uint64_t key) {
    if (held.contains(key)) {
      stays[group] = true;
      return;
    }
    shortfall.add(key);
    lost.add(key);
    for (size_t m = 0; m < most.size(); ++m) most[m] = std::max(most[m], weights[m][group]);
  });
  for (uint32_t g = 0; g < stays.size(); ++g)
    if (stays[g]) stay.push_back(g);
  GroupTable table = table_of(*table_, key_types(spec_), stay, numbers, context);
  for (size_t i = 0; i < stay.size(); ++i) map[stay[i]] = numbers[i];
  GroupStates states(spec_);
  states.resize(std::max<size_t>(1, stay.size()));
  states.take(states_, map, context);
  table_.emplace(std::move(table));
  states_ = std::move(states);
  known_.forget();
  shortfall.renumber(map, stay.size(), std::move(most));
  return map;
}

std::vector<uint64_t> Groups::heaviest_keys(size_t count, EvalContext& context) const {
  const std::vector<bool> is_heavy = heaviest(weights(context), count);
  std::vector<uint32_t> groups;
  for (uint32_t g = 0; g < is_heavy.size(); ++g)
    if (is_heavy[g]) groups.push_back(g);
  std::vector<uint64_t> keys;
  each_key(groups, context, [&](uint32_t, uint64_t key) { keys.push_back(key); });
  return keys;
}

}  // namespace sluice::query::continuous
