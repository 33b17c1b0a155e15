// A hash index over the rows of a table that does not change: which rows have these keys. Built once, then read by any thread.
#pragma once

#include <span>
#include <vector>

#include "query/expression.h"
#include "query/huge_vector.h"

namespace sluice::query {

class KeyIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Keys of row i are keys[k] at i. `nulls_match`: null is a value like any other, as in groups; else a row with a null among
  // its keys is found by nobody. False: the meter stopped the work. REQUIRES: rows < kNone
  bool build(std::vector<ColumnPtr> keys, size_t rows, bool nulls_match, WorkMeter& meter);

  // The first row whose keys equal those of `row` in `columns`; kNone: there is none.
  // REQUIRES: columns[k] has the physical type of keys[k]
  uint32_t first(std::span<const ColumnPtr> columns, size_t row) const;
  // The next row of the same keys, in ascending order.
  uint32_t next(uint32_t row) const { return next_[row]; }
  size_t byte_size() const { return slots_.capacity() * 8 + next_.capacity() * 4; }

 private:
  bool hash(std::span<const ColumnPtr> columns, size_t row, uint64_t& out) const;
  bool equal(std::span<const ColumnPtr> columns, size_t row, uint32_t mine) const;

  std::vector<ColumnPtr> keys_;
  bool nulls_match_ = false;
  uint64_t mask_ = 0;
  HugeVector<uint64_t> slots_;  // tag of the hash in the high half, the first row of a key in the low
  HugeVector<uint32_t> next_;
};

}  // namespace sluice::query
