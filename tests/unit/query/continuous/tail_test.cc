// A tail yields, flow by flow, what the ordinary engine answers about the same flows.
#include "query/continuous/tail.h"

#include <gtest/gtest.h>

#include <random>

#include "query/watch_list.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {
namespace {

const TimestampNs kTailStart = *parse_timestamp("2026-11-20T08:00:00Z");

std::shared_ptr<const Batch> some_flows(std::mt19937_64& dice, size_t count) {
  FlowBatchBuilder b;
  for (size_t i = 0; i < count; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kTailStart + static_cast<int64_t>(dice() % 1'000) * kMillisecond);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + static_cast<uint32_t>(dice() % 40)));
    b.set_ip(ColumnId::dst_ip, IpAddress::v4(0x0a000000 + static_cast<uint32_t>(dice() % 40)));
    b.set_uint(ColumnId::dst_port, dice() % 3 ? 443 : dice() % 65'536);
    b.set_uint(ColumnId::protocol, dice() % 2 ? 6 : 17);
    if (dice() % 4) b.set_uint(ColumnId::raw_bytes, dice() % 10'000);
    if (dice() % 3) b.set_uint(ColumnId::sampling_rate, 1 + dice() % 100);
    if (dice() % 2) b.set_string(ColumnId::src_region, dice() % 2 ? "eu-west-1" : "us-east-1");
    if (dice() % 5 == 0) b.set_string(ColumnId::extra, "k=" + std::to_string(dice() % 3));
  }
  return std::make_shared<const Batch>(b.finish());
}

std::variant<std::unique_ptr<Tail>, QueryError> tail_of(const std::string& text, std::shared_ptr<const ListBook> lists = nullptr, std::map<std::string, ParameterValue> parameters = {}) {
  static const ManualClock clock(kTailStart);
  QueryContext context;
  context.clock = &clock;
  context.lists = std::move(lists);
  QueryRequest request;
  request.text = text;
  request.parameters = std::move(parameters);
  return Tail::compile(request, context);
}

TEST(Tail, YieldsWhatTheEngineAnswers) {
  const auto lists = ListBook().with(std::make_shared<const WatchList>(*make_watch_list("bad", {"10.0.0.0/29"})));
  const std::map<std::string, ParameterValue> parameters{{"port", {{"443"}, false}}};
  const std::string shown = " | select ts, src_ip, dst_ip, dst_port, bytes, src_region";
  for (const std::string& text : std::vector<std::string>{
           "from flows" + shown,
           "dst_port == 443 and proto == tcp" + shown,
           "ip in 10.0.0.4/30" + shown,
           "from flows | where src_ip in @bad and dst_port == $port" + shown,
           "from flows | extend big = bytes > 50KB, half = bytes / 2 | where big | select src_ip, half, bytes",
           "from flows | where src_region matches /^eu/ | rename region = src_region | select region, dst_port, k = extra.k",
           "from flows | where dst_port == 1 and dst_port == 2" + shown,
           "from flows | select src_ip, a = if(dst_port < 1024, \"low\", \"high\") | where a == 'low' | drop src_ip",
           "from flows | select raw_bytes, huge = 18446744073709551615 + raw_bytes | render table",
       }) {
    SCOPED_TRACE(text);
    std::mt19937_64 dice(7);
    auto tail = tail_of(text, lists, parameters);
    if (auto* error = std::get_if<QueryError>(&tail)) FAIL() << error->message << "\n" << error->caret;
    Tail& t = *std::get<0>(tail);
    LinesSink found;
    ASSERT_TRUE(found.begin(t.columns()).ok());
    store::Snapshot snapshot;
    for (size_t i = 0; i < 12; ++i) {
      snapshot.open.push_back(some_flows(dice, 1 + dice() % 300));
      ASSERT_TRUE(t.push(snapshot.open.back(), [&](const Batch& rows) { return found.batch(rows); }).ok());
    }
    Over over(snapshot, kTailStart);
    over.context.lists = lists;
    QueryRequest request;
    request.text = text;
    request.parameters = parameters;
    LinesSink answered;
    QuerySummary summary;
    const auto error = run(request, over.context, answered, summary);
    ASSERT_FALSE(error) << error->message;
    ASSERT_EQ(found.schema.size(), answered.schema.size());
    for (size_t c = 0; c < found.schema.size(); ++c) {
      EXPECT_EQ(found.schema[c].name, answered.schema[c].name);
      EXPECT_EQ(found.schema[c].type, answered.schema[c].type);
    }
    EXPECT_EQ(found.in_order, answered.in_order);
    EXPECT_EQ(found.in_order.empty(), text.find("== 2") != std::string::npos);
  }
}

// Nobody can ask again with wider numbers, so what may become too large is a float from the start.
TEST(Tail, ComputesInFloatsWhatMayBecomeTooLarge) {
  auto tail = tail_of("from flows | select twice = bytes * 2, half = bytes / 2, bytes");
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<Tail>>(tail));
  const Schema& columns = std::get<0>(tail)->columns();
  EXPECT_EQ(columns[0].type, LogicalType::float64);
  EXPECT_EQ(columns[2].type, LogicalType::uint);
}

TEST(Tail, ShowsFewColumnsWhereNobodyNamesThem) {
  auto tail = tail_of("dst_port == 443 | extend kilo = bytes / 1000");
  ASSERT_TRUE(std::holds_alternative<std::unique_ptr<Tail>>(tail));
  std::string names;
  for (const Field& f : std::get<0>(tail)->columns()) names += f.name + " ";
  EXPECT_EQ(names, "flow_end src_ip dst_ip src_port dst_port protocol bytes packets tcp_flags action source exporter_ip kilo ");
}

TEST(Tail, RefusesWhatWouldWait) {
  const std::pair<const char*, const char*> refused[] = {
      {"last 1h | where dst_port == 1", "no time range"},
      {"from flows | sort ts", "cannot run 'sort'"},
      {"from flows | limit 5", "cannot run 'limit'"},
      {"from flows | where proto == tcp | stats n = count() by src_ip", "cannot run 'stats'"},
      {"from flows | top 5 src_ip by count()", "cannot run 'top'"},
      {"from flows | dedup", "cannot run 'dedup'"},
      {"from flows | join (from flows | stats n = count() by src_ip) on src_ip", "cannot run 'join'"},
      {"from alerts", "reads flows"},
      {"show sources", "no statement"},
      {"create list x (10.0.0.1)", "no statement"},
      {"explain from flows", "no statement"},
      {"from flows | where src_prt == 1", "unknown column 'src_prt'"},
      {"from flows | where src_ip in @nobody", "nobody"},
      {"from flows | where $p == dst_port", "p"},
      {"from flows |", ""},
  };
  for (const auto& [text, why] : refused) {
    SCOPED_TRACE(text);
    auto tail = tail_of(text);
    const auto* error = std::get_if<QueryError>(&tail);
    ASSERT_TRUE(error);
    EXPECT_NE(error->message.find(why), std::string::npos) << error->message;
    EXPECT_TRUE(error->span.has_value());
    EXPECT_FALSE(error->caret.empty());
  }
}

TEST(Tail, StopsWithItsSinkAndGoesOnAfterwards) {
  auto tail = tail_of("from flows");
  Tail& t = *std::get<0>(tail);
  std::mt19937_64 dice(1);
  const auto flows = some_flows(dice, 10);
  EXPECT_EQ(t.push(flows, [](const Batch&) { return Status(Error{ErrorCode::cancelled, "enough"}); }).error().message, "enough");
  size_t rows = 0;
  EXPECT_TRUE(t.push(flows, [&](const Batch& found) {
                 rows += found.rows;
                 return Status();
               }).ok());
  EXPECT_EQ(rows, 10u);
}

}  // namespace
}  // namespace sluice::query::continuous
