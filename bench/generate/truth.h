// What a generated set of flows must answer: totals by reporter, and for chosen addresses how many rows and bytes they
// have, so that a benchmark checks the answers it times.
//
// Memory: about 40 bytes per distinct address. Not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "bench/generate/flow.h"

namespace sluice::generate {

struct Counts {
  uint64_t flows = 0, bytes = 0, packets = 0;
};

class Truth {
 public:
  explicit Truth(const Reporters& reporters) : reporters_(reporters) {}

  void add(const Flow& flow);

  const Counts& total() const { return total_; }
  const std::map<std::string, Counts>& by_reporter() const { return by_reporter_; }
  // Rows that name the address on either side (a row with it on both sides counts once).
  Counts of_address(const IpAddress& ip) const;
  size_t addresses() const { return addresses_.size(); }

  // The address whose number of rows is nearest to `rows`, of several the smallest; nullopt without flows.
  std::optional<IpAddress> nearest(uint64_t rows) const;
  // The address in the middle, when addresses are ordered by rows, then by address.
  std::optional<IpAddress> median() const;

  // JSON with the totals and the needles: the median address, a rare one (about 20 rows), a common one
  // (1/20,000 of all rows) and a heavy one (1/200).
  // `head` is put in front of the members: `"seed":1,…`, or empty.
  std::string json(const std::string& head) const;

 private:
  const Reporters& reporters_;
  Counts total_;
  std::map<std::string, Counts> by_reporter_;
  std::unordered_map<IpAddress, Counts, IpHash> addresses_;
  TimestampNs first_end_ = kTimestampMax, last_end_ = kTimestampMin;
};

}  // namespace sluice::generate
