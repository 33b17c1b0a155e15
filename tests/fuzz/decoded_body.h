// Runs a decoder of bodies over any bytes and holds what every decoder promises of its batches and of its report.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "ingest/source/limits.h"
#include "ingest/source/source.h"
#include "storage/model/limits.h"

namespace sluice::ingest::fuzz {

inline void decode_anything(BodyDecoder decoder, const uint8_t* data, size_t size, std::initializer_list<const char*> formats = {""}) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  uint64_t rows = 0;
  const FlowSink sink = [&](Batch&& batch) -> Status {
    SLUICE_CHECK(batch.rows > 0 && batch.rows <= limits::kBatchRows);
    SLUICE_CHECK(batch.schema->size() == batch.columns.size());
    for (size_t i = 0; i < batch.columns.size(); ++i) {
      const Column& column = batch.columns[i];
      SLUICE_CHECK(column.size() == batch.rows && column.type() == (*batch.schema)[i].physical);
      SLUICE_CHECK(!column.has_nulls() || column.validity().size() == batch.rows);
      const EnumSpec* names = (*batch.schema)[i].enumeration;
      for (size_t r = 0; r < batch.rows; ++r) {
        if (column.is_null(r)) continue;
        if (column.type() == PhysicalType::Str) SLUICE_CHECK(column.string_at(r).size() <= limits::kStringBytesMax);
        if (names != nullptr) SLUICE_CHECK(column.uint_at(r) < names->names.size());
      }
    }
    const auto end = batch.find(ColumnId::flow_end);
    SLUICE_CHECK(end && !batch.columns[*end].has_nulls());
    if (const auto start = batch.find(ColumnId::flow_start))
      for (size_t r = 0; r < batch.rows; ++r)
        SLUICE_CHECK(batch.columns[*start].is_null(r) || batch.columns[*start].int_at(r) <= batch.columns[*end].int_at(r));
    rows += batch.rows;
    return {};
  };
  for (const char* format : formats) {
    rows = 0;
    const auto report = decoder(body, {.received_at = 1'800'000'000 * kSecond, .format = format}, sink);
    if (!report.ok()) continue;
    SLUICE_CHECK(report->accepted == rows);
    SLUICE_CHECK(report->errors.size() <= limits::kReportedErrorsMax && report->errors.size() <= report->rejected);
  }
}

}  // namespace sluice::ingest::fuzz
