// Types of expressions and constants of a query. Plain values, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "storage/model/batch.h"
#include "storage/model/flow_schema.h"
#include "storage/model/ip.h"

namespace sluice::query {

// What an expression yields. A computed integer lies in U64 or I64, a computed float in F64; only columns as stored have
// narrower layouts.
struct Type {
  LogicalType logical = LogicalType::uint;
  PhysicalType physical = PhysicalType::U64;
  const EnumSpec* enumeration = nullptr;
  std::string_view unit;           // from static tables
  std::optional<ColumnId> column;  // set while the values are a stored column as it is

  static Type of(LogicalType logical);  // with the layout that computed values have
  static Type of(ColumnId id);
};

// Classes of types between which comparison makes sense.
enum class TypeClass { number, boolean, text, address, mac, time, duration, flags, enumeration };
TypeClass class_of(LogicalType type);
bool is_number(LogicalType type);  // uint, int, float, port, protocol
std::string_view to_string(TypeClass type_class);

// A constant. `data` fits `type`: monostate is null; uint64_t for unsigned, bool, mac, flags, port, protocol and
// enumeration codes; int64_t for int64, timestamp and duration.
struct Value {
  LogicalType type = LogicalType::string;
  std::variant<std::monostate, uint64_t, int64_t, double, std::string, IpAddress> data;

  bool is_null() const { return data.index() == 0; }
  bool is_number() const { return query::is_number(type) && !is_null(); }
  double as_double() const;  // REQUIRES: holds a number
  static Value null() { return {}; }
  static Value boolean(bool v) { return {LogicalType::boolean, uint64_t{v}}; }
  static Value uint(uint64_t v) { return {LogicalType::uint, v}; }
  static Value int64(int64_t v) { return {LogicalType::int64, v}; }
  static Value float64(double v) { return {LogicalType::float64, v}; }
  static Value text(std::string v) { return {LogicalType::string, std::move(v)}; }
  static Value ip(const IpAddress& v) { return {LogicalType::ip, v}; }
  static Value time(TimestampNs v) { return {LogicalType::timestamp, v}; }
  static Value duration(DurationNs v) { return {LogicalType::duration, v}; }
};

// The value `row` of a column as a constant.
Value value_at(const Column& column, const Type& type, size_t row);
// `rows` copies of a constant, laid out as `type`.
Column repeat(const Value& value, const Type& type, size_t rows);
// Appends to a plain column of the value's layout (numbers are converted).
void append_value(Column& column, const Value& value);

// As people read it, for names and messages: 10.0.0.1, 2026-11-20T08:00:00Z, 1h30m, accept.
std::string format_value(const Value& value, const EnumSpec* enumeration = nullptr);

}  // namespace sluice::query
