// A table of facts that are no flows (lists, context tables, …) as a batch, made column by column.
//
// Thread rule: one thread's own.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "storage/model/batch.h"
#include "storage/model/column.h"

namespace sluice::query {

class TableBatch {
 public:
  // REQUIRES: all columns have the same number of rows
  void add(std::string name, LogicalType type, Column column) {
    batch_.rows = column.size();
    schema_->push_back(Field{std::move(name), type, column.type(), nullptr, {}, std::nullopt});
    batch_.columns.push_back(std::move(column));
  }
  // REQUIRES: called once, last
  Batch finish() {
    batch_.schema = std::move(schema_);
    return std::move(batch_);
  }

 private:
  std::shared_ptr<Schema> schema_ = std::make_shared<Schema>();
  Batch batch_;
};

}  // namespace sluice::query
