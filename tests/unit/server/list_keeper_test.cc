#include "query/limits.h"
#include "server/list_keeper.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace sluice::server {
namespace {

using catalog::Keyspace;

struct ListKeeperTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-lists-XXXXXX";
    directory = mkdtemp(name);
    catalog = std::move(*catalog::Catalog::open(directory));
  }
  void TearDown() override {
    catalog.reset();
    std::filesystem::remove_all(directory);
  }
  static query::WatchList list(std::string name, std::vector<std::string> items) { return *query::make_watch_list(std::move(name), std::move(items)); }

  std::string directory;
  std::unique_ptr<catalog::Catalog> catalog;
  ManualClock clock{1'000 * kSecond};
};

TEST_F(ListKeeperTest, KeepsListsOverARestart) {
  {
    ListKeeper keeper(*catalog, clock);
    ASSERT_TRUE(keeper.load().ok());
    EXPECT_EQ(*keeper.put_list(list("Bad", {"10.0.0.0/8", "odd\nitem", "back\\slash"}), false), 1u);
    const auto again = keeper.put_list(list("bad", {"10.0.0.1"}), false);
    ASSERT_FALSE(again.ok());
    EXPECT_EQ(again.error().code, ErrorCode::conflict);
    EXPECT_EQ(*keeper.put_list(list("bad", {"10.0.0.1", "odd\nitem"}), true), 2u);
    EXPECT_EQ(*keeper.put_list(list("empty", {}), false), 1u);
    EXPECT_EQ(*keeper.put_list(list("gone", {"x"}), false), 1u);
    EXPECT_TRUE(keeper.drop_list("GONE").ok());
    const Status missing = keeper.drop_list("gone");
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  }
  catalog.reset();
  catalog = std::move(*catalog::Catalog::open(directory));
  ListKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  const auto book = keeper.lists();
  ASSERT_EQ(book->lists().size(), 2u);
  const query::WatchList* bad = book->find("BAD");
  ASSERT_NE(bad, nullptr);
  EXPECT_EQ(bad->version, 2u);
  EXPECT_EQ(bad->updated_at, 1'000 * kSecond);
  EXPECT_EQ(bad->items, (std::vector<std::string>{"10.0.0.1", "odd\nitem"}));
  EXPECT_EQ(bad->addresses.ranges.size(), 1u);
  EXPECT_TRUE(book->find("empty")->items.empty());
}

TEST_F(ListKeeperTest, ItemsEnd) {
  {
    ListKeeper keeper(*catalog, clock);
    ASSERT_TRUE(keeper.load().ok());
    std::vector<std::string> told;
    keeper.watch([&](const std::string& name) { told.push_back(name); }, {});
    auto made = query::make_watch_list("Bad", {"10.0.0.1", "\t10.0.0.2", "10.0.0.3"}, {2'000 * kSecond, kTimestampMax, 3'000 * kSecond});
    ASSERT_TRUE(keeper.put_list(std::move(*made), false).ok());
    ASSERT_TRUE(keeper.expire().ok());
    EXPECT_EQ(told, std::vector<std::string>{"bad"});
    // What is added again ends later; what is new is added.
    const auto merged = keeper.merge("BAD", {"10.0.0.3", "10.0.0.4"}, {9'000 * kSecond, kTimestampMax});
    ASSERT_TRUE(merged.ok());
    EXPECT_EQ(merged->items, 4u);
    EXPECT_EQ(merged->version, 2u);
    clock.set(2'000 * kSecond - 1);
    ASSERT_TRUE(keeper.expire().ok());
    EXPECT_EQ(keeper.lists()->find("bad")->items.size(), 4u);
  }
  ListKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  EXPECT_EQ(keeper.lists()->find("bad")->items, (std::vector<std::string>{"10.0.0.1", "\t10.0.0.2", "10.0.0.3", "10.0.0.4"}));
  clock.set(2'000 * kSecond);
  ASSERT_TRUE(keeper.expire().ok());
  EXPECT_EQ(keeper.lists()->find("bad")->items, (std::vector<std::string>{"\t10.0.0.2", "10.0.0.3", "10.0.0.4"}));
  EXPECT_EQ(keeper.lists()->find("bad")->version, 3u);
  clock.set(9'000 * kSecond);
  ASSERT_TRUE(keeper.expire().ok());
  EXPECT_EQ(keeper.lists()->find("bad")->items, (std::vector<std::string>{"\t10.0.0.2", "10.0.0.4"}));
  EXPECT_TRUE(keeper.lists()->find("bad")->ends.empty());
}

TEST_F(ListKeeperTest, WhoReadsAListKeepsIt) {
  ListKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  ASSERT_TRUE(keeper.put_list(list("bad", {"10.0.0.1"}), false).ok());
  keeper.watch({}, [](const std::string& name) { return name == "bad" ? Status(Error{ErrorCode::conflict, "read"}) : Status(); });
  EXPECT_FALSE(keeper.drop_list("BAD").ok());
  EXPECT_NE(keeper.lists()->find("bad"), nullptr);
}

TEST_F(ListKeeperTest, WhoReadsAListKeepsItFromBecomingEmpty) {
  ListKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  keeper.watch({}, {}, [](const std::string& name) { return name == "bad" || name == "zone_new" ? Status(Error{ErrorCode::invalid_argument, name + " is read"}) : Status(); });
  ASSERT_TRUE(keeper.put_list(list("Bad", {"10.0.0.1"}), false).ok());
  const auto refused = keeper.put_list(list("BAD", {}), true);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "bad is read");
  EXPECT_EQ(keeper.put_list(list("bad", {}), false).error().code, ErrorCode::conflict) << "it is there, whatever it would become";
  EXPECT_FALSE(keeper.put_list(list("zone_new", {}), false).ok());
  EXPECT_EQ(keeper.lists()->find("bad")->items.size(), 1u);
  EXPECT_EQ(*keeper.put_list(list("bad", {}), true, true), 2u);
  EXPECT_TRUE(keeper.put_list(list("other", {}), false).ok());
}

TEST_F(ListKeeperTest, NewListsHavePlainNamesAndOldOnesStay) {
  ASSERT_TRUE(catalog->put(Keyspace::lists, "old name", "1\t4\t5\tOld name\n10.0.0.1", catalog::Sync::no).ok());
  ListKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  ASSERT_NE(keeper.lists()->find("old name"), nullptr);
  EXPECT_EQ(*keeper.put_list(list("old name", {"10.0.0.2"}), true), 5u);
  EXPECT_TRUE(keeper.merge("old name", {"10.0.0.3"}, {}).ok());
  EXPECT_TRUE(keeper.drop_list("old name").ok());
  for (const char* name : {"bad name", "<b>", "a/b", "gr\u00fcn", "a\n", "@a"}) {
    const auto put = keeper.put_list(list(name, {"1"}), true);
    ASSERT_FALSE(put.ok()) << name;
    EXPECT_EQ(put.error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(put.error().message, "a list's name is made of letters, digits, '_', '-' and '.'");
    EXPECT_FALSE(keeper.merge(name, {"1"}, {}).ok()) << name;
  }
  EXPECT_TRUE(keeper.put_list(list("zone_DMZ-2.b", {"10.0.0.1"}), true).ok());
}

TEST_F(ListKeeperTest, ABookDoesNotChange) {
  ListKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  ASSERT_TRUE(keeper.put_list(list("a", {"1"}), false).ok());
  const auto before = keeper.lists();
  ASSERT_TRUE(keeper.put_list(list("a", {"2"}), true).ok());
  EXPECT_EQ(before->find("a")->items[0], "1");
  EXPECT_EQ(keeper.lists()->find("a")->items[0], "2");
}

TEST_F(ListKeeperTest, BoundsTheNumberOfLists) {
  ListKeeper keeper(*catalog, clock);
  ASSERT_TRUE(keeper.load().ok());
  for (size_t i = 0; i < limits::kListsMax; ++i) ASSERT_TRUE(keeper.put_list(list("l" + std::to_string(i), {"1"}), false).ok());
  const auto refused = keeper.put_list(list("more", {"1"}), false);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::too_large);
  EXPECT_TRUE(keeper.put_list(list("l0", {"2"}), true).ok()) << "one that is there may change";
}

TEST_F(ListKeeperTest, SaysWhichListCannotBeRead) {
  ASSERT_TRUE(catalog->put(Keyspace::lists, "broken", "2\tx", catalog::Sync::no).ok());
  ListKeeper keeper(*catalog, clock);
  const Status status = keeper.load();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::corrupt);
  EXPECT_NE(status.error().message.find("'broken'"), std::string::npos) << status.error().message;
}

}  // namespace
}  // namespace sluice::server
