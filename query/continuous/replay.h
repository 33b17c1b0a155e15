// Replay: a rule over what is stored, by the same windows and episodes as live. What it finds has the ids that the rule would have
// given at the time; nobody is told.
//
// History is read an hour at a time, in order, pruned as any query's; so memory is that of the windows open at one time. Windows count
// that lie in the range whole.
#pragma once

#include <vector>

#include "query/continuous/episode.h"

namespace sluice::query::continuous {

struct Replayed {
  std::vector<Episode> alerts;  // by start
  TimeRange range;              // of the flows that were read
  ScanStats stats;
  WindowStats windows;
};

// `context` brings snapshot, executor, cancellation, names and corrections; `request` the limits. Errors: cancelled, deadline.
Result<Replayed> replay(const RulePtr& rule, TimeRange range, const QueryRequest& request, const QueryContext& context);

}  // namespace sluice::query::continuous
