// State and text that grow within one call: one batch of rows can bring gigabytes of text, so the query's memory limit is
// asked while they grow and not only behind.
//
// When the limit is met, the reason stands in EvalContext's meter, as when work is stopped: what was made means nothing.
// Thread rule: a worker's own.
#pragma once

#include <string_view>

#include "query/expression.h"
#include "query/limits.h"

namespace sluice::query {

// What something has grown by during one call. The owner accounts for its whole size behind the call, when this is gone.
class Growth {
 public:
  explicit Growth(EvalContext& context) : context_(context), claim_(context.memory) {}
  // False: the limit is met, or the work was stopped before; nothing more may be added.
  bool add(size_t bytes) {
    total_ += bytes;
    if (total_ < claim_.bytes()) return context_.meter.stopped.ok();
    return claim_more();
  }
  EvalContext& context() const { return context_; }

 private:
  bool claim_more() {
    if (!context_.meter.stopped.ok()) return false;
    if (Status claimed = claim_.set(total_ + limits::kQueryMemoryStepBytes); !claimed.ok()) context_.meter.stopped = std::move(claimed);
    return context_.meter.stopped.ok();
  }
  EvalContext& context_;
  MemoryClaim claim_;
  size_t total_ = 0;
};

// Makes a column of text row by row. After the limit is met, or the work is stopped, rows are empty.
class TextBuilder {
 public:
  TextBuilder(EvalContext& context, size_t rows) : growth_(context), column_(PhysicalType::Str) {
    if (growth_.add(rows * sizeof(uint64_t))) column_.reserve(rows);
  }
  void append(std::string_view text) {
    const bool room = growth_.add(text.size()) && growth_.context().meter.spend(text.size() / 16 + 1);
    column_.append_string(room ? text : std::string_view());
  }
  void append_null() { column_.append_null(); }
  void append_from(const Column& other, size_t row) { other.is_null(row) ? append_null() : append(other.string_at(row)); }
  // REQUIRES: called once, last
  Column finish() { return std::move(column_); }

 private:
  Growth growth_;
  Column column_;
};

}  // namespace sluice::query
