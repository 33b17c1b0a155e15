#include "server/delivery/target.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>

#include "server/delivery/chat_sender.h"
#include "server/delivery/file_sender.h"
#include "server/delivery/ipfix_sender.h"
#include "server/delivery/kafka_sender.h"
#include "server/delivery/mail_sender.h"
#include "server/delivery/syslog_sender.h"
#include "server/delivery/webhook_sender.h"
#include "storage/model/text_list.h"

namespace sluice::delivery {

using ingest::DeclaredSettings;

namespace {

constexpr TargetKind kKinds[] = {
    {"webhook", "HTTP requests, signed as Standard Webhooks has it", limits::kNoticesTogetherMax, true, true, 0, 0, true, make_webhook},
    {"file", "lines of a file", 1, true, true, 0, 0, true, make_file},
    {"syslog", "RFC 5424 over UDP, TCP or TLS", 1, true, true, 0, 0, true, make_syslog},
    {"kafka", "records of a topic", 1, true, true, 0, 0, true, make_kafka},
    {"ipfix", "IPFIX messages of flows, over UDP, TCP or TLS", 1, false, true, 0, 0, false, make_ipfix},
    {"slack", "an incoming webhook of Slack", limits::kNoticesTogetherMax, true, false, 10 * kSecond, 30, false, make_slack},
    {"teams", "a workflow of Microsoft Teams", limits::kNoticesTogetherMax, true, false, 10 * kSecond, 30, false, make_teams},
    {"smtp", "e-mail", limits::kNoticesTogetherMax, true, false, kMinute, 10, false, make_smtp},
};

constexpr uint32_t bit(Event event) { return 1u << static_cast<uint32_t>(event); }

bool fits(const std::string& pattern, const std::string& rule) { return ::fnmatch(pattern.c_str(), rule.c_str(), 0) == 0; }

}  // namespace

std::span<const TargetKind> target_kinds() { return kKinds; }

Attempt Sender::forward(std::span<const FlowDocument>, TimestampNs) {
  return Attempt::refused_for_good({ErrorCode::unsupported, "this kind of target takes no flows"});
}

bool Target::wants(const Episode& alert, Event event, Severity peak) const {
  if (!takes_alerts) return false;
  if (event == Event::test || event == Event::dropped) return true;
  if (!(events & bit(event)) || std::max(alert.severity, peak) < severity) return false;
  bool is_named = true;
  for (const std::string& pattern : rules) {
    if (pattern.starts_with('!')) {
      if (fits(pattern.substr(1), alert.rule)) return false;
    } else {
      is_named = false;
    }
  }
  for (const std::string& pattern : rules) is_named = is_named || (!pattern.starts_with('!') && fits(pattern, alert.rule));
  if (!is_named) return false;
  if (tags.empty()) return true;
  const auto has = list_items(alert.tags);
  return std::any_of(tags.begin(), tags.end(), [&](const std::string& tag) { return std::find(has.begin(), has.end(), tag) != has.end(); });
}

Result<Target> read_target(DeclaredSettings settings) {
  Target target;
  target.name = settings.name;
  target.kind = settings.kind;
  const auto* kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const TargetKind& k) { return k.name == settings.kind; });
  if (kind == std::end(kKinds)) {
    std::string known;
    for (const TargetKind& k : kKinds) known += (known.empty() ? "" : ", ") + std::string(k.name);
    return settings.error_at("kind", settings.kind.empty() ? "is needed: one of " + known : "there is no kind '" + settings.kind + "' (known are " + known + ")");
  }
  target.together = kind->together;
  target.takes_alerts = kind->takes_alerts;
  target.takes_flows = kind->takes_flows;
  if (!kind->takes_alerts) target.flow_shape = FlowShape::ipfix;

  static constexpr std::array<std::string_view, 5> kSeverities = {"info", "low", "medium", "high", "critical"};
  SLUICE_ASSIGN(const size_t severity, settings.choice("severity", kSeverities, 0));
  target.severity = static_cast<Severity>(severity);
  SLUICE_ASSIGN(target.rules, settings.list("rules"));
  SLUICE_ASSIGN(target.tags, settings.list("tags"));
  SLUICE_ASSIGN(const auto events, settings.list("events"));
  if (events.empty()) target.events = bit(Event::started) | bit(Event::raised) | bit(Event::ended) | (kind->tells_resumed ? bit(Event::resumed) : 0);
  for (const std::string& word : events) {
    const Event all[] = {Event::started, Event::raised, Event::resumed, Event::ended};
    const auto* at = std::find_if(std::begin(all), std::end(all), [&](Event e) { return to_string(e) == word; });
    if (at == std::end(all)) return settings.error_at("events", "are of started, raised, resumed and ended, not '" + word + "'");
    target.events |= bit(*at);
  }
  SLUICE_ASSIGN(target.group, settings.duration("group", kind->group, 0, limits::kGroupWaitMax));
  SLUICE_ASSIGN(const uint64_t rate, settings.count("rate", kind->rate, 0, 1'000'000));
  target.rate = static_cast<uint32_t>(rate);
  SLUICE_ASSIGN(target.give_up_after, settings.duration("give_up_after", limits::kGiveUpAfter, kMinute, limits::kGiveUpAfterMax));
  SLUICE_ASSIGN(MadeTarget made, kind->make(settings));
  SLUICE_TRY(settings.finish());
  target.to = std::move(made.to);
  target.make = std::move(made.make);
  return target;
}

Result<std::vector<Target>> read_targets(std::vector<DeclaredSettings> settings) {
  std::vector<Target> targets;
  if (settings.size() > limits::kTargetsMax)
    return settings[limits::kTargetsMax].error_at("name", "is one too many: at most " + std::to_string(limits::kTargetsMax) + " targets can be declared");
  for (DeclaredSettings& declared : settings) {
    for (const Target& other : targets)
      if (other.name == declared.name) return declared.error_at("name", "another target has this name");
    SLUICE_ASSIGN(Target target, read_target(std::move(declared)));
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace sluice::delivery
