#include "ingest/source/azure_memory.h"

#include <algorithm>

#include "ingest/source/limits.h"

namespace sluice::ingest {
namespace {

constexpr size_t kWays = 4;  // flows that may stand in one place
constexpr size_t kPlaces = limits::kAzureFlowsKeptMax / kWays;
static_assert((kPlaces & (kPlaces - 1)) == 0);

size_t place_of(uint64_t flow) { return (flow & (kPlaces - 1)) * kWays; }

}  // namespace

std::optional<AzureMemory::Report> AzureMemory::before(uint64_t flow, TimestampNs time) const {
  std::lock_guard lock(mutex_);
  if (entries_.empty()) return std::nullopt;
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(place_of(flow));
  const auto entry = std::find_if(begin, begin + kWays, [&](const Entry& e) { return e.flow == flow; });
  if (entry == begin + kWays) return std::nullopt;
  if (entry->last.time < time) return entry->last;
  if (entry->previous.time != 0 && entry->previous.time < time) return entry->previous;
  return std::nullopt;
}

void AzureMemory::keep(uint64_t flow, const Report& report) {
  std::lock_guard lock(mutex_);
  if (entries_.empty()) entries_.resize(kPlaces * kWays);
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(place_of(flow));
  auto entry = std::find_if(begin, begin + kWays, [&](const Entry& e) { return e.flow == flow; });
  if (entry == begin + kWays) {
    entry = std::min_element(begin, begin + kWays, [](const Entry& a, const Entry& b) { return a.last.time < b.last.time; });
    *entry = {flow, report, {}};
    return;
  }
  if (report.time <= entry->last.time) return;
  entry->previous = entry->last;
  entry->last = report;
}

}  // namespace sluice::ingest
