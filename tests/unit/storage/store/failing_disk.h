// A disk that fails on request, for the catalogue's log: takes the place of libc's write() and fdatasync() in a test program, also for
// the shared library that calls them. Include in one file of a program only.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>

namespace sluice::store::testing {

enum class DiskFailure : int {
  none,
  sync,   // what was written is there, but was not said to be durable: the outcome is open and turns out well
  write,  // nothing was written
};
inline std::atomic<int> disk_failure{0};

struct FailingDisk {
  explicit FailingDisk(DiskFailure failure) { disk_failure = static_cast<int>(failure); }
  ~FailingDisk() { disk_failure = 0; }
  FailingDisk(const FailingDisk&) = delete;
};

// Files named *.log, which nothing but the catalogue writes here.
inline bool is_log(int fd) {
  char target[4096];
  const ssize_t n = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
  return n > 0 && std::string_view(target, static_cast<size_t>(n)).ends_with(".log");
}

}  // namespace sluice::store::testing

extern "C" int fdatasync(int fd) {
  using namespace sluice::store::testing;
  if (disk_failure.load() == static_cast<int>(DiskFailure::sync) && is_log(fd)) {
    errno = ENOSPC;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

extern "C" ssize_t write(int fd, const void* bytes, size_t size) {
  using namespace sluice::store::testing;
  if (disk_failure.load() == static_cast<int>(DiskFailure::write) && is_log(fd)) {
    errno = ENOSPC;
    return -1;
  }
  return syscall(SYS_write, fd, bytes, size);
}
