// Says an error in the log when it is new, and once a minute while it lasts: what is tried several times a second must not fill
// the log, and what lasts must not look as if it had passed.
//
// A full disk is one trouble whatever the numbers in its message, and one that comes and goes within a minute is said once.
// Thread rule: one thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "server/log.h"
#include "storage/model/result.h"

namespace sluice::server {

class ErrorVoice {
 public:
  // True: it was said.
  bool say(std::string_view what, const Error& error) {
    const auto now = std::chrono::steady_clock::now();
    const std::string trouble = error.code == ErrorCode::full ? std::string(to_string(error.code)) : error.message;
    if (trouble == last_ && said_ && now - *said_ < std::chrono::seconds(60)) return false;
    last_ = trouble;
    said_ = now;
    is_heard_ = true;
    log::error(what, {{"reason", error.message}});
    return true;
  }
  // It went well. Said if an error was, once.
  void well(std::string_view what) {
    if (is_heard_) log::info(what);
    is_heard_ = false;
  }

 private:
  std::string last_;
  std::optional<std::chrono::steady_clock::time_point> said_;
  bool is_heard_ = false;
};

}  // namespace sluice::server
