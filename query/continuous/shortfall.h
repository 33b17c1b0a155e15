// What the groups of one window may lack, because groups were let go at the bound of a rule's state (WindowGroups::let_go).
//
// At the bound the lighter groups are let go, all at a time, and what comes from there on finds room. It is what Lossy Counting (Manku and Motwani,
// "Approximate Frequency Counts over Data Streams", 2002) and Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent
// and Top-k Elements in Data Streams", 2005) do, of every aggregate that is a number at a time: a group has its values v from the flows since it
// is held, and
//
//     v <= true value <= v + most(group)       of counts, sums of what is not negative, distinct counts, greatest values
//
// A key that was never let go lacks nothing: a filter (key_filter.h) knows the keys that were, so a group that begins is whole unless the filter has its
// key. Of one that may lack something that is, of each aggregate, no more than the greatest v + most(group) that was let go before it began. Groups are
// let go by v + most(group), the least first, so that a key does not lose to others what it has lost before.
//
// Where rows were dropped, as well, nothing bounds what they had: groups that may lack some of those are not whole, and most() does not hold.
//
// Thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "query/continuous/key_filter.h"

namespace sluice::query::continuous {

class Shortfall {
 public:
  // `measures`: aggregates that are numbers. `groups`: that there are, all of them whole. `keys`: about to be let go
  Shortfall(size_t measures, size_t groups, size_t keys);
  // Rows of the key are not counted any more.
  void add(uint64_t key) { keys_.add(key); }
  // The next group begins.
  void begin(uint64_t key);
  // Rows of any key have been dropped: no group is whole, and none that begins.
  void add_all();
  // Groups were let go: `most` of each measure, at most; and the others have new numbers (kNoGroup: gone), `groups` in all.
  void renumber(std::span<const uint32_t> map, size_t groups, std::vector<double> most);

  bool is_whole(uint32_t group) const { return since_[group] == 0; }
  double most(uint32_t group, size_t measure) const { return since_[group] == 0 ? 0 : most_[since_[group] - 1][measure]; }
  // Of a group that begins now, and of a key that was let go.
  const std::vector<double>& most() const { return most_.back(); }
  uint64_t partial_groups() const { return partial_; }
  size_t byte_size() const { return keys_.byte_size() + since_.capacity() * sizeof(uint32_t) + most_.size() * most_[0].size() * sizeof(double); }

 private:
  KeyFilter keys_;
  std::vector<uint32_t> since_;             // by group: 0: whole; else it began when there were so many of most_
  std::vector<std::vector<double>> most_;   // by how often groups were let go
  bool is_all_ = false;
  uint64_t partial_ = 0;
};

}  // namespace sluice::query::continuous
