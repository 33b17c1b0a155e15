// Rows kept by operators: what they hold after chunks that fill different slots.
#include "query/row_buffer.h"

#include <gtest/gtest.h>

namespace sluice::query {
namespace {

ColumnPtr numbers(std::vector<uint64_t> values) { return std::make_shared<Column>(Column::of<uint64_t>(PhysicalType::U64, std::move(values))); }

Chunk chunk_of(size_t rows, std::vector<ColumnPtr> slots) {
  Chunk chunk;
  chunk.rows = rows;
  chunk.slots = std::move(slots);
  return chunk;
}

class RowBufferTest : public testing::Test {
 protected:
  void append(RowBuffer& to, const Chunk& chunk) { ASSERT_TRUE(to.append(chunk, claim_).ok()); }
  MemoryClaim claim_{nullptr};
};

// A block whose facts answer a condition has its column not read; another block of the same scan has it. A column of some of the rows
// would be read beyond its end by whoever takes all slots along.
TEST_F(RowBufferTest, ASlotThatSomeChunksDoNotFillIsNotKept) {
  RowBuffer rows;
  append(rows, chunk_of(2, {numbers({1, 2}), numbers({10, 20})}));
  append(rows, chunk_of(1, {numbers({3}), nullptr}));
  append(rows, chunk_of(1, {numbers({4}), numbers({40})}));
  ASSERT_EQ(rows.rows(), 4u);
  ASSERT_TRUE(rows.has(0));
  EXPECT_FALSE(rows.has(1));
  EXPECT_EQ(rows.slot(0).size(), 4u);
}

TEST_F(RowBufferTest, ASlotThatComesLateIsNotKept) {
  RowBuffer rows;
  append(rows, chunk_of(0, {numbers({}), numbers({})}));  // no rows decide nothing
  append(rows, chunk_of(1, {numbers({1}), nullptr}));
  append(rows, chunk_of(2, {numbers({2, 3}), numbers({20, 30}), numbers({200, 300})}));
  EXPECT_EQ(rows.slot(0).size(), 3u);
  EXPECT_FALSE(rows.has(1));
  EXPECT_FALSE(rows.has(2));
}

TEST_F(RowBufferTest, ATableWithoutRowsHasItsColumns) {
  RowBuffer rows, other;
  append(rows, chunk_of(0, {numbers({}), nullptr}));
  ASSERT_TRUE(rows.has(0));
  EXPECT_EQ(rows.slot(0).size(), 0u);
  other.take(std::move(rows));
  EXPECT_TRUE(other.has(0));
}

TEST_F(RowBufferTest, TakingAnotherKeepsWhatBothHave) {
  RowBuffer a, b, empty;
  append(a, chunk_of(1, {numbers({1}), numbers({10}), nullptr}));
  append(b, chunk_of(2, {numbers({2, 3}), nullptr, numbers({200, 300})}));
  a.take(std::move(empty));
  a.take(std::move(b));
  ASSERT_EQ(a.rows(), 3u);
  EXPECT_EQ(b.rows(), 0u);
  EXPECT_EQ(a.slot(0).size(), 3u);
  EXPECT_EQ(a.slot(0).uint_at(2), 3u);
  EXPECT_FALSE(a.has(1));
  EXPECT_FALSE(a.has(2));
  RowBuffer c;
  c.take(std::move(a));
  EXPECT_EQ(c.rows(), 3u);
  EXPECT_EQ(c.slot(0).size(), 3u);
}

}  // namespace
}  // namespace sluice::query
