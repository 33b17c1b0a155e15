// Replay over a store that is mostly empty: what it finds is what walking through every hour and every answer finds, and what it walks
// through is what holds flows.
#include "query/continuous/replay.h"

#include <gtest/gtest.h>

#include <map>

#include "query/continuous/asked_rule.h"
#include "query/continuous/example.h"
#include "query/watch_list.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

using Alerts = std::vector<std::tuple<std::string, TimestampNs, TimestampNs, uint64_t, EpisodeState>>;
Alerts shown(const std::vector<Episode>& alerts) {
  Alerts out;
  for (const Episode& e : alerts) out.emplace_back(e.id, e.start, e.end, e.matches, e.state);
  std::sort(out.begin(), out.end());
  return out;
}

// The plain twin: every moment is asked, whether there can be anything or not.
Alerts asked_everywhere(const RulePtr& rule, const Stored& stored) {
  EpisodeBook book;
  std::map<std::string, Episode> alerts;
  const EpisodeSink on_change = [&](const Episode& e, EpisodeChange) {
    if (e.state != EpisodeState::pending) alerts[e.id] = e;
  };
  for (TimestampNs at = next_answer(*rule, stored.first + 1); at <= next_answer(*rule, stored.last + 1); at += rule->slide()) {
    ScanStats stats;
    const Status asked = ask_rule(*rule, at, stored.context, [&](const Finding& f) { book.take(f, 0, on_change); }, stats);
    EXPECT_TRUE(asked.ok()) << asked.error().message;
    book.settle(*rule, at - rule->window() + rule->slide(), 0, on_change);
  }
  std::vector<Episode> out;
  for (auto& [id, e] : alerts) out.push_back(e);
  return shown(out);
}

// Three bursts of a scan: two within minutes, and years between.
const char* const kSparse =
    "40 flows over 1m src_ip=10.0.0.9 dst_ip=10.1.0.1 dst_port=1.. proto=tcp; 40 flows at 20m over 1m src_ip=10.0.0.9 dst_ip=10.1.0.1 dst_port=1.. proto=tcp;"
    "40 flows at 1500d over 1m src_ip=10.0.0.9 dst_ip=10.1.0.1 dst_port=1.. proto=tcp; 40 flows at 3000d over 1m src_ip=10.0.0.9 dst_ip=10.1.0.1 dst_port=1.. proto=tcp";

TEST(Replay, WalksThroughHoursThatHoldFlows) {
  Stored stored(kSparse);
  for (const char* options : {"", "suppress 1h ", "keep_firing_for 30m ", "for 2m keep_firing_for 30m "}) {
    const auto rule = rule_of(std::string("create rule scan ") + options + "as proto == tcp | stats ports = dcount(dst_port) by src_ip window 1m | where ports >= 10 alert by src_ip");
    ASSERT_TRUE(rule);
    std::vector<double> shares;
    const auto replayed = replay(rule, {}, {}, stored.context, [&](double share) { shares.push_back(share); });
    ASSERT_TRUE(replayed.ok()) << replayed.error().message;
    EXPECT_LE(replayed->steps, 8u);
    EXPECT_GE(replayed->steps, 3u);
    ASSERT_FALSE(shares.empty());
    EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
    EXPECT_EQ(shares.back(), 1.0);
    // Each burst by itself comes to the same alerts, with the same ids: years do not reach across.
    std::vector<Episode> apart;
    for (const DurationNs at : {DurationNs{0}, 1500 * kDay, 3000 * kDay}) {
      auto burst = replay(rule, {stored.first + at - kHour, stored.first + at + 2 * kHour}, {}, stored.context);
      ASSERT_TRUE(burst.ok()) << burst.error().message;
      for (Episode& e : burst->alerts) apart.push_back(std::move(e));
    }
    // The last goes on at the end of all flows, as far as is known.
    Alerts whole = shown(replayed->alerts), parts = shown(apart);
    ASSERT_EQ(whole.size(), parts.size()) << options;
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(std::get<0>(whole[i]), std::get<0>(parts[i])) << options;
  }
}

TEST(Replay, AsksWhereFlowsAreInReach) {
  Stored stored(kSparse);
  const auto rule = rule_of("create rule scan every 10s over 1m as proto == tcp | stats ports = dcount(dst_port) by src_ip | where ports >= 10 alert by src_ip");
  ASSERT_TRUE(rule);
  const auto replayed = replay(rule, {}, {}, stored.context);
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  EXPECT_EQ(replayed->alerts.size(), 4u);
  // Of 26 million moments.
  EXPECT_LT(replayed->steps, 400u);
}

// Shorter gaps, so that every moment can be asked by the twin.
TEST(Replay, OfAskedRulesIsWhatEveryAnswerWouldHaveSaid) {
  Stored stored(
      "40 flows over 1m src_ip=10.0.0.9 dst_ip=10.1.0.1 dst_port=1.. proto=tcp exporter_ip=192.0.2.1; 10 flows at 30h over 5m src_ip=10.0.0.8 dst_ip=10.1.0.1 dst_port=22 proto=tcp exporter_ip=192.0.2.1;"
      "5 flows at 75h over 1h src_ip=10.0.0.9 dst_ip=10.1.0.2 dst_port=22 proto=tcp exporter_ip=192.0.2.1");
  for (const char* query : {
           "from flows | stats n = count() by src_ip",
           "from flows | stats n = count() | where n < 1",  // none is something, too
           "from flows | stats n = count() by src_ip | compare to 1d",
           "from flows | first_seen src_ip lookback 2d",
           "from flows | absent src_ip for 30m",
           "from flows | join (from flows last 40h | stats before = count() by src_ip) on src_ip | stats n = count(), before = max(before) by src_ip",
           "from flows | stats n = count() | join left (from flows last 40h | stats most = count()) on n == most",
       })
    for (const char* window : {"every 30m over 1h", "every 1h over 3h"}) {
      const auto rule = rule_of(std::string("create rule r ") + window + " as " + query + (std::string(query).find("src_ip") != std::string::npos ? " alert by src_ip" : ""));
      ASSERT_TRUE(rule) << query;
      const auto replayed = replay(rule, {}, {}, stored.context);
      ASSERT_TRUE(replayed.ok()) << query << ": " << replayed.error().message;
      EXPECT_EQ(shown(replayed->alerts), asked_everywhere(rule, stored)) << query << " " << window;
    }
}

TEST(Replay, OfTooManyAnswersIsRefusedAndNotBegun) {
  Stored stored(kSparse);
  const auto rule = rule_of("create rule none every 10s as from flows | stats n = count() | where n < 1");
  ASSERT_TRUE(rule);
  const auto replayed = replay(rule, {}, {}, stored.context);
  ASSERT_FALSE(replayed.ok());
  EXPECT_EQ(replayed.error().code, ErrorCode::too_large);
  EXPECT_NE(replayed.error().message.find(std::to_string(limits::kReplayAnswersMax)), std::string::npos) << replayed.error().message;
  // At the bound it begins, and is cancelled with its first answer; one more, and it does not begin.
  Stored two("1 flow; 1 flow at 60d");
  const auto wide = rule_of("create rule wide every 10s over 90d as from flows | stats n = count()");
  ASSERT_TRUE(wide);
  CancelToken cancel;
  cancel.cancel();
  two.context.cancel = &cancel;
  const TimestampNs first = next_answer(*wide, two.first + 1), from = first - wide->window();
  const auto at_bound = replay(wide, {from, first + (limits::kReplayAnswersMax - 1) * wide->slide()}, {}, two.context);
  ASSERT_FALSE(at_bound.ok());
  EXPECT_EQ(at_bound.error().code, ErrorCode::cancelled) << at_bound.error().message;
  const auto beyond = replay(wide, {from, first + limits::kReplayAnswersMax * wide->slide()}, {}, two.context);
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, ErrorCode::too_large) << beyond.error().message;
}

TEST(Replay, OfATableThatTellsOfNowIsRefused) {
  CompileOptions options;
  const Schema schema{Field{"name", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt}, Field{"lost", LogicalType::uint, PhysicalType::U64, nullptr, {}, std::nullopt}};
  options.tables = [&](std::string_view name) -> std::optional<Schema> { return name == "exporters" ? std::optional(schema) : std::nullopt; };
  const auto rule = rule_of("create rule losing every 1m as from exporters | where lost > 100 alert by name", options);
  ASSERT_TRUE(rule);
  Stored stored("1 flow");
  stored.context.system_tables = [&](std::string_view name) -> std::optional<Result<Batch>> {
    if (name != "exporters") return std::nullopt;
    Batch batch;
    batch.schema = std::make_shared<Schema>(schema);
    batch.columns.emplace_back(PhysicalType::Str);
    batch.columns.emplace_back(PhysicalType::U64);
    return Result<Batch>(std::move(batch));
  };
  const auto replayed = replay(rule, {}, {}, stored.context);
  ASSERT_FALSE(replayed.ok());
  EXPECT_NE(replayed.error().message.find("'exporters', a table that tells of now alone"), std::string::npos) << replayed.error().message;
}

// By event time, as offsets from the first flow: when each fired, and when it ended; -1: it has not.
std::vector<std::pair<DurationNs, DurationNs>> moments(const std::vector<Episode>& alerts, TimestampNs first) {
  std::vector<std::pair<DurationNs, DurationNs>> out;
  for (const Episode& e : alerts) out.emplace_back(e.fired_at - first, e.ended_at == 0 ? -1 : e.ended_at - first);
  return out;
}

TEST(Replay, SaysWhenTheWatermarkDecided) {
  Stored stored(
      "40 flows over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp; 40 flows at 1m over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp; 40 flows at 10m over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp;"
      "1 flow at 2h src_ip=10.0.0.1 proto=udp");
  const auto of = [&](const std::string& head, const std::string& grouping) {
    const auto rule = rule_of("create rule scan " + head + " as proto == tcp | stats ports = dcount(dst_port) by src_ip " + grouping + " | where ports >= 10 alert by src_ip");
    const auto replayed = replay(rule, {}, {}, stored.context);
    EXPECT_TRUE(replayed.ok());
    return moments(replayed->alerts, stored.first);
  };
  using Moments = std::vector<std::pair<DurationNs, DurationNs>>;
  EXPECT_EQ(of("", "window 1m"), (Moments{{kMinute, 3 * kMinute}, {11 * kMinute, 12 * kMinute}}));
  EXPECT_EQ(of("for 2m", "window 1m"), (Moments{{2 * kMinute, 3 * kMinute}}));
  // One that resumes fired once, and ended last.
  EXPECT_EQ(of("suppress 1h", "window 1m"), (Moments{{kMinute, 12 * kMinute}}));
  EXPECT_EQ(of("keep_firing_for 15m", "window 1m"), (Moments{{kMinute, 27 * kMinute}}));
  // The first window that overlaps begins before the flows.
  EXPECT_EQ(of("", "window 2m slide 1m"), (Moments{{kMinute, 4 * kMinute}, {11 * kMinute, 13 * kMinute}}));
  EXPECT_EQ(of("", "window session gap 5m"), (Moments{{6 * kMinute + 50 * kSecond, 6 * kMinute + 50 * kSecond}, {15 * kMinute + 50 * kSecond, 15 * kMinute + 50 * kSecond}}));
  // Ten ports are there at the second answer.
  EXPECT_EQ(of("every 10s over 1m", "").front(), (std::pair<DurationNs, DurationNs>{20 * kSecond, 160 * kSecond}));
  EXPECT_EQ(of("every 10s over 1m grace 5m", "").front(), (std::pair<DurationNs, DurationNs>{320 * kSecond, 460 * kSecond}));
  // What may go on behind the range, or behind the last flow, is not known to have ended.
  const auto rule = rule_of("create rule scan as proto == tcp | stats ports = dcount(dst_port) by src_ip window 1m | where ports >= 10 alert by src_ip");
  for (const auto& [to, ended] : std::vector<std::pair<TimestampNs, DurationNs>>{{11 * kMinute, -1}, {12 * kMinute, 12 * kMinute}, {kDay, 12 * kMinute}}) {
    const auto replayed = replay(rule, {stored.first + 5 * kMinute, stored.first + to}, {}, stored.context);
    ASSERT_TRUE(replayed.ok());
    EXPECT_EQ(moments(replayed->alerts, stored.first), (Moments{{11 * kMinute, ended}})) << to;
  }
  // What is open is decided now.
  stored.clock.set(stored.first + 30 * kSecond);
  EXPECT_EQ(of("", "window 1m").front().first, 30 * kSecond);
}

// What goes through an hour at a time comes to the alerts of one that saw flows as they came, with the same ids.
TEST(Replay, IsWhatLiveSaidWindowByWindow) {
  const char* const flows =
      "40 flows over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp; 40 flows at 10m over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp; 40 flows at 11m over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp;"
      "40 flows at 12m over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp; 40 flows at 30m over 50s src_ip=10.0.0.9 dst_port=1.. proto=tcp; 240 flows over 2h src_ip=10.0.0.1 proto=udp";
  Stored stored(flows);
  for (const char* options : {"", "suppress 1h", "for 2m", "for 2m suppress 1h", "for 2m keep_firing_for 5m", "for 3m keep_firing_for 15m suppress 1h"})
    for (const char* window : {"window 1m", "window 2m slide 1m", "window session gap 5m"}) {
      // (Of a mean nothing is known before the window is whole.)
      const auto rule = rule_of(std::string("create rule scan ") + options + " as proto == tcp | stats ports = dcount(dst_port), mean = avg(bytes) by src_ip " + window +
                                " | where ports >= 10 and mean >= 0 alert by src_ip");
      ASSERT_TRUE(rule);
      ASSERT_FALSE(rule->is_rising);
      EpisodeBook book(EpisodeClock::event);
      std::map<std::string, Episode> alerts;
      const EpisodeSink on_change = [&](const Episode& e, EpisodeChange) {
        if (e.state != EpisodeState::pending) alerts[e.id] = e;
      };
      Stream stream;
      auto state = make_state(rule, {});
      state->set_known_since(kEarliest);
      stream.add(std::move(state));
      const FindingSink on_finding = [&](const Finding& f) { book.take(f, kTimestampMax, on_change); };
      const auto settle = [&] { book.settle(*rule, stream.find(rule->name)->settled_before(), kTimestampMax, on_change); };
      const auto batches = *example_flows(flows, 10 * kSecond);
      for (const auto& batch : batches) {
        const auto times = batch->columns[*batch->find(ColumnId::flow_end)].values<int64_t>();
        stream.push(batch, times.back(), on_finding);
        settle();
      }
      const auto replayed = replay(rule, {}, {}, stored.context);
      ASSERT_TRUE(replayed.ok()) << replayed.error().message;
      std::vector<Episode> live;
      for (const auto& [id, e] : alerts) live.push_back(e);
      EXPECT_EQ(shown(replayed->alerts), shown(live)) << options << " " << window;
      std::sort(live.begin(), live.end(), [](const Episode& a, const Episode& b) { return std::tie(a.start, a.id) < std::tie(b.start, b.id); });
      EXPECT_EQ(moments(replayed->alerts, stored.first), moments(live, stored.first)) << options << " " << window;
    }
}

TEST(Replay, WarnsOfTablesThatItHasAsTheyAreToday) {
  CompileOptions options;
  const Schema now{Field{"name", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt}};
  const Schema ever{Field{"ts", LogicalType::timestamp, PhysicalType::I64, nullptr, {}, std::nullopt}, Field{"name", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt}};
  options.tables = [&](std::string_view name) { return name == "exporters" ? std::optional(now) : name == "alerts" ? std::optional(ever) : std::nullopt; };
  Stored stored("3 flows src_ip=10.0.0.9");
  stored.context.system_tables = [&](std::string_view name) -> std::optional<Result<Batch>> {
    if (name != "exporters" && name != "alerts") return std::nullopt;
    Batch batch;
    batch.schema = std::make_shared<Schema>(name == "alerts" ? ever : now);
    for (const Field& f : *batch.schema) batch.columns.emplace_back(f.physical);
    return Result<Batch>(std::move(batch));
  };
  const auto warnings = [&](const std::string& query) {
    const auto rule = rule_of("create rule r every 1m as " + query, options);
    const auto replayed = replay(rule, {}, {}, stored.context);
    EXPECT_TRUE(replayed.ok()) << replayed.error().message;
    std::string all;
    for (const std::string& w : replayed->warnings) all += w + "\n";
    return all;
  };
  EXPECT_EQ(warnings("from flows | where not src_region in (from exporters | select name)"),
            "the rule reads 'exporters', a table that tells of now alone: the replay has it as it is today, and not as it was\n");
  EXPECT_NE(warnings("from flows | join (from flows | where src_region in (from exporters | select name) | stats n = count() by src_ip) on src_ip").find("'exporters'"), std::string::npos);
  // Alerts have their time.
  EXPECT_EQ(warnings("from flows | where src_region in (from alerts | select name)"), "");
}

TEST(Replay, CountsWhatItRead) {
  Stored stored("40 flows over 1m src_ip=10.0.0.9 dst_port=1.. proto=tcp; 40 flows at 5h over 1m src_ip=10.0.0.9 dst_port=1.. proto=tcp");
  const auto stream = replay(rule_of("create rule r as proto == tcp | stats n = count() by src_ip window 1m | where n > 10 alert by src_ip"), {}, {}, stored.context);
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(stream->stats.rows_scanned, 80u);
  EXPECT_EQ(stream->stats.open_rows, 80u);
  EXPECT_GT(stream->stats.bytes_read, 0u);
  EXPECT_GT(stream->stats.memory_bytes, 0u);
  // The first flows are in two of its answers, the others in the last.
  const auto asked = replay(rule_of("create rule r every 1h over 2h as proto == tcp | stats n = count() by src_ip | where n > 10 alert by src_ip"), {}, {}, stored.context);
  ASSERT_TRUE(asked.ok());
  EXPECT_GE(asked->stats.rows_scanned, 120u);
  EXPECT_EQ(asked->stats.rows_matched, 120u);
}

}  // namespace
}  // namespace sluice::query::continuous
