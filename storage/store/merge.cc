// Small segments of a partition become one.

#include <unistd.h>

#include <algorithm>
#include <unordered_set>

#include "storage/model/limits.h"
#include "storage/store/contained_rows.h"
#include "storage/store/crash_points.h"
#include "storage/store/store_impl.h"

namespace sluice::store {

namespace {

// Rows of a merged segment at most: all of them are in memory once, as codes and numbers.
constexpr uint64_t kMergedRowsMax = 4ull << 20;
static_assert(kMergedRowsMax <= limits::kSegmentRowsMax);
// Segments of similar size (a factor of four) that make a merge worth its writing. Each row is then written about
// log4(kMergedRowsMax / sealed rows) times more.
constexpr size_t kSimilarSegments = 4;
// Once nothing has come to a partition for this long, two are enough: it will not change much any more.
constexpr DurationNs kColdAge = 2 * kHour;
constexpr size_t kColdSegments = 2;

unsigned size_class(uint64_t rows) {
  unsigned c = 0;
  while (rows >= 4) {
    rows /= 4;
    ++c;
  }
  return c;
}

// Segments that are worth merging, of one partition's sound ones in order of time; empty: none. The smallest first.
std::vector<std::shared_ptr<SegmentFile>> choose(const std::vector<std::shared_ptr<SegmentFile>>& files, bool cold) {
  std::vector<std::shared_ptr<SegmentFile>> best;
  unsigned best_class = ~0u;
  for (const auto& file : files) {
    const unsigned top = size_class(file->info().rows);
    if (top >= best_class) continue;
    std::vector<std::shared_ptr<SegmentFile>> chosen;
    uint64_t rows = 0, largest = 0;
    for (const auto& other : files) {
      const uint64_t more = other->info().rows;
      if (size_class(more) > top || rows + more > kMergedRowsMax) continue;
      rows += more;
      largest = std::max(largest, more);
      chosen.push_back(other);
    }
    // A large segment is not written again for the sake of a few rows more.
    const uint64_t others = rows - largest;
    const bool worth = cold ? chosen.size() >= kColdSegments && others >= largest / 8
                            : chosen.size() >= kSimilarSegments && others >= largest / 2;
    if (!worth) continue;
    best = std::move(chosen);
    best_class = top;
  }
  return best;
}

// What batches of segments take, with each dictionary of texts counted once; those of addresses lie in the file's pages.
class MemoryTaken {
 public:
  void add(const Batch& batch) {
    bytes_ += batch.byte_size();
    for (const Column& c : batch.columns) {
      if (!c.is_coded() || c.type() != PhysicalType::Str || !counted_.insert(c.dictionary().get()).second) continue;
      for (uint32_t code = 0; code < c.dictionary()->size(); ++code) bytes_ += sizeof(uint32_t) + c.dictionary()->string_at(code).size();
    }
  }
  size_t bytes() const { return bytes_; }

 private:
  std::unordered_set<const Dictionary*> counted_;
  size_t bytes_ = 0;
};

}  // namespace

Result<bool> StoreImpl::merge_once() {
  std::lock_guard merging(merge_mutex_);
  const auto is_abandoned = [this] { return merges_abandoned_.load(std::memory_order_relaxed); };
  if (is_abandoned()) return false;
  SLUICE_TRY(decide_undecided());
  const TimestampNs now = clock_.now();
  struct Candidate {
    TimestampNs start;
    bool cold;
    std::vector<std::shared_ptr<SegmentFile>> sound;
  };
  std::vector<Candidate> candidates;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [partition_start, partition] : partitions_) {
      if (partition.segments.size() < kColdSegments) continue;
      TimestampNs end = 0;
      const bool ended = !__builtin_add_overflow(partition_start, options_.partition_width, &end) && end <= now - kColdAge;
      Candidate c{partition_start, ended && partition.open.empty(), {}};
      for (const SegmentEntry& e : partition.segments)
        if (e.damage.empty() && !too_large_to_merge_.contains(e.file->info().id)) c.sound.push_back(e.file);
      candidates.push_back(std::move(c));
    }
  }
  std::vector<std::shared_ptr<SegmentFile>> inputs;
  TimestampNs start = 0;
  for (const Candidate& c : candidates) {
    inputs = choose(c.sound, c.cold);
    start = c.start;
    if (!inputs.empty()) break;
  }
  candidates.clear();
  if (inputs.empty()) return false;

  const TimestampNs began = clock_.now();
  std::vector<Batch> batches;
  uint64_t rows = 0;
  MemoryTaken taken;
  size_t read = 0;  // inputs that are in memory whole
  for (const auto& file : inputs) {
    const size_t batches_before = batches.size(), bytes_before = taken.bytes();
    bool fits = true;
    const auto keep = [&](Batch&& batch) -> Status {
      if (is_abandoned()) return Error{ErrorCode::cancelled, "merges are abandoned"};
      taken.add(batch);
      fits = taken.bytes() <= options_.merge_bytes_max;
      if (!fits) return Error{ErrorCode::full, "beyond the memory of a merge"};
      batches.push_back(std::move(batch));
      return {};
    };
    Status all = each_block(*SegmentFile::segment_of(file), keep);
    if (!fits) {
      batches.resize(batches_before);
      // Two that do not fit together: the larger one is left out from now on.
      if (read < 2) too_large_to_merge_.insert(inputs[read == 1 && bytes_before > taken.bytes() - bytes_before ? 0 : read]->info().id);
      break;
    }
    if (!all.ok()) {
      if (all.error().code == ErrorCode::cancelled) return false;
      if (all.error().code == ErrorCode::corrupt) report_damage(file->info().id, all.error().message);
      return std::move(all).error().with("cannot merge");
    }
    rows += file->info().rows;
    ++read;
  }
  if (read < 2) return true;  // another choice, next time
  inputs.resize(read);
  const uint64_t id = next_segment_.fetch_add(1);
  const std::string path = segment_path(start, id);
  crash_point("merge_before_file");
  std::vector<const Batch*> sources;
  for (const Batch& b : batches) sources.push_back(&b);
  auto written = write_file(path, id, start, sources, is_abandoned);
  if (!written.ok() && written.error().code == ErrorCode::cancelled) return false;
  SLUICE_ASSIGN(const segment::SegmentInfo info, std::move(written));
  batches = {};
  // What was written must not hold zeros in place of what a file had when it was read.
  for (const auto& file : inputs)
    if (const Status intact = SegmentFile::segment_of(file)->intact(); !intact.ok()) {
      ::unlink(path.c_str());
      report_damage(file->info().id, intact.error().message);
      return Error(intact.error()).with("cannot merge");
    }
  SLUICE_CHECK(info.rows == rows);
  crash_point("merge_after_file");
  auto opened = open_segment(info);
  if (!opened.ok()) {
    ::unlink(path.c_str());
    return std::move(opened).error().with("a segment just written cannot be read");
  }
  const std::shared_ptr<SegmentFile> file = std::move(opened).value();
  crash_point("merge_before_publish");
  {
    std::lock_guard publishing(publish_mutex_);
    // Retention or damage may have taken one of them meanwhile, or be about to, once an open outcome is decided.
    if (Status decided = decide_undecided(); !decided.ok()) {
      file->retire();
      return std::move(decided).error();
    }
    bool all_there = true;
    {
      std::lock_guard lock(mutex_);
      const auto at = partitions_.find(start);
      for (const auto& input : inputs)
        all_there = all_there && at != partitions_.end() &&
                    std::any_of(at->second.segments.begin(), at->second.segments.end(),
                                [&](const SegmentEntry& e) { return e.file == input && e.damage.empty(); });
    }
    if (!all_there) {
      file->retire();
      return true;
    }
    const TimestampNs took = clock_.now() - began;
    SLUICE_TRY(publish({info}, inputs, {}, "merge_after_publish", [this, file, rows, took](bool happened) {
      if (!happened) return;
      insert_segment({file, {}});
      ++stats_.merges;
      stats_.merged_rows += rows;
      stats_.merge_ns += static_cast<uint64_t>(took);
    }));
  }
  crash_point("merge_after_swap");
  return true;
}

}  // namespace sluice::store
