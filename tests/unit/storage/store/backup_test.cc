// Backups: a store on the copy is the store of that moment, whatever goes on meanwhile.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "storage/catalog/catalog.h"
#include "storage/store/store.h"
#include "tests/unit/storage/store/rows.h"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;
using testing::Folder;
using testing::kStart;
using testing::must_append;
using testing::must_open;
using testing::numbers;
using testing::range;
using testing::rows;

StoreOptions at(const std::string& directory) {
  StoreOptions o;
  o.directory = directory;
  o.sync = false;
  return o;
}

TEST(Backup, IsTheStoreOfThatMoment) {
  Folder folder;
  ManualClock clock(kStart);
  const std::string copy = folder.path + "/copy";
  {
    auto store = must_open(at(folder.path + "/data"), clock);
    must_append(*store, rows(0, 1'000));
    must_append(*store, rows(1'000, 500, kStart + 3 * kHour));
    ASSERT_TRUE(store->flush().ok());
    must_append(*store, rows(1'500, 250));  // in the journal alone
    ASSERT_TRUE(store->catalog().put(catalog::Keyspace::rules, "rule/x", "y", catalog::Sync::yes).ok());
    const auto made = store->backup(copy);
    ASSERT_TRUE(made.ok()) << made.error().message;
    EXPECT_EQ(made->segments, store->stats().segments);
    EXPECT_EQ(made->bytes, store->stats().segment_bytes);
    EXPECT_EQ(made->copied_bytes, 0u);
    EXPECT_FALSE(fs::exists(copy + ".partial"));
    struct stat s {};
    ASSERT_EQ(::stat(copy.c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777, 0700u);
    // Once more under that name, and what comes after: not in the copy.
    EXPECT_EQ(store->backup(copy).error().code, ErrorCode::conflict);
    must_append(*store, rows(1'750, 10));
    EXPECT_EQ(numbers(store->snapshot()), range(0, 1'760));
  }
  {
    auto restored = must_open(at(copy), clock);
    EXPECT_EQ(numbers(restored->snapshot()), range(0, 1'750));
    EXPECT_TRUE(restored->snapshot().damaged.empty());
    EXPECT_EQ(restored->catalog().get(catalog::Keyspace::rules, "rule/x").value(), std::optional<std::string>("y"));
    // Merging there takes files away from it, and from nobody else.
    must_append(*restored, rows(5'000, 10));
    ASSERT_TRUE(restored->flush().ok());
    while (restored->merge_once().value()) {
    }
  }
  auto again = must_open(at(folder.path + "/data"), clock);
  EXPECT_EQ(numbers(again->snapshot()), range(0, 1'760));
  EXPECT_TRUE(again->verify().empty());
}

TEST(Backup, OfAStoreWithoutRowsAndWhereOneWasCutOff) {
  Folder folder;
  ManualClock clock(kStart);
  auto store = must_open(at(folder.path + "/data"), clock);
  ASSERT_TRUE(store->backup(folder.path + "/nothing").ok());
  EXPECT_TRUE(numbers(must_open(at(folder.path + "/nothing"), clock)->snapshot()).empty());
  // What one that was cut off left is in nobody's way, and a folder that is not there is an error.
  fs::create_directories(folder.path + "/cut.partial/segments");
  std::ofstream(folder.path + "/cut.partial/catalog") << "half";
  EXPECT_TRUE(store->backup(folder.path + "/cut").ok());
  const auto nowhere = store->backup(folder.path + "/no/where");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_NE(nowhere.error().message.find("/no/where.partial"), std::string::npos) << nowhere.error().message;
  EXPECT_TRUE(store->backup(folder.path + "/after").ok());
}

// Each append is in the copy whole or not at all, and all that was acknowledged before are; sealing and merging go on.
TEST(Backup, WhileRowsComeAndSegmentsGo) {
  Folder folder;
  ManualClock clock(kStart);
  auto store = must_open(at(folder.path + "/data"), clock);
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> appended{0};
  std::thread appends([&] {
    for (uint64_t n = 0; !stop && n < 400; ++n) {
      must_append(*store, rows(n * 20, 20));
      appended = n + 1;
      if (n % 5 == 4) {
        EXPECT_TRUE(store->flush().ok());
      }
    }
  });
  std::thread merges([&] {
    while (!stop) EXPECT_TRUE(store->merge_once().ok());
  });
  std::vector<std::pair<std::string, uint64_t>> made;
  for (int i = 0; i < 5; ++i) {
    while (appended < static_cast<uint64_t>(5 * i + 3)) std::this_thread::yield();
    const uint64_t before = appended;
    const std::string to = folder.path + "/copy" + std::to_string(i);
    const auto backup = store->backup(to);
    EXPECT_TRUE(backup.ok()) << (backup.ok() ? "" : backup.error().message);
    made.emplace_back(to, before);
  }
  stop = true;
  appends.join();
  merges.join();
  for (const auto& [path, before] : made) {
    auto copy = must_open(at(path), clock);
    const auto found = numbers(copy->snapshot());
    EXPECT_EQ(found.size() % 20, 0u);
    EXPECT_GE(found.size(), before * 20);
    EXPECT_EQ(found, range(0, found.size()));
    EXPECT_TRUE(copy->snapshot().damaged.empty());
    EXPECT_EQ(copy->stats().orphan_files_removed, 0u);
  }
}

}  // namespace
}  // namespace sluice::store
