// Replay: a rule over what is stored, by the same windows and episodes as live. What it finds has the ids that the rule would have
// given at the time; nobody is told.
//
// History is read an hour at a time, in order, pruned as any query's; so memory is that of the windows open at one time. Windows count
// that lie in the range whole. Only hours that hold flows are walked through: a store of ten years with a flow in each, or one clock of
// 1970 among those of today, costs what its flows cost.
//
// A rule that is asked again and again is asked where flows are in reach of its answer, as far back as its query looks. Where none are it
// is asked once for the whole stretch: the answer is the same all along it. If that has rows (`stats n = count()` counts none, too), all
// of the stretch is asked. One that reads tables of the server's, which are not of the store, is asked everywhere. Where they tell of now
// alone (`join (from exporters)`), all answers have them as they are today, and a warning names them.
#pragma once

#include <functional>
#include <vector>

#include "query/continuous/episode.h"

namespace sluice::query::continuous {

struct Replayed {
  std::vector<Episode> alerts;  // by start; fired_at and ended_at by event time, see EpisodeClock
  std::vector<std::string> warnings;  // what the rule reads as it is now, and not as it was
  TimeRange range;              // of the flows that were read
  ScanStats stats;              // of all steps together
  WindowStats windows;
  uint64_t steps = 0;           // hours that were read, or answers
};

// How much is done, from 0 to 1: of the hours with flows, or of the answers. Called after each step on the replay's thread; never goes back.
using ReplayProgress = std::function<void(double share)>;

// `context` brings snapshot, executor, cancellation, names and corrections; `request` the limits. Errors: cancelled, deadline; too_large
// (limits::kReplayAnswersMax); invalid_argument (a rule over a table of the server's that tells of now alone).
Result<Replayed> replay(const RulePtr& rule, TimeRange range, const QueryRequest& request, const QueryContext& context, const ReplayProgress& progress = {});

}  // namespace sluice::query::continuous
