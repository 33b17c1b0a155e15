// AWS flow logs out of any bytes: never a crash, and what comes out has the shape that batches have.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ingest/source/aws_vpc.h"
#include "ingest/source/limits.h"
#include "storage/model/limits.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  uint64_t rows = 0;
  const FlowSink sink = [&](Batch&& batch) -> Status {
    SLUICE_CHECK(batch.rows > 0 && batch.rows <= limits::kBatchRows);
    SLUICE_CHECK(batch.schema->size() == batch.columns.size());
    for (size_t i = 0; i < batch.columns.size(); ++i) {
      const Column& column = batch.columns[i];
      SLUICE_CHECK(column.size() == batch.rows && column.type() == (*batch.schema)[i].physical);
      SLUICE_CHECK(!column.has_nulls() || column.validity().size() == batch.rows);
      if (column.type() == PhysicalType::Str)
        for (size_t r = 0; r < batch.rows; ++r) SLUICE_CHECK(column.string_at(r).size() <= limits::kStringBytesMax);
    }
    const auto end = batch.find(ColumnId::flow_end);
    SLUICE_CHECK(end && !batch.columns[*end].has_nulls());
    rows += batch.rows;
    return {};
  };
  for (const char* format : {"", "srcaddr dstaddr bytes end log-status instance-tag"})
    for (const auto decoder : {decode_aws_vpc, decode_aws_tgw}) {
      rows = 0;
      const auto report = decoder(body, {.received_at = 1'800'000'000 * kSecond, .format = format}, sink);
      if (!report.ok()) continue;
      SLUICE_CHECK(report->accepted == rows);
      SLUICE_CHECK(report->errors.size() <= limits::kReportedErrorsMax && report->errors.size() <= report->rejected);
    }
  return 0;
}
