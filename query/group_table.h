// Keys of groups to dense numbers: for grouping, and for aggregates that count pairs of group and value.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "query/expression.h"
#include "query/growth.h"

namespace sluice::query {

// Key tuples to dense numbers 0, 1, 2 …, in order of first sight. Addresses and text become numbers first: one table of
// values per key column, looked up once per code of a segment's dictionary, so that all further work is on packed integers.
// Not thread safe.
class GroupTable {
 public:
  explicit GroupTable(std::vector<Type> keys);
  ~GroupTable();
  GroupTable(GroupTable&&) noexcept;

  // Writes the group of each row. `columns` are laid out as the key types say. Text taken in is told to `growth`, if there is
  // one; when that says stop, groups mean nothing.
  void find(std::span<const ColumnPtr> columns, size_t rows, std::vector<uint32_t>& groups, Growth* growth = nullptr);
  // Whether the key is one column of addresses or text, whose groups values of a dictionary are.
  bool is_of_values() const;
  // Writes the groups of values of a dictionary, each code at most once. REQUIRES: is_of_values()
  void find_values(const Dictionary& dictionary, std::span<const uint32_t> codes, uint32_t* groups, Growth* growth);
  // Takes all groups of another table of the same make; map[g] is the number here of its group g.
  std::vector<uint32_t> merge(const GroupTable& other, Growth* growth = nullptr);
  size_t size() const;
  // The value of key `key` for the groups given.
  Column keys(size_t key, std::span<const uint32_t> groups) const;
  size_t byte_size() const;
  // Gives back what only find() needs, before the table is kept.
  void drop_scratch();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::query
