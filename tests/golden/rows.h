// Rows as text, both ways: flows written as a small table in a test, and answers printed so that they can be compared.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/model/batch.h"
#include "storage/model/result.h"

namespace sluice::golden {

// A table of flows: a header line of stored column names, then a line of values for each flow, all parted by blanks.
// `-` is null; text with blanks stands in double quotes; timestamps may be "08:00:05" (of 2026-11-20) or RFC 3339.
Result<Batch> read_flows(std::string_view table);

// Text, in quotes where it would not be seen as one word.
std::string text_of_string(std::string_view text);

// One value as canonical text: addresses, RFC 3339 times, durations such as 1h30m, names of enumerations, floats with six
// significant digits, "null"; text with blanks or quotes is quoted.
std::string value_text(const Field& field, const Column& column, size_t row);

struct TextTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;

  std::string text() const;  // a line each, values parted by one blank
};
void append_rows(TextTable& table, const Schema& schema, const Batch& batch);

// One value of a flow column put into the row begun last. Errors name column and text.
Status set_value(FlowBatchBuilder& builder, ColumnId id, std::string_view text);

}  // namespace sluice::golden
