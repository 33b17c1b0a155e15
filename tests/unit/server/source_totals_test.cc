#include "server/source_totals.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace sluice::server {
namespace {

using catalog::Keyspace;

struct SourceTotalsTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-totals-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
  }
  void TearDown() override {
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  std::string directory;
  std::unique_ptr<catalog::Catalog> catalog;
};

TEST_F(SourceTotalsTest, GoOnAfterARestart) {
  Metrics first;
  SourceTotals totals(*catalog, first);
  EXPECT_EQ(*totals.load(100), 0u);
  EXPECT_EQ(first.ingest_since, 100);
  const Metrics::IngestCounts counts{1, 2, 3, 4, 5, 6, 7, 8};
  first.count_ingest("aws_vpc", counts);
  ASSERT_TRUE(totals.save().ok());
  const uint64_t commits = catalog->stats().commits;
  ASSERT_TRUE(totals.save().ok());
  EXPECT_EQ(catalog->stats().commits, commits) << "nothing changed";
  first.count_ingest("netflow", {.bodies = 1});  // not saved: the process dies

  catalog.reset();
  catalog = std::move(*catalog::Catalog::open(directory));
  Metrics second;
  SourceTotals again(*catalog, second);
  EXPECT_EQ(*again.load(999), 0u);
  EXPECT_EQ(second.ingest_since, 100);
  EXPECT_EQ(second.ingest().at("aws_vpc"), counts);
  EXPECT_FALSE(second.ingest().contains("netflow"));
  second.count_ingest("aws_vpc", {.bodies = 1, .accepted = 10});
  ASSERT_TRUE(again.save().ok());
  Metrics third;
  SourceTotals last(*catalog, third);
  EXPECT_EQ(*last.load(999), 0u);
  EXPECT_EQ(third.ingest().at("aws_vpc").bodies, 2u);
  EXPECT_EQ(third.ingest().at("aws_vpc").accepted, 13u);
}

TEST_F(SourceTotalsTest, LeavesOutWhatItCannotRead) {
  for (const auto& [source, value] : {std::pair{"a", "1 2 x"}, {"b", ""}, {"c", "1  2"}, {"d", "-1"}, {"older", "7 8"}, {"newer", "1 2 3 4 5 6 7 8 9"}})
    ASSERT_TRUE(catalog->put(Keyspace::settings, std::string("source_totals/") + source, value, catalog::Sync::no).ok());
  ASSERT_TRUE(catalog->put(Keyspace::settings, "source_totals_since", "soon", catalog::Sync::no).ok());
  Metrics metrics;
  SourceTotals totals(*catalog, metrics);
  EXPECT_EQ(*totals.load(5), 4u);
  EXPECT_EQ(metrics.ingest_since, 5);
  EXPECT_EQ(metrics.ingest().size(), 2u);
  EXPECT_EQ(metrics.ingest().at("older").bytes, 8u);
  EXPECT_EQ(metrics.ingest().at("newer").failed, 8u);
}

}  // namespace
}  // namespace sluice::server
