// Says an error in the log when it is new, and once a minute while it lasts: what is tried several times a second must not fill
// the log, and what lasts must not look as if it had passed.
//
// Thread rule: one thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "server/log.h"
#include "storage/model/result.h"

namespace sluice::server {

class ErrorVoice {
 public:
  void say(std::string_view what, const Error& error) {
    const auto now = std::chrono::steady_clock::now();
    if (error.message == last_ && now - said_ < std::chrono::seconds(60)) return;
    last_ = error.message;
    said_ = now;
    log::error(what, {{"reason", error.message}});
  }
  // It went well: the next error is new. True if there was one.
  bool well() {
    const bool was = !last_.empty();
    last_.clear();
    return was;
  }

 private:
  std::string last_;
  std::chrono::steady_clock::time_point said_{};
};

}  // namespace sluice::server
