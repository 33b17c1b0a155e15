// Bucket feeds against stores and queues that answer from memory: what is brought, once, over restarts and failures.
#include "ingest/receive/bucket_feed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "ingest/receive/blob_tail.h"
#include "ingest/receive/digest.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/prefix_template.h"
#include "storage/model/limits.h"

namespace sluice::ingest {
namespace {

const TimestampNs kStart = *parse_timestamp("2026-11-26T07:30:00Z");

struct FakeObject {
  std::string bytes, etag;
  TimestampNs modified = 0;
  std::vector<BlobBlock> blocks;
};

class FakeStore final : public AzureStore {
 public:
  std::map<std::string, FakeObject> objects;
  std::map<std::string, Error> failing;
  std::optional<Error> list_error;
  size_t page = 3, lists = 0, gets = 0;
  std::vector<std::string> listed;

  void put(const std::string& key, const std::string& bytes, TimestampNs modified) { objects[key] = {bytes, hex(sha256(bytes)).substr(0, 8), modified, {}}; }
  // Commits a blob of blocks.
  void put_blocks(const std::string& key, const std::vector<std::string>& parts, TimestampNs modified) {
    FakeObject object;
    for (size_t i = 0; i < parts.size(); ++i) {
      object.bytes += parts[i];
      object.blocks.push_back({base64(parts[i] == "]}" ? "end" : std::to_string(i)), parts[i].size()});
    }
    object.etag = hex(sha256(object.bytes)).substr(0, 8);
    object.modified = modified;
    objects[key] = object;
  }

  std::string name() const override { return "fake://b"; }
  Result<ListPage> list(const ListRequest& request) override {
    ++lists;
    if (list_error) return *list_error;
    if (!request.folders) listed.push_back(request.prefix);
    ListPage out;
    std::set<std::string> folders;
    const std::string after = std::max(request.start_after, request.token);
    for (const auto& [key, object] : objects) {
      if (!key.starts_with(request.prefix) || key <= after) continue;
      if (const size_t slash = key.find('/', request.prefix.size()); request.folders && slash != std::string::npos) {
        folders.insert(key.substr(0, slash + 1));
        continue;
      }
      if (out.objects.size() == page) {
        out.next = out.objects.back().key;
        break;
      }
      out.objects.push_back({key, object.etag, object.bytes.size(), object.modified});
    }
    out.folders.assign(folders.begin(), folders.end());
    return out;
  }
  Result<std::string> get(const GetRequest& request) override {
    ++gets;
    if (const auto at = failing.find(request.key); at != failing.end()) return at->second;
    const auto at = objects.find(request.key);
    if (at == objects.end()) return Error{ErrorCode::not_found, "no such key"};
    if (!request.etag.empty() && request.etag != at->second.etag) return Error{ErrorCode::conflict, "another etag"};
    if (request.offset >= at->second.bytes.size()) return std::string();
    return at->second.bytes.substr(request.offset, request.length.value_or(std::string::npos));
  }
  Result<BlockList> block_list(const std::string& key) override {
    const auto at = objects.find(key);
    if (at == objects.end()) return Error{ErrorCode::not_found, "no such blob"};
    return BlockList{at->second.blocks, at->second.etag};
  }
};

// What stands behind the sink: pieces, the checkpoint, and the keys seen.
class Feeder {
 public:
  explicit Feeder(BucketFeedOptions options = {}) : options_(std::move(options)) { options_.since_age = kTimestampMax; }
  BucketFeedOptions& options() { return options_; }

  void start() {
    BucketFeedParts parts;
    auto store = std::make_unique<Link>(store_);
    parts.blocks = store.get();
    parts.store = std::move(store);
    feed_ = std::make_unique<BucketFeed>(options_, std::make_shared<PollContext>(), std::move(parts));
    Checkpoint entries(checkpoint_.begin(), checkpoint_.end());
    ASSERT_TRUE(feed_->restore(entries).ok());
  }
  // A new process: what was only in memory is gone.
  void restart() { start(); }

  Result<DurationNs> poll() {
    if (!feed_) start();
    const std::function<bool()> stopping = [this] { return stop_after_ == 0; };
    const PieceSink sink = [this](FeedPiece&& piece) -> Result<PieceResult> {
      if (sink_error) return *sink_error;
      PieceResult result;
      result.duplicate = !piece.object_key.empty() && !keys_.insert(piece.object_key).second;
      result.set_aside = !piece.fault.empty();
      for (const auto& [key, value] : piece.checkpoint) {
        if (value.empty()) checkpoint_.erase(key);
        else checkpoint_[key] = value;
      }
      EXPECT_LE(piece.object_key.size(), limits::kObjectKeyBytesMax - 100);
      if (result.set_aside) aside.push_back(piece.object + ": " + piece.fault);
      else if (!result.duplicate) pieces.push_back(piece.object.substr(std::string("fake://b/").size()) + "=" + piece.bytes);
      if (stop_after_ > 0) --stop_after_;
      return result;
    };
    auto result = feed_->poll({clock, stopping, kSecond}, sink);
    if (sink_error) start();
    return result;
  }
  std::vector<std::string> take() {
    const auto polled = poll();
    EXPECT_TRUE(polled.ok()) << (polled.ok() ? "" : polled.error().message);
    return std::exchange(pieces, {});
  }
  void stop_after(int pieces_count) { stop_after_ = pieces_count; }

  FakeStore& store() { return store_; }
  const std::map<std::string, std::string>& checkpoint() const { return checkpoint_; }
  FeedBacklog backlog() const { return feed_->backlog(); }

  ManualClock clock{kStart};
  std::vector<std::string> pieces, aside;
  std::optional<Error> sink_error;

 private:
  // The feed owns its store; this one outlives it.
  struct Link final : AzureStore {
    explicit Link(FakeStore& to) : store(to) {}
    FakeStore& store;
    std::string name() const override { return store.name(); }
    Result<ListPage> list(const ListRequest& r) override { return store.list(r); }
    Result<std::string> get(const GetRequest& r) override { return store.get(r); }
    Result<BlockList> block_list(const std::string& k) override { return store.block_list(k); }
  };

  BucketFeedOptions options_;
  FakeStore store_;
  std::unique_ptr<BucketFeed> feed_;
  std::map<std::string, std::string> checkpoint_;
  std::set<std::string> keys_;
  int stop_after_ = -1;
};

using Pieces = std::vector<std::string>;

TEST(BucketFeed, EachObjectOnceOverPassesAndRestarts) {
  Feeder f;
  for (int i = 0; i < 8; ++i) f.store().put("a/" + std::to_string(i), "x" + std::to_string(i), kStart - kMinute);
  f.store().put("a/", "", kStart);  // a folder's marker
  EXPECT_EQ(f.take().size(), 8u);
  EXPECT_EQ(f.take(), Pieces{});
  f.store().put("a/00-earlier-in-order", "y", kStart);
  EXPECT_EQ(f.take(), Pieces{"a/00-earlier-in-order=y"});
  f.restart();
  f.store().put("b", "z", kStart + 1);
  const size_t gets = f.store().gets;
  EXPECT_EQ(f.take(), Pieces{"b=z"});
  EXPECT_EQ(f.store().gets, gets + 1) << "what is done is not fetched again after a restart";
  // Another content under a known name is another object.
  f.store().put("b", "zz", kStart + 2);
  EXPECT_EQ(f.take(), Pieces{"b=zz"});
}

TEST(BucketFeed, StoppedInTheMiddleAndStartedAnew) {
  Feeder f;
  for (int i = 0; i < 20; ++i) f.store().put("k" + std::to_string(100 + i), std::to_string(i), kStart - i * kMinute);
  Pieces all;
  for (int i = 0; i < 20; ++i) {
    f.stop_after(3);
    const auto got = f.take();
    all.insert(all.end(), got.begin(), got.end());
    f.stop_after(-1);
    f.restart();
    if (all.size() == 20) break;
  }
  EXPECT_EQ(all.size(), 20u);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), 20u);
  EXPECT_EQ(f.take(), Pieces{});
}

TEST(BucketFeed, ASinkThatFailsLosesAndDoublesNothing) {
  Feeder f;
  f.store().put("a", "1", kStart);
  f.store().put("b", "2", kStart);
  f.sink_error = Error{ErrorCode::io, "disk"};
  EXPECT_EQ(f.poll().error().message, "disk");
  f.sink_error.reset();
  EXPECT_EQ(f.take(), (Pieces{"a=1", "b=2"}));
}

TEST(BucketFeed, RemembersOnlyTheLookback) {
  Feeder f;
  f.options().lookback = kHour;
  f.store().put("a", "1", kStart);
  EXPECT_EQ(f.take(), Pieces{"a=1"});
  // An object three hours younger moves the mark; the first is too old to be remembered, and is not brought again.
  f.store().put("b", "2", kStart + 3 * kHour);
  EXPECT_EQ(f.take(), Pieces{"b=2"});
  f.store().put("c", "3", kStart + 3 * kHour);
  EXPECT_EQ(f.take(), Pieces{"c=3"});
  size_t remembered = 0;
  for (const auto& [key, value] : f.checkpoint()) remembered += key.starts_with("d/");
  EXPECT_EQ(remembered, 2u);
  f.restart();
  EXPECT_EQ(f.take(), Pieces{});
  // Late, but within the lookback.
  f.store().put("d", "4", kStart + 3 * kHour - 30 * kMinute);
  EXPECT_EQ(f.take(), Pieces{"d=4"});
}

TEST(BucketFeed, SinceIsFixedAtTheFirstPass) {
  Feeder f;
  f.options().since_age = kHour;
  f.store().put("old", "0", kStart - 2 * kHour);
  f.store().put("new", "1", kStart - kMinute);
  f.stop_after(0);
  EXPECT_EQ(f.take(), Pieces{});
  f.stop_after(-1);
  EXPECT_EQ(f.take(), Pieces{"new=1"});
}

TEST(BucketFeed, DatesAndStarsListOnlyWhatCanBeNew) {
  Feeder f;
  f.options().prefix = *PrefixTemplate::parse("AWSLogs/*/vpc/*-1/{yyyy}/{mm}/{dd}/");
  f.options().since = kStart - 2 * kDay;
  f.store().put("AWSLogs/11/vpc/eu-1/2026/11/20/x", "too early", kStart);
  f.store().put("AWSLogs/11/vpc/eu-1/2026/11/24/x", "a", kStart);
  f.store().put("AWSLogs/11/vpc/eu-1/2026/11/26/x", "b", kStart);
  f.store().put("AWSLogs/22/vpc/us-1/2026/11/25/x", "c", kStart);
  f.store().put("AWSLogs/22/vpc/us-2/2026/11/25/x", "another region", kStart);
  f.store().put("AWSLogs/22/dns/us-1/2026/11/25/x", "another log", kStart);
  auto got = f.take();
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, (Pieces{"AWSLogs/11/vpc/eu-1/2026/11/24/x=a", "AWSLogs/11/vpc/eu-1/2026/11/26/x=b", "AWSLogs/22/vpc/us-1/2026/11/25/x=c"}));
  f.store().listed.clear();
  EXPECT_EQ(f.take(), Pieces{});
  EXPECT_EQ(f.store().listed, (Pieces{"AWSLogs/11/vpc/eu-1/2026/11/25/", "AWSLogs/22/vpc/us-1/2026/11/25/", "AWSLogs/11/vpc/eu-1/2026/11/26/", "AWSLogs/22/vpc/us-1/2026/11/26/"}));
}

TEST(BucketFeed, AscendingNamesBeginBehindWhatIsDone) {
  Feeder f;
  f.options().ascending = true;
  f.options().lookback = kHour;
  for (int i = 0; i < 6; ++i) f.store().put("k" + std::to_string(i), std::to_string(i), kStart - (10 - i) * kHour);
  EXPECT_EQ(f.take().size(), 6u);
  f.store().put("k6", "6", kStart);
  EXPECT_EQ(f.take(), Pieces{"k6=6"});
  EXPECT_EQ(f.take(), Pieces{});
  f.store().put("k7", "7", kStart);
  EXPECT_EQ(f.take(), Pieces{"k7=7"});
  EXPECT_EQ(f.checkpoint().at("position"), "k5");
  f.restart();
  EXPECT_EQ(f.take(), Pieces{});
}

TEST(BucketFeed, SuffixesAndSizes) {
  Feeder f;
  f.options().suffixes = {".gz", ".log"};
  f.options().object_bytes_max = 3;
  f.store().put("a.gz", "123", kStart);
  f.store().put("b.log", "1234", kStart);
  f.store().put("c.json", "1", kStart);
  EXPECT_EQ(f.take(), Pieces{"a.gz=123"});
  ASSERT_EQ(f.aside.size(), 1u);
  EXPECT_NE(f.aside[0].find("b.log: it has 4 bytes"), std::string::npos) << f.aside[0];
  f.aside.clear();
  f.restart();
  EXPECT_EQ(f.take(), Pieces{});
  EXPECT_TRUE(f.aside.empty());
}

TEST(BucketFeed, AnObjectThatCannotBeFetchedBlocksNobodyAndIsSetAsideInTheEnd) {
  Feeder f;
  f.options().lookback = kHour;
  f.store().put("a", "1", kStart - 30 * kMinute);
  f.store().put("b", "2", kStart);
  f.store().failing.emplace("a", Error{ErrorCode::forbidden, "it is in the archive"});
  EXPECT_EQ(f.poll().error().message, "it is in the archive");
  EXPECT_EQ(std::exchange(f.pieces, {}), Pieces{"b=2"});
  EXPECT_NE(f.backlog().note.find("1 object could not be fetched yet, the last: it is in the archive"), std::string::npos) << f.backlog().note;
  EXPECT_EQ(f.backlog().objects, 1u);
  // For hours: it holds the mark, however young the others are.
  for (int hour = 1; hour < 12; ++hour) {
    f.clock.advance(kHour);
    f.store().put("c" + std::to_string(hour), "x", f.clock.now());
    (void)f.poll();
    if (!f.aside.empty()) break;
  }
  ASSERT_EQ(f.aside.size(), 1u);
  EXPECT_EQ(f.aside[0], "fake://b/a: it is in the archive");
  EXPECT_GE(f.clock.now() - kStart, limits::kBucketGiveUpAge);
  EXPECT_EQ(f.backlog().objects, 0u);
  f.pieces.clear();
  EXPECT_EQ(f.take(), Pieces{});
}

TEST(BucketFeed, WhenNothingCanBeFetchedNothingIsSetAside) {
  Feeder f;
  for (int i = 0; i < 9; ++i) {
    f.store().put("k" + std::to_string(i), "x", kStart);
    f.store().failing.emplace("k" + std::to_string(i), Error{ErrorCode::forbidden, "AccessDenied"});
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(f.poll().ok());
    f.clock.advance(kHour);
  }
  EXPECT_TRUE(f.aside.empty());
  EXPECT_LE(f.store().gets, 300u);
  f.store().failing.clear();
  for (int i = 0; i < 5 && f.pieces.size() < 9; ++i) (void)f.poll();
  EXPECT_EQ(f.pieces.size(), 9u);
}

TEST(BucketFeed, GoneAndListingErrors) {
  Feeder f;
  f.store().put("a", "1", kStart);
  f.store().failing.emplace("a", Error{ErrorCode::not_found, "NoSuchKey"});
  EXPECT_EQ(f.take(), Pieces{});
  EXPECT_NE(f.backlog().note.find("1 object was gone"), std::string::npos);
  f.store().list_error = Error{ErrorCode::unauthenticated, "SignatureDoesNotMatch"};
  EXPECT_EQ(f.poll().error().code, ErrorCode::unauthenticated);
}

TEST(BucketFeed, DamagedCheckpointsAreRefused) {
  BucketFeed feed({}, std::make_shared<PollContext>(), {});
  EXPECT_EQ(feed.restore({{"mark", "soon"}}).error().code, ErrorCode::corrupt);
  EXPECT_EQ(feed.restore({{"t/00", "x"}}).error().code, ErrorCode::corrupt);
  EXPECT_EQ(feed.restore({{"z", "1"}}).error().code, ErrorCode::unsupported);
  EXPECT_TRUE(feed.restore({{"mark", "1"}, {"d/00", "1"}, {"t/00", "1 2 e"}, {"position", "p"}}).ok());
}

// --- blobs that grow ---------------------------------------------------------------------------------------------------

std::string azure_record(int n) { return "{\"time\":\"" + std::to_string(n) + "\",\"flowRecords\":{\"flows\":[{\"aclID\":\"a\"}]}}"; }

class Tail : public testing::Test {
 protected:
  Tail() { f.options().tail_suffix = "/PT1H.json"; }
  Feeder f;
  const std::string key = "y=2026/PT1H.json";
  std::string piece(const std::string& records) { return key + "={\"records\":[" + records + "]}"; }
};

TEST_F(Tail, BringsNewBlocksOnly) {
  f.store().put_blocks(key, {"{\"records\":[", "{\"n\":1}", "]}"}, kStart);
  EXPECT_EQ(f.take(), Pieces{piece("{\"n\":1}")});
  EXPECT_EQ(f.take(), Pieces{});
  f.store().put_blocks(key, {"{\"records\":[", "{\"n\":1}", ",{\"n\":2},{\"n\":3}", "]}"}, kStart + kMinute);
  EXPECT_EQ(f.take(), Pieces{piece("{\"n\":2},{\"n\":3}")});
  f.restart();
  EXPECT_EQ(f.take(), Pieces{});
  f.store().put_blocks(key, {"{\"records\":[", "{\"n\":1}", ",{\"n\":2},{\"n\":3}", ",{\"n\":4}", "]}"}, kStart + 2 * kMinute);
  EXPECT_EQ(f.take(), Pieces{piece("{\"n\":4}")});
}

TEST_F(Tail, GrowsWithoutBlocksAndInSmallBites) {
  f.options().object_bytes_max = 24;
  f.store().put(key, "{ \"records\" : [{\"n\":1},{\"n\":2}\n,{\"n\":3}]}\n", kStart);
  Pieces got;
  for (int i = 0; i < 4; ++i)
    for (auto& p : f.take()) got.push_back(p);
  EXPECT_EQ(got, (Pieces{piece("{\"n\":1}"), piece("{\"n\":2},{\"n\":3}")}));
  f.store().put(key, "{ \"records\" : [{\"n\":1},{\"n\":2}\n,{\"n\":3},{\"n\":4}]}\n", kStart + 1);
  EXPECT_EQ(f.take(), Pieces{piece("{\"n\":4}")});
}

TEST_F(Tail, WrittenAnewIsReadAgainAndTold) {
  f.store().put_blocks(key, {"{\"records\":[", "{\"n\":1}", "]}"}, kStart);
  EXPECT_EQ(f.take().size(), 1u);
  auto& object = f.store().objects[key];
  object = {"{\"records\":[{\"m\":11}]}", "other", kStart + 1, {{"bmV3", 22}}};
  EXPECT_EQ(f.take(), Pieces{piece("{\"m\":11}")});
  EXPECT_NE(f.backlog().note.find("1 blob was written anew"), std::string::npos);
}

TEST_F(Tail, DamageDoesNotHoldBackTheHour) {
  const std::string cut_off = azure_record(2).substr(0, 25);
  f.store().put_blocks(key, {"{\"records\":[", azure_record(1), "," + cut_off, "]}"}, kStart);
  EXPECT_EQ(f.take(), Pieces{piece(azure_record(1) + "," + cut_off + "\n")});
  f.store().put_blocks(key, {"{\"records\":[", azure_record(1), "," + cut_off, "," + azure_record(3), "]}"}, kStart + kMinute);
  EXPECT_EQ(f.take(), Pieces{piece(azure_record(3))});
  EXPECT_TRUE(f.aside.empty());
  EXPECT_NE(f.backlog().note.find("1 damaged place"), std::string::npos) << f.backlog().note;
}

TEST_F(Tail, WhatIsNoneIsSetAside) {
  f.store().put(key, "<html>", kStart);
  f.store().put("other.json", "{}", kStart);
  EXPECT_EQ(f.take(), Pieces{"other.json={}"});
  ASSERT_EQ(f.aside.size(), 1u);
  EXPECT_NE(f.aside[0].find("does not begin with"), std::string::npos);
  f.aside.clear();
  EXPECT_EQ(f.take(), Pieces{});
  EXPECT_TRUE(f.aside.empty());
}

TEST(BlobTail, AnyCutOfAnyBlobGivesEachRecordOnce) {
  const std::vector<std::string> records = {"{\"a\":\"]}\\\"{\"}", "{\"b\":[{\"c\":[1,2]}]}", "{}", "{\"d\":{\"e\":\"\\\\\"}}"};
  std::string blob = "{\"records\":[";
  for (size_t i = 0; i < records.size(); ++i) blob += (i ? ",\n" : "") + records[i];
  blob += "]}";
  for (size_t first = 0; first <= blob.size(); ++first) {
    std::string seen;
    uint64_t at = 0;
    for (const size_t end : {first, blob.size()}) {
      const auto cut = cut_tail(std::string_view(blob).substr(at, end - at), at == 0, end == blob.size());
      ASSERT_TRUE(cut) << first;
      if (!cut->body.empty()) seen += cut->body.substr(12, cut->body.size() - 14) + ",";
      at += cut->end;
    }
    std::string want;
    for (const auto& r : records) want += r + ",";
    ASSERT_EQ(seen, want) << first;
  }
  EXPECT_FALSE(cut_tail("[1]", true, true));
  EXPECT_FALSE(cut_tail("{\"record\":[", true, true));
  EXPECT_TRUE(cut_tail(",]}", false, true)->closed);
  EXPECT_FALSE(cut_tail("", true, true)->closed);
}

TEST(BlobTail, DamageCostsOnlyItsRecord) {
  const std::string good = azure_record(1), more = azure_record(2);
  const std::string damages[] = {
      "rubbish",                                                   // no record at all
      azure_record(0).substr(0, azure_record(0).size() - 1),       // a brace is missing
      azure_record(0).substr(0, 30),                               // cut off, in a string or not
      azure_record(0).substr(0, 9),
      "{\"time\":\"1\n\"}", "{\"time\":[1}", "7", "{\"time\"]",
  };
  for (const std::string& damage : damages) {
    for (const bool newline : {false, true}) {
      const std::string text = good + "," + damage + "," + (newline ? "\n" : "") + more + "," + more;
      // As it grows, and with its end.
      for (const bool closed : {false, true}) {
        const auto cut = cut_tail(text + (closed ? "]}" : ""), false, true);
        ASSERT_TRUE(cut) << damage;
        EXPECT_EQ(cut->damaged, 1u) << damage;
        EXPECT_EQ(cut->end, text.size()) << damage;
        EXPECT_EQ(cut->closed, closed) << damage;
        EXPECT_TRUE(cut->body.starts_with("{\"records\":[" + good + ",")) << cut->body;
        EXPECT_TRUE(cut->body.ends_with("\n," + more + "," + more + "]}")) << cut->body;
      }
    }
    // Nothing behind it: it may be half a record, until the array is closed.
    if (!damage.ends_with("]}")) {
      const auto open = cut_tail(good + "," + damage, false, true);
      EXPECT_EQ(open->end, good.size()) << damage;
      EXPECT_EQ(open->damaged, 0u);
    }
    const auto closed = cut_tail(good + "," + damage + "]}", false, true);
    EXPECT_EQ(closed->end, good.size() + 1 + damage.size()) << damage;
    EXPECT_EQ(closed->damaged, 1u);
    // The end of what was fetched is not the end of the blob.
    EXPECT_EQ(cut_tail(good + "," + damage + "]}", false, false)->end, good.size()) << damage;
  }
}

TEST(BlobTail, DamageThatIsMadeToBeLookedAtAgainAndAgain) {
  std::string text;
  for (int i = 0; i < 40'000; ++i) text += "{\"time\"\" ";
  const auto cut = cut_tail(text, false, true);
  ASSERT_TRUE(cut);
  EXPECT_GT(cut->end, 0u);
}

// --- prefixes ------------------------------------------------------------------------------------------------------------

TEST(PrefixTemplate, TimesAndBounds) {
  const auto over = [](std::string_view text, TimestampNs from, TimestampNs to) {
    const auto parsed = PrefixTemplate::parse(text);
    EXPECT_TRUE(parsed.ok()) << text;
    return *parsed->over({from, to});
  };
  EXPECT_EQ(over("plain/", 0, kStart), Pieces{"plain/"});
  EXPECT_EQ(over("h={hh}/d={dd}/m={mm}/y={yyyy}/", kStart - kHour, kStart), (Pieces{"h=06/d=26/m=11/y=2026/", "h=07/d=26/m=11/y=2026/"}));
  EXPECT_EQ(over("{yyyy}{mm}{dd}", kStart - kDay, kStart), (Pieces{"20261125", "20261126"}));
  EXPECT_EQ(over("{yyyy}/{mm}/", kStart - 40 * kDay, kStart), (Pieces{"2026/10/", "2026/11/"}));
  EXPECT_EQ(over("{yyyy}/", kStart - kDay, kStart), Pieces{"2026/"});
  EXPECT_EQ(over("{yyyy}/{mm}/{dd}/", kStart, kStart), Pieces{});
  for (const auto* bad : {"{", "}", "{yy}", "{dd}/", "{yyyy}/{dd}/", "{yyyy}/{mm}/{hh}", "a*", "a/*", "*/*/*/*/*/*/*/*/*/"}) EXPECT_FALSE(PrefixTemplate::parse(bad).ok()) << bad;
  const auto hours = *PrefixTemplate::parse("{yyyy}/{mm}/{dd}/{hh}/");
  const auto most = static_cast<int64_t>(limits::kBucketPeriodsMax);
  EXPECT_TRUE(hours.over({0, most * kHour}).ok());
  EXPECT_EQ(hours.over({0, (most + 1) * kHour}).error().code, ErrorCode::too_large);
}

TEST(PrefixTemplate, Stars) {
  const std::map<std::string, Pieces> tree = {{"", {"a/", "ab/", "b/"}}, {"a/", {"a/x/", "a/*/"}}, {"ab/", {"ab/x/"}}, {"r=/", {"r=/1_NW/", "r=/2_XX/"}}};
  const PrefixTemplate::Folders folders = [&](const std::string& prefix) -> Result<Pieces> {
    const auto at = tree.find(prefix);
    return at == tree.end() ? Pieces{} : at->second;
  };
  EXPECT_EQ(*PrefixTemplate::expand("a*/*/t", folders), (Pieces{"a/x/t", "ab/x/t"}));
  EXPECT_EQ(*PrefixTemplate::expand("r=/*_NW/", folders), Pieces{"r=/1_NW/"});
  EXPECT_EQ(*PrefixTemplate::expand("none/*/", folders), Pieces{});
  EXPECT_EQ(*PrefixTemplate::expand("plain", folders), Pieces{"plain"});
  const PrefixTemplate::Folders many = [](const std::string& prefix) -> Result<Pieces> {
    Pieces out;
    for (size_t i = 0; i <= limits::kBucketPrefixesMax; ++i) out.push_back(prefix + std::to_string(i) + "/");
    return out;
  };
  EXPECT_EQ(PrefixTemplate::expand("*/", many).error().code, ErrorCode::too_large);
}

}  // namespace
}  // namespace sluice::ingest
