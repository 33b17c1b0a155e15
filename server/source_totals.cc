#include "server/source_totals.h"

#include <array>
#include <charconv>

namespace sluice::server {
namespace {

using catalog::Keyspace;
using Counts = Metrics::IngestCounts;

constexpr std::string_view kTotalsPrefix = "source_totals/", kSinceKey = "source_totals_since";
// In the order that is written: append only.
constexpr std::array kCountMembers = {&Counts::bodies,     &Counts::bytes,   &Counts::accepted,     &Counts::rejected,
                                 &Counts::duplicates, &Counts::no_data, &Counts::skipped_data, &Counts::failed};

std::string encode(const Counts& counts) {
  std::string out;
  for (const auto member : kCountMembers) out += (out.empty() ? "" : " ") + std::to_string(counts.*member);
  return out;
}

template <typename T>
bool take_number(std::string_view& text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// Fewer numbers are an older version's, more a newer one's.
bool decode(std::string_view text, Counts& counts) {
  bool is_first = true;
  for (const auto member : kCountMembers) {
    if (text.empty()) break;
    if (!is_first) {
      if (text.front() != ' ') return false;
      text.remove_prefix(1);
    }
    is_first = false;
    if (!take_number(text, counts.*member)) return false;
  }
  return !is_first && (text.empty() || text.front() == ' ');
}

}  // namespace

Result<size_t> SourceTotals::load(TimestampNs now) {
  size_t unreadable = 0;
  SLUICE_TRY(catalog_.scan(Keyspace::settings, kTotalsPrefix, [&](std::string_view key, std::string_view value) {
    Counts counts;
    if (!decode(value, counts)) {
      ++unreadable;
      return true;
    }
    const std::string source(key.substr(kTotalsPrefix.size()));
    metrics_.count_ingest(source, counts);
    saved_[source] = counts;
    return true;
  }));
  SLUICE_ASSIGN(const auto since_text, catalog_.get(Keyspace::settings, kSinceKey));
  TimestampNs since = 0;
  std::string_view text = since_text ? std::string_view(*since_text) : std::string_view();
  if (!take_number(text, since) || !text.empty()) {
    since = now;
    SLUICE_TRY(catalog_.put(Keyspace::settings, std::string(kSinceKey), std::to_string(now), catalog::Sync::no));
  }
  metrics_.ingest_since = since;
  return unreadable;
}

Status SourceTotals::save() {
  const auto now = metrics_.ingest();
  catalog::Write write;
  for (const auto& [source, counts] : now)
    if (const auto found = saved_.find(source); found == saved_.end() || found->second != counts)
      write.put(Keyspace::settings, std::string(kTotalsPrefix) + source, encode(counts));
  if (write.empty()) return {};
  SLUICE_TRY(catalog_.commit(write, catalog::Sync::no));
  saved_ = now;
  return {};
}

}  // namespace sluice::server
