// AlertChanges: what happened to alerts last, for streams of alerts as they happen. As FlowTail is for flows: one bounded store, and a
// place in it for each stream.
//
// Thread rule: any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "query/continuous/episode.h"
#include "server/stream_life.h"

namespace sluice::server {

struct AlertChange {
  uint64_t number = 0;  // from 1
  query::continuous::EpisodeChange kind{};
  query::continuous::Episode alert;
};

class AlertChanges {
 public:
  struct Taken {
    std::vector<AlertChange> changes;
    uint64_t next = 0;    // the last one's number
    uint64_t missed = 0;  // changes between the place asked for and what is still here
  };

  void tell(query::continuous::EpisodeChange kind, const query::continuous::Episode& alert);
  uint64_t newest() const;
  // All behind the place; waits for one as long as `wait`. nullopt: the server stops.
  std::optional<Taken> take(uint64_t place, std::chrono::milliseconds wait);
  void stop();
  bool is_stopping() const;

  std::string text_of(uint64_t place) const { return life_.id({place}); }
  // nullopt: not a place, or of another life.
  std::optional<uint64_t> read_place(std::string_view text) const;

 private:
  const StreamLife life_;
  mutable std::mutex mutex_;
  std::condition_variable told_;
  std::deque<AlertChange> kept_;
  uint64_t newest_ = 0;
  bool stopping_ = false;
};

}  // namespace sluice::server
