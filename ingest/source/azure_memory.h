// When Azure's flows were last reported, from one body to the next: a blob grows each minute and is read piece by piece, and the counters of a
// continuing or ended flow began with its report before, which nearly always stands in another piece.
//
// Only the begin of counters is taken from here, and nothing is marked by it: a body that is sent again, because it could not be stored,
// says the same again. For that the last two reports of a flow are kept, of two bodies, and the one before the time at hand is given.
//
// So that a restart does not estimate where it knew, it is given out in pieces to be kept (take_changes), and given back (restore).
//
// Thread rule: any thread. Memory: limits::kAzureFlowsKeptMax flows, 40 bytes each, taken with the first; beyond, the one quiet for longest is forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/model/time.h"

namespace sluice::ingest {

class AzureMemory {
 public:
  struct Report {
    TimestampNs time = 0;
    bool open = false;  // the flow went on then
  };
  // The last report of a flow before `time`, as far as it is kept. REQUIRES: flow != 0
  std::optional<Report> before(uint64_t flow, TimestampNs time) const;
  // Older ones than what is kept change nothing. REQUIRES: flow != 0
  void keep(uint64_t flow, const Report& report);

  // Pieces that changed since they were taken last, as number and bytes, without reports that no flow goes on from (limits::kAzureFlowsAge
  // before the newest). An empty one is none to keep.
  std::vector<std::pair<size_t, std::string>> take_changes();
  // Those that could not be kept: they have changed.
  void give_back(size_t piece);
  // What take_changes() gave; false, and nothing is changed, when it cannot be read.
  bool restore(std::string_view piece);
  static constexpr size_t kPieces = 64;

 private:
  struct Entry {
    uint64_t flow = 0;  // 0: free
    Report last, previous;
  };
  mutable std::mutex mutex_;
  Entry& keep_locked(uint64_t flow, const Report& report);

  std::vector<Entry> entries_;
  std::array<bool, kPieces> changed_{};
  TimestampNs newest_ = 0;
};

}  // namespace sluice::ingest
