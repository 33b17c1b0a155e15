#include "server/state_backlog.h"

namespace sluice::server {

void StateBacklog::add(std::vector<std::pair<std::string, std::string>> changes) {
  for (auto& [key, value] : changes) {
    const auto found = waiting_.find(key);
    const size_t had = found == waiting_.end() ? 0 : found->first.size() + found->second.size();
    const size_t wanted = key.size() + value.size();
    if (bytes_ - had + wanted > bytes_max_ || (found == waiting_.end() && waiting_.size() >= entries_max_)) {
      ++dropped_;
      // What waits under this key is old by now, and no state is better than an old one.
      if (found == waiting_.end()) continue;
      bytes_ -= found->second.size();
      found->second.clear();
      continue;
    }
    bytes_ = bytes_ - had + wanted;
    if (found == waiting_.end())
      waiting_.emplace(std::move(key), std::move(value));
    else
      found->second = std::move(value);
  }
}

Status StateBacklog::write_to(catalog::Catalog& catalog) {
  if (waiting_.empty()) return {};
  catalog::Write write;
  for (const auto& [key, value] : waiting_) {
    if (value.empty())
      write.erase(catalog::Keyspace::ingest_state, key);
    else
      write.put(catalog::Keyspace::ingest_state, key, value);
  }
  SLUICE_TRY(catalog.commit(write, catalog::Sync::no));
  waiting_.clear();
  bytes_ = 0;
  return {};
}

}  // namespace sluice::server
