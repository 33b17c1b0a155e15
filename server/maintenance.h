// Maintenance: seals, merges and retains in the background, each on a thread of its own so that a long merge never keeps
// open rows waiting.
//
// Thread rule: owns its threads; poke from any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "server/error_voice.h"
#include "storage/store/store.h"

namespace sluice::server {

class Maintenance {
 public:
  // `on_trouble` is told, on a thread of this, why the store takes no rows, and an empty reason when it takes them again.
  // `keep_books` is called every limits::kSourceTotalsEvery, and a last time by stop.
  explicit Maintenance(store::Store& store, std::function<void(std::string reason)> on_trouble = {}, std::function<Status()> keep_books = {});
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;

  // Open rows are many: look now rather than at the next round.
  void poke();
  // The store has to live until this has returned, and no longer: what is stopped is not stopped again.
  void stop();

 private:
  void seal();
  void look_at_room();
  void merge();
  // False: stopping.
  bool wait(int milliseconds, bool until_poked);

  store::Store& store_;
  const std::function<void(std::string)> on_trouble_;
  const std::function<Status()> keep_books_;
  bool is_full_ = false;  // of the seal thread
  ErrorVoice room_voice_; // of the seal thread
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false, poked_ = false;
  bool stopped_ = false;  // of whoever stops
  std::thread seal_thread_, merge_thread_;
};

}  // namespace sluice::server
