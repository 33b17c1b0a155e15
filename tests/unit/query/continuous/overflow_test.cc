// A rule at the bound of its state: whoever floods it with keys does not hide another from it, nothing is made up, and memory stays within the bound.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>

#include "query/continuous/checkpoint.h"
#include "query/continuous/groups.h"
#include "query/continuous/key_filter.h"
#include "query/continuous/shortfall.h"
#include "tests/sanitizer.h"
#include "tests/unit/query/continuous/watched.h"

namespace sluice::query::continuous {
namespace {

constexpr uint32_t kRows = 60'000;
constexpr uint32_t kFlood = 3 * (limits::kRuleGroupsMax / kRows) + 1;  // batches: three times the bound

// Flows of `count` sources from `first` on.
std::shared_ptr<const Batch> sources(uint32_t first, uint32_t count, DurationNs at) {
  FlowBatchBuilder b;
  for (uint32_t r = 0; r < count; ++r) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart + at);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(first + r));
    b.set_uint(ColumnId::dst_port, 1);
    b.set_uint(ColumnId::raw_bytes, 60);
  }
  return std::make_shared<const Batch>(b.finish());
}

// `count` flows of one source, each to a port of its own.
std::shared_ptr<const Batch> flows_of(uint32_t source, uint32_t count, DurationNs at, uint32_t first_port = 1) {
  FlowBatchBuilder b;
  for (uint32_t r = 0; r < count; ++r) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart + at);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(source));
    b.set_uint(ColumnId::dst_port, first_port + r);
    b.set_uint(ColumnId::raw_bytes, 60);
  }
  return std::make_shared<const Batch>(b.finish());
}

constexpr uint32_t kFloodFrom = 0x20000000;
constexpr uint32_t kKnown = 0x0a000001, kAfter = 0x0a000002, kNear = 0x0a000003, kSplit = 0x0a000004, kSplitNear = 0x0a000005;

// Stands in a stream for a rule, and hands on what gets to its groups.
class Taker final : public RuleState {
 public:
  using Take = std::function<void(const Chunk&, Worker&)>;
  Taker(RulePtr rule, Take take) : RuleState(std::move(rule)), take_(std::move(take)) {}
  Status advance(TimestampNs, Worker&, const FindingSink&) override { return {}; }
  Status look_at_open(TimestampNs, Worker&, const FindingSink&) override { return {}; }
  TimestampNs frontier() const override { return kEarliest; }
  TimestampNs settled_before() const override { return kTimestampMin; }

 private:
  Status take_ready(const Chunk& ready, Worker& worker, TimestampNs, Room, const FindingSink&) override {
    take_(ready, worker);
    return {};
  }
  const Take take_;
};

struct ToldOfRule {
  uint64_t value = 0;
  bool is_partial = false;
  bool operator==(const ToldOfRule&) const = default;
};

// Sources that get 20 flows or as many ports: before the flood, after it, and on both sides of it; and such that are one short.
template <typename Push>
void flooded(Push push) {
  push(flows_of(kKnown, 12, 0));
  push(flows_of(kSplit, 1, 0, 100));
  push(flows_of(kSplitNear, 1, 0, 100));
  for (uint32_t i = 0; i < kFlood; ++i) push(sources(kFloodFrom + i * kRows, kRows, kSecond));
  push(flows_of(kKnown, 10, 2 * kSecond, 13));
  push(flows_of(kAfter, 20, 2 * kSecond));
  push(flows_of(kNear, 19, 2 * kSecond));
  push(flows_of(kSplit, 20, 2 * kSecond));
  push(flows_of(kSplitNear, 19, 2 * kSecond));
}

TEST(Overflow, AFloodOfKeysHidesNoHeavyKey) {
  struct Case {
    const char *value, *window;
    uint64_t each;  // what a flow adds
  };
  for (const Case& c : {Case{"count()", "window 5m", 1}, Case{"count()", "window 5m slide 150s", 1}, Case{"sum(bytes)", "window 5m", 60}, Case{"dcount(dst_port)", "window 5m", 1}}) {
    if (kAddressSanitizer && std::string_view(c.value) == "sum(bytes)") continue;  // as count(), for half a minute
    const std::string text = std::string("create rule r as from flows | stats v = ") + c.value + " by src_ip " + c.window + " | where v >= " + std::to_string(20 * c.each);
    Stream stream;
    stream.add(make_state(rule_of(text), {}));
    std::map<std::string, ToldOfRule> told;
    const FindingSink sink = [&](const Finding& f) {
      for (size_t r = 0; r < f.rows.rows; ++r) told[cell(*f.rows.slots[f.columns()[0].slot], f.columns()[0].type, r)] = {f.rows.slots[f.columns()[1].slot]->values<uint64_t>()[r] / c.each, f.is_partial};
    };
    const auto& stats = stream.find("r")->stats();
    flooded([&](const auto& batch) {
      stream.push(batch, kStart, sink);
      ASSERT_LE(stats.groups, limits::kRuleGroupsMax + 2 * kRows);
      ASSERT_LE(stats.bytes, limits::kRuleBytesMax + limits::kRuleBytesMax / 4);
    });
    // What was let go lacks a flow at most, since no group of the flood had more: of 21 it has 20, of 20 it has 19, which is not enough.
    const std::map<std::string, ToldOfRule> expected{{"10.0.0.1", {22, false}}, {"10.0.0.2", {20, false}}, {"10.0.0.4", {20, true}}};
    EXPECT_EQ(told, expected) << text;
    EXPECT_EQ(stats.dropped_rows, 0u) << text;
    EXPECT_GT(stats.let_go_groups, limits::kRuleGroupsMax) << text;
    EXPECT_GE(stats.partial_groups, 2u) << text;
    EXPECT_LT(stats.partial_groups, stats.groups / 8) << text << ": of a flood without end few that are new are taken for ones that went";
    const double flood = kFlood * double{kRows};
    EXPECT_GT(static_cast<double>(stats.lost_groups), flood - 1.02 * limits::kRuleGroupsMax) << text;
    EXPECT_LT(static_cast<double>(stats.lost_groups), 1.02 * flood) << text;
    // When the windows settle the same is told, and no more.
    stream.tick(kStart + kHour, sink);
    EXPECT_EQ(told, expected) << text;
    EXPECT_EQ(stats.groups, 0u);
    EXPECT_EQ(stats.partial_groups, 0u);
  }
}

// What more flows could undo is only said of groups that are whole.
TEST(Overflow, WhatMayNotRiseIsAskedOfWholeGroups) {
  Stream stream;
  stream.add(make_state(rule_of("create rule r as from flows | stats v = count(), a = avg(bytes) by src_ip window 5m | where v >= 19 and a < 100"), {}));
  std::multiset<std::string> told;
  const FindingSink sink = [&](const Finding& f) {
    EXPECT_FALSE(f.is_partial);
    told.merge(rows_of(f));
  };
  flooded([&](const auto& batch) { stream.push(batch, kStart, sink); });
  EXPECT_TRUE(told.empty());
  stream.tick(kStart + kHour, sink);
  EXPECT_EQ(told, (std::multiset<std::string>{"10.0.0.1 22 60 ", "10.0.0.2 20 60 ", "10.0.0.3 19 60 "}));
}

// An alert of a group that is not whole says so.
TEST(Overflow, AlertsSayWhatIsALowerBound) {
  Watched life("create rule r as from flows | stats n = count() by src_ip window 5m | where n >= 20 alert by src_ip message '{src_ip} has {n}'");
  flooded([&](const auto& batch) { life.push(batch, kStart); });
  std::map<std::string, std::string> messages;
  for (const auto& [id, e] : life.alerts) messages[e.key] = e.message + (e.values.find("lower_bound") != std::string::npos ? " *" : "");
  EXPECT_EQ(messages, (std::map<std::string, std::string>{{"src_ip=10.0.0.1", "10.0.0.1 has 22"},
                                                          {"src_ip=10.0.0.2", "10.0.0.2 has 20"},
                                                          {"src_ip=10.0.0.4", "10.0.0.4 has 20 (at least: the rule's groups are at their bound) *"}}));
}

// Deaths in the middle: alerts of heavy keys go on as they were. Windows are made again of all their flows, so what was a lower bound may be whole.
TEST(Overflow, ADeathInTheFloodChangesNoAlertOfAHeavyKey) {
  const RulePtr rule = rule_of("create rule r as from flows | stats n = count(), d = dcount(dst_port) by src_ip window 5m | where n >= 20 and d > 5 alert by src_ip message '{src_ip} has {n} to {d}'");
  Watched life(rule), straight(rule);
  size_t pushed = 0;
  flooded([&](const auto& batch) {
    ++pushed;
    life.push(batch, kStart);
    straight.push(batch, kStart);
    if (pushed == kFlood / 2 || pushed == kFlood + 5) life.die();  // between, and when those behind the flood have begun
  });
  life.die();
  const auto checkpoint = checkpoint_of(life.stream->find("r")->checkpoint());
  ASSERT_TRUE(checkpoint);
  EXPECT_FALSE(checkpoint->held.empty());
  EXPECT_LE(checkpoint->held.size(), limits::kRuleHeldKeysMax);
  life.tick(kStart + kHour);
  straight.tick(kStart + kHour);
  const auto of = [](const Watched& w, const std::string& key) {
    for (const auto& [id, e] : w.alerts)
      if (e.key == key) return e;
    return Episode();
  };
  for (const char* key : {"src_ip=10.0.0.1", "src_ip=10.0.0.2"}) {
    EXPECT_FALSE(of(straight, key).id.empty()) << key;
    EXPECT_EQ(of(life, key), of(straight, key)) << key << " " << of(life, key).message << " / " << of(straight, key).message;
  }
  EXPECT_EQ(of(life, "src_ip=10.0.0.4").id, of(straight, "src_ip=10.0.0.4").id);
  for (const auto& [id, e] : life.alerts) EXPECT_TRUE(e.key == "src_ip=10.0.0.1" || e.key == "src_ip=10.0.0.2" || e.key == "src_ip=10.0.0.4" || e.key == "src_ip=10.0.0.5") << e.key;
}

// Held against a twin that counts every key: by sources at random, some of them often, with floods between them.
TEST(Overflow, ValuesAreTheTrueOnesOrLessByNoMoreThanIsSaid) {
  std::mt19937_64 dice(7);
  const auto rule = rule_of("create rule r as from flows | stats n = count() by src_ip window 5m");
  Groups groups(*rule->groups);
  std::map<uint32_t, uint64_t> twin;
  EvalContext context;
  LostGroups lost;
  const auto time_slot = rule->plan.window->time_slot;
  Stream stream;
  stream.add(std::make_unique<Taker>(rule, [&](const Chunk& ready, Worker&) {
    EXPECT_EQ(ready.slots[time_slot]->values<int64_t>()[0], kStart);
    groups.push(ready, context, nullptr);
  }));
  for (int round = 0; round < 60; ++round) {
    FlowBatchBuilder b;
    for (int i = 0; i < 500; ++i) {
      const uint32_t source = dice() % 3 ? static_cast<uint32_t>(dice()) | 0x80000000 : static_cast<uint32_t>(dice() % 40 * (dice() % 40));
      ++twin[source];
      b.begin_row();
      b.set_time(ColumnId::flow_end, kStart);
      b.set_ip(ColumnId::src_ip, IpAddress::v4(source));
    }
    stream.push(std::make_shared<const Batch>(b.finish()), kStart, [](const Finding&) {});
    if (groups.size() > 1'000) groups.keep_heaviest(500, {}, lost, context);
  }
  const Shortfall* const shortfall = groups.shortfall();
  ASSERT_TRUE(shortfall);
  EXPECT_LE(groups.size(), 1'500u);
  std::vector<uint32_t> all(groups.size());
  for (uint32_t g = 0; g < all.size(); ++g) all[g] = g;
  const Chunk rows = groups.rows(all, context);
  size_t whole = 0, lacking = 0;
  uint64_t heaviest_lost = 0;
  std::set<uint32_t> held;
  for (uint32_t g = 0; g < all.size(); ++g) {
    const auto address = parse_ip(cell(*rows.slots[0], rule->groups->keys[0].node->type, g));
    ASSERT_TRUE(address);
    const uint32_t source = address->v4_value();
    held.insert(source);
    const uint64_t n = rows.slots[1]->values<uint64_t>()[g];
    EXPECT_LE(n, twin[source]);
    EXPECT_GE(static_cast<double>(n) + shortfall->most(g, 0), static_cast<double>(twin[source])) << source;
    if (shortfall->is_whole(g)) EXPECT_EQ(n, twin[source]) << source;
    whole += shortfall->is_whole(g);
    lacking += n < twin[source];
  }
  EXPECT_EQ(shortfall->partial_groups(), all.size() - whole);
  EXPECT_GT(whole, 300u);
  EXPECT_GT(lacking, 20u);
  for (const auto& [source, n] : twin)
    if (!held.contains(source)) heaviest_lost = std::max(heaviest_lost, n);
  EXPECT_LE(static_cast<double>(heaviest_lost), shortfall->most()[0]);
  EXPECT_LT(shortfall->most()[0], 60) << "of 30,000";
}

TEST(Overflow, WhereAllRulesTogetherHaveLittleRoomTheLargeOnesGive) {
  const auto rule = rule_of("create rule r as from flows | stats n = count(), d = dcount(dst_port) by src_ip window 5m | where n >= 3");
  const auto state = make_state(rule, {});
  Room room = Room::plenty;
  size_t whole = 0, partial = 0;
  const FindingSink sink = [&](const Finding& f) { (f.is_partial ? partial : whole) += f.rows.rows; };
  Stream stream;
  stream.add(std::make_unique<Taker>(rule, [&](const Chunk& ready, Worker& worker) { EXPECT_TRUE(state->take(ready, worker, kTimestampMax, room, sink).ok()); }));
  const auto push = [&](std::shared_ptr<const Batch> batch) { stream.push(std::move(batch), kStart, sink); };
  uint32_t net = 0;
  const auto flood = [&] { push(sources(kFloodFrom + net++ * kRows, kRows, 0)); };
  room = Room::scarce;
  flood();
  EXPECT_LT(state->stats().bytes, limits::kRuleLetGoBytesMin);
  flood();
  EXPECT_EQ(state->stats().let_go_groups, 0u) << "there is little to gain";
  room = Room::plenty;
  while (state->stats().bytes < limits::kRuleLetGoBytesMin && net < 12) flood();
  EXPECT_EQ(state->stats().let_go_groups, 0u);
  const uint64_t groups = state->stats().groups;
  room = Room::scarce;
  flood();
  EXPECT_EQ(state->stats().let_go_groups, groups - groups / 2);
  push(flows_of(kAfter, 3, 0));
  EXPECT_EQ(whole, 1u);
  // Where there is none, flows are dropped, and nobody knows whose.
  room = Room::none;
  const uint64_t dropped = state->stats().dropped_rows;
  push(flows_of(kAfter, 3, 0));
  EXPECT_EQ(state->stats().dropped_rows, dropped + 3);
  room = Room::plenty;
  push(flows_of(kAfter, 1, 0));
  EXPECT_EQ(whole, 1u);
  EXPECT_EQ(partial, 1u);
  EXPECT_EQ(state->stats().partial_groups, state->stats().groups);
}

TEST(Overflow, DroppedRowsLeaveNoGroupWhole) {
  Shortfall s(2, 2, 10);
  s.begin(5);
  EXPECT_TRUE(s.is_whole(2));
  s.add(6);
  s.begin(6);
  EXPECT_FALSE(s.is_whole(3));
  EXPECT_EQ(s.most(3, 1), 0);
  s.renumber(std::vector<uint32_t>{kNoGroup, 0, kNoGroup, 1}, 2, {3, 4});
  EXPECT_TRUE(s.is_whole(0));
  EXPECT_EQ(s.partial_groups(), 1u);
  s.begin(6);
  EXPECT_EQ(s.most(2, 1), 4);
  s.add_all();
  s.begin(7);
  for (const uint32_t g : {0u, 1u, 2u, 3u}) EXPECT_FALSE(s.is_whole(g));
  EXPECT_EQ(s.partial_groups(), 4u);
}

TEST(Overflow, TheFilterKnowsWhatWasAddedAndTakesFewOthersForIt) {
  std::mt19937_64 dice(3);
  KeyFilter filter(1u << 16);
  std::vector<uint64_t> added(1u << 12);
  for (uint64_t& key : added) filter.add(key = dice());
  for (const uint64_t key : added) EXPECT_TRUE(filter.may_have(key));
  size_t wrong = 0;
  for (int i = 0; i < 100'000; ++i) wrong += filter.may_have(dice());
  EXPECT_LT(wrong, 1'000u);  // (1 - e^(-1/4))^4 = 0.24%
}

}  // namespace
}  // namespace sluice::query::continuous
