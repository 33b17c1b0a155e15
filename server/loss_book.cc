#include "server/loss_book.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "server/limits.h"
#include "storage/model/counted.h"
#include "storage/model/flow_schema.h"
#include "storage/model/text_list.h"

namespace sluice::server {
namespace {

std::string encode(const Loss& loss) {
  std::string map;
  append_extra(map, "who", loss.who);
  append_extra(map, "how", loss.how);
  append_extra(map, "unit", loss.unit);
  append_extra(map, "lost", std::to_string(loss.lost));
  append_extra(map, "from", std::to_string(loss.range.from));
  append_extra(map, "to", std::to_string(loss.range.to));
  for (const uint8_t code : loss.sources) append_extra(map, "source", kSource.name_of(code));
  if (loss.from.exporter) append_extra(map, "exporter", to_string(*loss.from.exporter));
  if (loss.from.no_exporter) append_extra(map, "exporter", "none");
  return map;
}

template <typename T>
bool read_number(std::string_view map, std::string_view key, T& out) {
  const auto text = find_extra(map, key);
  if (!text) return false;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), out);
  return error == std::errc() && end == text->data() + text->size();
}

bool decode(std::string_view map, Loss& loss) {
  loss.who = find_extra(map, "who").value_or("");
  loss.how = find_extra(map, "how").value_or("");
  loss.unit = find_extra(map, "unit").value_or("");
  for (const auto& [key, value] : extra_items(map))
    if (key == "source")
      if (const auto code = kSource.code_of(value)) loss.sources.push_back(*code);
  if (const auto exporter = find_extra(map, "exporter")) {
    loss.from.no_exporter = *exporter == "none";
    loss.from.exporter = parse_ip(*exporter);
  }
  return read_number(map, "lost", loss.lost) && read_number(map, "from", loss.range.from) && read_number(map, "to", loss.range.to);
}

}  // namespace

Status LossBook::load() {
  if (!catalog_) return {};
  std::lock_guard lock(mutex_);
  return catalog_->scan(catalog::Keyspace::ingest_state, kLossKeyPrefix, [&](std::string_view key, std::string_view value) {
    Loss loss;
    if (decode(value, loss)) losses_[std::string(key.substr(kLossKeyPrefix.size()))] = std::move(loss);
    return losses_.size() < kLossesMax;
  });
}

void LossBook::keep(const std::string& key, const Loss& loss) {
  catalog::Write write;
  if (losses_.size() > kLossesMax) {
    const auto oldest = std::min_element(losses_.begin(), losses_.end(), [](const auto& a, const auto& b) { return a.second.range.to < b.second.range.to; });
    write.erase(catalog::Keyspace::ingest_state, std::string(kLossKeyPrefix) + oldest->first);
    losses_.erase(oldest);
  }
  if (!catalog_) return;
  write.put(catalog::Keyspace::ingest_state, std::string(kLossKeyPrefix) + key, encode(loss));
  // Losing a note of a loss in a power cut is no second loss.
  (void)catalog_->commit(write, catalog::Sync::no);
}

void LossBook::put(const std::string& key, const Loss& loss) {
  std::lock_guard lock(mutex_);
  Loss& kept = losses_[key];
  if (kept.lost == loss.lost && kept.range == loss.range && kept.who == loss.who) return;
  kept = loss;
  keep(key, loss);
}

void LossBook::add(const std::string& key, const Loss& loss) {
  std::lock_guard lock(mutex_);
  const auto [it, is_new] = losses_.try_emplace(key, loss);
  if (!is_new) {
    it->second.lost += loss.lost;
    it->second.range = {std::min(it->second.range.from, loss.range.from), std::max(it->second.range.to, loss.range.to)};
    it->second.sources = loss.sources;
    it->second.from = loss.from;
  }
  const Loss now = it->second;
  keep(key, now);
}

std::vector<Loss> LossBook::all() const {
  std::lock_guard lock(mutex_);
  std::vector<Loss> out;
  for (const auto& [key, loss] : losses_) out.push_back(loss);
  return out;
}

std::vector<std::string> LossBook::over(const query::LossQuestion& question) const {
  std::map<std::tuple<std::string, std::string, std::string>, std::vector<Loss>> told;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, loss] : losses_) {
      if (loss.range.from >= question.range.to || loss.range.to <= question.range.from) continue;
      if (question.concerns && !question.concerns(loss.sources, loss.from)) continue;
      told[{loss.who, loss.how, loss.unit}].push_back(loss);
    }
  }
  const auto between = [](const TimeRange& range) { return "between " + format_timestamp(range.from) + " and " + format_timestamp(range.to); };
  std::vector<std::string> out;
  for (auto& [who, stretches] : told) {
    if (out.size() == limits::kLossWarningsMax) {
      out.push_back(counted(told.size() - out.size(), "more known loss concerns this answer and is", "more known losses concern this answer and are") +
                    " not listed; `show losses` lists all");
      break;
    }
    std::sort(stretches.begin(), stretches.end(), [](const Loss& a, const Loss& b) { return a.range.from < b.range.from; });
    std::vector<Loss> joined;
    uint64_t lost = 0;
    for (const Loss& loss : stretches) {
      lost += loss.lost;
      TimestampNs reach = 0;
      if (!joined.empty() && (__builtin_add_overflow(joined.back().range.to, kLossGapMax, &reach) || loss.range.from <= reach)) {
        joined.back().lost += loss.lost;
        joined.back().range.to = std::max(joined.back().range.to, loss.range.to);
      } else {
        joined.push_back(loss);
      }
    }
    const Loss& first = stretches.front();
    // Units are kept as the many: "packets".
    const std::string_view unit = first.unit;
    std::string text = "known loss: " + first.who + " lost " + counted(lost, unit.ends_with('s') ? unit.substr(0, unit.size() - 1) : unit, unit) + " (" + first.how + ")";
    if (joined.size() == 1) {
      out.push_back(text + " " + between(joined[0].range));
      continue;
    }
    // The greatest of them, in the order of time.
    uint64_t rest = 0;
    const size_t stretches_lost = joined.size();
    if (joined.size() > limits::kLossStretchesTold) {
      std::stable_sort(joined.begin(), joined.end(), [](const Loss& a, const Loss& b) { return a.lost > b.lost; });
      for (size_t i = limits::kLossStretchesTold; i < joined.size(); ++i) rest += joined[i].lost;
      joined.resize(limits::kLossStretchesTold);
      std::sort(joined.begin(), joined.end(), [](const Loss& a, const Loss& b) { return a.range.from < b.range.from; });
    }
    for (size_t i = 0; i < joined.size(); ++i) text += (i == 0 ? ": " : ", ") + std::to_string(joined[i].lost) + " " + between(joined[i].range);
    if (stretches_lost > joined.size())
      text += ", and " + std::to_string(rest) + " in " + counted(stretches_lost - joined.size(), "more stretch", "more stretches") + " of time";
    out.push_back(std::move(text));
  }
  return out;
}

std::vector<uint8_t> Loss::packet_sources() {
  std::vector<uint8_t> codes;
  for (const std::string_view name : {"netflow1", "netflow5", "netflow7", "netflow9", "ipfix", "sflow5"}) codes.push_back(*kSource.code_of(name));
  return codes;
}

void Loss::set_records_of(std::string_view source) {
  if (const auto code = kSource.code_of(source)) {
    sources = {*code};
    from.no_exporter = true;
  }
}

}  // namespace sluice::server
