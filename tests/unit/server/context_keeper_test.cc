#include "server/context_keeper.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace sluice::server {
namespace {

using catalog::Keyspace;

TEST(ContextKeeperTest, KeepsTablesOverARestart) {
  char name[] = "/tmp/sluice-context-XXXXXX";
  const std::string directory = mkdtemp(name);
  auto catalog = std::move(*catalog::Catalog::open(directory));
  ManualClock clock{1'000 * kSecond};
  const std::string csv = "ip,owner\n10.0.0.0/8,\"ops\nteam\"\n10.0.0.5,db\n";
  {
    ContextKeeper keeper(*catalog, clock);
    ASSERT_TRUE(keeper.load().ok());
    EXPECT_EQ(*keeper.put_table(*query::ContextTable::read("Assets", "ip", csv), false), 1u);
    const auto again = keeper.put_table(*query::ContextTable::read("assets", "ip", csv), false);
    ASSERT_FALSE(again.ok());
    EXPECT_EQ(again.error().code, ErrorCode::conflict);
    EXPECT_EQ(*keeper.put_table(*query::ContextTable::read("assets", "ip", csv), true), 2u);
    EXPECT_EQ(*keeper.put_table(*query::ContextTable::read("gone", "ip", csv), false), 1u);
    EXPECT_TRUE(keeper.drop_table("GONE").ok());
    EXPECT_FALSE(keeper.drop_table("gone").ok());
  }
  catalog.reset();
  catalog = std::move(*catalog::Catalog::open(directory));
  ContextKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  ASSERT_EQ(keeper.tables()->tables().size(), 1u);
  const auto assets = keeper.tables()->find("ASSETS");
  ASSERT_NE(assets, nullptr);
  EXPECT_EQ(assets->version, 2u);
  EXPECT_EQ(assets->updated_at, 1'000 * kSecond);
  EXPECT_EQ(assets->csv(), csv);
  const uint32_t row = assets->find(*parse_ip("10.0.0.5"), 0);
  ASSERT_NE(row, query::ContextTable::kNone);
  EXPECT_EQ(assets->values()[0].column.string_at(row), "db");

  ASSERT_TRUE(catalog->put(Keyspace::context, "broken", "1\tx", catalog::Sync::no).ok());
  const Status status = keeper.load();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::corrupt);
  EXPECT_NE(status.error().message.find("'broken'"), std::string::npos);
  catalog.reset();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace sluice::server
