// Outbox: what targets are still to be told of alerts, kept in the catalogue until they have it.
//
//   open start ( note* write+ committed )* stop        note, write, committed: of the thread that has the alerts
//
// A notice is written with the change of the alert that it tells of, in one write: neither is there without the other, whatever is killed
// when. Its key is the same when that write is tried again. Each target has a thread, so none waits for another, and rules and ingest
// wait for none. A notice leaves the catalogue after the target has taken it; a kill between the two has it sent again, under the same id.
//
// Kept, keyspace `outbox`:  n TARGET number  the notice, in the order in which they came
//                           t TARGET         counters
//                           d TARGET         how many were not kept because too many waited
//
// Thread rule: note, write and committed belong to one thread; the rest to any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/delivery/target.h"
#include "storage/catalog/catalog.h"

namespace sluice::delivery {

struct TargetStatus {
  std::string name, kind, to;
  std::string tells;         // which alerts, in words
  uint64_t waiting = 0;
  DurationNs lag = 0;        // how long the oldest has waited
  uint64_t delivered = 0;
  uint64_t failures = 0;     // attempts
  uint64_t refused = 0;      // notices that the target would not have
  uint64_t expired = 0;      // notices given up after give_up_after
  uint64_t dropped = 0;      // notices that were not kept: too many waited
  TimestampNs last_success_at = 0, last_error_at = 0, retry_at = 0;  // 0: none
  std::string last_error;    // stays when it has gone
};

struct TestOutcome {
  bool delivered = false;
  std::string error;
  DurationNs took = 0;
};

class Outbox {
 public:
  static Result<std::unique_ptr<Outbox>> open(std::vector<Target> targets, catalog::Catalog& catalog, const Clock& clock);
  ~Outbox();
  Outbox(const Outbox&) = delete;

  void start();
  // Twice is once. What waits stays in the catalogue.
  void stop();

  // An alert that was open in an earlier life: how severe it has been, so that a rise above that is told, and who was told of it is told of its
  // end. REQUIRES: before the first note()
  void remember(const Episode& alert);
  // Something became of an alert. Who is to be told is told once the next write is committed.
  void note(const Episode& alert, query::continuous::EpisodeChange change, TimestampNs now);
  // Adds what was noted to a write that holds the alerts too. Again, with another write, when that one was not committed.
  void write(catalog::Write& write);
  void committed();

  std::vector<TargetStatus> status() const;
  const Target* find(std::string_view name) const;
  // Sends a notice of no alert to a target now, beside what waits for it. Errors: not_found.
  Result<TestOutcome> test(std::string_view name);

 private:
  struct Post;
  struct Waiting;
  Outbox(catalog::Catalog& catalog, const Clock& clock);
  Status load(std::vector<Target> targets);
  void deliver(Post& post);
  void settle(Post& post, catalog::Write& write, size_t gone);
  bool pause(DurationNs at_most);  // false: stopping
  bool is_stopping() const { return stopping_; }

  catalog::Catalog& catalog_;
  const Clock& clock_;
  std::vector<std::unique_ptr<Post>> posts_;
  std::atomic<uint64_t> next_number_{1};
  struct Noted {
    uint64_t number;
    Notice notice;
    Severity peak;
  };
  std::vector<Noted> noted_;
  // Of alerts that go on, how severe they have been; after a restart as the alerts were kept, see remember().
  std::map<std::string, Severity> severities_;

  std::mutex mutex_;
  std::condition_variable wake_;
  uint64_t news_ = 0;
  std::atomic<bool> stopping_{false};
};

}  // namespace sluice::delivery
