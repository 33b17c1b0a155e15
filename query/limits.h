// The bounds of one question, of watch-lists and of context tables, with their reasons and what happens when they are met. A bound that a user may change
// is a default here and a setting in server/config.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/model/time.h"

namespace sluice::limits {

// Memory of all that one query makes (columns computed and read, groups, rows to be sorted), its time, and the rows of its answer,
// unless the request says less (or config more). Beyond: the query ends with the limit.
inline constexpr size_t kQueryMemoryBytes = 1u << 30;
inline constexpr DurationNs kQueryTimeout = 60 * kSecond;
inline constexpr size_t kQueryRowsMax = 1'000'000;
// Columns of one table inside a query, those computed and hidden again included: each is a value for every row, and names are
// looked up for every use. Flows have about 130. Beyond: an error at the column.
inline constexpr size_t kQueryColumnsMax = 1'000;
// What the columns of one batch take, by estimate: plans of many columns get batches of fewer rows, though not of fewer than a
// granule's, below which the work around each column would cost more than the column.
inline constexpr size_t kQueryBatchBytes = 32u << 20;
inline constexpr size_t kQueryBatchRowsMin = 1'024;
// Text and states that grow within one batch ask for memory in such steps; small limits are met that much early.
inline constexpr size_t kQueryMemoryStepBytes = 64u << 10;
// Queries inside one query (join, compare, first_seen and their like), at all depths: each scans once. Beyond: an error at the stage.
inline constexpr size_t kSubqueriesMax = 32;
// Keys of a join that narrow the scan around it, through the address indexes. Beyond: the scan reads on, and the join alone decides.
inline constexpr size_t kJoinKeysPushedMax = 65'536;
// Rows of one sub-query's answer: their numbers have 32 bits and tables of them twice as many places. Beyond: the query ends.
inline constexpr size_t kSubqueryRowsMax = 1u << 26;
// Reporters that dedup lists for one row; a packet that crosses more routers has a loop. Beyond: the rest is left out of the list.
inline constexpr size_t kReportersPerRowMax = 64;
// Keys that a watch-list names for `absent … expected by @LIST`: a block stands for all its addresses, a /16 at most. Beyond: an error.
inline constexpr size_t kExpectedKeysMax = 65'536;
// Steps of one sequence: a bit of a mask each. Beyond: an error at the step.
inline constexpr size_t kSequenceStepsMax = 16;
// Sessions of `stats … window session gap D`: how long one may be before it is cut, and the gap at most. A rule has to read so much again
// after a restart, and what is longer is a state rather than a session. Beyond: it is cut as sessions.h says; refused.
inline constexpr DurationNs kSessionLengthMax = 12 * kHour;
inline constexpr DurationNs kSessionGapMax = 6 * kHour;
// Hops that reach follows: no address is 64 flows away from another in a network that people run. Beyond: an error at the number.
inline constexpr uint64_t kReachHopsMax = 64;
// Bins over which timeseries … spread books one flow, and bins of one baseline's range and look-back. Beyond: the query ends.
inline constexpr uint64_t kSpreadBinsPerFlowMax = 1u << 16;
inline constexpr uint64_t kBaselineBinsMax = 1u << 20;
// Of a stage's text what a plan says beside each part of its condition: a condition of a megabyte has ten thousands of parts. Beyond: "…".
inline constexpr size_t kPlanTextBytesMax = 400;
// What segments came to, kept for questions that are asked again (segment_memory.h): all of it, beside what queries take themselves, and
// one segment's part. A dashboard of twelve panels over a month of hours takes some tens of megabytes. Beyond the first: what was not
// asked for longest goes. Beyond the second, some ten thousands of groups: putting it into the answer again takes as long as reading the
// segment does, so it is not kept, and after so many of them in a row the query does not try again.
inline constexpr size_t kSegmentMemoryBytes = 256u << 20;
inline constexpr size_t kSegmentPartBytesMax = 1u << 20;
inline constexpr size_t kSegmentPartsTooLargeMax = 4;
// `top` over many segments (heavy_groups.h): how many groups that rank first a segment lists, at first and when the bounds of what is left
// out do not part groups; how many groups may be candidates, each looked up where it is not listed; how many `top` may want. Lists of the
// first length over a month of hours take some 40 MB. Beyond any: all groups are made, as without lists.
inline constexpr size_t kHeavyListGroups = 256, kHeavyListGroupsDeep = 1'024;
inline constexpr size_t kHeavyCandidatesMax = 4'096;
inline constexpr uint64_t kHeavyWantedMax = 1'000;
// What lists pay for: so many segments that are read, and groups in one of them on the average. Below, all groups are made.
inline constexpr size_t kHeavySegmentsMin = 16, kHeavyGroupsMin = 2'048;
// Text of a question that is asked again, parameters included; each part carries it to its place. Beyond: nothing of it is kept.
inline constexpr size_t kSegmentQuestionBytesMax = 16u << 10;
// Steps of work on text (bytes looked at, threads of a regular expression) between two looks at the deadline and at the
// cancel flag: a few milliseconds.
inline constexpr uint64_t kQueryStepsPerCheck = 1u << 20;
// Completion binds the stages before the cursor to know their columns while their text is no longer than people type, and reads so many
// newest rows for the keys of `extra`. Beyond: all columns are offered, and keys that only older rows have are not.
inline constexpr size_t kCompletionBoundBytesMax = 64u << 10;
inline constexpr size_t kCompletionExtraRowsMax = 1'024;
// Values that are proposed of one column, of one segment, and how long they may be; how many of the newest rows that are not sealed and of the
// newest segments are looked at for them. A dictionary is searched, not read, so this takes a millisecond or two; open rows are gone through, at
// some ten nanoseconds each. Beyond: older values are not proposed.
inline constexpr size_t kCompletionValuesMax = 50;
inline constexpr size_t kCompletionValuesPerSegmentMax = 20;
inline constexpr size_t kCompletionValueBytesMax = 256;
inline constexpr size_t kCompletionOpenRowsMax = 524'288;
inline constexpr size_t kCompletionSegmentsMax = 24;
// Watch-lists: how many, the items of one, their bytes as text over all (in memory twice: as text and as ranges), and a name. A threat
// feed has some hundred thousand addresses. Beyond: the list is refused.
inline constexpr size_t kListsMax = 1'024;
inline constexpr size_t kListItemsMax = 1'000'000;
inline constexpr size_t kListsBytesMax = 256u << 20;
inline constexpr size_t kListNameBytesMax = 128;  // and of a context table's
// Context tables: how many, the rows, columns and fields (rows x columns) of one, and CSV bytes over all (in memory twice: as text and as
// columns). An inventory of a large company has some hundred thousand rows. Beyond: the table is refused.
inline constexpr size_t kContextTablesMax = 256;
inline constexpr size_t kContextRowsMax = 1'000'000;
inline constexpr size_t kContextColumnsMax = 64;
inline constexpr size_t kContextFieldsMax = 8'000'000;
inline constexpr size_t kContextBytesMax = 256u << 20;

}  // namespace sluice::limits
