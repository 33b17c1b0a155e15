// Journal entries of any bytes: read without harm, and what reads well reads back the same once written again.

#include "storage/codec/batch_bytes.h"

#include <cstdlib>

#include "storage/store/records.h"

using namespace sluice;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const Batch& batch) {
  require(batch.schema && batch.schema->size() == batch.columns.size());
  for (const Column& column : batch.columns) {
    require(column.size() == batch.rows);
    require(!column.has_nulls() || column.validity().size() == batch.rows);
    for (size_t r = 0; r < batch.rows && r < 1'000; ++r) {
      if (column.is_null(r)) continue;
      if (column.type() == PhysicalType::Str)
        (void)column.string_at(r);
      else if (column.type() == PhysicalType::Ip)
        (void)column.ip_at(r);
      else if (column.type() != PhysicalType::F64)
        (void)column.uint_at(r);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto batch = codec::read_batch_bytes(bytes); batch.ok()) {
    check(*batch);
    std::string once, twice;
    codec::append_batch_bytes(*batch, once);
    const auto again = codec::read_batch_bytes(once);
    require(again.ok() && again->rows == batch->rows && again->columns.size() == batch->columns.size());
    codec::append_batch_bytes(*again, twice);
    require(once == twice);
  }
  if (const auto batches = store::parse_journal_rows(bytes); batches.ok())
    for (const Batch& batch : *batches) check(batch);
  (void)store::parse_segment_record(1, bytes);
  return 0;
}
