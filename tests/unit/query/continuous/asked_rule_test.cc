// Rules that are asked again and again: what an answer says is what the engine says of the same range, and live, replay and examples
// come to the same alerts.
#include "query/continuous/asked_rule.h"

#include <gtest/gtest.h>

#include <set>

#include "query/continuous/example.h"
#include "query/continuous/replay.h"
#include "query/watch_list.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

// A client that calls home each minute, one that does at random, a scan that becomes a login, a service that stops.
const char* const kFlows =
    "180 flows over 179m src_ip=10.0.0.5 dst_ip=203.0.113.7 dst_port=443 proto=tcp bytes=900;"
    "200 flows over 3h src_ip=10.0.0.6 dst_ip=198.51.100.1..198.51.100.40 dst_port=80|443 proto=tcp bytes=100..9000;"
    "30 flows at 70m over 1m src_ip=10.0.0.9 dst_ip=10.1.0.1 dst_port=1.. proto=tcp tcp_flags=S;"
    "2 flows at 72m src_ip=10.0.0.9 dst_ip=10.1.0.1 dst_port=22 proto=tcp packets=80;"
    "40 flows over 80m src_ip=10.1.0.2 dst_ip=10.1.0.3 dst_port=5432 proto=tcp;"
    "1 flow at 150m src_ip=10.0.0.77 dst_ip=10.1.0.3 dst_port=3389 proto=tcp";

struct Case {
  const char *every, *over, *query;
};
const Case kCases[] = {
    {"1h", "3h", "from flows | beacons by src_ip, dst_ip, dst_port min 20 | where score > 0.5"},
    {"30m", "30m", "from flows | first_seen src_ip, dst_port lookback 2h"},
    {"10m", "1h", "from flows | where dst_port == 5432 | absent src_ip, dst_port for 15m"},
    {"10m", "30m", "from flows | sequence by src_ip within 10m [tcp_flags == S and proto == tcp] then [dst_port == 22]"},
    {"1h", "1h", "from flows | top 3 src_ip by sum(bytes)"},
    {"30m", "1h", "from flows | sessions by src_ip gap 10m | stats n = count() by src_ip, session"},
    {"30m", "30m", "from flows | stats b = sum(bytes), n = count() by src_ip | compare to 30m"},
    {"1h", "1h", "from flows | join semi (from flows | where dst_port == 22 | stats n = count() by src_ip) on src_ip | stats n = count() by src_ip"},
    {"15m", "15m", "from flows | stats n = count() by src_ip | sort n desc | limit 2"},
};

TEST(AskedRule, SaysWhatTheEngineSaysOfTheSameRange) {
  Stored stored(kFlows);
  for (const Case& c : kCases) {
    const auto rule = rule_of(std::string("create rule r every ") + c.every + " over " + c.over + " as " + c.query);
    ASSERT_TRUE(rule) << c.query;
    EXPECT_TRUE(rule->is_asked);
    size_t found = 0;
    for (TimestampNs at = next_answer(*rule, stored.first + 1); at < stored.last + kHour; at += rule->slide()) {
      std::multiset<std::string> lines;
      ScanStats stats;
      const Status status = ask_rule(*rule, at, stored.context, [&](const Finding& f) {
        EXPECT_EQ(f.window, at - rule->window());
        EXPECT_TRUE(f.is_settled);
        lines.merge(lines_of(f.rows, f.columns()));
      }, stats);
      ASSERT_TRUE(status.ok()) << c.query << ": " << status.error().message;
      QueryRequest request;
      std::string text = c.query;
      text.insert(std::string("from flows").size(), " between " + format_timestamp(at - rule->window()) + " and " + format_timestamp(at));
      request.text = text;
      request.options.all_columns = true;
      LinesSink sink;
      QuerySummary summary;
      const auto error = run(request, stored.context, sink, summary);
      ASSERT_FALSE(error) << text << ": " << error->message;
      EXPECT_EQ(lines, sink.lines) << text;
      found += lines.size();
    }
    EXPECT_GT(found, 0u) << c.query;
  }
}

// Asked at each moment as the flows come in, or afterwards over all of them: the same alerts by the same ids.
TEST(AskedRule, ReplayIsWhatLiveWouldHaveSaid) {
  Stored stored(kFlows);
  for (const Case& c : kCases) {
    const auto rule = rule_of(std::string("create rule r every ") + c.every + " over " + c.over + " as " + c.query + (std::string(c.query).find("src_ip") != std::string::npos ? " alert by src_ip" : ""));
    ASSERT_TRUE(rule) << c.query;
    EpisodeBook book;
    std::map<std::string, Episode> live;
    const EpisodeSink on_change = [&](const Episode& e, EpisodeChange) { live[e.id] = e; };
    for (TimestampNs at = next_answer(*rule, stored.first + 1); at <= next_answer(*rule, stored.last + 1); at += rule->slide()) {
      // As far as flows have come by then.
      Stored now("1 flow");
      now.snapshot.open.clear();
      for (const auto& b : stored.snapshot.open)
        if (b->columns[*b->find(ColumnId::flow_end)].values<int64_t>()[0] < at) now.snapshot.open.push_back(b);
      ScanStats stats;
      ASSERT_TRUE(ask_rule(*rule, at, now.context, [&](const Finding& f) { book.take(f, 0, on_change); }, stats).ok());
      book.settle(*rule, at - rule->window() + rule->slide(), 0, on_change);
    }
    const auto replayed = replay(rule, {}, {}, stored.context);
    ASSERT_TRUE(replayed.ok()) << replayed.error().message;
    ASSERT_EQ(replayed->alerts.size(), live.size()) << c.query;
    for (const Episode& e : replayed->alerts) {
      ASSERT_TRUE(live.contains(e.id)) << c.query << " " << e.key;
      EXPECT_EQ(live[e.id].message, e.message);
      EXPECT_EQ(live[e.id].start, e.start);
      EXPECT_EQ(live[e.id].end, e.end);
      EXPECT_EQ(live[e.id].state, e.state);
    }
  }
}

TEST(AskedRule, ASilentServiceIsToldApartFromASilentSource) {
  const auto rule = rule_of("create rule gone every 5m over 1h as dst_port == 5432 | absent dst_ip for 20m alert by dst_ip message '{dst_ip} is silent'");
  ASSERT_TRUE(rule);
  // The router goes on to tell of others.
  auto alerts = run_example(rule, "30 flows over 20m dst_ip=10.1.0.3 dst_port=5432 exporter_ip=192.0.2.1; 90 flows over 90m dst_ip=10.1.0.4 dst_port=80 exporter_ip=192.0.2.1");
  ASSERT_TRUE(alerts.ok()) << alerts.error().message;
  ASSERT_EQ(alerts->size(), 1u);
  EXPECT_EQ(alerts->front().message, "10.1.0.3 is silent");
  // The router itself is silent, and another one is not.
  alerts = run_example(rule, "30 flows over 20m dst_ip=10.1.0.3 dst_port=5432 exporter_ip=192.0.2.1; 90 flows over 90m dst_ip=10.1.0.4 dst_port=80 exporter_ip=192.0.2.2");
  ASSERT_TRUE(alerts.ok()) << alerts.error().message;
  EXPECT_TRUE(alerts->empty());
}

TEST(AskedRule, SessionsFollowActivity) {
  // Ten minutes of activity, silence of eleven, and ten again; another key all the while.
  Stored stored("11 flows over 10m src_ip=10.0.0.1; 6 flows at 21m over 10m src_ip=10.0.0.1; 31 flows over 31m src_ip=10.0.0.2");
  QueryRequest request;
  request.text = "from flows | sessions by src_ip gap 10m | stats n = count(), lasted = max(ts) - min(ts) by src_ip, session | drop session";
  LinesSink sink;
  QuerySummary summary;
  auto error = run(request, stored.context, sink, summary);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(sink.lines, (std::multiset<std::string>{"10.0.0.1 11 10m ", "10.0.0.1 6 10m ", "10.0.0.2 31 31m "}));
  // One minute more, and it is one run.
  request.text = "from flows | sessions by src_ip gap 11m | stats n = count() by src_ip, session | drop session";
  LinesSink longer;
  error = run(request, stored.context, longer, summary);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(longer.lines, (std::multiset<std::string>{"10.0.0.1 17 ", "10.0.0.2 31 "}));
  // Whatever the batches: a row at a time.
  request.options.batch_rows = 1;
  LinesSink tiny;
  error = run(request, stored.context, tiny, summary);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(tiny.lines, longer.lines);
}

TEST(AskedRule, AlertsShowTheirFlows) {
  const auto rule = rule_of("create rule b every 1h over 3h as proto == tcp | beacons by src_ip, dst_ip, dst_port min 20 | where score > 0.8 alert by src_ip, dst_ip");
  ASSERT_TRUE(rule);
  const auto alerts = run_example(rule, kFlows);
  ASSERT_TRUE(alerts.ok()) << alerts.error().message;
  ASSERT_FALSE(alerts->empty());
  Stored stored(kFlows);
  QueryRequest request;
  request.text = alerts->front().query + " | stats n = count()";
  EXPECT_NE(request.text.find("src_ip == 10.0.0.5 and dst_ip == 203.0.113.7"), std::string::npos) << request.text;
  LinesSink sink;
  QuerySummary summary;
  EXPECT_FALSE(run(request, stored.context, sink, summary));
  ASSERT_EQ(sink.lines.size(), 1u);
  EXPECT_GT(std::stoi(*sink.lines.begin()), 50);
}

TEST(AskedRule, SaysWhatItCannotBe) {
  EXPECT_EQ(refused("create rule r every 1s as dst_port == 1 | stats n = count()"), "'every' is at least 10s");
  EXPECT_EQ(refused("create rule r over 1h as dst_port == 1"), "'over' goes with 'every'");
  EXPECT_EQ(refused("create rule r every 1h over 5m as dst_port == 1"), "what lies between two answers would be in neither");
  EXPECT_EQ(refused("create rule r every 1h over 91d as dst_port == 1"), "'over' is at most " + format_duration(limits::kRuleOverMax));
  EXPECT_EQ(refused("create rule r every 1h as from flows last 5m | stats n = count()"), "a rule has no time range: it never ends");
  EXPECT_EQ(refused("create rule r every 1h as from flows | where flow_end > now() - 5m | stats n = count()"), "now() in a rule would be another moment at each answer, and in each replay");
  EXPECT_EQ(refused("create rule r every 1h as from flows | stats n = count() window 5m"), "a rule that is asked every so often has no other window");
  EXPECT_EQ(refused("create rule r every 1h as from flows | stats n = count() by src_ip alert by dst_ip"), "the rule's rows have no column 'dst_ip' to alert by");
  // What does not run on a stream says what would.
  auto rule = compiled("create rule r as from flows | beacons by src_ip, dst_ip, dst_port");
  ASSERT_TRUE(std::holds_alternative<QueryError>(rule));
  EXPECT_EQ(std::get<QueryError>(rule).hint, "with 'every 5m over 1h' before 'as' it is asked again and again");
}

TEST(AskedRule, ALimitEndsOneAnswerAndIsSaid) {
  Stored stored("100001 flows over 1m src_ip=10.0.0.1.. dst_port=1");
  const auto rule = rule_of("create rule r every 1h as from flows | stats n = count() by src_ip");
  ASSERT_TRUE(rule);
  ScanStats stats;
  const Status status = ask_rule(*rule, next_answer(*rule, stored.last), stored.context, [](const Finding&) { FAIL() << "half an answer"; }, stats);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("100000"), std::string::npos) << status.error().message;
}

TEST(AskedRule, AsksAlerts) {
  CompileOptions options;
  options.tables = [](std::string_view name) -> std::optional<Schema> {
    if (name != "alerts") return std::nullopt;
    return Schema{Field{"ts", LogicalType::timestamp, PhysicalType::I64, nullptr, {}, std::nullopt}, Field{"rule", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt},
                  Field{"key", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt}};
  };
  const auto rule = rule_of("create rule several every 1m over 1h as from alerts | stats rules = count_distinct(rule) by key | where rules >= 2 alert by key", options);
  ASSERT_TRUE(rule);
  Stored stored("1 flow");
  const TimestampNs at = next_answer(*rule, stored.last);
  stored.context.system_tables = [&](std::string_view) -> std::optional<Result<Batch>> {
    Batch batch;
    batch.schema = std::make_shared<Schema>(*options.tables("alerts"));
    Column ts(PhysicalType::I64), name(PhysicalType::Str), key(PhysicalType::Str);
    const auto row = [&](TimestampNs t, const char* r, const char* k) { ts.append(t), name.append_string(r), key.append_string(k), ++batch.rows; };
    row(at - kMinute, "a", "src_ip=10.0.0.1"), row(at - 50 * kMinute, "b", "src_ip=10.0.0.1");
    row(at - kMinute, "a", "src_ip=10.0.0.2"), row(at - 61 * kMinute, "b", "src_ip=10.0.0.2");
    for (Column* c : {&ts, &name, &key}) batch.columns.push_back(std::move(*c));
    return Result<Batch>(std::move(batch));
  };
  std::multiset<std::string> lines;
  ScanStats stats;
  const Status status = ask_rule(*rule, at, stored.context, [&](const Finding& f) { lines.merge(lines_of(f.rows, f.columns())); }, stats);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(lines, (std::multiset<std::string>{"src_ip=10.0.0.1 2 "}));
  EXPECT_EQ(refused("create rule r as from alerts | where key == 'x'", options), "rules over 'alerts' are asked again and again");
  // Flows of who has alerts: in parentheses, beside a join and behind `in`.
  for (const char* query : {"from flows | where src_ip in (from alerts | select to_ip(extract(key, \"src_ip=([^ ]+)\"))) | stats n = count() by src_ip",
                            "from flows | stats n = count() by src_ip | join semi (from alerts | extend who = to_ip(extract(key, \"src_ip=([^ ]+)\"))) on src_ip == who"}) {
    const auto follows = rule_of(std::string("create rule follows every 1m over 1h as ") + query + " alert by src_ip", options);
    ASSERT_TRUE(follows) << query;
    Stored two("1 flow src_ip=10.0.0.1; 1 flow src_ip=10.0.0.7");
    two.context.system_tables = stored.context.system_tables;
    lines.clear();
    const Status asked = ask_rule(*follows, next_answer(*follows, two.last + 1), two.context, [&](const Finding& f) { lines.merge(lines_of(f.rows, f.columns())); }, stats);
    ASSERT_TRUE(asked.ok()) << asked.error().message;
    EXPECT_EQ(lines, (std::multiset<std::string>{"10.0.0.1 1 "})) << query;
  }
  EXPECT_EQ(refused("create rule r as src_ip in (from flows | select dst_ip) alert by src_ip", options), "a rule cannot ask a query in parentheses on a stream");
  EXPECT_EQ(refused("create rule r every 1m as src_ip in (from alrts | select key) | stats n = count() by src_ip", options), "unknown source 'alrts'");
  // The values of parameters stand in the query that shows an alert's flows, in parentheses too.
  const auto valued = rule_of("create rule valued every 1m over 1h parameters (\"port=53\") as from flows | where src_ip in (from flows | where dst_port == $port | select src_ip) | stats n = count() by src_ip alert by src_ip", options);
  ASSERT_TRUE(valued);
  EXPECT_NE(flows_query(*valued, {"10.0.0.1"}, {at - kHour, at}).find("dst_port == 53"), std::string::npos) << flows_query(*valued, {"10.0.0.1"}, {at - kHour, at});
}

// --- watch-lists

TEST(Lists, AreReadByRules) {
  auto book = std::make_shared<ListBook>();
  auto list = make_watch_list("Bad", {"203.0.113.0/24", "198.51.100.7"});
  ASSERT_TRUE(list.ok());
  const auto with = book->with(std::make_shared<WatchList>(*list));
  CompileOptions options;
  options.lists = with.get();
  const std::string text = "create rule watched as dst_ip in @bad and proto == tcp alert by src_ip, dst_ip";
  const auto rule = rule_of(text, options);
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule->lists, std::vector<std::string>{"bad"});
  options.lists = book.get();
  auto unknown = compiled(text, options);
  ASSERT_TRUE(std::holds_alternative<QueryError>(unknown));
  EXPECT_EQ(std::get<QueryError>(unknown).message, "there is no list '@bad'");
  EXPECT_EQ(std::get<QueryError>(unknown).span->column, 34u);
  options.any_list = true;
  EXPECT_TRUE(rule_of(text, options));
}

TEST(Lists, AreSaidByExamples) {
  CompileOptions options;
  options.any_list = true;
  for (const char* head : {"create rule watched as dst_ip in @bad alert by dst_ip", "create rule watched every 1m as dst_ip in @bad | stats n = count() by dst_ip alert by dst_ip"}) {
    const auto rule = rule_of(head, options);
    ASSERT_TRUE(rule);
    const auto count = [&](const std::string& example) {
      const auto alerts = run_example(rule, example);
      EXPECT_TRUE(alerts.ok()) << alerts.error().message;
      return alerts.ok() ? alerts->size() : 999;
    };
    EXPECT_EQ(count("@bad = 203.0.113.0/24, 198.51.100.7; 1 flow dst_ip=203.0.113.9; 1 flow dst_ip=198.51.100.7; 1 flow dst_ip=198.51.100.8"), 2u);
    EXPECT_EQ(count("@other = 203.0.113.0/24; 1 flow dst_ip=203.0.113.9"), 0u);
    EXPECT_FALSE(run_example(rule, "@bad 203.0.113.0/24; 1 flow").ok());
    EXPECT_FALSE(run_example(rule, "@bad = 10.0.0.9-10.0.0.1; 1 flow").ok());
  }
}

// A ratio has a floor where its condition has one; and volumes are those of the network, not of the sample.
TEST(Thresholds, RatiosHaveAFloorAndRatesAreScaled) {
  const auto ratio = rule_of("create rule failing as proto == tcp | stats n = count(), bad = countif(action == reject) by src_ip window 1m | where n >= 20 and bad / n > 0.5 alert by src_ip");
  ASSERT_TRUE(ratio);
  EXPECT_EQ(run_example(ratio, "19 flows over 10s src_ip=10.0.0.1 proto=tcp action=reject")->size(), 0u);
  EXPECT_EQ(run_example(ratio, "20 flows over 10s src_ip=10.0.0.1 proto=tcp action=reject")->size(), 1u);
  EXPECT_EQ(run_example(ratio, "40 flows over 10s src_ip=10.0.0.1 proto=tcp action=reject|accept")->size(), 0u);
  const auto rate = rule_of("create rule much as proto == udp | stats r = rate(sum(bytes)) by dst_ip window 1m | where r > 1MB alert by dst_ip");
  ASSERT_TRUE(rate);
  EXPECT_EQ(run_example(rate, "60 flows over 50s dst_ip=10.0.0.1 proto=udp bytes=1500 sampling_rate=1000")->size(), 1u);
  EXPECT_EQ(run_example(rate, "60 flows over 50s dst_ip=10.0.0.1 proto=udp bytes=1500")->size(), 0u);
}

TEST(AskedRules, CountWhatExceptionsLeaveOutOnce) {
  Stored stored(
      "10 flows over 9m src_ip=10.0.0.5 dst_port=22; 10 flows at 10s over 9m src_ip=10.0.0.6 dst_port=22; 10 flows at 20s over 9m src_ip=10.0.0.7 dst_port=80; 20 flows at 30s over 9m src_ip=10.0.0.8 dst_port=22");
  const auto rule = rule_of(
      "create rule r parameters ('port=22') every 5m over 1h except ('src_ip == 10.0.0.5 -- the scanner', 'src_ip in 10.0.0.6-10.0.0.7', 'src_ip == 10.0.0.8 until 2000-01-01') "
      "as dst_port == $port | stats n = count() by src_ip | where n > 1 alert by src_ip");
  ASSERT_TRUE(rule);
  uint64_t excepted = 0;
  // Each answer looks an hour back, and counts what has come since the one before.
  for (TimestampNs at = next_answer(*rule, stored.first + 1); at <= stored.first + 2 * kHour; at += rule->slide()) {
    const auto more = count_excepted(*rule, at, stored.context);
    ASSERT_TRUE(more.ok()) << more.error().message;
    excepted += *more;
  }
  EXPECT_EQ(excepted, 20u) << "those of the port; an exception that has ended leaves nothing out";
  const auto none = rule_of("create rule r every 5m as dst_port == 22 | stats n = count()");
  EXPECT_EQ(*count_excepted(*none, next_answer(*none, stored.first + 1), stored.context), 0u);
}

TEST(AskedRules, LearnBeforeTheyAlert) {
  Stored stored("600 flows over 100m src_ip=10.0.0.5 dst_port=22");
  const auto rule = rule_of("create rule r every 10m learn 1h as dst_port == 22 | stats n = count() by src_ip alert by src_ip");
  ASSERT_TRUE(rule);
  EXPECT_FALSE(has_learned(*rule, stored.first + 59 * kMinute, stored.snapshot));
  EXPECT_TRUE(has_learned(*rule, stored.first + 60 * kMinute, stored.snapshot));
  EXPECT_FALSE(has_learned(*rule, stored.first + 60 * kMinute, {})) << "nothing is known";
  // Of flows that are kept no more it is known that they were.
  EXPECT_FALSE(has_learned(*rule, stored.first + 40 * kMinute, stored.snapshot, stored.first - 10 * kMinute));
  EXPECT_TRUE(has_learned(*rule, stored.first + 50 * kMinute, stored.snapshot, stored.first - 10 * kMinute));
  EXPECT_TRUE(has_learned(*rule, stored.first + 50 * kMinute, {}, stored.first - 10 * kMinute));
  const auto replayed = replay(rule, {}, {}, stored.context);
  ASSERT_TRUE(replayed.ok());
  ASSERT_EQ(replayed->alerts.size(), 1u);
  EXPECT_EQ(replayed->alerts.front().start, stored.first + 50 * kMinute);
}

}  // namespace
}  // namespace sluice::query::continuous
