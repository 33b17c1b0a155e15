// A target: who is told of which alerts, and how. Declared in the configuration file alone, by who runs the server: nothing that rules,
// requests or flows say decides where anything is sent.
//
// Keys of all kinds: name, kind; severity (that and worse), rules (patterns; "!…" excepts), tags (any of), events; group (how long notices
// wait for others to go with them), rate (messages a minute), give_up_after.
//
// Thread rule: functions share nothing; a Target is not changed any more once it is read.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/receive/declared_settings.h"
#include "query/continuous/rule.h"
#include "server/delivery/limits.h"
#include "server/delivery/flow_shape.h"
#include "server/delivery/sender.h"

namespace sluice::delivery {

using query::continuous::Severity;

struct Target {
  std::string name, kind;
  std::string to;  // for people: a host, a path. Never a secret
  Severity severity = Severity::info;
  std::vector<std::string> rules, tags;
  uint32_t events = 0;  // a bit for each Event
  DurationNs group = 0;
  uint32_t rate = 0;    // messages a minute; 0: no limit
  DurationNs give_up_after = limits::kGiveUpAfter;
  // Notices of one message; 1: each is a message of its own, though several go at once.
  size_t together = 1;
  bool takes_alerts = true, takes_flows = false;
  FlowShape flow_shape = FlowShape::native;  // unless the forward says otherwise
  MakeSender make;

  // `peak`: how severe the alert has been; who was told that it started or rose is told that it ended.
  bool wants(const Episode& alert, Event event, Severity peak = Severity::info) const;
};

// What a kind makes of its keys.
struct MadeTarget {
  std::string to;
  MakeSender make;
};

struct TargetKind {
  std::string_view name;
  std::string_view description;
  size_t together;
  bool takes_alerts, takes_flows;
  // Unless the target says otherwise.
  DurationNs group;
  uint32_t rate;
  bool tells_resumed;
  // Errors: a setting that makes no sense. Nothing outside is touched yet.
  Result<MadeTarget> (*make)(ingest::DeclaredSettings& settings);
};
std::span<const TargetKind> target_kinds();

// For config: a [[target]] as it is declared.
inline ingest::DeclaredSettings declared_target() { return {"target", "name, kind"}; }
// Errors: invalid_argument with the place: an unknown kind, a key that makes no sense or is not known.
Result<Target> read_target(ingest::DeclaredSettings settings);
// All of them. Errors also: two of one name, more than limits::kTargetsMax.
Result<std::vector<Target>> read_targets(std::vector<ingest::DeclaredSettings> settings);

}  // namespace sluice::delivery
