#include "ingest/source/azure_memory.h"

#include <algorithm>
#include <utility>

#include "ingest/source/limits.h"

namespace sluice::ingest {
namespace {

constexpr size_t kWays = 4;  // flows that may stand in one place
constexpr size_t kPlaces = limits::kAzureFlowsKeptMax / kWays;
static_assert((kPlaces & (kPlaces - 1)) == 0);

static_assert(kPlaces % AzureMemory::kPieces == 0);

size_t place_of(uint64_t flow) { return (flow & (kPlaces - 1)) * kWays; }
size_t piece_of(uint64_t flow) { return (flow & (kPlaces - 1)) / (kPlaces / AzureMemory::kPieces); }

// As bytes: a version, then of each flow its name, the times of its last two reports, and a bit for each that it went on then.
constexpr char kVersion = 1;
constexpr size_t kEntryBytes = 25;

void put(std::string& to, uint64_t value) {
  for (int i = 0; i < 8; ++i) to += static_cast<char>(value >> (8 * i));
}
uint64_t get(std::string_view from, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(from[at + i])) << (8 * i);
  return value;
}

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
  keep_locked(flow, report);
  changed_[piece_of(flow)] = true;
}

// The flow's entry.
AzureMemory::Entry& AzureMemory::keep_locked(uint64_t flow, const Report& report) {
  newest_ = std::max(newest_, report.time);
  if (entries_.empty()) entries_.resize(kPlaces * kWays);
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(place_of(flow));
  auto entry = std::find_if(begin, begin + kWays, [&](const Entry& e) { return e.flow == flow; });
  if (entry == begin + kWays) {
    entry = std::min_element(begin, begin + kWays, [](const Entry& a, const Entry& b) { return a.last.time < b.last.time; });
    *entry = {flow, report, {}};
  } else if (report.time > entry->last.time) {
    entry->previous = entry->last;
    entry->last = report;
  }
  return *entry;
}

std::vector<std::pair<size_t, std::string>> AzureMemory::take_changes() {
  std::lock_guard lock(mutex_);
  std::vector<std::pair<size_t, std::string>> out;
  constexpr size_t kEntries = kPlaces * kWays / kPieces;
  for (size_t piece = 0; piece < kPieces; ++piece) {
    if (!std::exchange(changed_[piece], false)) continue;
    std::string bytes{kVersion};
    for (size_t i = piece * kEntries; i < (piece + 1) * kEntries; ++i) {
      const Entry& e = entries_[i];
      if (e.flow == 0 || e.last.time < newest_ - limits::kAzureFlowsAge) continue;
      put(bytes, e.flow);
      put(bytes, static_cast<uint64_t>(e.last.time));
      put(bytes, static_cast<uint64_t>(e.previous.time));
      bytes += static_cast<char>(e.last.open | e.previous.open << 1);
    }
    out.emplace_back(piece, bytes.size() == 1 ? std::string() : std::move(bytes));
  }
  return out;
}

void AzureMemory::give_back(size_t piece) {
  std::lock_guard lock(mutex_);
  changed_[piece] = true;
}

bool AzureMemory::restore(std::string_view piece) {
  if (piece.empty() || piece[0] != kVersion || piece.size() % kEntryBytes != 1 || piece.size() / kEntryBytes > kPlaces * kWays / kPieces) return false;
  std::lock_guard lock(mutex_);
  for (piece.remove_prefix(1); !piece.empty(); piece.remove_prefix(kEntryBytes)) {
    const uint64_t flow = get(piece, 0);
    const auto flags = static_cast<uint8_t>(piece[24]);
    if (flow == 0) continue;
    Entry& entry = keep_locked(flow, {static_cast<TimestampNs>(get(piece, 8)), (flags & 1) != 0});
    if (entry.previous.time == 0) entry.previous = {static_cast<TimestampNs>(get(piece, 16)), (flags & 2) != 0};
  }
  return true;
}

}  // namespace sluice::ingest
