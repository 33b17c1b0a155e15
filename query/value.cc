#include "query/value.h"

#include <charconv>

namespace sluice::query {

Type Type::of(LogicalType logical) {
  Type type;
  type.logical = logical;
  switch (logical) {
    case LogicalType::uint:
    case LogicalType::mac: type.physical = PhysicalType::U64; break;
    case LogicalType::int64:
    case LogicalType::timestamp:
    case LogicalType::duration: type.physical = PhysicalType::I64; break;
    case LogicalType::float64: type.physical = PhysicalType::F64; break;
    case LogicalType::boolean:
    case LogicalType::enumeration:
    case LogicalType::protocol: type.physical = PhysicalType::U8; break;
    case LogicalType::string:
    case LogicalType::list:
    case LogicalType::extra: type.physical = PhysicalType::Str; break;
    case LogicalType::ip: type.physical = PhysicalType::Ip; break;
    case LogicalType::flags:
    case LogicalType::port: type.physical = PhysicalType::U16; break;
  }
  return type;
}

Type Type::of(ColumnId id) {
  const ColumnSpec& spec = column_spec(id);
  return Type{spec.type, spec.physical, spec.enumeration, spec.unit, id};
}

bool is_number(LogicalType type) {
  return type == LogicalType::uint || type == LogicalType::int64 || type == LogicalType::float64 || type == LogicalType::port ||
         type == LogicalType::protocol;
}

TypeClass class_of(LogicalType type) {
  switch (type) {
    case LogicalType::uint:
    case LogicalType::int64:
    case LogicalType::float64:
    case LogicalType::port:
    case LogicalType::protocol: return TypeClass::number;
    case LogicalType::boolean: return TypeClass::boolean;
    case LogicalType::string:
    case LogicalType::list:
    case LogicalType::extra: return TypeClass::text;
    case LogicalType::ip: return TypeClass::address;
    case LogicalType::mac: return TypeClass::mac;
    case LogicalType::timestamp: return TypeClass::time;
    case LogicalType::duration: return TypeClass::duration;
    case LogicalType::flags: return TypeClass::flags;
    case LogicalType::enumeration: return TypeClass::enumeration;
  }
  return TypeClass::number;
}

std::string_view to_string(TypeClass type_class) {
  switch (type_class) {
    case TypeClass::number: return "a number";
    case TypeClass::boolean: return "true or false";
    case TypeClass::text: return "text";
    case TypeClass::address: return "an address";
    case TypeClass::mac: return "a MAC address";
    case TypeClass::time: return "a time";
    case TypeClass::duration: return "a duration";
    case TypeClass::flags: return "TCP flags";
    case TypeClass::enumeration: return "one of its names";
  }
  return "?";
}

double Value::as_double() const {
  if (const auto* u = std::get_if<uint64_t>(&data)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<int64_t>(&data)) return static_cast<double>(*i);
  return std::get<double>(data);
}

Value value_at(const Column& column, const Type& type, size_t row) {
  if (column.is_null(row)) return {type.logical, {}};
  switch (column.type()) {
    case PhysicalType::I64: return {type.logical, column.int_at(row)};
    case PhysicalType::F64: return {type.logical, column.float_at(row)};
    case PhysicalType::Ip: return {type.logical, column.ip_at(row)};
    case PhysicalType::Str: return {type.logical, std::string(column.string_at(row))};
    default: return {type.logical, column.uint_at(row)};
  }
}

void append_value(Column& column, const Value& value) {
  if (value.is_null()) return column.append_null();
  switch (column.type()) {
    case PhysicalType::F64: return column.append(value.as_double());
    case PhysicalType::Ip: return column.append(std::get<IpAddress>(value.data));
    case PhysicalType::Str: return column.append_string(std::get<std::string>(value.data));
    default:
      if (const auto* i = std::get_if<int64_t>(&value.data)) return column.append_uint(static_cast<uint64_t>(*i));
      if (const auto* d = std::get_if<double>(&value.data)) return column.append_uint(static_cast<uint64_t>(static_cast<int64_t>(*d)));
      return column.append_uint(std::get<uint64_t>(value.data));
  }
}

Column repeat(const Value& value, const Type& type, size_t rows) {
  if (value.is_null()) return Column::nulls(type.physical, rows);
  Column column(type.physical);
  if (rows == 0) return column;
  append_value(column, value);
  if (rows == 1) return column;
  const auto same = [&]<typename T>(T one) { return Column::of<T>(type.physical, std::vector<T>(rows, one)); };
  switch (type.physical) {
    case PhysicalType::U8: return same(column.values<uint8_t>()[0]);
    case PhysicalType::U16: return same(column.values<uint16_t>()[0]);
    case PhysicalType::U32: return same(column.values<uint32_t>()[0]);
    case PhysicalType::U64: return same(column.values<uint64_t>()[0]);
    case PhysicalType::I64: return same(column.values<int64_t>()[0]);
    case PhysicalType::F64: return same(column.values<double>()[0]);
    case PhysicalType::Ip: return same(column.values<IpAddress>()[0]);
    case PhysicalType::Str: break;
  }
  StringVector text;  // once, however long it is
  text.push_back(column.string_at(0));
  return Column::coded(std::make_shared<MemoryDictionary>(std::move(text), true), std::vector<uint32_t>(rows, 0));
}

std::string format_value(const Value& value, const EnumSpec* enumeration) {
  if (value.is_null()) return "null";
  switch (value.type) {
    case LogicalType::boolean: return std::get<uint64_t>(value.data) ? "true" : "false";
    case LogicalType::timestamp: return format_timestamp(std::get<int64_t>(value.data));
    case LogicalType::duration: return format_duration(std::get<int64_t>(value.data));
    case LogicalType::mac: return format_mac(std::get<uint64_t>(value.data));
    case LogicalType::enumeration:
      if (enumeration) return std::string(enumeration->name_of(static_cast<uint8_t>(std::get<uint64_t>(value.data))));
      break;
    default: break;
  }
  if (const auto* u = std::get_if<uint64_t>(&value.data)) return std::to_string(*u);
  if (const auto* i = std::get_if<int64_t>(&value.data)) return std::to_string(*i);
  if (const auto* ip = std::get_if<IpAddress>(&value.data)) return to_string(*ip);
  if (const auto* s = std::get_if<std::string>(&value.data)) return *s;
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, std::get<double>(value.data)).ptr;
  return std::string(text, end);
}

}  // namespace sluice::query
