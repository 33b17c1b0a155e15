// The state of a rule that waits for a sequence: `sequence by KEY within D [A] then [B]` on a stream. What is found is what the stage finds in the
// stored flows (query/sequence.h).
//
// Each key keeps the rows that are some step, in their order, for as long as they may be part of a sequence, or a late row may come in between:
// D and the rule's grace. A late row has the key's rows looked at again. What is found belongs to the minute in which it ended, which is its
// window for everything behind: alerts, suppression, ids. A rule whose conditions behind the sequence ask for nothing but keys alerts at once,
// the others when that minute is complete; both are told of it again then.
//
// Made again after a restart from the rows of D before the grace. Which rows a found sequence has used up depends on the one before it, and so on for
// ever; so checkpoint() says it of every key that has one there.
//
// At the bound of the state rows of known keys count on, and no key begins.
//
// Thread rule: one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "query/continuous/checkpoint.h"
#include "query/continuous/known_keys.h"
#include "query/continuous/lost_groups.h"
#include "query/continuous/rule_state.h"
#include "query/group_table.h"
#include "query/sequence.h"

namespace sluice::query::continuous {

class SequenceState final : public RuleState {
 public:
  SequenceState(RulePtr rule, const Resume& from, bool keeps_settled = true);

  Status advance(TimestampNs watermark, Worker& worker, const FindingSink& sink) override;
  Status look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink) override;
  TimestampNs history_from() const override { return began_at_; }
  TimestampNs frontier() const override;
  TimestampNs settled_before() const override { return settled_before_; }
  std::string checkpoint() const override;
  void set_learning(bool learns) override;

 private:
  struct Found {
    TimestampNs began = 0;
    SequenceRow end;      // the row that ended it
    uint32_t equal = 1;   // which of the rows that are equal to it
    bool is_told = false, is_settled = false;
    bool is_same(const Found& o) const { return began == o.began && end == o.end && equal == o.equal; }
  };
  struct Key {
    uint64_t fingerprint = 0;
    // Behind what is used up; in order, but for those from `sorted` on.
    std::vector<SequenceRow> rows;
    size_t sorted = 0;
    std::vector<Found> found;           // in rows, in order
    std::optional<Checkpoint::Mark> used;
    uint32_t used_again = 0;            // rows equal to the mark's that came since this was made
    std::unique_ptr<SequenceProgress> progress;  // of keys with many rows: how far it has come
    size_t seen = 0;                             // in so many of them
    bool is_changed = false;
  };
  struct Telling {
    uint32_t key;
    const Found* found;
  };

  Status take_ready(const Chunk& ready, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) override;
  void add(Key& key, SequenceRow row);
  // Looks at the rows of a key again, as far as they have changed.
  void look_at(Key& key);
  void look_at_changed();
  // Those found that end by `until` and have not been told, or not as settled.
  Status tell(std::span<const uint32_t> keys, TimestampNs until, bool is_settled, Worker& worker, const FindingSink& sink);
  // Rows and sequences that nothing can change any more, and keys that have none.
  void sweep(Worker& worker);
  void account();
  // What ended before it is told of no more, and rows before it are late.
  TimestampNs told_before() const;

  const SequenceSpec& spec_;
  const uint64_t least_rows_;   // of any sequence
  SequenceProgress scratch_;    // of keys that keep none of their own
  const DurationNs grace_;
  TimestampNs began_at_ = kEarliest, resumed_before_ = kTimestampMin, settled_before_ = kTimestampMin, swept_at_ = kTimestampMin;
  std::unordered_map<uint64_t, Checkpoint::Mark> marks_;  // of the checkpoint, until their keys are there
  std::optional<GroupTable> table_;
  std::vector<Key> keys_;                  // by number in table_
  std::vector<uint32_t> changed_, open_;   // keys to be looked at; those with sequences that have not settled, repeats included
  size_t live_ = 0, rows_kept_ = 0, progress_bytes_ = 0;
  KnownKeys known_;  // at the bound
  LostGroups lost_;
  std::vector<uint32_t> numbers_, masks_;
};

}  // namespace sluice::query::continuous
