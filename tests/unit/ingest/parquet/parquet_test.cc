#include "ingest/source/parquet.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <gtest/gtest.h>
#include <parquet/arrow/writer.h>

#include <random>

#include "ingest/receive/line_cut.h"
#include "ingest/source/aws_vpc.h"
#include "ingest/source/limits.h"
#include "tests/unit/ingest/source/flow_rows.h"

namespace sluice::ingest {
namespace {

using test::Decoded;
using test::run;

template <typename Builder, typename T>
std::shared_ptr<arrow::Array> array_of(const std::vector<std::optional<T>>& values, std::shared_ptr<arrow::DataType> type = nullptr) {
  std::unique_ptr<arrow::ArrayBuilder> made;
  EXPECT_TRUE(arrow::MakeBuilder(arrow::default_memory_pool(), type ? type : arrow::CTypeTraits<T>::type_singleton(), &made).ok());
  auto& builder = static_cast<Builder&>(*made);
  for (const auto& value : values) EXPECT_TRUE((value ? builder.Append(*value) : builder.AppendNull()).ok());
  return *builder.Finish();
}
std::shared_ptr<arrow::Array> texts(const std::vector<std::optional<std::string>>& values) { return array_of<arrow::StringBuilder, std::string>(values, arrow::utf8()); }
std::shared_ptr<arrow::Array> int32s(const std::vector<std::optional<int32_t>>& values) { return array_of<arrow::Int32Builder, int32_t>(values); }
std::shared_ptr<arrow::Array> int64s(const std::vector<std::optional<int64_t>>& values) { return array_of<arrow::Int64Builder, int64_t>(values); }

using Columns = std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>;

std::string object_of(const Columns& columns, int64_t group_rows = 1 << 20, arrow::Compression::type compression = arrow::Compression::UNCOMPRESSED) {
  std::vector<std::shared_ptr<arrow::Field>> fields;
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (const auto& [name, array] : columns) {
    fields.push_back(arrow::field(name, array->type()));
    arrays.push_back(array);
  }
  const auto table = arrow::Table::Make(arrow::schema(fields), arrays);
  const auto out = *arrow::io::BufferOutputStream::Create();
  const auto properties = parquet::WriterProperties::Builder().compression(compression)->build();
  EXPECT_TRUE(parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), out, group_rows, properties).ok());
  return (*out->Finish())->ToString();
}

// As AWS's documentation types them: INT_32, INT_64 and STRING.
Columns aws_columns() {
  return {{"version", int32s({2, 2, 2})},
          {"account_id", texts({"123456789010", "123456789010", "123456789010"})},
          {"interface_id", texts({"eni-1", "eni-1", "eni-2"})},
          {"srcaddr", texts({"172.31.16.139", "172.31.16.21", std::nullopt})},
          {"dstaddr", texts({"172.31.16.21", "172.31.16.139", std::nullopt})},
          {"srcport", int32s({20641, 22, std::nullopt})},
          {"dstport", int32s({22, 20641, std::nullopt})},
          {"protocol", int32s({6, 6, std::nullopt})},
          {"packets", int64s({20, 30, std::nullopt})},
          {"bytes", int64s({4249, 5'000'000'000, std::nullopt})},
          {"start", int64s({1418530010, 1418530010, 1418530010})},
          {"end", int64s({1418530070, 1418530070, 1418530070})},
          {"action", texts({"ACCEPT", "REJECT", std::nullopt})},
          {"log_status", texts({"OK", "OK", "NODATA"})}};
}

constexpr std::string_view kSameAsText =
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
    "2 123456789010 eni-1 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK\n"
    "2 123456789010 eni-1 172.31.16.21 172.31.16.139 22 20641 6 30 5000000000 1418530010 1418530070 REJECT OK\n"
    "2 123456789010 eni-2 - - - - - - - 1418530010 1418530070 - NODATA\n";

TEST(Parquet, RowsAreWhatTheTextOfTheSameRecordsIs) {
  const Decoded text = run(decode_aws_vpc, kSameAsText);
  ASSERT_EQ(text.rows.size(), 2u);
  for (const auto compression : {arrow::Compression::UNCOMPRESSED, arrow::Compression::GZIP, arrow::Compression::SNAPPY, arrow::Compression::ZSTD}) {
    const Decoded d = run(decode_aws_vpc, object_of(aws_columns(), 1 << 20, compression));
    ASSERT_TRUE(d.report.ok()) << d.report.error().message;
    EXPECT_EQ(d.rows, text.rows);
    EXPECT_EQ(d.report->no_data, 1u);
    EXPECT_EQ(d.report->accepted, 2u);
  }
}

TEST(Parquet, ColumnsMayHaveAnyOrderNameAndType) {
  Columns columns = aws_columns();
  std::reverse(columns.begin(), columns.end());
  for (auto& [name, array] : columns) std::replace(name.begin(), name.end(), '_', '-');
  // Wider, narrower and other types than AWS's own; a group in a row each.
  for (auto& [name, array] : columns) {
    if (name == "srcport") array = array_of<arrow::UInt16Builder, uint16_t>({20641, 22, std::nullopt});
    if (name == "dstport") array = array_of<arrow::DoubleBuilder, double>({22.0, 20641.0, std::nullopt});
    if (name == "protocol") array = texts({"6", "6", "-"});
    if (name == "bytes") array = array_of<arrow::UInt64Builder, uint64_t>({4249, 5'000'000'000, std::nullopt});
    if (name == "end") array = array_of<arrow::TimestampBuilder, int64_t>({1418530070'000'000, 1418530070'000'000, 1418530070'000'000}, arrow::timestamp(arrow::TimeUnit::MICRO, "UTC"));
  }
  const Decoded d = run(decode_aws_vpc, object_of(columns, 1));
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  EXPECT_EQ(d.rows, run(decode_aws_vpc, kSameAsText).rows);
}

TEST(Parquet, WhatIsNotKnownIsKeptAndBlanksDoNotBreakLines) {
  Columns columns = aws_columns();
  columns.push_back({"My Tag", texts({"two words\nand a line", "", std::nullopt})});
  columns.push_back({"instance_tag", texts({"web%20server", "a b", std::nullopt})});
  columns.push_back({"_odd", array_of<arrow::BooleanBuilder, bool>({true, false, std::nullopt})});
  const Decoded d = run(decode_aws_vpc, object_of(columns));
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  ASSERT_EQ(d.rows.size(), 2u);
  EXPECT_EQ(d.at(0, "extra.my_tag"), "two%20words%0Aand%20a%20line");
  EXPECT_EQ(d.at(1, "extra.my_tag"), "");
  EXPECT_EQ(d.at(0, "extra.instance_tag"), "web server");
  EXPECT_EQ(d.at(1, "extra.instance_tag"), "a b");
  EXPECT_EQ(d.at(0, "extra.column__odd"), "true");
}

TEST(Parquet, TransitGatewayRecords) {
  const Decoded d = run(decode_aws_tgw, object_of({{"version", int32s({6})},
                                                   {"resource_type", texts({"TransitGateway"})},
                                                   {"tgw_id", texts({"tgw-1"})},
                                                   {"srcaddr", texts({"10.0.0.1"})},
                                                   {"dstaddr", texts({"10.1.0.1"})},
                                                   {"bytes", int64s({7})},
                                                   {"end", int64s({1418530070})},
                                                   {"packets_lost_no_route", int64s({3})},
                                                   {"log_status", texts({"OK"})}}));
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "source"), "aws_tgw");
  EXPECT_EQ(d.at(0, "dropped_packets"), "3");
}

TEST(Parquet, BadRowsCostThemselvesAndAreNamedByTheirNumber) {
  Columns columns = aws_columns();
  columns[3].second = texts({"172.31.16.139", "172.31.16.300", std::nullopt});
  const Decoded d = run(decode_aws_vpc, object_of(columns));
  ASSERT_TRUE(d.report.ok());
  EXPECT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.report->rejected, 1u);
  ASSERT_EQ(d.report->errors.size(), 1u);
  EXPECT_EQ(d.report->errors[0].record, 2u);
}

TEST(Parquet, ManyGroupsAndPortions) {
  // More text than one portion, in groups that do not fit batches.
  const size_t rows = 3 * limits::kParquetTextBytes / 2 / 60;
  std::vector<std::optional<int64_t>> bytes, end;
  std::vector<std::optional<std::string>> src, dst, long_text;
  for (size_t i = 0; i < rows; ++i) {
    bytes.emplace_back(static_cast<int64_t>(i));
    end.emplace_back(1418530070 + static_cast<int64_t>(i % 100));
    src.emplace_back("10.0." + std::to_string(i / 256 % 256) + "." + std::to_string(i % 256));
    dst.emplace_back("10.9.0.1");
    long_text.emplace_back(std::string(30, 'x'));
  }
  dst[rows - 2] = "no address";
  const std::string object = object_of({{"srcaddr", texts(src)}, {"dstaddr", texts(dst)}, {"bytes", int64s(bytes)}, {"end", int64s(end)}, {"note", texts(long_text)}}, 50'000);
  uint64_t count = 0, sum = 0;
  const auto report = decode_aws_vpc(object, {}, [&](Batch&& batch) -> Status {
    count += batch.rows;
    const Column& column = batch.columns[*batch.find(ColumnId::raw_bytes)];
    for (size_t i = 0; i < batch.rows; ++i) sum += column.uint_at(i);
    return {};
  });
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(count, rows - 1);
  EXPECT_EQ(report->accepted, rows - 1);
  EXPECT_EQ(sum, rows * (rows - 1) / 2 - (rows - 2));
  ASSERT_EQ(report->errors.size(), 1u);
  EXPECT_EQ(report->errors[0].record, rows - 1) << "counted over all portions";
  // A sink that fails stops it.
  const auto stopped = decode_aws_vpc(object, {}, [](Batch&&) -> Status { return Error{ErrorCode::full, "no room"}; });
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::full);
}

TEST(Parquet, WhatIsNoFlowLogIsRefused) {
  const auto refused = [](const Columns& columns) { return run(decode_aws_vpc, object_of(columns)).report; };
  EXPECT_FALSE(refused({{"name", texts({"a"})}, {"price", int64s({3})}}).ok());
  EXPECT_FALSE(refused({{"srcaddr", texts({"10.0.0.1"})}, {"srcaddr", texts({"10.0.0.1"})}, {"end", int64s({1418530070})}}).ok()) << "one name twice";
  Columns many;
  for (size_t i = 0; i <= limits::kParquetColumnsMax; ++i) many.push_back({"c" + std::to_string(i), int32s({1})});
  const auto report = refused(many);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, ErrorCode::too_large);
  many.pop_back();
  EXPECT_FALSE(refused(many).ok()) << "at the bound it is looked at, and has no known column";
  // No rows: nothing, and no error.
  const Decoded none = run(decode_aws_vpc, object_of({{"srcaddr", texts({})}, {"dstaddr", texts({})}, {"end", int64s({})}}));
  EXPECT_TRUE(none.report.ok()) << none.report.error().message;
  EXPECT_EQ(none.rows.size(), 0u);
}

TEST(Parquet, OcsfEventsOfOtherClassesArePassedBy) {
  const auto endpoint = [](const std::vector<std::optional<std::string>>& ips, const std::vector<std::optional<int32_t>>& ports) {
    return *arrow::StructArray::Make({texts(ips), int32s(ports)}, {arrow::field("ip", arrow::utf8()), arrow::field("port", arrow::int32())});
  };
  const Decoded d = run(decode_aws_vpc, object_of({{"class_uid", int32s({4001, 4003, 4001})},
                                                   {"src_endpoint", endpoint({"10.0.0.1", "10.0.0.2", "bad"}, {1, 2, 3})},
                                                   {"dst_endpoint", endpoint({"10.0.1.1", "10.0.1.2", "10.0.1.3"}, {53, 53, 53})},
                                                   {"end_time", int64s({1418530070'000, 1418530070'000, 1418530070'000})},
                                                   {"action_id", int32s({2, 1, 1})}}));
  ASSERT_TRUE(d.report.ok()) << d.report.error().message;
  ASSERT_EQ(d.rows.size(), 1u);
  EXPECT_EQ(d.at(0, "src_ip"), "10.0.0.1");
  EXPECT_EQ(d.at(0, "dst_port"), "53");
  EXPECT_EQ(d.at(0, "action"), "reject");
  EXPECT_EQ(d.report->ignored, 1u);
  ASSERT_EQ(d.report->errors.size(), 1u);
  EXPECT_EQ(d.report->errors[0].record, 3u);
}

// Bytes that lie: never a crash, never more memory than one object may have, and rows only of what is whole.
TEST(Parquet, DamageIsAnError) {
  const std::string whole = object_of(aws_columns(), 2, arrow::Compression::GZIP);
  for (size_t length = 4; length < whole.size(); length += 7) {
    const Decoded d = run(decode_aws_vpc, std::string_view(whole).substr(0, length));
    ASSERT_FALSE(d.report.ok()) << length;
    EXPECT_EQ(d.report.error().code, ErrorCode::corrupt) << d.report.error().message;
  }
  std::mt19937 random(20261126);
  size_t errors = 0;
  for (int round = 0; round < 3'000; ++round) {
    std::string bytes = whole;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) bytes[4 + random() % (bytes.size() - 4)] ^= static_cast<char>(1u << random() % 8);
    errors += !run(decode_aws_vpc, bytes).report.ok();
  }
  EXPECT_GT(errors, 100u);
  // Lengths of the footer: beyond the object, and none.
  for (const uint32_t length : {0xffffffffu, 0x7fffffffu, 0u, static_cast<uint32_t>(whole.size())}) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + bytes.size() - 8, &length, 4);
    const auto report = run(decode_aws_vpc, bytes).report;
    ASSERT_FALSE(report.ok()) << length;
    for (const char c : report.error().message) EXPECT_TRUE(c >= ' ' && c < 0x7f);
  }
  std::string encrypted = whole;
  encrypted.replace(0, 4, "PARE");
  EXPECT_EQ(run(decode_aws_vpc, encrypted).report.error().code, ErrorCode::unsupported);
  EXPECT_TRUE(is_parquet(whole));
  EXPECT_TRUE(has_parquet());
}

TEST(Parquet, MemoryIsBounded) {
  // One page of one value again and again: a few kilobytes that become more than may be.
  const size_t rows = limits::kParquetMemoryBytesMax / (1u << 20) + 64;
  std::vector<std::optional<std::string>> big(rows, std::string(1u << 20, 'x'));
  std::vector<std::optional<int64_t>> end(rows, 1418530070);
  std::vector<std::optional<std::string>> address(rows, "10.0.0.1");
  const std::string object = object_of({{"srcaddr", texts(address)}, {"dstaddr", texts(address)}, {"end", int64s(end)}, {"note", texts(big)}}, 1 << 20, arrow::Compression::ZSTD);
  big = {};
  ASSERT_LT(object.size(), 8u << 20);
  const auto report = run(decode_aws_vpc, object).report;
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.error().message.find("more memory than one may have"), std::string::npos) << report.error().message;
}

}  // namespace
}  // namespace sluice::ingest
