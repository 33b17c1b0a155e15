#include "ingest/source/batch_columns.h"

#include <algorithm>

namespace sluice::ingest {

Column repeated_text(std::string_view text, size_t rows) {
  StringVector texts;
  texts.push_back(text);
  return Column::coded(std::make_shared<MemoryDictionary>(std::move(texts), true), std::vector<uint32_t>(rows, 0));
}

void add_columns(Batch& batch, std::vector<std::pair<ColumnId, Column>> columns) {
  for (size_t i = 0; i < batch.columns.size(); ++i) columns.emplace_back(*(*batch.schema)[i].column, std::move(batch.columns[i]));
  std::sort(columns.begin(), columns.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  auto schema = std::make_shared<Schema>();
  batch.columns.clear();
  for (auto& [id, column] : columns) {
    schema->push_back(Field::of(id));
    batch.columns.push_back(std::move(column));
  }
  batch.schema = std::move(schema);
}

}  // namespace sluice::ingest
