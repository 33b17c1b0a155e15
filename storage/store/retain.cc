// Old segments and old object keys go.

#include "storage/model/limits.h"
#include "storage/store/crash_points.h"
#include "storage/store/store_impl.h"

namespace sluice::store {

using catalog::Keyspace;
using catalog::Sync;

namespace {

// How often object keys are looked through: they live for weeks, and there may be a million.
constexpr DurationNs kKeyPurgeEvery = kHour;
// Keys erased by one write.
constexpr size_t kKeysPerWrite = 10'000;

}  // namespace

Result<uint64_t> StoreImpl::retain() {
  std::lock_guard retaining(retain_mutex_);
  SLUICE_TRY(decide_undecided());
  const TimestampNs now = clock_.now();
  uint64_t dropped = 0;
  {
    // Publishing waits, so that a merge cannot bring back what goes here.
    std::lock_guard publishing(publish_mutex_);
    std::vector<std::shared_ptr<SegmentFile>> going;
    uint64_t going_rows = 0;
    {
      std::lock_guard lock(mutex_);
      uint64_t bytes = 0;
      for (const auto& [start, partition] : partitions_)
        for (const SegmentEntry& e : partition.segments) bytes += e.file->info().file_bytes;
      for (const auto& [start, partition] : partitions_) {
        TimestampNs end = 0;
        if (__builtin_add_overflow(start, options_.partition_width, &end)) end = kTimestampMax;
        const bool too_old = options_.retain_age > 0 && end <= now - options_.retain_age;
        for (const SegmentEntry& e : partition.segments) {
          if (!too_old && (options_.retain_bytes == 0 || bytes <= options_.retain_bytes)) continue;
          bytes -= e.file->info().file_bytes;
          going_rows += e.file->info().rows;
          going.push_back(e.file);
        }
      }
    }
    if (!going.empty()) {
      dropped = going.size();
      SLUICE_TRY(publish({}, going, {}, "retain_after_publish", [this, dropped, going_rows](bool happened) {
        if (!happened) return;
        stats_.retired_segments += dropped;
        stats_.retired_rows += going_rows;
      }));
    }
  }
  if (keys_purged_at_ == kTimestampMin || now - keys_purged_at_ >= kKeyPurgeEvery) {
    SLUICE_TRY(purge_object_keys(now));
    keys_purged_at_ = now;
  }
  return dropped;
}

Status StoreImpl::purge_object_keys(TimestampNs now) {
  catalog::Write write;
  Status failed;
  SLUICE_TRY(catalog_->scan(Keyspace::objects, {}, [&](std::string_view key, std::string_view record) {
    const auto at = parse_time_record(record);
    if (at && *at > now - limits::kObjectKeyAge) return true;
    write.erase(Keyspace::objects, std::string(key));
    if (write.count() < kKeysPerWrite) return true;
    failed = catalog_->commit(write, Sync::no);
    write.clear();
    return failed.ok();
  }));
  SLUICE_TRY(failed);
  return catalog_->commit(write, Sync::no);
}

}  // namespace sluice::store
