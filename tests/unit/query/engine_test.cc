// The engine over a small company's flows: each answer must be the same from open batches and from segments, with and
// without postings and zones, in batches of three rows, and by two threads.
#include "query/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <thread>

#include "query/aggregate.h"
#include "query/limits.h"
#include "query/names.h"
#include "query/sampling.h"
#include "query/segment_memory.h"
#include "query/value.h"
#include "query/watch_list.h"
#include "tests/sanitizer.h"

namespace sluice::query {
namespace {

constexpr TimestampNs kStart = 1'763'712'000 * kSecond;  // 2025-11-21T08:00:00Z

class TwoThreads final : public Executor {
 public:
  size_t width() const override { return 2; }
  void run(size_t count, const std::function<void(size_t)>& task) override {
    std::vector<std::thread> threads;
    for (size_t i = 1; i < count; ++i) threads.emplace_back([&, i] { task(i); });
    if (count > 0) task(0);
    for (auto& t : threads) t.join();
  }
};

class TextSink : public ResultSink {
 public:
  Status begin(const Schema& columns) override {
    ++begins;
    for (const Field& f : columns) header += (header.empty() ? "" : " ") + f.name;
    schema = columns;
    return {};
  }
  Status batch(const Batch& rows) override {
    for (size_t r = 0; r < rows.rows; ++r) {
      std::string line;
      for (size_t c = 0; c < schema.size(); ++c) {
        const Type type{schema[c].type, schema[c].physical, schema[c].enumeration, {}, {}};
        if (c > 0) line += ' ';
        const Value value = value_at(rows.columns[c], type, r);
        if (const auto* d = std::get_if<double>(&value.data)) {
          // The last digits of a floating-point sum depend on the order of its rows.
          char text[40];
          std::snprintf(text, sizeof text, "%.10g", *d);
          line += text;
        } else {
          line += format_value(value, schema[c].enumeration);
        }
      }
      lines.push_back(line);
    }
    return {};
  }
  int begins = 0;
  std::string header;
  Schema schema;
  std::vector<std::string> lines;
};

IpAddress ip(const char* text) { return *parse_ip(text); }

// 300 flows: hosts 10.0.0.0-9 ask the DNS server, a web server and each other; some ICMP; some sampled; some one-sided.
std::vector<Batch> flows() {
  std::vector<Batch> out;
  FlowBatchBuilder b;
  for (uint32_t i = 0; i < 300; ++i) {
    b.begin_row();
    const uint32_t host = i % 10;
    b.set_time(ColumnId::flow_end, kStart + static_cast<int64_t>(i) * 10 * kSecond);
    b.set_time(ColumnId::flow_start, kStart + static_cast<int64_t>(i) * 10 * kSecond - (i % 4) * kSecond);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + host));
    if (i % 29 != 0) b.set_ip(ColumnId::dst_ip, i % 3 == 0 ? ip("192.0.2.53") : i % 3 == 1 ? ip("2001:db8::80") : IpAddress::v4(0x0a000000 + (i / 10) % 10));
    if (i % 7 == 6) {
      b.set_uint(ColumnId::protocol, i % 14 == 6 ? 1 : 58);
      b.set_uint(ColumnId::icmp_type, i % 14 == 6 ? 8 : 128);
    } else {
      b.set_uint(ColumnId::protocol, i % 3 == 0 ? 17 : 6);
      b.set_uint(ColumnId::src_port, 40'000 + i);
      b.set_uint(ColumnId::dst_port, i % 3 == 0 ? 53 : 443);
    }
    if (i % 3 != 0) b.set_uint(ColumnId::tcp_flags, i % 5 == 0 ? 2 : 0x1b);
    b.set_uint(ColumnId::raw_bytes, 100 + i);
    b.set_uint(ColumnId::raw_packets, 1 + i % 4);
    if (i % 50 != 0) b.set_uint(ColumnId::sampling_rate, i % 20 == 0 ? 10 : 1);
    if (i % 13 != 0) {
      b.set_ip(ColumnId::exporter_ip, i % 2 == 0 ? ip("192.0.2.1") : ip("192.0.2.2"));
      b.set_uint(ColumnId::observation_domain, i % 3);
      b.set_uint(ColumnId::input_if, i % 4);
      b.set_uint(ColumnId::output_if, 9);
      if (i % 3 == 0) b.set_enum(ColumnId::direction, i % 2 == 0 ? Direction::ingress : Direction::egress);
    }
    b.set_enum(ColumnId::action, i % 11 == 0 ? Action::reject : Action::accept);
    if (i % 2 == 0) b.set_string(ColumnId::app, i % 4 == 0 ? "web-shop" : "Dns Resolver");
    if (i % 5 == 0) b.set_string(ColumnId::src_labels, "red\nblue");
    if (i % 6 == 0) b.set_string(ColumnId::extra, "vendor=acme\ncode=" + std::to_string(i % 4));
    if (i % 70 == 69) out.push_back(b.finish());
  }
  out.push_back(b.finish());
  return out;
}

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    for (Batch& b : flows()) open_.open.push_back(std::make_shared<const Batch>(std::move(b)));
    directory_ = std::filesystem::temp_directory_path() / ("sluice_query_" + std::to_string(getpid()));
    std::filesystem::create_directories(directory_);
    // Two segments and an open rest.
    const auto batches = flows();
    const std::vector<Batch> first(batches.begin(), batches.begin() + 2), second(batches.begin() + 2, batches.begin() + 4);
    segment::WriteOptions options;
    options.sync = false;
    for (int i = 0; i < 2; ++i) {
      const std::string path = directory_ / ("segment" + std::to_string(i));
      auto info = segment::write_segment(path, static_cast<uint64_t>(i + 1), kStart, i == 0 ? first : second, options);
      ASSERT_TRUE(info.ok()) << info.error().message;
      auto opened = segment::Segment::open(path);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      sealed_.segments.push_back(*opened);
    }
    sealed_.open.push_back(std::make_shared<const Batch>(batches[4]));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::optional<QueryError> run_on(const store::Snapshot& snapshot, QueryRequest request, TextSink& sink, bool threads = false) {
    QueryContext context;
    context.snapshot = &snapshot;
    context.clock = &clock_;
    if (!rules_.empty()) context.sampling_rules = std::make_shared<const SamplingRules>(rules_);
    context.names = names_;
    context.lists = lists_;
    if (keeps_) context.segment_memory = &memory_;
    InlineExecutor inline_executor;
    TwoThreads two;
    context.executor = threads ? static_cast<Executor*>(&two) : &inline_executor;
    summary_ = {};
    return run(request, context, sink, summary_);
  }

  // The answer, which must be the same in every set-up. Rows are compared as sets unless they have an order.
  std::vector<std::string> ask(const std::string& text, bool ordered = false) {
    std::vector<std::string> expected;
    std::string header;
    for (int setup = 0; setup < 9; ++setup) {
      keeps_ = setup >= 7;  // the first fills the memory of segments, the second finds it filled
      QueryRequest request;
      request.text = text;
      request.parameters = parameters_;
      request.options.use_postings = setup != 2;
      request.options.use_zones = setup != 3;
      request.options.batch_rows = setup == 4 || setup == 5 ? 3 : 0;
      TextSink sink;
      const auto error = run_on(setup == 0 || setup == 5 ? open_ : sealed_, request, sink, setup == 6 || setup == 8);
      EXPECT_FALSE(error) << text << ": " << (error ? error->message + "\n" + error->caret : "");
      if (error) return {};
      EXPECT_EQ(sink.begins, 1);
      auto lines = sink.lines;
      if (!ordered) std::sort(lines.begin(), lines.end());
      if (setup == 0) {
        expected = lines;
        header = sink.header;
        header_ = header;
      } else {
        EXPECT_EQ(lines, expected) << text << " in set-up " << setup;
        EXPECT_EQ(sink.header, header) << text << " in set-up " << setup;
      }
    }
    return expected;
  }
  std::string one(const std::string& text) {
    const auto lines = ask(text);
    EXPECT_EQ(lines.size(), 1u) << text;
    return lines.empty() ? "" : lines[0];
  }
  std::string error_of(const std::string& text) {
    QueryRequest request;
    request.text = text;
    TextSink sink;
    const auto error = run_on(open_, request, sink);
    if (!error) return "no error";
    return error->message + (error->hint.empty() ? "" : " (" + error->hint + ")");
  }

  ManualClock clock_{kStart + kHour};
  store::Snapshot open_, sealed_;
  std::filesystem::path directory_;
  std::map<std::string, ParameterValue> parameters_;
  SamplingRules rules_;
  std::shared_ptr<const NameBook> names_;
  std::shared_ptr<const ListBook> lists_;
  bool keeps_ = false;
  SegmentMemory memory_;
  QuerySummary summary_;
  std::string header_;
};

TEST_F(EngineTest, CountsAndFilters) {
  EXPECT_EQ(one("from flows | stats count()"), "300");
  EXPECT_EQ(one("stats count() by protocol | where protocol == udp | select n = count"), one("proto == udp | stats count()"));
  EXPECT_EQ(one("src_ip == 10.0.0.3 | stats count()"), "30");
  EXPECT_EQ(one("src_ip in 10.0.0.0/30 | stats count()"), "120");
  EXPECT_EQ(one("src_ip in 10.0.0.8-10.0.0.200 | stats count()"), "60");
  EXPECT_EQ(one("dst_ip == 2001:db8::/32 | stats count()"), one("dst_ip == 2001:db8::80 | stats count()"));
  EXPECT_EQ(one("dst_port == https and proto == tcp | stats count()"), one("443 == dst_port && protocol = 6 | stats count()"));
  EXPECT_EQ(one("icmp == echo_request | stats count()"), one("proto in (icmp, icmpv6) | stats count()"));
  // The tests on `icmp` are of flows that are ICMP.
  EXPECT_EQ(one("icmp not in (echo_request) | stats count()"), "0");
  EXPECT_EQ(one("icmp not in (echo_reply, unreachable) | stats count()"), one("proto in (icmp, icmpv6) | stats count()"));
  EXPECT_EQ(one("icmp not in (echo_reply) | stats count()"), one("icmp != echo_reply | stats count()"));
  EXPECT_EQ(one("tcp_flags == S | stats count()"), one("tcp_flags has syn and not tcp_flags has ack | stats count()"));
  EXPECT_EQ(one("action == reject | stats count()"), "28");
  EXPECT_EQ(one("action != reject | stats count()"), "272");
  EXPECT_EQ(one("app contains 'shop' | stats count()"), "75");
  EXPECT_EQ(one("app =~ /^dns/i | stats count()"), "75");
  EXPECT_EQ(one("app has 'resolver' | stats count()"), "75");
  EXPECT_EQ(one("src_labels has 'blue' | stats count()"), "60");
  EXPECT_EQ(one("extra.vendor == 'acme' and extra.code == '2' | stats count()"), "25");
  EXPECT_EQ(one("where app == null | stats count()"), "150");
  EXPECT_EQ(one("raw_bytes between 110 and 119 | stats count()"), "10");
  EXPECT_EQ(one("duration >= 2s | stats count()"), "150");
}

TEST_F(EngineTest, NullIsNotZero) {
  // Eleven flows have no destination: they satisfy neither == nor !=.
  EXPECT_EQ(one("dst_ip == null | stats count()"), "11");
  EXPECT_EQ(one("dst_ip == 192.0.2.53 or dst_ip != 192.0.2.53 | stats count()"), "289");
  EXPECT_EQ(one("dst_ip in (192.0.2.53) or dst_ip not in (192.0.2.53) | stats count()"), "289");
  EXPECT_EQ(one("stats count(app), count(), sum(reverse_bytes)"), "150 300 null");
}

TEST_F(EngineTest, EitherSide) {
  const std::string either = one("ip == 10.0.0.3 | stats count()");
  EXPECT_EQ(either, one("src_ip == 10.0.0.3 or dst_ip == 10.0.0.3 | stats count()"));
  EXPECT_EQ(std::stoi(either) + std::stoi(one("ip != 10.0.0.3 | stats count()")), 300);
  EXPECT_EQ(header_, "count");
  EXPECT_EQ(std::stoi(either) + std::stoi(one("ip not in (10.0.0.3) | stats count()")), 300);
  EXPECT_EQ(one("stats n = count() by ip | where ip == 10.0.0.3 | select n"), either);
  EXPECT_EQ(one("is_private(ip) | stats count()"), "300");
}

TEST_F(EngineTest, ScalesBySamplingRate) {
  EXPECT_EQ(one("stats sum(raw_bytes)"), "74850");
  // Every 20th is one of 10, unless its rate is not known.
  EXPECT_EQ(one("stats sum(bytes)"), one("stats a = sum(raw_bytes), b = sumif(raw_bytes, sampling_rate == 10) | select a + b * 9"));
  TextSink sink;
  QueryRequest request;
  request.text = "stats sum(bytes)";
  ASSERT_FALSE(run_on(sealed_, request, sink));
  ASSERT_EQ(summary_.warnings.size(), 1u);
  EXPECT_TRUE(summary_.warnings[0].starts_with("6 rows have no known sampling rate")) << summary_.warnings[0];
}

// What the rules come to, row by row from the test data's own definition; and how many rates stay unknown.
std::pair<uint64_t, uint64_t> bytes_by_hand(const SamplingRules& rules) {
  uint64_t sum = 0, unknown = 0;
  for (uint32_t i = 0; i < 300; ++i) {
    std::optional<uint32_t> rate;
    if (i % 50 != 0) rate = i % 20 == 0 ? 10 : 1;
    const bool told = rate.has_value();
    const TimestampNs end = kStart + static_cast<int64_t>(i) * 10 * kSecond;
    if (i % 13 != 0)
      for (const SamplingRule& r : rules) {
        if (!r.exporter.contains(i % 2 == 0 ? ip("192.0.2.1") : ip("192.0.2.2")) || !r.range.contains(end)) continue;
        if (r.domain && *r.domain != i % 3) continue;
        const uint32_t interface = i % 3 == 0 && i % 2 == 1 ? 9 : i % 4;
        if (r.interface && *r.interface != interface) continue;
        if (!told || r.force) rate = r.rate;
      }
    unknown += !rate;
    sum += (100 + i) * uint64_t{rate.value_or(1)};
  }
  return {sum, unknown};
}

TEST_F(EngineTest, CorrectionsOfSamplingRates) {
  const Prefix both = *parse_prefix("192.0.2.0/24"), first = *parse_prefix("192.0.2.1");
  const TimeRange early{kStart, kStart + 1'000 * kSecond}, none{kStart - kDay, kStart};
  const std::vector<SamplingRules> cases = {
      {{.exporter = both, .rate = 100}},                                    // only where none is known
      {{.exporter = first, .rate = 100, .force = true}},
      {{.exporter = first, .range = early, .rate = 7, .force = true}},
      {{.exporter = both, .range = none, .rate = 7, .force = true}},        // no row that old
      {{.exporter = *parse_prefix("198.51.100.0/24"), .rate = 7, .force = true}},
      {{.exporter = both, .domain = 1, .rate = 5, .force = true}},
      {{.exporter = both, .interface = 3, .rate = 5, .force = true}},
      {{.exporter = both, .interface = 9, .rate = 5, .force = true}},       // output, of egress flows
      {{.exporter = both, .domain = 2, .interface = 1, .rate = 9}},
      {{.exporter = both, .rate = 2, .force = true}, {.exporter = first, .domain = 0, .range = early, .rate = 3, .force = true}},  // the last counts
      {{.exporter = first, .rate = 3, .force = true}, {.exporter = both, .rate = 2}},
  };
  const std::string plain = one("stats sum(bytes)");
  for (const SamplingRules& rules : cases) {
    rules_ = rules;
    const auto [sum, unknown] = bytes_by_hand(rules);
    EXPECT_EQ(one("stats sum(bytes)"), std::to_string(sum));
    // The same after a filter, and of the columns side by side; what is stored stays as it was.
    EXPECT_EQ(one("dst_port == 443 | stats a = sum(bytes), b = sum(bytes) | select a - b"), "0");
    EXPECT_EQ(one("bytes > 400 | stats count()"), one("extend b = bytes | where b > 400 | stats count()"));
    EXPECT_EQ(one("stats sum(raw_bytes)"), "74850");
    EXPECT_EQ(one("sampling_rate == 10 | stats count()"), "12");
    TextSink sink;
    QueryRequest request;
    request.text = "stats sum(bytes)";
    ASSERT_FALSE(run_on(sealed_, request, sink));
    const std::string warning = summary_.warnings.empty() ? "" : summary_.warnings[0];
    EXPECT_TRUE(unknown == 0 ? warning.empty() : warning.starts_with(std::to_string(unknown) + " row")) << warning << " " << unknown;
  }
  EXPECT_NE(plain, one("stats sum(bytes)"));
  rules_.clear();
  EXPECT_EQ(one("stats sum(bytes)"), plain);
}

class TestNames final : public NameBook {
 public:
  const std::string* interface_name(const IpAddress& exporter, uint64_t interface) const override {
    return exporter == ip("192.0.2.1") && interface == 2 ? &uplink_ : nullptr;
  }
  const std::string* exporter_name(const IpAddress& exporter) const override { return exporter == ip("192.0.2.1") ? &edge_ : nullptr; }

 private:
  const std::string uplink_ = "uplink", edge_ = "edge-1";
};

TEST_F(EngineTest, NamesOfInterfacesAndExporters) {
  // Nobody knows any.
  EXPECT_EQ(one("if_name(exporter_ip, input_if) == 'uplink' | stats count()"), "0");
  names_ = std::make_shared<const TestNames>();
  EXPECT_EQ(one("if_name(exporter_ip, input_if) == 'uplink' | stats count()"), one("exporter_ip == 192.0.2.1 and input_if == 2 | stats count()"));
  EXPECT_EQ(one("exporter_name(exporter_ip) == 'edge-1' | stats count()"), one("exporter_ip == 192.0.2.1 | stats count()"));
  EXPECT_EQ(ask("stats count() by n = if_name(exporter_ip, input_if) | where n != null | select n"), std::vector<std::string>{"uplink"});
  // Constants are asked when it runs, not when it is bound.
  EXPECT_EQ(one("extend n = if_name(192.0.2.1, 2) | where n == 'uplink' | stats count()"), "300");
  EXPECT_NE(error_of("where if_name(input_if, 1) == 'x'").find("exporter's address"), std::string::npos);
}

TEST_F(EngineTest, GroupsSortsAndLimits) {
  EXPECT_EQ(ask("stats count() by src_ip | sort src_ip desc | limit 2", true), (std::vector<std::string>{"10.0.0.9 30", "10.0.0.8 30"}));
  EXPECT_EQ(ask("top 2 src_ip by sum(raw_bytes)", true), (std::vector<std::string>{"10.0.0.9 7620", "10.0.0.8 7590"}));
  EXPECT_EQ(ask("top 1 src_ip by sum(raw_bytes) with others", true), (std::vector<std::string>{"10.0.0.9 7620 false", "null 67230 true"}));
  EXPECT_EQ(ask("stats total = sum(raw_bytes) / count() by action", true).size(), 2u);
  EXPECT_EQ(ask("distinct protocol", true), (std::vector<std::string>{"1", "6", "17", "58"}));
  EXPECT_EQ(ask("select src_ip, raw_bytes | sort raw_bytes desc | limit 2", true), (std::vector<std::string>{"10.0.0.9 399", "10.0.0.8 398"}));
  ask("stats count(), avg(raw_bytes), min(src_ip), max(app), dcount(src_port), count_distinct(dst_ip), p95(raw_bytes), stdev(raw_packets) by proto, dst_port", true);
  ask("stats first(src_port), last(app), any(dst_ip), values(dst_port, 3), entropy(dst_ip), arg_max(src_ip, raw_bytes) by action", true);
  ask("stats count() by src_ip, dst_ip, src_port, dst_port, proto", true);
  ask("stats count() by extra.code, app", true);
  EXPECT_EQ(one("limit 7 | stats count()"), "7");
  EXPECT_EQ(one("sample 20 | stats count()"), "20");
}

TEST_F(EngineTest, Time) {
  EXPECT_EQ(one("last 30m | stats count()"), "120");
  EXPECT_EQ(one("between 2025-11-21T08:00Z and 2025-11-21T08:10Z | stats count()"), "60");
  EXPECT_EQ(one("active between 2025-11-21T08:00:18Z and 2025-11-21T08:00:21Z | stats count()"), "1");
  const auto lines = ask("between 2025-11-21T08:00Z and 2025-11-21T10:00Z | timeseries count() every 30m", true);
  EXPECT_EQ(lines, (std::vector<std::string>{"2025-11-21T08:00:00Z 180", "2025-11-21T08:30:00Z 120", "2025-11-21T09:00:00Z 0",
                                             "2025-11-21T09:30:00Z 0"}));
  EXPECT_EQ(ask("timeseries sum(raw_bytes) every 30m by app limit 1", true).size(), 4u);
  EXPECT_EQ(ask("stats count() by bin(10m)", true).size(), 5u);
  EXPECT_EQ(header_, "ts count");
}

TEST_F(EngineTest, SaysWhatIsAnEstimate) {
  // Group 0 has 3,000 ports, groups 1 and 2 have 700 each.
  FlowBatchBuilder b;
  for (uint32_t i = 0; i < 4'400; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart);
    b.set_uint(ColumnId::protocol, i < 3'000 ? 0 : i < 3'700 ? 1 : 2);
    b.set_uint(ColumnId::src_port, i);
    b.set_uint(ColumnId::raw_bytes, i);
  }
  store::Snapshot many;
  many.open.push_back(std::make_shared<const Batch>(b.finish()));
  const auto warnings = [&](const std::string& text) {
    QueryRequest request;
    request.text = text;
    TextSink sink;
    const auto error = run_on(many, request, sink);
    EXPECT_FALSE(error) << text << ": " << (error ? error->message : "");
    std::string all;
    for (const auto& w : summary_.warnings)
      if (!w.ends_with("bytes and packets are as reported")) all += w + "\n";
    return all;
  };
  const std::string dcount = "counts by dcount() of more than 1,024 distinct values are estimates, with a standard error of 0.8 %\n";
  const std::string quantile = "quantiles of more than 512 values are estimates, within 0.5 % of the exact one\n";
  EXPECT_EQ(warnings("stats dcount(src_port)"), dcount);
  EXPECT_EQ(warnings("stats dcount(src_port) by proto"), dcount);
  EXPECT_EQ(warnings("stats dcount(src_port), dcount(raw_bytes)"), dcount);  // once
  EXPECT_EQ(warnings("stats dcount(src_port), p50(raw_bytes), p95(raw_bytes)"), dcount + quantile);
  EXPECT_EQ(warnings("where src_port < 1024 | stats dcount(src_port)"), "");
  EXPECT_EQ(warnings("where src_port < 1025 | stats dcount(src_port)"), dcount);
  EXPECT_EQ(warnings("where src_port < 512 | stats p50(src_port)"), "");
  EXPECT_EQ(warnings("where src_port < 513 | stats p50(src_port)"), quantile);
  EXPECT_EQ(warnings("where proto != 0 | stats dcount(src_port) by proto"), "");
  EXPECT_EQ(warnings("top 1 proto by dcount(src_port)"), dcount);
  EXPECT_EQ(warnings("where proto != 0 | top 1 proto by dcount(src_port)"), "");
  // Neither of the groups that become one is an estimate, the whole is.
  EXPECT_EQ(warnings("where proto != 0 or src_port < 10 | top 1 proto by dcount(src_port) with others"), "");
  EXPECT_EQ(warnings("where proto != 0 or src_port < 900 | top 1 proto by dcount(src_port) with others"), dcount);
  EXPECT_EQ(warnings("timeseries dcount(src_port) every 1m"), dcount);
  EXPECT_EQ(warnings("where proto == 1 | timeseries dcount(src_port) every 1m"), "");
  EXPECT_EQ(warnings("stats count_distinct(src_port), count()"), "");
  // The ends are known whatever the number of values, also where they lie beside the middles of their buckets.
  for (const char* set_up : {"stats", "where proto == 0 | stats", "where raw_bytes > 998 and raw_bytes < 3778 | stats"}) {
    QueryRequest request;
    request.text = std::string(set_up) + " quantile(raw_bytes, 0) - min(raw_bytes), quantile(raw_bytes, 1) - max(raw_bytes), quantile(0 - raw_bytes, 0) + max(raw_bytes)";
    for (const bool threads : {false, true}) {
      TextSink sink;
      const auto error = run_on(many, request, sink, threads);
      ASSERT_FALSE(error) << error->message;
      EXPECT_EQ(sink.lines, std::vector<std::string>{"0 0 0"}) << request.text;
    }
  }
  EXPECT_EQ(warnings("stats quantile(raw_bytes, 0), quantile(raw_bytes, 1)"), "");
  EXPECT_EQ(warnings("stats quantile(raw_bytes, 0), quantile(raw_bytes, 0.001)"), quantile);
}

// Has enough after the first batch.
class OneBatchSink final : public TextSink {
 public:
  Status batch(const Batch& rows) override {
    EXPECT_FALSE(has_enough()) << "more rows came than were wanted";
    return TextSink::batch(rows);
  }
  bool has_enough() const override { return !lines.empty(); }
};

TEST_F(EngineTest, AnAnswerThatIsEnoughEndsAsIfItWereComplete) {
  // Where rows pass by, are sorted, are grouped, come out of a table, and are held back because integers may overflow.
  for (const char* text : {"select src_ip, bytes", "sort bytes desc", "stats sum(bytes), dcount(dst_port) by src_ip, dst_ip", "extend b = bytes * 2 | select b",
                           "join (stats n = count() by src_ip) on src_ip | select src_ip, n, bytes"}) {
    SCOPED_TRACE(text);
    store::Snapshot damaged = sealed_;
    damaged.damaged.push_back({damaged.segments[0]->info(), "its checksum is wrong"});
    damaged.damaged.back().info.id = 22;
    QueryRequest request;
    request.text = std::string("between 2025-11-01 and 2026-01-01 | ") + text;
    request.options.batch_rows = 7;
    TextSink whole;
    ASSERT_FALSE(run_on(damaged, request, whole));
    const QuerySummary all = summary_;
    ASSERT_EQ(all.warnings.size(), 2u);
    OneBatchSink some;
    ASSERT_FALSE(run_on(damaged, request, some));
    EXPECT_FALSE(some.lines.empty());
    EXPECT_EQ(summary_.range, all.range);
    // What is said of rows is said of those that were read.
    ASSERT_FALSE(summary_.warnings.empty());
    for (const auto& warning : summary_.warnings) EXPECT_TRUE(std::find(all.warnings.begin(), all.warnings.end(), warning) != all.warnings.end()) << warning;
    EXPECT_EQ(summary_.warnings.back(), "segment 22 is damaged, its rows are missing: its checksum is wrong");
  }
}

TEST_F(EngineTest, WhatIsReadCountsOnce) {
  uint64_t files = 0;
  for (const auto& s : sealed_.segments) files += s->info().file_bytes;
  store::Snapshot without_open = sealed_;
  without_open.open.clear();
  QueryRequest request;
  request.text = "where src_ip == 10.0.0.1";
  for (int i = 0; i < 2'000; ++i) request.text += " or (ip == 10.0.0." + std::to_string(i % 10) + " and dst_port == " + std::to_string(i) + ")";
  request.text += " | stats count() by src_ip, dst_ip";
  TextSink sink;
  ASSERT_FALSE(run_on(without_open, request, sink));
  EXPECT_GT(summary_.stats.bytes_read, 0u);
  EXPECT_LE(summary_.stats.bytes_read, files);
  // Open rows are read too, whatever the pieces.
  uint64_t bytes = 0;
  for (const auto& batch : open_.open) bytes += batch->columns[*batch->find(ColumnId::src_ip)].byte_size() + batch->columns[*batch->find(ColumnId::raw_bytes)].byte_size();
  for (const size_t piece : {0, 7}) {
    request.text = "select src_ip, raw_bytes, again = raw_bytes + 1";
    request.options.batch_rows = piece;
    ASSERT_FALSE(run_on(open_, request, sink));
    EXPECT_GE(summary_.stats.bytes_read, bytes);
    EXPECT_LT(summary_.stats.bytes_read, 3 * bytes);
    if (piece == 0) bytes = summary_.stats.bytes_read;
    EXPECT_EQ(summary_.stats.bytes_read, bytes);
  }
}

TEST_F(EngineTest, ParametersThatNothingAsksFor) {
  QueryRequest request;
  request.text = "dst_port == $port and src_ip in $net -- $other\n| where app != \"$text\"";
  for (const char* name : {"port", "net", "other", "text", "prot"}) request.parameters[name] = {{"1"}, false};
  EXPECT_EQ(unused_parameters(request), (std::vector<std::string>{"other", "prot", "text"}));
  request.text = "dst_port == ";
  EXPECT_EQ(unused_parameters(request).size(), 5u);
  request.text = "dst_port == \"";
  EXPECT_TRUE(unused_parameters(request).empty());
}

TEST_F(EngineTest, Parameters) {
  parameters_["net"] = {{"10.0.0.0/30"}, false};
  parameters_["ports"] = {{"https", "53"}, true};
  parameters_["evil"] = {{"x' or true --"}, false};
  EXPECT_EQ(one("src_ip in $net | stats count()"), "120");
  EXPECT_EQ(one("dst_port in $ports | stats count()"), one("dst_port in (443, 53) | stats count()"));
  EXPECT_EQ(one("app == $evil | stats count()"), "0");
}

TEST_F(EngineTest, Overflow) {
  EXPECT_EQ(one("stats sum(raw_bytes * 1000000000000000000)"), "7.485e+22");
}

TEST_F(EngineTest, OverflowOfRows) {
  // Known only at the last row; what came before must not have been sent in integers.
  EXPECT_EQ(ask("select n = raw_bytes * 46232000000000000").size(), 300u);
}

TEST_F(EngineTest, Errors) {
  EXPECT_EQ(error_of("src_prt == 1"), "unknown column 'src_prt' (did you mean 'src_port'?)");
  EXPECT_EQ(error_of("proto == tpc"), "'tpc' is not a protocol (did you mean 'tcp'?)");
  EXPECT_EQ(error_of("stats sum(app)"), "sum() wants a number or a duration as argument 1 (sum(x))");
  EXPECT_EQ(error_of("from flows | stich"), "unknown stage 'stich' (did you mean 'stitch'?)");
  EXPECT_EQ(error_of("select ip"), "'ip' means source or destination, and this place wants one of them (say 'src_ip' or 'dst_ip')");
  EXPECT_EQ(error_of("src_ip == 5"), "this place wants an address, and this is a number");
  EXPECT_EQ(error_of("app =~ /(/"), "bad regular expression: a '(' without its ')' at character 2");
  QueryRequest request;
  request.text = "from flows";
  request.limits.rows_max = 10;
  TextSink sink;
  auto error = run_on(open_, request, sink);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->message, "the answer has more rows than the limit: rows_max = 10");
  request.limits = {};
  request.limits.memory_bytes = 1'000;
  request.text = "sort app";
  TextSink sink2;
  error = run_on(open_, request, sink2);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::too_large);
}

// Everything that a query makes is on its account: each of these meets the limit one byte below what it needs, and says so.
TEST_F(EngineTest, MemoryOfAllThatAQueryMakesIsBounded) {
  const std::string long_text(3'000, 'x');
  std::string many = "extend";
  for (int i = 0; i < 200; ++i) many += (i == 0 ? " a" : ", a") + std::to_string(i) + " = concat(app, \"" + std::to_string(i) + "\", src_ip)";
  const std::pair<std::string, size_t> queries[] = {
      // Columns, of batches of 70 rows: computed and shown, computed and only tested, made on the way, read, gathered.
      {many + " | where a199 == 'no'", 200 * 70 * 8},
      {many + " | select a0, a1", 200 * 70 * 8},
      {"extend a = concat(app, \"" + long_text + "\") | where a == 'no'", 70 * 3'000},
      {"where length(upper(concat(lower(concat(app, \"" + long_text + "\")), 'x'))) == 1", 2 * 70 * 3'000},
      {"select a = if(src_port > 0, \"" + long_text + "\", app)", 60 * 3'000},
      {"from flows", 70 * 50},
      {"extend a = coalesce(app, \"" + long_text + "\") | where src_port > 40100", 35 * 3'000},
      // Rows that are kept.
      {"extend a = concat(src_port, \"" + long_text + "\") | sort a desc", 300 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | tail 300", 300 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | sample 300", 300 * 3'000},
      // Groups and their states.
      {"extend a = concat(src_port, \"" + long_text + "\") | distinct a", 200 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | stats count() by a", 200 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | top 3 a by sum(bytes) with others", 200 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | stats values(a, 1000)", 200 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | stats max(a), min(a), any(a) by src_port", 3 * 200 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | stats arg_max(a, bytes), first(a) by src_port", 2 * 200 * 3'000},
      {"extend a = concat(src_port, \"" + long_text + "\") | stats count_distinct(a), entropy(a)", 2 * 200 * 3'000},
      {"timeseries dcount(src_port), p95(bytes), values(app) every 1s by src_port", 300 * 300},
      {"stats dcount(src_ip), p50(bytes) by src_port, dst_ip", 200 * 64},
  };
  for (const auto& [text, least] : queries)
    for (const store::Snapshot* snapshot : {&open_, &sealed_}) {
      QueryRequest request;
      request.text = text;
      const std::string what = text.substr(0, 60) + " … " + text.substr(text.size() > 60 ? text.size() - 60 : 0) + (snapshot == &open_ ? " open" : " sealed");
      auto succeeds = [&](size_t limit, std::optional<QueryError>& error) {
        request.limits.memory_bytes = limit;
        TextSink sink;
        error = run_on(*snapshot, request, sink);
        return !error;
      };
      std::optional<QueryError> error;
      ASSERT_TRUE(succeeds(limits::kQueryMemoryBytes, error)) << what << ": " << error->message;
      size_t works = summary_.stats.memory_bytes, fails = 0;
      EXPECT_GE(works, least) << what;
      ASSERT_TRUE(succeeds(works, error)) << what << ": " << error->message;
      EXPECT_LE(summary_.stats.memory_bytes, works) << what;
      while (works - fails > (kAddressSanitizer ? works / 64 + 1 : 1)) {
        const size_t middle = fails + (works - fails) / 2;
        if (succeeds(middle, error)) {
          EXPECT_LE(summary_.stats.memory_bytes, middle) << what;
          works = middle;
        } else {
          ASSERT_EQ(error->code, ErrorCode::too_large) << what << ": " << error->message;
          ASSERT_EQ(error->message, "the query needs more memory than its limit: memory_bytes = " + std::to_string(middle)) << what;
          fails = middle;
        }
      }
      EXPECT_GE(works, least) << what;
    }
}

// Beyond its limit a query stops with the column that it is making, however much more its text would make.
TEST_F(EngineTest, AQueryStopsWhereItMeetsItsMemoryLimit) {
  const std::string long_text(20'000, 'x');
  std::string query = "extend a0 = concat(src_port, \"" + long_text + "\")";
  for (int i = 1; i < 900; ++i) query += ", a" + std::to_string(i) + " = concat(a0, \"" + std::to_string(i) + "\")";
  for (const std::string& text : {query + " | select a1, a899", query + " | where a899 == a898", query + " | stats values(a1), values(a899)"})
    for (const store::Snapshot* snapshot : {&open_, &sealed_})
      for (const bool threads : {false, true}) {
        QueryRequest request;
        request.text = text;
        request.limits.memory_bytes = 32u << 20;  // 900 columns would be 5 GiB
        TextSink sink;
        const auto error = run_on(*snapshot, request, sink, threads);
        ASSERT_TRUE(error);
        EXPECT_EQ(error->message, "the query needs more memory than its limit: memory_bytes = 33554432");
        EXPECT_GT(summary_.stats.memory_bytes, 32u << 20);
        EXPECT_LT(summary_.stats.memory_bytes, (32u << 20) + (1u << 20));
        EXPECT_TRUE(sink.lines.empty());
      }
}

class TickingClock final : public Clock {  // a millisecond passes with each look
 public:
  TimestampNs now() const override { return time += kMillisecond; }
  mutable TimestampNs time = kStart;
};

TEST_F(EngineTest, ManyColumnsOfOneBatchMeetTheDeadline) {
  QueryRequest request;
  request.text = "extend a0 = src_port + 1";
  for (int i = 1; i < 900; ++i) request.text += ", a" + std::to_string(i) + " = src_port + " + std::to_string(i);
  request.text += " | stats count()";
  request.limits.timeout = 500 * kMillisecond;
  TickingClock clock;
  InlineExecutor executor;
  store::Snapshot one_batch;
  one_batch.open.push_back(open_.open[0]);
  QueryContext context;
  context.snapshot = &one_batch;
  context.clock = &clock;
  context.executor = &executor;
  TextSink sink;
  QuerySummary summary;
  const auto error = run(request, context, sink, summary);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::deadline);
}

// Plans of many columns take fewer rows at a time, and say the same.
TEST_F(EngineTest, WidePlansTakeSmallBatches) {
  FlowBatchBuilder b;
  constexpr uint32_t kRows = 70'000;
  for (uint32_t i = 0; i < kRows; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart + i);
    b.set_uint(ColumnId::src_port, i % 60'000);
  }
  const std::vector<Batch> batches = {b.finish()};
  segment::WriteOptions options;
  options.sync = false;
  const std::string path = directory_ / "wide";
  ASSERT_TRUE(segment::write_segment(path, 9, kStart, batches, options).ok());
  auto opened = segment::Segment::open(path);
  ASSERT_TRUE(opened.ok());
  store::Snapshot sealed, open;
  sealed.segments.push_back(*opened);
  open.open.push_back(std::make_shared<const Batch>(batches[0]));
  QueryRequest request;
  request.text = "extend a0 = src_port + 0";
  for (int i = 1; i < 300; ++i) request.text += ", a" + std::to_string(i) + " = a" + std::to_string(i - 1) + " + 1";
  for (const std::string end : {" | where a299 >= 300 | stats n = count(), m = max(a299)", " | where a299 == 60298 | select a299, a0"})
    for (const store::Snapshot* snapshot : {&sealed, &open}) {
      QueryRequest whole = request;
      whole.text += end;
      whole.limits.memory_bytes = 64u << 20;  // 300 columns of a whole block would be 150 MiB
      TextSink sink;
      const auto error = run_on(*snapshot, whole, sink);
      ASSERT_FALSE(error) << error->message;
      ASSERT_EQ(sink.lines.size(), 1u);
      EXPECT_EQ(sink.lines[0], end.find("stats") != std::string::npos ? "69998 60298" : "60298 59999");
      EXPECT_LT(summary_.stats.memory_bytes, 40u << 20);
    }
}

TEST_F(EngineTest, AsksForTheLossesThatConcernTheAnswer) {
  struct Lost {
    const char* name;
    std::vector<uint8_t> sources;
    LostFrom from;
  };
  const uint8_t aws = *kSource.code_of("aws_vpc"), v9 = *kSource.code_of("netflow9"), ipfix = *kSource.code_of("ipfix");
  const Lost losses[] = {{"aws", {aws}, {{}, true}},
                         {"one", {v9}, {ip("192.0.2.1"), false}},
                         {"two", {ipfix}, {ip("2001:db8::2"), false}},
                         {"socket", {v9, ipfix}, {}},
                         {"some", {}, {}}};
  const auto asked = [&](const std::string& text) {
    std::string names;
    InlineExecutor executor;
    QueryContext context;
    context.snapshot = &sealed_;
    context.clock = &clock_;
    context.executor = &executor;
    context.known_loss = [&](const LossQuestion& question) {
      for (const Lost& l : losses)
        if (question.concerns(l.sources, l.from)) names += (names.empty() ? "" : " ") + std::string(l.name);
      return std::vector<std::string>{"a warning"};
    };
    QueryRequest request;
    request.text = text;
    TextSink sink;
    QuerySummary summary;
    const auto error = run(request, context, sink, summary);
    EXPECT_FALSE(error) << text << ": " << error->message;
    EXPECT_EQ(std::count(summary.warnings.begin(), summary.warnings.end(), "a warning"), 1);
    return names;
  };
  EXPECT_EQ(asked("stats count()"), "aws one two socket some");
  EXPECT_EQ(asked("dst_port == 53 | stats count()"), "aws one two socket some");
  EXPECT_EQ(asked("source == aws_vpc | stats count()"), "aws some");
  EXPECT_EQ(asked("source == ipfix | stats count()"), "two socket some");
  EXPECT_EQ(asked("source != ipfix | stats count()"), "aws one socket some");
  EXPECT_EQ(asked("source in (sflow5, oci_vcn) | stats count()"), "some");
  EXPECT_EQ(asked("exporter_ip == 192.0.2.1 | stats count()"), "one socket some");
  EXPECT_EQ(asked("exporter_ip in 2001:db8::/32 and dst_port == 53 | stats count()"), "two socket some");
  EXPECT_EQ(asked("exporter_ip is null | stats count()"), "aws socket some");
  EXPECT_EQ(asked("source == aws_vpc or dst_port == 53 | stats count()"), "aws one two socket some");
  EXPECT_EQ(asked("not (source == aws_vpc or exporter_ip == 192.0.2.1) | stats count()"), "two socket some");
  EXPECT_EQ(asked("source == netflow9 | where exporter_ip == 192.0.2.7 | stats count()"), "socket some");
}

TEST_F(EngineTest, ConcatIsBounded) {
  // Each step doubles the text: 2^16 bytes are its bound.
  std::string text = "limit 1 | extend a0 = concat(\"x\", lower(\"\"))";
  for (int i = 1; i <= 16; ++i) text += " | extend a" + std::to_string(i) + " = concat(a" + std::to_string(i - 1) + ", a" + std::to_string(i - 1) + ")";
  EXPECT_EQ(one(text + " | select length(a16)"), "65536");
  EXPECT_EQ(error_of(text + " | select length(concat(a16, \"x\"))"), "a text made by concat is longer than the limit: 65536 bytes");
}

TEST_F(EngineTest, ValuesOfLongTextsMeetTheMemoryLimit) {
  // 64 texts of 32 KiB: 2 MiB of text, though only 64 values.
  FlowBatchBuilder b;
  for (size_t i = 0; i < 64; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart);
    b.set_string(ColumnId::app, std::string(32u << 10, 'x') + std::to_string(i));
  }
  store::Snapshot long_texts;
  long_texts.open.push_back(std::make_shared<const Batch>(b.finish()));
  QueryRequest request;
  request.text = "stats values(app)";
  request.limits.memory_bytes = 1u << 20;
  TextSink refused;
  const auto error = run_on(long_texts, request, refused);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::too_large);
  // What was put out again does not count.
  request.text = "stats values(app, 4)";
  TextSink kept;
  EXPECT_FALSE(run_on(long_texts, request, kept));
}

TEST_F(EngineTest, ColumnsOfOneTableHaveABound) {
  auto columns = [](const std::string& before, size_t count) {
    std::string text = before;
    for (size_t i = 0; i < count; ++i) text += (i == 0 ? " a" : ", a") + std::to_string(i) + " = " + std::to_string(i % 10);
    return text;
  };
  EXPECT_EQ(one(columns("extend", limits::kQueryColumnsMax) + " | stats n = max(a7)"), "7");
  QueryRequest request;
  request.text = columns("extend", 40'000);
  TextSink sink;
  auto error = run_on(open_, request, sink);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::too_large);
  EXPECT_EQ(error->message, "more than 1000 columns in one table");
  ASSERT_TRUE(error->span);
  EXPECT_EQ(request.text.substr(error->span->offset, 9), "a1000 = 0");
  // Replaced ones cost as much.
  std::string same = "extend a = 1";
  for (size_t i = 0; i < 2'000; ++i) same += ", a = 1";
  EXPECT_TRUE(error_of(same).starts_with("more than 1000 columns"));
  EXPECT_TRUE(error_of(columns("select", 2'000)).starts_with("more than 1000 columns"));
  EXPECT_TRUE(error_of(columns("stats count() by", 2'000)).starts_with("more than 1000 columns"));
}

TEST_F(EngineTest, NamesFollowRenamesAndDrops) {
  EXPECT_EQ(one("rename src_ip as who | where who == 10.0.0.3 | stats count()"), "30");
  EXPECT_EQ(one("rename src_ip as dummy, dst_ip as src_ip, dummy as dst_ip | where dst_ip == 10.0.0.3 | stats count()"), "30");
  EXPECT_EQ(error_of("rename src_ip as who | select src_ip").substr(0, 23), "unknown column 'src_ip'");
  EXPECT_EQ(error_of("drop src_ip | select src_ip").substr(0, 23), "unknown column 'src_ip'");
  EXPECT_EQ(one("extend APP = 'x' | drop src_ip | where app == 'x' | stats count()"), "300");
}

class SharedClock final : public Clock {  // another thread sets it
 public:
  TimestampNs now() const override { return time; }
  std::atomic<TimestampNs> time{kStart};
};

TEST_F(EngineTest, LongRegexWorkStopsAtDeadlineAndCancel) {
  // One row whose text keeps a Pike machine of 3,000 threads busy for 60,000 bytes: seconds of work in a single value. Sealed
  // it is work over a dictionary, open over rows.
  FlowBatchBuilder b;
  for (int i = 0; i < 40; ++i) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, kStart);
    b.set_string(ColumnId::app, std::string(60'000, 'a') + std::to_string(i));
  }
  const std::vector<Batch> batches = [&] {
    std::vector<Batch> out;
    out.push_back(b.finish());
    return out;
  }();
  segment::WriteOptions options;
  options.sync = false;
  const std::string path = directory_ / "long";
  ASSERT_TRUE(segment::write_segment(path, 9, kStart, batches, options).ok());
  auto opened = segment::Segment::open(path);
  ASSERT_TRUE(opened.ok());
  store::Snapshot sealed, open;
  sealed.segments.push_back(*opened);
  open.open.push_back(std::make_shared<const Batch>(batches[0]));
  for (const std::string text : {"where app =~ /(?:a?){1000}b$/ | stats count()", "extend x = extract(app, '(?:a?){1000}b$') | stats count(x)"})
    for (const store::Snapshot* snapshot : {&sealed, &open})
      for (const bool cancel : {true, false}) {
        CancelToken token;
        SharedClock clock;
        InlineExecutor executor;
        QueryContext context;
        context.snapshot = snapshot;
        context.clock = &clock;
        context.executor = &executor;
        context.cancel = &token;
        QueryRequest request;
        request.text = text;
        std::thread other([&] {
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          if (cancel)
            token.cancel();
          else
            clock.time = kStart + 2 * limits::kQueryTimeout;
        });
        TextSink sink;
        QuerySummary summary;
        const auto error = run(request, context, sink, summary);
        other.join();
        ASSERT_TRUE(error) << text;
        EXPECT_EQ(error->code, cancel ? ErrorCode::cancelled : ErrorCode::deadline) << text << ": " << error->message;
      }
}

TEST_F(EngineTest, StatementsOfTheSystem) {
  EXPECT_FALSE(ask("show columns | where name == 'src_ip'").empty());
  EXPECT_FALSE(ask("explain src_ip == 10.0.0.1 | stats count()", true).empty());
  TextSink sink;
  QueryRequest request;
  request.text = "explain analyze src_ip == 10.0.0.1 | stats count()";
  ASSERT_FALSE(run_on(sealed_, request, sink));
  EXPECT_EQ(sink.header, "step rows_in rows_out time detail");
  EXPECT_EQ(sink.lines.size(), 2u);
  request.text = "proto == t";
  EXPECT_EQ(validate(request).size(), 1u);
  QueryContext context;
  const auto list = complete("proto == t", 10, context);
  EXPECT_EQ(list.replace_offset, 9u);
  ASSERT_FALSE(list.items.empty());
  EXPECT_EQ(list.items[0].text, "tcp");
}

// A list is proposed as it can be read, also where its name is no plain word.
TEST_F(EngineTest, CompletesListsOfAnyName) {
  QueryContext context;
  context.snapshot = &sealed_;
  auto book = std::make_shared<const ListBook>();
  for (const char* name : {"bad", "zone_a b"}) book = book->with(std::make_shared<const WatchList>(*make_watch_list(name, {"10.0.0.1"})));
  context.lists = book;
  for (const std::string begun : {"@", "@zo"}) {
    const std::string text = "src_ip in " + begun;
    std::vector<std::string> proposed;
    for (const auto& item : complete(text, text.size(), context).items) proposed.push_back(item.text);
    EXPECT_NE(std::find(proposed.begin(), proposed.end(), "@\"zone_a b\""), proposed.end()) << text;
    EXPECT_EQ(std::count(proposed.begin(), proposed.end(), "@bad"), begun == "@") << text;
  }
  QueryRequest request;
  request.text = "src_ip in @\"zone_a b\" | stats count()";
  EXPECT_TRUE(validate(request, &context).empty());
}

// What the server knows of itself is asked as flows are.
TEST_F(EngineTest, TablesOfTheServer) {
  Column rule(PhysicalType::Str), ts(PhysicalType::I64), count(PhysicalType::U64);
  for (const char* name : {"scan", "beacon"}) {
    rule.append_string(name);
    ts.append(kStart);
    count.append(UINT64_MAX);
  }
  const auto field = [](std::string name, LogicalType type, PhysicalType physical) { return Field{std::move(name), type, physical, nullptr, {}, std::nullopt}; };
  Batch table;
  table.schema = std::make_shared<Schema>(Schema{field("ts", LogicalType::timestamp, PhysicalType::I64), field("rule", LogicalType::string, PhysicalType::Str),
                                                 field("n", LogicalType::uint, PhysicalType::U64)});
  table.rows = 2;
  table.columns = {ts, rule, count};
  QueryContext context;
  context.snapshot = &sealed_;
  context.clock = &clock_;
  InlineExecutor executor;
  context.executor = &executor;
  context.system_tables = [&](std::string_view name) -> std::optional<Result<Batch>> {
    if (name != "alerts") return std::nullopt;
    return Result<Batch>(table);
  };
  QueryRequest request;
  const auto answer = [&](const char* text) {
    request.text = text;
    TextSink sink;
    summary_ = {};
    const auto error = run(request, context, sink, summary_);
    EXPECT_FALSE(error) << text << ": " << (error ? error->message : "");
    return sink.lines;
  };
  const std::vector<std::string> sum{"3.689348815e+19"}, sums(2, sum[0]);
  for (const char* text : {"from alerts | stats s = sum(n)", "show alerts | stats s = sum(n)"}) {
    EXPECT_EQ(answer(text), sum) << text;
    ASSERT_EQ(summary_.warnings.size(), 1u) << text;
    EXPECT_NE(summary_.warnings[0].find("floats"), std::string::npos);
  }
  EXPECT_EQ(answer("from alerts | select x = n + n"), sums);
  const auto plan = answer("explain from alerts | stats c = count() by rule");
  ASSERT_FALSE(plan.empty());
  EXPECT_EQ(plan[0], "read the server's table");
  request.text = "explain analyze from alerts";
  TextSink sink;
  const auto refused = run(request, context, sink, summary_);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, ErrorCode::unsupported);

  // In parentheses, beside flows and beside each other; the range around them is asked of their `ts`.
  const std::string day = "between " + format_timestamp(kStart) + " and " + format_timestamp(kStart + kDay);
  const auto flows = answer((day + " | stats n = count()").c_str());
  EXPECT_EQ(answer((day + " | extend rule = 'scan' | join (from alerts | select rule, alerts = n) on rule | stats n = count()").c_str()), flows);
  EXPECT_EQ(answer((day + " | extend rule = 'scan' | join anti (from alerts) on rule").c_str()).size(), 0u);
  EXPECT_EQ(answer(("between " + format_timestamp(kStart + 1) + " and " + format_timestamp(kStart + kDay) + " | extend rule = 'scan' | join (from alerts | select rule) on rule").c_str()).size(), 0u);
  EXPECT_EQ(answer("from alerts | join semi (from flows | stats n = count() | extend rule = 'beacon') on rule | select rule"), std::vector<std::string>{"beacon"});
  EXPECT_EQ(answer("from alerts | join (from alerts | where rule == 'scan' | select rule, other = n) on rule | stats c = count()"), std::vector<std::string>{"1"});
  const auto joined = answer("explain from flows | extend rule = 'scan' | join (from alerts | where n > 1 | select rule) on rule");
  ASSERT_GT(joined.size(), 2u);
  EXPECT_EQ(joined[0], "first, join with:");
  EXPECT_EQ(joined[1], "  read the server's table");
  EXPECT_FALSE(answer("explain analyze from flows | extend rule = 'scan' | join (from alerts | select rule) on rule").empty());

  for (const char* text : {"from alerts | where rule == 'scan'", "join semi (from alerts) on action == rule", "from alerts last 1h | stats c = count() by rule", "show alerts | where n > 1", "explain from alerts", "from flows"}) {
    request.text = text;
    EXPECT_TRUE(validate(request, &context).empty()) << text;
  }
  for (const auto& [text, hint] : {std::pair{"from alerts | where rul == 'scan'", "did you mean 'rule'?"}, {"show alerts | where rul == 'scan'", "did you mean 'rule'?"},
                                   {"show alrts", "did you mean 'alerts'?"}, {"from alrts", "did you mean 'alerts'?"}, {"join semi (from alrts) on src_ip", "did you mean 'alerts'?"}, {"join semi (from alerts | where rul == 'x') on src_ip == rule", "did you mean 'rule'?"}}) {
    request.text = text;
    const auto errors = validate(request, &context);
    ASSERT_EQ(errors.size(), 1u) << text;
    EXPECT_EQ(errors[0].hint, hint) << text;
    EXPECT_FALSE(errors[0].caret.empty()) << text;
  }
}

// What the plan says of pruning is what the scan can do.
TEST_F(EngineTest, ExplainsWhatPrunes) {
  const auto filter = [&](const std::string& text) {
    TextSink sink;
    QueryRequest request;
    request.text = "explain " + text + " | stats n = count()";
    EXPECT_FALSE(run_on(sealed_, request, sink)) << text;
    for (const std::string& line : sink.lines)
      if (line.find("filter in scan") != std::string::npos) return line.find('[') == std::string::npos ? std::string() : line.substr(line.find('['));
    return std::string("no filter");
  };
  EXPECT_EQ(filter("where src_ip == 10.0.0.1"), "[prunes by dictionary, postings, zones]");
  EXPECT_EQ(filter("where src_ip == 10.0.0.1 or dst_port == 5"), "[prunes by dictionary, postings, zones]");
  EXPECT_EQ(filter("where src_ip == 10.0.0.1 or src_port + dst_port == 5"), "");
  EXPECT_EQ(filter("where not (src_ip == 10.0.0.1)"), "[prunes by zones]");
  EXPECT_EQ(filter("where ts > 2025-11-21T08:00Z"), "[prunes by zones]");
  EXPECT_EQ(filter("since 2025-11-21"), "[prunes by segment times, zones]");

  // A long condition stands beside each of its parts in short.
  std::string text = "where src_port != 40000";
  for (int i = 1; i < 2'000; ++i) text += " and src_port != " + std::to_string(40'000 + i);
  TextSink sink;
  QueryRequest request;
  request.text = "explain " + text + " | stats n = count()";
  ASSERT_FALSE(run_on(sealed_, request, sink));
  EXPECT_GT(sink.lines.size(), 2'000u);
  for (const std::string& line : sink.lines) EXPECT_LT(line.size(), 2 * limits::kPlanTextBytesMax) << line;
  EXPECT_EQ(one(text + " | stats n = count()"), "0");
}

TEST_F(EngineTest, TellsTheKeysOfTheLastGrouping) {
  const auto keys = [&](const char* text) {
    ask(text);
    return summary_.keys;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(keys("select src_ip, dst_port"), Names());
  EXPECT_EQ(keys("stats n = count() by dst_port, action"), (Names{"dst_port", "action"}));
  EXPECT_EQ(keys("top 3 dst_port by sum(bytes) | rename door = dst_port | extend twice = door"), Names{"door"});
  EXPECT_EQ(keys("stats n = count() by dst_port, action | select n, action"), Names{"action"});
  EXPECT_EQ(keys("timeseries n = count() every 1h by protocol"), (Names{"ts", "protocol"}));
  EXPECT_EQ(keys("stats n = count() by dst_port | stats m = max(n)"), Names());
}

TEST_F(EngineTest, SaysWhatBecameOfNumbersThatDoNotFit) {
  ask("where src_port == 40001 | select t = ts + 100000d");
  ASSERT_EQ(summary_.warnings.size(), 1u);
  EXPECT_NE(summary_.warnings[0].find("292 years"), std::string::npos) << summary_.warnings[0];
  ask("where src_port == 40001 | select t = ts + 1d");
  EXPECT_TRUE(summary_.warnings.empty());
}

TEST(Dcount, IsNeverMoreThanWhatWasCounted) {
  const AggregateSpec* spec = find_aggregate("dcount");
  ASSERT_NE(spec, nullptr);
  const auto make = spec->bind({}, false);
  ASSERT_TRUE(make.ok());
  const uint32_t group = 0;
  for (uint64_t n = 1'025; n < 60'000; n += 1'741) {
    // All values differ: half of them in each of two parts.
    EvalContext context;
    const auto part = [&](uint64_t from, uint64_t to) {
      std::vector<uint64_t> values(to - from);
      std::iota(values.begin(), values.end(), from * 7'919);
      const ColumnPtr column = std::make_shared<Column>(Column::of<uint64_t>(PhysicalType::U64, std::move(values)));
      auto aggregate = make->make();
      aggregate->resize(1);
      aggregate->update(nullptr, {&column, 1}, to - from, context);
      return aggregate;
    };
    auto whole = part(0, n / 2);
    whole->merge(*part(n / 2, n), {&group, 1}, context);
    const uint64_t counted = whole->finish({&group, 1}, context).uint_at(0);
    EXPECT_LE(counted, n);
    EXPECT_GE(counted, n - n / 25) << n;
  }
}

TEST_F(EngineTest, PrunesWhatCannotMatch) {
  TextSink sink;
  QueryRequest request;
  request.text = "src_ip == 203.0.113.9 | stats count()";
  ASSERT_FALSE(run_on(sealed_, request, sink));
  EXPECT_EQ(summary_.stats.segments, 2u);
  EXPECT_EQ(summary_.stats.segments_pruned, 2u);
}

}  // namespace
}  // namespace sluice::query
