#include "storage/store/store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <unordered_set>

#include "storage/segment/sync_folder.h"
#include "storage/store/contained_rows.h"
#include "storage/store/crash_points.h"
#include "storage/store/store_impl.h"

namespace sluice::store {

namespace fs = std::filesystem;
using catalog::Keyspace;
using catalog::Sync;
using segment::SegmentInfo;

namespace {

constexpr std::string_view kWidthKey = "partition_width", kNextSegmentKey = "next_segment", kNextSequenceKey = "next_sequence";

Result<std::optional<uint64_t>> get_number(const catalog::Catalog& catalog, std::string_view key) {
  SLUICE_ASSIGN(const std::optional<std::string> text, catalog.get(Keyspace::settings, key));
  if (!text) return std::optional<uint64_t>();
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size())
    return Error{ErrorCode::corrupt, "a setting of the catalogue is not a number: " + std::string(key)};
  return std::optional<uint64_t>(number);
}

// The number in a segment file's name.
std::optional<uint64_t> number_of(const fs::path& path) {
  const std::string name = path.stem().string();
  uint64_t number = 0;
  if (!name.starts_with("seg-")) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

}  // namespace

SegmentFile::~SegmentFile() {
  segment_.reset();
  if (!retired_.load()) return;
  crash_point("retire_before_delete");
  ::unlink(info_.path.c_str());  // what cannot be deleted now is an orphan at the next open, as is an empty folder
  crash_point("retire_after_delete");
}

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options, const Clock& clock) {
  if (options.directory.empty()) return Error{ErrorCode::invalid_argument, "the store needs a directory"};
  if (options.partition_width <= 0) return Error{ErrorCode::invalid_argument, "the partition width must be above zero"};
  if (options.seal_rows == 0) return Error{ErrorCode::invalid_argument, "the rows of a seal must be above zero"};
  auto store = std::make_unique<StoreImpl>(options, clock);
  SLUICE_TRY(store->open());
  return std::unique_ptr<Store>(std::move(store));
}

Status StoreImpl::open() {
  segments_folder_ = options_.directory + "/segments";
  // A catalogue that no store has used knows none of the segments that are there: their own is not mounted, or was not restored with
  // them. Taken for what a crash left, all of them would be deleted. Asked before one is made, and of one that was made and no
  // more: a start that is tried again finds what the first try left.
  const auto strangers = [&]() -> Status {
    SLUICE_ASSIGN(const size_t found, count_segment_files());
    if (found == 0) return {};
    return Error{ErrorCode::conflict, segments_folder_ + " has " + std::to_string(found) +
                                          " segment files, but there is no catalogue beside it that names them. Restore the folder 'catalog' of the same "
                                          "data directory, or move the segments away; nothing was changed"};
  };
  SLUICE_ASSIGN(const bool known, catalog::Catalog::exists(options_.directory));
  if (!known) SLUICE_TRY(strangers());
  SLUICE_ASSIGN(catalog_, catalog::Catalog::open(options_.directory));
  SLUICE_ASSIGN(const auto width, get_number(*catalog_, kWidthKey));
  if (!width) SLUICE_TRY(strangers());
  std::error_code ec;
  fs::create_directories(segments_folder_, ec);
  if (ec) return Error::from_errno("cannot create " + segments_folder_, ec.value());
  // The catalogue will name segments as durable: the folder they are in, and the data directory's own name, must be so before.
  if (!known && options_.sync) {
    SLUICE_TRY(segment::sync_folder(options_.directory));
    // Whoever runs this need not be allowed to read what is around it.
    (void)segment::sync_folder((fs::absolute(options_.directory) / "..").lexically_normal().string());
  }
  SLUICE_TRY(check_settings());
  SLUICE_TRY(load_segments());
  crash_point("open_before_replay");
  SLUICE_TRY(replay_journal());
  crash_point("open_before_orphans");
  SLUICE_TRY(remove_orphans());
  rebuild_view();
  return {};
}

Result<size_t> StoreImpl::count_segment_files() const {
  size_t found = 0;
  std::error_code ec;
  if (!fs::exists(segments_folder_, ec)) return found;
  for (fs::recursive_directory_iterator it(segments_folder_, ec), last; !ec && it != last; it.increment(ec)) {
    const fs::path& path = it->path();
    if (path.extension() == ".slc" && path.filename().string().starts_with("seg-")) ++found;
  }
  if (ec) return Error::from_errno("cannot list " + segments_folder_, ec.value());
  return found;
}

Status StoreImpl::check_settings() {
  SLUICE_ASSIGN(const auto width, get_number(*catalog_, kWidthKey));
  if (!width) {
    SLUICE_TRY(catalog_->put(Keyspace::settings, std::string(kWidthKey), std::to_string(options_.partition_width), Sync::yes));
  } else if (*width != static_cast<uint64_t>(options_.partition_width)) {
    return Error{ErrorCode::conflict, "the store " + options_.directory + " was made with a partition width of " +
                                          format_duration(static_cast<DurationNs>(*width)) + " and cannot have another: " +
                                          format_duration(options_.partition_width)};
  }
  SLUICE_ASSIGN(const auto next_segment, get_number(*catalog_, kNextSegmentKey));
  SLUICE_ASSIGN(const auto next_sequence, get_number(*catalog_, kNextSequenceKey));
  next_segment_ = next_segment.value_or(1);
  next_sequence_ = next_sequence.value_or(1);
  return {};
}

Status StoreImpl::load_segments() {
  Status parsed;
  std::vector<SegmentInfo> infos;
  SLUICE_TRY(catalog_->scan(Keyspace::segments, {}, [&](std::string_view key, std::string_view record) {
    const auto id = parse_number_key(key);
    if (!id) {
      parsed = Error{ErrorCode::corrupt, "a segment's key in the catalogue is not a number"};
      return false;
    }
    auto info = parse_segment_record(*id, record);
    if (!info.ok()) {
      parsed = std::move(info).error();
      return false;
    }
    info->path = segments_folder_ + "/" + info->path;
    infos.push_back(std::move(info).value());
    return true;
  }));
  SLUICE_TRY(parsed);
  for (SegmentInfo& info : infos) {
    if (info.id >= next_segment_) next_segment_ = info.id + 1;
    SegmentEntry entry;
    auto file = open_segment(info);
    if (file.ok()) {
      entry.file = std::move(file).value();
    } else {
      // One that cannot be opened must not keep the others down.
      entry.damage = file.error().message;
      entry.file = std::make_shared<SegmentFile>(nullptr, info);
    }
    insert_segment(std::move(entry));
  }
  return {};
}

Result<std::shared_ptr<SegmentFile>> StoreImpl::open_segment(const SegmentInfo& info) const {
  SLUICE_ASSIGN(auto segment, segment::Segment::open(info.path));
  const SegmentInfo& found = segment->info();
  if (found.id != info.id || found.rows != info.rows || found.first != info.first || found.last != info.last ||
      found.partition_start != info.partition_start)
    return Error{ErrorCode::corrupt, "not the segment that the catalogue names: " + info.path};
  return std::make_shared<SegmentFile>(std::move(segment), info);
}

Status StoreImpl::replay_journal() {
  Status failed;
  note_catalog_damage();
  SLUICE_TRY(catalog_->scan(Keyspace::journal, {}, [&](std::string_view key, std::string_view entry) {
    const auto sequence = parse_number_key(key);
    if (!sequence) {
      failed = Error{ErrorCode::corrupt, "a journal entry's key is not a number"};
      return false;
    }
    if (*sequence >= next_sequence_) next_sequence_ = *sequence + 1;
    const auto header = parse_journal_header(entry);
    auto batches = header.ok() ? parse_journal_rows(entry) : Result<std::vector<Batch>>(header.error());
    auto piece = batches.ok() ? piece_of(std::move(batches).value()) : Result<Piece>(batches.error());
    if (piece.ok() && piece->rows == 0) piece = Error{ErrorCode::corrupt, "a journal entry without rows"};
    if (!piece.ok()) {
      if (piece.error().code == ErrorCode::unsupported) {
        failed = std::move(piece).error();
        return false;
      }
      // Its rows are lost, and said to be; the entry stays in the journal for whoever can read more of it.
      DamagedSegment damaged;
      damaged.info.path = "journal entry " + std::to_string(*sequence);
      if (header.ok()) damaged.info.partition_start = header->partition_start;
      damaged.reason = piece.error().message;
      damaged_entries_.push_back(std::move(damaged));
      return true;
    }
    OpenRows open;
    open.batches = std::move(piece->batches);
    open.rows = piece->rows;
    open.bytes = piece->bytes;
    open.first = piece->first;
    open.last = piece->last;
    open.sequences = {*sequence};
    open.journal_bytes = entry.size();
    open.appended_at = header->appended_at;
    journaled_.emplace_back(header->appended_at, *sequence);
    stats_.replayed_entries += 1;
    stats_.replayed_rows += open.rows;
    reserved_bytes_ += open.bytes;
    add_open(header->partition_start, std::move(open));
    crash_point("open_during_replay");
    return true;
  }));
  SLUICE_TRY(failed);
  // The journal of many small appends: joined as it would have been.
  std::vector<TimestampNs> starts;
  for (const auto& [start, partition] : partitions_) starts.push_back(start);
  for (const TimestampNs start : starts) join_small_rows(start);
  return {};
}

Status StoreImpl::remove_orphans() {
  std::unordered_set<std::string> known;
  for (const auto& [start, partition] : partitions_)
    for (const SegmentEntry& e : partition.segments) known.insert(e.file->info().path);
  // A catalogue that lost changes does not know all segments that are good. Nothing is deleted on its word then; where its log
  // merely ends within a record, as after a crash, a file goes if its rows are elsewhere. The same of a number that the catalogue has
  // not given out, as far as it knows: a crash before the publishing leaves one, but so does a catalogue that was put back from
  // a backup of before.
  const bool damaged = !catalog_->damage().empty();
  const uint64_t first_unheard = next_segment_.load();
  std::error_code ec;
  std::vector<fs::path> folders;
  for (fs::directory_iterator it(segments_folder_, ec), last; !ec && it != last; it.increment(ec)) {
    std::error_code ignored;
    if (it->is_directory(ignored) && !it->is_symlink(ignored) && it->path() != set_aside_folder()) folders.push_back(it->path());
  }
  if (ec) return Error::from_errno("cannot list " + segments_folder_, ec.value());
  for (const fs::path& folder : folders) {
    std::vector<fs::path> orphans;
    for (fs::directory_iterator it(folder, ec), last; !ec && it != last; it.increment(ec))
      // Only what this program makes: segments, and files that it writes on the way to them.
      if (it->path().filename().string().starts_with("seg-") && !known.contains(it->path().string())) orphans.push_back(it->path());
    if (ec) return Error::from_errno("cannot list " + folder.string(), ec.value());
    for (const fs::path& orphan : orphans) {
      std::error_code failed;
      const auto number = number_of(orphan);
      const bool unheard = number && *number >= first_unheard;
      if (unheard) next_segment_ = std::max(next_segment_.load(), *number + 1);  // it stays that file's
      const bool doubtful = damaged || catalog_->tail_cut() || unheard;
      if (doubtful && orphan.extension() == ".slc" && (damaged || !is_superfluous(orphan.string())))
        SLUICE_TRY(set_aside(orphan.string()));
      else if (fs::remove(orphan, failed))
        ++stats_.orphan_files_removed;
      crash_point("open_after_orphan");
    }
    ::rmdir(folder.c_str());  // goes when empty
  }
  list_set_aside();
  return {};
}

// Whether nothing is lost with this segment file that the catalogue does not name: all of its rows are in the journal or in
// segments of its partition, or retention has taken them or would now.
bool StoreImpl::is_superfluous(const std::string& path) const {
  const auto orphan = segment::Segment::open(path);
  if (!orphan.ok()) return false;
  const SegmentInfo& info = (*orphan)->info();
  TimestampNs end = 0;
  if (options_.retain_age > 0 && !__builtin_add_overflow(info.partition_start, options_.partition_width, &end) &&
      end <= clock_.now() - options_.retain_age)
    return true;
  const auto at = partitions_.find(info.partition_start);
  if (at == partitions_.end()) return false;
  auto rows = ContainedRows::of(**orphan);
  if (!rows.ok()) return false;
  for (const OpenRows& open : at->second.open)
    for (const auto& batch : open.batches) rows->found(*batch);
  for (const SegmentEntry& e : at->second.segments) {
    if (rows->all_found()) break;
    if (!e.damage.empty()) continue;
    const Status read = each_block(*SegmentFile::segment_of(e.file), [&](Batch&& batch) -> Status {
      rows->found(batch);
      return {};
    });
    if (!read.ok()) return false;
  }
  return rows->all_found();
}

// Moves the file to the folder of those set aside, under a name that is not taken there.
Status StoreImpl::set_aside(const std::string& path) const {
  const std::string to_folder = set_aside_folder();
  if (::mkdir(to_folder.c_str(), 0750) != 0 && errno != EEXIST) return Error::from_errno("cannot create " + to_folder, errno);
  std::string name = relative(path);
  std::replace(name.begin(), name.end(), '/', '-');
  // Ids may come again after the catalogue lost its counter, so names may too. A hard link never replaces a file.
  for (unsigned number = 0;; ++number) {
    const std::string to = to_folder + "/" + name + (number == 0 ? "" : "." + std::to_string(number));
    if (::link(path.c_str(), to.c_str()) == 0) break;
    if (errno == EEXIST) continue;
    std::error_code ec;
    if (!fs::exists(fs::symlink_status(to, ec)) && ::rename(path.c_str(), to.c_str()) == 0) return {};  // no hard links here
    return Error::from_errno("cannot set " + path + " aside to " + to, errno);
  }
  if (::unlink(path.c_str()) != 0) return Error::from_errno("cannot set " + path + " aside", errno);
  return {};
}

void StoreImpl::list_set_aside() {
  const std::string folder = set_aside_folder();
  std::vector<DamagedSegment> found;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), last; !ec && it != last; it.increment(ec)) {
    if (it->path().filename().string().find("seg-") == std::string::npos) continue;
    DamagedSegment entry;
    if (auto segment = segment::Segment::open(it->path().string()); segment.ok()) entry.info = (*segment)->info();
    entry.info.id = 0;  // the id may be another segment's by now
    entry.info.path = it->path().string();
    found.push_back(std::move(entry));
  }
  std::sort(found.begin(), found.end(), [](const DamagedSegment& a, const DamagedSegment& b) { return a.info.path < b.info.path; });
  const std::string reason = "set aside, one of " + std::to_string(found.size()) + " segment files in " + folder +
                             ": the catalogue does not name them (its log was damaged, or it is older than they are), so their flows may be "
                             "missing from answers. Restore the data directory from a backup, or delete the folder once its flows are not needed";
  for (DamagedSegment& entry : found) {
    entry.reason = reason;
    damaged_entries_.push_back(std::move(entry));
  }
}

void StoreImpl::note_catalog_damage() {
  std::string damage = catalog_->damage();
  std::lock_guard lock(mutex_);
  if (damage == catalog_damage_) return;
  DamagedSegment damaged;
  damaged.info.path = "the journal's log";
  damaged.reason = "rows appended last may be lost: " + damage;
  damaged_entries_.push_back(std::move(damaged));
  catalog_damage_ = std::move(damage);
  rebuild_view();
}

Snapshot StoreImpl::snapshot() const {
  Snapshot s;
  std::shared_ptr<const SealedView> view;
  {
    std::lock_guard lock(mutex_);
    view = view_;
    s.appends = stats_.appends;
    for (const auto& [start, partition] : partitions_)
      for (const OpenRows& open : partition.open) s.open.insert(s.open.end(), open.batches.begin(), open.batches.end());
  }
  s.segments = view->segments;
  s.damaged = view->damaged;
  return s;
}

void StoreImpl::watch_appends(AppendWatcher watcher) {
  std::lock_guard lock(mutex_);
  watcher_ = std::move(watcher);
}

void StoreImpl::watch_journal(std::function<void()> before) {
  std::lock_guard lock(mutex_);
  before_leaving_ = std::move(before);
}

Status StoreImpl::each_journaled(TimestampNs since, const std::function<void(std::span<const std::shared_ptr<const Batch>>)>& visit) {
  std::vector<std::pair<TimestampNs, uint64_t>> entries;
  {
    std::lock_guard lock(mutex_);
    entries.swap(journaled_);
  }
  for (const auto& [at, sequence] : entries) {
    if (at < since) continue;
    SLUICE_ASSIGN(const auto entry, catalog_->get(Keyspace::journal, number_key(sequence)));
    if (!entry) continue;
    SLUICE_ASSIGN(auto rows, parse_journal_rows(*entry));
    std::vector<std::shared_ptr<const Batch>> batches;
    for (Batch& b : rows) batches.push_back(std::make_shared<const Batch>(std::move(b)));
    visit(batches);
  }
  return {};
}

void StoreImpl::rebuild_view() {
  auto view = std::make_shared<SealedView>();
  for (const auto& [start, partition] : partitions_)
    for (const SegmentEntry& e : partition.segments) {
      if (e.damage.empty())
        view->segments.push_back(SegmentFile::segment_of(e.file));
      else
        view->damaged.push_back({e.file->info(), e.damage});
    }
  view->damaged.insert(view->damaged.end(), damaged_entries_.begin(), damaged_entries_.end());
  view_ = std::move(view);
}

void StoreImpl::insert_segment(SegmentEntry entry) {
  auto& segments = partitions_[entry.file->info().partition_start].segments;
  const auto before = [](const SegmentEntry& a, const SegmentEntry& b) {
    const SegmentInfo &x = a.file->info(), &y = b.file->info();
    return x.first != y.first ? x.first < y.first : x.id < y.id;
  };
  segments.insert(std::upper_bound(segments.begin(), segments.end(), entry, before), std::move(entry));
}

void StoreImpl::drop_segments(const std::vector<std::shared_ptr<SegmentFile>>& files) {
  for (const auto& file : files) {
    const auto at = partitions_.find(file->info().partition_start);
    if (at == partitions_.end()) continue;
    std::erase_if(at->second.segments, [&](const SegmentEntry& e) { return e.file == file; });
    if (at->second.segments.empty() && at->second.open.empty() && !at->second.sealing && at->second.joins == 0) partitions_.erase(at);
  }
}

std::string StoreImpl::segment_path(TimestampNs partition_start, uint64_t id) const {
  std::string folder = format_timestamp(partition_start);
  std::erase_if(folder, [](char c) { return c == '-' || c == ':'; });
  return segments_folder_ + "/" + folder + "/seg-" + std::to_string(id) + ".slc";
}

std::string StoreImpl::relative(const std::string& path) const { return path.substr(segments_folder_.size() + 1); }

Status StoreImpl::publish(const std::vector<SegmentInfo>& added, const std::vector<std::shared_ptr<SegmentFile>>& dropped,
                          const std::vector<uint64_t>& sequences, std::string_view crash_name, std::function<void(bool)> finish) {
  auto finish_all = [this, added, dropped, finish = std::move(finish)](bool happened) {
    if (!happened) {
      // Where the catalogue lost changes, an absent entry does not prove that the rows are somewhere else: the file stays, and
      // is set aside at the next open.
      if (catalog_->damage().empty())
        for (const SegmentInfo& info : added) ::unlink(info.path.c_str());
    }
    std::lock_guard lock(mutex_);
    if (happened) {
      for (const auto& file : dropped) file->retire();
      drop_segments(dropped);
    }
    finish(happened);
    rebuild_view();
  };
  if (Status decided = decide_undecided(); !decided.ok()) {
    finish_all(false);
    return decided;
  }
  catalog::Write write;
  // Neither ids nor sequences are ever used again, whatever goes.
  write.put(Keyspace::settings, std::string(kNextSegmentKey), std::to_string(next_segment_.load()));
  write.put(Keyspace::settings, std::string(kNextSequenceKey), std::to_string(next_sequence_.load()));
  for (SegmentInfo info : added) {
    info.path = relative(info.path);
    write.put(Keyspace::segments, number_key(info.id), segment_record(info));
  }
  for (const auto& file : dropped) write.erase(Keyspace::segments, number_key(file->info().id));
  for (const uint64_t sequence : sequences) write.erase(Keyspace::journal, number_key(sequence));
  const Status committed = catalog_->commit(write, options_.sync ? Sync::yes : Sync::no);
  if (committed.ok()) {
    crash_point(crash_name);
    finish_all(true);
    return {};
  }
  // It may be in the log all the same. Until that is known, nothing else is published.
  const bool adds = !added.empty();
  Undecided undecided{Keyspace::segments, number_key(adds ? added.front().id : dropped.front()->info().id),
                      [finish_all, adds](bool there) { finish_all(there == adds); }};
  std::lock_guard lock(undecided_mutex_);
  undecided_.push_back(std::move(undecided));
  has_undecided_ = true;
  return committed;
}

Status StoreImpl::decide_undecided() {
  if (!has_undecided_.load()) return {};
  std::lock_guard lock(undecided_mutex_);
  if (undecided_.empty()) return {};
  SLUICE_TRY(catalog_->heal());
  note_catalog_damage();
  while (!undecided_.empty()) {
    SLUICE_ASSIGN(const auto found, catalog_->get(undecided_.front().keyspace, undecided_.front().key));
    undecided_.front().decide(found.has_value());
    undecided_.pop_front();
  }
  has_undecided_ = false;
  return {};
}

void StoreImpl::report_damage(uint64_t segment_id, std::string reason) {
  if (reason.empty()) reason = "damaged";
  std::lock_guard lock(mutex_);
  for (auto& [start, partition] : partitions_)
    for (SegmentEntry& e : partition.segments)
      if (e.file->info().id == segment_id && e.damage.empty()) {
        e.damage = std::move(reason);
        return rebuild_view();
      }
}

std::vector<DamagedSegment> StoreImpl::verify() {
  std::vector<std::pair<SegmentInfo, bool>> all;  // and whether it counts as damaged
  {
    std::lock_guard lock(mutex_);
    for (const auto& [start, partition] : partitions_)
      for (const SegmentEntry& e : partition.segments) all.emplace_back(e.file->info(), !e.damage.empty());
  }
  for (const auto& [info, was_damaged] : all) {
    // Opened anew: one in use remembers what it has checked, and the disk may have changed since.
    auto fresh = open_segment(info);
    const Status sound = fresh.ok() ? SegmentFile::segment_of(*fresh)->verify() : Status(fresh.error());
    if (!sound.ok())
      report_damage(info.id, sound.error().message);
    else if (was_damaged)
      take_back(info.id, std::move(*fresh));
  }
  std::lock_guard lock(mutex_);
  return view_->damaged;
}

// A good copy is in its place again.
void StoreImpl::take_back(uint64_t segment_id, std::shared_ptr<SegmentFile> file) {
  std::lock_guard lock(mutex_);
  for (auto& [start, partition] : partitions_)
    for (SegmentEntry& e : partition.segments)
      if (e.file->info().id == segment_id && !e.damage.empty()) {
        e = SegmentEntry{std::move(file), {}};
        return rebuild_view();
      }
}

void StoreImpl::forget_checks() {
  for (const auto& segment : snapshot().segments) segment->forget_checks();
}

StoreStats StoreImpl::stats() const {
  std::lock_guard lock(mutex_);
  StoreStats s = stats_;
  for (const auto& [start, partition] : partitions_) {
    for (const SegmentEntry& e : partition.segments) {
      const SegmentInfo& info = e.file->info();
      if (!e.damage.empty()) {
        ++s.damaged_segments;
        continue;
      }
      ++s.segments;
      s.segment_rows += info.rows;
      s.segment_bytes += info.file_bytes;
      s.oldest = std::min(s.oldest, info.first);
      s.newest = std::max(s.newest, info.last);
    }
    for (const OpenRows& open : partition.open) {
      s.open_rows += open.rows;
      s.open_bytes += open.bytes;
      s.journal_entries += open.sequences.size();
      s.journal_bytes += open.journal_bytes;
      s.oldest = std::min(s.oldest, open.first);
      s.newest = std::max(s.newest, open.last);
    }
  }
  return s;
}

}  // namespace sluice::store
