// Store: rows go in durably, come out as snapshots, and age from open batches to sealed, merged and retained segments.
//
//   open ( append | snapshot | seal | merge | retain )* close
//
// Thread rule: all methods may be called from any thread. append() of several threads is committed as a group. seal, merge
// and retain take their own lock each and never block append or snapshot for longer than a pointer swap.
// Durability: append() returns after the rows are in the journal and synced. Publishing a segment is one atomic catalogue
// write that adds the segment and drops the journal entries that it covers; a crash before it replays, after it has
// nothing to do. So each acknowledged row is there exactly once after a kill at any point.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "storage/model/batch.h"
#include "storage/model/limits.h"
#include "storage/model/result.h"
#include "storage/model/time.h"
#include "storage/segment/segment.h"

namespace sluice::catalog {
class Catalog;  // storage/catalog/catalog.h: the RocksDB behind the store, shared with templates, tokens, lists
}

namespace sluice::store {

struct StoreOptions {
  std::string directory;                                  // made if absent; locked while open
  DurationNs partition_width = limits::kPartitionWidth;   // fixed at creation; another value at open is refused
  uint32_t seal_rows = limits::kSealRows;
  DurationNs seal_age = limits::kSealAge;
  size_t open_bytes_max = limits::kOpenBytesMax;
  // Rows of one merge, bytes as read. Large texts compress to any size, so what files take says nothing. Beyond: fewer segments are merged,
  // and one that leaves no room for another stays as it is.
  size_t merge_bytes_max = size_t{2} << 30;
  DurationNs retain_age = 0;      // 0: for ever
  uint64_t retain_bytes = 0;      // of segment files; 0: no bound
  bool sync = true;               // off only in tests that don't crash
  bool postings = true;
};

struct AppendOptions {
  std::string object_key;  // not empty: the same key a second time changes nothing and reports duplicate
  // Small catalogue writes that commit together with the rows (key, value) in the keyspace `ingest_state`; an empty value
  // erases its key. Of a duplicate object nothing is written.
  std::vector<std::pair<std::string, std::string>> side_writes;
  // Not 0: names these rows within this process, for a caller that tries again after `full`. An append that failed half-way may
  // turn out to be durable after all; then the same id answers with that outcome and adds nothing. Nothing is written for it: the
  // caller's rows are gone with the process, and so is its retry. REQUIRES: one append of an id at a time, never other rows
  uint64_t retry_id = 0;
};

struct AppendResult {
  uint64_t rows = 0;
  bool duplicate = false;
  uint64_t sequence = 0;  // journal sequence of the (last) entry
};

struct DamagedSegment {
  segment::SegmentInfo info;
  std::string reason;
};

// What a backup holds.
struct Backup {
  uint64_t segments = 0, bytes = 0;  // files of segments
  uint64_t copied_bytes = 0;         // of those: copied, because the folder is on another file system; the others are the same files
  uint64_t missing = 0;              // damaged segments whose files are not there
};

// What a query sees: never changes, holds no lock. Rows in `open` are not in `segments` and the other way round.
struct Snapshot {
  std::vector<std::shared_ptr<const segment::Segment>> segments;  // by partition, then first
  std::vector<std::shared_ptr<const Batch>> open;                 // flow batches, plain or coded
  std::vector<DamagedSegment> damaged;                            // could not be opened; their rows are missing
  uint64_t appends = 0;  // since open: its rows are those of appends 1 to this, and what was there before
};

// Told of every append since it was set, in the order of its number (see Snapshot::appends), when its rows become visible. Called with
// a lock of the store held: it keeps the batches and returns; it calls nothing of the store.
using AppendWatcher = std::function<void(uint64_t append, std::span<const std::shared_ptr<const Batch>> batches)>;

struct StoreStats {
  uint64_t segments = 0, segment_rows = 0, segment_bytes = 0, damaged_segments = 0;
  uint64_t open_rows = 0, open_bytes = 0, journal_entries = 0, journal_bytes = 0;
  uint64_t appends = 0, appended_rows = 0, duplicate_objects = 0, refused_full = 0;
  uint64_t seals = 0, sealed_rows = 0, seal_ns = 0, merges = 0, merged_rows = 0, merge_ns = 0;
  uint64_t retired_segments = 0, retired_rows = 0;
  uint64_t replayed_entries = 0, replayed_rows = 0, orphan_files_removed = 0;
  TimestampNs oldest = kTimestampMax, newest = kTimestampMin;  // flow_end over all rows
};

class Store {
 public:
  // Locks the directory, replays the journal, removes files of unfinished writes. Errors: conflict (locked by another
  // process, or another partition width), unsupported (written by a newer version), corrupt, io.
  static Result<std::unique_ptr<Store>> open(const StoreOptions& options, const Clock& clock);
  virtual ~Store() = default;  // does not seal; what is open is in the journal

  // Makes the rows durable and visible, all or none. Batches must be flow batches with flow_end set in every row.
  // Errors: full (open rows beyond the bound, or the disk is full), io. After those the rows may turn out to be there all the
  // same, so whoever tries again brings an object_key or a retry_id.
  virtual Result<AppendResult> append(std::span<const Batch> batches, const AppendOptions& options = {}) = 0;
  // The same without copying: the store keeps the batches themselves, which nobody changes any more. REQUIRES: none is null
  virtual Result<AppendResult> append_shared(std::span<const std::shared_ptr<const Batch>> batches, const AppendOptions& options = {}) = 0;

  virtual Snapshot snapshot() const = 0;
  // One watcher at a time; empty: none.
  virtual void watch_appends(AppendWatcher watcher) = 0;
  // For who does something with all that is appended, once at least, and keeps how far it is: `before` is called before rows that are in no segment
  // yet leave the journal for one, by the thread that seals and without a lock of the store. Empty: nobody's.
  virtual void watch_journal(std::function<void()> before) = 0;
  // What the journal had when the store was opened, of appends at or after `since` (by the clock of then), oldest first. REQUIRES: once, before the
  // first append. Entries that cannot be read are left out, as in snapshots.
  virtual Status each_journaled(TimestampNs since, const std::function<void(std::span<const std::shared_ptr<const Batch>>)>& visit) = 0;

  // Seals partitions that are due by rows or age (by the clock), and all of them when half the memory of open rows is taken. Returns
  // segments written.
  virtual Result<uint64_t> seal_due() = 0;
  // Seals everything open. After it, a crash replays nothing appended before.
  virtual Result<uint64_t> flush() = 0;
  // One merge of small neighbouring segments of a partition, if worth it. False: nothing to do.
  virtual Result<bool> merge_once() = 0;
  // For a stop: the merge under way gives up at its next block of rows and leaves no file, and none begins any more (merge_once: false).
  // Nothing is lost by it: the segments that it read stay, and are merged after the next start.
  virtual void abandon_merges() = 0;
  // Drops segments beyond age or bytes, oldest first. Returns segments dropped.
  virtual Result<uint64_t> retain() = 0;
  // Reads every byte of every segment; the damaged ones, with reasons. They stay listed and out of snapshots, until a verify finds them
  // whole again (a good copy was put in their place).
  virtual std::vector<DamagedSegment> verify() = 0;
  // Segments hash each chunk again when it is next read (segment.h). To be called every limits::kChecksBelievedFor.
  virtual void forget_checks() = 0;
  // A segment whose read failed with `corrupt` during a query: out of later snapshots, listed as damaged.
  virtual void report_damage(uint64_t segment_id, std::string reason) = 0;

  // A data directory of its own at `directory`, which must not be there yet: all that was acknowledged before the call, and of what comes
  // meanwhile each append whole or not at all. Segments are hard links (they never change), the catalogue a checkpoint; so it costs
  // what is in the journal, and appends and queries go on. A store opened there is the same store. It stands under directory + ".partial"
  // until it is whole. One at a time. Errors: conflict (something is there), full, io, corrupt.
  virtual Result<Backup> backup(const std::string& directory) = 0;

  // Ok, or why appends are refused at the moment: the disk is full, or the catalogue could not be written and cannot be yet (asking
  // makes it try). Not for rows that only wait to be sealed. Errors: full, io.
  virtual Status check_writable() = 0;

  virtual StoreStats stats() const = 0;
  virtual DurationNs partition_width() const = 0;
  virtual catalog::Catalog& catalog() = 0;
};

}  // namespace sluice::store
