// What storage's facts say about a predicate, before rows are read. Pure functions over one segment.
#pragma once

#include <optional>
#include <vector>

#include "query/plan.h"
#include "storage/segment/segment.h"

namespace sluice::query {

// What is known of a predicate over a set of rows.
enum class Verdict : uint8_t { none, some, all };

// Resolves each leaf of the plan against the segment's columns and dictionaries: codes that satisfy it, and whether the
// whole segment is decided already. Errors: corrupt. Where the meter stopped, nothing that is returned means anything.
struct SegmentLeaves {
  LeafFacts facts;
  std::vector<Verdict> verdicts;  // by leaf
};
Result<SegmentLeaves> resolve_leaves(const ScanPlan& plan, const segment::Segment& segment, WorkMeter& meter);

Verdict judge_segment(const Predicate& predicate, const SegmentLeaves& leaves);
Verdict judge_block(const Predicate& predicate, const SegmentLeaves& leaves, const segment::Segment& segment, uint32_t block);

// Granules that may hold matching rows; nullopt: no posting narrows it.
Result<std::optional<Bitmap>> candidate_granules(const Predicate& predicate, const SegmentLeaves& leaves, const segment::Segment& segment,
                                                 segment::ReadStats* stats);

}  // namespace sluice::query
