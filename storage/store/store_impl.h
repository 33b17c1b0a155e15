// The store's inside: state and locks. Included by storage/store/*.cc only.
//
// Locks, in the order that they are taken:
//   seal_mutex_, merge_mutex_, retain_mutex_   one each per kind of maintenance, held over file writing; backup_mutex_ likewise
//   publish_mutex_                             catalogue writes that change the segment list, and the swap after them
//   mutex_                                     the state that snapshots are made of; held for pointer work only
// append holds none of them while it encodes and syncs; it takes mutex_ to make its rows visible.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "storage/catalog/catalog.h"
#include "storage/store/records.h"
#include "storage/store/rows.h"
#include "storage/store/store.h"

namespace sluice::store {

// Rows of one segment that sealing writes at most: after a backlog, several segments rather than one that takes all memory. So many rows
// of one partition make a journal entry at most, as an entry is sealed whole; only a single batch may be larger.
inline constexpr uint64_t kSealedRowsMax = 4ull << 20;

// Rows in the journal that are in no segment yet: of one append or a part of it, or of several small ones joined.
struct OpenRows {
  std::vector<uint64_t> sequences;  // journal entries that it covers
  std::vector<std::shared_ptr<const Batch>> batches;
  uint64_t rows = 0;
  size_t bytes = 0;
  uint64_t journal_bytes = 0;
  TimestampNs first = kTimestampMax, last = kTimestampMin;
  TimestampNs appended_at = 0;  // of the oldest row
  bool joining = false;         // a thread joins it with others outside the lock
};

using PartitionRows = std::pair<TimestampNs, OpenRows>;  // with the partition's start

// A segment file in use. The file of a retired one is deleted when its last user lets go.
class SegmentFile {
 public:
  SegmentFile(std::shared_ptr<const segment::Segment> segment, segment::SegmentInfo info) : segment_(std::move(segment)), info_(std::move(info)) {}
  ~SegmentFile();
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;

  const segment::SegmentInfo& info() const { return info_; }  // as the catalogue has it
  void retire() { retired_.store(true); }
  // The segment, keeping this file. nullptr when it could not be opened.
  static std::shared_ptr<const segment::Segment> segment_of(const std::shared_ptr<SegmentFile>& file) {
    return {file, file->segment_.get()};
  }

 private:
  std::shared_ptr<const segment::Segment> segment_;
  segment::SegmentInfo info_;
  std::atomic<bool> retired_{false};
};

struct SegmentEntry {
  std::shared_ptr<SegmentFile> file;
  std::string damage;  // not empty: out of snapshots, with this reason
};

struct Partition {
  std::vector<OpenRows> open;           // in order of append
  std::vector<SegmentEntry> segments;   // by first, then id
  bool sealing = false;                 // its open rows are being written; they are not joined meanwhile
  uint32_t joins = 0;                   // threads that are joining open rows
};

// The sealed half of a snapshot, rebuilt when the segment list changes.
struct SealedView {
  std::vector<std::shared_ptr<const segment::Segment>> segments;
  std::vector<DamagedSegment> damaged;
};

class StoreImpl final : public Store {
 public:
  StoreImpl(const StoreOptions& options, const Clock& clock) : options_(options), clock_(clock) {}

  Status open();

  Result<AppendResult> append(std::span<const Batch> batches, const AppendOptions& options) override;
  Result<AppendResult> append_shared(std::span<const std::shared_ptr<const Batch>> batches, const AppendOptions& options) override;
  Snapshot snapshot() const override;
  void watch_appends(AppendWatcher watcher) override;
  void watch_journal(std::function<void()> before) override;
  Status each_journaled(TimestampNs since, const std::function<void(std::span<const std::shared_ptr<const Batch>>)>& visit) override;
  Result<uint64_t> seal_due() override;
  Result<uint64_t> flush() override;
  Result<bool> merge_once() override;
  void abandon_merges() override { merges_abandoned_.store(true, std::memory_order_relaxed); }
  Result<uint64_t> retain() override;
  std::vector<DamagedSegment> verify() override;
  void forget_checks() override;
  void report_damage(uint64_t segment_id, std::string reason) override;
  Status check_writable() override;
  Result<Backup> backup(const std::string& directory) override;
  StoreStats stats() const override;
  DurationNs partition_width() const override { return options_.partition_width; }
  catalog::Catalog& catalog() override { return *catalog_; }

 private:
  // A catalogue write whose outcome is open because it failed half-way (a full disk): decided once the catalogue works again.
  struct Undecided {
    catalog::Keyspace keyspace;
    std::string key;             // there: the write happened
    std::function<void(bool happened)> decide;
  };

  // --- open (store.cc)
  Result<size_t> count_segment_files() const;
  Status check_settings();
  Status load_segments();
  Status replay_journal();
  Status remove_orphans();
  // Where a segment file goes that the catalogue does not name but that may hold the only copy of its rows.
  std::string set_aside_folder() const { return segments_folder_ + "/set-aside"; }
  bool is_superfluous(const std::string& path) const;
  Status set_aside(const std::string& path) const;
  void list_set_aside();
  void note_catalog_damage();  // mutex_ not held

  // --- append (append.cc)
  using Pieces = std::map<TimestampNs, Piece>;
  // `split` parts the rows by partition; it is not called for an object that was there before.
  Result<AppendResult> append_pieces(const std::function<Result<Pieces>()>& split, const AppendOptions& options);
  Status check_room(size_t bytes);
  Status check_disk(size_t bytes) const;
  Status check_partitions(const Pieces& pieces);
  void add_open(TimestampNs partition_start, OpenRows open);  // mutex_ held
  void publish_rows(std::vector<PartitionRows> rows, uint64_t appended_rows);
  void join_small_rows(TimestampNs partition_start);
  Status decide_undecided();

  Result<Backup> fill_backup(const std::string& folder);  // backup.cc

  // --- seal, merge, retain
  Result<uint64_t> seal_partitions(const std::function<bool(const Partition&)>& wanted);
  Result<bool> seal_some(TimestampNs start, uint64_t bound);
  Result<segment::SegmentInfo> write_file(const std::string& path, uint64_t id, TimestampNs start, std::span<const Batch* const> batches,
                                          std::function<bool()> is_abandoned = {});
  bool due(const Partition& partition, TimestampNs now) const;
  std::string segment_path(TimestampNs partition_start, uint64_t id) const;
  Result<std::shared_ptr<SegmentFile>> open_segment(const segment::SegmentInfo& info) const;
  void take_back(uint64_t segment_id, std::shared_ptr<SegmentFile> file);
  // Adds and drops segments and drops journal entries, in one catalogue write. Then, in memory: drops the segments, and calls
  // `finish` with whether it happened, with mutex_ held; exactly once, and where an error leaves the outcome open, once that
  // is decided. The files of segments that were not added after all are deleted. REQUIRES: publish_mutex_ is held
  Status publish(const std::vector<segment::SegmentInfo>& added, const std::vector<std::shared_ptr<SegmentFile>>& dropped,
                 const std::vector<uint64_t>& sequences, std::string_view crash_name, std::function<void(bool happened)> finish);
  std::string relative(const std::string& path) const;
  void insert_segment(SegmentEntry entry);           // mutex_ held
  void drop_segments(const std::vector<std::shared_ptr<SegmentFile>>& files);  // mutex_ held
  void rebuild_view();                               // mutex_ held
  Status purge_object_keys(TimestampNs now);

  const StoreOptions options_;
  const Clock& clock_;
  std::string segments_folder_;
  std::unique_ptr<catalog::Catalog> catalog_;

  std::mutex seal_mutex_, merge_mutex_, retain_mutex_, backup_mutex_, publish_mutex_;
  TimestampNs keys_purged_at_ = kTimestampMin;  // retain_mutex_
  std::set<uint64_t> too_large_to_merge_;       // ids of segments; merge_mutex_

  std::atomic<bool> merges_abandoned_{false};

  std::atomic<uint64_t> next_sequence_{1}, next_segment_{1};
  std::atomic<size_t> reserved_bytes_{0};  // open rows, visible or on their way into the journal

  std::mutex objects_mutex_;
  std::condition_variable objects_changed_;
  std::set<std::string> objects_in_flight_;

  std::mutex undecided_mutex_;
  std::deque<Undecided> undecided_;
  std::atomic<bool> has_undecided_{false};
  // Appends with a retry_id that failed and turned out to be durable: what their retry is answered. undecided_mutex_
  std::map<uint64_t, AppendResult> late_appends_;

  mutable std::mutex mutex_;
  std::condition_variable joins_done_;
  std::map<TimestampNs, Partition> partitions_;
  size_t open_partitions_ = 0;  // those with open rows
  std::shared_ptr<const SealedView> view_ = std::make_shared<SealedView>();
  std::vector<DamagedSegment> damaged_entries_;  // journal entries that could not be read back, files set aside
  std::string catalog_damage_;                   // as far as it is in damaged_entries_
  AppendWatcher watcher_;
  std::function<void()> before_leaving_;                    // see watch_journal()
  std::vector<std::pair<TimestampNs, uint64_t>> journaled_;  // at open: when, and the number of the entry; until each_journaled()
  StoreStats stats_;                             // the counters; the rest is added up in stats()
};

}  // namespace sluice::store
