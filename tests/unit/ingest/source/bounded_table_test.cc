#include "ingest/source/bounded_table.h"

#include <gtest/gtest.h>

namespace sluice::ingest {
namespace {

struct Entry {
  uint64_t key = 0;
  int value = 0;
};

TEST(BoundedTable, KeepsWhatItKnowsUpToItsBoundAndNotOneMore) {
  for (const size_t most : {size_t{0}, size_t{1}, size_t{511}, size_t{512}, size_t{513}, size_t{5'000}}) {
    BoundedTable<Entry> table(most);
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
}

}  // namespace
}  // namespace sluice::ingest
