#include "server/columnar/arrow_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "storage/model/ip.h"
#include "storage/model/tcp_flags.h"
#include "storage/model/text_list.h"
#include "storage/model/utf8.h"

namespace sluice::columnar {
namespace {

// Validity bitmaps go over as they are.
static_assert(std::endian::native == std::endian::little);

std::shared_ptr<arrow::DataType> number_type(PhysicalType type) {
  switch (type) {
    case PhysicalType::U8: return arrow::uint8();
    case PhysicalType::U16: return arrow::uint16();
    case PhysicalType::U32: return arrow::uint32();
    case PhysicalType::I64: return arrow::int64();
    default: return arrow::uint64();
  }
}

std::shared_ptr<arrow::DataType> type_of(const Field& field) {
  switch (field.type) {
    case LogicalType::uint:
    case LogicalType::port:
    case LogicalType::protocol: return number_type(field.physical);
    case LogicalType::int64: return arrow::int64();
    case LogicalType::float64: return arrow::float64();
    case LogicalType::boolean: return arrow::boolean();
    case LogicalType::timestamp: return arrow::timestamp(arrow::TimeUnit::NANO, "UTC");
    case LogicalType::duration: return arrow::duration(arrow::TimeUnit::NANO);
    case LogicalType::enumeration: return arrow::dictionary(arrow::int8(), arrow::utf8());
    case LogicalType::list: return arrow::list(arrow::utf8());
    case LogicalType::extra: return arrow::map(arrow::utf8(), arrow::utf8());
    case LogicalType::string:
    case LogicalType::ip:
    case LogicalType::mac:
    case LogicalType::flags: break;
  }
  return arrow::utf8();
}

// Codes beyond the set are "?", the last of the names, as in other answers.
std::shared_ptr<arrow::Array> names_of(const EnumSpec* enumeration) {
  arrow::StringBuilder names;
  SLUICE_CHECK(!enumeration || enumeration->names.size() < 127);
  bool made = true;
  if (enumeration)
    for (const std::string_view name : enumeration->names) made = made && names.Append(name).ok();
  made = made && names.Append("?").ok();
  auto array = names.Finish();
  SLUICE_CHECK(made && array.ok());
  return std::move(array).ValueUnsafe();
}

// The text, or its repair in `room`. Arrow's utf8 is UTF-8, and readers trust that.
std::string_view as_utf8(std::string_view text, std::string& room) {
  if (is_utf8(text)) return text;
  room.clear();
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length)
      room.append(text.substr(0, length));
    else
      room.append("\xef\xbf\xbd");
    text.remove_prefix(length ? length : 1);
  }
  return room;
}

template <typename Builder>
arrow::Status append_numbers(const Column& column, size_t from, size_t to, arrow::ArrayBuilder& builder) {
  using Value = typename Builder::value_type;
  const auto values = column.values<Value>();
  const auto count = static_cast<int64_t>(to - from);
  auto& numbers = static_cast<Builder&>(builder);
  if (!column.has_nulls()) return numbers.AppendValues(values.data() + from, count);
  const auto words = column.validity().words();
  return numbers.AppendValues(values.data() + from, count, reinterpret_cast<const uint8_t*>(words.data()), static_cast<int64_t>(from));
}

arrow::Status append_number_column(const Column& column, size_t from, size_t to, arrow::ArrayBuilder& builder) {
  switch (column.type()) {
    case PhysicalType::U8: return append_numbers<arrow::UInt8Builder>(column, from, to, builder);
    case PhysicalType::U16: return append_numbers<arrow::UInt16Builder>(column, from, to, builder);
    case PhysicalType::U32: return append_numbers<arrow::UInt32Builder>(column, from, to, builder);
    case PhysicalType::U64: return append_numbers<arrow::UInt64Builder>(column, from, to, builder);
    case PhysicalType::I64: return append_numbers<arrow::Int64Builder>(column, from, to, builder);
    default: return arrow::Status::Invalid("numbers in a column of ", to_string(column.type()));
  }
}

// `append(row)` for each row that is not null.
template <typename Append>
arrow::Status append_each(const Column& column, size_t from, size_t to, arrow::ArrayBuilder& builder, const Append& append) {
  ARROW_RETURN_NOT_OK(builder.Reserve(static_cast<int64_t>(to - from)));
  for (size_t row = from; row < to; ++row) ARROW_RETURN_NOT_OK(column.is_null(row) ? builder.AppendNull() : append(row));
  return arrow::Status::OK();
}

}  // namespace

std::shared_ptr<arrow::Schema> arrow_schema(const Schema& schema) {
  arrow::FieldVector fields;
  for (const Field& field : schema) {
    auto metadata = std::make_shared<arrow::KeyValueMetadata>();
    metadata->Append("sluice.type", std::string(to_string(field.type)));
    // The types of times say theirs.
    if (!field.unit.empty() && field.type != LogicalType::timestamp && field.type != LogicalType::duration) metadata->Append("sluice.unit", field.unit);
    std::string room;
    fields.push_back(arrow::field(std::string(as_utf8(field.name, room)), type_of(field), /*nullable=*/true, std::move(metadata)));
  }
  return arrow::schema(std::move(fields));
}

ArrowRows::ArrowRows(const Schema& schema, arrow::MemoryPool* pool) : fields_(schema), schema_(arrow_schema(schema)) {
  for (size_t i = 0; i < fields_.size(); ++i) {
    const bool is_enumeration = fields_[i].type == LogicalType::enumeration;
    dictionaries_.push_back(is_enumeration ? names_of(fields_[i].enumeration) : nullptr);
    const auto made = arrow::MakeBuilder(pool, is_enumeration ? arrow::int8() : schema_->field(static_cast<int>(i))->type(), &builders_.emplace_back());
    SLUICE_CHECK_MSG(made.ok(), made.message());
  }
}

arrow::Status ArrowRows::append(const Batch& batch, size_t from, size_t to) {
  if (batch.columns.size() != fields_.size()) return arrow::Status::Invalid("a batch of ", batch.columns.size(), " columns for a schema of ", fields_.size());
  for (size_t i = 0; i < fields_.size(); ++i) {
    const Column& column = batch.columns[i];
    if (column.type() != fields_[i].physical) return arrow::Status::Invalid("column ", fields_[i].name, " has values of ", to_string(column.type()), ", not of ", to_string(fields_[i].physical));
    ARROW_RETURN_NOT_OK(append_column(fields_[i], column, from, to, *builders_[i]));
  }
  rows_ += to - from;
  return arrow::Status::OK();
}

arrow::Status ArrowRows::append_column(const Field& field, const Column& column, size_t from, size_t to, arrow::ArrayBuilder& builder) {
  bytes_ += (to - from) * (width_of(field.physical) ? width_of(field.physical) : 4);
  // Offsets are of 32 bits; the pool's bound is far below.
  const auto add_text = [this](arrow::StringBuilder& texts, std::string_view text) {
    bytes_ += text.size();
    return texts.Append(text);
  };
  switch (field.type) {
    case LogicalType::uint:
    case LogicalType::port:
    case LogicalType::protocol:
    case LogicalType::int64: return append_number_column(column, from, to, builder);
    case LogicalType::timestamp: return append_numbers<arrow::TimestampBuilder>(column, from, to, builder);
    case LogicalType::duration: return append_numbers<arrow::DurationBuilder>(column, from, to, builder);
    case LogicalType::float64: {
      auto& numbers = static_cast<arrow::DoubleBuilder&>(builder);
      return append_each(column, from, to, builder, [&](size_t row) {
        const double value = column.float_at(row);
        return std::isfinite(value) ? numbers.Append(value) : numbers.AppendNull();
      });
    }
    case LogicalType::boolean: {
      auto& bits = static_cast<arrow::BooleanBuilder&>(builder);
      return append_each(column, from, to, builder, [&](size_t row) { return bits.Append(column.uint_at(row) != 0); });
    }
    case LogicalType::enumeration: {
      auto& codes = static_cast<arrow::Int8Builder&>(builder);
      const uint64_t unknown = field.enumeration ? field.enumeration->names.size() : 0;
      return append_each(column, from, to, builder, [&](size_t row) { return codes.Append(static_cast<int8_t>(std::min(column.uint_at(row), unknown))); });
    }
    case LogicalType::string: {
      auto& texts = static_cast<arrow::StringBuilder&>(builder);
      return append_each(column, from, to, builder, [&](size_t row) { return add_text(texts, as_utf8(column.string_at(row), text_)); });
    }
    case LogicalType::ip: {
      auto& texts = static_cast<arrow::StringBuilder&>(builder);
      char text[46];
      return append_each(column, from, to, builder, [&](size_t row) { return add_text(texts, {text, format_ip(column.ip_at(row), text)}); });
    }
    case LogicalType::mac: {
      auto& texts = static_cast<arrow::StringBuilder&>(builder);
      return append_each(column, from, to, builder, [&](size_t row) { return add_text(texts, format_mac(column.uint_at(row))); });
    }
    case LogicalType::flags: {
      auto& texts = static_cast<arrow::StringBuilder&>(builder);
      return append_each(column, from, to, builder, [&](size_t row) { return add_text(texts, flags_text(column.uint_at(row))); });
    }
    case LogicalType::list: {
      auto& lists = static_cast<arrow::ListBuilder&>(builder);
      auto& items = static_cast<arrow::StringBuilder&>(*lists.value_builder());
      return append_each(column, from, to, builder, [&](size_t row) {
        ARROW_RETURN_NOT_OK(lists.Append());
        std::optional<std::string_view> rest = column.string_at(row);
        while (const auto item = take_list_item(rest)) {
          bytes_ += 4;
          ARROW_RETURN_NOT_OK(add_text(items, as_utf8(*item, text_)));
        }
        return arrow::Status::OK();
      });
    }
    case LogicalType::extra: {
      auto& maps = static_cast<arrow::MapBuilder&>(builder);
      auto& keys = static_cast<arrow::StringBuilder&>(*maps.key_builder());
      auto& values = static_cast<arrow::StringBuilder&>(*maps.item_builder());
      return append_each(column, from, to, builder, [&](size_t row) {
        ARROW_RETURN_NOT_OK(maps.Append());
        const auto items = extra_items(column.string_at(row));
        for (size_t i = 0; i < items.size(); ++i) {
          const auto& key = items[i].first;
          const bool is_known = std::any_of(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(i), [&](const auto& other) { return other.first == key; });
          if (is_known) continue;
          bytes_ += 8;
          ARROW_RETURN_NOT_OK(add_text(keys, as_utf8(key, text_)));
          ARROW_RETURN_NOT_OK(add_text(values, as_utf8(items[i].second, text_)));
        }
        return arrow::Status::OK();
      });
    }
  }
  return arrow::Status::Invalid("column ", field.name, " is of no known type");
}

arrow::Result<std::shared_ptr<arrow::RecordBatch>> ArrowRows::take() {
  arrow::ArrayVector arrays;
  for (size_t i = 0; i < builders_.size(); ++i) {
    ARROW_ASSIGN_OR_RAISE(auto array, builders_[i]->Finish());
    if (dictionaries_[i]) {
      ARROW_ASSIGN_OR_RAISE(array, arrow::DictionaryArray::FromArrays(schema_->field(static_cast<int>(i))->type(), array, dictionaries_[i]));
    }
    arrays.push_back(std::move(array));
  }
  const auto rows = static_cast<int64_t>(rows_);
  rows_ = bytes_ = 0;
  return arrow::RecordBatch::Make(schema_, rows, std::move(arrays));
}

}  // namespace sluice::columnar
