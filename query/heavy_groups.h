// The groups that rank first among the millions of many segments, without all of them in one table: `top 15 src_ip, dst_ip by sum(bytes)`
// over a month has ten million pairs, and a table of these costs a look into far memory for each row.
//
// Each segment is grouped by itself, where the cache holds it, and lists the groups that rank first in it, and the most that any group has
// that it leaves out. What is listed of a group is the least that it has over all; with the bounds of the segments that do not list it, the
// most. Groups whose most is below the least of the last one wanted are out; those that stay are looked up where they were not listed. This
// is TPUT (Cao and Wang, "Efficient Top-K Query Calculation in Distributed Networks", 2004), after the threshold algorithm of Fagin, Lotem
// and Naor (2001), with segments in the place of nodes. The answer is exact. Where ranks are flat the bounds part nothing: then the caller groups as ever.
//
// Thread rule: list_heaviest() by any worker; HeavyGroups by one, but for look_up(), which is for different segments at once.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "query/plan.h"
#include "query/segment_memory.h"

namespace sluice::query {

// Whether groups can be ranked by part: sums of what is not negative in whole numbers, whose order of adding up does not tell, and keys that a
// scan can look for. `scan` fills the slots that keys name.
bool can_be_listed(const GroupSpec& spec, const ScanPlan& scan);

// Leaves of a segment's groups those that have the most of aggregate 0: not more than `most` of them, and none with less than `least` (nor
// with nothing). REQUIRES: can_be_listed(spec); `whole` has all groups of the segment. Errors: memory, deadline, cancelled.
Result<SegmentPart> list_heaviest(const GroupSpec& spec, GroupPart whole, size_t most, uint64_t least, Worker& worker);
// The same of a segment, or of open rows, of which all groups are held.
Result<SegmentPart> list_all(const GroupSpec& spec, GroupPart whole, Worker& worker);

class HeavyGroups {
 public:
  // The `wanted` groups with the most of aggregate 0. REQUIRES: can_be_listed(); spec outlives this
  HeavyGroups(const GroupSpec& spec, uint64_t wanted, size_t lists, RunState& run);

  // Takes over list number `list`, each once. Errors: memory, deadline, cancelled.
  Status add(size_t list, const SegmentPart& part, Worker& worker);

  enum class Verdict {
    found,     // those wanted are among the candidates
    deeper,    // lists that go down to least() would say
    hopeless,  // they would not, or sums do not fit
  };
  // What the lists say that were added so far, about the segments that these are of. REQUIRES: the worker's meter has not stopped
  Verdict judge(Worker& worker);
  uint64_t least() const { return least_; }
  // After a judgement: whether groups that no list names are bounded far above what is wanted, so that more such lists will not help.
  bool is_flat() const { return left_out_ / 2 >= bar_ && left_out_ > 0; }

  // After `found`. Candidates that some segment does not list are looked up there.
  void select();
  size_t candidates() const { return keys_.empty() ? 0 : keys_[0]->size(); }
  // Those that a list leaves out.
  std::vector<uint32_t> missing(size_t list) const;
  // A scan that finds at least all rows of candidates that are missing anywhere.
  ScanPlan narrow(const ScanPlan& scan) const;
  // Takes over from a segment what its rows, as narrow() finds them, say of the candidates that its list is missing. Errors: as add().
  // Returns the list with these in it, which says of those that have no rows there that they have none.
  Result<SegmentPart> look_up(const SegmentPart& part, std::span<const uint32_t> missing, GroupPart found, Worker& worker,
                              std::vector<std::unique_ptr<Aggregate>>& sums) const;
  std::vector<std::unique_ptr<Aggregate>> make_sums() const;
  // The candidates, with all that they have. REQUIRES: called once, last
  Result<GroupPart> take(std::span<std::vector<std::unique_ptr<Aggregate>>> looked_up, Worker& worker);

 private:
  const GroupSpec& spec_;
  const uint64_t wanted_;
  MemoryClaim claim_;
  GroupTable table_;
  std::vector<std::unique_ptr<Aggregate>> aggregates_;
  std::vector<uint64_t> covered_;    // by group: bounds of the lists that name it
  std::vector<uint32_t> listed_by_;  // by group: so many lists that leave some out name it
  std::vector<std::vector<uint32_t>> names_;  // by list: its groups; empty of lists that leave none out
  size_t names_bytes_ = 0;
  std::vector<bool> leaves_out_;     // by list
  uint32_t incomplete_ = 0;          // lists that leave groups out
  uint64_t left_out_ = 0;            // the sum of their bounds
  std::vector<uint64_t> totals_;     // by aggregate that adds up
  bool beyond_ = false;              // a total is beyond 64 bits: a group's may be
  uint64_t bar_ = 0, least_ = 0;
  std::vector<uint32_t> chosen_;     // candidates, as groups
  std::vector<uint32_t> place_;      // by group: its candidate, or kNoGroup
  std::vector<ColumnPtr> keys_;      // of the candidates
};

}  // namespace sluice::query
