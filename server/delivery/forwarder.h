// Forwarder: flows that meet a filter are sent on to a target as they come in ([[forward]] tables of the configuration).
//
//   open start arrived* stop
//
// At most once. Every append is looked at once, after it has become durable and visible here. What waits for a target waits in memory, bounded:
// beyond, the newest are dropped. What fails is tried again as long as it waits, so a target that is away for a while gets everything; one
// that broke off within a message may get that again. A stop lets what waits go for limits::kForwardDrain; a kill loses it. All that was not
// delivered is counted, what a kill lost too (at the next start, but for the last second's).
//
// Kept, keyspace `outbox`:  f NAME  counters
//
// Thread rule: arrived from any thread, and returns at once; status from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "query/engine.h"
#include "server/delivery/flow_shape.h"
#include "server/delivery/outbox.h"

namespace sluice::delivery {

struct ForwardStatus {
  std::string name, filter, target, shape;
  uint64_t matched = 0, delivered = 0;
  uint64_t dropped = 0;      // matched and not delivered: no room, refused, or lost by a stop or a kill
  uint64_t unseen_rows = 0;  // flows that were not looked at, because too many came at once
  uint64_t waiting = 0, waiting_bytes = 0;
  DurationNs lag = 0;        // since the oldest of them came
  std::string last_error;
  TimestampNs last_error_at = 0;
};

class Forwarder {
 public:
  struct Parts {
    catalog::Catalog& catalog;
    const Clock& clock;
    const Outbox& targets;
    // Corrections, names and lists for the filters' queries, as of now; may be empty.
    std::function<void(query::QueryContext&)> set_context;
  };
  // Errors: a declaration that makes no sense, with its place: a filter that is no condition over flows, a target that is not declared or takes
  // no flows.
  static Result<std::unique_ptr<Forwarder>> open(std::vector<ingest::DeclaredSettings> declared, Parts parts);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;

  bool empty() const { return ways_.empty(); }
  void start();
  // Twice is once.
  void stop();
  void arrived(std::span<const std::shared_ptr<const Batch>> batches);
  std::vector<ForwardStatus> status() const;

 private:
  struct Way;
  explicit Forwarder(Parts parts);
  void filter();
  void look_at(const std::vector<std::shared_ptr<const Batch>>& batches);
  void send(Way& way);
  void keep(bool is_last);

  const Parts parts_;
  std::vector<std::unique_ptr<Way>> ways_;

  std::mutex mutex_;
  std::condition_variable wake_;
  struct Arrival {
    std::vector<std::shared_ptr<const Batch>> batches;
    size_t bytes = 0;
  };
  std::deque<Arrival> queue_;
  size_t queue_bytes_ = 0;
  bool draining_ = false;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> unseen_rows_{0};
  std::thread filter_thread_;
};

// For config: a [[forward]] as it is declared.
inline ingest::DeclaredSettings declared_forward() { return {"forward", "name"}; }

}  // namespace sluice::delivery
