#include "server/loss_book.h"

#include <algorithm>
#include <charconv>

#include "storage/model/text_list.h"

namespace sluice::server {
namespace {

constexpr size_t kWarningsMax = 20;

std::string encode(const Loss& loss) {
  std::string map;
  append_extra(map, "who", loss.who);
  append_extra(map, "how", loss.how);
  append_extra(map, "unit", loss.unit);
  append_extra(map, "lost", std::to_string(loss.lost));
  append_extra(map, "from", std::to_string(loss.range.from));
  append_extra(map, "to", std::to_string(loss.range.to));
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

std::vector<std::string> LossBook::over(TimeRange range) const {
  std::map<std::pair<std::string, std::string>, Loss> sums;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, loss] : losses_) {
      if (loss.range.from >= range.to || loss.range.to <= range.from) continue;
      const auto [it, is_new] = sums.try_emplace({loss.who, loss.how}, loss);
      if (is_new) continue;
      it->second.lost += loss.lost;
      it->second.range = {std::min(it->second.range.from, loss.range.from), std::max(it->second.range.to, loss.range.to)};
    }
  }
  std::vector<std::string> out;
  for (const auto& [key, loss] : sums) {
    if (out.size() == kWarningsMax) {
      out.push_back("more known losses in this range are not listed; `show sources` and `show exporters` list all");
      break;
    }
    out.push_back("known loss: " + loss.who + " lost " + std::to_string(loss.lost) + " " + loss.unit + " (" + loss.how + ") between " +
                  format_timestamp(loss.range.from) + " and " + format_timestamp(loss.range.to));
  }
  return out;
}

}  // namespace sluice::server
