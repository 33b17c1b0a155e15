#include "storage/catalog/catalog.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace sluice::catalog {
namespace {

namespace fs = std::filesystem;

// A folder of its own that goes with the test.
struct Folder {
  std::string path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "sluice-catalog-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ec;
    fs::remove_all(path, ec);
  }
};

std::unique_ptr<Catalog> must_open(const std::string& path) {
  auto r = Catalog::open(path);
  EXPECT_TRUE(r.ok()) << (r.ok() ? "" : r.error().message);
  return r.ok() ? std::move(r).value() : nullptr;
}

std::vector<std::string> keys(const Catalog& c, Keyspace k, std::string_view prefix = {}) {
  std::vector<std::string> out;
  EXPECT_TRUE(c.scan(k, prefix, [&](std::string_view key, std::string_view) {
    out.emplace_back(key);
    return true;
  }).ok());
  return out;
}

TEST(Catalog, KeepsKeysAcrossOpens) {
  Folder f;
  {
    auto c = must_open(f.path);
    EXPECT_TRUE(c->created());
    ASSERT_TRUE(c->put(Keyspace::tokens, "a", "1", Sync::yes).ok());
    ASSERT_TRUE(c->put(Keyspace::journal, "a", std::string(100'000, 'x'), Sync::no).ok());
  }
  auto c = must_open(f.path);
  EXPECT_FALSE(c->created());
  EXPECT_EQ(c->get(Keyspace::tokens, "a")->value(), "1");
  EXPECT_EQ(c->get(Keyspace::journal, "a")->value().size(), 100'000u);
  EXPECT_FALSE(c->get(Keyspace::lists, "a")->has_value());
}

TEST(Catalog, WhatItMakesIsItsOwnersAlone) {
  Folder f;
  const std::string made = f.path + "/made";
  must_open(made);
  EXPECT_EQ(fs::status(made).permissions(), fs::perms::owner_all);
  // What was there already is left to who made it.
  const std::string there = f.path + "/there";
  fs::create_directory(there);
  fs::permissions(there, fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec);
  must_open(there);
  EXPECT_EQ(fs::status(there).permissions(), fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec);
}

TEST(Catalog, KeyspacesDoNotSeeEachOther) {
  Folder f;
  auto c = must_open(f.path);
  for (size_t k = 0; k < kKeyspaceCount; ++k)
    ASSERT_TRUE(c->put(static_cast<Keyspace>(k), std::string("k") + std::to_string(k), "v", Sync::no).ok());
  for (size_t k = 1; k < kKeyspaceCount; ++k)
    EXPECT_EQ(keys(*c, static_cast<Keyspace>(k)), std::vector<std::string>{"k" + std::to_string(k)}) << k;
}

TEST(Catalog, ScansByPrefixAndRange) {
  Folder f;
  auto c = must_open(f.path);
  const std::string ff = "\xff";
  for (const std::string& k : {std::string("a"), std::string("ab"), std::string("b"), ff, ff + ff, ff + "a"})
    for (Keyspace s : {Keyspace::lists, Keyspace::journal}) ASSERT_TRUE(c->put(s, k, k, Sync::no).ok());
  for (Keyspace s : {Keyspace::lists, Keyspace::journal}) {
    EXPECT_EQ(keys(*c, s, "a"), (std::vector<std::string>{"a", "ab"}));
    EXPECT_EQ(keys(*c, s, ff), (std::vector<std::string>{ff, ff + "a", ff + ff}));
    EXPECT_EQ(keys(*c, s).size(), 6u);
    std::vector<std::string> range;
    ASSERT_TRUE(c->scan_range(s, "ab", ff, [&](std::string_view k, std::string_view) {
      range.emplace_back(k);
      return true;
    }).ok());
    EXPECT_EQ(range, (std::vector<std::string>{"ab", "b"}));
    int seen = 0;
    ASSERT_TRUE(c->scan(s, {}, [&](std::string_view, std::string_view) { return ++seen < 2; }).ok());
    EXPECT_EQ(seen, 2);
  }
}

TEST(Catalog, WritesCommitTogetherLaterChangeWins) {
  Folder f;
  auto c = must_open(f.path);
  Write w;
  w.put(Keyspace::journal, "1", "x");
  w.put(Keyspace::journal, "2", "x");
  w.put(Keyspace::rules, "r", "1");
  w.put(Keyspace::rules, "r", "2");
  w.put(Keyspace::outbox, "gone", "1");
  w.erase(Keyspace::outbox, "gone");
  EXPECT_EQ(w.count(), 6u);
  Write more;
  more.erase_range(Keyspace::journal, "1", "2");
  more.erase_range(Keyspace::journal, "9", "2");  // nothing
  w.append(std::move(more));
  ASSERT_TRUE(c->commit(w, Sync::yes).ok());
  EXPECT_EQ(keys(*c, Keyspace::journal), std::vector<std::string>{"2"});
  EXPECT_EQ(c->get(Keyspace::rules, "r")->value(), "2");
  EXPECT_FALSE(c->get(Keyspace::outbox, "gone")->has_value());
  w.clear();
  EXPECT_TRUE(w.empty());
  EXPECT_TRUE(c->commit(w, Sync::yes).ok());
}

TEST(Catalog, RefusesASecondOpenInThisProcess) {
  Folder f;
  auto c = must_open(f.path);
  auto again = Catalog::open(f.path);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, ErrorCode::conflict);
  EXPECT_NE(again.error().message.find(f.path), std::string::npos);
  EXPECT_NE(again.error().message.find("this process"), std::string::npos);
}

TEST(Catalog, NamesTheProcessThatHoldsTheLock) {
  Folder f;
  int ready[2], done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  char byte = 0;
  if (child == 0) {
    auto c = Catalog::open(f.path);
    (void)!::write(ready[1], c.ok() ? "y" : "n", 1);
    ::close(done[1]);
    (void)!::read(done[0], &byte, 1);
    ::_exit(0);
  }
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  for (int i = 0; i < 2; ++i) {  // asking must not break the lock
    auto c = Catalog::open(f.path);
    ASSERT_FALSE(c.ok());
    EXPECT_EQ(c.error().code, ErrorCode::conflict);
    EXPECT_NE(c.error().message.find("process " + std::to_string(child)), std::string::npos) << c.error().message;
  }
  ::close(done[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_NE(must_open(f.path), nullptr);
}

TEST(Catalog, RefusesANewerFormat) {
  Folder f;
  {
    auto c = must_open(f.path);
    ASSERT_TRUE(c->put(Keyspace::settings, "format", "7", Sync::yes).ok());
  }
  auto c = Catalog::open(f.path);
  ASSERT_FALSE(c.ok());
  EXPECT_EQ(c.error().code, ErrorCode::unsupported);
  EXPECT_NE(c.error().message.find("written by Sluice format 7, this program knows 1"), std::string::npos) << c.error().message;
}

TEST(Catalog, RefusesADatabaseWithoutOurKey) {
  Folder f;
  {
    auto c = must_open(f.path);
    ASSERT_TRUE(c->put(Keyspace::lists, "x", "y", Sync::yes).ok());
    ASSERT_TRUE(c->erase(Keyspace::settings, "format", Sync::yes).ok());
  }
  auto c = Catalog::open(f.path);
  ASSERT_FALSE(c.ok());
  EXPECT_EQ(c.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(c.error().message.find("not a Sluice catalogue"), std::string::npos) << c.error().message;
}

TEST(Catalog, RefusesDamage) {
  Folder f;
  { must_open(f.path); }
  for (const auto& e : fs::directory_iterator(f.path + "/catalog"))
    if (e.path().filename().string().starts_with("MANIFEST")) std::ofstream(e.path()) << "nonsense, and plenty of it";
  auto c = Catalog::open(f.path);
  ASSERT_FALSE(c.ok());
  EXPECT_EQ(c.error().code, ErrorCode::corrupt) << c.error().message;
}

TEST(Catalog, ALogCutOffByACrashIsNoDamage) {
  Folder f;
  {
    auto c = must_open(f.path);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(c->put(Keyspace::lists, "k" + std::to_string(i), std::string(1000, 'v'), Sync::yes).ok());
  }
  for (const auto& e : fs::directory_iterator(f.path + "/catalog"))
    if (e.path().extension() == ".log" && e.file_size() > 0) fs::resize_file(e.path(), e.file_size() - 100);
  auto c = must_open(f.path);
  EXPECT_EQ(c->damage(), "");
  EXPECT_TRUE(c->tail_cut());
  EXPECT_EQ(keys(*c, Keyspace::lists).size(), 9u);
  Folder whole;
  { ASSERT_TRUE(must_open(whole.path)->put(Keyspace::lists, "k", "v", Sync::yes).ok()); }
  EXPECT_FALSE(must_open(whole.path)->tail_cut());
}

// As who tidies up everything that is called *.log would leave it.
TEST(Catalog, ALogThatIsGoneIsSaid) {
  const auto remove_logs = [](const std::string& path) {
    std::vector<fs::path> logs;
    for (const auto& e : fs::directory_iterator(path + "/catalog"))
      if (e.path().extension() == ".log") logs.push_back(e.path());
    for (const fs::path& log : logs) fs::remove(log);
    return logs.size();
  };
  Folder f;
  {
    auto c = must_open(f.path);
    ASSERT_TRUE(c->put(Keyspace::lists, "early", "1", Sync::yes).ok());
    // A log that is worth it is written to sorted files.
    ASSERT_TRUE(c->put(Keyspace::journal, "rows", std::string(4u << 20, 'r'), Sync::yes).ok());
    ASSERT_TRUE(c->erase(Keyspace::journal, "rows", Sync::yes).ok());
    ASSERT_TRUE(c->reclaim_journal(0).ok());
  }
  EXPECT_EQ(must_open(f.path)->damage(), "");
  { ASSERT_TRUE(must_open(f.path)->put(Keyspace::lists, "late", "1", Sync::yes).ok()); }
  ASSERT_GT(remove_logs(f.path), 0u);
  {
    auto c = must_open(f.path);
    EXPECT_NE(c->damage().find("*.log"), std::string::npos) << c->damage();
    EXPECT_EQ(keys(*c, Keyspace::lists), std::vector<std::string>{"early"});
  }
  EXPECT_EQ(must_open(f.path)->damage(), "") << "said once: there is a log again";
  // A first start that was cut off before it wrote anything.
  Folder young;
  { must_open(young.path); }
  ASSERT_GT(remove_logs(young.path), 0u);
  auto c = must_open(young.path);
  EXPECT_TRUE(c->created());
  EXPECT_EQ(c->damage(), "");
}

TEST(Catalog, RefusesAFolderThatCannotBe) {
  auto c = Catalog::open("/proc/no/such/place");
  ASSERT_FALSE(c.ok());
  EXPECT_EQ(c.error().code, ErrorCode::io);
}

TEST(Catalog, ErasedJournalLeavesTheDisk) {
  Folder f;
  auto c = must_open(f.path);
  std::string value(1u << 20, '\0');
  uint64_t state = 1;
  for (char& b : value) b = static_cast<char>((state = state * 6364136223846793005u + 1442695040888963407u) >> 56);
  uint64_t most = 0;
  for (int i = 0; i < 1500; ++i) {
    char key[16];
    std::snprintf(key, sizeof key, "%08d", i);
    Write w;
    w.put(Keyspace::journal, key, value);
    if (i >= 40) {
      std::snprintf(key, sizeof key, "%08d", i - 40);
      w.erase(Keyspace::journal, key);
    }
    ASSERT_TRUE(c->commit(w, Sync::no).ok());
    if (i % 50 == 49) {
      ASSERT_TRUE(c->reclaim_journal(40u << 20).ok());
      most = std::max(most, c->stats().disk_bytes);
    }
  }
  EXPECT_EQ(keys(*c, Keyspace::journal).size(), 40u);
  EXPECT_LT(most, 700u << 20);
  RecordProperty("most_disk_bytes", std::to_string(most));
}

// Fills a small file system until writes are refused, frees space, and goes on without a restart.
TEST(Catalog, GoesOnAfterAFullDisk) {
  Folder f;
  const std::string mount = f.path + "/small";
  fs::create_directory(mount);
  if (::mount("tmpfs", mount.c_str(), "tmpfs", 0, "size=48m") != 0)
    GTEST_SKIP() << "may not mount a small file system here; the full disk is not tested";
  {
    auto c = must_open(mount);
    ASSERT_TRUE(c->put(Keyspace::lists, "before", "1", Sync::yes).ok());
    std::ofstream ballast(mount + "/ballast", std::ios::binary);
    ballast << std::string(24u << 20, 'b');
    ballast.close();
    int written = 0;
    Status last;
    for (; written < 100; ++written) {
      last = c->put(Keyspace::journal, "k" + std::to_string(written), std::string(1u << 20, 'j'), Sync::yes);
      if (!last.ok()) break;
    }
    ASSERT_FALSE(last.ok());
    EXPECT_EQ(last.error().code, ErrorCode::full) << last.error().message;
    EXPECT_GT(written, 5);
    // Still full: refused again, and reading goes on.
    EXPECT_EQ(c->put(Keyspace::journal, "more", std::string(1u << 20, 'j'), Sync::yes).error().code, ErrorCode::full);
    EXPECT_EQ(c->get(Keyspace::lists, "before")->value(), "1");
    fs::remove(mount + "/ballast");
    const auto again = c->put(Keyspace::lists, "after", "2", Sync::yes);
    EXPECT_TRUE(again.ok()) << (again.ok() ? "" : again.error().message);
    EXPECT_GE(c->stats().resumed, 1u);
    EXPECT_EQ(keys(*c, Keyspace::journal).size(), static_cast<size_t>(written));
    c.reset();
    c = must_open(mount);
    EXPECT_EQ(c->get(Keyspace::lists, "after")->value(), "2");
    EXPECT_EQ(keys(*c, Keyspace::journal).size(), static_cast<size_t>(written));
  }
  ::umount(mount.c_str());
}

TEST(Catalog, ThreadsCommitAtOnce) {
  Folder f;
  auto c = must_open(f.path);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i)
        EXPECT_TRUE(c->put(Keyspace::lists, std::to_string(t * 1000 + i), "v", i % 10 ? Sync::no : Sync::yes).ok());
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(keys(*c, Keyspace::lists).size(), 400u);
}

}  // namespace
}  // namespace sluice::catalog
