#include "server/alert_changes.h"

#include "server/limits.h"

namespace sluice::server {

void AlertChanges::tell(query::continuous::EpisodeChange kind, const query::continuous::Episode& alert) {
  {
    std::lock_guard lock(mutex_);
    kept_.push_back({++newest_, kind, alert});
    if (kept_.size() > limits::kAlertChangesMax) kept_.pop_front();
  }
  told_.notify_all();
}

uint64_t AlertChanges::newest() const {
  std::lock_guard lock(mutex_);
  return newest_;
}

std::optional<AlertChanges::Taken> AlertChanges::take(uint64_t place, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  told_.wait_for(lock, wait, [&] { return stopping_ || newest_ > place; });
  if (stopping_) return std::nullopt;
  Taken taken;
  taken.next = place;
  if (newest_ <= place) return taken;
  const uint64_t first = kept_.front().number;
  if (first > place + 1) taken.missed = first - place - 1;
  for (size_t i = place < first ? 0 : static_cast<size_t>(place + 1 - first); i < kept_.size(); ++i) taken.changes.push_back(kept_[i]);
  taken.next = newest_;
  return taken;
}

void AlertChanges::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  told_.notify_all();
}

bool AlertChanges::is_stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

std::optional<uint64_t> AlertChanges::read_place(std::string_view text) const {
  const auto numbers = life_.read(text, 1);
  if (!numbers || (*numbers)[0] > newest()) return std::nullopt;
  return (*numbers)[0];
}

}  // namespace sluice::server
