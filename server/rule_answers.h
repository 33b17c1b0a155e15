// RuleAnswers: asks the rules that are asked again and again (`every 1h over 1d`), one after the other on a thread of its own, so
// that a long answer holds up neither ingest nor the rules that run on the stream.
//
// Thread rule: any thread. `done` is called on the asking thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "query/continuous/asked_rule.h"

namespace sluice::server {

class RuleAnswers {
 public:
  struct Answer {
    query::continuous::RulePtr rule;
    TimestampNs at = 0;
    TimestampNs learns_since = kTimestampMax; // since when flows have been known, of which some may be kept no more
    Status status;                            // not ok: there are no rows
    std::vector<query::OutputColumn> output;
    std::vector<query::Chunk> rows;
    query::ScanStats stats;
    uint64_t excepted = 0;                    // rows that exceptions left out, those that no answer before counted

    void take(const query::continuous::Finding& finding);
    // The rows, as findings. REQUIRES: status.ok()
    void tell(const query::continuous::FindingSink& sink) const;
  };
  // Fills `answer` for its rule and moment.
  using Ask = std::function<void(Answer& answer)>;

  RuleAnswers(Ask ask, std::function<void(Answer)> done) : ask_(std::move(ask)), done_(std::move(done)) {}
  ~RuleAnswers() { stop(); }

  void start();
  // Waits for the question that is being asked; those that wait are forgotten. Whoever stops it cancels what runs.
  void stop();

  // One question of a rule at a time: until its answer has been taken, no other is.
  void ask(query::continuous::RulePtr rule, TimestampNs at, TimestampNs learns_since);
  bool is_asking(const std::string& rule) const;
  void taken(const std::string& rule);

 private:
  void work();
  const Ask ask_;
  const std::function<void(Answer)> done_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Answer> waiting_;  // no more than rule, at and learns_since
  std::set<std::string> names_;  // of those that wait, are asked, and whose answer was not taken yet
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sluice::server
