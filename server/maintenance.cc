#include "server/maintenance.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <utility>

#include "server/error_voice.h"
#include "server/freed_memory.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/worker_pool.h"
#include "storage/model/limits.h"

namespace sluice::server {
namespace {

constexpr int kSealRoundMs = 200;
constexpr int kMergeRoundMs = 1'000;
constexpr auto kRetainEvery = std::chrono::seconds(10);
constexpr auto kRoomEvery = std::chrono::milliseconds(1'000);
constexpr auto kTrimEvery = std::chrono::seconds(5);
// While rows are sealed all the time, what they free is taken by the next rows: giving it back makes the decoder fetch each page anew.
constexpr auto kTrimEveryWhileBusy = std::chrono::seconds(30);

}  // namespace

Maintenance::Maintenance(store::Store& store, std::function<void(std::string)> on_trouble, std::function<Status()> keep_books)
    : store_(store), on_trouble_(std::move(on_trouble)), keep_books_(std::move(keep_books)) {
  seal_thread_ = std::thread([this] { seal(); });
  merge_thread_ = std::thread([this] { merge(); });
}

Maintenance::~Maintenance() { stop(); }

void Maintenance::poke() {
  {
    std::lock_guard lock(mutex_);
    poked_ = true;
  }
  wake_.notify_all();
}

void Maintenance::stop() {
  if (stopped_) return;  // and the store may be gone by now
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  // A merge takes minutes where the machine has other work, and whoever stops a server waits no longer than for the last rows.
  store_.abandon_merges();
  wake_.notify_all();
  if (seal_thread_.joinable()) seal_thread_.join();
  if (merge_thread_.joinable()) merge_thread_.join();
  if (keep_books_)
    if (const Status kept = keep_books_(); !kept.ok()) log::warn("the last counters of sources could not be kept", {{"reason", kept.error().message}});
  stopped_ = true;
}

bool Maintenance::wait(int milliseconds, bool until_poked) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, std::chrono::milliseconds(milliseconds), [&] { return stopping_ || (until_poked && poked_); });
  if (until_poked) poked_ = false;
  return !stopping_;
}

void Maintenance::look_at_room() {
  const Status writable = store_.check_writable();
  if (!writable.ok()) {
    room_voice_.say("flows are refused until there is room again", writable.error());
    if (on_trouble_) on_trouble_(writable.error().message);
  } else if (is_full_) {
    room_voice_.well("flows are taken again");
    if (on_trouble_) on_trouble_({});
  }
  is_full_ = !writable.ok();
}

void Maintenance::seal() {
  name_thread("seal");
  ErrorVoice voice, books_voice;
  FreedMemory freed;
  auto trimmed = std::chrono::steady_clock::now(), looked = trimmed - kRoomEvery, booked = trimmed, checked = trimmed;
  // The last time that rows were sealed, and the time before: close together while rows stream in.
  auto sealed_at = trimmed - kTrimEvery, sealed_before = sealed_at;
  while (wait(kSealRoundMs, true)) {
    if (const auto now = std::chrono::steady_clock::now(); now - looked >= kRoomEvery) {
      looked = now;
      look_at_room();
    }
    if (const auto now = std::chrono::steady_clock::now(); now - checked >= std::chrono::nanoseconds(limits::kChecksBelievedFor)) {
      checked = now;
      store_.forget_checks();
    }
    if (const auto now = std::chrono::steady_clock::now(); now - trimmed >= (now - sealed_before < kTrimEvery ? kTrimEveryWhileBusy : kTrimEvery)) {
      trimmed = now;
      freed.look();
    }
    if (const auto now = std::chrono::steady_clock::now(); keep_books_ && now - booked >= std::chrono::nanoseconds(limits::kSourceTotalsEvery)) {
      booked = now;
      if (const Status kept = keep_books_(); !kept.ok()) books_voice.say("the counters of sources could not be kept yet", kept.error());
    }
    const auto sealed = store_.seal_due();
    if (!sealed.ok())
      voice.say("sealing failed; rows stay in the journal", sealed.error());
    else if (*sealed > 0)
      log::debug("sealed", {{"segments", *sealed}});
    if (sealed.ok() && *sealed > 0) sealed_before = std::exchange(sealed_at, std::chrono::steady_clock::now());
  }
}

void Maintenance::merge() {
  name_thread("merge");
  // Merging can wait; queries and ingest can't.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
  ErrorVoice merge_voice, retain_voice;
  auto retained = std::chrono::steady_clock::now() - kRetainEvery;
  bool busy = false;
  while (wait(busy ? 1 : kMergeRoundMs, false)) {
    const auto merged = store_.merge_once();
    if (!merged.ok()) merge_voice.say("merging failed", merged.error());
    busy = merged.ok() && *merged;
    if (const auto now = std::chrono::steady_clock::now(); now - retained >= kRetainEvery) {
      retained = now;
      const auto dropped = store_.retain();
      if (!dropped.ok())
        retain_voice.say("retention failed", dropped.error());
      else if (*dropped > 0)
        log::info("retention dropped segments", {{"segments", *dropped}});
    }
  }
}

}  // namespace sluice::server
