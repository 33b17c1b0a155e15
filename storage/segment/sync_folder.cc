#include "storage/segment/sync_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace sluice::segment {

Status sync_folder(const std::string& path) {
  const std::string& folder = path.empty() ? std::string(".") : path;
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error::from_errno("cannot open folder " + folder, errno);
  const int failed = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (failed != 0) return Error::from_errno("cannot sync folder " + folder, failed);
  return {};
}

}  // namespace sluice::segment
