#include "storage/codec/batch_bytes.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::codec {
namespace {

void expect_same(const Batch& a, const Batch& b) {
  ASSERT_EQ(a.rows, b.rows);
  ASSERT_EQ(a.columns.size(), b.columns.size());
  for (size_t c = 0; c < a.columns.size(); ++c) {
    ASSERT_EQ((*a.schema)[c].column, (*b.schema)[c].column);
    const Column &x = a.columns[c], &y = b.columns[c];
    ASSERT_EQ(x.type(), y.type());
    ASSERT_EQ(y.size(), b.rows);
    EXPECT_EQ(x.is_coded(), y.is_coded());
    for (size_t r = 0; r < a.rows; ++r) {
      ASSERT_EQ(x.is_null(r), y.is_null(r)) << c << " " << r;
      if (x.is_null(r)) continue;
      if (x.type() == PhysicalType::Ip)
        ASSERT_EQ(x.ip_at(r), y.ip_at(r));
      else if (x.type() == PhysicalType::Str)
        ASSERT_EQ(x.string_at(r), y.string_at(r));
      else
        ASSERT_EQ(x.uint_at(r), y.uint_at(r));
    }
  }
}

Batch random_batch(uint64_t seed, size_t rows) {
  std::mt19937_64 rng(seed);
  FlowBatchBuilder b;
  for (size_t r = 0; r < rows; ++r) {
    b.begin_row();
    for (const ColumnSpec& spec : flow_columns()) {
      if (spec.physical == PhysicalType::F64 || (spec.id != ColumnId::flow_end && rng() % 3 == 0)) continue;
      if (spec.physical == PhysicalType::Ip)
        b.set_ip(spec.id, rng() % 4 ? IpAddress::v4(static_cast<uint32_t>(rng() % 1000)) : IpAddress::from_halves(rng(), rng()));
      else if (spec.physical == PhysicalType::Str)
        b.set_string(spec.id, std::string(rng() % 20, static_cast<char>(rng() % 256)));
      else
        b.set_uint(spec.id, rng() >> rng() % 64);
    }
  }
  return b.finish();
}

TEST(BatchBytes, RoundTrips) {
  for (size_t rows : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 500}) {
    const Batch batch = random_batch(rows, rows);
    std::string bytes = "before";
    append_batch_bytes(batch, bytes);
    auto back = read_batch_bytes(std::string_view(bytes).substr(6));
    ASSERT_TRUE(back.ok()) << back.error().message;
    expect_same(batch, *back);
  }
}

TEST(BatchBytes, RoundTripsNothing) {
  Batch batch = FlowBatchBuilder().finish();
  std::string bytes;
  append_batch_bytes(batch, bytes);
  auto back = read_batch_bytes(bytes);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->rows, 0u);
  EXPECT_TRUE(back->columns.empty());
}

TEST(BatchBytes, RoundTripsCodedColumns) {
  Batch batch;
  batch.rows = 5;
  auto schema = std::make_shared<Schema>();
  schema->push_back(Field::of(ColumnId::src_ip));
  schema->push_back(Field::of(ColumnId::app));
  batch.schema = schema;
  auto ips = std::make_shared<MemoryDictionary>(std::vector<IpAddress>{IpAddress::v4(1), IpAddress::v4(9)}, true);
  StringVector names;
  names.push_back("zebra");
  names.push_back("");
  names.push_back("ant");
  auto apps = std::make_shared<MemoryDictionary>(names, false);
  Bitmap validity(5, true);
  validity.set(2, false);
  batch.columns.push_back(Column::coded(ips, {0, 1, 7, 1, 0}, validity));  // 7 lies under a null
  batch.columns.push_back(Column::coded(apps, {0, 1, 2, 0, 1}));
  std::string bytes;
  append_batch_bytes(batch, bytes);
  auto back = read_batch_bytes(bytes);
  ASSERT_TRUE(back.ok()) << back.error().message;
  expect_same(batch, *back);
  EXPECT_TRUE(back->columns[0].dictionary()->sorted());
  EXPECT_FALSE(back->columns[1].dictionary()->sorted());
}

TEST(BatchBytes, RefusesEveryCutAndSurvivesEveryFlippedByte) {
  std::string bytes;
  append_batch_bytes(random_batch(3, 12), bytes);
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(read_batch_bytes(std::string_view(bytes).substr(0, n)).ok()) << n;
  EXPECT_FALSE(read_batch_bytes(bytes + "x").ok());
  for (size_t n = 0; n < bytes.size(); ++n)
    for (const int bit : {0, 7}) {
      std::string broken = bytes;
      broken[n] = static_cast<char>(broken[n] ^ 1 << bit);
      const auto r = read_batch_bytes(broken);
      if (r.ok()) {
        for (const Column& c : r->columns) EXPECT_EQ(c.size(), r->rows);
      }
    }
}

TEST(BatchBytes, TellsNewerFormsFromDamage) {
  std::string bytes;
  append_batch_bytes(random_batch(3, 4), bytes);
  std::string newer = bytes;
  newer[1] = 2;
  EXPECT_EQ(read_batch_bytes(newer).error().code, ErrorCode::unsupported);
  std::string column = bytes;
  column[4] = 0x7f;  // the first column's number
  EXPECT_EQ(read_batch_bytes(column).error().code, ErrorCode::unsupported);
  EXPECT_EQ(read_batch_bytes("nonsense").error().code, ErrorCode::corrupt);
}

TEST(BatchBytes, ClaimsMakeNoMemory) {
  // 16 million rows in a few bytes.
  std::string bytes("B\x01\xff\xff\xff\x07\x01", 7);
  bytes += std::string("\x00\x04\x00\x01\xf8\xff\xff\x3f\x03zzz", 12);
  EXPECT_EQ(read_batch_bytes(bytes).error().code, ErrorCode::corrupt);
}

TEST(BatchBytes, ConstantColumnsCostLittle) {
  FlowBatchBuilder b;
  for (int i = 0; i < 65'536; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, 1'700'000'000'000'000'000);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(1));
  }
  std::string bytes;
  append_batch_bytes(b.finish(), bytes);
  EXPECT_LT(bytes.size(), 16'000u);
}

}  // namespace
}  // namespace sluice::codec
