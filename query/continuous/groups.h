// Groups and their aggregates, as rules keep them. What becomes of them at a bound: shortfall.h.
//
// Thread rule: one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "query/continuous/known_keys.h"
#include "query/continuous/lost_groups.h"
#include "query/continuous/shortfall.h"
#include "query/group.h"

namespace sluice::query::continuous {

// The aggregates of groups that somebody else numbers. REQUIRES: the spec outlives it
class GroupStates {
 public:
  explicit GroupStates(const GroupSpec& spec);
  // Makes room for groups [0, count); never shrinks.
  void resize(size_t count);
  // Row i belongs to groups[i]; null: all rows to group 0. REQUIRES: there is room for every group
  void update(const uint32_t* groups, const Chunk& rows, EvalContext& context);
  // Group g of `other`, which is empty behind it, joins group map[g]; kNoGroup: it is left out.
  void take(GroupStates& other, std::span<const uint32_t> map, EvalContext& context);
  // Behind the slots of `out`, one for each aggregate: the results of the groups given.
  void append(std::span<const uint32_t> groups, Chunk& out, EvalContext& context) const;
  // Of one aggregate, which is a number: the results of the groups given.
  std::vector<double> values(size_t aggregate, std::span<const uint32_t> groups, EvalContext& context) const;
  size_t byte_size() const;

 private:
  const GroupSpec* spec_;
  std::vector<std::unique_ptr<Aggregate>> aggregates_;
};

// Groups and aggregates of some flows.
class Groups {
 public:
  explicit Groups(const GroupSpec& spec);
  // Adds rows. `touched`: gets the group of each row, repeats included; may be null.
  void push(const Chunk& rows, EvalContext& context, std::vector<uint32_t>* touched);
  // The same of those rows alone whose groups are there already. `lost` gets the keys of the others; the number of rows that were left out.
  uint64_t push_known(const Chunk& rows, EvalContext& context, std::vector<uint32_t>* touched, LostGroups& lost);
  // Keys, then aggregates, one slot each.
  Chunk rows(std::span<const uint32_t> groups, EvalContext& context) const;
  size_t size() const { return spec_.keys.empty() ? 1 : table_->size(); }
  size_t byte_size() const;

  // Lets go of all but the heaviest: of each aggregate that is a number those with the most, `count` in all or fewer, and those of the keys
  // `held`. `lost` gets the keys of those that went; the new number of each group, kNoGroup of those. REQUIRES: a key
  std::vector<uint32_t> keep_heaviest(size_t count, const std::unordered_set<uint64_t>& held, LostGroups& lost, EvalContext& context);
  std::vector<uint64_t> heaviest_keys(size_t count, EvalContext& context) const;
  // Rows were dropped that may be any group's.
  void lack_rows();
  // What the groups may lack; null: nothing.
  const Shortfall* shortfall() const { return shortfall_.get(); }

 private:
  void push_sides(const Chunk& rows, EvalContext& context, std::vector<uint32_t>* touched);
  void begin_groups(size_t before, std::span<const ColumnPtr> keys, size_t rows);
  Shortfall& add_shortfall(size_t keys);
  std::vector<size_t> measures() const;
  // By measure and group: its value, with what it may lack.
  std::vector<std::vector<double>> weights(EvalContext& context) const;
  // f(group, fingerprint of its key)
  template <typename F>
  void each_key(std::span<const uint32_t> groups, EvalContext& context, F f) const;
  // Whether each group is among the heaviest.
  std::vector<bool> heaviest(const std::vector<std::vector<double>>& weights, size_t count) const;
  void push_side(const Chunk& rows, std::vector<ColumnPtr> keys, EvalContext& context, std::vector<uint32_t>* touched);

  const GroupSpec& spec_;
  std::optional<GroupTable> table_;  // replaced when groups are let go
  GroupStates states_;
  std::vector<uint32_t> numbers_;
  KnownKeys known_;  // for push_known()
  LostGroups* lost_ = nullptr;    // while push_known() runs
  uint64_t left_out_ = 0;
  std::unique_ptr<Shortfall> shortfall_;
};

}  // namespace sluice::query::continuous
