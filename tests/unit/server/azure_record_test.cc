#include "server/azure_record.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "server/limits.h"

namespace sluice::server {
namespace {

struct AzureRecordTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-azure-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
    begin();
  }
  void TearDown() override {
    record.reset();
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  // A new life of the server.
  void begin() {
    memory = std::make_unique<ingest::AzureMemory>();
    record = std::make_unique<AzureRecord>(*catalog, *memory, clock);
    const auto unreadable = record->load();
    ASSERT_TRUE(unreadable.ok());
    left_out = *unreadable;
  }

  std::string directory;
  ManualClock clock{20'000 * kDay};
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<ingest::AzureMemory> memory;
  std::unique_ptr<AzureRecord> record;
  size_t left_out = 0;
};

TEST_F(AzureRecordTest, GoesOnAfterARestart) {
  memory->keep(7, {clock.now(), true});
  ASSERT_TRUE(record->save(false).ok());
  memory->keep(8, {clock.now(), true});
  ASSERT_TRUE(record->save(false).ok());  // too early to write again
  begin();
  EXPECT_EQ(left_out, 0u);
  EXPECT_TRUE(memory->before(7, clock.now() + 1));
  EXPECT_FALSE(memory->before(8, clock.now() + 1));
  memory->keep(8, {clock.now(), true});
  ASSERT_TRUE(record->save(true).ok());  // a proper stop
  clock.advance(limits::kAzureRecordEvery);
  memory->keep(9, {clock.now(), false});
  ASSERT_TRUE(record->save(false).ok());
  begin();
  EXPECT_TRUE(memory->before(7, clock.now() + 1)->open);
  EXPECT_TRUE(memory->before(8, clock.now() + 1));
  EXPECT_FALSE(memory->before(9, clock.now() + 1)->open);
}

TEST_F(AzureRecordTest, LeavesOutWhatItCannotRead) {
  ASSERT_TRUE(catalog->put(catalog::Keyspace::settings, "azure_flows/3", "?", catalog::Sync::no).ok());
  memory->keep(7, {clock.now(), true});
  ASSERT_TRUE(record->save(true).ok());
  begin();
  EXPECT_EQ(left_out, 1u);
  EXPECT_TRUE(memory->before(7, clock.now() + 1));
}

}  // namespace
}  // namespace sluice::server
