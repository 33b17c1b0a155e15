#include "ingest/source/bounded_table.h"

#include <gtest/gtest.h>

namespace sluice::ingest {
namespace {

struct Entry {
  uint64_t key = 0;
  int value = 0;
};

void keeps_what_it_knows(size_t most, size_t expected) {
  BoundedTable<Entry> table(most, expected);
  // Keys of few low bits, so that places collide; and 0, which marks an empty place inside.
  const auto key = [](size_t i) { return static_cast<uint64_t>(i) << 10; };
  for (size_t i = 0; i < most; ++i) {
    Entry* e = table.find(key(i));
    ASSERT_NE(e, nullptr) << i << " of " << most;
    EXPECT_EQ(e->value, 0);
    e->value = static_cast<int>(i) + 1;
  }
  EXPECT_EQ(table.find(key(most)), nullptr) << most;
  for (size_t i = 0; i < most; ++i) {
    table.prefetch(key(i));
    const Entry* e = table.find(key(i));
    ASSERT_NE(e, nullptr);
    EXPECT_EQ(e->value, static_cast<int>(i) + 1);
  }
}

TEST(BoundedTable, KeepsWhatItKnowsUpToItsBoundAndNotOneMore) {
  for (const size_t most : {size_t{0}, size_t{1}, size_t{767}, size_t{768}, size_t{769}, size_t{5'000}})
    for (const size_t expected : {size_t{0}, size_t{1'000}, size_t{100'000}}) keeps_what_it_knows(most, expected);
}

}  // namespace
}  // namespace sluice::ingest
