#include "server/rule_health.h"

#include <gtest/gtest.h>

#include "server/limits.h"

namespace sluice::server {
namespace {

using query::continuous::Episode;
using query::continuous::EpisodeChange;
using query::continuous::EpisodeState;

const TimestampNs kStart = *parse_timestamp("2026-11-20T08:00:00Z");

struct Watched {
  void look(uint64_t dropped, uint64_t groups = 0) {
    health.look("busy", {dropped, 0, groups}, now, sink);
  }
  RuleHealth health;
  TimestampNs now = kStart;
  std::vector<std::pair<EpisodeChange, Episode>> told;
  const query::continuous::EpisodeSink sink = [this](const Episode& e, EpisodeChange change) { told.emplace_back(change, e); };
};

TEST(RuleHealth, TellsOfARuleThatLeavesFlowsOutUntilItCountsThemAgain) {
  Watched w;
  w.look(0);
  EXPECT_TRUE(w.told.empty());
  w.look(1'200, 700);
  ASSERT_EQ(w.told.size(), 1u);
  EXPECT_EQ(w.told[0].first, EpisodeChange::started);
  EXPECT_EQ(w.told[0].second.rule, kRuleOverflow);
  EXPECT_EQ(w.told[0].second.key, "rule=busy");
  EXPECT_NE(w.told[0].second.message.find("1200 flows were left out, of some 700 groups"), std::string::npos) << w.told[0].second.message;
  // It goes on, and is told once.
  w.now += 10 * kMinute;
  w.look(1'201, 701);
  w.now += limits::kRuleLossQuiet - 1;
  w.look(1'201, 701);
  EXPECT_EQ(w.told.size(), 1u);
  w.now += 1;
  w.look(1'201, 701);
  ASSERT_EQ(w.told.size(), 2u);
  EXPECT_EQ(w.told[1].first, EpisodeChange::ended);
  EXPECT_EQ(w.told[1].second.id, w.told[0].second.id);
  EXPECT_EQ(w.told[1].second.end, kStart + 10 * kMinute) << "when the last flow was left out";
  w.look(1'202, 701);
  ASSERT_EQ(w.told.size(), 3u);
  EXPECT_NE(w.told[2].second.id, w.told[0].second.id);
}

TEST(RuleHealth, GoesOnAfterARestart) {
  Watched w;
  w.look(5);
  ASSERT_EQ(w.told.size(), 1u);
  Watched next;
  next.now = w.now + kDay;
  next.health.begin("busy", {5, 0, 0});
  next.health.begin("calm", {9, 8, 0});
  next.health.restore(w.told[0].second, next.now);
  next.look(5);
  next.health.look("calm", {9, 8, 7}, next.now, next.sink);
  EXPECT_TRUE(next.told.empty()) << "what was left out before is no news";
  next.now += limits::kRuleLossQuiet;
  next.look(5);
  ASSERT_EQ(next.told.size(), 1u);
  EXPECT_EQ(next.told[0].second.id, w.told[0].second.id);
  EXPECT_EQ(next.told[0].second.state, EpisodeState::ended);
}

TEST(RuleHealth, GroupsThatWereLetGoAreALoss) {
  Watched w;
  w.health.begin("busy", {0, 100, 0});
  w.health.look("busy", {0, 100, 50}, w.now, w.sink);
  EXPECT_TRUE(w.told.empty());
  w.health.look("busy", {0, 1'100, 900}, w.now, w.sink);
  ASSERT_EQ(w.told.size(), 1u);
  EXPECT_NE(w.told[0].second.message.find("1000 groups were let go, the least ones, of some 900 groups. Narrow"), std::string::npos) << w.told[0].second.message;
  w.now += limits::kRuleLossQuiet;
  w.health.look("busy", {0, 1'100, 900}, w.now, w.sink);
  EXPECT_EQ(w.told.size(), 2u);
  w.health.look("busy", {3, 1'101, 901}, w.now, w.sink);
  ASSERT_EQ(w.told.size(), 3u);
  EXPECT_NE(w.told[2].second.message.find("1 group was let go, the least ones, and 3 flows were left out, of some 901 groups"), std::string::npos) << w.told[2].second.message;
}

TEST(RuleHealth, EndsWithTheRule) {
  Watched w;
  w.look(5);
  w.health.forget("busy", w.now, w.sink);
  ASSERT_EQ(w.told.size(), 2u);
  EXPECT_EQ(w.told[1].first, EpisodeChange::ended);
  w.health.forget("busy", w.now, w.sink);
  EXPECT_EQ(w.told.size(), 2u);
}

}  // namespace
}  // namespace sluice::server
