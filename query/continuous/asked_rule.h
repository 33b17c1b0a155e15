// Rules that are asked again and again: `every 1h over 1d`.
//
// Where a stage needs the whole table (beacons, baseline, sequence, absent, compare, join …) nothing runs on a stream. The rule's
// query is answered instead, by the ordinary engine, over [t - over, t) for every t that is a whole multiple of `every` since 1970: on
// event time, once the watermark has passed t and the rule's grace. What one answer says depends on the stored flows and on t
// alone, so live, replay and what is caught up on after a death are the same, and its only state is the t that comes next.
//
// Thread rule: pure; one thread for each call.
#pragma once

#include "query/continuous/rule_state.h"
#include "query/engine.h"

namespace sluice::query::continuous {

// The rule's rows over [at - over, at), to the sink, as findings of a settled window. `context` brings snapshot, executor, lists, names,
// tables and cancellation; its clock is for the deadline alone. Errors: cancelled; limits; what no longer binds (a list that is gone).
// REQUIRES: rule.is_asked, at is a multiple of rule.slide()
Status ask_rule(const Rule& rule, TimestampNs at, const QueryContext& context, const FindingSink& sink, ScanStats& stats);

// How many rows of the rule's source its exceptions left out that an answer before had not counted: those of [at - every, at) that meet the
// conditions which stand first. 0 where Rule::excepted_query is empty. The same errors.
Result<uint64_t> count_excepted(const Rule& rule, TimestampNs at, const QueryContext& context);

// Whether the rule may alert at that moment: flows are kept from before as long as it has to learn, or have been known since `known_since`.
bool has_learned(const Rule& rule, TimestampNs at, const store::Snapshot& snapshot, TimestampNs known_since = kTimestampMax);

// The first moment that is due behind `t`: t itself, if it is one.
TimestampNs next_answer(const Rule& rule, TimestampNs t);

}  // namespace sluice::query::continuous
