// What a snapshot holds, in time.
#pragma once

#include <optional>

#include "storage/store/store.h"

namespace sluice::query {

// The first and the last flow_end of what is kept; nullopt when nothing is.
struct Retained {
  TimestampNs first, last;
};
std::optional<Retained> retained(const store::Snapshot& snapshot);

}  // namespace sluice::query
