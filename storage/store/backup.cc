#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "storage/segment/sync_folder.h"
#include "storage/store/store_impl.h"

namespace sluice::store {

namespace fs = std::filesystem;

namespace {

// The file under its second name; its bytes where the folder is on another file system. True: copied.
Result<bool> link_or_copy(const std::string& from, const std::string& to, bool sync) {
  if (::link(from.c_str(), to.c_str()) == 0) return false;
  if (errno != EXDEV && errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK) return Error::from_errno("cannot link " + from + " to " + to, errno);
  std::error_code ec;
  fs::copy_file(from, to, ec);
  if (ec) return Error::from_errno("cannot copy " + from + " to " + to, ec.value());
  if (!sync) return true;
  const int fd = ::open(to.c_str(), O_RDONLY | O_CLOEXEC);
  const int failed = fd < 0 || ::fsync(fd) != 0 ? errno : 0;
  if (fd >= 0) ::close(fd);
  if (failed != 0) return Error::from_errno("cannot sync " + to, failed);
  return true;
}

}  // namespace

Result<Backup> StoreImpl::backup(const std::string& directory) {
  const std::lock_guard one(backup_mutex_);
  std::error_code ec;
  if (fs::exists(fs::symlink_status(directory, ec))) return Error{ErrorCode::conflict, "there is something already: " + directory};
  const std::string partial = directory + ".partial";
  fs::remove_all(partial, ec);  // of one that was cut off
  if (ec) return Error::from_errno("cannot remove " + partial, ec.value());
  if (::mkdir(partial.c_str(), 0700) != 0) return Error::from_errno("cannot make " + partial, errno);
  auto made = fill_backup(partial);
  if (made.ok() && ::rename(partial.c_str(), directory.c_str()) != 0) made = Error::from_errno("cannot rename " + partial, errno);
  if (!made.ok()) {
    fs::remove_all(partial, ec);
    return made;
  }
  if (options_.sync) SLUICE_TRY(segment::sync_folder(fs::path(directory).parent_path().string()));
  return made;
}

Result<Backup> StoreImpl::fill_backup(const std::string& folder) {
  Backup made;
  std::vector<std::pair<std::shared_ptr<SegmentFile>, bool>> files;
  {
    // While nothing is published, the segments known here are those that the catalogue names. Appends go on: the catalogue is copied as
    // of one moment, so each is in it whole or not at all. A file that is held is not deleted, though its segment is retired meanwhile.
    const std::lock_guard publishing(publish_mutex_);
    SLUICE_TRY(decide_undecided());
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [start, partition] : partitions_)
        for (const SegmentEntry& e : partition.segments) files.emplace_back(e.file, !e.damage.empty());
    }
    SLUICE_TRY(catalog_->copy_to(folder));
  }
  const std::string segments = folder + "/segments";
  if (::mkdir(segments.c_str(), 0750) != 0) return Error::from_errno("cannot make " + segments, errno);
  std::set<std::string> folders;
  for (const auto& [file, is_damaged] : files) {
    const segment::SegmentInfo& info = file->info();
    const std::string to = segments + "/" + relative(info.path);
    const std::string into = fs::path(to).parent_path().string();
    if (folders.insert(into).second && ::mkdir(into.c_str(), 0750) != 0) return Error::from_errno("cannot make " + into, errno);
    std::error_code ignored;
    if (is_damaged && !fs::exists(info.path, ignored)) {
      ++made.missing;  // as it is here
      continue;
    }
    SLUICE_ASSIGN(const bool copied, link_or_copy(info.path, to, options_.sync));
    ++made.segments;
    made.bytes += info.file_bytes;
    if (copied) made.copied_bytes += info.file_bytes;
  }
  if (options_.sync) {
    for (const std::string& into : folders) SLUICE_TRY(segment::sync_folder(into));
    for (const std::string& into : {segments, folder + "/catalog", folder}) SLUICE_TRY(segment::sync_folder(into));
  }
  return made;
}

}  // namespace sluice::store
