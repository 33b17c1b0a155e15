// What the rows of one segment came to, kept for the next time that the same is asked: segments never change, so the groups and
// aggregates of one whole segment depend on the question alone. A dashboard that is loaded again computes only what is new since.
//
// What is the same question is said by its text, its parameters, the plan as far as the groups, and the books (lists, tables, names,
// places, corrections of sampling rates) that it was bound with: each a different one when it changes. What depends on the moment, on
// order or on another query is never kept (Execution::ask() in execution.cc). Druid keeps results of its historical segments in this way.
//
// Thread rule: SegmentMemory from any thread; a SegmentPart never changes.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "query/group.h"
#include "query/limits.h"

namespace sluice::query {

// REQUIRES: of aggregates that can be kept (AggregateMake::can_be_kept)
struct SegmentPart {
  GroupPart groups;
  size_t bytes = 0;
  // A list of the groups that rank first (heavy_groups.h): whether that is all of them; else the most that one left out has of aggregate 0.
  // And what all groups have together, by aggregate that adds up; or that one of these is beyond 64 bits.
  bool is_complete = true;
  uint64_t left_out = 0;
  std::vector<uint64_t> totals{};
  bool beyond = false;
  // What reading the segment would say of it.
  uint64_t rows_scanned = 0, rows_matched = 0, unknown_sampling_rows = 0;
};

class SegmentMemory {
 public:
  // What a question is asked of beside flows. It is held while something of it is kept, so that no other book gets its place in memory.
  struct Question {
    std::string text;  // empty: nothing of it is kept
    std::shared_ptr<const void> sampling_rules, names, geo, lists, tables;
  };
  struct Counts {
    uint64_t hits = 0, kept = 0, dropped = 0;  // segments answered, parts taken in, parts that made room for others
    uint64_t parts = 0, bytes = 0;             // at the moment
  };

  explicit SegmentMemory(size_t bytes_max = limits::kSegmentMemoryBytes) : bytes_max_(bytes_max) {}
  SegmentMemory(const SegmentMemory&) = delete;
  SegmentMemory& operator=(const SegmentMemory&) = delete;

  // What is kept of each; nullptr: nothing.
  std::vector<std::shared_ptr<const SegmentPart>> find(const Question& question, std::span<const uint64_t> segments);
  // Takes it in, in the place of one of fewer groups; what was not asked for longest goes when there is no room. One that is too large is
  // not kept.
  void keep(const Question& question, uint64_t segment, std::shared_ptr<const SegmentPart> part);
  Counts counts() const;

 private:
  struct Asked;
  struct Item {
    Asked* asked;
    uint64_t segment;
    std::shared_ptr<const SegmentPart> part;
    size_t bytes;
  };
  struct Asked {
    Question question;
    std::string key;
    std::unordered_map<uint64_t, std::list<Item>::iterator> by_segment;
  };
  void drop(std::list<Item>::iterator item);

  const size_t bytes_max_;
  mutable std::mutex mutex_;
  std::list<Item> items_;  // the one asked for last is in front
  std::map<std::string, Asked> questions_;
  Counts counts_;
};

}  // namespace sluice::query
