#include "query/continuous/groups.h"

#include <utility>

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
    const std::vector<uint32_t> stay = known_.admit(table_, keys, rows.rows, 0, context, [&](uint32_t, uint64_t key) { lost_->add(key); });
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
    table_.find(keys, rows.rows, numbers_);
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
  for (size_t k = 0; k < spec_.keys.size(); ++k) out.slots.push_back(keep(table_.keys(k, groups), context));
  states_.append(groups, out, context);
  return out;
}

size_t Groups::byte_size() const {
  return table_.byte_size() + known_.byte_size() + numbers_.capacity() * sizeof(uint32_t) + states_.byte_size();
}

}  // namespace sluice::query::continuous
