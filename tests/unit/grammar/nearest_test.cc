#include "grammar/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::grammar {
namespace {

TEST(EditDistance, CountsInsertsDeletesReplacementsAndSwaps) {
  EXPECT_EQ(edit_distance("src_port", "src_port", 3), 0u);
  EXPECT_EQ(edit_distance("src_prt", "src_port", 3), 1u);
  EXPECT_EQ(edit_distance("src_prot", "src_port", 3), 1u);
  EXPECT_EQ(edit_distance("SRC_PORT", "src_port", 3), 0u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 3), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3u);
  EXPECT_EQ(edit_distance("", "abc", 3), 3u);
  EXPECT_EQ(edit_distance("abc", "", 2), 3u);
  EXPECT_EQ(edit_distance("", "", 0), 0u);
}

TEST(EditDistance, IsBounded) {
  const std::string huge(1'000'000, 'a');
  EXPECT_EQ(edit_distance(huge, "b", 3), 4u);
  EXPECT_EQ(edit_distance(huge, huge, 3), 4u);
  EXPECT_EQ(edit_distance(std::string(64, 'a'), std::string(64, 'a'), 3), 0u);
}

TEST(Nearest, FindsTheMistypedName) {
  const std::vector<std::string> columns = {"src_ip", "dst_ip", "src_port", "dst_port", "bytes", "protocol", "ts"};
  EXPECT_EQ(nearest("src_prt", columns), "src_port");
  EXPECT_EQ(nearest("sport", columns), std::nullopt);
  EXPECT_EQ(nearest("byte", columns), "bytes");
  EXPECT_EQ(nearest("dst_prot", columns), "dst_port");
  EXPECT_EQ(nearest("PROTOCL", columns), "protocol");
  EXPECT_EQ(nearest("tx", columns), std::nullopt);  // one edit turns any two letters into any others
  EXPECT_EQ(nearest("TS", columns), "ts");
  EXPECT_EQ(nearest("", columns), std::nullopt);
  EXPECT_EQ(nearest(std::string(100, 's'), columns), std::nullopt);
}

TEST(Nearest, PrefersTheLeastDistanceThenTheFirst) {
  const std::vector<std::string_view> words = {"starts", "stars", "stats"};
  EXPECT_EQ(nearest("stat", words), "stats");
  EXPECT_EQ(nearest("statz", words), "stats");
  EXPECT_EQ(did_you_mean("statz", words), "did you mean 'stats'?");
  EXPECT_EQ(did_you_mean("zebra", words), "");
}

}  // namespace
}  // namespace sluice::grammar
