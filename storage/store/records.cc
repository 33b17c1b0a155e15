#include "storage/store/records.h"

#include "storage/codec/batch_bytes.h"
#include "storage/codec/byte_io.h"

namespace sluice::store {

namespace {

using codec::ByteReader;
using codec::Bytes;

constexpr uint8_t kVersion = 1;
constexpr size_t kJournalHeaderBytes = 17;
constexpr size_t kExpectedRowBytes = 32;

ByteReader reader(std::string_view text) { return ByteReader(Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size())); }

Status check_version(uint8_t version, std::string_view what) {
  if (version == kVersion) return {};
  return Error{ErrorCode::unsupported, std::string(what) + " of form " + std::to_string(version) + ", this program knows " + std::to_string(kVersion)};
}

}  // namespace

std::string number_key(uint64_t number) {
  std::string key;
  codec::put(key, __builtin_bswap64(number));
  return key;
}

std::optional<uint64_t> parse_number_key(std::string_view key) {
  if (key.size() != 8) return std::nullopt;
  return __builtin_bswap64(codec::load<uint64_t>(reinterpret_cast<const uint8_t*>(key.data())));
}

std::string segment_record(const segment::SegmentInfo& info) {
  std::string out;
  codec::put(out, kVersion);
  codec::put(out, info.partition_start);
  codec::put(out, info.rows);
  codec::put(out, info.first);
  codec::put(out, info.last);
  codec::put(out, info.file_bytes);
  out += info.path;
  return out;
}

Result<segment::SegmentInfo> parse_segment_record(uint64_t id, std::string_view record) {
  ByteReader in = reader(record);
  const uint8_t version = in.get<uint8_t>();
  if (in.ok()) SLUICE_TRY(check_version(version, "a segment record"));
  segment::SegmentInfo info;
  info.id = id;
  info.partition_start = in.get<int64_t>();
  info.rows = in.get<uint64_t>();
  info.first = in.get<int64_t>();
  info.last = in.get<int64_t>();
  info.file_bytes = in.get<uint64_t>();
  if (!in.ok()) return Error{ErrorCode::corrupt, "a segment record of the catalogue is cut off: " + std::to_string(id)};
  const Bytes path = in.rest();
  info.path.assign(reinterpret_cast<const char*>(path.data()), path.size());
  return info;
}

std::string journal_entry(const JournalHeader& header, std::span<const std::shared_ptr<const Batch>> batches) {
  std::string out;
  // About what rows of packets take; one that takes more grows.
  size_t rows = 0;
  for (const auto& batch : batches) rows += batch->rows;
  out.reserve(kJournalHeaderBytes + rows * kExpectedRowBytes);
  codec::put(out, kVersion);
  codec::put(out, header.partition_start);
  codec::put(out, header.appended_at);
  for (const auto& batch : batches) {
    const size_t at = out.size();
    out.append(codec::kPaddedVarintBytes, '\0');
    codec::append_batch_bytes(*batch, out);
    codec::put_padded_varint(out, at, out.size() - at - codec::kPaddedVarintBytes);
  }
  return out;
}

Result<JournalHeader> parse_journal_header(std::string_view entry) {
  ByteReader in = reader(entry);
  const uint8_t version = in.get<uint8_t>();
  if (in.ok()) SLUICE_TRY(check_version(version, "a journal entry"));
  JournalHeader header;
  header.partition_start = in.get<int64_t>();
  header.appended_at = in.get<int64_t>();
  if (!in.ok()) return Error{ErrorCode::corrupt, "a journal entry is cut off"};
  return header;
}

Result<std::vector<Batch>> parse_journal_rows(std::string_view entry) {
  SLUICE_TRY(parse_journal_header(entry));
  ByteReader in = reader(entry.substr(kJournalHeaderBytes));
  std::vector<Batch> batches;
  while (in.left() > 0) {
    const uint64_t length = in.varint();
    if (!in.ok() || length > in.left()) return Error{ErrorCode::corrupt, "a journal entry is cut off"};
    const Bytes bytes = in.take(length);
    SLUICE_ASSIGN(Batch batch, codec::read_batch_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    batches.push_back(std::move(batch));
  }
  return batches;
}

std::string time_record(TimestampNs time) {
  std::string out;
  codec::put(out, time);
  return out;
}

std::optional<TimestampNs> parse_time_record(std::string_view record) {
  if (record.size() != 8) return std::nullopt;
  return codec::load<TimestampNs>(reinterpret_cast<const uint8_t*>(record.data()));
}

}  // namespace sluice::store
