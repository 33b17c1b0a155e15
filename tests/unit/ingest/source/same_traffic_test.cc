#include "ingest/source/limits.h"
#include "ingest/source/same_traffic.h"
#include "storage/model/limits.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::ingest {
namespace {

constexpr TimestampNs kT0 = 1'763'625'600 * kSecond;  // 2025-11-20T08:00:00Z

struct Row {
  const char* exporter;
  int from, to;  // seconds after kT0
  uint16_t src_port = 40'000;
  const char* src = "10.1.0.1";
  const char* dst = "10.2.0.2";
  std::optional<Direction> direction = {};
  Action action = Action::accept;
  uint64_t reverse_packets = 0;
  uint32_t rate = 1;  // 0: not known
};

Batch batch_of(const std::vector<Row>& rows) {
  FlowBatchBuilder out;
  for (const Row& row : rows) {
    out.begin_row();
    out.set_time(ColumnId::flow_start, kT0 + row.from * kSecond);
    out.set_time(ColumnId::flow_end, kT0 + row.to * kSecond);
    out.set_ip(ColumnId::src_ip, *parse_ip(row.src));
    out.set_ip(ColumnId::dst_ip, *parse_ip(row.dst));
    out.set_uint(ColumnId::src_port, row.src_port);
    out.set_uint(ColumnId::dst_port, 443);
    out.set_uint(ColumnId::protocol, 6);
    out.set_enum(ColumnId::source, Source::netflow9);
    out.set_ip(ColumnId::exporter_ip, *parse_ip(row.exporter));
    if (row.rate > 0) out.set_uint(ColumnId::sampling_rate, row.rate);
    if (row.action != Action::accept) out.set_enum(ColumnId::action, row.action);
    if (row.direction) out.set_enum(ColumnId::direction, *row.direction);
    if (row.reverse_packets > 0) {
      out.set_uint(ColumnId::is_biflow, 1);
      out.set_uint(ColumnId::raw_reverse_packets, row.reverse_packets);
    }
  }
  return out.finish();
}

std::string marks_of(const Batch& batch) {
  std::string out;
  const auto at = batch.find(ColumnId::duplicate);
  for (size_t row = 0; row < batch.rows; ++row) {
    const bool is_null = !at || batch.columns[*at].is_null(row);
    out += is_null ? '.' : batch.columns[*at].uint_at(row) != 0 ? 'D' : '0';
  }
  return out;
}

SameTrafficGroup core() {
  SameTrafficGroup group;
  group.name = "core";
  group.exporters = {*parse_prefix("192.0.2.0/24")};
  return group;
}

std::string mark(SameTraffic& marker, const std::vector<Row>& rows) {
  Batch batch = batch_of(rows);
  marker.mark(batch);
  return marks_of(batch);
}

constexpr const char* kA = "192.0.2.1";
constexpr const char* kB = "192.0.2.2";
constexpr const char* kOther = "198.51.100.9";

TEST(SameTraffic, TheFirstReporterCountsAndTheOthersAreMarked) {
  SameTraffic marker({core()}, 1);
  EXPECT_EQ(mark(marker, {{kA, 0, 60}, {kB, 0, 60}, {kA, 60, 120}, {kB, 61, 121}}), ".D.D");
  // Over batches, and in the other order: whose time is told first.
  EXPECT_EQ(mark(marker, {{kB, 180, 240}}), ".");
  EXPECT_EQ(mark(marker, {{kA, 180, 240}}), "D");
  const auto stats = marker.stats();
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].compared, 6u);
  EXPECT_EQ(stats[0].marked, 3u);
  EXPECT_EQ(stats[0].flows, 1u);
}

TEST(SameTraffic, NothingIsComparedWithoutBeingTold) {
  SameTraffic none({}, 1);
  EXPECT_EQ(mark(none, {{kA, 0, 60}, {kB, 0, 60}}), "..");
  SameTraffic marker({core()}, 1);
  EXPECT_EQ(mark(marker, {{kOther, 0, 60}, {kA, 0, 60}, {kOther, 0, 60}}), "...") << "an exporter of no group";
  EXPECT_FALSE(batch_of({{kA, 0, 60}}).find(ColumnId::duplicate)) << "no column where nothing is marked";
  // Two groups look at different traffic, though addresses are the same.
  SameTrafficGroup left = core(), right = core();
  left.exporters = {*parse_prefix(kA)};
  right.exporters = {*parse_prefix(kB)};
  SameTraffic two({left, right}, 1);
  EXPECT_EQ(mark(two, {{kA, 0, 60}, {kB, 0, 60}}), "..");
}

TEST(SameTraffic, WhatDiffersIsNoDuplicate) {
  SameTraffic marker({core()}, 1);
  EXPECT_EQ(mark(marker, {{kA, 0, 60}, {kB, 0, 60, 40'001}, {kB, 0, 60, 40'000, "10.1.0.3"}, {kB, 0, 60, 40'000, "10.2.0.2", "10.1.0.1"}}), "....")
      << "another port, another address, the other direction";
  EXPECT_EQ(mark(marker, {{.exporter = kB, .from = 0, .to = 60, .action = Action::drop}}), ".") << "refused there, let pass here";
}

TEST(SameTraffic, AReporterRepeatsItselfFreely) {
  SameTraffic marker({core()}, 1);
  EXPECT_EQ(mark(marker, {{kA, 0, 60}, {kA, 0, 60}, {kA, 30, 90}}), "...");
  // But what goes in is what comes out.
  EXPECT_EQ(mark(marker, {{.exporter = kA, .from = 0, .to = 60, .src_port = 1, .direction = Direction::ingress},
                          {.exporter = kA, .from = 0, .to = 60, .src_port = 1, .direction = Direction::egress}}),
            ".D");
}

TEST(SameTraffic, WhoSamplesMoreDoesNotHideWhoCountsEveryPacket) {
  // A short flow: one packet in a hundred is told at once, all of them when the flow ends.
  const auto sampled = [](int from, int to, uint32_t rate) { return Row{.exporter = kA, .from = from, .to = to, .rate = rate}; };
  for (const uint32_t rate : {100u, 2u, 0u}) {
    SameTraffic marker({core()}, 1);
    EXPECT_EQ(mark(marker, {sampled(1, 1, rate), {kB, 0, 8}, sampled(6, 6, rate), {kB, 8, 9}}), "..D.") << rate;
  }
  // Of two that sample alike, the first counts; ports of one exporter may have rates of their own.
  SameTraffic alike({core()}, 1);
  EXPECT_EQ(mark(alike, {sampled(1, 1, 1'000), {.exporter = kB, .from = 0, .to = 8, .rate = 1'000}, sampled(2, 2, 10), {.exporter = kB, .from = 2, .to = 3, .rate = 100}}), ".D.D");
}

TEST(SameTraffic, ExportersMayCutFlowsAtDifferentTimes) {
  SameTraffic marker({core()}, 1);
  // A minute each from one, five minutes at once from the other.
  EXPECT_EQ(mark(marker, {{kA, 0, 60}, {kA, 60, 120}, {kA, 120, 180}, {kA, 180, 240}, {kA, 240, 300}, {kB, 0, 300}}), ".....D");
  // The long one first: then the short ones are the duplicates.
  EXPECT_EQ(mark(marker, {{kB, 0, 300, 2}, {kA, 0, 60, 2}, {kA, 240, 300, 2}}), ".DD");
}

TEST(SameTraffic, WhenTheFirstFallsSilentTheOtherCounts) {
  SameTraffic marker({core()}, 1);
  EXPECT_EQ(mark(marker, {{kA, 0, 60}, {kB, 0, 60}, {kB, 66, 120}, {kA, 70, 120}, {kB, 120, 180}}), ".D.D.");
  // Meeting a little at the edge is not the same traffic.
  EXPECT_EQ(mark(marker, {{kA, 0, 60, 3}, {kB, 55, 120, 3}}), "..");
  // An older row does not take the flow from who tells now.
  EXPECT_EQ(mark(marker, {{kA, 1'000, 1'060, 4}, {kB, 0, 60, 4}, {kB, 1'000, 1'060, 4}}), "..D");
}

TEST(SameTraffic, ClocksMayBeApartByTheTolerance) {
  SameTraffic marker({core()}, 1);
  EXPECT_EQ(mark(marker, {{kA, 0, 0}, {kB, 5, 5}, {kB, 6, 6}}), ".D.");
  SameTrafficGroup exact = core();
  exact.tolerance = 0;
  SameTraffic strict({exact}, 1);
  EXPECT_EQ(mark(strict, {{kA, 0, 0}, {kB, 0, 0}, {kB, 1, 1}}), ".D.");
}

TEST(SameTraffic, ABiflowSpeaksForBothDirections) {
  SameTraffic marker({core()}, 1);
  EXPECT_EQ(mark(marker, {{.exporter = kA, .from = 0, .to = 60, .reverse_packets = 5},
                          {kB, 0, 60},
                          {.exporter = kB, .from = 0, .to = 60, .src_port = 40'000, .src = "10.2.0.2", .dst = "10.1.0.1"}}),
            ".D.")
      << "the other's ports are not turned round here";
  Batch batch = batch_of({{.exporter = kA, .from = 0, .to = 60, .src_port = 443, .reverse_packets = 5},
                          {.exporter = kB, .from = 0, .to = 60, .src_port = 443, .src = "10.2.0.2", .dst = "10.1.0.1"}});
  marker.mark(batch);
  EXPECT_EQ(marks_of(batch), ".D");
}

TEST(SameTraffic, TheSameRowsAgainGetTheSameMarks) {
  SameTraffic marker({core()}, 1);
  const std::vector<Row> rows = {{kA, 0, 60}, {kB, 0, 60}, {kB, 66, 120}, {kA, 70, 120}};
  const std::string first = mark(marker, rows);
  EXPECT_EQ(first, ".D.D");
  SameTraffic once({core()}, 1);
  EXPECT_EQ(mark(once, {rows[0], rows[1]}), ".D");
  EXPECT_EQ(mark(once, {rows[0], rows[1]}), ".D") << "a body that is sent again because the store was full";
}

TEST(SameTraffic, StoredRowsTellWhoCounts) {
  SameTraffic before({core()}, 1);
  Batch stored = batch_of({{kB, 0, 60}, {kA, 0, 60}});
  before.mark(stored);
  ASSERT_EQ(marks_of(stored), ".D");
  SameTraffic after({core()}, 2);
  after.learn(stored);
  EXPECT_EQ(mark(after, {{kA, 0, 60}, {kB, 0, 60}}), "D.") << "a restart between two reports changes nothing";
  EXPECT_EQ(after.stats()[0].marked, 1u) << "what is learned is not counted";
}

// Of a cloud: the interface that reports.
Batch cloud_batch(Source source, const std::vector<std::tuple<const char*, const char*, std::optional<bool>>>& rows) {
  FlowBatchBuilder out;
  for (const auto& [src_interface, dst_interface, marked] : rows) {
    out.begin_row();
    out.set_time(ColumnId::flow_start, kT0);
    out.set_time(ColumnId::flow_end, kT0 + kMinute);
    out.set_ip(ColumnId::src_ip, *parse_ip("10.1.0.1"));
    out.set_ip(ColumnId::dst_ip, *parse_ip("10.2.0.2"));
    out.set_enum(ColumnId::source, source);
    if (*src_interface) out.set_string(ColumnId::src_interface_id, src_interface);
    if (*dst_interface) out.set_string(ColumnId::dst_interface_id, dst_interface);
    if (source == Source::gcp_vpc) out.set_enum(ColumnId::reporter, *src_interface ? Reporter::src : Reporter::dst);
    if (marked) out.set_uint(ColumnId::duplicate, *marked);
  }
  return out.finish();
}

TEST(SameTraffic, BothEndsOfACloudsConnection) {
  SameTrafficGroup group;
  group.name = "vpc";
  group.sources = {Source::aws_vpc, Source::gcp_vpc};
  SameTraffic marker({group}, 1);
  Batch aws = cloud_batch(Source::aws_vpc, {{"eni-1", "", {}}, {"", "eni-2", {}}, {"eni-1", "", {}}, {"", "", {}}});
  marker.mark(aws);
  EXPECT_EQ(marks_of(aws), ".D..") << "who cannot be told is not compared";
  // Google's own marks within a body: the source's end counts, unless the other end was stored before.
  SameTraffic google({group}, 1);
  Batch body = cloud_batch(Source::gcp_vpc, {{"", "x", true}, {"x", "", {}}});
  google.mark(body);
  EXPECT_EQ(marks_of(body), "D.");
  SameTraffic late({group}, 1);
  Batch alone = cloud_batch(Source::gcp_vpc, {{"", "x", {}}});
  late.mark(alone);
  EXPECT_EQ(marks_of(alone), ".");
  Batch both = cloud_batch(Source::gcp_vpc, {{"", "x", true}, {"x", "", {}}});
  late.mark(both);
  EXPECT_EQ(marks_of(both), ".D") << "one of the two is left in each case";
  EXPECT_FALSE(tells_reporter(Source::zeek));
  EXPECT_FALSE(tells_reporter(Source::netflow9));
}

TEST(SameTraffic, WhatCannotBeComparedPasses) {
  SameTraffic marker({core()}, 1);
  FlowBatchBuilder out;
  out.begin_row();  // nothing at all
  out.begin_row();
  out.set_enum(ColumnId::source, Source::ipfix);
  out.set_ip(ColumnId::exporter_ip, *parse_ip(kA));
  out.set_time(ColumnId::flow_end, kTimestampMax);
  out.set_ip(ColumnId::src_ip, *parse_ip("10.1.0.1"));
  out.set_ip(ColumnId::dst_ip, *parse_ip("10.1.0.2"));
  Batch batch = out.finish();
  marker.mark(batch);
  EXPECT_EQ(marks_of(batch), "..");
  EXPECT_EQ(marker.stats()[0].compared, 0u);
  Batch empty = FlowBatchBuilder().finish();
  marker.mark(empty);
}

TEST(SameTraffic, MemoryIsBoundedAndWhatIsForgottenCounted) {
  SameTraffic marker({core()}, 1);
  // One more flow than is remembered, all within one second; in batches.
  std::mt19937 random(7);
  const size_t flows = limits::kSameTrafficKeysMax + limits::kSameTrafficKeysMax / 4;
  const IpAddress exporter = *parse_ip(kA);
  for (size_t done = 0; done < flows;) {
    FlowBatchBuilder out;
    for (size_t i = 0; i < limits::kBatchRows && done < flows; ++i, ++done) {
      out.begin_row();
      out.set_time(ColumnId::flow_end, kT0);
      out.set_ip(ColumnId::src_ip, IpAddress::v4(static_cast<uint32_t>(done)));
      out.set_ip(ColumnId::dst_ip, IpAddress::v4(0x0a000001));
      out.set_enum(ColumnId::source, Source::netflow5);
      out.set_ip(ColumnId::exporter_ip, exporter);
    }
    Batch batch = out.finish();
    marker.mark(batch);
  }
  const auto stats = marker.stats()[0];
  EXPECT_LE(stats.flows, limits::kSameTrafficKeysMax);
  EXPECT_GT(stats.flows, limits::kSameTrafficKeysMax / 4 * 3);
  EXPECT_GT(stats.forgotten, 0u);
  EXPECT_EQ(stats.marked, 0u) << "no two flows are taken for one";
  // Old flows make room without being missed.
  SameTraffic slow({core()}, 1);
  for (int minute = 0; minute < 60; ++minute) {
    FlowBatchBuilder out;
    for (uint32_t i = 0; i < 1'000; ++i) {
      out.begin_row();
      out.set_time(ColumnId::flow_end, kT0 + minute * kMinute);
      out.set_ip(ColumnId::src_ip, IpAddress::v4(static_cast<uint32_t>(minute) << 16 | i));
      out.set_ip(ColumnId::dst_ip, IpAddress::v4(0x0a000001));
      out.set_enum(ColumnId::source, Source::netflow5);
      out.set_ip(ColumnId::exporter_ip, exporter);
    }
    Batch batch = out.finish();
    slow.mark(batch);
  }
  EXPECT_LT(slow.stats()[0].flows, 33'000u);
}

}  // namespace
}  // namespace sluice::ingest
