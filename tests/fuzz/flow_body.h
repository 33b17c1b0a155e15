// Holds a body decoder to its contract, whatever the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ingest/source/source.h"

namespace sluice::fuzz {

inline void decode_any(ingest::BodyDecoder decoder, const uint8_t* data, size_t size) {
  // Of its own size, so that a sanitizer sees a read beyond its end.
  const std::string copy(reinterpret_cast<const char*>(data), size);
  uint64_t rows = 0;
  const ingest::FlowSink sink = [&](Batch&& batch) -> Status {
    SLUICE_CHECK(batch.rows > 0 && batch.rows <= limits::kBatchRows);
    SLUICE_CHECK(batch.schema->size() == batch.columns.size());
    for (size_t i = 0; i < batch.columns.size(); ++i) {
      const Column& column = batch.columns[i];
      SLUICE_CHECK(column.size() == batch.rows && column.type() == (*batch.schema)[i].physical);
      SLUICE_CHECK(i == 0 || *(*batch.schema)[i - 1].column < *(*batch.schema)[i].column);
      SLUICE_CHECK(!column.has_nulls() || column.validity().size() == batch.rows);
      const EnumSpec* names = (*batch.schema)[i].enumeration;
      for (size_t r = 0; r < batch.rows; ++r) {
        if (column.is_null(r)) continue;
        if (column.type() == PhysicalType::Str) SLUICE_CHECK(column.string_at(r).size() <= limits::kStringBytesMax);
        if (names) SLUICE_CHECK(column.uint_at(r) < names->names.size());
      }
    }
    const auto end = batch.find(ColumnId::flow_end);
    SLUICE_CHECK(end && !batch.columns[*end].has_nulls());
    rows += batch.rows;
    return {};
  };
  const auto report = decoder(copy, {.received_at = 1'800'000'000 * kSecond, .format = ""}, sink);
  if (!report.ok()) return;
  SLUICE_CHECK(report->accepted == rows);
  SLUICE_CHECK(report->errors.size() <= limits::kReportedErrorsMax && report->errors.size() <= report->rejected);
}

}  // namespace sluice::fuzz
