#include "query/retained.h"

#include <algorithm>

namespace sluice::query {

std::optional<Retained> retained(const store::Snapshot& snapshot) {
  Retained out{kTimestampMax, kTimestampMin};
  for (const auto& s : snapshot.segments) {
    out.first = std::min(out.first, s->info().first);
    out.last = std::max(out.last, s->info().last);
  }
  for (const auto& b : snapshot.open)
    if (const auto at = b->find(ColumnId::flow_end))
      for (const int64_t t : b->columns[*at].values<int64_t>()) {
        out.first = std::min(out.first, t);
        out.last = std::max(out.last, t);
      }
  return out.first > out.last ? std::nullopt : std::optional(out);
}

}  // namespace sluice::query
