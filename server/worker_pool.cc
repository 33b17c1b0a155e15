#include "server/worker_pool.h"

#include <pthread.h>

#include <algorithm>

namespace sluice::server {

void name_thread(const std::string& name) { pthread_setname_np(pthread_self(), name.substr(0, 15).c_str()); }

WorkerPool::WorkerPool(std::string name, size_t threads, size_t waiting_max) : name_(std::move(name)), waiting_max_(waiting_max) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

WorkerPool::~WorkerPool() { stop(); }

bool WorkerPool::post(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    // A job waits only when it finds no thread free.
    const size_t free_threads = threads_.size() - std::min(threads_.size(), running_ + jobs_.size());
    if (stopping_ || (free_threads == 0 && jobs_.size() + running_ >= waiting_max_ + threads_.size())) return false;
    jobs_.push_back(std::move(job));
  }
  ready_.notify_one();
  return true;
}

void WorkerPool::stop() {
  std::deque<std::function<void()>> dropped;  // destroyed outside the lock: a dropped job may answer its client
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(jobs_);
  }
  ready_.notify_all();
  dropped.clear();
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
}

size_t WorkerPool::waiting() const {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}
size_t WorkerPool::running() const {
  std::lock_guard lock(mutex_);
  return running_;
}

void WorkerPool::work() {
  name_thread(name_);
  std::unique_lock lock(mutex_);
  while (true) {
    ready_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    ++running_;
    lock.unlock();
    job();
    job = nullptr;  // what it captured goes before it counts as done
    lock.lock();
    --running_;
  }
}

// Tasks are handed out by an atomic counter; `left` tells the caller when the last one is done.
struct ParallelExecutor::Job {
  const std::function<void(size_t)>* task;
  size_t count;
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::condition_variable done;
  size_t left;

  // Works until no task is left to begin.
  void help() {
    size_t finished = 0;
    for (size_t i; (i = next.fetch_add(1)) < count; ++finished) (*task)(i);
    if (finished == 0) return;
    std::lock_guard lock(mutex);
    left -= finished;
    if (left == 0) done.notify_all();
  }
};

ParallelExecutor::ParallelExecutor(size_t width) : width_(std::max<size_t>(width, 1)) {
  for (size_t i = 1; i < width_; ++i) threads_.emplace_back([this] { work(); });
}

ParallelExecutor::~ParallelExecutor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ParallelExecutor::run(size_t count, const std::function<void(size_t)>& task) {
  if (count == 0) return;
  const size_t helpers = std::min(count - 1, threads_.size());
  if (helpers == 0) {
    for (size_t i = 0; i < count; ++i) task(i);
    return;
  }
  auto job = std::make_shared<Job>();
  job->task = &task;
  job->count = job->left = count;
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < helpers; ++i) jobs_.push_back(job);
  }
  helpers == 1 ? ready_.notify_one() : ready_.notify_all();
  job->help();
  std::unique_lock lock(job->mutex);
  job->done.wait(lock, [&] { return job->left == 0; });
  // Helpers that come later find no task to begin and never touch `task`.
}

void ParallelExecutor::work() {
  name_thread("query-helper");
  std::unique_lock lock(mutex_);
  while (true) {
    ready_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job->help();
    job.reset();
    lock.lock();
  }
}

}  // namespace sluice::server
