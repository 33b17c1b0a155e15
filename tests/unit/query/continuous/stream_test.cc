// The property that rules stand on: what a window yields on a stream is what the ordinary engine answers when it is asked about the
// same window, whatever the order and the batches in which flows came, and whenever the process died in between.
#include "query/continuous/stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "grammar/parse.h"
#include "query/value.h"
#include "tests/unit/query/continuous/flows.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

// A rule's query with its window, and the same for one window alone.
struct Question {
  std::string before, window, after;
  std::string rule(const std::string& name) const { return "create rule " + name + " as " + before + " " + window + after; }
  std::string query() const { return before + after; }
};

std::vector<Question> questions() {
  return {
      {"from flows | where proto == tcp and tcp_flags == S | stats ports = dcount(dst_port), hosts = dcount(dst_ip) by src_ip", "window 5m slide 30s", " | where ports > 2 or hosts > 3"},
      {"dst_port == 22 and proto == tcp | stats n = count() by src_ip, dst_ip", "window 1m", " | where n >= 2"},
      {"from flows | stats total = sum(bytes), n = count(), biggest = max(bytes) by dst_port", "window 2m", " | where total > 100KB"},
      {"from flows | where proto == udp | stats bytes_per_flow = sum(bytes) / count(), n = count() by src_ip", "window 4m slide 1m", " | where n > 3 and bytes_per_flow < 4000"},
      {"from flows | extend low = dst_port < 1024 | where low | stats n = countif(tcp_flags has ack), m = avg(bytes), d = count_distinct(dst_ip) by src_region", "window 3m slide 1m", " | extend r = n / d | where r > 1 | drop m"},
      {"from flows | stats n = count(), who = first(src_ip), p = p95(bytes) by ip", "window 10m slide 2m", " | where n > 5"},
      {"from flows | stats n = count(), e = entropy(dst_port), v = values(dst_port, 5)", "window 1m", " | where n > 20"},
      {"from flows | stats s = stdev(bytes), a = arg_max(src_ip, bytes), r = rate(sum(bytes)) by proto", "window 6m slide 3m", ""},
      {"src_ip in 10.0.0.0/30 and src_region matches /^eu/ | stats n = count() by dst_port, src_region", "window 5m", " | where n > 1 | rename hits = n | select dst_port, hits"},
  };
}

class Continuous : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Continuous, WindowsAreWhatTheEngineAnswers) {
  std::mt19937_64 dice(GetParam());
  const auto flows = random_flows(dice, 3'000, 25 * kMinute, 50 * kSecond);
  const auto asked = questions();
  const bool restarts = GetParam() % 2 == 0;

  std::vector<RulePtr> rules;
  for (size_t i = 0; i < asked.size(); ++i) {
    rules.push_back(rule_of(asked[i].rule("r" + std::to_string(i))));
    ASSERT_TRUE(rules.back());
  }
  std::vector<Windows> settled(asked.size()), early(asked.size());
  const FindingSink sink = [&](const Finding& f) {
    const auto i = static_cast<size_t>(std::stoi(f.rule.name.substr(1)));
    const Rows rows = rows_of(f);
    if (f.is_settled)
      settled[i][f.window] = rows;  // again after a late flow or a restart: the last word counts
    else
      early[i][f.window].insert(rows.begin(), rows.end());
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
    now = flows[at - 1].end + kMinute;
    // A death between the append and the rules: the flows are in the store, and nothing else has seen them.
    if (restarts && dice() % 6 == 0) {
      stream = made_again(*stream, rules, snapshot, now, sink);
      stream->watermarks().see(*batch, now);
      stream->tick(now, sink);
      continue;
    }
    stream->push(batch, now, sink);
  }
  stream->tick(now + 2 * kHour, sink);

  for (size_t i = 0; i < asked.size(); ++i) {
    const DurationNs length = rules[i]->window(), slide = rules[i]->slide();
    size_t matching = 0;
    for (TimestampNs w = slide_start(kStart - length, slide); w < kStart + 26 * kMinute; w += slide) {
      Rows expected = ask(asked[i].query(), {w, w + length}, snapshot);
      // Without a key the engine has a row for no flows at all, and a stream has no such window.
      if (!rules[i]->groups->keys.empty() || ask("from flows", {w, w + length}, snapshot).size() > 0)
        EXPECT_EQ(settled[i].contains(w) ? settled[i][w] : Rows(), expected) << asked[i].rule("r") << " at " << format_timestamp(w) << " seed " << GetParam();
      matching += expected.size();
    }
    EXPECT_GT(matching, 0u) << asked[i].rule("r");
    EXPECT_EQ(stream->find(rules[i]->name)->stats().late_rows, 0u);
    if (!rules[i]->is_rising) EXPECT_TRUE(early[i].empty()) << asked[i].rule("r");
    // What alerted early is there when the window settles (with later values).
    for (const auto& [w, rows] : early[i])
      if (rows.size() > 0) EXPECT_TRUE(settled[i].contains(w)) << asked[i].rule("r") << " at " << format_timestamp(w);
  }
  EXPECT_GT(early[0].size(), 5u);
  EXPECT_GT(early[1].size(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Continuous, ::testing::Range<uint64_t>(1, 9));

TEST(Stream, RisingRulesAreKnown) {
  const auto is_rising = [](const std::string& query) { return rule_of("create rule r as " + query)->is_rising; };
  EXPECT_TRUE(is_rising("from flows | stats n = count() by src_ip window 1m | where n > 5"));
  EXPECT_TRUE(is_rising("from flows | stats n = count() by src_ip window 1m | where 5 <= n"));
  EXPECT_TRUE(is_rising("from flows | stats b = sum(bytes), d = dcount(dst_ip) by src_ip, dst_port window 1m | where (b > 1GB or d > 10) and dst_port == 22"));
  EXPECT_TRUE(is_rising("from flows | stats b = rate(sum(bytes)) by src_ip window 1m | where b * 8 > 10Mbps"));
  EXPECT_TRUE(is_rising("from flows | stats count() by src_ip window 1m | where count() > 5"));
  EXPECT_TRUE(is_rising("dst_port == 23"));
  EXPECT_FALSE(is_rising("from flows | stats n = count() by src_ip window 1m | where n < 5"));
  EXPECT_FALSE(is_rising("from flows | stats n = count() by src_ip window 1m | where n == 5"));
  EXPECT_FALSE(is_rising("from flows | stats n = count() by src_ip window 1m | where not n > 5"));
  EXPECT_FALSE(is_rising("from flows | stats a = avg(bytes) by src_ip window 1m | where a > 5"));
  EXPECT_FALSE(is_rising("from flows | stats n = count(), m = countif(proto == tcp) by src_ip window 1m | extend r = m / n | where r > 5"));
  EXPECT_FALSE(is_rising("from flows | extend bytes = 5 - dst_port | stats b = sum(bytes) by src_ip window 1m | where b > 5"));
}

TEST(Stream, RefusesWhatCannotStream) {
  struct Case {
    const char *query, *message, *marked;
  };
  const Case cases[] = {
      {"from flows last 1h | where dst_port == 22", "a rule has no time range", "last 1h"},
      {"from flows | sort bytes", "a rule cannot run 'sort' on a stream: it needs the whole table", "sort"},
      {"from flows | stats n = count() by src_ip window 1m | top 5 src_ip by sum(n)", "a rule cannot run 'top'", "top"},
      {"from flows | distinct src_ip", "what it has seen would grow for ever", "distinct"},
      {"from flows | stats n = count() by src_ip", "a rule's stats needs a window", "stats n = count() by src_ip"},
      {"from flows | stats n = count() by src_ip window 1m | stats m = max(n) window 5m", "a rule cannot run 'stats'", "stats"},
      {"from flows | stats n = count() by src_ip window 5m slide 2m", "a whole number of times", "2m"},
      {"from flows | stats n = count() by src_ip window session gap 7h", "the gap of a session window is at most 6h", "7h"},
      {"from flows | stats n = count() by ip window session gap 5m", "sessions need to know which side is meant", "ip"},
      {"from flows | stats n = count(), session = max(bytes) by src_ip window session gap 5m", "two columns are called 'session'", "session = max(bytes)"},
      {"from flows | first_seen src_ip lookback 1d | stats n = count() by src_ip window session gap 5m", "first_seen in a rule goes with windows that stand side by side", "first_seen"},
      {"from flows | stats n = count() by src_ip window 8d", "a window is at most 1w", "window 8d"},
      {"from flows | where src_prt == 5", "unknown column 'src_prt'", "src_prt"},
      {"from flows | where src_ip in @bad", "there is no list '@bad'", "@bad"},
      {"from flows | where flow_end > now() - 1h", "now() in a rule", "flow_end > now() - 1h"},
      {"from flows | where bytes > 'x'", "", "'x'"},
      {"dst_port == 22 alert by src_ip message '{nobody}'", "unknown column 'nobody'", "'{nobody}'"},
      {"from flows | stats n = count() by src_ip window 1m alert by dst_ip", "no column 'dst_ip' to alert by", "dst_ip"},
      {"from flows | stats n = count() by src_ip window 1m alert by src_ip message 'x {y}'", "the message names 'y'", "'x {y}'"},
      {"dst_port == 22 alert by src_ip surpress 1h", "a rule has no option 'surpress'", "surpress"},
      {"dst_port == 22 alert by src_ip suppress 8d", "'suppress' is at most 1w", "8d"},
  };
  for (const Case& c : cases) {
    const std::string text = std::string("create rule r as ") + c.query;
    auto parsed = grammar::parse(text);
    auto* statement = std::get_if<grammar::Statement>(&parsed);
    ASSERT_TRUE(statement) << text << ": " << std::get<grammar::SyntaxError>(parsed).text();
    auto compiled = compile_rule(*statement->as<grammar::CreateRule>(), text);
    const auto* error = std::get_if<QueryError>(&compiled);
    ASSERT_TRUE(error) << text;
    EXPECT_NE(error->message.find(c.message), std::string::npos) << error->message;
    ASSERT_TRUE(error->span) << text;
    EXPECT_EQ(text.substr(error->span->offset, error->span->length), c.marked) << error->message;
  }
}

TEST(Stream, LateFlowsCountWithinGraceAndAreCountedBeyond) {
  const auto rule = rule_of("create rule r grace 2m as from flows | stats n = count(), a = avg(bytes) by src_ip window 1m | where a > 0");
  Stream stream;
  stream.add(make_state(rule, {}));
  std::vector<std::pair<TimestampNs, std::string>> told;
  const FindingSink sink = [&](const Finding& f) {
    for (const auto& line : rows_of(f)) told.emplace_back(f.window, line);
  };
  const auto push = [&](std::vector<Flow> flows, TimestampNs now) { stream.push(batch_of(flows), now, sink); };
  push(plain({10 * kSecond, 20 * kSecond}), kStart);
  EXPECT_TRUE(told.empty());
  // A minute of tolerance behind the newest flow.
  push(plain({130 * kSecond}), kStart + 130 * kSecond);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].second, "10.0.0.1 2 100 ");
  push(plain({15 * kSecond}), kStart + 135 * kSecond);
  push(plain({160 * kSecond}), kStart + 160 * kSecond);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[1].second, "10.0.0.1 3 100 ");
  EXPECT_EQ(stream.find("r")->stats().late_rows, 0u);
  push(plain({5 * kMinute}), kStart + 5 * kMinute);
  push(plain({15 * kSecond}), kStart + 5 * kMinute);
  EXPECT_EQ(stream.find("r")->stats().late_rows, 1u);
}

TEST(Stream, OneSilentSourceDoesNotHoldWindowsForEver) {
  const auto rule = rule_of("create rule r as from flows | stats a = avg(bytes) by src_ip window 1m | where a > 0");
  Stream stream;
  stream.add(make_state(rule, {}));
  size_t told = 0;
  const FindingSink sink = [&](const Finding&) { ++told; };
  const auto of = [](DurationNs t, Source source) {
    FlowBatchBuilder b;
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart + t);
    b.set_enum(ColumnId::source, source);
    b.set_uint(ColumnId::raw_bytes, 1);
    return std::make_shared<const Batch>(b.finish());
  };
  stream.push(of(0, Source::aws_vpc), kStart + 10 * kMinute, sink);
  stream.push(of(10 * kMinute, Source::netflow9), kStart + 10 * kMinute, sink);
  EXPECT_EQ(told, 0u);  // the cloud's flows are ten minutes old, and more of them may come
  stream.push(of(20 * kMinute, Source::netflow9), kStart + 20 * kMinute, sink);
  EXPECT_EQ(told, 0u);
  stream.push(of(25 * kMinute, Source::netflow9), kStart + 25 * kMinute, sink);
  EXPECT_EQ(told, 3u);  // silent for a quarter of an hour
  stream.tick(kStart + 26 * kMinute, sink);
  EXPECT_EQ(told, 3u);
  stream.tick(kStart + 45 * kMinute, sink);
  EXPECT_EQ(told, 4u);  // all are: time goes on by the clock
}

TEST(Watermarks, SilenceGoesOnOverRestartsWithoutTheTimeBetweenThem) {
  Watermarks before;
  const auto flow = plain({0});
  before.see(*batch_of(flow), kStart);
  EXPECT_TRUE(before.waited_for(kStart + 14 * kMinute));
  EXPECT_FALSE(before.waited_for(kStart + 15 * kMinute));
  // Ten minutes of silence, a day without the server, and five more.
  Watermarks after;
  auto [key, state] = *before.sources().begin();
  state.unheard = kDay;
  after.restore(key, state);
  const TimestampNs up = kStart + kDay + 10 * kMinute;
  EXPECT_EQ(after.at(up), before.at(kStart + 10 * kMinute));
  EXPECT_EQ(after.waited_for(up), key);
  EXPECT_EQ(after.at(up + 4 * kMinute), kStart - limits::kRuleTolerance);
  EXPECT_FALSE(after.waited_for(up + 5 * kMinute));
  EXPECT_EQ(after.at(up + 6 * kMinute), kStart + 16 * kMinute - limits::kRuleTolerance);
  // What comes is heard.
  after.see(*batch_of(flow), up + 7 * kMinute);
  EXPECT_EQ(Watermarks::silent_for(after.sources().at(key), up + 7 * kMinute), 0);
  EXPECT_EQ(after.sources().at(key).unheard, 0);
}

TEST(Stream, WhatExceptionsLeaveOutIsCounted) {
  Stream stream;
  const auto rule = rule_of("create rule r except (\"src_ip == 10.0.0.1 or src_ip == 10.0.0.2 -- ours\", \"src_ip == 10.0.0.3 until 2026-11-20T08:00:30Z\", \"bytes > 1000\") as dst_port == 22 | "
                            "stats n = count() by src_ip window 1m");
  EXPECT_EQ(rule->exceptions.size(), 3u);
  stream.add(make_state(rule, {}));
  std::multiset<std::string> told;
  const FindingSink sink = [&](const Finding& f) {
    if (f.is_settled) told.merge(rows_of(f));
  };
  for (uint32_t src = 1; src <= 4; ++src) stream.push(batch_of(plain({0, kMinute}, src)), kStart, sink);
  std::vector<Flow> large = plain({2 * kSecond}, 4), elsewhere = plain({2 * kSecond}, 1);
  large[0].bytes = 5'000;
  elsewhere[0].port = 23;
  stream.push(batch_of(large), kStart, sink);
  stream.push(batch_of(elsewhere), kStart, sink);
  stream.tick(kStart + kHour, sink);
  EXPECT_EQ(told, (std::multiset<std::string>{"10.0.0.3 1 ", "10.0.0.4 1 ", "10.0.0.4 1 "}));
  EXPECT_EQ(stream.find("r")->stats().excepted_rows, 6u);
  EXPECT_EQ(stream.find("r")->stats().rows, 3u);
}

TEST(Stream, TestsAreShared) {
  Stream stream;
  const auto add = [&](const std::string& name, const std::string& query) { stream.add(make_state(rule_of("create rule " + name + " as " + query), {})); };
  add("a", "proto == tcp and dst_port == 22");
  EXPECT_EQ(stream.distinct_tests(), 2u);
  add("b", "from flows | where destination.port == ssh | where proto == 6 and bytes > 5");
  EXPECT_EQ(stream.distinct_tests(), 3u);
  add("c", "proto == tcp and dst_port == 23");
  EXPECT_EQ(stream.distinct_tests(), 4u);
  stream.remove("a");
  EXPECT_EQ(stream.distinct_tests(), 4u);
  stream.remove("c");
  EXPECT_EQ(stream.distinct_tests(), 3u);
  size_t found = 0;
  stream.push(batch_of(plain({0, kSecond})), kStart, [&](const Finding& f) {
    EXPECT_EQ(f.rule.name, "b");
    found += f.rows.rows;
  });
  EXPECT_EQ(found, 1u);
}

}  // namespace
}  // namespace sluice::query::continuous
