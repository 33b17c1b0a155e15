// How far event time has come: for each source by itself, because a router tells of the last seconds and a cloud of ten minutes ago.
//
// A source is a format and an exporter. Its watermark is its newest flow_end less limits::kRuleTolerance: what comes later than
// that is out of the ordinary. The watermark of all is the least of those sources that still send, so a source that delivers late
// is waited for; one that is silent for limits::kRuleSourceIdle is not, and neither is one whose times lie more than
// limits::kRuleSourceLagMax behind the others'. Once all are silent, time goes on with the clock from where the newest stood, so
// that the last windows settle and alerts end.
//
// Thread rule: one thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "query/continuous/limits.h"
#include "storage/model/batch.h"
#include "storage/model/result.h"

namespace sluice::query::continuous {

class Watermarks {
 public:
  struct SourceState {
    TimestampNs newest = kTimestampMin;   // flow_end
    TimestampNs arrived_at = kTimestampMin;  // by the clock
    TimestampNs first_at = kTimestampMin;    // by the clock
    DurationNs gap = 0;                      // the longest between two arrivals that was not out of the ordinary, see ordinary_silence()
    DurationNs unheard = 0;                  // of the time since arrived_at, when there was nobody to hear it
  };
  struct Key {
    uint8_t source = 0;
    IpAddress exporter{};  // all zero: none
    auto operator<=>(const Key&) const = default;
  };

  // Flows that arrived at `now`. Times beyond now + limits::kClockSkewMax count as that.
  void see(const Batch& flows, TimestampNs now);
  // kTimestampMin: nothing has been seen.
  TimestampNs at(TimestampNs now) const;

  const std::map<Key, SourceState>& sources() const { return sources_; }
  // How long a source may be silent: for the first limits::kSourceLearning every gap is ordinary, and then what is no longer than
  // twice the longest so far, or limits::kRuleSourceIdle. nullopt: it is not known long enough.
  static std::optional<DurationNs> ordinary_silence(const SourceState& state);

  // For how long it has been silent, without the time when the server was down: what was sent then is still to come.
  static DurationNs silent_for(const SourceState& state, TimestampNs now);
  // The source whose time at( now ) is; nullopt: none is waited for.
  std::optional<Key> waited_for(TimestampNs now) const;

  // As kept from an earlier life; `unheard` has the time since that ended.
  void restore(const Key& key, SourceState state) { sources_[key] = state; }

 private:
  void see(Key key, TimestampNs newest, TimestampNs now);
  TimestampNs at(TimestampNs now, std::optional<Key>& waited) const;
  std::map<Key, SourceState> sources_;
};

}  // namespace sluice::query::continuous
