#include "storage/catalog/catalog.h"

#include <fcntl.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/transaction_log.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <filesystem>
#include <mutex>
#include <vector>

#if defined(__SANITIZE_THREAD__)
// The distribution's RocksDB is not instrumented, so ThreadSanitizer sees its accesses but not its locks.
extern "C" const char* __tsan_default_suppressions() { return "race:librocksdb\ncalled_from_lib:librocksdb\n"; }
#endif

namespace sluice::catalog {

namespace {

namespace fs = std::filesystem;

// Two column families: the journal has large values that soon go again, everything else is small and stays. In the second,
// a key starts with its keyspace's number. Few families keep the log short: a family that is seldom written pins old logs.
constexpr const char* kJournalFamily = "journal";
constexpr std::string_view kFormatKey = "format";

// What one write buffer of the journal takes before it is written to a sorted file. At full speed an entry lives for some seconds:
// what was erased before its buffer is full is not written a second time.
constexpr size_t kJournalBufferBytes = 128u << 20;
constexpr size_t kSmallBufferBytes = 4u << 20;
// Logs are kept until every family has written its part to sorted files; at this size the oldest are forced out.
constexpr uint64_t kLogBytesMax = 256u << 20;
// Logs and sorted files of erased journal entries are dropped once they are worth it: with live entries between them, and
// with none.
constexpr uint64_t kJournalReclaimBytes = 32u << 20;
constexpr uint64_t kEmptyReclaimBytes = 1u << 20;
// With less free space than this, going on after a full disk is not tried: it would write and fail again.
constexpr uint64_t kReopenFreeBytes = 8u << 20;

constexpr std::array<std::string_view, kKeyspaceCount> kKeyspaceNames = {
    "settings", "segments", "journal", "objects", "ingest_state", "tokens",
    "rules",    "episodes", "outbox",  "lists",   "context",      "profiles"};

// A key as RocksDB has it.
std::string stored_key(Keyspace keyspace, std::string_view key) {
  if (keyspace == Keyspace::journal) return std::string(key);
  std::string out;
  out.reserve(key.size() + 1);
  out.push_back(static_cast<char>(keyspace));
  out.append(key);
  return out;
}

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

// The smallest key beyond all keys with this prefix; empty when there is none.
std::string prefix_end(std::string prefix) {
  while (!prefix.empty()) {
    if (static_cast<unsigned char>(prefix.back()) != 0xff) {
      ++prefix.back();
      return prefix;
    }
    prefix.pop_back();
  }
  return prefix;
}

Error to_error(const rocksdb::Status& status, std::string_view what) {
  ErrorCode code = ErrorCode::io;
  std::string text = status.ToString();
  if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kNoSpace || text.find("No space left") != std::string::npos ||
      text.find("File too large") != std::string::npos || text.find("Disk quota exceeded") != std::string::npos)
    code = ErrorCode::full;
  else if (status.IsCorruption())
    code = ErrorCode::corrupt;
  std::string message(what);
  if (code == ErrorCode::full) message += ": the disk is full; free space or lower the retention";
  message += ": " + text;
  return Error{code, std::move(message)};
}

// The process that holds a lock on this file, or nullopt. Must not be asked when it may be this process: closing a
// descriptor of a file drops the process's own fcntl locks on it.
std::optional<pid_t> lock_holder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  std::optional<pid_t> holder;
  if (::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0) holder = lock.l_pid;
  ::close(fd);
  return holder;
}

Error locked_error(const std::string& directory, const std::string& database, std::string_view rocksdb_text) {
  std::string message = "the data directory is in use: " + directory + ", held by ";
  if (rocksdb_text.find("current process") != std::string_view::npos)
    message += "this process";
  else if (const auto pid = lock_holder(database + "/LOCK"))
    message += "process " + std::to_string(*pid);
  else
    message += "another process";
  return Error{ErrorCode::conflict, std::move(message)};
}

Status check_format(std::string_view text, const std::string& directory) {
  uint32_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version == 0)
    return Error{ErrorCode::corrupt, "the catalogue's format version is not a number: " + directory};
  if (version > kFormatVersion)
    return Error{ErrorCode::unsupported, "written by Sluice format " + std::to_string(version) + ", this program knows " +
                                             std::to_string(kFormatVersion) + ": " + directory};
  return {};
}

Error foreign_error(const std::string& database) {
  return Error{ErrorCode::invalid_argument,
               "not a Sluice catalogue (a RocksDB database without Sluice's format key), left untouched: " + database};
}

rocksdb::DBOptions db_options() {
  rocksdb::DBOptions o;
  o.create_if_missing = true;
  o.create_missing_column_families = true;
  o.paranoid_checks = true;
  o.max_background_jobs = 2;
  o.max_open_files = 256;
  o.max_total_wal_size = kLogBytesMax;
  o.keep_log_file_num = 3;
  o.max_log_file_size = 1u << 20;
  o.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  o.max_manifest_file_size = 4u << 20;
  o.stats_dump_period_sec = 0;
  o.stats_persist_period_sec = 0;
  o.avoid_flush_during_recovery = true;  // a quick start: the journal is read once and then sealed away
  o.bytes_per_sync = 1u << 20;
  // A record cut off at the log's end is what a crash leaves, and was never acknowledged. Anything else is damage, which is
  // to be seen (open_database then asks for what can be had).
  o.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  return o;
}

rocksdb::ColumnFamilyOptions small_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions o;
  o.write_buffer_size = kSmallBufferBytes;
  o.max_write_buffer_number = 2;
  o.compression = rocksdb::kNoCompression;
  const auto supported = rocksdb::GetSupportedCompressions();
  if (std::find(supported.begin(), supported.end(), rocksdb::kLZ4Compression) != supported.end())
    o.compression = rocksdb::kLZ4Compression;
  rocksdb::BlockBasedTableOptions t;
  t.block_cache = cache;
  t.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));  // most object keys asked for are new
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(t));
  return o;
}

rocksdb::ColumnFamilyOptions journal_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions o;
  o.write_buffer_size = kJournalBufferBytes;
  o.max_write_buffer_number = 4;
  o.compression = rocksdb::kNoCompression;  // values come compressed
  // Sorted files are read by a restart only, and reclaim_journal compacts once most of them is erased; merging earlier would copy
  // entries that are about to be.
  o.level0_file_num_compaction_trigger = 8;
  o.level0_slowdown_writes_trigger = 24;
  o.level0_stop_writes_trigger = 48;
  o.target_file_size_base = 64u << 20;
  o.max_bytes_for_level_base = 512u << 20;
  rocksdb::BlockBasedTableOptions t;
  t.block_cache = cache;
  o.table_factory.reset(rocksdb::NewBlockBasedTableFactory(t));
  return o;
}

// RocksDB ends the process in a check of its own when the disk fills while it opens a database, so it is not let near one where
// that may come: what it writes then (a manifest, an options file, logs) must fit.
Status check_open_room(const std::string& path) {
  const std::string probe = path + "/room-probe";
  const int fd = ::open(probe.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
  int failed = fd < 0 ? errno : ::posix_fallocate(fd, 0, static_cast<off_t>(kReopenFreeBytes));  // also asks quotas and file size limits
  if (fd >= 0) {
    ::close(fd);
    ::unlink(probe.c_str());
  }
  if (failed == EINVAL || failed == EOPNOTSUPP) failed = 0;  // a file system that can't say
  if (failed == ENOSPC || failed == EDQUOT || failed == EFBIG)
    return Error{ErrorCode::full, "the disk is full: " + path + " needs " + std::to_string(kReopenFreeBytes >> 20) +
                                      " MiB to open the catalogue; free space and start again"};
  if (failed != 0) return Error::from_errno("cannot write the data directory " + path, failed);
  return {};
}

// Whether a log is there. An open database has one from its first moment on, be it empty, and keeps one when it is closed.
bool has_log(const std::string& path) {
  std::error_code ec;
  for (fs::directory_iterator it(path, ec), last; !ec && it != last; it.increment(ec))
    if (it->path().extension() == ".log") return true;
  return false;
}

uint64_t free_bytes(const std::string& path) {
  struct statvfs s {};
  if (::statvfs(path.c_str(), &s) != 0) return UINT64_MAX;
  return static_cast<uint64_t>(s.f_bavail) * s.f_frsize;
}

}  // namespace

std::string_view to_string(Keyspace keyspace) {
  const auto i = static_cast<size_t>(keyspace);
  return i < kKeyspaceCount ? kKeyspaceNames[i] : "?";
}

// --- Write --------------------------------------------------------------------------------------------------------

void Write::put(Keyspace keyspace, std::string key, std::string value) {
  changes_.push_back({Kind::put, keyspace, std::move(key), std::move(value)});
}

void Write::erase(Keyspace keyspace, std::string key) { changes_.push_back({Kind::erase, keyspace, std::move(key), {}}); }

void Write::erase_range(Keyspace keyspace, std::string begin, std::string end) {
  if (begin < end) changes_.push_back({Kind::erase_range, keyspace, std::move(begin), std::move(end)});
}

void Write::append(Write&& other) {
  changes_.insert(changes_.end(), std::make_move_iterator(other.changes_.begin()), std::make_move_iterator(other.changes_.end()));
  other.changes_.clear();
}

size_t Write::byte_size() const {
  size_t n = 0;
  for (const Change& c : changes_) n += c.key.size() + c.value.size() + 16;
  return n;
}

// --- Catalog ------------------------------------------------------------------------------------------------------

namespace {

// An open database. Whoever uses it holds a shared_ptr for as long as the call takes.
struct Database {
  std::unique_ptr<rocksdb::DB> db;
  rocksdb::ColumnFamilyHandle* small = nullptr;
  rocksdb::ColumnFamilyHandle* journal = nullptr;

  rocksdb::ColumnFamilyHandle* family(Keyspace k) const { return k == Keyspace::journal ? journal : small; }

  ~Database() {
    if (!db) return;
    if (small) (void)db->DestroyColumnFamilyHandle(small);
    if (journal) (void)db->DestroyColumnFamilyHandle(journal);
    (void)db->Close();
  }
};

// `damage` is set when the log was damaged and what follows the damage is missing; `tail_cut` when a log ends within a record.
rocksdb::Status open_database(const std::string& path, const std::shared_ptr<rocksdb::Cache>& cache, std::shared_ptr<Database>& out,
                              std::string& damage, bool& tail_cut) {
  auto database = std::make_shared<Database>();
  rocksdb::DB* raw = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  const std::vector<rocksdb::ColumnFamilyDescriptor> descriptors = {{rocksdb::kDefaultColumnFamilyName, small_options(cache)},
                                                                    {kJournalFamily, journal_options(cache)}};
  rocksdb::DBOptions options = db_options();
  // The strictest way first: only it tells a log that ends within a record from one that is whole.
  const auto mode = options.wal_recovery_mode;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kAbsoluteConsistency;
  auto status = rocksdb::DB::Open(options, path, descriptors, &handles, &raw);
  if (status.IsCorruption()) {
    options.wal_recovery_mode = mode;
    status = rocksdb::DB::Open(options, path, descriptors, &handles, &raw);
    tail_cut = status.ok();
  }
  if (status.IsCorruption()) {
    const std::string text = status.ToString();
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
    status = rocksdb::DB::Open(options, path, descriptors, &handles, &raw);
    if (status.ok()) damage = text;
  }
  if (!status.ok()) return status;
  database->db.reset(raw);
  database->small = handles[0];
  database->journal = handles[1];
  out = std::move(database);
  return status;
}

}  // namespace

struct Catalog::Impl {
  std::string directory, path;
  bool created = false;
  bool tail_cut = false;  // as found at open
  std::shared_ptr<rocksdb::Cache> cache;
  mutable std::mutex mutex;            // guards `database`, opening it anew, and `damage`
  std::string damage;
  std::shared_ptr<Database> database;  // nullptr: opening anew has failed so far
  std::atomic<bool> broken{false};     // a write failed; RocksDB refuses further ones
  std::mutex reclaim_mutex;
  std::atomic<uint64_t> commits{0}, synced_commits{0}, failed_commits{0}, resumed{0};

  std::shared_ptr<Database> use() const {
    std::lock_guard lock(mutex);
    return database;
  }
  Error closed() const { return Error{ErrorCode::full, "the catalogue waits for disk space: " + path}; }

  // After a failed write RocksDB refuses all further ones, and its own Resume() leaves the log unusable after a full disk
  // (facebook/rocksdb#11643, #12998). Opening the database anew always works: what was acknowledged is in the log. Only
  // done while nobody reads; otherwise the next write tries again.
  void try_reopen() {
    std::lock_guard lock(mutex);
    if (!broken.load() || free_bytes(path) < kReopenFreeBytes) return;
    if (database && database.use_count() > 1) return;
    database.reset();
    std::string found;
    bool cut = false;  // the end of the log may be in any state after a full disk, and was not acknowledged
    if (!open_database(path, cache, database, found, cut).ok()) return;
    // Damage before the end is another matter: acknowledged changes are lost.
    if (!found.empty() && damage.find(found) == std::string::npos) damage += (damage.empty() ? "" : "; ") + found;
    broken.store(false);
    resumed.fetch_add(1, std::memory_order_relaxed);
  }
};

Catalog::Catalog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Catalog::~Catalog() = default;

const std::string& Catalog::directory() const { return impl_->directory; }
bool Catalog::created() const { return impl_->created; }
std::string Catalog::damage() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->damage;
}
bool Catalog::tail_cut() const { return impl_->tail_cut; }

Result<bool> Catalog::exists(const std::string& directory) {
  const std::string database = directory + "/catalog";
  std::error_code ec;
  if (fs::exists(database + "/CURRENT", ec)) return true;
  // Without CURRENT RocksDB begins anew and deletes the files that it then does not know.
  size_t files = 0;
  std::string manifest;
  for (fs::directory_iterator it(database, ec), last; !ec && it != last; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    // A first start that was cut off leaves a manifest and no data.
    const bool data = it->path().extension() == ".sst" || it->path().extension() == ".log";
    if (data && it->file_size(ignored) > 0) ++files;
    if (name.starts_with("MANIFEST-") && (name.size() > manifest.size() || (name.size() == manifest.size() && name > manifest))) manifest = name;
  }
  if (ec && ec != std::errc::no_such_file_or_directory) return Error::from_errno("cannot list " + database, ec.value());
  if (files == 0) return false;
  std::string message = "the catalogue " + database + " has lost its file CURRENT, which says where its other files begin. Restore the folder from a backup";
  if (!manifest.empty()) message += "; if nothing else of it is missing, `echo " + manifest + " > " + database + "/CURRENT` mends it";
  return Error{ErrorCode::corrupt, message + ". Nothing was changed"};
}

Result<std::unique_ptr<Catalog>> Catalog::open(const std::string& directory) {
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->path = directory + "/catalog";
  const std::string& database = impl->path;

  std::error_code ec;
  // Made here, it is its owner's alone: other users of the machine would read flows past the server's tokens. One that was there stays as it is.
  const bool is_new = !fs::exists(directory, ec);
  fs::create_directories(database, ec);
  if (!ec && is_new) fs::permissions(directory, fs::perms::owner_all, ec);
  if (ec) return Error::from_errno("cannot create the data directory " + database, ec.value());

  SLUICE_TRY(check_open_room(directory));

  impl->cache = rocksdb::NewLRUCache(16u << 20);

  // A database that is there already: is it ours, and not newer? Asked without writing to it.
  SLUICE_ASSIGN(const bool existed, exists(directory));
  if (existed) {
    std::vector<std::string> families;
    const auto listed = rocksdb::DB::ListColumnFamilies(db_options(), database, &families);
    if (!listed.ok()) return to_error(listed, "cannot read the catalogue " + database);
    std::sort(families.begin(), families.end());
    const std::vector<std::string> ours = {rocksdb::kDefaultColumnFamilyName, kJournalFamily};
    if (families != ours) {
      rocksdb::DB* raw = nullptr;
      const auto opened = rocksdb::DB::OpenForReadOnly(rocksdb::Options(db_options(), small_options(impl->cache)), database, &raw);
      if (!opened.ok()) return to_error(opened, "cannot read the catalogue " + database);
      const std::unique_ptr<rocksdb::DB> db(raw);
      std::string format;
      const auto got = db->Get(rocksdb::ReadOptions(), slice(stored_key(Keyspace::settings, kFormatKey)), &format);
      if (got.ok()) {
        SLUICE_TRY(check_format(format, directory));
        return Error{ErrorCode::corrupt, "the catalogue lacks its journal: " + database};
      }
      // A first start that was cut off before anything was written is as good as none.
      if (families.size() > 1 || db->GetLatestSequenceNumber() != 0) return foreign_error(database);
    }
  }

  // RocksDB takes a database without its log for one that had nothing in it.
  const bool log_gone = existed && !has_log(database);
  const auto opened = open_database(database, impl->cache, impl->database, impl->damage, impl->tail_cut);
  if (!opened.ok()) {
    const std::string text = opened.ToString();
    if (text.find("lock") != std::string::npos && opened.IsIOError()) return locked_error(directory, database, text);
    return to_error(opened, "cannot open the catalogue " + database);
  }
  rocksdb::DB* raw = impl->database->db.get();
  rocksdb::ColumnFamilyHandle* small = impl->database->small;

  std::string format;
  const auto got = raw->Get(rocksdb::ReadOptions(), small, slice(stored_key(Keyspace::settings, kFormatKey)), &format);
  if (got.ok()) {
    SLUICE_TRY(check_format(format, directory));
    if (log_gone) impl->damage = "its files *.log are gone from " + database;
  } else if (got.IsNotFound()) {
    if (existed && raw->GetLatestSequenceNumber() != 0) return foreign_error(database);
    rocksdb::WriteOptions synced;
    synced.sync = true;
    const auto put = raw->Put(synced, small, slice(stored_key(Keyspace::settings, kFormatKey)), std::to_string(kFormatVersion));
    if (!put.ok()) return to_error(put, "cannot write the catalogue " + database);
    impl->created = true;
  } else {
    return to_error(got, "cannot read the catalogue " + database);
  }
  return std::unique_ptr<Catalog>(new Catalog(std::move(impl)));
}

Result<std::optional<std::string>> Catalog::get(Keyspace keyspace, std::string_view key) const {
  const auto database = impl_->use();
  if (!database) return impl_->closed();
  std::string value;
  const std::string stored = stored_key(keyspace, key);
  const auto status = database->db->Get(rocksdb::ReadOptions(), database->family(keyspace), stored, &value);
  if (status.ok()) return std::optional<std::string>(std::move(value));
  if (status.IsNotFound()) return std::optional<std::string>();
  return to_error(status, "cannot read the catalogue's " + std::string(to_string(keyspace)));
}

Status Catalog::put(Keyspace keyspace, std::string key, std::string value, Sync sync) {
  Write write;
  write.put(keyspace, std::move(key), std::move(value));
  return commit(write, sync);
}

Status Catalog::erase(Keyspace keyspace, std::string key, Sync sync) {
  Write write;
  write.erase(keyspace, std::move(key));
  return commit(write, sync);
}

Status Catalog::scan(Keyspace keyspace, std::string_view prefix, const Visitor& visit) const {
  return scan_range(keyspace, prefix, prefix_end(std::string(prefix)), visit);
}

Status Catalog::scan_range(Keyspace keyspace, std::string_view begin, std::string_view end, const Visitor& visit) const {
  const auto database = impl_->use();
  if (!database) return impl_->closed();
  const bool journal = keyspace == Keyspace::journal;
  const size_t skip = journal ? 0 : 1;
  const std::string from = stored_key(keyspace, begin);
  const std::string to = !end.empty() || journal ? stored_key(keyspace, end) : prefix_end(stored_key(keyspace, {}));
  const rocksdb::Slice upper(to);
  rocksdb::ReadOptions options;
  options.fill_cache = !journal;
  if (journal) options.readahead_size = 4u << 20;
  if (!to.empty()) options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> it(database->db->NewIterator(options, database->family(keyspace)));
  for (it->Seek(from); it->Valid(); it->Next())
    if (!visit(view(it->key()).substr(skip), view(it->value()))) return {};
  if (!it->status().ok()) return to_error(it->status(), "cannot read the catalogue's " + std::string(to_string(keyspace)));
  return {};
}

// A call of its own, so that ThreadSanitizer's stacks name Catalog::commit: one thread writes the batches of several, and the
// synchronisation for that lies inside RocksDB, which it does not see (tests/tsan.suppressions).
[[gnu::noinline]] static rocksdb::Status write_batch(rocksdb::DB& db, const rocksdb::WriteOptions& options, rocksdb::WriteBatch& batch) {
  rocksdb::Status status = db.Write(options, &batch);
  return status;
}

Status Catalog::commit(const Write& write, Sync sync) {
  if (write.empty()) return {};
  if (impl_->broken.load(std::memory_order_relaxed)) impl_->try_reopen();
  const auto database = impl_->use();
  if (!database) return impl_->closed();

  rocksdb::WriteBatch batch(write.byte_size() + 64);
  // These fail only on sizes beyond 4 GiB, which no caller reaches: values are bounded by limits.h.
  for (const Write::Change& c : write.changes_) {
    auto* family = database->family(c.keyspace);
    const std::string key = stored_key(c.keyspace, c.key);
    rocksdb::Status added;
    switch (c.kind) {
      case Write::Kind::put: added = batch.Put(family, key, c.value); break;
      case Write::Kind::erase: added = batch.Delete(family, key); break;
      case Write::Kind::erase_range: added = batch.DeleteRange(family, key, stored_key(c.keyspace, c.value)); break;
    }
    SLUICE_CHECK_MSG(added.ok(), added.ToString());
  }
  rocksdb::WriteOptions options;
  options.sync = sync == Sync::yes;
  const auto status = write_batch(*database->db, options, batch);
  if (!status.ok()) {
    impl_->broken.store(true);
    impl_->failed_commits.fetch_add(1, std::memory_order_relaxed);
    return to_error(status, "cannot write the catalogue " + impl_->path);
  }
  (options.sync ? impl_->synced_commits : impl_->commits).fetch_add(1, std::memory_order_relaxed);
  return {};
}

Status Catalog::heal() {
  if (impl_->broken.load()) impl_->try_reopen();
  if (impl_->broken.load()) return impl_->closed();
  return {};
}

Status Catalog::reclaim_journal(uint64_t live_bytes) {
  const std::unique_lock lock(impl_->reclaim_mutex, std::try_to_lock);
  if (!lock) return {};  // somebody is at it
  if (impl_->broken.load(std::memory_order_relaxed)) return {};  // healing comes first
  const auto database = impl_->use();
  if (!database) return impl_->closed();
  // Where nothing lives, nothing is copied.
  const uint64_t worth = live_bytes == 0 ? kEmptyReclaimBytes : kJournalReclaimBytes + 2 * live_bytes;

  // A log lives until what it holds is in sorted files or erased in memory; only flushing says so. What was erased
  // meanwhile is not written.
  uint64_t bytes = 0;
  rocksdb::VectorLogPtr logs;
  if (database->db->GetSortedWalFiles(logs).ok())
    for (const auto& log : logs) bytes += log->SizeFileBytes();
  if (bytes >= worth) {
    const auto status = database->db->Flush(rocksdb::FlushOptions(), {database->small, database->journal});
    if (!status.ok()) return to_error(status, "cannot shorten the log of " + impl_->path);
  }

  (void)database->db->GetIntProperty(database->journal, rocksdb::DB::Properties::kTotalSstFilesSize, &(bytes = 0));
  if (bytes < worth) return {};
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  const auto status = database->db->CompactRange(options, database->journal, nullptr, nullptr);
  if (!status.ok()) return to_error(status, "cannot compact the journal of " + impl_->path);
  return {};
}

Status Catalog::copy_to(const std::string& directory) {
  SLUICE_TRY(heal());
  const std::string to = directory + "/catalog";
  {
    const auto database = impl_->use();
    if (!database) return impl_->closed();
    rocksdb::Checkpoint* raw = nullptr;
    auto status = rocksdb::Checkpoint::Create(database->db.get(), &raw);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
    // With what is in memory in sorted files: links instead of a copy of the log.
    if (status.ok()) status = checkpoint->CreateCheckpoint(to, 0);
    if (!status.ok()) return to_error(status, "cannot copy the catalogue to " + to);
  }
  // A checkpoint may have no log, which would be taken for one that was lost; opening it makes one.
  std::shared_ptr<Database> opened;
  std::string damage;
  bool tail_cut = false;
  const auto status = open_database(to, rocksdb::NewLRUCache(1u << 20), opened, damage, tail_cut);
  if (!status.ok()) return to_error(status, "cannot open the copy of the catalogue " + to);
  if (!damage.empty()) return Error{ErrorCode::corrupt, "the copy of the catalogue " + to + " is damaged: " + damage};
  return {};
}

CatalogStats Catalog::stats() const {
  CatalogStats s;
  std::error_code ec;
  for (fs::directory_iterator it(impl_->path, ec), last; !ec && it != last; it.increment(ec)) {
    std::error_code gone;  // files come and go below us
    const auto size = it->file_size(gone);
    if (!gone) s.disk_bytes += size;
  }
  if (const auto database = impl_->use()) {
    (void)database->db->GetIntProperty(database->journal, rocksdb::DB::Properties::kTotalSstFilesSize, &s.journal_disk_bytes);
    for (auto* family : {database->small, database->journal}) {
      uint64_t n = 0;
      if (database->db->GetIntProperty(family, rocksdb::DB::Properties::kSizeAllMemTables, &n)) s.memory_bytes += n;
    }
  }
  s.memory_bytes += impl_->cache->GetUsage();
  s.commits = impl_->commits.load(std::memory_order_relaxed);
  s.synced_commits = impl_->synced_commits.load(std::memory_order_relaxed);
  s.failed_commits = impl_->failed_commits.load(std::memory_order_relaxed);
  s.resumed = impl_->resumed.load(std::memory_order_relaxed);
  return s;
}

}  // namespace sluice::catalog
