// Sessions: runs of activity of a key. A row belongs to the run as long as it ends no later than a gap behind the row before.
//
// What `stats … window session gap D` groups by has a bound, so that a rule's state (query/continuous/session_groups.h) has one, and is
// the same whether it is asked of stored flows or runs on a stream: a run that never ends is cut. The first cut is the first whole multiple
// of limits::kSessionLengthMax since 1970 that lies as much or more behind its start, and then comes one at each multiple: what is
// shorter is never cut, nothing is longer than twice that, and where the cuts lie does not change with the row that one began to read at.
//
// Pure, any thread.
#pragma once

#include <vector>

#include "query/limits.h"
#include "query/operator.h"
#include "query/stage.h"

namespace sluice::query {

// Where a run that begins at `first` is cut, if it lasts so long. kTimestampMax: beyond all time.
TimestampNs session_cut(TimestampNs first);

struct SessionsSpec {
  std::vector<StageColumn> keys;  // none: all rows are one key's
  size_t time = 0, session = 0;   // slots: of flow_end, and the one that gets the run's start
  DurationNs gap = 0;
  bool is_cut = false;            // see above
  std::string text;
};
// Adds to each row when its run began. `run`: may be null, see BindOptions.
OperatorPtr make_sessions(SessionsSpec spec, RunState* run);

}  // namespace sluice::query
