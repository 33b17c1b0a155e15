// Parquet objects out of any bytes: never a crash nor memory without bound, and what comes out has the shape that batches have.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ingest/receive/line_cut.h"
#include "ingest/source/aws_vpc.h"
#include "ingest/source/limits.h"
#include "storage/model/limits.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice;
  using namespace sluice::ingest;
  // The marks that tell Parquet are put there, or hardly an input would get beyond them.
  std::string body(reinterpret_cast<const char*>(data), size);
  if (body.size() < 12) return 0;
  if (!is_parquet(body)) body.replace(0, 4, "PAR1");
  body.replace(body.size() - 4, 4, "PAR1");
  uint64_t rows = 0;
  const FlowSink sink = [&](Batch&& batch) -> Status {
    SLUICE_CHECK(batch.rows > 0 && batch.rows <= limits::kBatchRows);
    for (const Column& column : batch.columns) SLUICE_CHECK(column.size() == batch.rows);
    rows += batch.rows;
    return {};
  };
  const auto report = decode_aws_vpc(body, {.received_at = 1'800'000'000 * kSecond, .format = {}}, sink);
  if (report.ok()) SLUICE_CHECK(report->accepted == rows && report->errors.size() <= limits::kReportedErrorsMax);
  return 0;
}
