// Maintenance: seals, merges and retains in the background, each on a thread of its own so that a long merge never keeps
// open rows waiting.
//
// Thread rule: owns its threads; poke from any thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "storage/store/store.h"

namespace sluice::server {

class Maintenance {
 public:
  explicit Maintenance(store::Store& store);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;

  // Open rows are many: look now rather than at the next round.
  void poke();
  void stop();

 private:
  void seal();
  void merge();
  // False: stopping.
  bool wait(int milliseconds, bool until_poked);

  store::Store& store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false, poked_ = false;
  std::thread seal_thread_, merge_thread_;
};

}  // namespace sluice::server
