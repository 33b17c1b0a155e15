// The heaviest groups of many segments by lists of each segment's (heavy_groups.h): which segments are listed, how far down, and when it does
// not pay.
#include "query/execution.h"
#include "query/heavy_groups.h"
#include "query/limits.h"
#include "storage/model/counted.h"

#include <array>
#include <atomic>

namespace sluice::query {
namespace {

class HeaviestRun {
 public:
  HeaviestRun(Execution& execution, uint64_t wanted, Grouping& groups)
      : e_(execution), wanted_(wanted), groups_(groups), spec_(groups.spec()), whole_(*e_.plan.operators[e_.split]), listed_(e_.question), helpers_(e_.new_workers()) {
    if (!listed_.text.empty()) listed_.text += "\nheaviest groups";
    for (size_t i = 0; i < e_.width(); ++i) claims_.push_back(std::make_unique<MemoryClaim>(&e_.run));
  }

  // Whether the groups wanted were put into `groups`.
  Result<bool> run() {
    SLUICE_TRY(begin());
    if (natural_ && known_ + unread_.size() < limits::kHeavySegmentsMin) return false;
    SLUICE_TRY(hold_open_rows());
    SLUICE_TRY(begin_judging());
    SLUICE_ASSIGN(const bool pays, list_unread());
    if (!pays) return false;
    HeavyGroups::Verdict verdict = heavy_->judge(mine_);
    if (verdict == HeavyGroups::Verdict::deeper) {
      SLUICE_ASSIGN(const bool longer, list_deeper());
      if (unsound_) return false;
      if (longer) verdict = heavy_->judge(mine_);
    }
    if (verdict != HeavyGroups::Verdict::found) {
      keep_lists();
      e_.lists_note = "lists of the heaviest groups of segments did not tell which are the heaviest of all: all groups were made";
      return false;
    }
    SLUICE_TRY(look_up());
    if (unsound_) return false;
    keep_lists();
    SLUICE_ASSIGN(const GroupPart top, heavy_->take(sums_, mine_));
    SLUICE_TRY(groups_.join(top, mine_));
    for (const auto& h : helpers_) mine_.stats.bytes_read += h->stats.bytes_read;
    e_.lists_note = "by lists of the heaviest groups of " + counted(known_ + unread_.size(), "segment") + ", " + counted(heavy_->candidates(), "candidate") + " for " +
                    std::to_string(wanted_) + (deeper_ > 0 ? ", " + counted(deeper_, "list") + " made longer" : "") + ", " + counted(again_, "segment") +
                    " looked at again";
    return true;
  }

 private:
  // Finds the lists that are kept, and prepares the segments of which none is.
  Status begin() {
    lists_ = e_.find_kept(listed_);
    remembered_ = lists_;
    can_keep_.resize(segments_);
    units_.resize(segments_);
    SLUICE_TRY(e_.parallel(segments_, [&](Worker& w, size_t s) { return lists_[s] ? Status() : e_.prepare(s, w); }));
    for (size_t s = 0; s < segments_; ++s) {
      if (lists_[s]) {
        ++known_;
        continue;
      }
      e_.scan.add_units(s, units_[s]);
      if (!units_[s].empty()) unread_.push_back(s);
    }
    return {};
  }

  Status hold(const Worker& w, size_t bytes) {
    MemoryClaim& claim = *claims_[e_.worker_index(w)];
    return claim.set(claim.bytes() + bytes);
  }

  // Of rows that are in no segment all groups are held.
  Status hold_open_rows() {
    std::vector<ScanUnit> open;
    e_.scan.add_open_units(open);
    const size_t slices = std::min(e_.width(), open.size());
    lists_.resize(segments_ + slices);
    return e_.parallel(slices, [&](Worker& w, size_t i) -> Status {
      const size_t from = open.size() * i / slices, to = open.size() * (i + 1) / slices;
      SLUICE_ASSIGN(GroupPart all, e_.group_alone(e_.scan, std::span(open).subspan(from, to - from), whole_, w));
      SLUICE_ASSIGN(SegmentPart part, list_all(spec_, std::move(all), w));
      SLUICE_TRY(hold(w, part.bytes));
      lists_[segments_ + i] = std::make_shared<SegmentPart>(std::move(part));
      return {};
    });
  }

  // What is known without reading a segment.
  Status begin_judging() {
    heavy_.emplace(spec_, wanted_, lists_.size(), e_.run);
    for (size_t l = 0; l < lists_.size(); ++l) {
      if (!lists_[l]) continue;
      if (l < segments_) {
        e_.count_kept(*lists_[l], mine_);
        can_keep_[l] = true;
      }
      SLUICE_TRY(heavy_->add(l, *lists_[l], mine_));
    }
    return {};
  }

  // `counts`: whose statistics count what is read. Rows are counted when they are read first; what is read again is counted in bytes alone.
  Status list(size_t s, Worker& w, Worker& counts, size_t most, uint64_t least) {
    const ScanStats before = counts.stats;
    const uint64_t unknown_before = counts.eval.unknown_sampling_rows;
    const size_t warnings_before = counts.warnings.size();
    SLUICE_ASSIGN(GroupPart all, e_.group_alone(e_.scan, units_[s], whole_, counts));
    if (e_.run.stop.load(std::memory_order_relaxed)) return {};
    groups_seen_ += all.groups;
    SLUICE_ASSIGN(SegmentPart part, list_heaviest(spec_, std::move(all), most, least, counts));
    part.rows_scanned = counts.stats.rows_scanned - before.rows_scanned;
    part.rows_matched = counts.stats.rows_matched - before.rows_matched;
    part.unknown_sampling_rows = counts.eval.unknown_sampling_rows - unknown_before;
    const EvalContext& eval = counts.eval;
    if (!e_.scan.is_sound(s)) unsound_ = true;
    can_keep_[s] = !listed_.text.empty() && e_.is_whole(s) && !eval.overflow && !eval.beyond_time && !eval.beyond_count && counts.warnings.size() == warnings_before;
    SLUICE_TRY(hold(w, part.bytes));
    lists_[s] = std::make_shared<SegmentPart>(std::move(part));
    return {};
  }

  // Lists the segments of which no list is kept. False: lists will not tell, or a file is damaged.
  // A few segments of all sizes first, then an eighth of them: where lists will not tell, little was done in vain.
  Result<bool> list_unread() {
    std::stable_sort(unread_.begin(), unread_.end(), [&](size_t a, size_t b) {
      return e_.run.context.snapshot->segments[a]->info().rows > e_.run.context.snapshot->segments[b]->info().rows;
    });
    constexpr size_t kWaves = 3, kFew = 8;
    std::array<std::vector<size_t>, kWaves> waves;
    const size_t stride = std::max<size_t>(1, unread_.size() / kFew);
    for (size_t i = 0; i < unread_.size(); ++i) waves[i % stride == stride / 2 ? 0 : i % kFew == 0 ? 1 : 2].push_back(unread_[i]);
    for (size_t n = 0; n < kWaves; ++n) {
      const std::vector<size_t>& wave = waves[n];
      SLUICE_TRY(e_.parallel(wave.size(), [&](Worker& w, size_t i) { return list(wave[i], w, w, first_length_, 1); }));
      if (unsound_) return false;
      if (natural_ && n == 0 && known_ < unread_.size() && groups_seen_ < wave.size() * limits::kHeavyGroupsMin) return false;
      for (const size_t s : wave) SLUICE_TRY(heavy_->add(s, *lists_[s], mine_));
      if (n + 1 == kWaves || waves[n + 1].empty()) continue;
      const HeavyGroups::Verdict so_far = heavy_->judge(mine_);
      if (so_far == HeavyGroups::Verdict::found || !heavy_->is_flat()) continue;
      e_.lists_note = "the heaviest groups of some segments are too many: all groups were made";
      return false;
    }
    return true;
  }

  // Makes the lists longer that end above what a group may have that is wanted. False: some are as long as lists get.
  Result<bool> list_deeper() {
    const uint64_t least = heavy_->least();
    std::vector<size_t> shallow;
    for (size_t s = 0; s < segments_; ++s) {
      if (!lists_[s] || lists_[s]->is_complete || lists_[s]->left_out < least) continue;
      if (lists_[s]->groups.groups >= deep_length_) return false;
      shallow.push_back(s);
    }
    SLUICE_TRY(e_.parallel(shallow.size(), [&](Worker& w, size_t i) -> Status {
      Worker& helper = *helpers_[e_.worker_index(w)];
      const size_t s = shallow[i];
      if (units_[s].empty()) {  // it was remembered
        SLUICE_TRY(e_.prepare(s, helper));
        e_.scan.add_units(s, units_[s]);
      }
      return list(s, w, helper, deep_length_, least);
    }));
    if (unsound_) return false;
    deeper_ = shallow.size();
    heavy_.emplace(spec_, wanted_, lists_.size(), e_.run);
    for (size_t l = 0; l < lists_.size(); ++l)
      if (lists_[l]) SLUICE_TRY(heavy_->add(l, *lists_[l], mine_));
    return true;
  }

  // Adds to the candidates what segments have of them that do not list them.
  Status look_up() {
    heavy_->select();
    std::vector<size_t> again;
    std::vector<std::vector<uint32_t>> missing(segments_);
    for (size_t s = 0; s < segments_; ++s) {
      if (!lists_[s] || lists_[s]->is_complete) continue;
      missing[s] = heavy_->missing(s);
      if (!missing[s].empty()) again.push_back(s);
    }
    for (size_t i = 0; i < e_.width(); ++i) sums_.push_back(heavy_->make_sums());
    again_ = again.size();
    if (again.empty()) return {};
    const ScanPlan narrowed = heavy_->narrow(e_.plan.scan);
    Scan closer(narrowed, *e_.run.context.snapshot, e_.run);
    closer.set_rows_max(e_.rows_max);
    return e_.parallel(again.size(), [&](Worker& w, size_t i) -> Status {
      const size_t s = again[i];
      Worker& helper = *helpers_[e_.worker_index(w)];
      SLUICE_TRY(e_.run.check());
      SLUICE_TRY(closer.prepare(s, helper));
      std::vector<ScanUnit> blocks;
      closer.add_units(s, blocks);
      SLUICE_ASSIGN(GroupPart found, e_.group_alone(closer, blocks, whole_, helper));
      if (e_.run.stop.load(std::memory_order_relaxed)) return {};
      if (!closer.is_sound(s)) unsound_ = true;
      closer.release(s);
      SLUICE_ASSIGN(SegmentPart more, heavy_->look_up(*lists_[s], missing[s], std::move(found), helper, sums_[e_.worker_index(w)]));
      if (can_keep_[s]) lists_[s] = std::make_shared<SegmentPart>(std::move(more));
      return {};
    });
  }

  void keep_lists() {
    for (size_t s = 0; s < segments_; ++s)
      if (lists_[s] && lists_[s] != remembered_[s] && can_keep_[s])
        e_.run.context.segment_memory->keep(listed_, e_.run.context.snapshot->segments[s]->info().id, lists_[s]);
  }

  Execution& e_;
  const uint64_t wanted_;
  Grouping& groups_;
  const GroupSpec& spec_;
  const Operator& whole_;
  SegmentMemory::Question listed_;
  const bool natural_ = e_.run.options.list_groups == 0;  // else a test has its own lengths
  const size_t first_length_ = natural_ ? limits::kHeavyListGroups : e_.run.options.list_groups;
  const size_t deep_length_ = natural_ ? limits::kHeavyListGroupsDeep : 4 * e_.run.options.list_groups;
  const size_t segments_ = e_.scan.segment_count();
  Worker& mine_ = *e_.workers[0];
  const std::vector<std::unique_ptr<Worker>> helpers_;
  std::vector<std::unique_ptr<MemoryClaim>> claims_;                  // by worker
  std::vector<std::shared_ptr<const SegmentPart>> lists_, remembered_;  // by segment; then of open rows
  std::vector<std::vector<ScanUnit>> units_;                          // by segment
  std::vector<uint8_t> can_keep_;                                     // by segment
  std::vector<size_t> unread_;
  size_t known_ = 0, deeper_ = 0, again_ = 0;
  std::atomic<bool> unsound_{false};  // something that was read is damaged
  std::atomic<uint64_t> groups_seen_{0};
  std::optional<HeavyGroups> heavy_;
  std::vector<std::vector<std::unique_ptr<Aggregate>>> sums_;  // by worker
};

}  // namespace

Result<bool> Execution::try_lists() {
  auto* first = dynamic_cast<GroupsFirst*>(plan.operators[split].get());
  if (!run.options.use_lists || !first || plan.scan.range.empty()) return false;
  const auto wanted = first->wants_heaviest();
  if (!wanted || *wanted == 0 || *wanted > limits::kHeavyWantedMax || !can_be_listed(first->groups().spec(), plan.scan)) return false;
  const Result<bool> done = HeaviestRun(*this, *wanted, first->groups()).run();
  if (done.ok() && done.value()) return true;
  // Lists of many segments can take more memory than the groups that they have in common.
  if (!done.ok() && done.error().code != ErrorCode::too_large) return done;
  run.stop.store(false, std::memory_order_relaxed);
  workers = new_workers();
  scan.begin_again();
  kept_segments = kept_rows = 0;
  return false;
}

}  // namespace sluice::query
