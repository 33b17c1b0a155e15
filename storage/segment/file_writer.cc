#include "storage/segment/file_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "storage/segment/sync_folder.h"

namespace sluice::segment {
namespace {

constexpr size_t kBufferBytes = 1u << 20;

}  // namespace

FileWriter::~FileWriter() {
  if (fd_ >= 0) ::close(fd_);
  if (!finished_ && !temporary_.empty()) ::unlink(temporary_.c_str());
}

Status FileWriter::open(const std::string& path) {
  path_ = path;
  fd_ = ::open((path + ".tmp").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (fd_ < 0) return Error::from_errno("cannot create " + path + ".tmp", errno);
  temporary_ = path + ".tmp";
  buffer_.reserve(kBufferBytes + 4096);
  return {};
}

void FileWriter::append(std::string_view bytes) {
  offset_ += bytes.size();
  buffer_ += bytes;
  if (buffer_.size() >= kBufferBytes) write_out();
}

void FileWriter::align(size_t to) {
  while (offset_ % to != 0) append(std::string_view("\0", 1));
}

void FileWriter::write_out() {
  size_t done = 0;
  while (status_.ok() && done < buffer_.size()) {
    const ssize_t n = ::write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      status_ = Error::from_errno("cannot write " + temporary_, errno);
    else
      done += static_cast<size_t>(n);
  }
  buffer_.clear();
}

Status FileWriter::finish(bool sync) {
  write_out();
  SLUICE_TRY(status_);
  if (sync && ::fsync(fd_) != 0) return Error::from_errno("cannot sync " + temporary_, errno);
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) return Error::from_errno("cannot close " + temporary_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return Error::from_errno("cannot rename " + temporary_, errno);
  // From here on the file is there under its name; a failed write leaves none.
  finished_ = true;
  if (sync) {
    if (Status s = sync_folder(std::filesystem::path(path_).parent_path().string()); !s.ok()) {
      ::unlink(path_.c_str());
      return s;
    }
  }
  return {};
}

}  // namespace sluice::segment
