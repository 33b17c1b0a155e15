#include "server/delivery/file_sender.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "server/delivery/alert_shape.h"

namespace sluice::delivery {
namespace {

class FileSender final : public Sender {
 public:
  FileSender(std::string path, AlertShape shape) : path_(std::move(path)), shape_(shape) {}

  Attempt send(std::span<const Notice> notices, TimestampNs) override {
    std::string lines;
    for (const Notice& n : notices) (lines += alert_text(n, shape_)) += '\n';
    return append(lines);
  }
  Attempt forward(std::span<const FlowDocument> flows, TimestampNs) override {
    std::string lines;
    for (const FlowDocument& f : flows) (lines += f.body) += '\n';
    return append(lines);
  }

 private:
  // All lines or none.
  Attempt append(std::string_view lines) {
    // Reading is for the last byte alone; a pipe or a device has none.
    int file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
    if (file < 0) return Attempt::failed(Error::from_errno("cannot open " + path_, errno));
    const Status status = append_to(file, lines);
    ::close(file);
    return {status};
  }
  Status append_to(int file, std::string_view lines) {
    struct stat facts {};
    if (::fstat(file, &facts) != 0) return Error::from_errno("cannot look at " + path_, errno);
    const bool is_file = S_ISREG(facts.st_mode);
    std::string all;
    char last = '\n';
    if (is_file && facts.st_size > 0 && ::pread(file, &last, 1, facts.st_size - 1) == 1 && last != '\n') all = "\n";
    all += lines;
    for (size_t at = 0; at < all.size();) {
      const ssize_t written = ::write(file, all.data() + at, all.size() - at);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        const Status status = Error::from_errno("cannot write " + path_, written < 0 ? errno : ENOSPC);
        if (is_file && at > 0 && ::ftruncate(file, facts.st_size) != 0) return Error::from_errno("cannot take half a line back in " + path_, errno);
        return status;
      }
      at += static_cast<size_t>(written);
    }
    if (is_file && ::fdatasync(file) != 0) return Error::from_errno("cannot sync " + path_, errno);
    return {};
  }

  const std::string path_;
  const AlertShape shape_;
};

}  // namespace

Result<MadeTarget> make_file(ingest::DeclaredSettings& settings) {
  SLUICE_ASSIGN(const std::string path, settings.required("path"));
  SLUICE_ASSIGN(const AlertShape shape, read_shape(settings, AlertShape::native));
  return MadeTarget{path, [path, shape](const std::function<bool()>&) -> Result<std::unique_ptr<Sender>> { return std::unique_ptr<Sender>(std::make_unique<FileSender>(path, shape)); }};
}

}  // namespace sluice::delivery
