#include "server/state_backlog.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/storage/store/failing_disk.h"

namespace sluice::server {
namespace {

using catalog::Keyspace;
using store::testing::DiskFailure;
using store::testing::FailingDisk;

struct StateBacklogTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-state-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
  }
  void TearDown() override {
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  std::string value_of(const std::string& key) {
    const auto got = catalog->get(Keyspace::ingest_state, key);
    return got.ok() && *got ? **got : "";
  }
  std::string directory;
  std::unique_ptr<catalog::Catalog> catalog;
};

TEST_F(StateBacklogTest, WhatCouldNotBeWrittenIsWrittenLater) {
  StateBacklog backlog;
  backlog.add({{"template/1", "old"}, {"template/2", "x"}});
  ASSERT_TRUE(backlog.write_to(*catalog).ok());
  EXPECT_TRUE(backlog.empty());
  {
    const FailingDisk failing(DiskFailure::write);
    backlog.add({{"template/1", "new"}, {"sampler/7", "100"}, {"template/2", ""}});
    EXPECT_EQ(backlog.write_to(*catalog).error().code, ErrorCode::full);
    backlog.add({{"sampler/7", "1000"}});
    EXPECT_FALSE(backlog.write_to(*catalog).ok());
    EXPECT_EQ(backlog.entries(), 3u);
  }
  ASSERT_TRUE(backlog.write_to(*catalog).ok());
  EXPECT_TRUE(backlog.empty());
  EXPECT_EQ(backlog.bytes(), 0u);
  catalog.reset();
  catalog = std::move(*catalog::Catalog::open(directory));
  EXPECT_EQ(value_of("template/1"), "new");
  EXPECT_EQ(value_of("sampler/7"), "1000");
  EXPECT_EQ(value_of("template/2"), "");
}

TEST_F(StateBacklogTest, IsBounded) {
  StateBacklog backlog(2, 20);
  backlog.add({{"a", "123456789"}, {"b", "123456789"}});
  EXPECT_EQ(backlog.bytes(), 20u);
  EXPECT_EQ(backlog.dropped(), 0u);
  backlog.add({{"c", "x"}});  // one entry too many
  backlog.add({{"a", "1234567890"}});  // one byte too many: neither the new state nor the old one
  EXPECT_EQ(backlog.dropped(), 2u);
  EXPECT_EQ(backlog.entries(), 2u);
  EXPECT_EQ(backlog.bytes(), 11u);
  backlog.add({{"a", "2"}});  // fits again
  ASSERT_TRUE(backlog.write_to(*catalog).ok());
  EXPECT_EQ(value_of("a"), "2");
  EXPECT_EQ(value_of("b"), "123456789");
  EXPECT_EQ(value_of("c"), "");
}

}  // namespace
}  // namespace sluice::server
