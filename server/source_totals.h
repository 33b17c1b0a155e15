// SourceTotals: the counters of sources (`show sources`) over restarts, in the catalogue. So people see what came since the data
// directory was made, and not since the last restart.
//
// Written every limits::kSourceTotalsEvery, where something changed, and at a proper stop: what a dying process counted since is not
// counted. Flows are never lost by that.
//
// Thread rule: load before anybody counts; save from one thread at a time.
#pragma once

#include <map>
#include <string>

#include "server/metrics.h"
#include "storage/catalog/catalog.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::server {

class SourceTotals {
 public:
  SourceTotals(catalog::Catalog& catalog, Metrics& metrics) : catalog_(catalog), metrics_(metrics) {}

  // Gives the metrics what was kept. `now` is since when the totals count, if nothing was. Entries that can't be read are left out
  // and written over; their number is returned. Errors: io, full.
  Result<size_t> load(TimestampNs now);
  // Errors: full, io; then it is all written the next time.
  Status save();

 private:
  catalog::Catalog& catalog_;
  Metrics& metrics_;
  std::map<std::string, Metrics::IngestCounts, std::less<>> saved_;
};

}  // namespace sluice::server
