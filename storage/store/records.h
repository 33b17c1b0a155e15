// Records: what the store keeps in the catalogue, as keys and values.
//
//   settings  "partition_width", "next_segment", "next_sequence"   decimal numbers
//   segments  id as 8 bytes big-endian -> version=1:u8 partition_start:i64 rows:u64 first:i64 last:i64 file_bytes:u64 path
//             (little-endian; the path is below <directory>/segments/)
//   journal   sequence as 8 bytes big-endian -> version=1:u8 partition_start:i64 appended_at:i64 (length batch)*
//             (length as varint; batch: storage/codec/batch_bytes.h)
//   objects   object key -> appended_at:i64
//
// Thread rule: pure functions. Errors: corrupt, unsupported (a newer record).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/model/batch.h"
#include "storage/model/result.h"
#include "storage/model/time.h"
#include "storage/segment/segment.h"

namespace sluice::store {

std::string number_key(uint64_t number);
std::optional<uint64_t> parse_number_key(std::string_view key);

// SegmentInfo::path is relative in records, absolute elsewhere; the caller translates.
std::string segment_record(const segment::SegmentInfo& info);
Result<segment::SegmentInfo> parse_segment_record(uint64_t id, std::string_view record);

struct JournalHeader {
  TimestampNs partition_start = 0;
  TimestampNs appended_at = 0;
};
std::string journal_entry(const JournalHeader& header, std::span<const std::shared_ptr<const Batch>> batches);
// The header alone, which is readable even where the rows are damaged.
Result<JournalHeader> parse_journal_header(std::string_view entry);
Result<std::vector<Batch>> parse_journal_rows(std::string_view entry);

std::string time_record(TimestampNs time);
std::optional<TimestampNs> parse_time_record(std::string_view record);

}  // namespace sluice::store
