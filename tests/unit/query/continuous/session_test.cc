// Sessions on a stream are what the engine answers when it is asked for the same sessions over all flows: in whatever order and batches the
// flows came, however late within the grace, and whenever the process died in between.
#include "query/continuous/session_groups.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "query/continuous/checkpoint.h"
#include "query/limits.h"
#include "query/sessions.h"
#include "tests/unit/query/continuous/watched.h"

namespace sluice::query::continuous {
namespace {

// Sessions as they were last told of: a later word on a key takes the place of those that it overlaps.
class ToldSessions {
 public:
  void take(const Finding& f) {
    const auto& session = *f.rule.session;
    for (size_t r = 0; r < f.rows.rows; ++r) {
      std::string key, line = line_of(f.rows, f.rule.plan.output, r);
      for (size_t k = 0; k < session.start; ++k) key += cell(*f.rows.slots[k], f.rule.groups->keys[k].node->type, r) + " ";
      const TimestampNs start = f.rows.slots[session.start]->int_at(r), end = f.rows.slots[session.end]->int_at(r);
      auto& mine = sessions_[key];
      std::erase_if(mine, [&](const Session& s) { return s.start <= end && start <= s.end - session.gap; });
      mine.push_back({start, end, std::move(line)});
    }
  }
  Rows rows() const {
    Rows out;
    for (const auto& [key, sessions] : sessions_)
      for (const Session& s : sessions) out.insert(s.line);
    return out;
  }

 private:
  struct Session {
    TimestampNs start, end;
    std::string line;
  };
  std::map<std::string, std::vector<Session>> sessions_;
};

const std::vector<std::string>& session_questions() {
  static const std::vector<std::string> kQuestions = {
      "from flows | stats n = count(), total = sum(bytes), lasted = max(ts) - min(ts) by src_ip window session gap 5m | where n > 3",
      "from flows | where proto == tcp | stats n = count(), d = dcount(dst_port), e = entropy(dst_port), p = p95(bytes) by src_ip, dst_ip window session gap 2h | where n > 2 and d > 1",
      "from flows | stats a = avg(bytes), v = values(dst_port, 4), c = count_distinct(dst_ip), f = first(src_ip) by cidr(src_ip, 30), dst_port window session gap 10m | where c > 1",
      // Always active: cut every 12 hours.
      "from flows | stats n = count(), m = max(bytes), s = stdev(bytes) by proto window session gap 30m | extend behind = ts_of - session | where n > 5 | drop ts_of",
      "from flows | where dst_port == 22 | stats n = count(), w = trw(dst_ip, tcp_flags has ack), a = arg_max(src_ip, bytes) window session gap 15m | where n > 1",
  };
  return kQuestions;
}

std::string question(size_t i) {
  std::string text = session_questions()[i];
  // The fourth computes with the session's start.
  if (const size_t at = text.find("s = stdev(bytes)"); at != std::string::npos) text.replace(at, 16, "s = stdev(bytes), ts_of = max(ts)");
  return text;
}

class SessionsAsked : public ::testing::TestWithParam<uint64_t> {};

TEST_P(SessionsAsked, AreWhatTheEngineAnswers) {
  std::mt19937_64 dice(GetParam());
  const bool restarts = GetParam() % 2 == 0;
  // Late beyond the minute that is waited for, and within the grace.
  const auto flows = random_flows(dice, 5'000, 60 * kHour, GetParam() % 3 == 0 ? 8 * kMinute : 50 * kSecond);
  std::vector<RulePtr> rules;
  for (size_t i = 0; i < session_questions().size(); ++i) {
    rules.push_back(rule_of("create rule r" + std::to_string(i) + " as " + question(i)));
    ASSERT_TRUE(rules.back());
    ASSERT_TRUE(rules.back()->session);
  }
  std::vector<ToldSessions> told(rules.size());
  std::vector<size_t> early(rules.size(), 0);
  const FindingSink sink = [&](const Finding& f) {
    const auto i = static_cast<size_t>(std::stoi(f.rule.name.substr(1)));
    if (f.is_settled)
      told[i].take(f);
    else
      early[i] += f.rows.rows;
  };
  auto stream = std::make_unique<Stream>();
  for (const auto& rule : rules) stream->add(make_state(rule, {}));
  store::Snapshot snapshot;
  TimestampNs now = kStart;
  size_t deaths = 0;
  for (size_t at = 0; at < flows.size();) {
    const size_t count = std::min<size_t>(flows.size() - at, 1 + dice() % (dice() % 5 ? 60 : 700));
    auto batch = batch_of(std::span(flows).subspan(at, count));
    at += count;
    snapshot.open.push_back(batch);
    for (const auto& f : std::span(flows).subspan(at - count, count)) now = std::max(now, f.end + kMinute);
    if (restarts && dice() % 6 == 0) {
      ++deaths;
      stream = made_again(*stream, rules, snapshot, now, sink);
      stream->watermarks().see(*batch, now);
      stream->tick(now, sink);
      continue;
    }
    stream->push(batch, now, sink);
  }
  stream->tick(now + 10 * kDay, sink);
  EXPECT_EQ(deaths > 0, restarts);
  for (size_t i = 0; i < rules.size(); ++i) {
    const Rows expected = ask(question(i), {kStart - kDay, kStart + 5 * kDay}, snapshot);
    EXPECT_EQ(told[i].rows(), expected) << question(i) << " seed " << GetParam();
    EXPECT_GT(expected.size(), 3u) << question(i);
    EXPECT_EQ(stream->find(rules[i]->name)->stats().late_rows, 0u);
    EXPECT_EQ(stream->find(rules[i]->name)->stats().groups, 0u) << "all are over, and forgotten";
    EXPECT_EQ(early[i] > 0, rules[i]->is_rising) << question(i);
  }
  EXPECT_TRUE(rules[0]->is_rising);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SessionsAsked, ::testing::Range<uint64_t>(1, 10));

TEST(SessionCut, LiesAtAWholeMultipleThatIsFarEnough) {
  const DurationNs most = limits::kSessionLengthMax;
  EXPECT_EQ(session_cut(0), most);
  EXPECT_EQ(session_cut(1), 2 * most);
  EXPECT_EQ(session_cut(most), 2 * most);
  EXPECT_EQ(session_cut(-1), most);
  EXPECT_EQ(session_cut(-most), 0);
  EXPECT_EQ(session_cut(kTimestampMax - 5), kTimestampMax);
}

constexpr const char* kLong =
    "create rule r as from flows | stats n = count(), lasted = max(ts) - min(ts) by src_ip window session gap 10m | where lasted > 1h alert by src_ip message '{n} {session}'";

TEST(SessionAlerts, StartEarlyGoOnAndEndUnderOneId) {
  Watched w(kLong);
  ASSERT_TRUE(w.rule->is_rising);
  for (int i = 0; i <= 12; ++i) w.push(plain({i * 5 * kMinute + kSecond}));
  EXPECT_TRUE(w.alerts.empty()) << "an hour is not more than one";
  w.push(plain({61 * kMinute}));
  ASSERT_EQ(w.alerts.size(), 1u);
  const std::string id = w.alerts.begin()->first;
  EXPECT_EQ(w.alerts[id].state, EpisodeState::firing);
  EXPECT_EQ(w.alerts[id].start, kStart + kSecond);
  EXPECT_EQ(w.alerts[id].end, kStart + 71 * kMinute) << "its last flow, and a gap";
  // It grows, and a flow that comes late moves its beginning.
  w.push(plain({70 * kMinute}));
  w.push(plain({0}));
  w.die();
  w.push(plain({75 * kMinute}));
  ASSERT_EQ(w.alerts.size(), 1u);
  EXPECT_EQ(w.alerts[id].start, kStart);
  EXPECT_EQ(w.alerts[id].message, "17 2026-11-20T08:00:00Z");
  EXPECT_NE(w.alerts[id].query.find("2026-11-20T08:00:00Z and 2026-11-20T09:25:00Z"), std::string::npos) << w.alerts[id].query;
  w.push(plain({3 * kHour}, 7));
  EXPECT_EQ(w.alerts[id].state, EpisodeState::ended);
  EXPECT_EQ(std::count(w.told.begin(), w.told.end(), "started src_ip=10.0.0.1"), 1);
  EXPECT_EQ(std::count(w.told.begin(), w.told.end(), "ended src_ip=10.0.0.1"), 1);
  const auto replayed = w.replayed();
  ASSERT_EQ(replayed.size(), 1u);
  EXPECT_EQ(replayed[0].id, id);
  EXPECT_EQ(replayed[0].message, w.alerts[id].message);
  EXPECT_EQ(replayed[0].end, w.alerts[id].end);
}

TEST(SessionAlerts, OfTwoThatTurnOutToBeOneTheEarlierGoesOn) {
  Watched w("create rule r grace 3h as from flows | stats n = count() by src_ip window session gap 10m | where n > 1 alert by src_ip message '{n}'");
  w.push(plain({0, kMinute}));
  w.push(plain({15 * kMinute, 16 * kMinute}));
  ASSERT_EQ(w.alerts.size(), 2u);
  w.push(plain({8 * kMinute}));
  w.push(plain({17 * kMinute}));
  ASSERT_EQ(w.alerts.size(), 2u);
  std::vector<Episode> alerts;
  for (const auto& [id, e] : w.alerts) alerts.push_back(e);
  std::sort(alerts.begin(), alerts.end(), [](const Episode& a, const Episode& b) { return a.start < b.start; });
  EXPECT_EQ(alerts[0].message, "6");
  EXPECT_EQ(alerts[0].end, kStart + 27 * kMinute);
  EXPECT_EQ(alerts[1].message, "2") << "what it was before";
  w.push(plain({2 * kHour}, 7));
  for (const auto& [id, e] : w.alerts) EXPECT_EQ(e.state, EpisodeState::ended);
  const auto replayed = w.replayed();
  ASSERT_EQ(replayed.size(), 1u);
  EXPECT_EQ(replayed[0].id, alerts[0].id);
  EXPECT_EQ(replayed[0].message, "6");
}

TEST(SessionAlerts, SuppressAndForMeanSessions) {
  Watched w("create rule r for 5m as from flows | stats n = count() by src_ip window session gap 10m | where n > 1 alert by src_ip suppress 1h message '{n}'");
  w.push(plain({0, kMinute}));
  ASSERT_EQ(w.alerts.size(), 1u);
  EXPECT_EQ(w.alerts.begin()->second.state, EpisodeState::pending) << "it has lasted a minute so far";
  w.push(plain({6 * kMinute}));
  EXPECT_EQ(w.alerts.begin()->second.state, EpisodeState::firing);
  w.push(plain({30 * kMinute}, 7));
  EXPECT_EQ(w.alerts.begin()->second.state, EpisodeState::ended);
  w.push(plain({50 * kMinute, 51 * kMinute, 57 * kMinute}));
  ASSERT_EQ(w.alerts.size(), 1u);
  EXPECT_EQ(w.alerts.begin()->second.state, EpisodeState::firing) << "another session within the hour is the same alert";
  EXPECT_EQ(w.alerts.begin()->second.matches, 2u);
}

TEST(SessionAlerts, WhatWaitsHasTheIdOfItsBeginning) {
  Watched w("create rule r for 10m as from flows | stats n = count() by src_ip window session gap 10m | where n > 1 alert by src_ip message '{n}'");
  w.push(plain({20 * kMinute, 21 * kMinute}));
  w.push(plain({15 * kMinute}));
  EXPECT_EQ(w.told, (std::vector<std::string>{"pending src_ip=10.0.0.1", "dropped src_ip=10.0.0.1"}));
  ASSERT_EQ(w.alerts.size(), 1u);
  w.die();
  w.push(plain({26 * kMinute}));
  w.push(plain({3 * kHour}, 7));
  ASSERT_EQ(w.alerts.size(), 1u);
  EXPECT_EQ(w.told.size(), 4u);  // started, and ended
  const auto replayed = w.replayed();
  ASSERT_EQ(replayed.size(), 1u);
  EXPECT_EQ(replayed[0].id, w.alerts.begin()->first);
  EXPECT_EQ(replayed[0].start, w.alerts.begin()->second.start);
}

TEST(Sessions, LateFlowsCountWithinGraceAndAreCountedBeyond) {
  Watched w("create rule r grace 5m as from flows | stats n = count(), a = avg(bytes) by src_ip window session gap 1m | where a > 0 alert by src_ip message '{n}'");
  w.push(plain({0, 30 * kSecond}));
  w.push(plain({4 * kMinute}, 7));
  ASSERT_EQ(w.alerts.size(), 1u);
  EXPECT_EQ(w.alerts.begin()->second.message, "2");
  w.push(plain({20 * kSecond}));
  w.push(plain({4 * kMinute + kSecond}, 7));
  EXPECT_EQ(w.alerts.begin()->second.message, "3");
  EXPECT_EQ(w.stats().late_rows, 0u);
  w.push(plain({20 * kMinute}, 7));
  w.push(plain({25 * kSecond}));
  EXPECT_EQ(w.stats().late_rows, 1u);
  // A session that goes on has no late flows, however old they are.
  for (int i = 0; i < 60; ++i) w.push(plain({20 * kMinute + i * 50 * kSecond}, 8));
  w.push(plain({21 * kMinute + kSecond}, 8));
  EXPECT_EQ(w.stats().late_rows, 1u);
}

TEST(Sessions, AtTheBoundThoseThatAreKnownCountOn) {
  const auto rule = rule_of("create rule r as from flows | stats n = count() by src_ip, dst_ip window session gap 5m | where n > 2");
  Stream stream;
  stream.add(make_state(rule, {}));
  size_t told = 0;
  const FindingSink sink = [&](const Finding& f) { told += f.rows.rows; };
  const auto push = [&](uint32_t net, uint32_t count) {
    FlowBatchBuilder b;
    for (uint32_t r = 0; r < count; ++r) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, kStart);
      b.set_ip(ColumnId::src_ip, IpAddress::v4(net));
      b.set_ip(ColumnId::dst_ip, IpAddress::v4(r));
    }
    stream.push(std::make_shared<const Batch>(b.finish()), kStart, sink);
  };
  constexpr uint32_t kRows = 60'000;
  for (uint32_t net = 0; net < limits::kRuleGroupsMax / kRows + 2; ++net) push(net, kRows);
  EXPECT_EQ(stream.find("r")->stats().groups, limits::kRuleGroupsMax);
  const uint64_t dropped = stream.find("r")->stats().dropped_rows;
  EXPECT_GT(dropped, 0u);
  push(0, 10);
  push(0, 10);
  EXPECT_EQ(told, 10u);
  EXPECT_EQ(stream.find("r")->stats().dropped_rows, dropped);
  // Keys that are refused leave nothing behind.
  push(100, kRows);
  const uint64_t bytes = stream.find("r")->stats().bytes;
  for (uint32_t net = 101; net < 105; ++net) push(net, kRows);
  EXPECT_EQ(stream.find("r")->stats().bytes, bytes);
  EXPECT_EQ(stream.find("r")->stats().dropped_rows, dropped + 5 * kRows);
  stream.tick(kStart + kHour, sink);
  EXPECT_EQ(stream.find("r")->stats().groups, 0u);
}

TEST(RuleCheckpoint, IsReadAsItWasWritten) {
  const Checkpoint plain{kStart, {}, {}}, marked{-5, {{UINT64_MAX, kStart, 3, 1}, {0, kTimestampMin, UINT32_MAX, 7}}, {}};
  EXPECT_EQ(checkpoint_of(to_text(plain)), plain);
  EXPECT_EQ(checkpoint_of(to_text(marked)), marked);
  for (const char* text : {"", "1", "1 ", "2 5", "1 x", "1 5 ", "1 5 6", "1 5 6:7", "1 5 6:7:8", "1 5 6:7:8:", "1 5 6:7:8:-1", "1 5 6:7:8:4294967296", "1 99999999999999999999", "1 5 6:7:8:9 ", "1  5"})
    EXPECT_FALSE(checkpoint_of(text)) << text;
  Checkpoint held{7, {{1, 2, 3, 4}}, {{kStart, UINT64_MAX}, {-1, 0}}};
  EXPECT_EQ(checkpoint_of(to_text(held)), held);
  held.marks.clear();
  EXPECT_EQ(checkpoint_of(to_text(held)), held);
  EXPECT_EQ(to_text(held).substr(0, 4), "2 7 ");
  for (const char* text : {"2 5 6:7:8:9", "1 5 w6:7", "2 5 w6", "2 5 w6:", "2 5 w6:7 ", "2 5 w6:7:8", "2 5 w6:7 6:7:8:9", "2 5 w:7", "2 5 x6:7", "2 5 w6:18446744073709551616", "12 5 w6:7", "3 5 w6:7"})
    EXPECT_FALSE(checkpoint_of(text)) << text;
  held.held.resize(limits::kRuleHeldKeysMax);
  EXPECT_TRUE(checkpoint_of(to_text(held)));
  held.held.emplace_back();
  EXPECT_FALSE(checkpoint_of(to_text(held)));
  Checkpoint full;
  full.marks.resize(limits::kRuleMarksMax);
  EXPECT_TRUE(checkpoint_of(to_text(full)));
  full.marks.emplace_back();
  EXPECT_FALSE(checkpoint_of(to_text(full)));
}

}  // namespace
}  // namespace sluice::query::continuous
