// A death changes no alert: a life that is made again from the stored flows, where frontier, checkpoint and alerts were kept, tells of what an
// uninterrupted one does. Severity, matches, times and all.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/unit/query/continuous/watched.h"

namespace sluice::query::continuous {
namespace {

std::string shown(const std::map<std::string, Episode>& alerts) {
  std::string out;
  for (const auto& [id, e] : alerts)
    out += e.key + " " + std::string(to_string(e.state)) + " " + std::string(to_string(e.severity)) + ", worst " + std::string(to_string(e.peak)) + ", " + std::to_string(e.matches) + " matches, " +
           format_timestamp(e.start) + " to " + format_timestamp(e.end) + ", last " + format_timestamp(e.last) + ", run " + format_timestamp(e.run_start) + ", fired " + format_timestamp(e.fired_at) +
           ", ended " + format_timestamp(e.ended_at) + ": " + e.message + "\n";
  return out;
}

std::vector<Flow> ports(int from, int to, TimestampNs at) {
  std::vector<Flow> flows;
  for (int port = from; port < to; ++port) flows.push_back({at, 1, 2, static_cast<uint16_t>(port), 6, 2, 100, 1, ""});
  return flows;
}

constexpr const char* kScan =
    "create rule scan severity_when (\"high: ports > 40\", \"critical: ports > 90\") as from flows | stats ports = dcount(dst_port) by src_ip window 5m slide 1m | where ports > 20 "
    "alert by src_ip suppress 1h";

TEST(Restart, AnAlertGoesOnAndBecomesWorse) {
  Watched life(rule_of(kScan)), straight(rule_of(kScan));
  const auto both = [&](int from, int to, DurationNs at) {
    life.push(ports(from, to, kStart + at), kStart + at);
    straight.push(ports(from, to, kStart + at), kStart + at);
  };
  both(1, 31, 30 * kSecond);
  ASSERT_EQ(life.alerts.size(), 1u);
  EXPECT_EQ(life.alerts.begin()->second.matches, 1u);
  life.die();
  life.die();
  EXPECT_EQ(shown(life.alerts), shown(straight.alerts));
  EXPECT_EQ(life.told, (std::vector<std::string>{"started src_ip=10.0.0.1"}));
  both(31, 61, 40 * kSecond);
  both(61, 121, 50 * kSecond);
  EXPECT_EQ(life.alerts.begin()->second.severity, Severity::critical);
  EXPECT_EQ(life.told, (std::vector<std::string>{"started src_ip=10.0.0.1", "raised src_ip=10.0.0.1 high", "raised src_ip=10.0.0.1 critical"}));
  life.die();
  EXPECT_EQ(shown(life.alerts), shown(straight.alerts));
  for (int minute = 1; minute < 8; ++minute) both(1, 10, minute * kMinute + 5 * kSecond);
  life.die();
  EXPECT_EQ(shown(life.alerts), shown(straight.alerts));
  EXPECT_EQ(life.told, straight.told);
}

// What came in while nobody saw it is found at once, in the window that it would have been found in.
TEST(Restart, WhatWasKeptBeforeItWasWorseIsRaisedOnce) {
  Watched life(rule_of(kScan));
  life.push(ports(1, 31, kStart), kStart + kSecond);
  const auto kept = life.alerts;
  life.push(ports(31, 121, kStart), kStart + 2 * kSecond);
  const auto whole = shown(life.alerts);
  life.alerts = kept;
  life.told.clear();
  life.die();
  EXPECT_EQ(life.told, (std::vector<std::string>{"raised src_ip=10.0.0.1 critical"}));
  EXPECT_EQ(shown(life.alerts), whole);
}

class Deaths : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Deaths, ChangeNoAlert) {
  const std::string rules[] = {
      "create rule hops severity_when (\"high: n > 12\") as from flows | stats n = count(), d = dcount(dst_ip) by src_ip window 4m slide 30s | where n > 6 and d > 2 alert by src_ip suppress 3m message '{src_ip} {n}'",
      "create rule held as from flows | stats n = count() by dst_port window 1m | where n > 3 alert by dst_port for 2m keep_firing_for 2m",
      "create rule sum as from flows | where proto == tcp | stats n = count(), b = sum(bytes) by src_ip window 10m slide 2m | where b > 60KB alert by src_ip",
      "create rule falling as from flows | stats n = count(), a = avg(bytes) by src_ip window 3m slide 1m | where a < 4500 alert by src_ip",
      "create rule session severity_when (\"high: n > 20\") as from flows | where dst_port == 22 | stats n = count() by src_ip window session gap 3m | where n > 4 alert by src_ip message '{n}'",
      "create rule sequence as from flows | sequence by src_ip within 10m [dst_port == 22] min 2 then [dst_port == 443] alert by src_ip suppress 5m message '{took}'",
  };
  for (const std::string& text : rules) {
    std::mt19937_64 dice(GetParam());
    const auto flows = random_flows(dice, 1'500, 40 * kMinute, 0);
    const RulePtr rule = rule_of(text);
    ASSERT_TRUE(rule) << text;
    Watched life(rule), straight(rule);
    size_t deaths = 0;
    for (size_t at = 0; at < flows.size();) {
      const size_t count = std::min<size_t>(flows.size() - at, 1 + dice() % 12);
      const auto some = std::span(flows).subspan(at, count);
      at += count;
      const TimestampNs now = some.back().end + kSecond;
      life.push(some, now);
      straight.push(some, now);
      if (dice() % 10 != 0) continue;
      ++deaths;
      life.die();
      ASSERT_EQ(shown(life.alerts), shown(straight.alerts)) << text << " seed " << GetParam() << " after " << deaths << " deaths";
      // Of several keys at a time in any order.
      ASSERT_EQ(std::multiset(life.told.begin(), life.told.end()), std::multiset(straight.told.begin(), straight.told.end())) << text;
    }
    EXPECT_GT(deaths, 5u);
    const TimestampNs end = kStart + 10 * kHour;
    life.tick(end);
    straight.tick(end);
    EXPECT_EQ(shown(life.alerts), shown(straight.alerts)) << text;
    EXPECT_EQ(std::multiset(life.told.begin(), life.told.end()), std::multiset(straight.told.begin(), straight.told.end())) << text;
    EXPECT_GT(life.alerts.size(), 0u) << text;
  }
}

// Nor where what waited has lapsed, and late flows bring it back.
TEST_P(Deaths, ChangeNoAlertThatLateFlowsComplete) {
  for (const char* text : {"create rule held as from flows | stats n = count() by dst_port window 1m | where n > 3 alert by dst_port for 4m",
                           "create rule kept as from flows | stats n = count() by dst_port window 1m | where n != 3 and n != 4 alert by dst_port for 5m keep_firing_for 1m"}) {
    std::mt19937_64 dice(GetParam());
    const auto flows = random_flows(dice, 1'200, 40 * kMinute, 6 * kMinute);
    const RulePtr rule = rule_of(text);
    ASSERT_TRUE(rule) << text;
    Watched life(rule), straight(rule);
    TimestampNs now = kStart;
    for (size_t at = 0; at < flows.size();) {
      const size_t count = std::min<size_t>(flows.size() - at, 1 + dice() % 12);
      const auto some = std::span(flows).subspan(at, count);
      at += count;
      for (const Flow& f : some) now = std::max(now, f.end + kSecond);
      life.push(some, now);
      straight.push(some, now);
      if (dice() % 8 != 0) continue;
      life.die();
      // (Of others, windows that late flows lie in are looked at anew every few seconds, and by each new life.)
      if (rule->is_rising) {
        ASSERT_EQ(shown(life.alerts), shown(straight.alerts)) << text << " seed " << GetParam();
      }
    }
    life.tick(kStart + 10 * kHour);
    straight.tick(kStart + 10 * kHour);
    if (rule->is_rising) {
      EXPECT_EQ(shown(life.alerts), shown(straight.alerts)) << text;
    }
    // Whoever alerts in a replay has alerted.
    const auto replayed = straight.replayed();
    EXPECT_GT(replayed.size(), 0u);
    for (const Episode& e : replayed)
      EXPECT_TRUE(std::any_of(straight.alerts.begin(), straight.alerts.end(), [&](const auto& a) { return a.second.key == e.key && a.second.fired_at != 0 && a.second.start <= e.start && e.last <= a.second.last; }) ||
                  std::count_if(straight.alerts.begin(), straight.alerts.end(), [&](const auto& a) { return a.second.key == e.key && a.second.start <= e.last && a.second.last >= e.start; }) > 1)
          << text << " seed " << GetParam() << ": " << e.key << " " << format_timestamp(e.start) << " to " << format_timestamp(e.end) << "\n" << shown(straight.alerts);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Deaths, ::testing::Range<uint64_t>(1, 7));

}  // namespace
}  // namespace sluice::query::continuous
