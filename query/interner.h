// Values of key columns (addresses or text) to dense numbers. Null is a value like any other here.
// Not thread safe.
#pragma once

#include <memory>
#include <vector>

#include "query/growth.h"
#include "query/number_table.h"
#include "storage/model/column.h"

namespace sluice::query {

class Interner {
 public:
  explicit Interner(PhysicalType type) : values_(type) {}

  // The number of each row. A dictionary's code is looked up once, however many rows and columns use it.
  // What it takes in for that is told to `growth`, if there is one; when that says stop, numbers mean nothing.
  void ids(const Column& column, std::vector<uint32_t>& out, Growth* growth);
  // The numbers of values of a dictionary, each code at most once.
  void numbers_of(const Dictionary& dictionary, std::span<const uint32_t> codes, uint32_t* out, Growth* growth);
  // Numbers here of all values of another.
  std::vector<uint32_t> merge(const Interner& other, Growth* growth);
  const Column& values() const { return values_; }
  size_t size() const { return values_.size(); }
  size_t byte_size() const;
  // Gives back what only looking up needs, and lets go of dictionaries.
  void drop_scratch();

 private:
  struct CodeCache {
    std::shared_ptr<const Dictionary> dictionary;
    std::vector<uint32_t> ids;
  };

  uint32_t null_id();
  // Numbers of `count` values, value(i) each: an address or text.
  template <typename T, typename Value>
  void number(size_t count, uint32_t* out, Growth* growth, Value value);
  void number_column(const Column& column, uint32_t* out, Growth* growth);
  CodeCache& cache_of(const std::shared_ptr<const Dictionary>& dictionary);

  Column values_;
  NumberTable table_;
  uint32_t null_ = NumberTable::kNone;
  std::vector<CodeCache> caches_;
  std::vector<uint32_t> missing_rows_, missing_codes_, found_;
};

}  // namespace sluice::query
