#include "storage/store/crash_points.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "storage/model/result.h"

namespace sluice::store {

namespace {

constexpr std::array<std::string_view, 21> kNames = {
    "open_before_replay",        "open_during_replay",       "open_before_orphans",       "open_after_orphan",
    "append_before_journal",     "append_after_journal",     "append_after_visible",      "coalesce_before_swap",
    "seal_before_file",          "seal_after_file",          "seal_before_publish",       "seal_after_publish",
    "seal_after_swap",           "merge_before_file",        "merge_after_file",          "merge_before_publish",
    "merge_after_publish",       "merge_after_swap",         "retain_after_publish",      "retire_before_delete",
    "retire_after_delete",
};

// Set once before threads run.
std::string_view armed_name;
std::atomic<uint32_t> passes_left{0};

}  // namespace

std::span<const std::string_view> crash_point_names() { return kNames; }

void set_crash_point(std::string_view name, uint32_t nth) {
  crash_detail::armed.store(false);
  if (name.empty()) return;
  const auto* found = std::find(kNames.begin(), kNames.end(), name);
  SLUICE_CHECK_MSG(found != kNames.end(), name);
  armed_name = *found;
  passes_left.store(nth == 0 ? 1 : nth);
  crash_detail::armed.store(true);
}

namespace crash_detail {

std::atomic<bool> armed{false};

void pass(std::string_view name) {
  if (name != armed_name) return;
  if (passes_left.fetch_sub(1) != 1) return;
  // As a kill from outside: no destructors, no flushing of buffers.
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

}  // namespace crash_detail

}  // namespace sluice::store
