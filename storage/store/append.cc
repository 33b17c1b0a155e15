// Rows go in: parted, encoded, committed, then visible.

#include <sys/statvfs.h>

#include <algorithm>

#include "storage/model/limits.h"
#include "storage/store/crash_points.h"
#include "storage/store/store_impl.h"

namespace sluice::store {

using catalog::Keyspace;
using catalog::Sync;

namespace {

// Appends stop this far from a full disk, so that sealing, merging and above all retention can still write.
constexpr uint64_t kDiskReserveBytes = 256u << 20;

// Many small appends become few batches: each kind of small is joined when this many have come together, so that a row is
// copied at most once per kind and a query sees a bounded number of batches.
constexpr size_t kJoinCount = 32;
constexpr uint64_t kSmallRows[] = {64, 2'048, 16'384};

// The piece in parts of at most kSealedRowsMax rows, of which each can be sealed; a batch is one part at least.
std::vector<Piece> parted(Piece&& whole) {
  std::vector<Piece> parts;
  if (whole.rows <= kSealedRowsMax) {
    parts.push_back(std::move(whole));
    return parts;
  }
  for (std::shared_ptr<const Batch>& batch : whole.batches) {
    if (parts.empty() || parts.back().rows + batch->rows > kSealedRowsMax) {
      parts.emplace_back();
      parts.back().first = whole.first;  // of the whole: wider than need be, as a bound of times may
      parts.back().last = whole.last;
    }
    parts.back().rows += batch->rows;
    parts.back().bytes += batch->byte_size();
    parts.back().batches.push_back(std::move(batch));
  }
  return parts;
}

size_t kind_of(const OpenRows& open) {
  size_t kind = 0;
  while (kind < std::size(kSmallRows) && open.rows >= kSmallRows[kind]) ++kind;
  return kind;
}

}  // namespace

Status StoreImpl::check_disk(size_t bytes) const {
  struct statvfs s {};
  if (::statvfs(options_.directory.c_str(), &s) == 0) {
    const uint64_t free = static_cast<uint64_t>(s.f_bavail) * s.f_frsize, all = static_cast<uint64_t>(s.f_blocks) * s.f_frsize;
    if (free < std::min(kDiskReserveBytes, all / 32) + bytes)
      return Error{ErrorCode::full, "the disk is full: " + options_.directory + " has " + std::to_string(free >> 20) +
                                        " MiB left; free space or lower the retention"};
  }
  return {};
}

Status StoreImpl::check_writable() {
  SLUICE_TRY(check_disk(0));
  return decide_undecided();
}

Status StoreImpl::check_room(size_t bytes) {
  SLUICE_TRY(check_disk(bytes));
  if (bytes > options_.open_bytes_max)
    return Error{ErrorCode::too_large, "one append is larger than all open rows may be: " + std::to_string(bytes) + " of " +
                                           std::to_string(options_.open_bytes_max) + " bytes; send less at once"};
  if (reserved_bytes_.fetch_add(bytes) + bytes > options_.open_bytes_max) {
    reserved_bytes_.fetch_sub(bytes);
    return Error{ErrorCode::full, "rows come faster than they are sealed: open rows take " +
                                      std::to_string(options_.open_bytes_max >> 20) + " MiB; try again in a few seconds"};
  }
  return {};
}

Result<AppendResult> StoreImpl::append(std::span<const Batch> batches, const AppendOptions& options) {
  return append_pieces([&] { return split_by_partition(batches, options_.partition_width); }, options);
}

Result<AppendResult> StoreImpl::append_shared(std::span<const std::shared_ptr<const Batch>> batches, const AppendOptions& options) {
  return append_pieces([&] { return split_shared_by_partition(batches, options_.partition_width); }, options);
}

Result<AppendResult> StoreImpl::append_pieces(const std::function<Result<Pieces>()>& split, const AppendOptions& options) {
  if (options.object_key.size() > limits::kObjectKeyBytesMax)
    return Error{ErrorCode::invalid_argument, "an object key is longer than " + std::to_string(limits::kObjectKeyBytesMax) + " bytes"};
  // Of two appends with one key at once, the second waits for what becomes of the first.
  struct InFlight {
    StoreImpl& store;
    const std::string& key;
    bool held = false;
    ~InFlight() {
      if (!held) return;
      std::lock_guard lock(store.objects_mutex_);
      store.objects_in_flight_.erase(key);
      store.objects_changed_.notify_all();
    }
  } in_flight{*this, options.object_key};
  if (!options.object_key.empty()) {
    std::unique_lock lock(objects_mutex_);
    objects_changed_.wait(lock, [&] { return !objects_in_flight_.contains(options.object_key); });
    objects_in_flight_.insert(options.object_key);
    in_flight.held = true;
  }
  // Before asking what is in the catalogue: an earlier write of the same object may still be undecided.
  SLUICE_TRY(decide_undecided());
  if (options.retry_id != 0) {
    std::lock_guard lock(undecided_mutex_);
    if (auto late = late_appends_.extract(options.retry_id)) return late.mapped();
  }
  if (!options.object_key.empty()) {
    SLUICE_ASSIGN(const auto seen, catalog_->get(Keyspace::objects, options.object_key));
    if (seen) {
      std::lock_guard lock(mutex_);
      ++stats_.duplicate_objects;
      return AppendResult{0, true, 0};
    }
  }

  SLUICE_ASSIGN(auto pieces, split());
  size_t bytes = 0;
  uint64_t row_count = 0;
  for (const auto& [start, piece] : pieces) {
    bytes += piece.bytes;
    row_count += piece.rows;
  }
  Status room = check_partitions(pieces);
  if (room.ok()) room = check_room(bytes);
  if (!room.ok()) {
    std::lock_guard lock(mutex_);
    ++stats_.refused_full;
    return std::move(room).error();
  }

  const TimestampNs now = clock_.now();
  catalog::Write write;
  std::vector<PartitionRows> rows;
  AppendResult result;
  result.rows = row_count;
  for (auto& [start, whole] : pieces)
    for (Piece& piece : parted(std::move(whole))) {
      std::string entry = journal_entry({start, now}, piece.batches);
      const uint64_t sequence = next_sequence_.fetch_add(1);
      result.sequence = sequence;
      OpenRows open;
      open.sequences = {sequence};
      open.batches = std::move(piece.batches);
      open.rows = piece.rows;
      open.bytes = piece.bytes;
      open.journal_bytes = entry.size();
      open.first = piece.first;
      open.last = piece.last;
      open.appended_at = now;
      rows.emplace_back(start, std::move(open));
      write.put(Keyspace::journal, number_key(sequence), std::move(entry));
    }
  if (!options.object_key.empty()) write.put(Keyspace::objects, options.object_key, time_record(now));
  for (const auto& [key, value] : options.side_writes) {
    if (value.empty())
      write.erase(Keyspace::ingest_state, key);
    else
      write.put(Keyspace::ingest_state, key, value);
  }

  crash_point("append_before_journal");
  if (Status committed = catalog_->commit(write, options_.sync ? Sync::yes : Sync::no); !committed.ok()) {
    // The rows may be in the log all the same; then they become visible once that is known.
    if (!rows.empty()) {
      auto held = std::make_shared<std::vector<PartitionRows>>(std::move(rows));
      Undecided undecided{Keyspace::journal, number_key(result.sequence), [this, held, bytes, result, id = options.retry_id](bool happened) {
                            if (!happened) {
                              reserved_bytes_.fetch_sub(bytes);
                              return;
                            }
                            publish_rows(std::move(*held), result.rows);
                            if (id == 0) return;
                            late_appends_[id] = result;
                            if (late_appends_.size() > limits::kLateAppendsMax) late_appends_.erase(late_appends_.begin());
                          }};
      std::lock_guard lock(undecided_mutex_);
      undecided_.push_back(std::move(undecided));
      has_undecided_ = true;
    }
    std::lock_guard lock(mutex_);
    if (committed.error().code == ErrorCode::full) ++stats_.refused_full;
    return std::move(committed).error();
  }
  crash_point("append_after_journal");

  std::vector<TimestampNs> starts;
  for (const auto& [start, open] : rows) starts.push_back(start);
  publish_rows(std::move(rows), row_count);
  crash_point("append_after_visible");
  for (const TimestampNs start : starts) join_small_rows(start);
  return result;
}

// Appends at once may together go beyond the bound, by what each brings.
Status StoreImpl::check_partitions(const Pieces& pieces) {
  std::lock_guard lock(mutex_);
  size_t opened = 0;
  for (const auto& [start, piece] : pieces) {
    const auto at = partitions_.find(start);
    if (at == partitions_.end() || at->second.open.empty()) ++opened;
  }
  if (opened > 0 && open_partitions_ + opened > limits::kOpenPartitionsMax)
    return Error{ErrorCode::full, "flows of too many different times wait to be sealed: " + std::to_string(open_partitions_) + " of " +
                                      std::to_string(limits::kOpenPartitionsMax) + " time partitions; try again in a few seconds"};
  return {};
}

void StoreImpl::add_open(TimestampNs partition_start, OpenRows open) {
  Partition& partition = partitions_[partition_start];
  if (partition.open.empty()) ++open_partitions_;
  partition.open.push_back(std::move(open));
}

void StoreImpl::publish_rows(std::vector<PartitionRows> rows, uint64_t appended_rows) {
  std::vector<std::shared_ptr<const Batch>> batches;
  std::lock_guard lock(mutex_);
  if (watcher_)
    for (const auto& [start, open] : rows) batches.insert(batches.end(), open.batches.begin(), open.batches.end());
  for (auto& [start, open] : rows) add_open(start, std::move(open));
  ++stats_.appends;
  stats_.appended_rows += appended_rows;
  if (watcher_) watcher_(stats_.appends, batches);
}

void StoreImpl::join_small_rows(TimestampNs partition_start) {
  for (;;) {
    // Pick, under the lock.
    std::vector<uint64_t> picked;  // first sequence of each: what finds them again
    std::vector<std::shared_ptr<const Batch>> batches;
    {
      std::lock_guard lock(mutex_);
      const auto at = partitions_.find(partition_start);
      if (at == partitions_.end() || at->second.sealing) return;
      size_t counts[std::size(kSmallRows)] = {};
      for (const OpenRows& open : at->second.open)
        if (const size_t kind = kind_of(open); !open.joining && kind < std::size(kSmallRows)) ++counts[kind];
      const auto* most = std::find_if(std::begin(counts), std::end(counts), [](size_t n) { return n >= kJoinCount; });
      if (most == std::end(counts)) return;
      const auto wanted = static_cast<size_t>(most - std::begin(counts));
      for (OpenRows& open : at->second.open) {
        if (open.joining || kind_of(open) != wanted) continue;
        open.joining = true;
        picked.push_back(open.sequences.front());
        batches.insert(batches.end(), open.batches.begin(), open.batches.end());
      }
      ++at->second.joins;
    }
    // Copy, outside.
    std::vector<const Batch*> sources;
    for (const auto& b : batches) sources.push_back(b.get());
    auto joined = std::make_shared<const Batch>(join(sources));
    const size_t bytes = joined->byte_size();
    crash_point("coalesce_before_swap");
    // Swap, under the lock again. Only this thread takes away what it marked: sealing waits for joins.
    {
      std::lock_guard lock(mutex_);
      Partition& partition = partitions_.at(partition_start);
      OpenRows all;
      all.batches = {std::move(joined)};
      all.bytes = bytes;
      all.appended_at = kTimestampMax;
      size_t place = partition.open.size(), before = 0, next = 0;
      for (size_t i = 0; i < partition.open.size(); ++i) {
        OpenRows& open = partition.open[i];
        if (next < picked.size() && open.sequences.front() == picked[next]) {
          if (next++ == 0) place = i;
          all.sequences.insert(all.sequences.end(), open.sequences.begin(), open.sequences.end());
          all.rows += open.rows;
          all.journal_bytes += open.journal_bytes;
          all.first = std::min(all.first, open.first);
          all.last = std::max(all.last, open.last);
          all.appended_at = std::min(all.appended_at, open.appended_at);
          before += open.bytes;
          open.rows = 0;  // marks it as taken
        }
      }
      SLUICE_CHECK(next == picked.size() && all.rows == all.batches.front()->rows);
      partition.open[place] = std::move(all);
      std::erase_if(partition.open, [](const OpenRows& open) { return open.rows == 0; });
      if (bytes >= before)
        reserved_bytes_.fetch_add(bytes - before);
      else
        reserved_bytes_.fetch_sub(before - bytes);
      --partition.joins;
    }
    joins_done_.notify_all();
  }
}

}  // namespace sluice::store
