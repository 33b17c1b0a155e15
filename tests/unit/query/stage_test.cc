// Stages in files of their own: what golden files cannot ask. Limits, deadlines, plans, completion, and the score of beacons.
#include "query/stage.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "grammar/words.h"
#include "query/beacon_score.h"
#include "query/key_index.h"
#include "query/limits.h"
#include "query/watch_list.h"
#include "storage/segment/segment.h"

namespace sluice::query {
namespace {

constexpr TimestampNs kStageStart = 1'763'712'000 * kSecond;

struct CountingSink final : ResultSink {
  size_t rows = 0;
  std::vector<std::string> text;
  Status begin(const Schema&) override { return {}; }
  Status batch(const Batch& batch) override {
    rows += batch.rows;
    for (size_t r = 0; r < batch.rows; ++r)
      if (batch.columns[0].type() == PhysicalType::Str) text.emplace_back(batch.columns[0].string_at(r));
    return {};
  }
};

class StageTest : public testing::Test {
 protected:
  // Many flows of many pairs, an hour long.
  void fill(size_t rows) {
    FlowBatchBuilder b;
    for (uint32_t i = 0; i < rows; ++i) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, kStageStart + static_cast<int64_t>(i % 3'600) * kSecond);
      b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + i));
      b.set_ip(ColumnId::dst_ip, IpAddress::v4(0x0b000000 + i % 7));
      b.set_uint(ColumnId::src_port, i % 50'000);
      b.set_uint(ColumnId::dst_port, 443);
      b.set_uint(ColumnId::protocol, 6);
      b.set_uint(ColumnId::raw_bytes, i);
    }
    snapshot_.open.push_back(std::make_shared<const Batch>(b.finish()));
  }
  std::optional<QueryError> ask(const std::string& text, CountingSink& sink, size_t memory = limits::kQueryMemoryBytes) {
    QueryRequest request;
    request.text = text;
    request.limits.memory_bytes = memory;
    QueryContext context;
    context.snapshot = &snapshot_;
    context.clock = &clock_;
    context.executor = &executor_;
    context.cancel = &cancel_;
    context.lists = lists_;
    summary_ = {};
    return run(request, context, sink, summary_);
  }

  store::Snapshot snapshot_;
  ManualClock clock_{kStageStart + kHour};
  InlineExecutor executor_;
  CancelToken cancel_;
  QuerySummary summary_;
  std::shared_ptr<const ListBook> lists_;
};

const char* const kHungry[] = {
    "last 1h | dedup | stats n = count()",
    "last 1h | join (last 1h | stats n = count() by src_ip) on src_ip | stats n = count()",
    "last 30m | first_seen src_ip lookback 30m | stats n = count()",
    "last 30m | stats n = count() by src_ip | compare to 30m | stats n = count()",
    "last 1h | absent src_ip for 1m | stats n = count()",
    "last 1h | stitch | stats n = count()",
    "last 1h | sequence by src_ip within 1m [bytes >= 0] then [bytes >= 0] | stats n = count()",
    "last 1h | reach from 10.0.0.1 within 3 hops | stats n = count()",
    "last 1h | beacons by src_ip | stats n = count()",
    "last 30m | baseline count() by src_ip every 1m over 30m | stats n = count()",
};

TEST_F(StageTest, EveryStageMeetsTheMemoryLimit) {
  fill(60'000);
  for (const char* text : kHungry) {
    CountingSink enough, refused;
    const auto fine = ask(text, enough);
    EXPECT_FALSE(fine) << text << ": " << (fine ? fine->message + "\n" + fine->caret : "");
    const auto error = ask(text, refused, 200u << 10);
    ASSERT_TRUE(error) << text << " was answered in 200 KiB";
    EXPECT_EQ(error->code, ErrorCode::too_large) << text;
    EXPECT_EQ(error->message, "the query needs more memory than its limit: memory_bytes = 204800") << text;
  }
}

TEST_F(StageTest, EveryStageSeesTheCancelFlag) {
  fill(2'000);
  cancel_.cancel();
  for (const char* text : kHungry) {
    CountingSink sink;
    const auto error = ask(text, sink);
    ASSERT_TRUE(error) << text;
    EXPECT_EQ(error->code, ErrorCode::cancelled) << text;
  }
}

// Whatever stands behind a stage's name: a plan, or an error with a place.
TEST_F(StageTest, HostileArgumentsAreRefusedInTheirPlace) {
  fill(10);
  const std::vector<std::string> words = {"by", "within", "on", "for", "min", "then", "from", "to", "lookback", "every", "over", "seasonal", "expected", "as of", "prefix", "hops",
                                          "src_ip", "ip", "bytes", "sum(bytes)", "count()", "5m", "0s", "1d", "3", "0", "99999999999", "10.0.0.1", "10.0.0.0/8", "'x'", "$p", ",",
                                          "(from flows | stats n = count() by src_ip)", "(last 1h)", "[", "]", "[dst_port == 22]", "[]", "[a b]", "-1", "nothing", "@list", "left", "1.5",
                                          "src_ip == dst_ip", "null", "true", "/x/", "assets"};
  uint64_t state = 88'172'645'463'325'252ull;
  const auto dice = [&](size_t n) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % n;
  };
  size_t refused = 0;
  for (const StageSpec* stage : stages())
    for (int i = 0; i < 400; ++i) {
      std::string text = dice(2) ? "last 1h | " : "last 1h | stats bytes = sum(bytes), n = count() by src_ip | ";
      text += stage->name;
      for (size_t n = dice(9); n > 0; --n) text += " " + words[dice(words.size())];
      CountingSink sink;
      const auto error = ask(text, sink);
      if (!error) continue;
      ++refused;
      EXPECT_TRUE(error->span) << text << ": " << error->message;
      EXPECT_FALSE(error->message.empty()) << text;
    }
  EXPECT_GT(refused, 1'000u);
}

// A query may begin with any stage: the parser knows the names of all, and knows none that is nobody's.
TEST_F(StageTest, TheParserKnowsTheStagesThatThereAre) {
  std::set<std::string_view> known(grammar::stage_names().begin(), grammar::stage_names().end()), there;
  for (const PlainStage& stage : plain_stages()) there.insert(stage.name);
  for (const StageSpec* stage : stages()) there.insert(stage->name);
  EXPECT_EQ(known, there);
}

TEST_F(StageTest, PlansShowWhatIsAskedFirst) {
  fill(10);
  CountingSink sink;
  ASSERT_FALSE(ask("explain last 1h | where dst_port == 22 | first_seen src_ip lookback 7d", sink));
  ASSERT_GT(sink.text.size(), 4u);
  EXPECT_EQ(sink.text[0], "first, the look-back:");
  EXPECT_TRUE(sink.text[1].starts_with("  scan flows from ")) << sink.text[1];
  CountingSink analyzed;
  ASSERT_FALSE(ask("explain analyze last 1h | join (last 1h | stats n = count() by src_ip) on src_ip", analyzed));
  EXPECT_EQ(analyzed.text[0], "join with: scan flows");
}

// Few keys are looked for with the segments' own indexes, many are not; the answer is the same.
TEST_F(StageTest, FewKeysOfAJoinNarrowTheScan) {
  fill(80'000);
  CountingSink few, all, none;
  ASSERT_FALSE(ask("last 1h | join semi (from flows | where src_ip in 10.0.0.0/30 | distinct src_ip) on src_ip", few));
  EXPECT_EQ(few.rows, 4u);
  EXPECT_EQ(summary_.stats.rows_matched, 8u) << "4 inside and 4 around";
  ASSERT_FALSE(ask("last 1h | join semi (from flows | distinct src_ip) on src_ip | stats n = count() by src_ip | limit 80000", all));
  EXPECT_EQ(all.rows, 80'000u);
  ASSERT_FALSE(ask("last 1h | join anti (from flows | where src_ip in 10.0.0.0/30 | distinct src_ip) on src_ip | where src_ip in 10.0.0.0/29", none));
  EXPECT_EQ(none.rows, 4u);
  // Behind a limit the join may not choose what the limit sees.
  CountingSink behind;
  ASSERT_FALSE(ask("last 1h | sort src_ip | limit 2 | join semi (from flows | where src_ip == 10.0.0.3 | distinct src_ip) on src_ip", behind));
  EXPECT_EQ(behind.rows, 0u);
}

TEST_F(StageTest, QueriesInsideHaveABound) {
  fill(10);
  std::string text = "stats n = count() by src_ip";
  for (size_t i = 0; i < limits::kSubqueriesMax; ++i) text += " | join semi (dst_port == 443) on src_ip";
  CountingSink sink;
  const auto fine = ask(text, sink);
  EXPECT_FALSE(fine) << fine->message;
  EXPECT_EQ(sink.rows, 10u);
  const auto error = ask(text + " | join semi (dst_port == 443) on src_ip", sink);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message, "more than 32 queries inside one query");
}

TEST_F(StageTest, StepsOfASequenceHaveABound) {
  fill(10);
  std::string text = "sequence by src_ip within 1h [bytes >= 0]";
  for (size_t i = 1; i < limits::kSequenceStepsMax; ++i) text += " then [bytes >= 0]";
  CountingSink sink;
  EXPECT_FALSE(ask(text, sink));
  const auto error = ask(text + " then [bytes >= 0]", sink);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message, "a sequence has at most 16 steps");
}

TEST_F(StageTest, ReportersOfARowHaveABound) {
  FlowBatchBuilder b;
  for (uint32_t i = 0; i < limits::kReportersPerRowMax + 10; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStageStart);
    b.set_ip(ColumnId::exporter_ip, IpAddress::v4(0x0a000000 + i));
  }
  snapshot_.open.push_back(std::make_shared<const Batch>(b.finish()));
  CountingSink sink;
  ASSERT_FALSE(ask("dedup | select reporters", sink));
  ASSERT_EQ(sink.text.size(), 1u);
  EXPECT_EQ(std::count(sink.text[0].begin(), sink.text[0].end(), '\n'), static_cast<ptrdiff_t>(limits::kReportersPerRowMax - 1));
}

TEST_F(StageTest, WarnsOfAShortHistory) {
  fill(10);
  CountingSink sink;
  ASSERT_FALSE(ask("last 59m | first_seen src_ip lookback 7d", sink));
  ASSERT_EQ(summary_.warnings.size(), 1u);
  EXPECT_TRUE(summary_.warnings[0].starts_with("first_seen looks back to ")) << summary_.warnings[0];
}

TEST_F(StageTest, CompletionKnowsStagesAndLists) {
  QueryContext context;
  auto list = make_watch_list("tor_exits", {"10.0.0.1"});
  ASSERT_TRUE(list.ok());
  context.lists = ListBook().with(std::make_shared<WatchList>(*list));
  const auto has = [&](std::string_view text, std::string_view wanted) {
    const auto found = complete(text, text.size(), context);
    return std::any_of(found.items.begin(), found.items.end(), [&](const Completion& c) { return c.text == wanted; });
  };
  EXPECT_TRUE(has("last 1h | ded", "dedup"));
  EXPECT_TRUE(has("last 1h | dedup ", "within"));
  EXPECT_TRUE(has("last 1h | first_seen src_ip ", "lookback"));
  EXPECT_TRUE(has("src_ip in ", "@tor_exits"));
  EXPECT_TRUE(has("src_ip in @t", "@tor_exits"));
  EXPECT_FALSE(has("src_ip in @x", "@tor_exits"));
}

TEST_F(StageTest, CompletionKnowsValuesThatFlowsHad) {
  FlowBatchBuilder b;
  for (const char* vpc : {"vpc-1a", "vpc-1b", "it's", "vpc-1a"}) {
    b.begin_row();
    b.set_string(ColumnId::src_vpc_id, vpc);
    b.set_ip(ColumnId::src_ip, *parse_ip("10.1.20.3"));
    b.set_ip(ColumnId::dst_ip, *parse_ip(*vpc == 'i' ? "2001:db8::7" : "10.12.0.9"));
  }
  store::Snapshot snapshot;
  snapshot.open.push_back(std::make_shared<const Batch>(b.finish()));
  QueryContext context;
  context.snapshot = &snapshot;
  using Words = std::set<std::string>;
  const auto values = [&](std::string_view text, const store::Snapshot& of) {
    context.snapshot = &of;
    Words out;
    for (const Completion& c : complete(text, text.size(), context).items)
      if (c.kind == "value") out.insert(c.text);
    return out;
  };
  EXPECT_EQ(values("vpc_id == ", snapshot), (Words{"\"vpc-1a\"", "\"vpc-1b\"", "\"it's\""}));
  EXPECT_EQ(values("vpc_id == vpc", snapshot), (Words{"\"vpc-1a\"", "\"vpc-1b\""}));
  EXPECT_EQ(values("vpc_id != '", snapshot), (Words{"'vpc-1a'", "'vpc-1b'", "\"it's\""}));
  EXPECT_EQ(values("vpc_id in ('x', 'vpc-1b", snapshot), (Words{"'vpc-1b'"}));
  EXPECT_EQ(values("vpc_id == 'q", snapshot), Words{});
  EXPECT_EQ(values("src_ip == 10.1", snapshot), (Words{"10.1.20.3"}));
  EXPECT_EQ(values("src_ip == 10.2", snapshot), Words{});
  EXPECT_EQ(values("ip == 1", snapshot), (Words{"10.1.20.3", "10.12.0.9"}));
  EXPECT_EQ(values("ip == 10.1.20.", snapshot), (Words{"10.1.20.3"}));
  EXPECT_EQ(values("dst_ip == 2001:d", snapshot), (Words{"2001:db8::7"}));
  for (const char* nothing : {"src_ip == ", "src_ip == 10.1.20.3.", "src_ip == 10.999", "src_ip == 10..", "src_ip == 99999999999", "src_ip == 1:2:3:4:5:6:7:8:"})
    EXPECT_EQ(values(nothing, snapshot), Words{}) << nothing;

  // The same out of segments, whose dictionaries are searched.
  store::Snapshot sealed;
  const std::string path = testing::TempDir() + "sluice-completion-" + std::to_string(getpid()) + ".slc";
  FlowBatchBuilder many;
  for (uint32_t i = 0; i < 5'000; ++i) {
    many.begin_row();
    many.set_time(ColumnId::flow_end, kStageStart);
    many.set_string(ColumnId::src_vpc_id, "vpc-" + std::to_string(i % 300));
    many.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + i % 1'000));
  }
  const Batch rows = many.finish();
  ASSERT_TRUE(segment::write_segment(path, 1, kStageStart, std::span(&rows, 1)).ok());
  auto opened = segment::Segment::open(path);
  ASSERT_TRUE(opened.ok());
  sealed.segments.push_back(*opened);
  EXPECT_EQ(values("src_vpc_id == 'vpc-29", sealed),
            (Words{"'vpc-29'", "'vpc-290'", "'vpc-291'", "'vpc-292'", "'vpc-293'", "'vpc-294'", "'vpc-295'", "'vpc-296'", "'vpc-297'", "'vpc-298'", "'vpc-299'"}));
  EXPECT_EQ(values("src_ip == 10.0.3.23", sealed), (Words{"10.0.3.23", "10.0.3.230", "10.0.3.231"}));
  EXPECT_EQ(values("src_ip == 10.0.0.", sealed).size(), limits::kCompletionValuesPerSegmentMax);
  std::filesystem::remove(path);
}

TEST_F(StageTest, CompletionKnowsThePlace) {
  FlowBatchBuilder b;
  b.begin_row();
  b.set_string(ColumnId::extra, "tgw-id=tgw-1\nnote=x");
  store::Snapshot snapshot;
  snapshot.open.push_back(std::make_shared<const Batch>(b.finish()));
  QueryContext context;
  context.snapshot = &snapshot;
  Column rule(PhysicalType::Str);
  context.system_tables = [&](std::string_view name) -> std::optional<Result<Batch>> {
    if (name != "alerts") return std::nullopt;
    Batch table;
    table.schema = std::make_shared<Schema>(Schema{Field{"rule", LogicalType::string, PhysicalType::Str, nullptr, {}, std::nullopt}});
    table.columns = {rule};
    return Result<Batch>(std::move(table));
  };
  // The cursor stands at the end of the text, or at "^".
  const auto offers = [&](std::string text) {
    const size_t cursor = std::min(text.find('^'), text.size());
    if (cursor < text.size()) text.erase(cursor, 1);
    std::set<std::string> out;
    for (const Completion& c : complete(text, cursor, context).items) out.insert(c.text);
    return out;
  };
  using Words = std::set<std::string>;
  EXPECT_TRUE(offers("las").contains("last"));
  EXPECT_TRUE(offers("").contains("from flows"));
  EXPECT_TRUE(offers("").contains("stats"));

  const Words sorted = offers("last 1h | stats b = sum(bytes) by dst_port | sort ");
  EXPECT_TRUE(sorted.contains("b") && sorted.contains("dst_port"));
  EXPECT_FALSE(sorted.contains("src_ip") || sorted.contains("bytes"));
  EXPECT_EQ(offers("last 1h | stats b = sum(bytes) by dst_port | where dst_"), (Words{"dst_port"}));
  EXPECT_EQ(offers("last 1h | stats b = sum(bytes) by dst_port | sort ds^ desc"), (Words{"dst_port"}));
  EXPECT_TRUE(offers("last 1h | extend twice = 2 * bytes | where tw").contains("twice"));
  EXPECT_EQ(offers("last 1h | select src_ip, n = bytes | where s").count("src_port"), 0u);
  // A stage that does not bind leaves what was there before it.
  EXPECT_TRUE(offers("last 1h | stats n = count() by src_ip | where nothing == 1 | sort ").contains("n"));
  EXPECT_TRUE(offers("explain last 1h | stats n = count() by src_ip | sort ").contains("n"));
  EXPECT_TRUE(offers("create rule r as from flows | stats n = count() by src_ip window 5m | where ").contains("n"));
  EXPECT_TRUE(offers("show columns | where ty").contains("type"));
  EXPECT_EQ(offers("from alerts | where ru"), (Words{"rule"}));
  EXPECT_EQ(offers("from alerts where ru"), (Words{"rule"}));
  EXPECT_TRUE(offers("from a").contains("alerts"));

  EXPECT_TRUE(offers("last 1h | join ").contains("("));
  EXPECT_TRUE(offers("last 1h | join semi (").contains("from flows"));
  EXPECT_TRUE(offers("last 1h | stats n = count() by src_ip | join (last 2h | stats m = count() by dst_ip | sort ").contains("m"));
  EXPECT_FALSE(offers("last 1h | stats n = count() by src_ip | join (last 2h | stats m = count() by dst_ip | sort ").contains("n"));
  EXPECT_TRUE(offers("last 1h | stats n = count() by src_ip | join (last 2h | stats m = count() by src_ip) on src_ip | sort ").contains("m"));

  const Words done = offers("from flows | where dst_port == 53 ");
  for (const char* word : {"and", "or", "|"}) EXPECT_TRUE(done.contains(word)) << word;
  EXPECT_FALSE(done.contains("src_ip") || done.contains("=="));

  EXPECT_TRUE(offers("source.").contains("source.ip"));
  EXPECT_FALSE(offers("sour").contains("source.ip"));
  EXPECT_EQ(offers("where extra."), (Words{"extra.note", "extra.\"tgw-id\""}));
}

TEST(WatchListTest, ReadsItemsAndRefusesWhatMakesNoSense) {
  const auto list = make_watch_list("mixed", {"10.0.0.0/8", "10.200.0.1", "11.0.0.1-11.0.0.9", "2001:db8::1", "443", "8000-8999", "tcp", "a-b"});
  ASSERT_TRUE(list.ok()) << list.error().message;
  EXPECT_EQ(list->addresses.ranges.size(), 3u);  // the second lies in the first
  EXPECT_EQ(list->numbers.ranges.size(), 2u);
  EXPECT_EQ(list->words, (std::unordered_set<std::string>{"443", "tcp", "a-b"}));
  EXPECT_FALSE(make_watch_list("x", {""}).ok());
  EXPECT_FALSE(make_watch_list("x", {"10.0.0.9-10.0.0.1"}).ok());
  EXPECT_FALSE(make_watch_list("x", {"9-1"}).ok());
  EXPECT_FALSE(make_watch_list("", {}).ok());
  EXPECT_TRUE(make_watch_list(std::string(limits::kListNameBytesMax, 'n'), {}).ok());
  EXPECT_FALSE(make_watch_list(std::string(limits::kListNameBytesMax + 1, 'n'), {}).ok());
  std::vector<std::string> many(limits::kListItemsMax, "1");
  EXPECT_TRUE(make_watch_list("x", many).ok());
  many.push_back("1");
  const auto refused = make_watch_list("x", many);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::too_large);
}

// RITA's own borders.
TEST(BeaconScoreTest, BordersOfTheFormula) {
  std::vector<double> sizes = {64, 64, 64, 64};
  const std::vector<int64_t> three = {0, 60, 120};
  EXPECT_EQ(beacon_score(three, sizes, 0, 86'400).score, 0);
  const std::vector<int64_t> repeated = {0, 60, 60, 120};  // two intervals above zero
  EXPECT_EQ(beacon_score(repeated, sizes, 0, 86'400).score, 0);
  // A perfect day: every minute, one size.
  std::vector<int64_t> day;
  for (int64_t t = 0; t < 86'400; t += 60) day.push_back(t);
  std::vector<double> same(day.size(), 100);
  const BeaconScore perfect = beacon_score(day, same, 0, 86'400);
  EXPECT_EQ(perfect.score, 1);
  EXPECT_EQ(perfect.period_s, 60);
  EXPECT_EQ(perfect.jitter_s, 0);
  // Five bars: no duration score; six: half of twelve.
  std::vector<int64_t> five(day.begin(), day.begin() + 5 * 60), six(day.begin(), day.begin() + 6 * 60);
  std::vector<double> some(five.size(), 100);
  EXPECT_EQ(beacon_score(five, some, 0, 86'400).duration, 0);
  some.resize(six.size(), 100);
  EXPECT_EQ(beacon_score(six, some, 0, 86'400).duration, 0.5);
  // Sizes below one byte in the median have no MAD score, intervals below a second a full one.
  std::vector<double> nothing(day.size(), 0);
  EXPECT_EQ(beacon_score(day, nothing, 0, 86'400).sizes, 0.5);
}

TEST(KeyIndexTest, FindsEveryRowOfAKeyInOrder) {
  Column ip(PhysicalType::Ip), port(PhysicalType::U64);
  for (uint32_t i = 0; i < 3'000; ++i) {
    if (i % 11 == 0)
      ip.append_null();
    else
      ip.append(IpAddress::v4(i % 70));
    port.append(uint64_t{i % 3});
  }
  const std::vector<ColumnPtr> keys = {std::make_shared<Column>(ip), std::make_shared<Column>(port)};
  for (const bool nulls : {false, true}) {
    KeyIndex index;
    WorkMeter meter;
    ASSERT_TRUE(index.build(keys, 3'000, nulls, meter));
    for (uint32_t row = 0; row < 3'000; row += 13) {
      std::vector<uint32_t> found, expected;
      for (uint32_t r = index.first(keys, row); r != KeyIndex::kNone; r = index.next(r)) found.push_back(r);
      for (uint32_t r = 0; r < 3'000; ++r) {
        const bool both_null = ip.is_null(r) && ip.is_null(row);
        const bool same = both_null ? nulls : !ip.is_null(r) && !ip.is_null(row) && ip.ip_at(r) == ip.ip_at(row);
        if (same && r % 3 == row % 3) expected.push_back(r);
      }
      EXPECT_EQ(found, expected) << row;
    }
  }
}

}  // namespace
}  // namespace sluice::query
