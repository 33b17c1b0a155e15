// SameTraffic: marks rows that tell of traffic of which another reporter has told already (column `duplicate`).
//
// Two routers on one path export the same flow, and both ends of a connection in a cloud log it. Whether two reporters look at the same
// traffic cannot be seen in their records: addresses repeat between sites, and packets of one flow are spread over links. So an operator
// says which reporters do (a group), and nothing is compared without being told.
//
// Within a group, the reporter that tells of a flow first is the one that counts: its rows stay unmarked for as long as it goes on
// telling. A row of another reporter, of the same addresses, ports, protocol and action, is marked when that one has told of at least
// half of the row's time and does not sample more coarsely. When the first falls silent, or its time and the other's do not meet, the other's rows count. So of each
// stretch of time one reporter's rows are unmarked, whenever each of them closes its flows. Rows are only ever marked: they stay.
//
// A reporter is an exporter and direction (a router that reports what comes in and what goes out says everything twice), or the network
// interface and side of a cloud's log. Biflows speak for both directions.
//
// Thread rule: mark, learn and stats may be called from any thread. No clock: time is the rows' own.
// Memory: limits::kSameTrafficKeysMax flows of a group; beyond, the one that ended first is forgotten, which is counted. It is gone with
// the process: learn() gives back what is known from rows that are stored.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ingest/source/limits.h"
#include "storage/model/batch.h"
#include "storage/model/flow_schema.h"
#include "storage/model/ip.h"
#include "storage/model/result.h"

namespace sluice::ingest {

// Reporters that look at the same traffic.
struct SameTrafficGroup {
  std::string name;
  std::vector<Prefix> exporters;  // of NetFlow, IPFIX and sFlow
  std::vector<Source> sources;    // whose records name the interface or the side that reports
  // How far the clocks of two reporters may be apart, and how far samples of one flow.
  DurationNs tolerance = limits::kSameTrafficTolerance;
};

// Whether records of a source tell who reports, so that they can be compared. Packet sources are told apart by exporter.
bool tells_reporter(Source source);

struct SameTrafficStats {
  std::string group;
  uint64_t compared = 0;   // rows of the group's reporters that have addresses
  uint64_t marked = 0;
  uint64_t forgotten = 0;  // flows that were young and had to make room: their duplicates go unmarked
  uint64_t flows = 0;      // remembered now, at most; flows that ended long ago included
};

class SameTraffic {
 public:
  // A reporter belongs to the first group that names it. `seed` makes keys of flows that no sender can foresee.
  SameTraffic(std::vector<SameTrafficGroup> groups, uint64_t seed);
  ~SameTraffic();
  SameTraffic(const SameTraffic&) = delete;
  SameTraffic& operator=(const SameTraffic&) = delete;

  // Sets `duplicate` in rows that another reporter has told of, in their order. Other rows keep what they say; but of gcp_vpc, whose
  // decoder compares the reports of one body, marks are decided anew. The same rows a second time get the same marks.
  void mark(Batch& batch);
  // Takes rows as told, marked ones left out: after a start, rows that are stored, the oldest first.
  void learn(const Batch& batch);
  // What learn() reads.
  static std::span<const ColumnId> columns();

  bool empty() const { return groups_.empty(); }
  std::vector<SameTrafficStats> stats() const;

 private:
  struct Group;
  struct Candidate;
  class Rows;
  // Rows of each group, by its place.
  std::vector<std::vector<Candidate>> candidates(const Rows& rows) const;
  int group_of(const IpAddress& exporter) const;  // -1: of none

  std::vector<std::unique_ptr<Group>> groups_;
  const uint64_t seed_;
};

}  // namespace sluice::ingest
