// Context tables: what is known of addresses, ports or names beside the flows (owners, sites, roles), and from when to when.
//
// A table comes from CSV (RFC 4180) whose first line names the columns. One column is the key: addresses and blocks, numbers, or text.
// Columns called `valid_from` and `valid_to` (times, half-open; empty: without end) say when a row holds. All others are values. A name
// may carry its type, `risk:float`; else a column has the first of uint, int, float, ip, timestamp, bool that all its fields fit, and else
// is text. An empty field is null. A table does not change; a TableBook is all tables at one moment, and a query sees one book from its
// beginning to its end. Who keeps the tables gives the book to QueryContext and changes them through TableWriter.
// Thread rule: any thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "query/expression.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::query {

class ContextTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  enum class Key { address, number, text };
  struct Value {
    std::string name;
    Type type;
    Column column;  // text is coded
  };

  // `key`: the column that is the key; empty: the first. Errors: invalid_argument for the name, parse and too_large, naming line and column.
  static Result<ContextTable> read(std::string name, std::string_view key, std::string csv);

  const std::string& name() const { return name_; }
  const std::string& key_name() const { return key_name_; }
  Key key() const { return key_; }
  const std::vector<Value>& values() const { return values_; }
  std::optional<size_t> value_at(std::string_view column) const;  // minds no case
  size_t rows() const { return rows_; }
  const std::string& csv() const { return csv_; }  // as it came
  uint64_t version = 1;       // counts up each time the table is replaced
  TimestampNs updated_at = 0;

  // The row of a key at a moment: of blocks the longest that holds the address, of rows alike the last. kNone: there is none.
  uint32_t find(const IpAddress& address, TimestampNs at) const;
  uint32_t find(uint64_t number, TimestampNs at) const;
  uint32_t find(std::string_view text, TimestampNs at) const;

 private:
  // From `from` to the next period of its key the row holds, or none. A key's first period begins before all time.
  struct Period {
    TimestampNs from;
    uint32_t row;
  };
  // Of one key: places in periods_. While a table is read: its last row, and how many rows it has.
  struct Span {
    uint32_t begin, count;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  struct Reader;
  uint32_t row_at(const Span& span, TimestampNs at) const;

  std::string name_, key_name_, csv_;
  Key key_ = Key::text;
  size_t rows_ = 0;
  std::vector<Value> values_;
  std::vector<Period> periods_;
  std::map<uint8_t, std::unordered_map<IpAddress, Span, IpHash>, std::greater<>> blocks_;  // by prefix length, of 128 bits
  std::unordered_map<uint64_t, Span> numbers_;
  std::unordered_map<std::string, Span, TextHash, std::equal_to<>> texts_;
};

class TableBook {
 public:
  // Names mind no case. nullptr: there is none.
  std::shared_ptr<const ContextTable> find(std::string_view name) const;
  const std::map<std::string, std::shared_ptr<const ContextTable>>& tables() const { return tables_; }  // by lower-case name
  size_t byte_size() const;  // of the CSV

  // Books with one change.
  std::shared_ptr<const TableBook> with(std::shared_ptr<const ContextTable> table) const;
  std::shared_ptr<const TableBook> without(std::string_view name) const;

 private:
  std::map<std::string, std::shared_ptr<const ContextTable>> tables_;
};

// Keeps what `create table` and `drop table` say. Thread-safe; durable when it returns.
class TableWriter {
 public:
  virtual ~TableWriter() = default;
  // The table's version. Errors: conflict (there is one and `replace` is not set), too_large (the bounds of all tables), those of the disk.
  virtual Result<uint64_t> put_table(ContextTable table, bool replace) = 0;
  virtual Status drop_table(std::string_view name) = 0;  // not_found
};

// `show tables`: name, key, key_kind, columns, rows, version, updated_at.
Batch tables_table(const TableBook& book);

// The row of the table for a key: a number, null where there is none. `time` may be null: the rows that hold at `now`.
// The error is a message without a place: the type of the key or the time does not fit.
Result<NodePtr> make_lookup_row(std::shared_ptr<const ContextTable> table, NodePtr key, NodePtr time, TimestampNs now);
// A value of the row that a node of make_lookup_row() says. REQUIRES: value < table->values().size()
NodePtr make_lookup_value(std::shared_ptr<const ContextTable> table, size_t value, NodePtr row);

}  // namespace sluice::query
