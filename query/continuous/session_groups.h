// The state of a rule over sessions, `stats … by KEY window session gap D`: one group for each run of a key's activity (query/sessions.h says
// where runs begin, end and are cut; `stats … window session` over stored flows yields the same).
//
//   a flow      extends the session of its key that it lies in or within a gap of; bridges two, which are one from then on; or begins one
//   settled     once the watermark has passed its last flow by more than the gap; again when a late flow extends it
//   late        a flow that by itself would be over for longer than the rule's grace, unless a session that is still known reaches to it
//   forgotten   a gap and the grace behind that, when no flow that is not late could reach it
//
// A session that lasts for as long as limits::kSessionLengthMax and gets its first flow late may be cut elsewhere than in the stored flows: what
// it has is not parted again.
//
// Made again after a restart: frontier() lies so far back that all sessions that are still known are read whole. Others are read in parts; they
// are over, and checkpoint() says of which that is so.
//
// At the bound of the state flows of known sessions count on, and no session begins.
//
// Thread rule: one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "query/continuous/groups.h"
#include "query/continuous/known_keys.h"
#include "query/continuous/rule_state.h"

namespace sluice::query::continuous {

class SessionGroups final : public RuleState {
 public:
  SessionGroups(RulePtr rule, const Resume& from, bool keeps_settled = true);

  Status advance(TimestampNs watermark, Worker& worker, const FindingSink& sink) override;
  Status look_at_open(TimestampNs horizon, Worker& worker, const FindingSink& sink) override;
  TimestampNs frontier() const override;
  TimestampNs history_from() const override { return began_at_; }
  // The watermark: sessions that end before it have been told.
  TimestampNs settled_before() const override { return watermark_; }
  std::string checkpoint() const override;
  void set_learning(bool learns) override;
  bool reads_in_order() const override { return true; }
  void read_before(TimestampNs t) override;

 private:
  Status take_ready(const Chunk& rows, Worker& worker, TimestampNs horizon, Room room, const FindingSink& sink) override;
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Session {
    TimestampNs first = 0, last = 0;       // flows
    TimestampNs begins = kTimestampMin;    // of one that was cut off another: where
    TimestampNs cut = kTimestampMax;       // flows from here on are the next one's
    TimestampNs due = 0;                   // in due_
    uint32_t key = kNone;                  // kNone: it is no session, and free
    uint32_t slot = 0;                     // of states_
    uint32_t next = kNone;                 // of the same key, in no order
    bool is_settled = false;
  };

  // The session that a flow of the key belongs to; kNone: it is late, or there is no room.
  uint32_t session_of(uint32_t key, TimestampNs t, bool has_room);
  uint32_t begin(uint32_t key, TimestampNs t, TimestampNs begins, TimestampNs cut);
  void unite(uint32_t into, uint32_t other);
  void forget(uint32_t session);
  void queue(uint32_t session);
  // Slots that are one session's become one, those of none go, and keys without sessions too.
  void compact(Worker& worker);
  bool is_split(const Session& s) const { return parts_[s.slot] > 1; }
  uint32_t slot_of(uint32_t slot);
  Status look(std::span<const uint32_t> sessions, bool is_settled, Worker& worker, const FindingSink& sink);
  void account();

  TimestampNs end_of(const Session& s) const { return s.last + gap_; }
  // Sessions whose last flow lies before it are forgotten, and flows before late_before() are late.
  TimestampNs told_before() const;
  TimestampNs late_before() const { return told_before() <= kEarliest ? kEarliest : told_before() + gap_; }

  const GroupSpec& spec_;
  const size_t keys_;  // of the grouping, without those that say where a session begins and ends
  const DurationNs gap_, grace_, round_;
  TimestampNs began_at_ = kEarliest, resumed_before_ = kTimestampMin;
  std::optional<GroupTable> table_;  // replaced when it is made smaller
  std::vector<uint32_t> first_of_;  // by key: one of its sessions
  std::vector<Session> sessions_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
  GroupStates states_;
  std::vector<uint32_t> same_as_;  // by slot: another one of the same session, up to the one that says its own number
  std::vector<uint32_t> parts_;    // by slot that says its own number: how many slots it stands for
  uint64_t rows_since_compact_ = 0;
  KnownKeys known_;  // at the bound
  LostGroups lost_;
  std::map<TimestampNs, std::vector<uint32_t>> due_;  // when sessions are to be looked after, in rounds
  std::vector<uint32_t> waiting_;                     // to be looked at early, once they are compact
  std::vector<uint32_t> numbers_, order_;             // of the rows at hand
};

}  // namespace sluice::query::continuous
