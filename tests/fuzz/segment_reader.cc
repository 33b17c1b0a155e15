// Any bytes as a segment file, checksums not looked at, so that hostile ones reach every decoder.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "storage/segment/open_options.h"
#include "tests/unit/storage/segment/read_all.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = ::memfd_create("segment", 0);
  if (fd < 0 || ::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  auto segment = sluice::segment::open_segment(path, {.verify = false});
  if (segment.ok()) (void)sluice::segment::testing::read_all(**segment, 1).ok();
  return 0;
}
