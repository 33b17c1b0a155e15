// What is kept of segments: who is answered from it and who is not, and what goes when there is no room.
#include "query/segment_memory.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "query/engine.h"
#include "query/sampling.h"
#include "query/watch_list.h"
#include "storage/segment/segment.h"
#include "tests/unit/query/line_sink.h"

namespace sluice::query {
namespace {

constexpr TimestampNs kSegmentStart = 1'763'712'000 * kSecond;  // 2025-11-21T08:00:00Z
constexpr uint32_t kSegmentRows = 1'000;

class SegmentMemoryTest : public testing::Test {
 protected:
  // Four segments of an hour each.
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("sluice_kept_" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
    for (uint32_t s = 0; s < 4; ++s) add(s);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void add(uint32_t s) {
    FlowBatchBuilder b;
    for (uint32_t i = 0; i < kSegmentRows; ++i) {
      b.begin_row();
      b.set_time(ColumnId::flow_end, kSegmentStart + s * kHour + i * kSecond);
      if (i % 10 == 0) b.set_time(ColumnId::flow_start, kSegmentStart + s * kHour + i * kSecond - 90 * kMinute);
      b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + (i * 7 + s) % 50));
      b.set_ip(ColumnId::exporter_ip, *parse_ip("192.0.2.1"));
      b.set_uint(ColumnId::dst_port, 1 + i % 20);
      b.set_uint(ColumnId::src_port, 1 + i + s * kSegmentRows);
      b.set_uint(ColumnId::raw_bytes, i);
      if (i % 2) b.set_uint(ColumnId::sampling_rate, 2);
    }
    segment::WriteOptions options;
    options.sync = false;
    const std::string path = directory_ / std::to_string(s);
    const std::vector<Batch> batches = {b.finish()};
    auto info = segment::write_segment(path, s + 1, kSegmentStart + s * kHour, batches, options);
    ASSERT_TRUE(info.ok()) << info.error().message;
    auto opened = segment::Segment::open(path);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    snapshot_.segments.push_back(*opened);
  }

  // The answer, which is that of a query that keeps nothing.
  std::vector<std::string> ask(const std::string& text, std::optional<TimestampNs> from = {}, std::optional<TimestampNs> to = {}) {
    QueryRequest request;
    request.text = text;
    request.from = from;
    request.to = to;
    request.parameters = parameters_;
    InlineExecutor executor;
    QueryContext context;
    context.snapshot = &snapshot_;
    context.clock = &clock_;
    context.executor = &executor;
    context.lists = lists_;
    context.sampling_rules = rules_;
    context.segment_memory = memory_.get();
    LineSink plain, kept;
    request.options.use_kept = false;
    QuerySummary plain_summary;
    auto error = run(request, context, plain, plain_summary);
    EXPECT_FALSE(error) << text << ": " << (error ? error->message : "");
    EXPECT_EQ(plain_summary.kept_segments, 0u);
    request.options.use_kept = true;
    summary_ = {};
    error = run(request, context, kept, summary_);
    EXPECT_FALSE(error) << text << ": " << (error ? error->message : "");
    EXPECT_EQ(kept.lines, plain.lines) << text;
    EXPECT_EQ(summary_.warnings, plain_summary.warnings) << text;
    EXPECT_EQ(summary_.stats.segments, plain_summary.stats.segments) << text;
    EXPECT_EQ(summary_.stats.rows_scanned + summary_.kept_rows, plain_summary.stats.rows_scanned) << text;
    return kept.lines;
  }
  uint64_t kept_of(const std::string& text, std::optional<TimestampNs> from = {}, std::optional<TimestampNs> to = {}) {
    ask(text, from, to);
    return summary_.kept_segments;
  }

  ManualClock clock_{kSegmentStart + kDay};
  store::Snapshot snapshot_;
  std::filesystem::path directory_;
  std::map<std::string, ParameterValue> parameters_;
  std::shared_ptr<const ListBook> lists_;
  std::shared_ptr<const SamplingRules> rules_;
  std::unique_ptr<SegmentMemory> memory_ = std::make_unique<SegmentMemory>();
  QuerySummary summary_;
};

TEST_F(SegmentMemoryTest, AnswersWhatIsAskedAgain) {
  for (const char* text : {"from flows | stats n = count(), b = sum(bytes), least = min(bytes), most = max(src_ip), sources = dcount(src_ip)",
                           "from flows | stats sum(bytes) by src_ip", "dst_port > 10 | top 3 src_ip, dst_port by sum(bytes) with others",
                           "from flows | timeseries sum(bytes) every 10m by dst_port limit 3", "from flows | distinct dst_port",
                           "from flows | extend low = dst_port < 5 | stats countif(low), rate(count()) by hour = bin(1h), low | sort hour desc"}) {
    EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 4 * kHour), 0u) << text;
    EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 4 * kHour), 4u) << text;
    EXPECT_EQ(summary_.stats.rows_scanned, 0u) << text;
  }
}

TEST_F(SegmentMemoryTest, ReadsWhatIsNewAndWhatLiesOnTheEdge) {
  const char* text = "from flows | stats sum(bytes) by src_ip";
  EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 4 * kHour), 0u);
  EXPECT_EQ(kept_of(text, kSegmentStart + 1, kSegmentStart + 4 * kHour), 3u);
  EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 3 * kHour + (kSegmentRows - 1) * kSecond), 3u);
  EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 3 * kHour + (kSegmentRows - 1) * kSecond + 1), 4u);
  add(4);
  EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 5 * kHour), 4u);
  EXPECT_EQ(summary_.stats.rows_scanned, kSegmentRows);
  EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 5 * kHour), 5u);
  snapshot_.segments.erase(snapshot_.segments.begin());
  EXPECT_EQ(kept_of(text, kSegmentStart, kSegmentStart + 5 * kHour), 4u);
}

TEST_F(SegmentMemoryTest, AsksAnewWhatMayHaveChanged) {
  const auto never = [&](const std::string& text) {
    EXPECT_EQ(kept_of(text), 0u) << text;
    EXPECT_EQ(kept_of(text), 0u) << text;
  };
  never("ts > now() - 22h | stats count()");
  never("from flows | stats avg(bytes)");
  never("from flows | stats sum(1.5 * bytes)");
  never("from flows | stats count_distinct(src_ip)");
  never("from flows | stats first(src_ip)");
  never("src_ip in (from flows | where dst_port == 3 | distinct src_ip) | stats count()");
  never("from flows | sample 100 | stats count()");
  never("active between 2025-11-21T08:00Z and 2025-11-21T13:00Z | stats count()");

  const auto list = [](std::vector<std::string> items) {
    auto made = make_watch_list("bad", std::move(items));
    EXPECT_TRUE(made.ok());
    return ListBook().with(std::make_shared<const WatchList>(std::move(*made)));
  };
  lists_ = list({"10.0.0.1"});
  const char* listed = "src_ip in @bad | stats count()";
  const auto before = ask(listed);
  EXPECT_EQ(kept_of(listed), 4u);
  lists_ = list({"10.0.0.1", "10.0.0.2"});
  EXPECT_NE(ask(listed), before);
  EXPECT_EQ(summary_.kept_segments, 0u);

  const char* scaled = "from flows | stats sum(bytes)";
  const auto uncorrected = ask(scaled);
  rules_ = std::make_shared<const SamplingRules>(SamplingRules{{.exporter = *parse_prefix("192.0.2.0/24"), .rate = 100}});
  EXPECT_NE(ask(scaled), uncorrected);
  EXPECT_EQ(kept_of(scaled), 4u);

  const char* parameter = "dst_port == $port | stats count()";
  parameters_["port"] = {{"3"}};
  EXPECT_EQ(kept_of(parameter), 0u);
  parameters_["port"] = {{"4"}};
  EXPECT_EQ(kept_of(parameter), 0u);
  EXPECT_EQ(kept_of(parameter), 4u);
}

TEST_F(SegmentMemoryTest, HasABound) {
  memory_ = std::make_unique<SegmentMemory>(200'000);
  for (int i = 0; i < 20; ++i) ask("dst_port > " + std::to_string(i) + " | stats sum(bytes) by src_ip");
  EXPECT_LE(memory_->counts().bytes, 200'000u);
  EXPECT_GT(memory_->counts().dropped, 0u);
  EXPECT_GT(memory_->counts().parts, 0u);
  // No part fits.
  memory_ = std::make_unique<SegmentMemory>(100);
  EXPECT_EQ(kept_of("from flows | stats count()"), 0u);
  EXPECT_EQ(kept_of("from flows | stats count()"), 0u);
  EXPECT_EQ(memory_->counts().bytes, 0u);
}

// What of a flow lies before the range is left out of its shares, though all of its segment is in the range.
TEST_F(SegmentMemoryTest, KeepsNoSharesOfFlows) {
  const char* text = "from flows | timeseries sum(bytes) every 10m spread";
  for (const DurationNs from : {2 * kHour, DurationNs{0}, 2 * kHour, kHour}) EXPECT_EQ(kept_of(text, kSegmentStart + from, kSegmentStart + 4 * kHour), 0u);
}

// What looking up needs is not kept: a part costs what its groups do, however many rows there were.
TEST_F(SegmentMemoryTest, KeepsGroupsOnly) {
  ask("from flows | stats count() by dst_port, protocol");  // twenty groups, of a thousand rows
  EXPECT_EQ(memory_->counts().parts, 4u);
  EXPECT_LT(memory_->counts().bytes, 4 * 5'000u);
}

TEST_F(SegmentMemoryTest, SaysSoInExplainAnalyze) {
  QueryRequest request;
  request.text = "explain analyze from flows | stats count()";
  ask("from flows | stats count()");
  InlineExecutor executor;
  QueryContext context;
  context.snapshot = &snapshot_;
  context.clock = &clock_;
  context.executor = &executor;
  context.segment_memory = memory_.get();
  LineSink sink;
  QuerySummary summary;
  ASSERT_FALSE(run(request, context, sink, summary));
  ASSERT_FALSE(sink.lines.empty());
  EXPECT_NE(sink.lines[0].find("4 segments of 4000 rows answered from memory"), std::string::npos) << sink.lines[0];
}

}  // namespace
}  // namespace sluice::query
