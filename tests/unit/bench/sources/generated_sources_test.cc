// What the generator writes, the sources read back: the two share no code, so each checks the other.
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <map>
#include <ostream>
#include <string>

#include "bench/generate/aws_objects.h"
#include "bench/generate/company.h"
#include "bench/generate/packet.h"
#include "ingest/source/netflow.h"
#include "ingest/source/source.h"

namespace sluice {
namespace {

constexpr TimestampNs kStart = 1'767'225'600 * kSecond;  // 2026-01-01

struct Sums {
  uint64_t flows = 0, bytes = 0, packets = 0, ends = 0, addresses = 0, ports = 0, rejects = 0, syn_only = 0;
  bool operator==(const Sums&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Sums& s) {
  return out << "flows " << s.flows << " bytes " << s.bytes << " packets " << s.packets << " ends " << s.ends << " addresses " << s.addresses << " ports "
             << s.ports << " rejects " << s.rejects << " syn_only " << s.syn_only;
}

uint64_t value(const Batch& batch, ColumnId id, size_t row) {
  const auto at = batch.find(id);
  return at && !batch.columns[*at].is_null(row) ? batch.columns[*at].uint_at(row) : 0;
}
uint64_t address(const Batch& batch, ColumnId id, size_t row) {
  const auto at = batch.find(id);
  return at && !batch.columns[*at].is_null(row) ? hash_of(batch.columns[*at].ip_at(row)) : 0;
}

void count(Sums& sums, const Batch& batch) {
  for (size_t row = 0; row < batch.rows; ++row) {
    ++sums.flows;
    sums.bytes += value(batch, ColumnId::raw_bytes, row);
    sums.packets += value(batch, ColumnId::raw_packets, row);
    sums.ends += value(batch, ColumnId::flow_end, row) / kSecond;
    sums.addresses += address(batch, ColumnId::src_ip, row) ^ address(batch, ColumnId::dst_ip, row) * 3;
    sums.ports += value(batch, ColumnId::src_port, row) + value(batch, ColumnId::dst_port, row) * 3;
    sums.rejects += value(batch, ColumnId::action, row) == static_cast<uint64_t>(Action::reject);
    sums.syn_only += value(batch, ColumnId::tcp_flags, row) == generate::kSyn;
  }
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("sluice_generated_" + std::to_string(::getpid()))) {}
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string gunzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  std::string text(1 << 20, '\0'), out;
  for (int n; (n = gzread(file, text.data(), static_cast<unsigned>(text.size()))) > 0;) out.append(text, 0, static_cast<size_t>(n));
  gzclose(file);
  return out;
}

TEST(GeneratedSources, AwsObjectsReadBack) {
  const generate::Company company = std::move(generate::make_company({1, kStart, 24, 0.1})).value();
  const Folder folder;
  generate::AwsObjects objects(folder.path(), company.reporters, company.aws_fields, 30);
  Sums expected;
  for (const generate::Flow& flow : company.flows) {
    if (flow.cloud_interface == generate::kNoInterface) continue;
    ASSERT_TRUE(objects.add(flow).ok());
    ++expected.flows;
    expected.bytes += flow.bytes;
    expected.packets += flow.packets;
    expected.ends += static_cast<uint64_t>(flow.end / kSecond);
    expected.addresses += hash_of(flow.src) ^ hash_of(flow.dst) * 3;
    const bool icmp = flow.protocol == generate::kIcmp;
    expected.ports += flow.src_port + (icmp ? 0u : flow.dst_port) * 3u;
    expected.rejects += flow.action == generate::FlowAction::reject;
    expected.syn_only += generate::aws_tcp_flags(flow) == generate::kSyn;
  }
  ASSERT_TRUE(objects.add_skip_data(company.loss_interface, company.flows.back().end).ok());
  ASSERT_TRUE(objects.finish().ok());

  const ingest::SourceSpec* source = ingest::find_source("aws_vpc");
  ASSERT_NE(source, nullptr);
  Sums found;
  uint64_t no_data = 0, skipped = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
    if (!entry.is_regular_file()) continue;
    auto report = source->decode(gunzip(entry.path()), {kStart + 2 * kDay, ""}, [&](Batch&& batch) -> Status {
      count(found, batch);
      return {};
    });
    ASSERT_TRUE(report.ok()) << entry.path() << ": " << report.error().message;
    EXPECT_EQ(report->rejected, 0u) << entry.path() << ": " << (report->errors.empty() ? "" : report->errors[0].reason);
    EXPECT_EQ(report->clamped_times, 0u);
    no_data += report->no_data;
    skipped += report->skipped_data;
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(no_data, objects.totals().no_data);
  EXPECT_EQ(skipped, 1u);
}

// Each router's packets through the decoder: every flow comes out as it went in, with its time and sampling, and nothing
// counts as lost.
class GeneratedPackets : public ::testing::TestWithParam<generate::PacketFormat> {};

TEST_P(GeneratedPackets, ReadBack) {
  const generate::Company company = std::move(generate::make_company({1, kStart, 24, 0.1})).value();
  for (size_t i = 0; i < company.reporters.routers.size(); ++i) {
    const generate::Router& router = company.reporters.routers[i];
    const bool v5 = GetParam() == generate::PacketFormat::netflow5;
    if (!(v5 ? router.speaks_v5 : router.speaks_templates)) continue;

    ingest::PacketDecoder decoder;
    const ingest::PacketSender sender{router.address, 50'000, 2'055, 0};
    Sums found, expected;
    uint64_t bad = 0, starts_found = 0, starts = 0, sampled = 0;
    const auto take = [&](Batch&& batch) -> Status {
      count(found, batch);
      for (size_t row = 0; row < batch.rows; ++row) {
        starts_found += value(batch, ColumnId::flow_start, row) / kMillisecond;
        sampled += value(batch, ColumnId::sampling_rate, row) == router.sampling;
      }
      return {};
    };
    FlowBatchBuilder rows;
    generate::Packetizer packetizer(GetParam(), router, kStart - 9 * kDay, [&](const generate::Datagram& d) -> Status {
      auto counts = decoder.decode(d.payload, sender, d.exported_at + 20 * kMillisecond, rows, take);
      if (!counts) return counts.error();
      bad += counts->bad + counts->pending_sets + counts->clamped_times;
      return {};
    });
    for (const generate::Flow& flow : company.flows) {
      if (flow.cloud_interface != generate::kNoInterface || flow.router != i) continue;
      ASSERT_TRUE(packetizer.add(flow).ok());
      ++expected.flows;
      expected.bytes += flow.bytes;
      expected.packets += flow.packets;
      expected.ends += static_cast<uint64_t>(flow.end / kSecond);
      expected.addresses += hash_of(flow.src) ^ hash_of(flow.dst) * 3;
      const bool icmp = flow.protocol == generate::kIcmp || flow.protocol == generate::kIcmp6;
      expected.ports += flow.src_port + (icmp ? 0u : flow.dst_port) * 3u;
      expected.syn_only += flow.tcp_flags == generate::kSyn;
      starts += static_cast<uint64_t>(flow.start / kMillisecond);
    }
    ASSERT_TRUE(packetizer.flush().ok());
    if (rows.rows() > 0) {
      ASSERT_TRUE(take(rows.finish()).ok());
    }
    EXPECT_EQ(found, expected) << router.name;
    EXPECT_EQ(starts_found, starts) << router.name;
    EXPECT_EQ(sampled, expected.flows) << router.name;
    EXPECT_EQ(bad, 0u) << router.name;
    const auto stats = decoder.exporter_stats();
    ASSERT_EQ(stats.size(), 1u);
    EXPECT_EQ(stats[0].lost, 0u) << router.name;
    EXPECT_EQ(stats[0].flows, expected.flows);
    EXPECT_TRUE(decoder.loss_ranges().empty());
  }
}
INSTANTIATE_TEST_SUITE_P(Formats, GeneratedPackets,
                         ::testing::Values(generate::PacketFormat::netflow5, generate::PacketFormat::netflow9, generate::PacketFormat::ipfix),
                         [](const auto& format) { return std::string(to_string(format.param)); });

}  // namespace
}  // namespace sluice
