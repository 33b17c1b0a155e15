// Sequences on a stream are what the stage finds in the stored flows, whatever the order and the batches in which they came, and whenever the
// process died in between.
#include "query/continuous/sequence_state.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/unit/query/continuous/watched.h"

namespace sluice::query::continuous {
namespace {

const std::vector<std::string>& sequences() {
  static const std::vector<std::string> kQuestions = {
      "from flows | sequence by src_ip within 3m [dst_port == 22] then [dst_port == 443] then [dst_port == 3389]",
      "from flows | where proto == tcp | sequence by src_ip, dst_ip within 30m [tcp_flags == S] then [bytes > 5KB]",
      // What one uses up decides what the next one finds, and so on for ever.
      "from flows | sequence by src_ip within 4m [dst_port < 1024] min 7",
      "from flows | sequence by cidr(src_ip, 30) within 10m [dst_port == 53] min 3 then [dst_port == 80] min 2 | where took > 1m | extend n = 1 | drop ended",
      "from flows | extend low = dst_port < 1024 | sequence by proto, low within 20s [bytes < 2000] then [bytes > 8000] | where low and took < 15s",
  };
  return kQuestions;
}

class SequencesAsked : public ::testing::TestWithParam<uint64_t> {};

TEST_P(SequencesAsked, AreWhatTheEngineAnswers) {
  std::mt19937_64 dice(GetParam());
  const bool restarts = GetParam() % 2 == 0;
  auto flows = random_flows(dice, 4'000, 2 * kHour, 50 * kSecond);
  // Many at one moment.
  for (size_t i = 0; i + 1 < flows.size(); i += 5) flows[i].end = flows[i].end / kSecond * kSecond;
  std::vector<RulePtr> rules;
  for (size_t i = 0; i < sequences().size(); ++i) {
    rules.push_back(rule_of("create rule r" + std::to_string(i) + " grace 3m as " + sequences()[i]));
    ASSERT_TRUE(rules.back());
    ASSERT_TRUE(rules.back()->sequence);
  }
  // By minute. After a death some of it is told again, and nothing else.
  std::vector<std::map<TimestampNs, std::multiset<std::string>>> settled(rules.size()), early(rules.size());
  std::set<std::pair<size_t, TimestampNs>> fresh;
  const FindingSink sink = [&](const Finding& f) {
    const auto i = static_cast<size_t>(std::stoi(f.rule.name.substr(1)));
    auto& mine = f.is_settled ? settled[i][f.window] : early[i][f.window];
    auto rows = rows_of(f);
    if (f.is_settled && !fresh.insert({i, f.window}).second)
      EXPECT_TRUE(std::includes(mine.begin(), mine.end(), rows.begin(), rows.end())) << sequences()[i] << " at " << format_timestamp(f.window);
    else
      mine.merge(rows);
  };
  auto stream = std::make_unique<Stream>();
  for (const auto& rule : rules) stream->add(make_state(rule, {}));
  store::Snapshot snapshot;
  TimestampNs now = kStart;
  for (size_t at = 0; at < flows.size();) {
    const size_t count = std::min<size_t>(flows.size() - at, 1 + dice() % (dice() % 5 ? 60 : 700));
    auto batch = batch_of(std::span(flows).subspan(at, count));
    at += count;
    snapshot.open.push_back(batch);
    for (const auto& f : std::span(flows).subspan(at - count, count)) now = std::max(now, f.end + kMinute);
    if (restarts && dice() % 6 == 0) {
      stream = made_again(*stream, rules, snapshot, now, sink);
      stream->watermarks().see(*batch, now);
      stream->tick(now, sink);
      continue;
    }
    stream->push(batch, now, sink);
  }
  stream->tick(now + 2 * kDay, sink);
  for (size_t i = 0; i < rules.size(); ++i) {
    std::multiset<std::string> all;
    for (const auto& [minute, rows] : settled[i]) all.insert(rows.begin(), rows.end());
    const Rows expected = ask(sequences()[i], {kStart - kDay, kStart + kDay}, snapshot);
    EXPECT_EQ(all, expected) << sequences()[i] << " seed " << GetParam();
    EXPECT_GT(expected.size(), 10u) << sequences()[i];
    EXPECT_EQ(stream->find(rules[i]->name)->stats().late_rows, 0u);
    EXPECT_EQ(stream->find(rules[i]->name)->stats().groups, 0u) << "all is over, and forgotten";
    EXPECT_EQ(early[i].empty(), !rules[i]->is_rising) << sequences()[i];
  }
  EXPECT_TRUE(rules[0]->is_rising && rules[1]->is_rising && rules[2]->is_rising);
  EXPECT_FALSE(rules[3]->is_rising) << "how long it took may change with a late flow";
}

INSTANTIATE_TEST_SUITE_P(Seeds, SequencesAsked, ::testing::Range<uint64_t>(1, 10));

Flow step(DurationNs at, uint16_t port, uint32_t src = 1) { return {kStart + at, src, 2, port, 6, 2, 100, 1, ""}; }

constexpr const char* kKnock =
    "create rule r grace 5m as from flows | sequence by src_ip within 10m [dst_port == 7000] then [dst_port == 8000] then [dst_port == 22] alert by src_ip suppress 1h message '{began} {ended}'";

TEST(SequenceAlerts, StartAtOnceAndAreTheSameInAReplay) {
  Watched w(kKnock);
  ASSERT_TRUE(w.rule->is_rising);
  w.push({step(0, 7000), step(kSecond, 8000)});
  w.push({step(9 * kMinute, 22, 7)});
  EXPECT_TRUE(w.alerts.empty());
  w.push({step(10 * kMinute, 22)});
  ASSERT_EQ(w.alerts.size(), 1u);
  const Episode first = w.alerts.begin()->second;
  EXPECT_EQ(first.message, "2026-11-20T08:00:00Z 2026-11-20T08:10:00Z");
  EXPECT_EQ(first.query, "from flows between 2026-11-20T08:00:00Z and 2026-11-20T08:11:00Z | where src_ip == 10.0.0.1");
  // Another one within the hour is the same alert.
  w.push({step(30 * kMinute, 7000), step(31 * kMinute, 8000), step(32 * kMinute, 22)});
  w.push({step(50 * kMinute, 443, 7)});
  ASSERT_EQ(w.alerts.size(), 1u);
  EXPECT_EQ(w.alerts.begin()->second.state, EpisodeState::ended);
  const auto replayed = w.replayed();
  ASSERT_EQ(replayed.size(), 1u);
  EXPECT_EQ(replayed[0].id, first.id);
  EXPECT_EQ(replayed[0].message, w.alerts.begin()->second.message);
}

TEST(SequenceAlerts, ALateFlowComesInBetweenWithinTheGrace) {
  Watched w(kKnock);
  w.push({step(0, 7000), step(4 * kMinute, 22)});
  w.push({step(7 * kMinute, 443, 7)});
  EXPECT_TRUE(w.alerts.empty());
  w.push({step(2 * kMinute, 8000)});
  ASSERT_EQ(w.alerts.size(), 1u) << "four minutes behind the watermark";
  EXPECT_EQ(w.alerts.begin()->second.message, "2026-11-20T08:00:00Z 2026-11-20T08:04:00Z");
  w.push({step(20 * kMinute, 7000, 3), step(22 * kMinute, 22, 3)});
  w.push({step(40 * kMinute, 443, 7)});
  w.push({step(21 * kMinute, 8000, 3)});
  EXPECT_EQ(w.alerts.size(), 1u);
  EXPECT_EQ(w.stats().late_rows, 1u);
}

TEST(SequenceAlerts, WhatWasUsedUpStaysSoAfterADeath) {
  // Every second flow ends one: which, only the first one of all can tell.
  const auto rule = rule_of("create rule r grace 2m as from flows | sequence by src_ip within 10m [dst_port == 22] min 2");
  std::multiset<std::string> told;
  const FindingSink sink = [&](const Finding& f) {
    if (f.is_settled) told.merge(rows_of(f));
  };
  Stream stream;
  stream.add(make_state(rule, {}));
  store::Snapshot snapshot;
  TimestampNs now = kStart;
  const auto push = [&](Stream& to, DurationNs at) {
    const std::vector<Flow> flow = {step(at, 22)};
    snapshot.open.push_back(batch_of(flow));
    now = flow[0].end;
    to.push(snapshot.open.back(), now, sink);
  };
  for (int i = 0; i < 101; ++i) push(stream, i * 10 * kSecond);
  const std::set<std::string> before(told.begin(), told.end());
  EXPECT_GT(before.size(), 40u);
  const auto next = made_again(stream, {rule}, snapshot, now, sink);
  EXPECT_EQ(std::set<std::string>(told.begin(), told.end()), before) << "some of it is told again, and nothing else";
  told.clear();
  for (int i = 101; i < 140; ++i) push(*next, i * 10 * kSecond);
  next->tick(now + kHour, sink);
  // From the last that was final on: twelve in the two minutes of grace and the minute that is waited for, and those that came since.
  const Rows all = ask("from flows | sequence by src_ip within 10m [dst_port == 22] min 2", {kStart, kStart + kHour}, snapshot);
  EXPECT_EQ(all.size(), 70u);
  EXPECT_GT(told.size(), 19u);
  for (const std::string& line : told) EXPECT_TRUE(all.contains(line)) << line;
}

TEST(Sequences, AtTheBoundKeysThatAreKnownGoOn) {
  const auto rule = rule_of("create rule r as from flows | sequence by src_ip, dst_ip within 5m [bytes < 100] then [bytes > 100]");
  Stream stream;
  stream.add(make_state(rule, {}));
  size_t told = 0;
  const FindingSink sink = [&](const Finding& f) { told += f.rows.rows; };
  const auto push = [&](uint32_t net, uint32_t count, TimestampNs at, uint64_t bytes) {
    FlowBatchBuilder b;
    for (uint32_t r = 0; r < count; ++r) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, at);
      b.set_ip(ColumnId::src_ip, IpAddress::v4(net));
      b.set_ip(ColumnId::dst_ip, IpAddress::v4(r));
      b.set_uint(ColumnId::raw_bytes, bytes);
    }
    stream.push(std::make_shared<const Batch>(b.finish()), at, sink);
  };
  uint32_t net = 0;
  for (; stream.find("r")->stats().dropped_rows == 0 && net < 60; ++net) push(net, 60'000, kStart, 50);
  const WindowStats full = stream.find("r")->stats();
  EXPECT_GT(full.dropped_rows, 0u);
  EXPECT_TRUE(full.groups == limits::kRuleGroupsMax || full.bytes >= limits::kRuleBytesMax) << full.groups << " " << full.bytes;
  EXPECT_NEAR(static_cast<double>(full.lost_groups), static_cast<double>(full.dropped_rows), static_cast<double>(full.dropped_rows) / 50 + 1);
  push(0, 10, kStart + kSecond, 500);
  EXPECT_EQ(told, 10u);
  EXPECT_EQ(stream.find("r")->stats().dropped_rows, full.dropped_rows);
  // Keys that are refused leave nothing behind.
  push(100, 60'000, kStart + kSecond, 50);
  const uint64_t bytes = stream.find("r")->stats().bytes;
  for (net = 101; net < 105; ++net) push(net, 60'000, kStart + kSecond, 50);
  EXPECT_EQ(stream.find("r")->stats().bytes, bytes);
  EXPECT_EQ(stream.find("r")->stats().dropped_rows, full.dropped_rows + 5 * 60'000);
  stream.tick(kStart + kHour, sink);
  EXPECT_EQ(stream.find("r")->stats().groups, 0u);
}

TEST(Sequences, WhatCannotStreamIsRefused) {
  EXPECT_NE(refused("create rule r as from flows | sequence by src_ip within 8d [dst_port == 22] then [dst_port == 23]").find("within 1w at most"), std::string::npos);
  EXPECT_NE(refused("create rule r as from flows | stats n = count() by src_ip window 1m | sequence by src_ip within 1h [n > 1] then [n > 2]").find("groups of flows have no order"), std::string::npos);
  EXPECT_NE(refused("create rule r as from flows | sequence by src_ip within 1h [dst_port == 1] then [dst_port == 2] | stats n = count() window 1m").find("told of, and not grouped"), std::string::npos);
  EXPECT_NE(refused("create rule r as from flows | first_seen src_ip lookback 1d | sequence by src_ip within 1h [dst_port == 1] then [dst_port == 2]").find("not with a sequence"), std::string::npos);
  EXPECT_NE(refused("create rule r as from flows | sequence by src_ip within 1h [dst_prt == 1] then [dst_port == 2]").find("dst_prt"), std::string::npos);
  EXPECT_EQ(refused("create rule r except (\"src_ip == 10.0.0.1\") severity_when (\"high: took < 1m\") as from flows | sequence by src_ip within 1h [dst_port == 1] then [dst_port == 2] alert by src_ip message '{took}'"), "taken");
  // Asked again and again it may be anything.
  EXPECT_EQ(refused("create rule r every 5m over 1h as from flows | sequence by src_ip within 1h [dst_port == 1] then [dst_port == 2] | sort took"), "taken");
}

}  // namespace
}  // namespace sluice::query::continuous
