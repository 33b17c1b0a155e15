#include "storage/segment/format.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sluice::segment {

std::optional<Partner> partner_of(ColumnId id) {
  // Built once: the table of either-side names is the one place that says which columns mirror each other.
  static const auto table = [] {
    std::array<std::optional<Partner>, kColumnCount> partners;
    for (const EitherSpec& e : either_columns()) {
      if (column_spec(e.src).physical != column_spec(e.dst).physical) continue;
      partners[static_cast<size_t>(e.src)] = partners[static_cast<size_t>(e.dst)] = Partner{e.src, e.dst};
    }
    return partners;
  }();
  return table[static_cast<size_t>(id)];
}

uint64_t checksum_of(codec::Bytes bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace sluice::segment
