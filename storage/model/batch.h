// Batch: a schema and equal-length columns, the one unit of data. Decoders fill it, the journal keeps it, scans yield it,
// operators pass it, writers print it.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "storage/model/column.h"
#include "storage/model/flow_schema.h"
#include "storage/model/time.h"

namespace sluice {

struct Field {
  std::string name;
  LogicalType type = LogicalType::uint;
  PhysicalType physical = PhysicalType::U64;
  const EnumSpec* enumeration = nullptr;  // for LogicalType::enumeration
  std::string unit;                       // "bytes", "ns", …; may be empty
  std::optional<ColumnId> column;         // set when the values are a stored flow column

  static Field of(ColumnId id);
};

using Schema = std::vector<Field>;

struct Batch {
  std::shared_ptr<const Schema> schema;
  std::vector<Column> columns;  // columns[i] has the physical type of (*schema)[i]; all of size `rows`
  size_t rows = 0;

  // Position of a flow column, or nullopt: a column that is not there is all null.
  std::optional<size_t> find(ColumnId id) const;
  size_t byte_size() const;
};

// Builds a batch of flows row by row; columns appear when first set, so a column never seen costs nothing.
//
//   (begin_row set* )* finish
//
// Within a row each column is set at most once (a second set of the same column is ignored: the first value wins, as for
// repeated IPFIX elements). Not thread safe.
//
// Decoders that have many rows at hand write columns ahead of their rows: ahead(c) for each column known for all of the
// next n rows, n values appended to it, then begin_rows(n), or n times begin_row with set* for what differs by row.
class FlowBatchBuilder {
  // Values of rows [begin, begin + count) that the column, which ends at begin, does not hold yet.
  struct Repeat {
    size_t begin = 0, count = 0;
    unsigned char value[sizeof(IpAddress)] = {};
  };

 public:
  FlowBatchBuilder();

  void begin_row() { ++rows_; }
  void begin_rows(size_t count) { rows_ += count; }
  // The column, padded with nulls up to the rows begun; the caller appends the values of the next rows, each of which it
  // must begin before it calls anything but begin_row, begin_rows, set* and is_set.
  Column& ahead(ColumnId id) {
    Column& c = ensure(id);
    if (c.size() < rows_) c.append_nulls(rows_ - c.size());
    return c;
  }
  // One value for all of the next `count` rows, as ahead() with as many appends. It costs nothing while it is the value of
  // the rows before too, which is so for what packet after packet repeats. REQUIRES: T is exactly the physical type's
  template <typename T>
  void repeat(ColumnId id, size_t count, const T& value) {
    static_assert(sizeof(T) <= sizeof(Repeat::value) && std::is_trivially_copyable_v<T>);
    Repeat& r = repeats_[static_cast<size_t>(id)];
    if (r.count > 0 && r.begin + r.count == rows_ && std::memcmp(r.value, &value, sizeof(T)) == 0) {
      r.count += count;
      return;
    }
    ahead(id);  // settles what was repeated before
    r.begin = rows_;
    r.count = count;
    std::memcpy(r.value, &value, sizeof(T));
  }
  // Takes back the row begun last, with all its values. REQUIRES: rows() > 0, no column is ahead
  void abandon_row();

  void set_uint(ColumnId id, uint64_t value) {
    if (Column* c = slot(id)) c->append_uint(value);
  }
  void set_time(ColumnId id, TimestampNs value) { set_uint(id, static_cast<uint64_t>(value)); }
  void set_ip(ColumnId id, const IpAddress& value) {
    if (Column* c = slot(id)) c->append(value);
  }
  void set_string(ColumnId id, std::string_view value) {
    if (Column* c = slot(id)) c->append_string(value);
  }
  template <typename E>
    requires std::is_enum_v<E>
  void set_enum(ColumnId id, E value) {
    set_uint(id, static_cast<uint64_t>(value));
  }
  // Whether the current row has this column. REQUIRES: rows() > 0
  bool is_set(ColumnId id) const {
    const Repeat& r = repeats_[static_cast<size_t>(id)];
    if (r.count > 0 && rows_ > r.begin) return rows_ <= r.begin + r.count;
    const auto& c = columns_[static_cast<size_t>(id)];
    return c && c->size() >= rows_ && !c->is_null(rows_ - 1);
  }

  size_t rows() const { return rows_; }
  size_t byte_size() const;
  // The batch so far; the builder is empty afterwards.
  Batch finish();

 private:
  // The column, padded with nulls up to the current row; nullptr when the row already has a value.
  Column* slot(ColumnId id) {
    Column& c = ensure(id);
    if (c.size() + 1 < rows_) c.append_nulls(rows_ - 1 - c.size());
    return c.size() < rows_ ? &c : nullptr;
  }
  Column& ensure(ColumnId id) {
    auto& c = columns_[static_cast<size_t>(id)];
    if (!c) {
      c.emplace(column_spec(id).physical);
      c->reserve(rows_expected_);
    }
    if (repeats_[static_cast<size_t>(id)].count > 0) settle(id);
    return *c;
  }
  // Writes out what is repeated.
  void settle(ColumnId id);

  std::array<std::optional<Column>, kColumnCount> columns_;
  std::array<Repeat, kColumnCount> repeats_;
  size_t rows_ = 0;
  size_t rows_expected_ = 0;  // rows of the batch before: what columns are given room for
};

}  // namespace sluice
