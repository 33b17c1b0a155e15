// FeedRunner: runs the declared feeds, each on a thread of its own, and knows how each is doing.
//
// A feed that fails is polled again, first after a second, then later and later (with some chance in it, so that many
// servers do not come back at once). While the store is full a feed waits; nothing is dropped.
//
// Thread rule: owns its threads. open, start and stop belong to one thread; status from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ingest/receive/feed.h"
#include "server/feed_intake.h"

namespace sluice::server {

enum class FeedState : uint8_t {
  starting,
  idle,      // nothing is new
  reading,
  waiting,   // for room in the store
  failing,   // could not go on; waits, then tries again
  stopped,
};
std::string_view to_string(FeedState state);

struct FeedStatus {
  std::string name, kind, source;
  FeedState state = FeedState::starting;
  FeedCounts counts;
  ingest::FeedBacklog backlog;
  // How far behind: since when the oldest object known and not ingested has waited; 0: none waits, or its time is not known.
  DurationNs lag = 0;
  double rows_per_second = 0, bytes_per_second = 0;  // over the last minute
  uint64_t errors = 0;
  std::string last_error;      // stays after it has gone, with its time
  TimestampNs last_error_at = 0;
  TimestampNs retry_at = 0;    // while failing
};

// The wait before try number `failures` (from 1): a second, doubled each time up to five minutes, less up to a half by
// `chance` in [0, 1).
DurationNs feed_backoff(uint64_t failures, double chance);

class FeedRunner {
 public:
  struct Parts {
    store::Store& store;
    const Clock& clock;
    Metrics& metrics;
    LossBook& losses;
    IngestService& ingest;
    std::function<void()> on_full;  // the store is full: seal, please
  };
  // Makes the feeds; nothing runs yet. Errors: a declaration that makes no sense, with its place.
  static Result<std::unique_ptr<FeedRunner>> open(std::vector<ingest::FeedSettings> settings, Parts parts);
  ~FeedRunner();

  void start();
  // Ends polls and waits for them; what is not durable yet comes again after the next start. Twice is once.
  void stop();

  std::vector<FeedStatus> status() const;
  std::vector<SetAside> set_aside() const;
  std::vector<ingest::ExporterStats> exporters() const;  // of raw datagrams: see FeedIntake

 private:
  struct Runner;
  explicit FeedRunner(Parts parts);
  void run(Runner& runner);
  bool sleep(DurationNs duration);  // false: stopping

  const Parts parts_;
  std::mutex large_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  bool stopped_ = false;
};

}  // namespace sluice::server
