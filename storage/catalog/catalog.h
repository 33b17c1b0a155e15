// Catalog: the small facts that must be atomic and durable: segment list, journal, settings, templates, tokens, rule state.
// RocksDB behind a narrow door; nothing of it shows here and no other file includes it.
//
// Keys live in keyspaces. Within one, keys are byte strings, ordered bytewise. A Write collects changes over any keyspaces
// and commits all of them or none.
//
//   open ( get | scan | commit )* close
//
// Thread rule: Catalog's methods may be called from any thread. A Write belongs to one thread at a time.
// Durability: commit with Sync::yes returns once the changes would survive a power cut. With Sync::no they survive the death
// of the process, but the last ones may be missing after a power cut (never a later one without an earlier one).
// Errors: full (no space left; writing works again once there is, without a restart), io, corrupt. Nothing throws.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/result.h"

namespace sluice::catalog {

// Format of the data directory. Counts up when an older program could not read what a newer one wrote.
inline constexpr uint32_t kFormatVersion = 1;

// The numbers are on disk: append only.
enum class Keyspace : uint8_t {
  settings,      // of the data directory: format version, partition width, id counters
  segments,      // segment id -> where and what; owned by storage/store
  journal,       // sequence -> rows not sealed yet; owned by storage/store
  objects,       // idempotency key of an ingested object -> when; owned by storage/store
  ingest_state,  // templates, sampling options, exporter sequence state, positions in files, buckets and topics
  tokens,        // API tokens (hashed) and what they may do
  rules,         // continuous queries: definitions and checkpoints
  episodes,      // alerts and their history
  outbox,        // notifications to deliver
  lists,         // named address lists
  context,       // context tables: what an address was when
  profiles,      // saved queries and what else people keep
};
inline constexpr size_t kKeyspaceCount = static_cast<size_t>(Keyspace::profiles) + 1;

std::string_view to_string(Keyspace keyspace);

enum class Sync : bool { no, yes };

// Changes that commit together; a later change of the same key wins. Move only.
class Write {
 public:
  Write() = default;
  Write(Write&&) noexcept = default;
  Write& operator=(Write&&) noexcept = default;

  void put(Keyspace keyspace, std::string key, std::string value);
  void erase(Keyspace keyspace, std::string key);
  // Keys in [begin, end).
  void erase_range(Keyspace keyspace, std::string begin, std::string end);
  // All changes of another Write, after those here.
  void append(Write&& other);
  void clear() { changes_.clear(); }

  size_t count() const { return changes_.size(); }
  bool empty() const { return changes_.empty(); }
  size_t byte_size() const;  // of keys and values

 private:
  friend class Catalog;
  enum class Kind : uint8_t { put, erase, erase_range };
  struct Change {
    Kind kind;
    Keyspace keyspace;
    std::string key, value;  // erase_range: begin, end
  };
  std::vector<Change> changes_;
};

struct CatalogStats {
  uint64_t disk_bytes = 0;         // all files of the catalogue, the journal's included
  uint64_t journal_disk_bytes = 0; // of the journal's sorted files (not the log)
  uint64_t memory_bytes = 0;       // write buffers and caches
  uint64_t commits = 0, synced_commits = 0, failed_commits = 0, resumed = 0;
};

class Catalog {
 public:
  // Whether open() would find a catalogue there, without changing anything. Errors: corrupt (files of one, but not the one that
  // says where they begin: opened, it would look like a new one).
  static Result<bool> exists(const std::string& directory);
  // Opens or creates <directory>/catalog and locks it for this process until destruction.
  // Errors: conflict (locked, with the process id where the system tells), unsupported (a newer format), invalid_argument
  // (a RocksDB database that is not ours), full, corrupt, io.
  static Result<std::unique_ptr<Catalog>> open(const std::string& directory);
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  const std::string& directory() const;
  // True when this open made the catalogue.
  bool created() const;
  // Not empty: the log was damaged in its middle (not just cut off by a crash), or is gone, and the changes after that place are lost.
  // Found at open or when the catalogue was opened anew after a failed write; stays until destruction.
  std::string damage() const;
  // True when a log ended within a record when this was opened. A power cut does that to what was never acknowledged, but a
  // damaged length looks the same: what the catalogue does not know is then not sure to be of no use.
  bool tail_cut() const;

  // nullopt: no such key.
  Result<std::optional<std::string>> get(Keyspace keyspace, std::string_view key) const;
  // Single changes, for callers that need no more.
  Status put(Keyspace keyspace, std::string key, std::string value, Sync sync);
  Status erase(Keyspace keyspace, std::string key, Sync sync);

  // Visits key and value of every key that starts with `prefix` (empty: all), in order, as of the moment of the call; the
  // views are valid during the visit only. The visitor ends the scan with false. It may call the catalogue.
  using Visitor = std::function<bool(std::string_view key, std::string_view value)>;
  Status scan(Keyspace keyspace, std::string_view prefix, const Visitor& visit) const;
  // The same over keys in [begin, end); an empty `end` means to the last.
  Status scan_range(Keyspace keyspace, std::string_view begin, std::string_view end, const Visitor& visit) const;

  // All changes, or on error none. After an error it is open whether they are there: all or none; heal() decides it, and
  // what get() tells after a heal() that went well stays true.
  Status commit(const Write& write, Sync sync);
  // Makes a catalogue whose writes failed usable again, where that is possible by now; commit tries the same. Ok at once
  // when nothing is wrong.
  Status heal();

  // Gives the disk space of erased journal entries back, when the journal's files or its log are much larger than the `live_bytes` of
  // the entries that remain. Blocks nobody else.
  Status reclaim_journal(uint64_t live_bytes);

  // A catalogue with the same keys in <directory>/catalog, as of one moment of the call; commits go on meanwhile. Its sorted files are hard
  // links where the file system has them. It has been opened once: what cannot be opened is an error here. REQUIRES: `directory` is there
  // Errors: io (also when <directory>/catalog is there), full, corrupt.
  Status copy_to(const std::string& directory);

  CatalogStats stats() const;

 private:
  struct Impl;
  explicit Catalog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::catalog
