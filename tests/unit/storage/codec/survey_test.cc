#include "storage/codec/survey.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace sluice::codec {
namespace {

// The plain twin.
Survey plain(std::span<const uint64_t> values) {
  Survey s{values[0], values[0], 0};
  for (size_t i = 1; i < values.size(); ++i) {
    s.min = std::min(s.min, values[i]);
    s.max = std::max(s.max, values[i]);
    s.changes += values[i] != values[i - 1];
  }
  return s;
}

TEST(Survey, IsWhatAPlainLoopFinds) {
  std::mt19937_64 random(1);
  // Each length around the vectors' widths, and values on both sides of what a signed comparison takes for negative.
  for (size_t length = 1; length < 70; ++length)
    for (const uint64_t most : {uint64_t{1}, uint64_t{1} << 33, ~uint64_t{0}}) {
      std::vector<uint64_t> values(length);
      for (uint64_t& v : values) v = random() % 3 ? random() & most : most;
      const Survey found = survey(values), wanted = plain(values);
      EXPECT_EQ(found.min, wanted.min) << length;
      EXPECT_EQ(found.max, wanted.max) << length;
      EXPECT_EQ(found.changes, wanted.changes) << length;
    }
}

}  // namespace
}  // namespace sluice::codec
