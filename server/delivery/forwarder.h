// Forwarder: flows that meet a filter are sent on to a target as they come in ([[forward]] tables of the configuration).
//
//   open start arrived* stop
//
// At least once. Every append is looked at after it has become durable and visible here. What waits for a target is in memory, bounded (beyond, the
// newest are dropped, and counted), and what waits longer than limits::kForwardKeepEvery in the catalogue as well, with the place up to which appends
// have been looked at. After a kill what was kept waits on, and the journal's rows from limits::kForwardAgain before that place on are looked at again;
// rows leave the journal only when they have been looked at and what waits of them is kept (keep_all). So a kill costs nothing, and a target may get
// again what it got last. A stop lets what waits go for limits::kForwardDrain; the rest waits for the next start. What fails is tried again as long as
// it waits; a target that broke off within a message may get that again.
//
// Kept, keyspace `outbox`:  f NAME         counters, shape, and the place
//                           w NAME number  a document that waits
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
#include "server/error_voice.h"

namespace sluice::delivery {

struct ForwardStatus {
  std::string name, filter, target, shape;
  uint64_t matched = 0, delivered = 0;
  uint64_t dropped = 0;      // matched and not delivered: no room, refused, or of a shape that the forward has no more
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
    // Store::each_journaled(); may be empty.
    std::function<Status(TimestampNs since, const std::function<void(std::span<const std::shared_ptr<const Batch>>)>& visit)> journaled;
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
  // Returns when all that arrived before the call has been looked at and what waits of it is kept; after limits::kForwardKeepWait at the latest, and at once
  // before start() and after stop(). From any thread.
  void keep_all();
  std::vector<ForwardStatus> status() const;

 private:
  struct Way;
  explicit Forwarder(Parts parts);
  void filter();
  void look_at(const std::vector<std::shared_ptr<const Batch>>& batches);
  void send(Way& way);
  // What waits, counters, and that all has been looked at that arrived before `looked_at`. `is_whole`: nothing came since.
  void keep(TimestampNs looked_at, bool is_whole);
  Status restore(Way& way, TimestampNs& looked_at);
  Status forget_others();

  const Parts parts_;
  std::vector<std::unique_ptr<Way>> ways_;

  std::mutex mutex_;
  std::condition_variable wake_;
  struct Arrival {
    std::vector<std::shared_ptr<const Batch>> batches;
    size_t bytes = 0;
    TimestampNs at = 0;
  };
  std::deque<Arrival> queue_;
  uint64_t arrivals_ = 0;        // that were queued
  uint64_t keep_wanted_ = 0, kept_ = 0;  // numbers of arrivals: to be kept as soon as it can be, and those that are
  std::condition_variable kept_one_;
  bool asks_ = false;            // somebody waits in keep_all()
  bool filters_ = false;         // the filter's thread runs
  TimestampNs first_missed_ = kTimestampMax;  // what came while it stopped
  server::ErrorVoice keep_voice_;  // of the filter's thread, then of stop()'s
  size_t queue_bytes_ = 0;
  bool draining_ = false;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> unseen_rows_{0};
  std::thread filter_thread_;
};

// For config: a [[forward]] as it is declared.
inline ingest::DeclaredSettings declared_forward() { return {"forward", "name"}; }

}  // namespace sluice::delivery
