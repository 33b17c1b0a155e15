// The bounds of rules, with their reasons and what happens when they are met.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/model/time.h"

namespace sluice::limits {

// Rules of one server. Beyond: create rule is refused.
inline constexpr size_t kRulesMax = 2'000;
// A rule's name, which is a key and a label. Beyond: refused.
inline constexpr size_t kRuleNameBytesMax = 128;
// Rules that come of one statement with `each`: a service list and room to spare. Beyond: refused.
inline constexpr size_t kRuleSetsMax = 256;
// A window, and how many slides go into one: each slide is a table of groups of its own, and at a start the flows of the last
// window are read again. Beyond: refused.
inline constexpr DurationNs kRuleWindowMax = 7 * kDay;
inline constexpr int64_t kRuleWindowSlidesMax = 144;
// Exceptions of a rule, and overrides: each is a condition that every flow or row is held against. Long lists belong into a watch-list.
// Beyond: refused.
inline constexpr size_t kRuleConditionsMax = 100;
// Of a rule that is asked again and again: how often, at most and at least; over how long; the time and the memory that one
// answer may take, and its rows. What has more rows than can be alerts is no rule. Beyond: refused, or this one answer is none, which
// is counted and said.
inline constexpr DurationNs kRuleEveryMin = 10 * kSecond;
inline constexpr DurationNs kRuleEveryMax = 7 * kDay;
inline constexpr DurationNs kRuleOverMax = 90 * kDay;
inline constexpr DurationNs kRuleAnswerTimeout = 5 * kMinute;
inline constexpr size_t kRuleAnswerBytesMax = 512u << 20;
inline constexpr size_t kRuleAnswerRowsMax = 100'000;
// Answers that are caught up on after the server was down: a day of minutes, or a month of hours. Beyond: the older ones are left
// out, counted and said.
inline constexpr int64_t kRuleAnswersCaughtUpMax = 1'440;
// Answers of one replay: two years of minutes. Beyond: refused before it begins, and a shorter range is asked for.
inline constexpr int64_t kReplayAnswersMax = 1'000'000;
// Answers of one example. Beyond: the example is wrong.
inline constexpr int64_t kRuleExampleAnswersMax = 5'000;
// Labels that a rule's alerts put, and how long one may last at least and at most. Beyond: refused.
inline constexpr size_t kRuleLabelsMax = 8;
inline constexpr DurationNs kRuleLabelMin = kMinute;
inline constexpr DurationNs kRuleLabelMax = 364 * kDay;
// Windows of a rule that looks at single flows: matches of one key within it are one row.
inline constexpr DurationNs kRuleRecordWindow = kMinute;
// How far behind a source's newest flow others of it may come, before a window counts as complete.
inline constexpr DurationNs kRuleTolerance = kMinute;
// What still counts after a window was settled, unless the rule says otherwise, and at most. Later flows are counted as late.
inline constexpr DurationNs kRuleGrace = 10 * kMinute;
inline constexpr DurationNs kRuleGraceMax = kDay;
// A source silent for so long holds no window open any more: above the 10 minutes at which clouds deliver. One whose times lie so
// far behind the others' has a wrong clock, or old files, and holds none open either.
inline constexpr DurationNs kRuleSourceIdle = 15 * kMinute;
inline constexpr DurationNs kRuleSourceLagMax = kHour;
// How long a source is only learned from before its silence is an alert: one body that somebody sent is no source that fell silent.
inline constexpr DurationNs kSourceLearning = kHour;
// Sources (a format and an exporter) whose time is followed each by itself. Beyond: the others of a format share one.
inline constexpr size_t kRuleSourcesMax = 4'096;
// Groups of one rule over its open windows, its bytes, and those of all rules. Beyond: windows let go of their lighter half (shortfall.h), as soon as
// a quarter as many flows have come since they last did; until then, and in sessions and sequences, groups that are there count on, up to a quarter more
// bytes, and flows of others are not counted. That may miss an alert but never makes one up. Beyond that quarter, or at the bound of all rules,
// no flow is counted. Counted, shown, and an alert of its own.
inline constexpr size_t kRuleGroupsMax = 1u << 20;
inline constexpr size_t kRuleBytesMax = 256u << 20;
inline constexpr size_t kRulesBytesMax = 1u << 30;
// From here on rules over windows with much state let go of groups, so that the others never meet the bound of all.
inline constexpr size_t kRulesBytesScarce = kRulesBytesMax / 8 * 7;
// Groups, and bytes where the room of all rules is scarce, below which a rule lets go of none: there is little to gain.
inline constexpr size_t kRuleLetGoMin = 1'024;
inline constexpr size_t kRuleLetGoBytesMin = 16u << 20;
// The filter of the keys that a window let go of: bits for each of those that go first, at least and at most in all. After eight times as many
// 2.4% of the groups that begin are taken for ones that went, after sixteen times 16%: they count, and what they have is said to be a lower bound.
inline constexpr uint64_t kRuleLetGoKeyBits = 64;
inline constexpr uint64_t kRuleLetGoFilterBitsMin = uint64_t{1} << 14;
inline constexpr uint64_t kRuleLetGoFilterBitsMax = uint64_t{1} << 25;
// The heaviest keys of windows that let go of some, which a rule's checkpoint has so that none of them goes when the windows are made again. Beyond: each
// window has its share of them.
inline constexpr size_t kRuleHeldKeysMax = 4'096;
// Keys that a rule with first_seen knows exactly, 40 bytes each; and the bits of each sketch that it has instead beyond, of which it has
// nine at most. Sketches are never too full to answer, but take ever more keys for known; said in the rule's note.
inline constexpr size_t kRuleKeysMax = 2'000'000;
inline constexpr uint64_t kRuleKeySketchBits = uint64_t{1} << 26;
// Sequences that a rule's checkpoint says of that they used up their rows: those of the last minutes, which alert. Beyond: the oldest are left out,
// and after a restart one of them may be found once more, as part of the alert that it is.
inline constexpr size_t kRuleMarksMax = 4'096;
// How far back a new rule over sessions reads to know those that are going on: so many gaps, at least and at most so long.
inline constexpr int64_t kRuleSessionGapsRead = 24;
inline constexpr DurationNs kRuleSessionReadMin = kHour;
// How far back first_seen looks, and how long a rule may learn. Beyond: refused.
inline constexpr DurationNs kRuleLookbackMax = 90 * kDay;
// Keys of one rule that are alerting or waiting to. (Those that have ended and may resume, or whose windows may come again, are known beside
// them, as many as alerts are kept.) Beyond: counted, and no alert of their own. As many again are known that did not last as long as `for`, until no late
// flow can complete them. Beyond: they are forgotten at once.
inline constexpr size_t kRuleEpisodesMax = 10'000;
// Alerts kept. Beyond: those that began first go.
inline constexpr size_t kAlertsMax = 50'000;
// Text of an alert: its message, and its values. Beyond: cut.
inline constexpr size_t kAlertTextBytesMax = 4u << 10;
// Rows that wait for the rules: some seconds of a fast server. Beyond: they are let go, and the rules read their open windows again
// from the store once they have caught up; nothing is lost, and ingest never waits.
inline constexpr size_t kRuleQueueBytesMax = 256u << 20;
// Flows that go through the rules at a time.
inline constexpr size_t kRuleBatchRows = 65'536;

// Groups whose keys and values are looked at at a time: memory that does not grow with a rule's groups.
inline constexpr size_t kGroupsPiece = 16'384;
// Groups that are gone and are worth a smaller table, beside as many as are live.
inline constexpr size_t kGoneGroupsMin = 4'096;

}  // namespace sluice::limits
