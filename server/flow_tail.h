// FlowTail: what was appended last, for streams of flows as they come in.
//
// One bounded store of appends serves all: each stream has a place in it and takes what lies behind that, as fast as its client reads. So a
// slow client costs no memory and holds nobody up; what it was too slow for is counted. A client whose connection broke goes on where it
// was, as long as that is still here.
//
// A place is told to clients as "LIFE-APPEND-FLOWS": of which life of the server, behind which append, and how many flows there had been
// by then. Places of other lives mean nothing here.
//
// Thread rule: any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/limits.h"
#include "server/stream_life.h"
#include "storage/model/batch.h"

namespace sluice::server {

class FlowTail {
 public:
  struct Place {
    uint64_t append = 0;  // all up to this one are behind it
    uint64_t flows = 0;   // in all of those
    bool operator==(const Place&) const = default;
  };
  struct Taken {
    std::vector<std::shared_ptr<const Batch>> batches;  // of whole appends
    Place next;
    uint64_t missed = 0;  // flows between the place asked for and what is still here
  };

  explicit FlowTail(size_t bytes_max = limits::kTailBytesMax) : bytes_max_(bytes_max) {}

  // For Store::watch_appends: a few instructions and a lock of its own.
  void arrived(uint64_t append, std::span<const std::shared_ptr<const Batch>> batches);
  // Behind all that has come so far.
  Place newest() const;
  // What has come behind the place, some appends at a time; waits for it as long as `wait`. nullopt: the server stops.
  std::optional<Taken> take(const Place& place, std::chrono::milliseconds wait);
  // Wakes all who wait; from now on there is nothing.
  void stop();
  // Lets who paces himself notice that the server stops. False: it does.
  bool pause(std::chrono::milliseconds time);
  bool is_stopping() const;

  std::string text_of(const Place& place) const { return life_.id({place.append, place.flows}); }
  // nullopt: not a place, or of another life.
  std::optional<Place> read_place(std::string_view text) const;

 private:
  struct Append {
    Place before;
    Place after;
    std::vector<std::shared_ptr<const Batch>> batches;
    size_t bytes = 0;
  };

  const size_t bytes_max_;
  const StreamLife life_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_, stopped_;
  std::deque<Append> kept_;
  size_t bytes_ = 0;
  Place newest_;
  bool stopping_ = false;
};

}  // namespace sluice::server
