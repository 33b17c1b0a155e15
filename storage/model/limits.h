// The bounds that more than one floor knows, with their reasons and what happens when they are met. A bound that a user may change is a
// default here and a setting in server/config; the rest are facts of formats or guards against hostile input. What only one room needs
// stands in that room: ingest/receive, ingest/source, query, query/continuous and server each have a limits.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "storage/model/time.h"

namespace sluice::limits {

// --- segments -----------------------------------------------------------------------------------------------------
// Row numbers within a block are 16-bit, and a block is 64 granules: one word of a bitmap. Fixed by the format.
inline constexpr uint32_t kBlockRows = 65'536;
// Rows of one segment at most: row numbers are 32-bit and a merge must fit in memory. Merges stop below this.
inline constexpr uint32_t kSegmentRowsMax = 1u << 24;
// Open rows of one partition that trigger a seal: large enough for good dictionaries, small enough to seal in a second.
inline constexpr uint32_t kSealRows = 1u << 20;
// Age of the oldest open row of a partition that triggers a seal, so that the journal stays short.
inline constexpr DurationNs kSealAge = 60 * kSecond;
// Width of a time partition.
inline constexpr DurationNs kPartitionWidth = kHour;

// --- ingest -------------------------------------------------------------------------------------------------------
// One record's value for a text column or for `extra`. Beyond: cut, and counted.
inline constexpr size_t kStringBytesMax = 64u << 10;
// Rows of one batch on the way to the journal.
inline constexpr size_t kBatchRows = 65'536;
// Idempotency keys kept; the oldest go first once their age has passed.
inline constexpr size_t kObjectKeyBytesMax = 1'024;
inline constexpr DurationNs kObjectKeyAge = 30 * kDay;
// Open rows over all partitions, bytes in memory. Beyond: append answers `full` until sealing has caught up.
inline constexpr size_t kOpenBytesMax = 1u << 30;
// Partitions that the rows of one append may lie in: each is a journal entry, and a segment file once sealed. Eighty-five days of
// hours. Beyond: too_large, nothing is kept; server/scattered_append.h then appends span by span.
inline constexpr size_t kPartitionsPerAppendMax = 2'048;
// Appends that failed half-way, turned out to be durable and whose retry has not come yet: remembered so that it adds nothing
// again. A sender retries one at a time. Beyond: the oldest are forgotten, their senders have given up.
inline constexpr size_t kLateAppendsMax = 1'024;
// Partitions with open rows: each costs a synced file to seal. Beyond: append answers `full` to rows that would open another
// one until sealing has caught up; rows of open partitions go on.
inline constexpr size_t kOpenPartitionsMax = 4'096;

// --- NetFlow and IPFIX --------------------------------------------------------------------------------------------
// How far an exporter's clock may run ahead before its times are clamped.
inline constexpr DurationNs kClockSkewMax = 5 * kMinute;

// --- the server's own books -----------------------------------------------------------------------------------------
// How long a chunk whose checksum was right is believed. A hash of whole chunks is most of what a question for one address costs, and
// dashboards ask the same again and again; what a disk does to pages in the meantime is found at the next look after this.
inline constexpr DurationNs kChecksBelievedFor = 10 * kSecond;

}  // namespace sluice::limits
