#include "server/exporter_totals.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/limits.h"
#include "storage/model/flow_schema.h"

namespace sluice::server {
namespace {

using catalog::Keyspace;
using ingest::ExporterStats;
using nlohmann::json;

constexpr std::string_view kExporterPrefix = "exporter_totals/";

struct Counter {
  const char* name;
  uint64_t ExporterStats::* member;
};
// What adds up over restarts.
constexpr Counter kCounters[] = {
    {"packets", &ExporterStats::packets},
    {"bytes", &ExporterStats::bytes},
    {"flows", &ExporterStats::flows},
    {"options_records", &ExporterStats::options_records},
    {"template_changes", &ExporterStats::template_changes},
    {"templates_evicted", &ExporterStats::templates_evicted},
    {"bad_packets", &ExporterStats::bad_packets},
    {"bad_sets", &ExporterStats::bad_sets},
    {"bad_records", &ExporterStats::bad_records},
    {"unsupported_packets", &ExporterStats::unsupported_packets},
    {"pending_decoded", &ExporterStats::pending_decoded},
    {"pending_dropped", &ExporterStats::pending_dropped},
    {"lost", &ExporterStats::lost},
    {"reordered", &ExporterStats::reordered},
    {"duplicates", &ExporterStats::duplicates},
    {"restarts", &ExporterStats::restarts},
    {"clamped_times", &ExporterStats::clamped_times},
    {"estimated_times", &ExporterStats::estimated_times},
    {"state_refused", &ExporterStats::state_refused},
    {"counter_samples", &ExporterStats::counter_samples},
    {"discards", &ExporterStats::discards},
    {"unknown_formats", &ExporterStats::unknown_formats},
    {"lost_samples", &ExporterStats::lost_samples},
    {"sample_drops", &ExporterStats::sample_drops},
    {"sample_pool", &ExporterStats::sample_pool},
    {"samples_taken", &ExporterStats::samples_taken},
};

// One exporter, as decoders tell them apart.
std::string key_of(const ExporterStats& e) {
  return to_string(e.ip) + " " + to_string(e.sender) + (e.is_agent ? " agent" : "") + (e.own_port != 0 ? " " + std::to_string(e.own_port) : "") + (e.origin.empty() ? "" : " " + e.origin);
}

std::string encode(const ExporterStats& e) {
  json j{{"ip", to_string(e.ip)}, {"sender", to_string(e.sender)}, {"port", e.port},         {"first_seen", e.first_seen},         {"last_seen", e.last_seen},
         {"domains", e.domains},  {"templates", e.templates},      {"names", e.names},       {"clock_skew", e.clock_skew},         {"clock_skew_min", e.clock_skew_min},
         {"clock_skew_max", e.clock_skew_max}, {"lost_unit", e.lost_unit}, {"sampling_known", e.sampling_known}, {"is_agent", e.is_agent}, {"own_port", e.own_port}};
  if (!e.origin.empty()) {
    j["origin"] = e.origin;
    j["told_at"] = e.told_at;
  }
  for (const Counter& c : kCounters)
    if (e.*c.member != 0) j[c.name] = e.*c.member;
  json& formats = j["formats"] = json::array();
  for (const Source source : e.formats) formats.push_back(kSource.name_of(static_cast<uint8_t>(source)));
  json& rates = j["sampling"] = json::array();
  for (const auto& rate : e.sampling) rates.push_back(rate.rate);
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<ExporterStats> decode(std::string_view text) {
  ExporterStats e;
  try {
    const json j = json::parse(text);
    const auto ip = parse_ip(j.at("ip").get<std::string>()), sender = parse_ip(j.at("sender").get<std::string>());
    if (!ip || !sender) return std::nullopt;
    e.ip = *ip;
    e.sender = *sender;
    e.port = j.value("port", uint16_t{0});
    e.is_agent = j.value("is_agent", false);
    e.own_port = j.value("own_port", uint16_t{0});
    e.origin = j.value("origin", std::string());
    e.told_at = j.value("told_at", TimestampNs{0});
    e.first_seen = j.at("first_seen").get<TimestampNs>();
    e.last_seen = j.at("last_seen").get<TimestampNs>();
    e.domains = j.value("domains", std::vector<uint32_t>());
    e.templates = j.value("templates", uint64_t{0});
    e.names = j.value("names", uint64_t{0});
    e.clock_skew = j.value("clock_skew", DurationNs{0});
    e.clock_skew_min = j.value("clock_skew_min", DurationNs{0});
    e.clock_skew_max = j.value("clock_skew_max", DurationNs{0});
    e.lost_unit = j.value("lost_unit", std::string());
    e.sampling_known = j.value("sampling_known", false);
    for (const Counter& c : kCounters) e.*c.member = j.value(c.name, uint64_t{0});
    for (const auto& name : j.value("formats", std::vector<std::string>()))
      if (const auto code = kSource.code_of(name)) e.formats.push_back(static_cast<Source>(*code));
    for (const uint32_t rate : j.value("sampling", std::vector<uint32_t>())) e.sampling.push_back({0, false, rate, 0});
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return e;
}

template <typename T>
void add_missing(std::vector<T>& to, const std::vector<T>& from) {
  for (const T& item : from)
    if (std::find(to.begin(), to.end(), item) == to.end()) to.push_back(item);
}

}  // namespace

ExporterStats ExporterTotals::Entry::sum() const {
  if (heard.packets == 0) return before;
  ExporterStats all = heard;
  if (before.packets == 0) return all;
  for (const Counter& c : kCounters) all.*c.member += before.*c.member;
  all.first_seen = std::min(before.first_seen, heard.first_seen);
  all.last_seen = std::max(before.last_seen, heard.last_seen);
  all.told_at = std::max(before.told_at, heard.told_at);
  all.clock_skew_min = std::min(before.clock_skew_min, heard.clock_skew_min);
  all.clock_skew_max = std::max(before.clock_skew_max, heard.clock_skew_max);
  if (all.lost_unit.empty()) all.lost_unit = before.lost_unit;
  add_missing(all.formats, before.formats);
  add_missing(all.domains, before.domains);
  return all;
}

TimestampNs ExporterTotals::Entry::last() const {
  const bool is_told = !before.origin.empty() || !heard.origin.empty();
  return is_told ? std::max(before.told_at, heard.told_at) : heard.packets == 0 ? before.last_seen : before.packets == 0 ? heard.last_seen : std::max(before.last_seen, heard.last_seen);
}

Result<size_t> ExporterTotals::load() {
  std::lock_guard lock(mutex_);
  size_t unreadable = 0;
  SLUICE_TRY(catalog_.scan(Keyspace::settings, kExporterPrefix, [&](std::string_view key, std::string_view value) {
    auto e = decode(value);
    const std::string who = e ? key_of(*e) : std::string();
    if (!e || key.substr(kExporterPrefix.size()) != who) {
      ++unreadable;
      gone_.emplace_back(key.substr(kExporterPrefix.size()));
      return true;
    }
    // What it waits for and what state costs is the running decoder's to say.
    entries_[who] = Entry{std::move(*e), {}, std::string(value)};
    return true;
  }));
  forget(clock_.now());
  return unreadable;
}

void ExporterTotals::watch(std::function<std::vector<ExporterStats>()> heard) {
  std::lock_guard lock(mutex_);
  if (!heard) look();
  heard_ = std::move(heard);
}

std::vector<ExporterStats> ExporterTotals::look() {
  std::vector<ExporterStats> streams;
  if (!heard_) return streams;
  for (ExporterStats& e : heard_()) {
    if (e.session != 0) {
      streams.push_back(std::move(e));
      continue;
    }
    if (e.packets == 0) continue;
    Entry& entry = entries_[key_of(e)];
    // Forgotten by the decoder at its own bound, and heard anew.
    if (e.packets < entry.heard.packets) entry.before = entry.sum();
    entry.heard = std::move(e);
  }
  return streams;
}

void ExporterTotals::forget(TimestampNs now) {
  const auto drop = [&](auto at) {
    gone_.push_back(at->first);
    return entries_.erase(at);
  };
  for (auto at = entries_.begin(); at != entries_.end();) at = at->second.last() < now - limits::kExporterTotalsAge ? drop(at) : std::next(at);
  const auto keep_newest = [&](size_t most, bool told) {
    std::vector<std::pair<TimestampNs, std::map<std::string, Entry>::iterator>> found;
    for (auto at = entries_.begin(); at != entries_.end(); ++at)
      if (!told || !at->second.before.origin.empty() || !at->second.heard.origin.empty()) found.emplace_back(at->second.last(), at);
    if (found.size() <= most) return;
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    found.resize(found.size() - most);
    for (const auto& gone : found) drop(gone.second);
  };
  keep_newest(limits::kToldExportersMax, true);
  keep_newest(limits::kExporterTotalsMax, false);
}

void ExporterTotals::add(std::vector<ExporterStats> told, const std::string& origin) {
  SLUICE_CHECK(!origin.empty());
  if (told.empty()) return;
  std::lock_guard lock(mutex_);
  const TimestampNs now = clock_.now();
  // The newest last; more than are kept would only go again.
  if (told.size() > limits::kToldExportersMax) told.erase(told.begin(), told.end() - static_cast<std::ptrdiff_t>(limits::kToldExportersMax));
  for (ExporterStats& e : told) {
    if (e.packets == 0) continue;
    e.session = 0;  // of a file
    e.origin = origin;
    e.told_at = now;
    Entry& entry = entries_[key_of(e)];
    entry.before = Entry{std::move(entry.before), std::move(e), {}}.sum();
  }
  forget(now);
}

std::vector<ExporterStats> ExporterTotals::all() {
  std::lock_guard lock(mutex_);
  std::vector<ExporterStats> out = look();
  for (const auto& [key, entry] : entries_) out.push_back(entry.sum());
  return out;
}

Status ExporterTotals::save() {
  std::lock_guard lock(mutex_);
  look();
  forget(clock_.now());
  catalog::Write write;
  for (const std::string& key : gone_)
    if (!entries_.contains(key)) write.erase(Keyspace::settings, std::string(kExporterPrefix) + key);
  std::vector<std::pair<Entry*, std::string>> changed;
  for (auto& [key, entry] : entries_) {
    std::string record = encode(entry.sum());
    if (record == entry.record) continue;
    write.put(Keyspace::settings, std::string(kExporterPrefix) + key, record);
    changed.emplace_back(&entry, std::move(record));
  }
  if (write.empty()) return {};
  SLUICE_TRY(catalog_.commit(write, catalog::Sync::no));
  for (auto& [entry, record] : changed) entry->record = std::move(record);
  gone_.clear();
  return {};
}

}  // namespace sluice::server
