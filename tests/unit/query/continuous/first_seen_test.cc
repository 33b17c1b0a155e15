// first_seen in rules: what a window yields is what the engine answers when it is asked about the same window, whatever the order in
// which flows came within their windows; its memory has a bound, and errs on one side only.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "query/continuous/example.h"
#include "query/continuous/key_history.h"
#include "query/continuous/replay.h"
#include "query/continuous/stream.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

const TimestampNs kFirst = *parse_timestamp("2026-11-20T08:00:00Z");

struct Visit {
  TimestampNs end;
  uint32_t src;
  uint16_t port;
};
std::shared_ptr<const Batch> batch_of_visits(std::span<const Visit> flows) {
  FlowBatchBuilder b;
  for (const Visit& f : flows) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, f.end);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + f.src));
    b.set_uint(ColumnId::dst_port, f.port);
    b.set_uint(ColumnId::protocol, 6);
  }
  return std::make_shared<const Batch>(b.finish());
}

class FirstSeen : public ::testing::TestWithParam<uint64_t> {};

TEST_P(FirstSeen, WindowsAreWhatTheEngineAnswers) {
  std::mt19937_64 dice(GetParam());
  std::vector<Visit> flows;
  for (int i = 0; i < 1'500; ++i) flows.push_back({kFirst + static_cast<int64_t>(dice() % static_cast<uint64_t>(2 * kHour)), static_cast<uint32_t>(dice() % 40), static_cast<uint16_t>(dice() % 9)});
  std::sort(flows.begin(), flows.end(), [](const Visit& a, const Visit& b) { return a.end < b.end; });
  // A little out of order, but not from one window into the next.
  for (size_t i = 1; i < flows.size(); ++i)
    if (flows[i].end / kMinute == flows[i - 1].end / kMinute && dice() % 3 == 0) std::swap(flows[i], flows[i - 1]);
  const std::string before = "from flows | where dst_port != 8 | first_seen src_ip, dst_port lookback 20m | stats n = count() by src_ip, dst_port, proto";
  const auto rule = rule_of("create rule r learn 0s as " + before + " window 5m");
  ASSERT_TRUE(rule);
  EXPECT_TRUE(rule->is_rising);
  std::map<TimestampNs, std::multiset<std::string>> settled;
  const FindingSink sink = [&](const Finding& f) {
    if (f.is_settled) settled[f.window] = lines_of(f.rows, f.columns());
  };
  store::Snapshot snapshot;
  const Over over(snapshot, kFirst + kDay);
  auto stream = std::make_unique<Stream>();
  stream->add(make_state(rule, {}));
  TimestampNs now = kFirst;
  for (size_t at = 0; at < flows.size();) {
    const size_t count = std::min<size_t>(flows.size() - at, 1 + dice() % 60);
    snapshot.open.push_back(batch_of_visits(std::span(flows).subspan(at, count)));
    at += count;
    now = flows[at - 1].end + kMinute;
    if (GetParam() % 2 == 0 && dice() % 8 == 0) {
      // A death: windows and look-back are read again.
      stream = made_again(*stream, {rule}, snapshot, now, sink);
      stream->watermarks().see(*snapshot.open.back(), now);
      stream->tick(now, sink);
      continue;
    }
    stream->push(snapshot.open.back(), now, sink);
  }
  stream->tick(now + 2 * kHour, sink);
  size_t found = 0;
  for (TimestampNs w = kFirst; w < kFirst + 2 * kHour; w += 5 * kMinute) {
    QueryRequest request;
    request.text = before;
    request.from = w;
    request.to = w + 5 * kMinute;
    LinesSink answer;
    QuerySummary summary;
    const auto error = run(request, over.context, answer, summary);
    ASSERT_FALSE(error) << error->message;
    EXPECT_EQ(settled[w], answer.lines) << format_timestamp(w) << " seed " << GetParam();
    found += answer.lines.size();
  }
  EXPECT_GT(found, 100u);
  // And a replay of a part says what live said of it.
  const auto replayed = replay(rule_of("create rule r learn 0s as " + before + " window 5m alert by src_ip, dst_port, proto"), {kFirst + kHour, kFirst + 2 * kHour}, {}, over.context);
  ASSERT_TRUE(replayed.ok());
  size_t live = 0;
  for (TimestampNs w = kFirst + kHour; w < kFirst + 2 * kHour; w += 5 * kMinute) live += settled[w].size();
  EXPECT_EQ(replayed->alerts.size(), live);
}
INSTANTIATE_TEST_SUITE_P(Seeds, FirstSeen, ::testing::Range<uint64_t>(1, 7));

TEST(FirstSeenRule, AlertsOnceForAKeyAndAgainBehindTheLookBack) {
  const auto rule = rule_of("create rule r as dst_port == 22 | first_seen src_ip lookback 1h alert by src_ip");
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule->learn, kHour);
  const auto count = [&](const char* flows) { return run_example(rule, flows)->size(); };
  EXPECT_EQ(count("50 flows over 50m src_ip=10.0.0.1 dst_port=22"), 1u);
  EXPECT_EQ(count("1 flow src_ip=10.0.0.1 dst_port=22; 1 flow at 30m src_ip=10.0.0.1 dst_port=23; 1 flow at 59m src_ip=10.0.0.1 dst_port=22"), 1u);
  EXPECT_EQ(count("1 flow src_ip=10.0.0.1 dst_port=22; 1 flow at 62m src_ip=10.0.0.1 dst_port=22"), 2u);
  EXPECT_EQ(count("1 flow src_ip=10.0.0.1 dst_port=22; 1 flow at 1m src_ip=10.0.0.2 dst_port=22"), 2u);
}

TEST(FirstSeenRule, IsSilentWhileItLearns) {
  const auto rule = rule_of("create rule r learn 30m as first_seen src_ip lookback 1h alert by src_ip");
  ASSERT_TRUE(rule);
  Stream stream;
  stream.add(make_state(rule, {}));
  std::set<TimestampNs> found;
  for (uint32_t minute = 0; minute < 60; ++minute) {
    const Visit flow{kFirst + minute * kMinute, minute, 1};
    stream.push(batch_of_visits(std::span(&flow, 1)), flow.end, [&](const Finding& f) { found.insert(f.window); });
  }
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(*found.begin(), kFirst + 30 * kMinute);
  EXPECT_EQ(found.size(), 30u);
}

// What was learned before a restart is not learned again, though the flows of then are kept no more; but who was there in them is not known.
TEST(Learning, GoesOnWhereItWas) {
  const auto state_of = [](const std::string& text) {
    const auto rule = rule_of(text);
    EXPECT_TRUE(rule);
    return make_state(rule, {});
  };
  const std::string body = " as from flows | stats n = count() by src_ip window 1m alert by src_ip";
  for (const bool is_known : {false, true}) {
    auto state = state_of("create rule r learn 2h" + body);
    EXPECT_EQ(state->learned_at(), kTimestampMax);
    state->set_known_since(kFirst + 100 * kMinute);
    if (is_known) state->set_learns_since(kFirst);
    EXPECT_EQ(state->learned_at(), kFirst + (is_known ? 2 * kHour : 220 * kMinute));
    EXPECT_EQ(state->learns_since(), kFirst + (is_known ? 0 : 100 * kMinute));
    Stream stream;
    stream.add(std::move(state));
    std::set<TimestampNs> found;
    for (const int minute : {119, 120, 219, 220}) {
      const Visit flow{kFirst + minute * kMinute, 1, 1};
      stream.push(batch_of_visits(std::span(&flow, 1)), flow.end, [&](const Finding& f) { found.insert((f.window - kFirst) / kMinute); });
    }
    EXPECT_EQ(found, is_known ? (std::set<TimestampNs>{120, 219, 220}) : std::set<TimestampNs>{220});
  }
  auto longer = state_of("create rule r learn 2h as first_seen src_ip lookback 1h alert by src_ip");
  longer->set_known_since(kFirst + 100 * kMinute);
  longer->set_learns_since(kFirst);
  EXPECT_EQ(longer->learned_at(), kFirst + 160 * kMinute);
  auto same = state_of("create rule r as first_seen src_ip lookback 1h alert by src_ip");
  same->set_known_since(kFirst + 100 * kMinute);
  same->set_learns_since(kFirst);
  EXPECT_EQ(same->learned_at(), kFirst + 160 * kMinute);
  EXPECT_LE(state_of("create rule r" + body)->learned_at(), kEarliest);
}

TEST(FirstSeenRule, SaysWhatItCannotBe) {
  EXPECT_EQ(refused("create rule r as first_seen src_ip lookback 1h alert by dst_ip"), "first_seen in a rule names keys of the rule's grouping, and 'src_ip' is none");
  EXPECT_EQ(refused("create rule r as first_seen src_ip lookback 91d alert by src_ip"), "a look-back is at most " + format_duration(limits::kRuleLookbackMax));
  EXPECT_EQ(refused("create rule r as first_seen src_ip alert by src_ip"), "expected keys, 'lookback' and a duration behind 'first_seen'");
  EXPECT_EQ(refused("create rule r as first_seen src_ip lookback 1h | stats n = count() by src_ip window 5m slide 1m"), "first_seen in a rule goes with windows that stand side by side");
  EXPECT_EQ(refused("create rule r as stats n = count() by src_ip window 5m | where n > 3 | first_seen src_ip lookback 1h"), "between the grouping and first_seen there may be nothing that chooses");
  EXPECT_EQ(refused("create rule r as stats n = count() by src_ip window 5m | first_seen src_ip lookback 1h | where n > 3"), "taken");
  EXPECT_EQ(refused("create rule r as first_seen ip lookback 1h alert by ip"), "first_seen in a rule needs to know which side is meant: src_ip or dst_ip");
}

TEST(KeyHistory, ForgetsBehindTheLookBackAndKeepsLateKeys) {
  KeyHistory history(10 * kMinute);
  history.add(1, 0);
  history.add(2, 5 * kMinute);
  EXPECT_TRUE(history.seen(1, 0, kMinute));
  EXPECT_FALSE(history.seen(1, kMinute, kHour));
  EXPECT_FALSE(history.seen(2, 0, 5 * kMinute));
  history.settle(6 * kMinute);
  EXPECT_TRUE(history.seen(2, 0, 6 * kMinute));
  history.add(3, 2 * kMinute);  // late
  EXPECT_TRUE(history.seen(3, 0, 6 * kMinute));
  EXPECT_FALSE(history.seen(3, 3 * kMinute, 6 * kMinute));
  history.settle(20 * kMinute);
  EXPECT_EQ(history.keys(), 0u);
}

TEST(KeyHistory, BeyondItsBoundTakesNoKnownKeyForNew) {
  KeyHistory history(8 * kHour, 1'000);
  std::mt19937_64 dice(3);
  std::vector<uint64_t> keys;
  for (int i = 0; i < 1'000; ++i) keys.push_back(dice());
  for (size_t i = 0; i < keys.size(); ++i) history.add(keys[i], static_cast<int64_t>(i % 8) * kHour);
  history.settle(8 * kHour);
  EXPECT_FALSE(history.is_sketch());
  EXPECT_EQ(history.keys(), 1'000u);
  history.add(7, 0);
  EXPECT_TRUE(history.is_sketch());
  EXPECT_EQ(history.keys(), 0u);
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_TRUE(history.seen(keys[i], static_cast<int64_t>(i % 8) * kHour, 8 * kHour));
  size_t wrong = 0;
  for (int i = 0; i < 10'000; ++i) wrong += history.seen(dice(), 0, 8 * kHour);
  EXPECT_LT(wrong, 5u);
  // The oldest part goes.
  history.settle(10 * kHour + kMinute);
  EXPECT_FALSE(history.seen(keys[0], 0, kHour));
  EXPECT_TRUE(history.seen(keys[3], 2 * kHour, 8 * kHour));
  EXPECT_LE(history.byte_size(), 10 * limits::kRuleKeySketchBits / 8);
}

}  // namespace
}  // namespace sluice::query::continuous
