// Batches as rows of text, so that tests can say what they expect.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ingest/source/source.h"
#include "storage/model/ip.h"
#include "storage/model/limits.h"
#include "storage/model/text_list.h"

namespace sluice::ingest::test {

// Column name → value as text; null columns are absent. `extra` items appear as "extra.KEY".
using NamedValues = std::map<std::string, std::string>;

inline std::string cell_text(const Field& field, const Column& column, size_t row) {
  switch (field.type) {
    case LogicalType::ip: return to_string(column.ip_at(row));
    case LogicalType::string:
    case LogicalType::list:
    case LogicalType::extra: return std::string(column.string_at(row));
    case LogicalType::enumeration: return std::string(field.enumeration->name_of(static_cast<uint8_t>(column.uint_at(row))));
    case LogicalType::timestamp: return format_timestamp(column.int_at(row));
    default: return std::to_string(column.uint_at(row));
  }
}

inline void append_rows(const Batch& batch, std::vector<NamedValues>& rows) {
  for (size_t r = 0; r < batch.rows; ++r) {
    NamedValues row;
    for (size_t c = 0; c < batch.columns.size(); ++c) {
      const Field& field = (*batch.schema)[c];
      if (batch.columns[c].is_null(r)) continue;
      if (field.column == ColumnId::extra)
        for (const auto& [key, value] : extra_items(batch.columns[c].string_at(r))) row["extra." + key] = value;
      else
        row[field.name] = cell_text(field, batch.columns[c], r);
    }
    rows.push_back(std::move(row));
  }
}

struct Decoded {
  Result<DecodeReport> report = DecodeReport{};
  std::vector<NamedValues> rows;
  size_t batches = 0;

  // A value of a row; "" when null.
  std::string at(size_t row, const std::string& column) const {
    const auto it = rows.at(row).find(column);
    return it == rows[row].end() ? "" : it->second;
  }
};

// Runs a decoder and holds the shape of what comes: every column as long as the batch, every row with a flow_end.
inline Decoded run(BodyDecoder decoder, std::string_view body, DecodeContext context = {}) {
  Decoded out;
  out.report = decoder(body, context, [&](Batch&& batch) -> Status {
    ++out.batches;
    SLUICE_CHECK(batch.rows > 0 && batch.rows <= limits::kBatchRows);
    SLUICE_CHECK(batch.schema->size() == batch.columns.size());
    for (const Column& column : batch.columns) SLUICE_CHECK(column.size() == batch.rows);
    const auto end = batch.find(ColumnId::flow_end);
    SLUICE_CHECK(end.has_value() && !batch.columns[*end].has_nulls());
    append_rows(batch, out.rows);
    return {};
  });
  return out;
}

}  // namespace sluice::ingest::test
