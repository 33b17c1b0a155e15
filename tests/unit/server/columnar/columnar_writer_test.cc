#include "server/columnar/columnar_writer.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <arrow/ipc/reader.h>
#include <gtest/gtest.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>

#include <limits>

#include "server/columnar/limits.h"
#include "storage/model/text_list.h"

namespace sluice {
extern const EnumSpec kAction;
}

namespace sluice::columnar {
namespace {

Field field_of(std::string name, LogicalType type, PhysicalType physical, const EnumSpec* enumeration = nullptr, std::string unit = {}) {
  Field field;
  field.name = std::move(name);
  field.type = type;
  field.physical = physical;
  field.enumeration = enumeration;
  field.unit = std::move(unit);
  return field;
}

// A batch of columns that are added one by one, each of them of the same length.
class Made {
 public:
  void add(Field field, Column column) {
    schema_.push_back(std::move(field));
    batch_.rows = column.size();
    batch_.columns.push_back(std::move(column));
  }
  const Batch& batch() {
    batch_.schema = std::make_shared<const Schema>(schema_);
    return batch_;
  }
  const Schema& schema() const { return schema_; }

 private:
  Schema schema_;
  Batch batch_;
};

Column numbers(PhysicalType type, std::initializer_list<std::optional<uint64_t>> values) {
  Column column(type);
  for (const auto& value : values) value ? column.append_uint(*value) : column.append_null();
  return column;
}
Column texts(std::initializer_list<std::optional<std::string_view>> values) {
  Column column(PhysicalType::Str);
  for (const auto& value : values) value ? column.append_string(*value) : column.append_null();
  return column;
}

struct Written {
  std::string bytes;
  size_t pieces = 0, largest = 0;
};

// Each batch of `batches` whole.
Written write(Format format, const Schema& schema, const std::vector<const Batch*>& batches) {
  Written out;
  auto writer = open_writer(format, schema, [&](std::string&& bytes) {
    ++out.pieces;
    out.largest = std::max(out.largest, bytes.size());
    out.bytes += bytes;
    return true;
  });
  EXPECT_TRUE(writer.ok()) << writer.error().message;
  for (const Batch* batch : batches) {
    const Status status = (*writer)->rows(*batch, batch->rows);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  const Status status = (*writer)->finish("{\"rows\":1}");
  EXPECT_TRUE(status.ok()) << status.error().message;
  return out;
}

struct Read {
  std::shared_ptr<arrow::Table> table;
  std::vector<int64_t> batches;  // rows of each, or of each row group
  std::string summary;

  std::string at(const std::string& column, int64_t row) const {
    const auto scalar = table->GetColumnByName(column)->GetScalar(row);
    EXPECT_TRUE(scalar.ok());
    return (*scalar)->is_valid ? (*scalar)->ToString() : "null";
  }
  std::string type(const std::string& column) const { return table->schema()->GetFieldByName(column)->type()->ToString(); }
};

Read read(Format format, const std::string& bytes) {
  Read out;
  const auto source = std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(bytes));
  if (format == Format::arrow_stream) {
    auto reader = arrow::ipc::RecordBatchStreamReader::Open(source);
    EXPECT_TRUE(reader.ok()) << reader.status().ToString();
    arrow::RecordBatchVector batches;
    while (true) {
      auto next = (*reader)->ReadNext();
      EXPECT_TRUE(next.ok()) << next.status().ToString();
      if (!next.ok() || !next->batch) break;
      EXPECT_TRUE(next->batch->ValidateFull().ok());
      if (next->custom_metadata) {
        EXPECT_EQ(next->batch->num_rows(), 0);
        out.summary = *next->custom_metadata->Get("sluice.summary");
      } else {
        out.batches.push_back(next->batch->num_rows());
      }
      batches.push_back(next->batch);
    }
    out.table = *arrow::Table::FromRecordBatches((*reader)->schema(), batches);
  } else {
    auto reader = parquet::arrow::OpenFile(source, arrow::default_memory_pool());
    EXPECT_TRUE(reader.ok()) << reader.status().ToString();
    const auto metadata = (*reader)->parquet_reader()->metadata();
    for (int i = 0; i < metadata->num_row_groups(); ++i) out.batches.push_back(metadata->RowGroup(i)->num_rows());
    out.summary = *metadata->key_value_metadata()->Get("sluice.summary");
    out.table = *(*reader)->ReadTable();
  }
  return out;
}

class BothFormats : public testing::TestWithParam<Format> {};
INSTANTIATE_TEST_SUITE_P(All, BothFormats, testing::Values(Format::arrow_stream, Format::parquet),
                         [](const auto& test) { return test.param == Format::parquet ? "Parquet" : "Arrow"; });

TEST_P(BothFormats, KeepEveryType) {
  Made made;
  made.add(field_of("u8", LogicalType::protocol, PhysicalType::U8), numbers(PhysicalType::U8, {6, 255, {}}));
  made.add(field_of("u16", LogicalType::port, PhysicalType::U16), numbers(PhysicalType::U16, {443, {}, 65'535}));
  made.add(field_of("u32", LogicalType::uint, PhysicalType::U32), numbers(PhysicalType::U32, {1, 2, UINT32_MAX}));
  made.add(field_of("u64", LogicalType::uint, PhysicalType::U64, nullptr, "bytes"), numbers(PhysicalType::U64, {UINT64_MAX, {}, 0}));
  made.add(field_of("i64", LogicalType::int64, PhysicalType::I64), numbers(PhysicalType::I64, {static_cast<uint64_t>(-5), {}, 0}));
  made.add(field_of("f64", LogicalType::float64, PhysicalType::F64), Column::of(PhysicalType::F64, std::vector<double>{0.25, std::numeric_limits<double>::quiet_NaN(), -std::numeric_limits<double>::infinity()}));
  made.add(field_of("yes", LogicalType::boolean, PhysicalType::U8), numbers(PhysicalType::U8, {1, 0, {}}));
  made.add(field_of("text", LogicalType::string, PhysicalType::Str), texts({"gr\xc3\xbc\xc3\x9f", {}, "bad \xff\xfe \xc3"}));
  Column ips(PhysicalType::Ip);
  ips.append(*parse_ip("10.0.0.1"));
  ips.append(*parse_ip("2001:db8::1"));
  ips.append_null();
  made.add(field_of("ip", LogicalType::ip, PhysicalType::Ip), std::move(ips));
  // As segments have them: codes into a dictionary of their own.
  StringVector words;
  words.push_back("one");
  words.push_back("two");
  made.add(field_of("coded", LogicalType::string, PhysicalType::Str), Column::coded(std::make_shared<MemoryDictionary>(words, true), {1, 0, 1}));
  made.add(field_of("mac", LogicalType::mac, PhysicalType::U64), numbers(PhysicalType::U64, {0x001b213c9df8, {}, 0}));
  made.add(field_of("time", LogicalType::timestamp, PhysicalType::I64, nullptr, "ns"), numbers(PhysicalType::I64, {1'500'000'001, {}, static_cast<uint64_t>(-1)}));
  made.add(field_of("span", LogicalType::duration, PhysicalType::I64, nullptr, "ns"), numbers(PhysicalType::I64, {1'500'000, {}, 1}));
  made.add(field_of("flags", LogicalType::flags, PhysicalType::U16), numbers(PhysicalType::U16, {0x12, {}, 0}));
  made.add(field_of("action", LogicalType::enumeration, PhysicalType::U8, &kAction), numbers(PhysicalType::U8, {1, {}, 200}));
  std::string list, extra;
  append_list_item(list, "x");
  append_list_item(list, "y\nz");
  append_extra(extra, "k", "v=1");
  append_extra(extra, "k", "again");
  append_extra(extra, "k2", "\xff");
  made.add(field_of("list", LogicalType::list, PhysicalType::Str), texts({list, {}, ""}));
  made.add(field_of("extra", LogicalType::extra, PhysicalType::Str), texts({extra, {}, ""}));

  const Read found = read(GetParam(), write(GetParam(), made.schema(), {&made.batch(), &made.batch()}).bytes);
  ASSERT_EQ(found.table->num_rows(), 6);
  EXPECT_EQ(found.summary, "{\"rows\":1}");
  const std::initializer_list<std::tuple<const char*, const char*, const char*, const char*, const char*>> expected = {
      {"u8", "uint8", "6", "255", "null"},
      {"u16", "uint16", "443", "null", "65535"},
      {"u32", "uint32", "1", "2", "4294967295"},
      {"u64", "uint64", "18446744073709551615", "null", "0"},
      {"i64", "int64", "-5", "null", "0"},
      {"f64", "double", "0.25", "null", "null"},
      {"yes", "bool", "true", "false", "null"},
      {"text", "string", "gr\xc3\xbc\xc3\x9f", "null", "bad \xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd"},
      {"ip", "string", "10.0.0.1", "2001:db8::1", "null"},
      {"coded", "string", "two", "one", "two"},
      {"mac", "string", "00:1b:21:3c:9d:f8", "null", "00:00:00:00:00:00"},
      {"time", "timestamp[ns, tz=UTC]", "1970-01-01 00:00:01.500000001Z", "null", "1969-12-31 23:59:59.999999999Z"},
      {"span", "duration[ns]", "1500000", "null", "1"},
      {"flags", "string", "SA", "null", ""},
  };
  for (const auto& [name, type, first, second, third] : expected) {
    EXPECT_EQ(found.type(name), type) << name;
    for (const int64_t from : {0, 3}) {
      EXPECT_EQ(found.at(name, from), first) << name;
      EXPECT_EQ(found.at(name, from + 1), second) << name;
      EXPECT_EQ(found.at(name, from + 2), third) << name;
    }
  }
  EXPECT_EQ(found.type("action"), "dictionary<values=string, indices=int8, ordered=0>");
  const auto actions = *arrow::Concatenate(found.table->GetColumnByName("action")->chunks());
  const auto& coded = static_cast<const arrow::DictionaryArray&>(*actions);
  const auto& names = static_cast<const arrow::StringArray&>(*coded.dictionary());
  EXPECT_EQ(names.GetView(coded.GetValueIndex(0)), "reject");
  EXPECT_TRUE(coded.IsNull(1));
  EXPECT_EQ(names.GetView(coded.GetValueIndex(2)), "?") << "a code that this version has no name for";
  const auto items = std::static_pointer_cast<arrow::ListScalar>(*found.table->GetColumnByName("list")->GetScalar(0));
  EXPECT_EQ(static_cast<const arrow::StringArray&>(*items->value).GetView(1), "y\nz");
  EXPECT_EQ(items->value->length(), 2);
  EXPECT_EQ(found.at("list", 1), "null");
  const auto pairs = std::static_pointer_cast<arrow::MapScalar>(*found.table->GetColumnByName("extra")->GetScalar(0));
  const auto& entries = static_cast<const arrow::StructArray&>(*pairs->value);
  ASSERT_EQ(entries.length(), 2) << "of a key said twice the first";
  EXPECT_EQ(static_cast<const arrow::StringArray&>(*entries.field(1)).GetView(0), "v=1");
  EXPECT_EQ(static_cast<const arrow::StringArray&>(*entries.field(1)).GetView(1), "\xef\xbf\xbd");

  const auto metadata = [&](const char* column, const char* key) { return found.table->schema()->GetFieldByName(column)->metadata()->Get(key).ValueOr(""); };
  EXPECT_EQ(metadata("u64", "sluice.type"), "uint");
  EXPECT_EQ(metadata("u64", "sluice.unit"), "bytes");
  EXPECT_EQ(metadata("extra", "sluice.type"), "map<string>");
  EXPECT_EQ(metadata("span", "sluice.unit"), "") << "its type says it";
}

TEST_P(BothFormats, AnEmptyAnswerHasItsColumns) {
  const Schema schema = {field_of("a", LogicalType::uint, PhysicalType::U64), field_of("b", LogicalType::enumeration, PhysicalType::U8, &kAction)};
  const Read found = read(GetParam(), write(GetParam(), schema, {}).bytes);
  EXPECT_EQ(found.table->num_rows(), 0);
  EXPECT_EQ(found.table->num_columns(), 2);
  EXPECT_EQ(found.summary, "{\"rows\":1}");
}

TEST_P(BothFormats, OnlyTheFirstRowsWhereALimitCuts) {
  Made made;
  made.add(field_of("a", LogicalType::uint, PhysicalType::U64), numbers(PhysicalType::U64, {1, {}, 3, 4}));
  std::string bytes;
  auto writer = open_writer(GetParam(), made.schema(), [&](std::string&& piece) {
    bytes += piece;
    return true;
  });
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->rows(made.batch(), 3).ok());
  ASSERT_TRUE((*writer)->rows(made.batch(), 0).ok());
  ASSERT_TRUE((*writer)->finish("{}").ok());
  const Read found = read(GetParam(), bytes);
  ASSERT_EQ(found.table->num_rows(), 3);
  EXPECT_EQ(found.at("a", 1), "null");
  EXPECT_EQ(found.at("a", 2), "3");
}

// 4 columns of numbers that do not pack, `rows` of them.
Made noise(size_t rows) {
  Made made;
  uint64_t state = 1;
  for (int c = 0; c < 4; ++c) {
    std::vector<uint64_t> values(rows);
    for (uint64_t& value : values) value = state = state * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    Bitmap validity(rows, true);
    for (size_t i = static_cast<size_t>(c); i < rows; i += 7) validity.set(i, false);
    made.add(field_of("c" + std::to_string(c), LogicalType::uint, PhysicalType::U64), Column::of(PhysicalType::U64, std::move(values), std::move(validity)));
  }
  return made;
}

TEST_P(BothFormats, LeaveInBoundedPieces) {
  // Small batches are gathered, large ones parted: neither their sizes nor their bounds show in the answer.
  constexpr size_t kRows = 20'000, kTimes = 70;
  Made made = noise(kRows);
  const Written written = write(GetParam(), made.schema(), std::vector<const Batch*>(kTimes, &made.batch()));
  EXPECT_LE(written.largest, limits::kColumnarPieceBytes);
  EXPECT_GE(written.pieces, written.bytes.size() / limits::kColumnarPieceBytes);
  const Read found = read(GetParam(), written.bytes);
  ASSERT_EQ(found.table->num_rows(), static_cast<int64_t>(kRows * kTimes));
  // A record batch ends with the slice that fills it, a row group before the batch that would be too much.
  const bool is_parquet = GetParam() == Format::parquet;
  const size_t most = is_parquet ? limits::kParquetRowGroupBytes : limits::kColumnarBatchBytes + limits::kColumnarSliceRows * 32;
  const size_t least = is_parquet ? limits::kParquetRowGroupBytes * 3 / 4 : limits::kColumnarBatchBytes;
  ASSERT_GT(found.batches.size(), 1u);
  for (size_t i = 0; i < found.batches.size(); ++i) {
    const auto part = static_cast<size_t>(found.batches[i]) * 32;
    EXPECT_LE(part, most) << i;
    EXPECT_TRUE(part >= least || i + 1 == found.batches.size()) << i << " " << part;
  }
  const auto whole = *found.table->CombineChunks();
  for (int c = 0; c < 4; ++c) {
    const auto& array = static_cast<const arrow::UInt64Array&>(*whole->column(c)->chunk(0));
    const Column& column = made.batch().columns[static_cast<size_t>(c)];
    for (size_t row = 0; row < kRows * kTimes; row += 997) {
      ASSERT_EQ(array.IsNull(static_cast<int64_t>(row)), column.is_null(row % kRows));
      if (column.is_null(row % kRows)) continue;
      ASSERT_EQ(array.Value(static_cast<int64_t>(row)), column.uint_at(row % kRows));
    }
  }
}

TEST_P(BothFormats, StopWhenNobodyWantsMore) {
  Made made = noise(400'000);
  size_t pieces = 0;
  auto writer = open_writer(GetParam(), made.schema(), [&](std::string&&) { return ++pieces < 3; });
  ASSERT_TRUE(writer.ok());
  Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = (*writer)->rows(made.batch(), made.batch().rows);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::cancelled);
  EXPECT_EQ(pieces, 3u);
  writer->reset();
  EXPECT_EQ(pieces, 3u) << "nor does its end bring more";
}

TEST_P(BothFormats, DroppedBeforeTheEndWriteNoEnd) {
  Made made = noise(100);
  std::string bytes;
  auto writer = open_writer(GetParam(), made.schema(), [&](std::string&& piece) {
    bytes += piece;
    return true;
  });
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->rows(made.batch(), 100).ok());
  writer->reset();
  EXPECT_EQ(bytes, "") << "an answer that broke off must not look whole";
}

TEST_P(BothFormats, AValueBeyondTheMemoryEndsTheAnswer) {
  const Schema schema = {field_of("a", LogicalType::string, PhysicalType::Str)};
  for (const bool fits : {true, false}) {
    Batch batch;
    batch.schema = std::make_shared<const Schema>(schema);
    Column column(PhysicalType::Str);
    column.append_string(std::string(fits ? 16u << 20 : limits::kColumnarMemoryBytesMax + 1, 'x'));
    batch.columns.push_back(std::move(column));
    batch.rows = 1;
    auto writer = open_writer(GetParam(), schema, [](std::string&&) { return true; });
    ASSERT_TRUE(writer.ok());
    Status status = (*writer)->rows(batch, 1);
    if (status.ok()) status = (*writer)->finish("{}");
    EXPECT_EQ(status.ok(), fits);
    if (!fits) {
      EXPECT_EQ(status.error().code, ErrorCode::too_large) << status.error().message;
    }
  }
}

TEST_P(BothFormats, AColumnOfAnotherTypeIsAnError) {
  Made made;
  made.add(field_of("a", LogicalType::uint, PhysicalType::U64), numbers(PhysicalType::U64, {1}));
  const Schema other = {field_of("a", LogicalType::uint, PhysicalType::U32)}, two = {other[0], other[0]};
  for (const Schema& schema : {other, two}) {
    auto writer = open_writer(GetParam(), schema, [](std::string&&) { return true; });
    ASSERT_TRUE(writer.ok());
    const Status status = (*writer)->rows(made.batch(), 1);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::io);
  }
}

TEST(ColumnarWriter, IsBuilt) {
  const Status built = is_built();
  EXPECT_TRUE(built.ok()) << built.error().message;
}

}  // namespace
}  // namespace sluice::columnar
