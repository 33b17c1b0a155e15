// Batches of ours as record batches of Arrow. In the Arrow module only: see columnar_writer.h, which has the table of types.
//
// Thread rule: one thread.
#pragma once

#include <arrow/api.h>

#include <memory>
#include <vector>

#include "storage/model/batch.h"

namespace sluice::columnar {

// The schema, with each field's `sluice.type` and `sluice.unit`.
std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema);

// Gathers rows until somebody takes them.
//
//   ArrowRows (append* take)*
class ArrowRows {
 public:
  // REQUIRES: the pool outlives it and what it yields
  ArrowRows(const Schema& schema, arrow::MemoryPool* pool);

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  // Rows [from, to) of the batch. Error: Invalid when a column is not of its field's type; what the pool says.
  arrow::Status append(const Batch& batch, size_t from, size_t to);
  size_t row_count() const { return rows_; }
  size_t byte_count() const { return bytes_; }  // in columns, about
  // All rows so far; none are left.
  arrow::Result<std::shared_ptr<arrow::RecordBatch>> take();

 private:
  arrow::Status append_column(const Field& field, const Column& column, size_t from, size_t to, arrow::ArrayBuilder& builder);

  const Schema fields_;
  const std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::unique_ptr<arrow::ArrayBuilder>> builders_;
  std::vector<std::shared_ptr<arrow::Array>> dictionaries_;  // of enumerations; null for other fields
  size_t rows_ = 0, bytes_ = 0;
  std::string text_;  // of the value at hand
};

}  // namespace sluice::columnar
