#include "server/scattered_append.h"

#include "ingest/receive/digest.h"
#include "storage/model/limits.h"
#include "storage/store/rows.h"

namespace sluice::server {

std::string bounded_object_key(std::string key) {
  return key.size() <= limits::kObjectKeyBytesMax ? key : "sha256:" + ingest::hex(ingest::sha256(key));
}

Result<store::AppendResult> append_scattered(std::span<const std::shared_ptr<const Batch>> batches, const store::AppendOptions& options,
                                             const std::string& base, DurationNs partition_width, const AppendRows& append) {
  DurationNs span = 0;
  if (__builtin_mul_overflow(partition_width, static_cast<DurationNs>(limits::kPartitionsPerAppendMax), &span)) span = kTimestampMax;
  store::AppendResult sum;
  const store::SpanVisit append_span = [&](int64_t number, std::span<const std::shared_ptr<const Batch>> rows) -> Status {
    store::AppendOptions one;
    one.object_key = bounded_object_key(base + "#span" + std::to_string(number));
    SLUICE_TRY(append(rows, one));
    for (const auto& batch : rows) sum.rows += batch->rows;
    return {};
  };
  SLUICE_TRY(store::for_each_span(batches, span, append_span));
  SLUICE_ASSIGN(const store::AppendResult last, append({}, options));
  sum.sequence = last.sequence;
  return sum;
}

}  // namespace sluice::server
