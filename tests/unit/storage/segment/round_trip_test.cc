// What goes into a segment comes out of it, whole or in parts, whatever the types, nulls and lengths.
#include <gtest/gtest.h>

#include "storage/segment/segment.h"
#include "tests/sanitizer.h"
#include "tests/unit/storage/segment/flows.h"

namespace sluice::segment {
namespace {

using testing::below;
using testing::Random;
using testing::row_text;

std::shared_ptr<const Segment> open(const std::string& path) {
  auto segment = Segment::open(path);
  EXPECT_TRUE(segment.ok()) << (segment.ok() ? "" : segment.error().message);
  return segment.ok() ? std::move(segment).value() : nullptr;
}

// All columns of rows [from, to) of a block.
Batch block_of(const Segment& segment, uint32_t block, uint32_t from, uint32_t to) {
  Batch batch;
  auto schema = std::make_shared<Schema>();
  for (const ColumnSpec& spec : flow_columns()) {
    if (!segment.has(spec.id)) continue;
    auto column = segment.read(spec.id, block, from, to, nullptr);
    EXPECT_TRUE(column.ok()) << column.error().message;
    if (!column.ok()) continue;
    EXPECT_EQ(column->size(), to - from);
    schema->push_back(Field::of(spec.id));
    batch.columns.push_back(std::move(column).value());
  }
  batch.schema = std::move(schema);
  batch.rows = to - from;
  return batch;
}

std::vector<std::string> rows_of(std::span<const Batch> batches) {
  std::vector<std::string> rows;
  for (const Batch& b : batches)
    for (size_t i = 0; i < b.rows; ++i) rows.push_back(row_text(b, i));
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<Batch> blocks_of(const Segment& segment) {
  std::vector<Batch> batches;
  for (uint32_t b = 0; b < segment.block_count(); ++b) batches.push_back(block_of(segment, b, 0, segment.block_rows(b)));
  return batches;
}

void expect_same_value(const Column& a, size_t i, const Column& b, size_t j) {
  ASSERT_EQ(a.is_null(i), b.is_null(j));
  if (a.is_null(i)) {
    EXPECT_TRUE(a.type() >= PhysicalType::F64 || a.uint_at(i) == 0) << "a null's slot is zero";
    return;
  }
  switch (a.type()) {
    case PhysicalType::Ip: ASSERT_EQ(a.ip_at(i), b.ip_at(j)); break;
    case PhysicalType::Str: ASSERT_EQ(a.string_at(i), b.string_at(j)); break;
    case PhysicalType::F64: ASSERT_EQ(a.float_at(i), b.float_at(j)); break;
    default: ASSERT_EQ(a.uint_at(i), b.uint_at(j));
  }
}

// Parts of blocks, by range and by row list, against the whole.
void expect_parts(const Segment& segment, Random& random) {
  for (const ColumnSpec& spec : flow_columns()) {
    if (!segment.has(spec.id)) continue;
    for (uint32_t b = 0; b < segment.block_count(); ++b) {
      const uint32_t rows = segment.block_rows(b);
      auto whole = segment.read(spec.id, b, 0, rows, nullptr);
      ASSERT_TRUE(whole.ok()) << whole.error().message;
      for (int k = 0; k < 3; ++k) {
        const auto from = static_cast<uint32_t>(below(random, rows + 1));
        const auto to = from + static_cast<uint32_t>(below(random, std::min<uint32_t>(rows - from, 3'000) + 1));
        auto part = segment.read(spec.id, b, from, to, nullptr);
        ASSERT_TRUE(part.ok()) << part.error().message;
        ASSERT_EQ(part->size(), to - from);
        for (uint32_t i = from; i < to; ++i) expect_same_value(*part, i - from, *whole, i);
        std::vector<uint32_t> list;
        const uint64_t sparse = 1 + below(random, k == 0 ? 3 : 2'000);
        for (uint64_t row = below(random, sparse); row < rows; row += 1 + below(random, sparse)) list.push_back(static_cast<uint32_t>(row));
        auto picked = segment.read_rows(spec.id, b, list, nullptr);
        ASSERT_TRUE(picked.ok()) << picked.error().message;
        ASSERT_EQ(picked->size(), list.size());
        for (size_t i = 0; i < list.size(); ++i) expect_same_value(*picked, i, *whole, list[i]);
        if (::testing::Test::HasFatalFailure()) FAIL() << spec.name << " block " << b;
      }
    }
  }
}

// Zones say the truth about what is read.
void expect_zones(const Segment& segment) {
  for (const ColumnSpec& spec : flow_columns()) {
    if (!segment.has(spec.id)) continue;
    for (uint32_t b = 0; b < segment.block_count(); ++b) {
      const Zone zone = segment.zone(spec.id, b);
      auto column = segment.read(spec.id, b, 0, segment.block_rows(b), nullptr);
      ASSERT_TRUE(column.ok());
      EXPECT_EQ(zone.rows, column->size());
      EXPECT_EQ(zone.nulls, column->null_count());
      const bool ranged = spec.physical != PhysicalType::F64 && (spec.physical != PhysicalType::Str || column->is_coded()) && zone.nulls < zone.rows;
      EXPECT_EQ(zone.has_range, ranged) << spec.name;
      if (!ranged) continue;
      const bool is_signed = spec.physical == PhysicalType::I64;
      bool first = true;
      uint64_t min = 0, max = 0;
      for (size_t i = 0; i < column->size(); ++i) {
        if (column->is_null(i)) continue;
        const uint64_t v = column->is_coded() ? column->codes()[i] : column->uint_at(i);
        auto less = [&](uint64_t x, uint64_t y) { return is_signed ? static_cast<int64_t>(x) < static_cast<int64_t>(y) : x < y; };
        if (first || less(v, min)) min = v;
        if (first || less(max, v)) max = v;
        first = false;
      }
      EXPECT_EQ(zone.min, min) << spec.name;
      EXPECT_EQ(zone.max, max) << spec.name;
    }
  }
}

// Wherever a write is given up, nothing of it stays.
TEST(Write, AnAbandonedOneLeavesNoFile) {
  Random random(5);
  const Batch batch = testing::flows(random, 1'000, true);
  testing::TemporaryFolder folder;
  const std::string path = folder.file("a.seg");
  const auto is_empty = [&] { return std::filesystem::is_empty(std::filesystem::path(path).parent_path()); };
  int asked = 0, until = 1;
  for (;; ++until) {
    ASSERT_LT(until, 1'000);
    asked = 0;
    WriteOptions options;
    options.sync = false;
    options.is_abandoned = [&] { return ++asked == until; };
    const auto info = write_segment(path, 7, 1'000, {&batch, 1}, options);
    if (info.ok()) break;
    EXPECT_EQ(info.error().code, ErrorCode::cancelled);
    EXPECT_EQ(asked, until) << "the first answer counts";
    EXPECT_TRUE(is_empty()) << until;
  }
  EXPECT_GT(until, 10) << "it is asked for each block of each column";
  EXPECT_FALSE(is_empty());
}

class RoundTrip : public ::testing::TestWithParam<std::tuple<size_t, bool>> {};

TEST_P(RoundTrip, KeepsEveryRow) {
  const auto [rows, nulls] = GetParam();
  Random random(rows * 2 + nulls);
  const Batch batch = testing::flows(random, rows, nulls);
  testing::TemporaryFolder folder;
  const std::string path = folder.file("a.seg");
  auto info = write_segment(path, 7, 1'000, {&batch, 1}, {.postings = true, .sync = false});
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->rows, rows);
  EXPECT_EQ(info->file_bytes, std::filesystem::file_size(path));
  const auto segment = open(path);
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->info().id, 7u);
  EXPECT_EQ(segment->info().partition_start, 1'000);
  EXPECT_EQ(segment->info().first, info->first);
  EXPECT_EQ(segment->info().last, info->last);
  ASSERT_TRUE(segment->verify().ok()) << segment->verify().error().message;
  const auto blocks = blocks_of(*segment);
  EXPECT_EQ(rows_of(blocks), rows_of({&batch, 1}));
  expect_parts(*segment, random);
  expect_zones(*segment);

  // Merged with itself: coded columns in.
  const std::string merged_path = folder.file("b.seg");
  if (rows <= 70'000) {
    std::vector<Batch> twice = blocks;
    twice.push_back(batch);
    ASSERT_TRUE(write_segment(merged_path, 8, 0, twice, {.postings = true, .sync = false}).ok());
    const auto merged = open(merged_path);
    ASSERT_TRUE(merged);
    EXPECT_EQ(rows_of(blocks_of(*merged)), rows_of(twice));
  }
}

// Where most pairs have one value twice, second rows are kept as what they add to their first; where some pairs then differ widely, and
// both ways, that is a bit wider than the column itself.
TEST(PairsFarApart, ComeBackWhateverTheWidth) {
  Random random(3);
  FlowBatchBuilder b;
  constexpr uint32_t kPairs = 30'000;
  for (uint32_t i = 0; i < kPairs; ++i) {
    // Pairs of one port stand together, so that those that differ fill granules of their own.
    const bool apart = i % 6 == 0;
    const auto ends = [&](uint64_t max) { return apart ? (random() % 2 ? max - random() % (max / 4) : random() % (max / 4)) : max / 3; };
    for (const bool back : {false, true}) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, 1'790'000'000'000'000'000 + i * kMillisecond);
      const IpAddress client = IpAddress::v4(0x0a000000 + i), server = IpAddress::v4(0xc0a80001);
      b.set_ip(ColumnId::src_ip, back ? server : client);
      b.set_ip(ColumnId::dst_ip, back ? client : server);
      const uint16_t service = apart ? 999 : 80;
      b.set_uint(ColumnId::src_port, back ? service : 40'000);
      b.set_uint(ColumnId::dst_port, back ? 40'000 : service);
      b.set_uint(ColumnId::protocol, 6);
      b.set_uint(ColumnId::tos, ends(UINT8_MAX));
      b.set_uint(ColumnId::tcp_flags, ends(UINT16_MAX));
      b.set_uint(ColumnId::src_as, ends(UINT32_MAX));
      b.set_uint(ColumnId::raw_bytes, ends(UINT64_MAX));
    }
  }
  const Batch batch = b.finish();
  testing::TemporaryFolder folder;
  const std::string path = folder.file("a.seg");
  ASSERT_TRUE(write_segment(path, 7, 1'000, {&batch, 1}, {.postings = true, .sync = false}).ok());
  const auto segment = open(path);
  ASSERT_TRUE(segment);
  size_t twins = 0;
  for (const ColumnStats& s : segment->column_stats())
    if (s.id == ColumnId::tos || s.id == ColumnId::tcp_flags || s.id == ColumnId::src_as) twins += s.codecs.starts_with("twin packed/packed");
  EXPECT_EQ(twins, 3u) << "the layout in question is chosen";
  ASSERT_TRUE(segment->verify().ok()) << segment->verify().error().message;
  EXPECT_EQ(rows_of(blocks_of(*segment)), rows_of({&batch, 1}));
  expect_parts(*segment, random);
}

// The edge of a block is met once where rows are dear.
std::vector<size_t> lengths() {
  std::vector<size_t> all = {1, 2, 1'023, 1'024, 1'025, 65'537};
  if (!kAddressSanitizer) all.insert(all.end(), {65'535, 65'536, 200'000});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Lengths, RoundTrip, ::testing::Combine(::testing::ValuesIn(lengths()), ::testing::Bool()));

}  // namespace
}  // namespace sluice::segment
