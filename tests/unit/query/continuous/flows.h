// Flows at random, and what queries and rules say of them as lines of text: for tests that hold one against the other.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "query/continuous/rule_state.h"
#include "storage/model/batch.h"
#include "storage/store/store.h"
#include "tests/unit/query/continuous/rules.h"

namespace sluice::query::continuous {

inline const TimestampNs kStart = *parse_timestamp("2026-11-20T08:00:00Z");

struct Flow {
  TimestampNs end;
  uint32_t src, dst;
  uint16_t port;
  uint8_t protocol;
  uint16_t flags;
  uint64_t bytes;
  uint32_t rate;
  std::string region;
};

inline std::shared_ptr<const Batch> batch_of(std::span<const Flow> flows) {
  FlowBatchBuilder b;
  for (const Flow& f : flows) {
    b.begin_row();
    b.set_time(ColumnId::flow_end, f.end);
    b.set_time(ColumnId::flow_start, f.end - kSecond);
    b.set_ip(ColumnId::src_ip, IpAddress::v4(0x0a000000 + f.src));
    b.set_ip(ColumnId::dst_ip, IpAddress::v4(0x0a000000 + f.dst));
    b.set_uint(ColumnId::dst_port, f.port);
    b.set_uint(ColumnId::protocol, f.protocol);
    if (f.protocol == 6) b.set_uint(ColumnId::tcp_flags, f.flags);
    if (f.bytes > 0) b.set_uint(ColumnId::raw_bytes, f.bytes);
    if (f.rate > 0) b.set_uint(ColumnId::sampling_rate, f.rate);
    if (!f.region.empty()) b.set_string(ColumnId::src_region, f.region);
  }
  return std::make_shared<const Batch>(b.finish());
}

// In order of arrival: later than their time by at most `jitter`.
inline std::vector<Flow> random_flows(std::mt19937_64& dice, size_t count, DurationNs span, DurationNs jitter) {
  std::vector<std::pair<TimestampNs, Flow>> arrivals;
  for (size_t i = 0; i < count; ++i) {
    Flow f;
    f.end = kStart + static_cast<int64_t>(dice() % static_cast<uint64_t>(span));
    f.src = dice() % 9, f.dst = dice() % 30;
    static const uint16_t ports[] = {22, 53, 80, 443, 3389};
    f.port = dice() % 3 ? ports[dice() % 5] : static_cast<uint16_t>(1024 + dice() % 3000);
    f.protocol = dice() % 4 ? 6 : 17;
    static const uint16_t flags[] = {2, 18, 27, 16, 0};
    f.flags = flags[dice() % 5];
    f.bytes = dice() % 9 ? dice() % 10'000 : 0;
    f.rate = dice() % 3 ? 1 : dice() % 2 ? 100 : 0;
    static const char* regions[] = {"", "eu-west-1", "us-east-1"};
    f.region = regions[dice() % 3];
    arrivals.emplace_back(f.end + static_cast<int64_t>(jitter > 0 ? dice() % static_cast<uint64_t>(jitter) : 0), f);
  }
  std::sort(arrivals.begin(), arrivals.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Flow> out;
  for (auto& [at, flow] : arrivals) out.push_back(std::move(flow));
  return out;
}

using Windows = std::map<TimestampNs, Rows>;

inline Rows rows_of(const Finding& finding) { return lines_of(finding.rows, finding.rule.plan.output); }

inline Rows ask(const std::string& query, TimeRange range, const store::Snapshot& snapshot) {
  const Over over(snapshot, kStart + kDay);
  QueryRequest request;
  request.text = query;
  request.from = range.from;
  request.to = range.to;
  LinesSink sink;
  QuerySummary summary;
  const auto error = run(request, over.context, sink, summary);
  EXPECT_FALSE(error) << query << ": " << error->message;
  return sink.lines;
}

inline std::vector<Flow> plain(std::initializer_list<DurationNs> times, uint32_t src = 1) {
  std::vector<Flow> flows;
  for (const DurationNs t : times) flows.push_back({kStart + t, src, 2, 22, 6, 2, 100, 1, ""});
  return flows;
}

}  // namespace sluice::query::continuous
