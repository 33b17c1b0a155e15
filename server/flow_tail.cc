#include "server/flow_tail.h"

#include <algorithm>

namespace sluice::server {
namespace {

// Rows that one take() brings: enough to keep up with a fast server, few enough to write in between.
constexpr uint64_t kRowsPerTake = 65'536;

}  // namespace

void FlowTail::arrived(uint64_t append, std::span<const std::shared_ptr<const Batch>> batches) {
  Append next;
  uint64_t flows = 0;
  for (const auto& b : batches) {
    flows += b->rows;
    next.bytes += b->byte_size();
  }
  {
    std::lock_guard lock(mutex_);
    next.before = newest_;
    newest_ = next.after = {append, newest_.flows + flows};
    if (next.bytes <= bytes_max_) {
      while (bytes_ + next.bytes > bytes_max_) {
        bytes_ -= kept_.front().bytes;
        kept_.pop_front();
      }
      next.batches.assign(batches.begin(), batches.end());
      bytes_ += next.bytes;
      kept_.push_back(std::move(next));
    } else {
      // Larger than all that may be kept: those who wait for it are told of it as missed.
      kept_.clear();
      bytes_ = 0;
    }
  }
  arrived_.notify_all();
}

FlowTail::Place FlowTail::newest() const {
  std::lock_guard lock(mutex_);
  return newest_;
}

std::optional<FlowTail::Taken> FlowTail::take(const Place& place, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  arrived_.wait_for(lock, wait, [&] { return stopping_ || newest_.append > place.append; });
  if (stopping_) return std::nullopt;
  Taken taken;
  taken.next = place;
  auto at = std::partition_point(kept_.begin(), kept_.end(), [&](const Append& a) { return a.after.append <= place.append; });
  if (at == kept_.end()) {
    // Nothing new, or what was new is gone already.
    if (newest_.append > place.append) {
      taken.missed = newest_.flows - std::min(newest_.flows, place.flows);
      taken.next = newest_;
    }
    return taken;
  }
  if (at->before.append > place.append) taken.missed = at->before.flows - std::min(at->before.flows, place.flows);
  uint64_t rows = 0;
  for (; at != kept_.end() && rows < kRowsPerTake; ++at) {
    for (const auto& b : at->batches) {
      taken.batches.push_back(b);
      rows += b->rows;
    }
    taken.next = at->after;
  }
  return taken;
}

void FlowTail::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    kept_.clear();
    bytes_ = 0;
  }
  arrived_.notify_all();
  stopped_.notify_all();
}

bool FlowTail::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !stopped_.wait_for(lock, time, [&] { return stopping_; });
}

bool FlowTail::is_stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

std::optional<FlowTail::Place> FlowTail::read_place(std::string_view text) const {
  const auto numbers = life_.read(text, 2);
  if (!numbers) return std::nullopt;
  // Nobody has been further than we are.
  const Place last = newest();
  if ((*numbers)[0] > last.append || (*numbers)[1] > last.flows) return std::nullopt;
  return Place{(*numbers)[0], (*numbers)[1]};
}

}  // namespace sluice::server
