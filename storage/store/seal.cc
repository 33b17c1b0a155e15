// Open rows become segments.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "storage/model/limits.h"
#include "storage/segment/sync_folder.h"
#include "storage/store/crash_points.h"
#include "storage/store/store_impl.h"

namespace sluice::store {

bool StoreImpl::due(const Partition& partition, TimestampNs now) const {
  uint64_t rows = 0;
  TimestampNs oldest = kTimestampMax;
  for (const OpenRows& open : partition.open) {
    rows += open.rows;
    oldest = std::min(oldest, open.appended_at);
  }
  return rows >= options_.seal_rows || (rows > 0 && oldest <= now - options_.seal_age);
}

Result<uint64_t> StoreImpl::seal_due() {
  std::lock_guard sealing(seal_mutex_);
  const TimestampNs now = clock_.now();
  // Many partitions with few rows each are not waited for: appends are refused when there are too many. Nor are large rows, of which too
  // few to be due may take all the memory that there is.
  bool pressed = reserved_bytes_.load() > options_.open_bytes_max / 2;
  {
    std::lock_guard lock(mutex_);
    pressed = pressed || open_partitions_ > limits::kOpenPartitionsMax / 4;
  }
  return seal_partitions([&](const Partition& partition) { return pressed ? !partition.open.empty() : due(partition, now); });
}

Result<uint64_t> StoreImpl::flush() {
  std::lock_guard sealing(seal_mutex_);
  SLUICE_ASSIGN(const uint64_t written, seal_partitions([](const Partition& partition) { return !partition.open.empty(); }));
  // What seals of before left behind, too.
  if (written == 0) SLUICE_TRY(catalog_->reclaim_journal(stats().journal_bytes));
  return written;
}

// REQUIRES: seal_mutex_ is held
Result<uint64_t> StoreImpl::seal_partitions(const std::function<bool(const Partition&)>& wanted) {
  // What comes after this moment is not waited for: appends may go on for ever.
  const uint64_t bound = next_sequence_.load();
  struct Wanted {
    uint64_t rows;
    TimestampNs start;
  };
  std::vector<Wanted> partitions;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [start, partition] : partitions_) {
      if (!wanted(partition)) continue;
      uint64_t rows = 0;
      for (const OpenRows& open : partition.open) rows += open.rows;
      partitions.push_back({rows, start});
    }
  }
  // What frees most memory first, and of equals the newest: stray rows of long ago must not keep the current hour waiting.
  std::sort(partitions.begin(), partitions.end(),
            [](const Wanted& a, const Wanted& b) { return a.rows != b.rows ? a.rows > b.rows : a.start > b.start; });
  uint64_t written = 0;
  Status first_error;
  for (const Wanted& next : partitions)
    for (;;) {
      const Result<bool> more = seal_some(next.start, bound);
      // One partition that cannot be sealed must not keep the others in the journal.
      if (!more.ok() && first_error.ok()) first_error = more.error();
      if (!more.ok() || !*more) break;
      ++written;
    }
  if (written > 0)
    if (Status reclaimed = catalog_->reclaim_journal(stats().journal_bytes); first_error.ok()) first_error = std::move(reclaimed);
  SLUICE_TRY(first_error);
  return written;
}

// Writes one segment of the rows that are open in the partition and were journaled before `bound`; false: there are none.
// REQUIRES: seal_mutex_ is held
Result<bool> StoreImpl::seal_some(TimestampNs start, uint64_t bound) {
  // A publishing of before whose outcome is open keeps its partition marked.
  SLUICE_TRY(decide_undecided());
  std::vector<std::shared_ptr<const Batch>> batches;
  std::vector<uint64_t> sequences, firsts;  // all journal entries; the first of each OpenRows, by which they are found again
  uint64_t rows = 0;
  {
    std::unique_lock lock(mutex_);
    const auto at = partitions_.find(start);
    if (at == partitions_.end()) return false;
    Partition& partition = at->second;
    SLUICE_CHECK(!partition.sealing);
    partition.sealing = true;  // no new joins, and the partition stays in the map
    joins_done_.wait(lock, [&] { return partition.joins == 0; });
    for (const OpenRows& open : partition.open) {
      if (open.sequences.front() >= bound || (rows > 0 && rows + open.rows > kSealedRowsMax)) continue;
      rows += open.rows;
      batches.insert(batches.end(), open.batches.begin(), open.batches.end());
      sequences.insert(sequences.end(), open.sequences.begin(), open.sequences.end());
      firsts.push_back(open.sequences.front());
    }
    if (rows == 0) {
      partition.sealing = false;
      return false;
    }
  }
  const auto give_up = [&](Error error) {
    std::lock_guard lock(mutex_);
    partitions_.at(start).sealing = false;
    return error;
  };

  const TimestampNs began = clock_.now();
  const uint64_t id = next_segment_.fetch_add(1);
  const std::string path = segment_path(start, id);
  crash_point("seal_before_file");
  std::vector<const Batch*> sources;
  for (const auto& b : batches) sources.push_back(b.get());
  auto info = write_file(path, id, start, sources);
  if (!info.ok()) return give_up(std::move(info).error().with("cannot seal"));
  batches = {};
  crash_point("seal_after_file");
  auto file = open_segment(*info);
  if (!file.ok()) {
    ::unlink(path.c_str());
    return give_up(std::move(file).error().with("a segment just written cannot be read"));
  }
  {
    std::unique_lock lock(mutex_);
    if (const auto before = before_leaving_) {
      lock.unlock();
      before();
    }
  }
  crash_point("seal_before_publish");
  std::lock_guard publishing(publish_mutex_);
  const TimestampNs took = clock_.now() - began;
  SLUICE_TRY(publish({*info}, {}, sequences, "seal_after_publish", [this, start, file = *file, firsts, rows, took](bool happened) {
    Partition& partition = partitions_.at(start);
    partition.sealing = false;
    if (!happened) return;
    const std::unordered_set<uint64_t> sealed(firsts.begin(), firsts.end());
    size_t bytes = 0;
    std::erase_if(partition.open, [&](const OpenRows& o) {
      if (!sealed.contains(o.sequences.front())) return false;
      bytes += o.bytes;
      return true;
    });
    if (partition.open.empty()) --open_partitions_;
    reserved_bytes_.fetch_sub(bytes);
    insert_segment({file, {}});
    ++stats_.seals;
    stats_.sealed_rows += rows;
    stats_.seal_ns += static_cast<uint64_t>(took);
  }));
  crash_point("seal_after_swap");
  return true;
}

Result<segment::SegmentInfo> StoreImpl::write_file(const std::string& path, uint64_t id, TimestampNs start, std::span<const Batch* const> batches,
                                                   std::function<bool()> is_abandoned) {
  const std::string folder = path.substr(0, path.rfind('/'));
  if (::mkdir(folder.c_str(), 0750) == 0) {
    // The new folder's own entry must survive a power cut too, or the segment's would be of no use.
    if (options_.sync) SLUICE_TRY(segment::sync_folder(segments_folder_));
  } else if (errno != EEXIST) {
    return Error::from_errno("cannot create " + folder, errno);
  }
  segment::WriteOptions options;
  options.postings = options_.postings;
  options.sync = options_.sync;
  options.is_abandoned = std::move(is_abandoned);
  return segment::write_segment_of(path, id, start, batches, options);
}

}  // namespace sluice::store
