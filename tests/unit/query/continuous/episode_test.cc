// Episodes: when an alert starts, goes on and ends, and that neither repetition nor another order makes two of one.
#include "query/continuous/episode.h"

#include <gtest/gtest.h>

#include "query/continuous/asked_rule.h"
#include "query/continuous/replay.h"
#include "query/continuous/stream.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

const TimestampNs kEpisodeStart = *parse_timestamp("2026-11-20T08:00:00Z");

// A rule that alerts for each source with two flows in a minute, and what has been told of it.
class Scene {
 public:
  explicit Scene(const std::string& options, const std::string& query = "from flows | stats n = count() by src_ip window 1m | where n > 1 alert by src_ip")
      : rule(rule_of("create rule r as " + query + " " + options)) {
    stream.add(make_state(rule, {}));
  }
  // `count` flows of a source in the minute of that number.
  void flows(int minute, uint32_t source, int count = 2) {
    FlowBatchBuilder b;
    for (int i = 0; i < count; ++i) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, kEpisodeStart + minute * kMinute + i * kSecond);
      b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + source));
      b.set_uint(ColumnId::dst_port, 443);
      b.set_uint(ColumnId::protocol, 6);
    }
    auto batch = std::make_shared<const Batch>(b.finish());
    stored.open.push_back(batch);
    stream.push(batch, kEpisodeStart + minute * kMinute, finding());
    settle(minute);
  }
  // All that came before that minute is complete.
  void until(int minute) {
    FlowBatchBuilder b;
    b.begin_row();
    b.set_time(ColumnId::flow_end, kEpisodeStart + minute * kMinute + kMinute);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x01010101));
    auto batch = std::make_shared<const Batch>(b.finish());
    stored.open.push_back(batch);
    stream.push(batch, kEpisodeStart + minute * kMinute, finding());
    settle(minute);
  }
  void settle(int minute) {
    book.settle(*rule, stream.find("r")->settled_before(), kEpisodeStart + minute * kMinute, change());
  }
  FindingSink finding() {
    return [this](const Finding& f) { book.take(f, kEpisodeStart, change()); };
  }
  EpisodeSink change() {
    return [this](const Episode& e, EpisodeChange c) {
      last = e;
      if (e.state != EpisodeState::pending) alerts[e.id] = e;
      static const char* kNames[] = {"pending", "started", "resumed", "updated", "ended", "dropped"};
      if (c != EpisodeChange::updated) told.push_back(std::string(kNames[static_cast<int>(c)]) + " " + e.key);
    };
  }
  RulePtr rule;
  Stream stream;
  EpisodeBook book;
  store::Snapshot stored;
  std::vector<std::string> told;
  std::map<std::string, Episode> alerts;
  Episode last;
};

using Told = std::vector<std::string>;

TEST(Episodes, StartGoOnAndEnd) {
  Scene s("message '{src_ip} made {n} flows'");
  s.flows(0, 1);
  EXPECT_EQ(s.told, (Told{"started src_ip=10.0.0.1"}));
  EXPECT_EQ(s.last.message, "10.0.0.1 made 2 flows");
  EXPECT_EQ(s.last.query, "from flows between 2026-11-20T08:00:00Z and 2026-11-20T08:01:00Z | where src_ip == 10.0.0.1");
  s.flows(1, 1, 3);
  s.until(2);
  EXPECT_EQ(s.told.size(), 1u);
  EXPECT_EQ(s.last.matches, 2u);
  EXPECT_EQ(s.last.end, kEpisodeStart + 2 * kMinute);
  EXPECT_EQ(s.last.message, "10.0.0.1 made 3 flows");
  s.until(3);
  EXPECT_EQ(s.told, (Told{"started src_ip=10.0.0.1", "ended src_ip=10.0.0.1"}));
  s.flows(5, 1);
  EXPECT_EQ(s.told.back(), "started src_ip=10.0.0.1");
  EXPECT_EQ(s.alerts.size(), 2u);
}

TEST(Episodes, SuppressMakesOneAlertOfMany) {
  Scene s("suppress 10m");
  s.flows(0, 1);
  s.until(4);
  s.flows(6, 1);
  s.until(20);
  s.flows(30, 1);
  EXPECT_EQ(s.told, (Told{"started src_ip=10.0.0.1", "ended src_ip=10.0.0.1", "resumed src_ip=10.0.0.1", "ended src_ip=10.0.0.1", "started src_ip=10.0.0.1"}));
  EXPECT_EQ(s.alerts.size(), 2u);
}

TEST(Episodes, KeepFiringBridgesPauses) {
  Scene s("keep_firing_for 3m");
  s.flows(0, 1);
  s.until(2);
  s.flows(4, 1);
  s.until(7);
  EXPECT_EQ(s.told, (Told{"started src_ip=10.0.0.1"}));
  s.until(11);
  EXPECT_EQ(s.told, (Told{"started src_ip=10.0.0.1", "ended src_ip=10.0.0.1"}));
}

TEST(Episodes, ForWaits) {
  Scene s("for 3m");
  s.flows(0, 1), s.flows(0, 2);
  s.flows(1, 1), s.flows(1, 2);
  EXPECT_EQ(s.told, (Told{"pending src_ip=10.0.0.1", "pending src_ip=10.0.0.2"}));
  s.flows(2, 1);
  EXPECT_EQ(s.told.back(), "started src_ip=10.0.0.1");
  EXPECT_EQ(s.last.start, kEpisodeStart);
  s.until(5);
  Told told = {"pending src_ip=10.0.0.1", "pending src_ip=10.0.0.2", "started src_ip=10.0.0.1", "ended src_ip=10.0.0.1"};
  EXPECT_EQ(s.told, told);
  EXPECT_EQ(s.book.open("r"), 0u);
  // Until no flow can come that would bring its windows back.
  s.until(13);
  EXPECT_EQ(s.told, told);
  s.until(14);
  told.push_back("dropped src_ip=10.0.0.2");
  EXPECT_EQ(s.told, told);
}

// The alerts are those of a replay, which has all flows in time.
void expect_replayed(const Scene& s) {
  const Over over(s.stored, kEpisodeStart + kDay);
  const auto replayed = replay(s.rule, {}, QueryRequest(), over.context);
  ASSERT_TRUE(replayed.ok());
  ASSERT_EQ(replayed->alerts.size(), s.alerts.size());
  for (const Episode& e : replayed->alerts) {
    const auto at = s.alerts.find(e.id);
    ASSERT_NE(at, s.alerts.end()) << e.key;
    const Episode& live = at->second;
    EXPECT_EQ(std::tie(e.state, e.start, e.last, e.end, e.run_start, e.matches, e.message, e.query), std::tie(live.state, live.start, live.last, live.end, live.run_start, live.matches, live.message, live.query));
  }
}

// What was missing comes late: what is on either side of it has lasted long enough together.
TEST(Episodes, LateFlowsCompleteWhatWaited) {
  for (const bool is_rising : {true, false}) {
    Scene s("for 4m", "from flows | stats n = count() by src_ip window 1m | where n " + std::string(is_rising ? "> 1" : "!= 1") + " alert by src_ip");
    ASSERT_EQ(s.rule->is_rising, is_rising);
    for (const int minute : {0, 1, 3, 4}) s.flows(minute, 1);
    s.flows(2, 1, 1);
    s.flows(0, 2), s.flows(2, 2);  // two that never come together
    s.until(7);
    EXPECT_TRUE(s.alerts.empty());
    EXPECT_EQ(s.book.open("r"), 0u);
    s.flows(2, 1, 1);
    s.until(8);
    ASSERT_EQ(s.alerts.size(), 1u);
    EXPECT_EQ(s.alerts.begin()->second.state, EpisodeState::ended) << "and was over when it was found";
    EXPECT_EQ(s.alerts.begin()->second.start, kEpisodeStart);
    EXPECT_EQ(s.alerts.begin()->second.matches, 5u);
    s.until(40);
    expect_replayed(s);
  }
}

// Nobody knows the id of what waits: it becomes the one of a replay.
TEST(Episodes, WhatWaitsHasTheIdOfItsFirstWindow) {
  Scene s("for 3m");
  s.flows(1, 1), s.flows(2, 1), s.flows(0, 1);
  EXPECT_EQ(s.told, (Told{"pending src_ip=10.0.0.1", "dropped src_ip=10.0.0.1", "started src_ip=10.0.0.1"}));
  s.until(40);
  expect_replayed(s);
}

// It joins who had been told of, too, and what waited behind that; and goes on.
TEST(Episodes, WhatWaitedBelongsToTheAlertBesideIt) {
  Scene s("for 3m");
  for (const int minute : {0, 1, 2, 4}) s.flows(minute, 1);  // told; one that waits
  s.flows(3, 1, 1);
  s.until(6);
  Told told = {"pending src_ip=10.0.0.1", "started src_ip=10.0.0.1", "pending src_ip=10.0.0.1", "ended src_ip=10.0.0.1"};
  EXPECT_EQ(s.told, told);
  s.flows(3, 1, 1);
  told.insert(told.end(), {"dropped src_ip=10.0.0.1", "resumed src_ip=10.0.0.1", "ended src_ip=10.0.0.1"});
  EXPECT_EQ(s.told, told);
  s.until(40);
  EXPECT_EQ(s.told, told);
  ASSERT_EQ(s.alerts.size(), 1u);
  expect_replayed(s);

  // In front of one that was told of, which keeps its id.
  Scene t("for 3m");
  for (const int minute : {0, 2, 3, 4}) t.flows(minute, 1);
  t.flows(1, 1, 1);
  t.until(6);
  ASSERT_EQ(t.alerts.size(), 1u);
  const std::string id = t.alerts.begin()->first;
  t.flows(1, 1, 1);
  t.until(40);
  ASSERT_EQ(t.alerts.size(), 1u);
  EXPECT_EQ(t.alerts.begin()->first, id);
  EXPECT_EQ(t.alerts.begin()->second.start, kEpisodeStart);
  EXPECT_EQ(t.alerts.begin()->second.matches, 5u);
  EXPECT_EQ(t.told, (Told{"pending src_ip=10.0.0.1", "pending src_ip=10.0.0.1", "started src_ip=10.0.0.1", "ended src_ip=10.0.0.1", "dropped src_ip=10.0.0.1"}));
}

// As many lapsed ones are known as may alert; those that are not take no room from others.
TEST(Episodes, LapsedOnesAreBounded) {
  Scene s("for 3m", "from flows | stats n = count() by src_ip window 1m alert by src_ip");
  constexpr size_t kKeys = limits::kRuleEpisodesMax - 2;  // and the one of until()
  for (const int minute : {0, 4}) {
    FlowBatchBuilder b;
    for (uint32_t i = 0; i < kKeys; ++i) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, kEpisodeStart + minute * kMinute);
      b.set_ip(ColumnId::src_ip, IpAddress::v4(static_cast<uint32_t>(minute) << 20 | i));
    }
    s.stream.push(std::make_shared<const Batch>(b.finish()), kEpisodeStart + minute * kMinute, s.finding());
    s.until(minute + 3);
  }
  EXPECT_EQ(s.book.beyond_bound("r"), 0u);
  EXPECT_EQ(std::count_if(s.told.begin(), s.told.end(), [](const std::string& t) { return t.starts_with("dropped"); }), static_cast<ptrdiff_t>(kKeys - 1));
  EXPECT_EQ(s.book.open("r"), 1u);
}

TEST(Episodes, SingleFlows) {
  Scene s("suppress 1h message '{src_ip} to {dst_port}/{proto}'", "dst_port == 443 alert by src_ip, dst_port");
  s.flows(0, 1, 1), s.flows(0, 1, 1), s.flows(3, 1, 1), s.flows(3, 2, 1);
  EXPECT_EQ(s.told[0], "started src_ip=10.0.0.1 dst_port=443");
  EXPECT_EQ(s.alerts.size(), 2u);
  EXPECT_EQ(s.last.message, "10.0.0.2 to 443/tcp");
  EXPECT_EQ(s.last.query, "from flows between 2026-11-20T08:03:00Z and 2026-11-20T08:04:00Z | where dst_port == 443 | where src_ip == 10.0.0.2 and dst_port == 443");
}

TEST(Episodes, WithoutKeyTheRuleIsOneAlert) {
  Scene s("suppress 1h", "from flows | stats n = count() by src_ip window 1m | where n > 1 for 0s");
  s.flows(0, 1), s.flows(0, 2), s.flows(1, 3);
  EXPECT_EQ(s.told, (Told{"started "}));
}

TEST(Episodes, NeitherRepetitionNorRestartMakesTwo) {
  Scene s("suppress 5m");
  s.flows(0, 1), s.flows(1, 1), s.flows(3, 2), s.until(4);
  const auto before = s.alerts;
  ASSERT_EQ(before.size(), 2u);
  // The same windows again, from the store, with the episodes as they were kept.
  EpisodeBook next;
  for (const auto& [id, e] : before) next.restore(e);
  Told told;
  const EpisodeSink sink = [&](const Episode& e, EpisodeChange c) {
    if (c != EpisodeChange::updated) told.push_back(e.id);
    EXPECT_TRUE(before.contains(e.id));
  };
  const Over over(s.stored, kEpisodeStart + kHour);
  QueryRequest request;
  RunState run(request, over.context);
  Worker worker(run);
  const auto state = make_state(s.rule, {s.stream.find("r")->frontier(), {}});
  RuleState& groups = *state;
  ScanStats stats;
  const FindingSink again = [&](const Finding& f) { next.take(f, kEpisodeStart, sink); };
  ASSERT_TRUE(read_again(groups, run, stats).ok());
  ASSERT_TRUE(look_again(groups, s.stream.watermark(), kLatest, worker, again).ok());
  EXPECT_TRUE(told.empty());

  // And what a replay finds has the same ids.
  s.until(30);
  const auto replayed = replay(s.rule, {}, request, over.context);
  ASSERT_TRUE(replayed.ok());
  ASSERT_EQ(replayed->alerts.size(), 2u);
  for (const Episode& e : replayed->alerts) {
    ASSERT_TRUE(s.alerts.contains(e.id));
    const Episode& live = s.alerts[e.id];
    EXPECT_EQ(e.start, live.start);
    EXPECT_EQ(e.end, live.end);
    EXPECT_EQ(e.matches, live.matches);
    EXPECT_EQ(e.message, live.message);
    EXPECT_EQ(e.query, live.query);
  }
}

TEST(Episodes, TooManyKeysAreCounted) {
  Scene s("", "from flows | stats n = count() by src_ip window 1m alert by src_ip");
  FlowBatchBuilder b;
  for (uint32_t i = 0; i < limits::kRuleEpisodesMax + 5; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kEpisodeStart);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(i));
  }
  s.stream.push(std::make_shared<const Batch>(b.finish()), kEpisodeStart, s.finding());
  EXPECT_EQ(s.alerts.size(), limits::kRuleEpisodesMax);
  EXPECT_EQ(s.book.beyond_bound("r"), 5u);
}

// Those that have ended and might resume take no room from those that alert.
TEST(Episodes, WhatHasEndedDoesNotCountAtTheBound) {
  Scene s("suppress 6h", "from flows | stats n = count() by src_ip window 1m alert by src_ip");
  FlowBatchBuilder b;
  for (uint32_t i = 0; i < limits::kRuleEpisodesMax; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kEpisodeStart);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(i));
  }
  s.stream.push(std::make_shared<const Batch>(b.finish()), kEpisodeStart, s.finding());
  EXPECT_EQ(s.book.open("r"), limits::kRuleEpisodesMax);
  s.until(5);
  EXPECT_LE(s.book.open("r"), 1u);
  const uint64_t beyond = s.book.beyond_bound("r");  // what came while all of them alerted
  s.flows(6, 9'999);
  EXPECT_EQ(s.last.key, "src_ip=10.0.39.15");
  EXPECT_EQ(s.last.state, EpisodeState::firing);
  EXPECT_EQ(s.book.beyond_bound("r"), beyond);
  // One that resumes alerts again.
  const size_t open = s.book.open("r");
  FlowBatchBuilder again;
  again.begin_row();
  again.set_time(ColumnId::flow_end, kEpisodeStart + 6 * kMinute);
  again.set_ip(ColumnId::src_ip, IpAddress::v4(7));
  s.stream.push(std::make_shared<const Batch>(again.finish()), kEpisodeStart + 6 * kMinute, s.finding());
  EXPECT_EQ(s.told.back(), "resumed src_ip=0.0.0.7");
  EXPECT_EQ(s.book.open("r"), open + 1);
}

// Disabled and enabled again within a window, as the server does it: the alert is the one that it was.
TEST(Episodes, OfARuleThatWasClosedResume) {
  Scene s("suppress 1h");
  s.flows(0, 1);
  const std::string id = s.last.id;
  s.book.close("r", kEpisodeStart + 10 * kSecond, s.change());
  EXPECT_EQ(s.told.back(), "ended src_ip=10.0.0.1");
  EXPECT_TRUE(s.last.was_closed);
  EXPECT_TRUE(s.book.rules().empty());
  s.book.restore(s.last);
  s.book.restore(s.last);  // twice is once
  s.flows(0, 1, 3);
  EXPECT_EQ(s.told, (Told{"started src_ip=10.0.0.1", "ended src_ip=10.0.0.1", "resumed src_ip=10.0.0.1"}));
  EXPECT_EQ(s.last.id, id);
  EXPECT_EQ(s.last.matches, 1u);
  EXPECT_FALSE(s.last.was_closed);
  EXPECT_EQ(s.alerts.size(), 1u);
  EXPECT_EQ(s.book.open("r"), 1u);
  // What ended by itself needs a match of another window.
  s.until(3);
  EXPECT_EQ(s.told.back(), "ended src_ip=10.0.0.1");
  EXPECT_FALSE(s.last.was_closed);
}

// A rule that was replaced while an alert goes on: what it says of itself is the alert's from the next window on; its mode, once it fires again.
TEST(Episodes, AreAsTheirRuleIsNow) {
  Scene s("suppress 1h");
  s.flows(0, 1);
  EXPECT_EQ(s.last.severity, Severity::medium);
  const auto before = s.stream.find("r");
  ASSERT_NE(before, nullptr);
  s.rule = rule_of("create rule r severity high tags (new) mode silent as from flows | stats n = count() by src_ip window 1m | where n > 1 alert by src_ip suppress 1h");
  s.stream.add(make_state(s.rule, {kEpisodeStart + kMinute, {}}));
  s.flows(1, 1);
  EXPECT_EQ(s.last.severity, Severity::high);
  EXPECT_EQ(s.last.tags, "new");
  EXPECT_FALSE(s.last.is_silent) << "people were told of it, and will be told of its end";
  s.until(4);
  EXPECT_EQ(s.told.back(), "ended src_ip=10.0.0.1");
  s.flows(6, 1);
  EXPECT_EQ(s.told.back(), "resumed src_ip=10.0.0.1");
  EXPECT_TRUE(s.last.is_silent);
}

// A match that did not last is no alert that another could belong to, however few windows are looked at at a time.
TEST(Episodes, WhatNeverFiredSuppressesNothing) {
  Scene s("for 2m suppress 1h");
  s.flows(0, 1);
  s.flows(5, 1), s.flows(6, 1);
  s.until(9);
  EXPECT_EQ(s.told.back(), "ended src_ip=10.0.0.1");
  ASSERT_EQ(s.alerts.size(), 1u);
  EXPECT_EQ(s.alerts.begin()->second.start, kEpisodeStart + 5 * kMinute);
  EXPECT_EQ(s.alerts.begin()->second.id, episode_id("r", "src_ip=10.0.0.1", kEpisodeStart + 5 * kMinute));
}

TEST(Episodes, GoOnOverWindowsThatNobodyKnowsOf) {
  const auto rule = rule_of("create rule r every 1m as from flows | stats n = count() by src_ip alert by src_ip");
  ASSERT_TRUE(rule);
  store::Snapshot stored;
  const Over over(stored, kEpisodeStart);
  EpisodeBook book;
  std::vector<std::string> told;
  Episode last;
  const EpisodeSink sink = [&](const Episode& e, EpisodeChange change) {
    last = e;
    told.push_back(std::string(to_string(change)));
  };
  const auto match = [&](int minute) {
    FlowBatchBuilder b;
    b.begin_row();
    b.set_time(ColumnId::flow_end, kEpisodeStart + minute * kMinute);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000001));
    stored.open = {std::make_shared<const Batch>(b.finish())};
    ScanStats stats;
    ASSERT_TRUE(ask_rule(*rule, kEpisodeStart + (minute + 1) * kMinute, over.context, [&](const Finding& f) { book.take(f, kEpisodeStart, sink); }, stats).ok());
    book.settle(*rule, kEpisodeStart + (minute + 1) * kMinute, kEpisodeStart, sink);
  };
  match(0);
  const std::string id = last.id;
  book.go_on(*rule, kEpisodeStart + kMinute, sink);
  match(2);
  EXPECT_EQ(last.id, id);
  EXPECT_EQ(told, (Told{"started", "updated", "updated"}));
  EXPECT_EQ(last.matches, 2u);
  // What had ended before does not begin again.
  book.settle(*rule, kEpisodeStart + 9 * kMinute, kEpisodeStart, sink);
  book.go_on(*rule, kEpisodeStart + 9 * kMinute, sink);
  EXPECT_EQ(told.back(), "ended");
  EXPECT_EQ(last.state, EpisodeState::ended);
}

}  // namespace
}  // namespace sluice::query::continuous
