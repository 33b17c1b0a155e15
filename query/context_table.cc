#include "query/context_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>
#include <set>

#include "query/limits.h"
#include "query/table_batch.h"
#include "query/words.h"
#include "storage/model/counted.h"

namespace sluice::query {
namespace {

Error at_line(size_t line, const std::string& what, ErrorCode code = ErrorCode::parse) {
  return Error{code, "line " + std::to_string(line) + " of the CSV: " + what};
}

// Fields of CSV as pieces of the text; those with doubled quotes are kept aside.
class CsvReader {
 public:
  explicit CsvReader(std::string_view text) : text_(text), at_(text.starts_with("\xef\xbb\xbf") ? 3 : 0) {}

  // One record of RFC 4180: quotes may hold separators, line ends and doubled quotes. False: the text is at its end.
  Result<bool> next(std::vector<std::string_view>& fields) {
    fields.clear();
    began_ = line_;
    if (at_ >= text_.size()) return false;
    while (true) {
      if (fields.size() == limits::kContextColumnsMax)
        return at_line(began_, "more fields than the limit: " + std::to_string(limits::kContextColumnsMax), ErrorCode::too_large);
      SLUICE_ASSIGN(const std::string_view field, at_ < text_.size() && text_[at_] == '"' ? quoted() : Result<std::string_view>(plain()));
      fields.push_back(field);
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        continue;
      }
      if (at_ < text_.size() && text_[at_] == '\r') ++at_;
      if (at_ < text_.size() && text_[at_] == '\n') ++at_, ++line_;
      return true;
    }
  }
  size_t line() const { return began_; }  // of the record that was read last

 private:
  std::string_view plain() {
    const size_t from = at_;
    at_ = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    return text_.substr(from, at_ - from);
  }
  Result<std::string_view> quoted() {
    const size_t from = ++at_;
    bool doubled = false;
    for (;; ++at_) {
      if (at_ >= text_.size()) return at_line(began_, "a quoted field does not end");
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') continue;
      if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
      doubled = true;
      ++at_;
    }
    std::string_view field = text_.substr(from, at_ - from);
    ++at_;
    if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') return at_line(line_, "text follows a quoted field");
    if (!doubled) return field;
    std::string& single = aside_.emplace_back();
    for (size_t i = 0; i < field.size(); ++i) {
      single += field[i];
      if (field[i] == '"') ++i;
    }
    return std::string_view(single);
  }

  std::string_view text_;
  size_t at_, line_ = 1, began_ = 1;
  std::deque<std::string> aside_;
};

template <typename T>
std::optional<T> number_of(std::string_view text) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>)
    if (!std::isfinite(out)) return std::nullopt;
  return out;
}

// A field as a value of the type; nullopt: it is none. Without a declared type 007 is a name and no number.
std::optional<Value> field_value(std::string_view text, LogicalType type, bool declared) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (!declared && digits.size() > 1 && digits[0] == '0' && digits[1] != '.' && type != LogicalType::ip && type != LogicalType::timestamp && type != LogicalType::string) return std::nullopt;
  switch (type) {
    case LogicalType::uint:
      if (const auto n = number_of<uint64_t>(text)) return Value::uint(*n);
      return std::nullopt;
    case LogicalType::int64:
      if (const auto n = number_of<int64_t>(text)) return Value::int64(*n);
      return std::nullopt;
    case LogicalType::float64:
      if (const auto n = number_of<double>(text)) return Value::float64(*n);
      return std::nullopt;
    case LogicalType::ip:
      if (const auto ip = parse_ip(text)) return Value::ip(*ip);
      return std::nullopt;
    case LogicalType::timestamp:
      if (const auto t = parse_timestamp(text)) return Value::time(*t);
      return std::nullopt;
    case LogicalType::boolean:
      if (equal_ignoring_case(text, "true")) return Value::boolean(true);
      if (equal_ignoring_case(text, "false")) return Value::boolean(false);
      return std::nullopt;
    default: return Value::text(std::string(text));
  }
}

constexpr std::pair<std::string_view, LogicalType> kTypes[] = {
    {"uint", LogicalType::uint},           {"int", LogicalType::int64},       {"float", LogicalType::float64}, {"ip", LogicalType::ip},
    {"timestamp", LogicalType::timestamp}, {"bool", LogicalType::boolean}, {"string", LogicalType::string},
};
std::string_view name_of(LogicalType type) {
  for (const auto& [name, t] : kTypes)
    if (t == type) return name;
  return "string";
}

}  // namespace

// What is needed only while a table is read.
struct ContextTable::Reader {
  struct Header {
    std::string name;
    std::optional<LogicalType> type;
  };
  struct Validity {
    TimestampNs from = kTimestampMin, to = kTimestampMax;
  };

  ContextTable& table;
  CsvReader csv;
  std::vector<Header> header;
  size_t key_at = 0;
  std::optional<size_t> from_at, to_at;
  std::vector<std::string_view> cells;  // row by row
  std::vector<size_t> lines;
  std::vector<Validity> valid;
  std::vector<uint32_t> before;  // the row of the same key before this one

  std::string_view cell(size_t row, size_t column) const { return cells[row * header.size() + column]; }

  Status read_header(std::string_view key) {
    std::vector<std::string_view> fields;
    SLUICE_ASSIGN(const bool any, csv.next(fields));
    if (!any) return Error{ErrorCode::parse, "the CSV is empty: its first line names the columns"};
    std::set<std::string> names;
    std::optional<size_t> found;
    for (size_t i = 0; i < fields.size(); ++i) {
      Header column{std::string(fields[i]), std::nullopt};
      if (const size_t colon = column.name.rfind(':'); colon != std::string::npos) {
        const std::string word = lower_case(column.name.substr(colon + 1));
        for (const auto& [name, type] : kTypes)
          if (name == word) column.type = type;
        if (!column.type) return at_line(1, "'" + word + "' is no type: one of uint, int, float, ip, timestamp, bool, string");
        column.name.resize(colon);
      }
      if (column.name.empty()) return at_line(1, "column " + std::to_string(i + 1) + " has no name");
      if (!names.insert(lower_case(column.name)).second) return at_line(1, "two columns are called '" + column.name + "'");
      if (equal_ignoring_case(column.name, key)) found = i;
      if (equal_ignoring_case(column.name, "valid_from")) from_at = i;
      if (equal_ignoring_case(column.name, "valid_to")) to_at = i;
      header.push_back(std::move(column));
    }
    if (key.empty()) found = 0;
    if (!found) return at_line(1, "there is no column '" + std::string(key) + "', which is to be the key");
    key_at = *found;
    if (from_at == key_at || to_at == key_at) return at_line(1, "'" + header[key_at].name + "' says when a row holds, and cannot be the key");
    if (header.size() - 1 - (from_at ? 1 : 0) - (to_at ? 1 : 0) == 0) return at_line(1, "there is no column beside the key");
    return {};
  }

  Status read_rows() {
    std::vector<std::string_view> fields;
    while (true) {
      SLUICE_ASSIGN(const bool more, csv.next(fields));
      if (!more) return {};
      if (fields.size() == 1 && fields[0].empty()) continue;  // an empty line
      const size_t line = csv.line();
      if (fields.size() != header.size())
        return at_line(line, counted(fields.size(), "field") + ", and the first line has " + std::to_string(header.size()));
      if (lines.size() == limits::kContextRowsMax) return at_line(line, "more rows than the limit: " + std::to_string(limits::kContextRowsMax), ErrorCode::too_large);
      if (cells.size() + fields.size() > limits::kContextFieldsMax)
        return at_line(line, "more fields in all than the limit: " + std::to_string(limits::kContextFieldsMax), ErrorCode::too_large);
      if (fields[key_at].empty()) return at_line(line, "the key is empty");
      Validity v;
      for (const auto& [column, end] : {std::pair{from_at, &v.from}, {to_at, &v.to}}) {
        if (!column || fields[*column].empty()) continue;
        const auto t = parse_timestamp(fields[*column]);
        if (!t) return at_line(line, "'" + std::string(fields[*column].substr(0, 100)) + "' is not a time, such as 2026-11-20T08:00:00Z");
        *end = *t;
      }
      if (v.from >= v.to) return at_line(line, "valid_to is not after valid_from");
      valid.push_back(v);
      cells.insert(cells.end(), fields.begin(), fields.end());
      lines.push_back(line);
    }
  }

  // The narrowest kind of key that all of them fit, or the one that the header names.
  Status read_keys() {
    const auto fits = [&](auto test) -> std::optional<size_t> {  // the first row that does not
      for (size_t i = 0; i < lines.size(); ++i)
        if (!test(cell(i, key_at))) return i;
      return std::nullopt;
    };
    const auto is_address = [](std::string_view t) { return parse_prefix(t).has_value(); };
    const auto is_number = [](std::string_view t) { return number_of<uint64_t>(t).has_value(); };
    const auto refuse = [&](size_t row, std::string_view what) {
      return at_line(lines[row], "the key '" + std::string(cell(row, key_at).substr(0, 100)) + "' is not " + std::string(what));
    };
    if (const auto& declared = header[key_at].type) {
      if (*declared == LogicalType::ip) {
        table.key_ = Key::address;
        if (const auto row = fits(is_address)) return refuse(*row, "an address or a block");
      } else if (*declared == LogicalType::uint) {
        table.key_ = Key::number;
        if (const auto row = fits(is_number)) return refuse(*row, "a whole number");
      } else if (*declared != LogicalType::string) {
        return at_line(1, "a key is ip, uint or string, not " + std::string(name_of(*declared)));
      }
    } else if (!lines.empty() && !fits(is_address)) {
      table.key_ = Key::address;
    } else if (!lines.empty() && !fits(is_number)) {
      table.key_ = Key::number;
    }
    for (uint32_t row = 0; row < lines.size(); ++row) {
      const std::string_view text = cell(row, key_at);
      const auto link = [&](auto& map, auto map_key) {
        const auto [it, fresh] = map.try_emplace(std::move(map_key), Span{row, 1});
        before.push_back(fresh ? kNone : it->second.begin);
        if (!fresh) it->second = {row, it->second.count + 1};
      };
      if (table.key_ == Key::address) {
        const Prefix prefix = *parse_prefix(text);
        link(table.blocks_[prefix.length], prefix.first());
      } else if (table.key_ == Key::number) {
        link(table.numbers_, *number_of<uint64_t>(text));
      } else {
        link(table.texts_, std::string(text));
      }
    }
    for (auto& [length, map] : table.blocks_)
      for (auto& [key, span] : map) make_periods(span);
    for (auto& [key, span] : table.numbers_) make_periods(span);
    for (auto& [key, span] : table.texts_) make_periods(span);
    return {};
  }

  // From the rows of one key the periods in which the last of those that hold does.
  void make_periods(Span& span) {
    const auto begin = static_cast<uint32_t>(table.periods_.size());
    struct Change {
      TimestampNs at;
      uint32_t row;
      bool begins;
    };
    std::vector<Change> changes;
    for (uint32_t row = span.begin; row != kNone; row = before[row]) {
      changes.push_back({valid[row].from, row, true});
      if (valid[row].to != kTimestampMax) changes.push_back({valid[row].to, row, false});
    }
    std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) { return a.at < b.at; });
    table.periods_.push_back({kTimestampMin, kNone});
    std::set<uint32_t> holding;
    for (size_t i = 0; i < changes.size();) {
      const TimestampNs at = changes[i].at;
      for (; i < changes.size() && changes[i].at == at; ++i) changes[i].begins ? void(holding.insert(changes[i].row)) : void(holding.erase(changes[i].row));
      const uint32_t row = holding.empty() ? kNone : *holding.rbegin();
      Period& last = table.periods_.back();
      if (last.from == at)
        last.row = row;
      else if (last.row != row)
        table.periods_.push_back({at, row});
    }
    span = {begin, static_cast<uint32_t>(table.periods_.size() - begin)};
  }

  Status read_values() {
    for (size_t c = 0; c < header.size(); ++c) {
      if (c == key_at || c == from_at || c == to_at) continue;
      const auto misfit = [&](LogicalType type, bool declared, bool& filled) -> std::optional<size_t> {
        filled = false;
        for (size_t i = 0; i < lines.size(); ++i) {
          if (cell(i, c).empty()) continue;
          filled = true;
          if (!field_value(cell(i, c), type, declared)) return i;
        }
        return std::nullopt;
      };
      LogicalType type = LogicalType::string;
      bool filled = false;
      if (header[c].type) {
        type = *header[c].type;
        if (const auto row = misfit(type, true, filled))
          return at_line(lines[*row], "'" + std::string(cell(*row, c).substr(0, 100)) + "' in column '" + header[c].name + "' is no " + std::string(name_of(type)));
      } else {
        for (const auto& [name, candidate] : kTypes)
          if (!misfit(candidate, false, filled)) {
            if (filled) type = candidate;
            break;
          }
      }
      const bool declared = header[c].type.has_value();
      Value value{header[c].name, Type::of(type), Column(Type::of(type).physical)};
      if (type == LogicalType::string) {
        value.column = coded_text(c);
      } else {
        for (size_t i = 0; i < lines.size(); ++i) {
          if (cell(i, c).empty())
            value.column.append_null();
          else
            append_value(value.column, *field_value(cell(i, c), type, declared));
        }
      }
      table.values_.push_back(std::move(value));
    }
    return {};
  }

  // Rows of an answer share the table's dictionary.
  Column coded_text(size_t c) const {
    std::unordered_map<std::string_view, uint32_t> codes;
    StringVector distinct;
    std::vector<uint32_t> rows;
    Bitmap is_set;
    bool nulls = false;
    for (size_t i = 0; i < lines.size(); ++i) {
      const std::string_view text = cell(i, c);
      is_set.push_back(!text.empty());
      if (text.empty()) {
        nulls = true;
        rows.push_back(0);
        continue;
      }
      const auto [it, fresh] = codes.try_emplace(text, static_cast<uint32_t>(codes.size()));
      if (fresh) distinct.push_back(text);
      rows.push_back(it->second);
    }
    return Column::coded(std::make_shared<MemoryDictionary>(std::move(distinct), false), std::move(rows), nulls ? std::move(is_set) : Bitmap());
  }
};

Result<ContextTable> ContextTable::read(std::string name, std::string_view key, std::string csv) {
  if (name.empty() || name.size() > limits::kListNameBytesMax)
    return Error{ErrorCode::invalid_argument, "a table's name has from 1 to " + std::to_string(limits::kListNameBytesMax) + " bytes"};
  ContextTable table;
  table.csv_ = std::move(csv);
  {
    Reader reader{table, CsvReader(table.csv_), {}, 0, {}, {}, {}, {}, {}, {}};
    SLUICE_TRY(reader.read_header(key));
    SLUICE_TRY(reader.read_rows());
    SLUICE_TRY(reader.read_keys());
    SLUICE_TRY(reader.read_values());
    table.rows_ = reader.lines.size();
    table.key_name_ = reader.header[reader.key_at].name;
  }
  table.name_ = std::move(name);
  return table;
}

std::optional<size_t> ContextTable::value_at(std::string_view column) const {
  for (size_t i = 0; i < values_.size(); ++i)
    if (equal_ignoring_case(values_[i].name, column)) return i;
  return std::nullopt;
}

uint32_t ContextTable::row_at(const Span& span, TimestampNs at) const {
  const auto begin = periods_.begin() + span.begin, end = begin + span.count;
  const auto next = std::upper_bound(begin, end, at, [](TimestampNs t, const Period& p) { return t < p.from; });
  return std::prev(next)->row;  // the first begins before all time
}

uint32_t ContextTable::find(const IpAddress& address, TimestampNs at) const {
  for (const auto& [length, addresses] : blocks_) {
    const auto it = addresses.find(Prefix::of(address, length).first());
    if (it == addresses.end()) continue;
    if (const uint32_t row = row_at(it->second, at); row != kNone) return row;
  }
  return kNone;
}
uint32_t ContextTable::find(uint64_t number, TimestampNs at) const {
  const auto it = numbers_.find(number);
  return it == numbers_.end() ? kNone : row_at(it->second, at);
}
uint32_t ContextTable::find(std::string_view text, TimestampNs at) const {
  const auto it = texts_.find(text);
  return it == texts_.end() ? kNone : row_at(it->second, at);
}

std::shared_ptr<const ContextTable> TableBook::find(std::string_view name) const {
  const auto it = tables_.find(lower_case(name));
  return it == tables_.end() ? nullptr : it->second;
}
size_t TableBook::byte_size() const {
  size_t n = 0;
  for (const auto& [name, t] : tables_) n += t->csv().size();
  return n;
}
std::shared_ptr<const TableBook> TableBook::with(std::shared_ptr<const ContextTable> table) const {
  auto book = std::make_shared<TableBook>(*this);
  const std::string key = lower_case(table->name());
  book->tables_[key] = std::move(table);
  return book;
}
std::shared_ptr<const TableBook> TableBook::without(std::string_view name) const {
  auto book = std::make_shared<TableBook>(*this);
  book->tables_.erase(lower_case(name));
  return book;
}

Batch tables_table(const TableBook& book) {
  Column name(PhysicalType::Str), key(PhysicalType::Str), kind(PhysicalType::Str), columns(PhysicalType::Str), rows(PhysicalType::U64), version(PhysicalType::U64),
      updated(PhysicalType::I64);
  for (const auto& [k, table] : book.tables()) {
    name.append_string(table->name());
    key.append_string(table->key_name());
    kind.append_string(table->key() == ContextTable::Key::address ? "address" : table->key() == ContextTable::Key::number ? "number" : "text");
    std::string names;
    for (const auto& v : table->values()) names += (names.empty() ? "" : ", ") + v.name + ":" + std::string(name_of(v.type.logical));
    columns.append_string(names);
    rows.append(uint64_t{table->rows()});
    version.append(table->version);
    updated.append(table->updated_at);
  }
  TableBatch shown;
  shown.add("name", LogicalType::string, std::move(name));
  shown.add("key", LogicalType::string, std::move(key));
  shown.add("key_kind", LogicalType::string, std::move(kind));
  shown.add("columns", LogicalType::string, std::move(columns));
  shown.add("rows", LogicalType::uint, std::move(rows));
  shown.add("version", LogicalType::uint, std::move(version));
  shown.add("updated_at", LogicalType::timestamp, std::move(updated));
  return shown.finish();
}

namespace {

class LookupRow final : public Node {
 public:
  LookupRow(std::shared_ptr<const ContextTable> table, NodePtr key, NodePtr time, TimestampNs now)
      : Node(Type::of(LogicalType::uint)), table_(std::move(table)), key_(std::move(key)), time_(std::move(time)), now_(now) {}
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    const ColumnPtr keys = key_->eval(chunk, context), times = time_ ? time_->eval(chunk, context) : nullptr;
    if (!context.meter.stopped.ok()) return keep(Column::nulls(PhysicalType::U64, chunk.rows), context);
    Column out(PhysicalType::U64);
    out.reserve(chunk.rows);
    const auto append = [&](uint32_t row) { row == ContextTable::kNone ? out.append_null() : out.append(uint64_t{row}); };
    // Without a time each value of a dictionary has one row.
    const bool by_code = keys->is_coded() && !times && keys->dictionary()->size() <= chunk.rows;
    constexpr uint32_t kUnknown = ContextTable::kNone - 1;
    std::vector<uint32_t> known(by_code ? keys->dictionary()->size() : 0, kUnknown);
    for (size_t i = 0; i < chunk.rows; ++i) {
      if (!context.meter.spend(1)) return keep(Column::nulls(PhysicalType::U64, chunk.rows), context);
      if (keys->is_null(i) || (times && times->is_null(i))) {
        out.append_null();
        continue;
      }
      if (!by_code) {
        append(find(*keys, i, times ? times->int_at(i) : now_));
        continue;
      }
      uint32_t& row = known[keys->codes()[i]];
      if (row == kUnknown) row = find(*keys, i, now_);
      append(row);
    }
    return keep(std::move(out), context);
  }
  void collect_slots(std::vector<size_t>& slots) const override {
    key_->collect_slots(slots);
    if (time_) time_->collect_slots(slots);
  }

 private:
  uint32_t find(const Column& keys, size_t i, TimestampNs at) const {
    switch (table_->key()) {
      case ContextTable::Key::address: return table_->find(keys.ip_at(i), at);
      case ContextTable::Key::number: return table_->find(keys.uint_at(i), at);
      case ContextTable::Key::text: return table_->find(keys.string_at(i), at);
    }
    return ContextTable::kNone;
  }

  std::shared_ptr<const ContextTable> table_;
  NodePtr key_, time_;
  TimestampNs now_;
};

class LookupValue final : public Node {
 public:
  LookupValue(std::shared_ptr<const ContextTable> table, size_t value, NodePtr row)
      : Node(table->values()[value].type), table_(std::move(table)), value_(value), row_(std::move(row)) {}
  ColumnPtr eval(const Chunk& chunk, EvalContext& context) const override {
    const ColumnPtr rows = row_->eval(chunk, context);
    const Column& from = table_->values()[value_].column;
    if (!context.meter.stopped.ok()) return keep(Column::nulls(from.type(), chunk.rows), context);
    if (from.is_coded()) {
      std::vector<uint32_t> codes(chunk.rows);
      Bitmap valid(chunk.rows, true);
      for (size_t i = 0; i < chunk.rows; ++i) {
        const bool set = !rows->is_null(i) && !from.is_null(rows->uint_at(i));
        if (set) codes[i] = from.codes()[rows->uint_at(i)];
        valid.set(i, set);
      }
      return keep(Column::coded(from.dictionary(), std::move(codes), std::move(valid)), context);
    }
    Column out(from.type());
    out.reserve(chunk.rows);
    for (size_t i = 0; i < chunk.rows; ++i) rows->is_null(i) ? out.append_null() : out.append_from(from, rows->uint_at(i));
    return keep(std::move(out), context);
  }
  void collect_slots(std::vector<size_t>& slots) const override { row_->collect_slots(slots); }

 private:
  std::shared_ptr<const ContextTable> table_;
  size_t value_;
  NodePtr row_;
};

}  // namespace

Result<NodePtr> make_lookup_row(std::shared_ptr<const ContextTable> table, NodePtr key, NodePtr time, TimestampNs now) {
  const TypeClass given = class_of(key->type.logical);
  const bool fits = table->key() == ContextTable::Key::address  ? given == TypeClass::address
                    : table->key() == ContextTable::Key::number ? given == TypeClass::number && key->type.physical != PhysicalType::F64
                                                                : given == TypeClass::text || given == TypeClass::enumeration;
  if (!fits)
    return Error{ErrorCode::parse, "the keys of table '" + table->name() + "' are " +
                                       (table->key() == ContextTable::Key::address ? "addresses" : table->key() == ContextTable::Key::number ? "numbers" : "text") + ", and this is " +
                                       std::string(to_string(given))};
  if (given == TypeClass::enumeration) key = make_cast(std::move(key), Type::of(LogicalType::string));
  if (time && time->type.logical != LogicalType::timestamp) return Error{ErrorCode::parse, "'as of' wants a time, and this is " + std::string(to_string(class_of(time->type.logical)))};
  return NodePtr(std::make_shared<LookupRow>(std::move(table), std::move(key), std::move(time), now));
}

NodePtr make_lookup_value(std::shared_ptr<const ContextTable> table, size_t value, NodePtr row) {
  return std::make_shared<LookupValue>(std::move(table), value, std::move(row));
}

}  // namespace sluice::query
