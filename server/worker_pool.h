// Threads of the server: pools that run queued jobs, and the executor on which queries run in parallel.
//
// Thread rule: post and run may be called from any thread. Destructors finish what runs and drop what waits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "query/engine.h"

namespace sluice::server {

class WorkerPool {
 public:
  // `name` shows in top and in debuggers (15 characters). `waiting_max`: jobs that may wait for a thread.
  WorkerPool(std::string name, size_t threads, size_t waiting_max);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;

  // False: too many wait already, or the pool is stopping. Jobs don't throw.
  bool post(std::function<void()> job);
  // Refuses new jobs, drops those that wait, waits for those that run. Twice is once.
  void stop();
  size_t waiting() const;
  size_t running() const;

 private:
  void work();

  const std::string name_;
  const size_t waiting_max_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> jobs_;
  size_t running_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// One set of threads shared by all queries. The caller's thread works too, so a query goes on even when all are busy.
class ParallelExecutor final : public query::Executor {
 public:
  explicit ParallelExecutor(size_t width);
  ~ParallelExecutor() override;

  size_t width() const override { return width_; }
  void run(size_t count, const std::function<void(size_t)>& task) override;

 private:
  struct Job;
  void work();

  const size_t width_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::shared_ptr<Job>> jobs_;  // one entry per helper wanted
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// Names the calling thread; cut to 15 characters.
void name_thread(const std::string& name);

}  // namespace sluice::server
