#include "ingest/source/azure_memory.h"

#include <gtest/gtest.h>

#include <map>

#include "ingest/source/limits.h"

namespace sluice::ingest {
namespace {

constexpr TimestampNs kNow = 1'733'975'972 * kSecond;
// Flows that lie in different places.
uint64_t flow(uint64_t n) { return n * 0x9e3779b97f4a7c15ull | 1; }

struct Kept {
  std::map<size_t, std::string> pieces;
  size_t take(AzureMemory& from) {
    const auto changes = from.take_changes();
    for (const auto& [number, bytes] : changes) {
      if (bytes.empty()) pieces.erase(number);
      else pieces[number] = bytes;
    }
    return changes.size();
  }
  void give(AzureMemory& to) const {
    for (const auto& [number, bytes] : pieces) EXPECT_TRUE(to.restore(bytes)) << number;
  }
};

TEST(AzureMemory, IsTheSameAfterARestart) {
  AzureMemory before, after;
  for (uint64_t n = 1; n <= 1'000; ++n) {
    before.keep(flow(n), {kNow - kMinute, true});
    if (n % 2 == 0) before.keep(flow(n), {kNow, n % 4 == 0});
  }
  Kept kept;
  EXPECT_GT(kept.take(before), 1u);
  EXPECT_EQ(kept.take(before), 0u) << "nothing has changed since";
  kept.give(after);
  EXPECT_EQ(Kept().take(after), 0u) << "what was kept is not new";
  for (uint64_t n = 1; n <= 1'000; ++n)
    for (const TimestampNs time : {kNow - kMinute, kNow, kNow + 1}) {
      const auto a = before.before(flow(n), time), b = after.before(flow(n), time);
      ASSERT_EQ(a.has_value(), b.has_value()) << n;
      EXPECT_TRUE(!a || (a->time == b->time && a->open == b->open)) << n;
    }
  // One more flow is one piece; one that could not be kept comes again.
  after.keep(flow(7), {kNow + kSecond, false});
  const auto changes = after.take_changes();
  ASSERT_EQ(changes.size(), 1u);
  after.give_back(changes[0].first);
  EXPECT_EQ(after.take_changes(), changes);
}

TEST(AzureMemory, ReportsThatNoFlowGoesOnFromAreNotKept) {
  AzureMemory before, after;
  before.keep(flow(1), {kNow, true});
  Kept kept;
  kept.take(before);
  ASSERT_EQ(kept.pieces.size(), 1u);
  before.keep(flow(1) + (uint64_t{1} << 40), {kNow + limits::kAzureFlowsAge, true});  // of the same place
  kept.take(before);
  kept.give(after);
  EXPECT_TRUE(after.before(flow(1), kNow + 1)) << "just not too old";
  before.keep(flow(2), {kNow + 3 * limits::kAzureFlowsAge, true});
  before.keep(flow(1), {kNow + 1, true});
  kept.take(before);
  AzureMemory later;
  kept.give(later);
  EXPECT_FALSE(later.before(flow(1), kNow + 2));
  EXPECT_TRUE(later.before(flow(2), kTimestampMax));
}

TEST(AzureMemory, HostilePiecesAreRefused) {
  AzureMemory memory;
  memory.keep(flow(1), {kNow, true});
  const std::string good = memory.take_changes().at(0).second;
  AzureMemory other;
  for (size_t n = 0; n < good.size(); ++n) EXPECT_EQ(other.restore(good.substr(0, n)), n == 1) << n << ": a version alone holds no flow";
  std::string newer = good;
  newer[0] = 2;
  EXPECT_FALSE(other.restore(newer));
  EXPECT_FALSE(other.restore(std::string(1, 1) + std::string(25 * (limits::kAzureFlowsKeptMax / AzureMemory::kPieces + 1), 7)));
  EXPECT_TRUE(other.restore(std::string(1, 1) + std::string(25, 0))) << "a flow without a name is none";
  EXPECT_TRUE(other.restore(good));
  EXPECT_TRUE(other.before(flow(1), kNow + 1));
}

}  // namespace
}  // namespace sluice::ingest
