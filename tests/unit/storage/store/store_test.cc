#include "storage/store/store.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <random>
#include <set>
#include <thread>

#include "storage/catalog/catalog.h"
#include "storage/model/limits.h"
#include "storage/store/crash_points.h"
#include "storage/store/records.h"
#include "storage/store/rows.h"
#include "tests/unit/storage/store/failing_disk.h"
#include "tests/unit/storage/store/rows.h"

namespace sluice::store {
namespace {

namespace fs = std::filesystem;
using catalog::Keyspace;
using catalog::Sync;
using testing::Folder;
using testing::kStart;
using testing::must_append;
using testing::must_open;
using testing::numbers;
using testing::options_for;
using testing::range;
using testing::rows;
using testing::segment_files;

// --- rows

TEST(Rows, PartitionsAreFloors) {
  EXPECT_EQ(partition_of(0, kHour), 0);
  EXPECT_EQ(partition_of(kHour - 1, kHour), 0);
  EXPECT_EQ(partition_of(kHour, kHour), kHour);
  EXPECT_EQ(partition_of(-1, kHour), -kHour);
  EXPECT_EQ(partition_of(-kHour, kHour), -kHour);
  EXPECT_EQ(partition_of(-kHour - 1, kHour), -2 * kHour);
  EXPECT_EQ(partition_of(kTimestampMin, kHour), kTimestampMin);
  EXPECT_LE(partition_of(kTimestampMax, kHour), kTimestampMax - 1);
  EXPECT_EQ(partition_of(kTimestampMin, 1), kTimestampMin);
}

TEST(Rows, SplitsByPartitionAndJoinsTheParts) {
  std::vector<Batch> batches;
  batches.push_back(rows(0, 100, kStart, 2 * kMinute));       // over four hours
  batches.push_back(rows(100, 100, kStart + kMinute, kSecond));
  auto pieces = split_by_partition(batches, kHour);
  ASSERT_TRUE(pieces.ok());
  ASSERT_EQ(pieces->size(), 4u);
  uint64_t count = 0;
  for (const auto& [start, piece] : *pieces) {
    EXPECT_EQ(piece.batches.size(), 1u);
    EXPECT_GE(piece.first, start);
    EXPECT_LT(piece.last, start + kHour);
    count += piece.rows;
  }
  EXPECT_EQ(count, 200u);
  EXPECT_EQ(pieces->begin()->second.rows, 130u);
}

TEST(Rows, SplitsTheEndsOfTime) {
  FlowBatchBuilder b;
  for (const TimestampNs t : {kTimestampMin, kTimestampMin + 1, int64_t{-1}, int64_t{0}, kTimestampMax - 1, kTimestampMax}) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, t);
  }
  const Batch batch = b.finish();
  auto pieces = split_by_partition({&batch, 1}, kHour);
  ASSERT_TRUE(pieces.ok());
  uint64_t count = 0;
  for (const auto& [start, piece] : *pieces) count += piece.rows;
  EXPECT_EQ(count, 6u);
  EXPECT_EQ(pieces->size(), 4u);
}

TEST(Rows, RefusesWhatAreNoFlows) {
  FlowBatchBuilder no_end;
  no_end.begin_row();
  no_end.set_uint(ColumnId::dst_port, 1);
  const Batch a = no_end.finish();
  EXPECT_EQ(split_by_partition({&a, 1}, kHour).error().code, ErrorCode::invalid_argument);
  FlowBatchBuilder some_end;
  some_end.begin_row();
  some_end.set_time(ColumnId::flow_end, 1);
  some_end.begin_row();
  const Batch b = some_end.finish();
  EXPECT_EQ(split_by_partition({&b, 1}, kHour).error().code, ErrorCode::invalid_argument);
  Batch twice = rows(0, 3);
  auto schema = std::make_shared<Schema>(*twice.schema);
  schema->push_back(schema->front());
  twice.schema = schema;
  twice.columns.push_back(twice.columns.front());
  EXPECT_EQ(split_by_partition({&twice, 1}, kHour).error().code, ErrorCode::invalid_argument);
  Batch foreign = rows(0, 3);
  auto named = std::make_shared<Schema>(*foreign.schema);
  named->front().column.reset();
  foreign.schema = named;
  EXPECT_EQ(split_by_partition({&foreign, 1}, kHour).error().code, ErrorCode::invalid_argument);
}

TEST(Records, RefuseDamageAndNewerForms) {
  segment::SegmentInfo info;
  info.id = 9;
  info.path = "a/b";
  info.rows = 3;
  std::string record = segment_record(info);
  EXPECT_EQ(parse_segment_record(9, record)->path, "a/b");
  EXPECT_EQ(parse_segment_record(9, record.substr(0, 20)).error().code, ErrorCode::corrupt);
  record[0] = 2;
  EXPECT_EQ(parse_segment_record(9, record).error().code, ErrorCode::unsupported);
  const auto batch = std::make_shared<const Batch>(rows(0, 3));
  std::string entry = journal_entry({7, 8}, std::vector{batch, batch});
  EXPECT_EQ(parse_journal_header(entry)->appended_at, 8);
  EXPECT_EQ(parse_journal_rows(entry)->size(), 2u);
  for (size_t n = 18; n < entry.size(); ++n)
    if (auto r = parse_journal_rows(std::string_view(entry).substr(0, n)); r.ok()) {
      EXPECT_EQ(r->size(), 1u);
    }
  entry[0] = 2;
  EXPECT_EQ(parse_journal_header(entry).error().code, ErrorCode::unsupported);
  EXPECT_FALSE(parse_number_key("short"));
  EXPECT_LT(number_key(255), number_key(256));
}

// --- append, snapshot, replay

TEST(Store, RowsAreThereAfterAppendAndAfterReopening) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    EXPECT_EQ(must_append(*store, rows(0, 1000)).rows, 1000u);
    const auto later = must_append(*store, rows(1000, 500));
    EXPECT_EQ(later.rows, 500u);
    EXPECT_EQ(numbers(store->snapshot()), range(0, 1500));
    const StoreStats s = store->stats();
    EXPECT_EQ(s.open_rows, 1500u);
    EXPECT_EQ(s.journal_entries, 2u);
    EXPECT_GT(s.journal_bytes, 0u);
    EXPECT_EQ(s.oldest, kStart);
    EXPECT_EQ(s.newest, kStart + 999 * kMillisecond);
  }
  auto store = must_open(options_for(f), clock);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 1500));
  EXPECT_EQ(store->stats().replayed_rows, 1500u);
  EXPECT_EQ(store->stats().replayed_entries, 2u);
}

// What continuous queries stand on: a watcher is told of every append once, in order, and a snapshot says which of them it has.
TEST(Store, AWatcherIsToldOfEachAppendInOrder) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  must_append(*store, rows(0, 3));
  std::mutex mutex;
  std::vector<uint64_t> told;
  uint64_t row_count = 0;
  store->watch_appends([&](uint64_t append, std::span<const std::shared_ptr<const Batch>> batches) {
    const std::lock_guard lock(mutex);
    told.push_back(append);
    for (const auto& b : batches) row_count += b->rows;
  });
  EXPECT_EQ(store->snapshot().appends, 1u);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        must_append(*store, rows(static_cast<uint64_t>(t * 1'000 + i * 7), 7));
        const uint64_t seen = store->snapshot().appends;
        const std::lock_guard lock(mutex);
        EXPECT_LE(seen, told.back());
      }
    });
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(told.size(), 200u);
  for (size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i], i + 2);
  EXPECT_EQ(row_count, 1'400u);
  store->watch_appends({});
  must_append(*store, rows(9'000, 3));
  EXPECT_EQ(told.size(), 200u);
}

// What whoever does something once at least with all that is appended stands on: rows are in the journal until it was asked.
TEST(Store, RowsLeaveTheJournalOnlyAfterItsWatcherHasBeenAsked) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  must_append(*store, rows(0, 3));
  clock.advance(kMinute);
  must_append(*store, rows(100, 4));
  size_t asked = 0;
  store->watch_journal([&] {
    ++asked;
    EXPECT_EQ(store->stats().open_rows, 7u);
    EXPECT_EQ(numbers(store->snapshot()).size(), 7u) << "no lock is held";
  });
  const auto journaled_since = [&](TimestampNs since) {
    store.reset();
    store = must_open(options_for(f), clock);
    uint64_t count = 0;
    EXPECT_TRUE(store->each_journaled(since, [&](std::span<const std::shared_ptr<const Batch>> batches) {
                       for (const auto& b : batches) count += b->rows;
                     }).ok());
    return count;
  };
  EXPECT_EQ(journaled_since(kStart), 7u);
  EXPECT_EQ(journaled_since(kStart + 1), 4u);
  EXPECT_EQ(journaled_since(kStart + kMinute + 1), 0u);
  EXPECT_EQ(asked, 0u);
  store->watch_journal([&] { ++asked; });
  ASSERT_TRUE(store->flush().ok());
  EXPECT_GT(asked, 0u);
  EXPECT_EQ(journaled_since(0), 0u);
}

TEST(Store, AppendOfNothingIsFine) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  EXPECT_EQ(store->append({})->rows, 0u);
  EXPECT_EQ(must_append(*store, FlowBatchBuilder().finish()).rows, 0u);
  EXPECT_FALSE(store->append({}, {"key", {}})->duplicate);
  EXPECT_TRUE(store->append({}, {"key", {}})->duplicate);
  EXPECT_TRUE(store->snapshot().open.empty());
  EXPECT_EQ(*store->flush(), 0u);
}

TEST(Store, SameObjectCountsOnce) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    EXPECT_FALSE(must_append(*store, rows(0, 10), {"s3://a", {}}).duplicate);
    const auto again = must_append(*store, rows(0, 10), {"s3://a", {{"side", "x"}}});
    EXPECT_TRUE(again.duplicate);
    EXPECT_EQ(again.rows, 0u);
    EXPECT_FALSE(store->catalog().get(Keyspace::ingest_state, "side")->has_value());
    EXPECT_EQ(store->stats().duplicate_objects, 1u);
    const Batch none;
    EXPECT_EQ(store->append({}, {std::string(limits::kObjectKeyBytesMax + 1, 'k'), {}}).error().code, ErrorCode::invalid_argument);
  }
  auto store = must_open(options_for(f), clock);
  EXPECT_TRUE(must_append(*store, rows(0, 10), {"s3://a", {}}).duplicate);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 10));
  // A refused append leaves no key.
  FlowBatchBuilder bad;
  bad.begin_row();
  const Batch batch = bad.finish();
  EXPECT_FALSE(store->append({&batch, 1}, {"s3://b", {}}).ok());
  EXPECT_FALSE(must_append(*store, rows(10, 1), {"s3://b", {}}).duplicate);
}

TEST(Store, OfAppendsWithOneKeyAtOnceOneWins) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> won{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        if (!must_append(*store, rows(static_cast<uint64_t>(round) * 10, 10), {"key" + std::to_string(round), {}}).duplicate) ++won;
      });
    for (auto& t : threads) t.join();
    EXPECT_EQ(won, 1);
  }
  EXPECT_EQ(numbers(store->snapshot()), range(0, 200));
}

TEST(Store, SideWritesComeWithTheRows) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    must_append(*store, rows(0, 3), {"", {{"offset", "77"}}});
  }
  auto store = must_open(options_for(f), clock);
  EXPECT_EQ(store->catalog().get(Keyspace::ingest_state, "offset")->value(), "77");
}

TEST(Store, ManySmallAppendsBecomeFewBatches) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    const Snapshot before = (must_append(*store, rows(0, 1)), store->snapshot());
    for (uint64_t n = 1; n < 3000; ++n) must_append(*store, rows(n, 1, kStart + static_cast<int64_t>(n)));
    const Snapshot after = store->snapshot();
    EXPECT_LT(after.open.size(), 100u);
    EXPECT_EQ(numbers(after), range(0, 3000));
    EXPECT_EQ(numbers(before), range(0, 1));
    EXPECT_EQ(store->stats().journal_entries, 3000u);
  }
  auto store = must_open(options_for(f), clock);
  EXPECT_LT(store->snapshot().open.size(), 100u);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 3000));
  EXPECT_EQ(*store->flush(), 1u);
  EXPECT_EQ(store->stats().journal_entries, 0u);
  EXPECT_TRUE(store->snapshot().open.empty());
  EXPECT_EQ(numbers(store->snapshot()), range(0, 3000));
}

TEST(Store, SaysWhenItIsFull) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  const size_t one = rows(0, 1000).byte_size();
  o.open_bytes_max = one * 7 / 2;
  auto store = must_open(o, clock);
  const Batch huge = rows(0, 4000);
  EXPECT_EQ(store->append({&huge, 1}).error().code, ErrorCode::too_large);
  for (uint64_t i = 0; i < 3; ++i) must_append(*store, rows(i * 1000, 1000));
  const Batch more = rows(3000, 1000);
  const auto refused = store->append({&more, 1}, {"key", {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::full);
  EXPECT_EQ(store->stats().refused_full, 2u);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 3000));
  ASSERT_TRUE(store->flush().ok());
  EXPECT_FALSE(must_append(*store, more, {"key", {}}).duplicate);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 4000));
}

TEST(Store, BoundsThePartitions) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  const uint64_t most = limits::kPartitionsPerAppendMax, rounds = limits::kOpenPartitionsMax / most;
  const auto width = [&](uint64_t n) { return static_cast<int64_t>(n) * kHour; };
  const Batch scattered = rows(0, most + 1, kStart, kHour);
  const auto refused = store->append({&scattered, 1});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::too_large);
  EXPECT_NE(refused.error().message.find("time partitions"), std::string::npos) << refused.error().message;
  const Batch halves[] = {rows(0, most, kStart, kHour), rows(most, 1, kStart - kHour)};
  EXPECT_EQ(store->append(halves).error().code, ErrorCode::too_large);
  EXPECT_TRUE(numbers(store->snapshot()).empty());
  for (uint64_t i = 0; i < rounds; ++i) must_append(*store, rows(i * most, most, kStart + width(i * most), kHour));
  const uint64_t count = rounds * most;
  const Batch another = rows(count, 1, kStart - kHour);
  EXPECT_EQ(store->append({&another, 1}).error().code, ErrorCode::full);
  must_append(*store, rows(count, 1, kStart));  // of a partition that is open
  EXPECT_EQ(numbers(store->snapshot()), range(0, count + 1));
  store.reset();
  store = must_open(options_for(f), clock);
  EXPECT_EQ(store->append({&another, 1}).error().code, ErrorCode::full);
  EXPECT_EQ(*store->seal_due(), count);  // before their age: there are too many
  must_append(*store, rows(count + 1, 1, kStart - kHour));
  EXPECT_EQ(store->stats().open_rows, 1u);
  EXPECT_EQ(*store->flush(), 1u);
}

// --- open

TEST(Store, RefusesOtherWidthsAndSecondOpens) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  {
    auto store = must_open(o, clock);
    EXPECT_EQ(Store::open(o, clock).error().code, ErrorCode::conflict);
  }
  o.partition_width = kMinute;
  const auto other = Store::open(o, clock);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, ErrorCode::conflict);
  EXPECT_NE(other.error().message.find("1h"), std::string::npos) << other.error().message;
  o.partition_width = 0;
  EXPECT_EQ(Store::open(o, clock).error().code, ErrorCode::invalid_argument);
  o = options_for(f);
  o.directory = "";
  EXPECT_EQ(Store::open(o, clock).error().code, ErrorCode::invalid_argument);
}

TEST(Store, RefusesANewerFormat) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    ASSERT_TRUE(store->catalog().put(Keyspace::settings, "format", "2", Sync::yes).ok());
  }
  EXPECT_EQ(Store::open(options_for(f), clock).error().code, ErrorCode::unsupported);
}

TEST(Store, ANewCatalogueDoesNotTakeSegmentsForOrphans) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    must_append(*store, rows(0, 100));
    ASSERT_EQ(*store->flush(), 1u);
  }
  fs::rename(f.path + "/catalog", f.path + "/away");
  // A service is started again and again.
  for (int i = 0; i < 5; ++i) {
    if (i == 3) ASSERT_TRUE(catalog::Catalog::open(f.path).ok());  // made by who is no store
    const auto opened = Store::open(options_for(f), clock);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, ErrorCode::conflict);
    EXPECT_NE(opened.error().message.find("1 segment files"), std::string::npos) << opened.error().message;
    EXPECT_EQ(segment_files(f.path), 1u);
    EXPECT_EQ(fs::exists(f.path + "/catalog"), i >= 3);
  }
  fs::remove_all(f.path + "/catalog");
  fs::rename(f.path + "/away", f.path + "/catalog");
  EXPECT_EQ(numbers(must_open(options_for(f), clock)->snapshot()), range(0, 100));
}

TEST(Store, ACatalogueWithoutItsFirstFileIsRefusedAndCanBeMended) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    must_append(*store, rows(0, 100));
    ASSERT_EQ(*store->flush(), 1u);
    must_append(*store, rows(100, 50));
  }
  fs::remove(f.path + "/catalog/CURRENT");
  std::string message;
  for (int i = 0; i < 3; ++i) {
    const auto opened = Store::open(options_for(f), clock);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, ErrorCode::corrupt);
    message = opened.error().message;
    EXPECT_NE(message.find("CURRENT"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
    EXPECT_EQ(segment_files(f.path), 1u);
  }
  // What it says to do does it.
  const size_t from = message.find('`') + 1, to = message.find('`', from);
  ASSERT_EQ(std::system(message.substr(from, to - from).c_str()), 0) << message;
  EXPECT_EQ(numbers(must_open(options_for(f), clock)->snapshot()), range(0, 150));
}

TEST(Store, RemovesOrphansAndNothingElse) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    must_append(*store, rows(0, 100));
    ASSERT_EQ(*store->flush(), 1u);
  }
  const std::string folder = fs::directory_iterator(f.path + "/segments")->path().string();
  fs::copy(folder + "/seg-1.slc", folder + "/seg-77.slc");  // its rows are elsewhere
  std::ofstream(folder + "/seg-0.slc") << "half";           // a number of before
  std::ofstream(folder + "/seg-78.slc.tmp") << "half";
  std::ofstream(folder + "/notes.txt") << "mine";
  fs::create_directory(f.path + "/segments/empty");
  auto store = must_open(options_for(f), clock);
  EXPECT_EQ(store->stats().orphan_files_removed, 3u);
  EXPECT_FALSE(fs::exists(folder + "/seg-77.slc"));
  EXPECT_TRUE(fs::exists(folder + "/notes.txt"));
  EXPECT_FALSE(fs::exists(f.path + "/segments/empty"));
  const Snapshot s = store->snapshot();
  EXPECT_EQ(numbers(s), range(0, 100));
  EXPECT_TRUE(s.damaged.empty());
}

// The catalogue of a backup beside segments that came after it, and one whose log is gone.
TEST(Store, ACatalogueOfBeforeCostsNoSegment) {
  for (const bool log_gone : {false, true}) {
    SCOPED_TRACE(log_gone);
    Folder f;
    ManualClock clock(kStart);
    const std::string catalog = f.path + "/catalog";
    {
      auto store = must_open(options_for(f), clock);
      must_append(*store, rows(0, 20));
      ASSERT_EQ(*store->flush(), 1u);
      // Written to sorted files, so that nothing of it is in the log any more.
      ASSERT_TRUE(store->catalog().put(Keyspace::journal, "z", std::string(4u << 20, 'r'), Sync::yes).ok());
      ASSERT_TRUE(store->catalog().erase(Keyspace::journal, "z", Sync::yes).ok());
      ASSERT_TRUE(store->catalog().reclaim_journal(0).ok());
    }
    fs::copy(catalog, f.path + "/backup", fs::copy_options::recursive);
    {
      auto store = must_open(options_for(f), clock);
      must_append(*store, rows(20, 20, kStart + kHour));
      ASSERT_EQ(*store->flush(), 1u);
      must_append(*store, rows(40, 20));
      ASSERT_EQ(*store->flush(), 1u);
      must_append(*store, rows(60, 10));
    }
    if (log_gone) {
      std::vector<fs::path> logs;
      for (const auto& e : fs::directory_iterator(catalog))
        if (e.path().extension() == ".log") logs.push_back(e.path());
      for (const fs::path& log : logs) fs::remove(log);
    } else {
      fs::remove_all(catalog);
      fs::rename(f.path + "/backup", catalog);
    }
    for (int start = 0; start < 2; ++start) {
      auto store = must_open(options_for(f), clock);
      const Snapshot s = store->snapshot();
      EXPECT_EQ(numbers(s), range(0, 20));
      EXPECT_EQ(segment_files(f.path), 3u);
      EXPECT_EQ(store->stats().orphan_files_removed, 0u);
      std::set<uint64_t> aside;
      for (const auto& d : s.damaged)
        if (auto kept = segment::Segment::open(d.info.path); kept.ok())
          for (const uint64_t n : numbers({{*kept}, {}, {}})) aside.insert(n);
      EXPECT_EQ(aside.size(), 40u);
      EXPECT_EQ(s.damaged.size(), log_gone && start == 0 ? 3u : 2u) << "the log that is gone, and two segments";
    }
    // Numbers that are taken are not given out again.
    auto store = must_open(options_for(f), clock);
    must_append(*store, rows(100, 10));
    ASSERT_EQ(*store->flush(), 1u);
    EXPECT_EQ(segment_files(f.path), 4u);
  }
}

TEST(Store, ADamagedSegmentDoesNotKeepTheOthersDown) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    for (uint64_t i = 0; i < 3; ++i) {
      must_append(*store, rows(i * 100, 100, kStart + static_cast<int64_t>(i) * kHour));
      ASSERT_EQ(*store->flush(), 1u);
    }
    const Snapshot s = store->snapshot();
    ASSERT_EQ(s.segments.size(), 3u);
    fs::resize_file(s.segments[0]->info().path, 50);
    fs::remove(s.segments[2]->info().path);
  }
  auto store = must_open(options_for(f), clock);
  const Snapshot s = store->snapshot();
  EXPECT_EQ(numbers(s), range(100, 200));
  ASSERT_EQ(s.damaged.size(), 2u);
  EXPECT_EQ(s.damaged[0].info.rows, 100u);
  EXPECT_FALSE(s.damaged[0].reason.empty());
  EXPECT_EQ(store->stats().damaged_segments, 2u);
  EXPECT_EQ(store->verify().size(), 2u);
  must_append(*store, rows(500, 5));
  ASSERT_EQ(*store->flush(), 1u);
}

TEST(Store, DamageFoundLaterTakesASegmentOut) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  must_append(*store, rows(0, 5000));
  ASSERT_EQ(*store->flush(), 1u);
  const Snapshot s = store->snapshot();
  const uint64_t id = s.segments[0]->info().id;
  EXPECT_TRUE(store->verify().empty());
  store->report_damage(id + 1, "nobody");
  EXPECT_EQ(store->snapshot().segments.size(), 1u);
  {  // a byte in the middle flips on the disk
    std::fstream file(s.segments[0]->info().path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(s.segments[0]->info().file_bytes / 2));
    const int byte = file.peek();
    file.seekp(static_cast<std::streamoff>(s.segments[0]->info().file_bytes / 2));
    file.put(static_cast<char>(byte ^ 0x55));
  }
  const auto damaged = store->verify();
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].info.id, id);
  EXPECT_TRUE(store->snapshot().segments.empty());
  EXPECT_EQ(store->snapshot().damaged.size(), 1u);
}

TEST(Store, AGoodCopyOfADamagedSegmentIsTakenBack) {
  Folder f;
  ManualClock clock(kStart);
  std::string path;
  {
    auto store = must_open(options_for(f), clock);
    must_append(*store, rows(0, 500));
    ASSERT_EQ(*store->flush(), 1u);
    path = store->snapshot().segments[0]->info().path;
    must_append(*store, rows(500, 10));
    ASSERT_EQ(*store->flush(), 1u);
  }
  const std::string copy = f.path + "/copy", other = f.path + "/other";
  fs::copy_file(path, copy);
  fs::resize_file(path, 50);
  // Damaged at the start, and damaged while it is in use.
  auto store = must_open(options_for(f), clock);
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(store->verify().size(), 1u);
    EXPECT_EQ(numbers(store->snapshot()), range(500, 510));
    // Another segment's file is no good copy.
    fs::copy_file(store->snapshot().segments[0]->info().path, path, fs::copy_options::overwrite_existing);
    ASSERT_EQ(store->verify().size(), 1u);
    fs::remove(path);
    fs::copy_file(copy, path);
    EXPECT_TRUE(store->verify().empty());
    EXPECT_EQ(store->stats().damaged_segments, 0u);
    EXPECT_EQ(numbers(store->snapshot()), range(0, 510));
    fs::remove(path);
  }
}

TEST(Store, ADamagedJournalEntryIsSaidAndKept) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    const uint64_t sequence = must_append(*store, rows(0, 10)).sequence;
    must_append(*store, rows(10, 10));
    std::string entry = store->catalog().get(Keyspace::journal, number_key(sequence))->value();
    entry.resize(entry.size() - 5);
    ASSERT_TRUE(store->catalog().put(Keyspace::journal, number_key(sequence), entry, Sync::yes).ok());
  }
  auto store = must_open(options_for(f), clock);
  const Snapshot s = store->snapshot();
  EXPECT_EQ(numbers(s), range(10, 20));
  ASSERT_EQ(s.damaged.size(), 1u);
  EXPECT_NE(s.damaged[0].info.path.find("journal entry"), std::string::npos);
}

TEST(Store, ADamagedLogIsSaid) {
  Folder f;
  ManualClock clock(kStart);
  {
    auto store = must_open(options_for(f), clock);
    for (uint64_t i = 0; i < 30; ++i) must_append(*store, rows(i * 1000, 1000));
  }
  fs::path log;
  for (const auto& e : fs::directory_iterator(f.path + "/catalog"))
    if (e.path().extension() == ".log" && (log.empty() || fs::file_size(e.path()) > fs::file_size(log))) log = e.path();
  ASSERT_GT(fs::file_size(log), 100'000u);
  {
    std::fstream file(log, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(log) / 2));
    file << "a bad sector";
  }
  auto store = must_open(options_for(f), clock);
  Snapshot s = store->snapshot();
  ASSERT_EQ(s.damaged.size(), 1u);
  EXPECT_NE(s.damaged[0].reason.find("lost"), std::string::npos);
  const auto left = numbers(s);
  EXPECT_GT(left.size(), 5'000u);
  EXPECT_LT(left.size(), 30'000u);
  EXPECT_EQ(left, range(0, left.size()));
  // And it goes on.
  must_append(*store, rows(100'000, 10));
  ASSERT_TRUE(store->flush().ok());
  EXPECT_EQ(numbers(store->snapshot()).size(), left.size() + 10);
}

// Whatever byte of the catalogue's log goes bad: no sealed segment leaves the disk, and what answers lack is said.
TEST(Store, ADamagedLogNeverCostsASealedSegment) {
  Folder original;
  ManualClock clock(kStart);
  constexpr uint64_t kSegments = 8;
  {
    auto store = must_open(options_for(original), clock);
    for (uint64_t i = 0; i < kSegments; ++i) {
      must_append(*store, rows(i * 10, 10, kStart + static_cast<int64_t>(i / 2) * kHour));
      ASSERT_EQ(*store->flush(), 1u);
    }
  }
  ASSERT_EQ(segment_files(original.path), kSegments);
  std::string log;
  for (const auto& e : fs::directory_iterator(original.path + "/catalog"))
    if (e.path().extension() == ".log" && e.file_size() > 0) log = e.path().filename().string();
  ASSERT_FALSE(log.empty());
  const uint64_t size = fs::file_size(original.path + "/catalog/" + log);
  size_t set_aside_seen = 0;
  for (uint64_t at = 3; at < size; at += std::max<uint64_t>(1, size / 97)) {
    SCOPED_TRACE("byte " + std::to_string(at) + " of " + std::to_string(size));
    Folder f;
    fs::copy(original.path, f.path, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    {
      std::fstream file(f.path + "/catalog/" + log, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(at));
      const int byte = file.peek();
      file.seekp(static_cast<std::streamoff>(at));
      file.put(static_cast<char>(byte ^ 0x40));
    }
    // Twice, with rows sealed in between: what was set aside stays and is not written over.
    size_t before = kSegments;
    for (int round = 0; round < 2; ++round) {
      auto opened = Store::open(options_for(f), clock);
      if (!opened.ok()) {  // refused is fine too: nothing is touched
        EXPECT_EQ(segment_files(f.path), before) << opened.error().message;
        break;
      }
      const auto& store = *opened;
      // A log that only ends too early is what a crash leaves: then a file goes whose rows are in the journal.
      EXPECT_EQ(segment_files(f.path), before - store->stats().orphan_files_removed);
      before = segment_files(f.path);
      const Snapshot s = store->snapshot();
      const auto there = numbers(s);
      std::set<uint64_t> somewhere(there.begin(), there.end());
      for (const auto& d : s.damaged)
        if (auto aside = segment::Segment::open(d.info.path); aside.ok())
          for (const uint64_t n : numbers({{*aside}, {}, {}})) somewhere.insert(n);
      EXPECT_EQ(somewhere.size(), kSegments * 10 + static_cast<size_t>(round));
      std::set<uint64_t> distinct(there.begin(), there.end());
      EXPECT_EQ(distinct.size(), there.size());
      size_t aside = 0;
      for (const auto& d : s.damaged)
        if (d.info.path.find("/set-aside/") != std::string::npos) {
          EXPECT_NE(d.reason.find("backup"), std::string::npos);
          ++aside;
        }
      EXPECT_EQ(aside + s.segments.size(), before);
      if (there.size() < kSegments * 10 + static_cast<size_t>(round)) {
        EXPECT_FALSE(s.damaged.empty());
      }
      set_aside_seen += aside;
      must_append(*store, rows(1000 + static_cast<uint64_t>(round), 1));
      const auto sealed = store->flush();
      ASSERT_TRUE(sealed.ok());
      before += *sealed;
    }
  }
  EXPECT_GT(set_aside_seen, 0u);
}

// A kill within the catalogue's write of a publishing: the segment's file is there, and its rows are in the journal still.
TEST(Store, APublishingCutOffLeavesNoFileAndNoWarning) {
  for (const bool merged : {false, true}) {
    Folder f;
    ManualClock clock(kStart);
    std::string log;
    uint64_t before_last = 0;
    {
      auto store = must_open(options_for(f), clock);
      for (const auto& e : fs::directory_iterator(f.path + "/catalog"))
        if (e.path().extension() == ".log") log = e.path().string();
      for (uint64_t i = 0; i < 4; ++i) {
        must_append(*store, rows(i * 10, 10));
        if (!merged && i < 3) continue;
        before_last = fs::file_size(log);
        ASSERT_EQ(*store->flush(), 1u);
      }
      if (merged) {
        before_last = fs::file_size(log);
        // What the merge is made of must outlive it here as it does when the process is killed.
        const Snapshot held = store->snapshot();
        ASSERT_TRUE(*store->merge_once());
        fs::copy(f.path, f.path + "-killed", fs::copy_options::recursive);
      } else {
        fs::copy(f.path, f.path + "-killed", fs::copy_options::recursive);
      }
    }
    const std::string killed = f.path + "-killed";
    log.replace(0, f.path.size(), killed);
    ASSERT_GT(fs::file_size(log), before_last + 20);
    fs::resize_file(log, before_last + 20);
    {
      StoreOptions o = options_for(f);
      o.directory = killed;
      auto store = must_open(o, clock);
      ASSERT_TRUE(store->catalog().tail_cut());
      const Snapshot s = store->snapshot();
      EXPECT_TRUE(s.damaged.empty()) << s.damaged[0].reason;
      EXPECT_EQ(numbers(s), range(0, 40));
      EXPECT_EQ(store->stats().orphan_files_removed, 1u);
      EXPECT_EQ(segment_files(killed), merged ? 4u : 0u);
    }
    fs::remove_all(killed);
  }
}

TEST(Store, NeverUsesAnIdOrSequenceAgain) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  o.retain_age = kHour;
  uint64_t id = 0, sequence = 0;
  for (int round = 0; round < 4; ++round) {
    auto store = must_open(o, clock);
    const auto r = must_append(*store, rows(0, 10));
    EXPECT_GT(r.sequence, sequence);
    sequence = r.sequence;
    ASSERT_EQ(*store->flush(), 1u);
    const uint64_t now = store->snapshot().segments[0]->info().id;
    EXPECT_GT(now, id);
    id = now;
    clock.advance(5 * kHour);
    EXPECT_EQ(*store->retain(), 1u);
    EXPECT_TRUE(store->snapshot().segments.empty());
    clock.set(kStart);
  }
}

// --- seal, merge, retain

// A clock that does something at its nth look.
struct StartlingClock final : Clock {
  TimestampNs now() const override {
    if (left > 0 && --left == 0) at_last();
    return kStart;
  }
  mutable int left = 0;
  std::function<void()> at_last;
};

TEST(Store, AnAbandonedMergeLeavesNoFileAndItsRowsAreMergedAfterTheNextStart) {
  Folder f;
  StartlingClock clock;
  auto store = must_open(options_for(f), clock);
  for (uint64_t i = 0; i < 4; ++i) {
    must_append(*store, rows(i * 1000, 1000, kStart + static_cast<int64_t>(i) * kMinute));
    ASSERT_EQ(*store->flush(), 1u);
  }
  // The second look of a merge is at its beginning, when it knows what it will merge.
  clock.at_last = [&] { store->abandon_merges(); };
  clock.left = 2;
  EXPECT_FALSE(*store->merge_once());
  EXPECT_EQ(clock.left, 0) << "the merge was under way";
  EXPECT_FALSE(*store->merge_once()) << "and none begins any more";
  EXPECT_EQ(segment_files(f.path), 4u);
  EXPECT_EQ(store->stats().merges, 0u);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 4000));
  store.reset();
  store = must_open(options_for(f), clock);
  EXPECT_TRUE(*store->merge_once());
  EXPECT_EQ(numbers(store->snapshot()), range(0, 4000));
  EXPECT_EQ(store->snapshot().segments.size(), 1u);
}

TEST(Store, SealsByRowsAndByAge) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  o.seal_rows = 1000;
  auto store = must_open(o, clock);
  must_append(*store, rows(0, 999));
  must_append(*store, rows(999, 10, kStart + kHour));
  EXPECT_EQ(*store->seal_due(), 0u);
  must_append(*store, rows(2000, 1));
  EXPECT_EQ(*store->seal_due(), 1u);
  EXPECT_EQ(store->stats().open_rows, 10u);
  clock.advance(o.seal_age - 1);
  EXPECT_EQ(*store->seal_due(), 0u);
  clock.advance(1);
  EXPECT_EQ(*store->seal_due(), 1u);
  const StoreStats s = store->stats();
  EXPECT_EQ(s.open_rows, 0u);
  EXPECT_EQ(s.open_bytes, 0u);
  EXPECT_EQ(s.seals, 2u);
  EXPECT_EQ(s.sealed_rows, 1010u);
  EXPECT_EQ(s.segments, 2u);
  auto expected = range(0, 1009);
  expected.push_back(2000);
  EXPECT_EQ(numbers(store->snapshot()), expected);
}

// Rows that are large: long before they are many, they are half of what may be open.
TEST(Store, SealsBeforeItsMemoryIsFull) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  o.open_bytes_max = 4 * rows(0, 1000).byte_size();
  auto store = must_open(o, clock);
  must_append(*store, rows(0, 1000));
  EXPECT_EQ(*store->seal_due(), 0u);
  must_append(*store, rows(1000, 1000, kStart + kHour));
  must_append(*store, rows(2000, 500));
  EXPECT_EQ(*store->seal_due(), 2u);
  EXPECT_EQ(store->stats().open_rows, 0u);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 2500));
}

// One append may have more rows than a segment holds. Each journal entry becomes a segment whole, so it has several.
TEST(Store, SealsAnAppendOfMoreRowsThanASegmentHas) {
  Folder f;
  ManualClock clock(kStart);
  FlowBatchBuilder b;
  for (uint32_t i = 0; i < limits::kBlockRows; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart + i);
  }
  const auto batch = std::make_shared<const Batch>(b.finish());
  const std::vector<std::shared_ptr<const Batch>> batches(65, batch);  // one more than 4 Mi rows
  {
    auto store = must_open(options_for(f), clock);
    const auto appended = store->append_shared(batches);
    ASSERT_TRUE(appended.ok()) << appended.error().message;
    EXPECT_EQ(appended->rows, 65u * limits::kBlockRows);
    EXPECT_EQ(store->stats().journal_entries, 2u);
    EXPECT_EQ(store->stats().appends, 1u);
  }
  auto store = must_open(options_for(f), clock);
  EXPECT_EQ(store->stats().open_rows, 65u * limits::kBlockRows);
  EXPECT_EQ(*store->flush(), 2u);
  EXPECT_EQ(store->stats().segment_rows, 65u * limits::kBlockRows);
  EXPECT_EQ(store->stats().journal_entries, 0u);
}

TEST(Store, APartitionThatCannotBeSealedKeepsNoOtherBack) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  must_append(*store, rows(0, 30, kStart));  // most rows: sealed first
  must_append(*store, rows(30, 10, kStart + kHour));
  must_append(*store, rows(40, 10, kStart + 2 * kHour));
  const std::string blocked = f.path + "/segments/20251121T160000Z";
  std::ofstream(blocked) << "a file where the partition's folder goes";
  const auto sealed = store->flush();
  ASSERT_FALSE(sealed.ok());
  EXPECT_NE(sealed.error().message.find("cannot seal"), std::string::npos) << sealed.error().message;
  EXPECT_EQ(store->snapshot().segments.size(), 2u);
  EXPECT_EQ(store->stats().open_rows, 30u);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 50));
  fs::remove(blocked);
  EXPECT_EQ(*store->flush(), 1u);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 50));
  // Most rows first, then the newest: ids tell the order.
  must_append(*store, rows(50, 5, kStart + 3 * kHour));
  must_append(*store, rows(55, 5, kStart + 4 * kHour));
  must_append(*store, rows(60, 9, kStart + 5 * kHour - 20 * kHour));
  ASSERT_EQ(*store->flush(), 3u);
  std::map<uint64_t, TimestampNs> by_id;
  for (const auto& s : store->snapshot().segments) by_id[s->info().id] = s->info().partition_start;
  std::vector<TimestampNs> order;
  for (const auto& [id, start] : by_id) order.push_back(start);
  ASSERT_EQ(order.size(), 6u);
  EXPECT_EQ(order[3], kStart - 15 * kHour);
  EXPECT_EQ(order[4], kStart + 4 * kHour);
  EXPECT_EQ(order[5], kStart + 3 * kHour);
}

TEST(Store, AgeSurvivesARestart) {
  Folder f;
  ManualClock clock(kStart);
  { must_append(*must_open(options_for(f), clock), rows(0, 5)); }
  clock.advance(limits::kSealAge);
  EXPECT_EQ(*must_open(options_for(f), clock)->seal_due(), 1u);
}

TEST(Store, MergeKeepsRowsAndSnapshotsKeepFiles) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  EXPECT_FALSE(*store->merge_once());
  for (uint64_t i = 0; i < 4; ++i) {
    must_append(*store, rows(i * 1000, 1000, kStart + static_cast<int64_t>(i) * kMinute));
    ASSERT_EQ(*store->flush(), 1u);
    if (i < 3) {
      EXPECT_FALSE(*store->merge_once());
    }
  }
  Snapshot before = store->snapshot();
  ASSERT_EQ(before.segments.size(), 4u);
  EXPECT_TRUE(*store->merge_once());
  EXPECT_FALSE(*store->merge_once());
  const Snapshot after = store->snapshot();
  ASSERT_EQ(after.segments.size(), 1u);
  EXPECT_EQ(numbers(after), range(0, 4000));
  EXPECT_EQ(segment_files(f.path), 5u);
  EXPECT_EQ(numbers(before), range(0, 4000));  // the old files are still read
  before = {};
  EXPECT_EQ(segment_files(f.path), 1u);
  const StoreStats s = store->stats();
  EXPECT_EQ(s.merges, 1u);
  EXPECT_EQ(s.merged_rows, 4000u);
  EXPECT_EQ(s.segment_rows, 4000u);
  store.reset();
  store = must_open(options_for(f), clock);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 4000));
}

TEST(Store, ColdPartitionsMergeDownToOne) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  for (uint64_t i = 0; i < 2; ++i) {
    must_append(*store, rows(i * 100, 100));
    ASSERT_EQ(*store->flush(), 1u);
  }
  EXPECT_FALSE(*store->merge_once());
  clock.advance(4 * kHour);
  EXPECT_TRUE(*store->merge_once());
  EXPECT_FALSE(*store->merge_once());
  EXPECT_EQ(store->snapshot().segments.size(), 1u);
  // A few late rows are not worth writing all again.
  must_append(*store, rows(200, 2));
  ASSERT_EQ(*store->flush(), 1u);
  EXPECT_FALSE(*store->merge_once());
}

TEST(Store, AMergeTakesBoundedMemoryHoweverWellItsTextCompresses) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  o.merge_bytes_max = 4u << 20;
  auto store = must_open(o, clock);
  uint64_t number = 0;
  const auto seal = [&](uint64_t count, size_t text_bytes) {
    FlowBatchBuilder b;
    for (uint64_t i = 0; i < count; ++i) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, kStart + static_cast<int64_t>(number));
      b.set_uint(ColumnId::raw_packets, number);
      b.set_uint(ColumnId::raw_bytes, number * number % 100'000);
      b.set_string(ColumnId::extra, std::string(text_bytes, 'x') + std::to_string(number++));
    }
    must_append(*store, b.finish());
    ASSERT_EQ(*store->flush(), 1u);
  };
  const auto there = [&] {
    std::vector<uint64_t> all;
    for (const auto& segment : store->snapshot().segments) {
      const auto column = segment->read(ColumnId::raw_packets, 0, 0, segment->block_rows(0), nullptr);
      EXPECT_TRUE(column.ok());
      for (size_t r = 0; r < column->size(); ++r) all.push_back(column->uint_at(r));
    }
    std::sort(all.begin(), all.end());
    return all;
  };
  for (int i = 0; i < 4; ++i) seal(25, 60'000);  // 1.5 MB each
  EXPECT_TRUE(*store->merge_once());
  EXPECT_EQ(store->stats().merges, 1u);
  EXPECT_EQ(store->snapshot().segments.size(), 3u) << "two of them fit";
  EXPECT_EQ(there(), range(0, 100));
  // One that alone is more than a merge may take stays, and keeps nobody else back.
  seal(150, 60'000);
  for (int i = 0; i < 6; ++i) seal(100, 10);
  clock.advance(4 * kHour);
  int rounds = 0;
  while (*store->merge_once()) ASSERT_LT(++rounds, 30);
  EXPECT_EQ(there(), range(0, 850));
  for (const auto& segment : store->snapshot().segments) EXPECT_NE(segment->rows(), 100u) << "small ones are merged";
  EXPECT_GE(store->snapshot().segments.size(), 2u);
}

TEST(Store, RetainsByAge) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  o.retain_age = 10 * kHour;
  auto store = must_open(o, clock);
  for (uint64_t i = 0; i < 6; ++i) must_append(*store, rows(i * 10, 10, kStart + static_cast<int64_t>(i) * kHour));
  ASSERT_EQ(*store->flush(), 6u);
  clock.set(kStart + 11 * kHour - 1);
  EXPECT_EQ(*store->retain(), 0u);
  const Snapshot held = store->snapshot();
  clock.set(kStart + 13 * kHour);
  EXPECT_EQ(*store->retain(), 3u);
  EXPECT_EQ(numbers(store->snapshot()), range(30, 60));
  EXPECT_EQ(numbers(held), range(0, 60));
  EXPECT_EQ(store->stats().retired_segments, 3u);
  EXPECT_EQ(store->stats().retired_rows, 30u);
}

TEST(Store, RetainsByBytesOldestFirst) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  {
    auto store = must_open(o, clock);
    for (uint64_t i = 0; i < 4; ++i) must_append(*store, rows(i * 1000, 1000, kStart + static_cast<int64_t>(3 - i) * kHour));
    ASSERT_EQ(*store->flush(), 4u);
    EXPECT_EQ(*store->retain(), 0u);
    o.retain_bytes = store->stats().segment_bytes * 5 / 8;
  }
  auto store = must_open(o, clock);
  EXPECT_EQ(*store->retain(), 2u);
  EXPECT_LE(store->stats().segment_bytes, o.retain_bytes);
  EXPECT_EQ(numbers(store->snapshot()), range(0, 2000));  // the newest in time came first
  EXPECT_EQ(*store->retain(), 0u);
  EXPECT_EQ(segment_files(f.path), 2u);
}

TEST(Store, OldObjectKeysGo) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  must_append(*store, rows(0, 1), {"old", {}});
  clock.advance(limits::kObjectKeyAge / 2);
  must_append(*store, rows(1, 1), {"new", {}});
  ASSERT_TRUE(store->retain().ok());
  EXPECT_TRUE(must_append(*store, rows(0, 1), {"old", {}}).duplicate);
  clock.advance(limits::kObjectKeyAge / 2);
  ASSERT_TRUE(store->retain().ok());
  EXPECT_TRUE(must_append(*store, rows(1, 1), {"new", {}}).duplicate);
  EXPECT_FALSE(must_append(*store, rows(2, 1), {"old", {}}).duplicate);
}

TEST(Store, TheJournalLeavesTheDisk) {
  Folder f;
  ManualClock clock(kStart);
  auto store = must_open(options_for(f), clock);
  std::mt19937_64 random(7);
  uint64_t most = 0;
  for (int round = 0; round < 60; ++round) {
    for (int part = 0; part < 4; ++part) {
      FlowBatchBuilder b;
      for (int i = 0; i < 60'000; ++i) {
        b.begin_row();
        b.set_time(ColumnId::flow_end, kStart + i);
        b.set_uint(ColumnId::raw_bytes, random());
        b.set_uint(ColumnId::raw_packets, random());
      }
      must_append(*store, b.finish());
    }
    ASSERT_EQ(*store->flush(), 1u);
    EXPECT_EQ(store->stats().journal_bytes, 0u);
    most = std::max(most, store->catalog().stats().disk_bytes);
  }
  // 60 × 4 MB went through; what stays is bounded by the log.
  EXPECT_LT(most, 450u << 20);
}

TEST(Store, OneSeedTellsAllThatHappens) {
  // The same appends, seals, merges and retention give the same segments, to the byte.
  auto run = [](const std::string& directory) {
    ManualClock clock(kStart);
    StoreOptions o;
    o.directory = directory;
    o.sync = false;
    o.seal_rows = 2000;
    o.retain_age = 6 * kHour;
    auto store = must_open(o, clock);
    std::mt19937_64 random(42);
    uint64_t next = 0;
    for (int step = 0; step < 300; ++step) {
      switch (random() % 8) {
        case 0: EXPECT_TRUE(store->seal_due().ok()); break;
        case 1: EXPECT_TRUE(store->merge_once().ok()); break;
        case 2: EXPECT_TRUE(store->retain().ok()); break;
        default: {
          const uint64_t count = 1 + random() % 700;
          must_append(*store, rows(next, count, clock.now() - static_cast<int64_t>(random() % 3) * kHour, kSecond));
          next += count;
        }
      }
      clock.advance(static_cast<int64_t>(random() % 100) * kSecond);
    }
    std::string tale;
    const Snapshot s = store->snapshot();
    for (const auto& segment : s.segments)
      tale += std::to_string(segment->info().id) + ":" + std::to_string(segment->info().rows) + ":" +
              std::to_string(segment->info().file_bytes) + " ";
    for (const auto& b : s.open) tale += std::to_string(b->rows) + " ";
    tale += std::to_string(numbers(s).size());
    return tale;
  };
  Folder a, b;
  const std::string first = run(a.path);
  EXPECT_EQ(first, run(b.path));
  EXPECT_GT(first.size(), 50u);
}

// --- threads

TEST(Store, ThreadsAppendSealMergeRetainAndLook) {
  Folder f;
  ManualClock clock(kStart);
  StoreOptions o = options_for(f);
  o.seal_rows = 500;
  auto store = must_open(o, clock);
  std::atomic<bool> done{false};
  std::atomic<uint64_t> acknowledged[3] = {};
  std::vector<std::thread> appenders, others;
  constexpr uint64_t kEach = 150;
  for (uint64_t t = 0; t < 3; ++t)
    appenders.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        must_append(*store, rows(t * 1'000'000 + i * 20, 20, kStart + static_cast<int64_t>(i % 3) * kHour));
        acknowledged[t] = (i + 1) * 20;
      }
    });
  others.emplace_back([&] {
    while (!done) EXPECT_TRUE(store->seal_due().ok());
  });
  others.emplace_back([&] {
    while (!done) EXPECT_TRUE(store->merge_once().ok());
  });
  others.emplace_back([&] {
    while (!done) {
      EXPECT_TRUE(store->retain().ok());
      (void)store->stats();
    }
  });
  others.emplace_back([&] {
    while (!done) {
      uint64_t least[3];
      for (int t = 0; t < 3; ++t) least[t] = acknowledged[t];
      const auto seen = numbers(store->snapshot());
      // Nothing twice, whole appends only, and everything that was acknowledged before.
      EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
      uint64_t count[3] = {};
      for (const uint64_t n : seen) ++count[n / 1'000'000];
      for (int t = 0; t < 3; ++t) {
        EXPECT_EQ(count[t] % 20, 0u);
        EXPECT_GE(count[t], least[t]);
      }
    }
  });
  for (auto& t : appenders) t.join();
  done = true;
  for (auto& t : others) t.join();
  ASSERT_TRUE(store->flush().ok());
  EXPECT_EQ(numbers(store->snapshot()).size(), 3 * kEach * 20);
}

// --- a full disk

TEST(Store, GoesOnAfterAFullDisk) {
  Folder f;
  const std::string mount = f.path + "/small";
  fs::create_directory(mount);
  if (::mount("tmpfs", mount.c_str(), "tmpfs", 0, "size=64m") != 0)
    GTEST_SKIP() << "may not mount a small file system here; the full disk is not tested";
  {
    ManualClock clock(kStart);
    StoreOptions o;
    o.directory = mount;
    o.retain_age = 24 * kHour;
    auto store = must_open(o, clock);
    must_append(*store, rows(0, 1000, kStart - 48 * kHour));
    ASSERT_EQ(*store->flush(), 1u);
    auto fill = [&](uint64_t leave) {
      std::ofstream ballast(mount + "/ballast", std::ios::binary | std::ios::app);
      const std::string piece(4u << 10, 'b');
      while (fs::space(mount).available >= leave + piece.size() && ballast.write(piece.data(), static_cast<std::streamsize>(piece.size())).flush()) {
      }
    };
    // First: little is left, and appends are refused in time, so that retention can still write.
    fill(1u << 20);
    const Batch refused = rows(1000, 1000);
    auto r = store->append({&refused, 1}, {"object", {}});
    ASSERT_FALSE(r.ok());
    EXPECT_EQ(r.error().code, ErrorCode::full);
    EXPECT_EQ(*store->retain(), 1u);
    // Then: nothing is left at all while a seal goes on.
    fs::remove(mount + "/ballast");
    must_append(*store, refused, {"object", {}});
    fill(0);
    const auto sealed = store->flush();
    ASSERT_FALSE(sealed.ok());
    EXPECT_EQ(store->append({&refused, 1}).error().code, ErrorCode::full);
    EXPECT_EQ(numbers(store->snapshot()), range(1000, 2000));
    fs::remove(mount + "/ballast");
    auto again = store->flush();
    EXPECT_TRUE(again.ok()) << (again.ok() ? "" : again.error().message);
    EXPECT_TRUE(must_append(*store, refused, {"object", {}}).duplicate);
    must_append(*store, rows(2000, 10));
    EXPECT_EQ(numbers(store->snapshot()), range(1000, 2010));
    store.reset();
    store = must_open(o, clock);
    EXPECT_EQ(numbers(store->snapshot()), range(1000, 2010));
  }
  ::umount(mount.c_str());
}

TEST(Store, ARetryAfterAFailureOfOpenOutcomeAddsNothingTwice) {
  for (const bool written : {true, false}) {
    Folder f;
    ManualClock clock(kStart);
    auto o = options_for(f);
    o.sync = true;
    auto store = must_open(o, clock);
    must_append(*store, rows(0, 10));
    AppendOptions first, second;
    first.retry_id = 1;
    second.retry_id = 2;
    const Batch batch = rows(10, 20);
    {
      const testing::FailingDisk failing(written ? testing::DiskFailure::sync : testing::DiskFailure::write);
      const auto failed = store->append({&batch, 1}, first);
      ASSERT_FALSE(failed.ok());
      EXPECT_EQ(failed.error().code, ErrorCode::full);
    }
    // The disk has room again: the same rows once more.
    const auto again = must_append(*store, batch, first);
    EXPECT_EQ(again.rows, 20u);
    EXPECT_FALSE(again.duplicate);
    EXPECT_EQ(numbers(store->snapshot()), range(0, 30)) << written;
    must_append(*store, rows(30, 5), second);
    EXPECT_EQ(numbers(store->snapshot()), range(0, 35));
    EXPECT_EQ(store->stats().appended_rows, 35u);
    // Other rows of a caller that gives no id are other rows.
    must_append(*store, rows(35, 5));
    store.reset();
    store = must_open(o, clock);
    EXPECT_EQ(numbers(store->snapshot()), range(0, 40)) << written;
  }
}

TEST(CrashPoints, HaveNamesAndAreOff) {
  EXPECT_GE(crash_point_names().size(), 15u);
  set_crash_point("seal_after_file", 1);
  set_crash_point("", 0);
  crash_point("seal_after_file");
}

}  // namespace
}  // namespace sluice::store
