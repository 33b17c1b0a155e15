#include "bench/generate/workload.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "bench/generate/truth.h"

namespace sluice::generate {
namespace {

constexpr TimestampNs kWorkloadStart = 1'767'225'600 * kSecond;  // 2026-01-01

std::vector<Flow> take(const WorkloadOptions& options) {
  Workload workload(options);
  std::vector<Flow> flows;
  for (Flow flow; workload.next(flow);) flows.push_back(flow);
  return flows;
}

// Everything that a format can say, folded into one number.
uint64_t fingerprint(const std::vector<Flow>& flows) {
  uint64_t h = 0;
  for (const Flow& f : flows) {
    for (const uint64_t v : {hash_of(f.src), hash_of(f.dst), static_cast<uint64_t>(f.start), static_cast<uint64_t>(f.end), f.bytes, f.packets,
                             uint64_t{f.src_port} << 32 | uint64_t{f.dst_port} << 16 | uint64_t{f.protocol} << 8 | f.tcp_flags,
                             uint64_t{f.input_if} << 32 | f.output_if, uint64_t{f.src_as} << 32 | f.dst_as}) {
      h = mix(h ^ v);
    }
  }
  return h;
}

TEST(Prng, GivesTheNumbersItAlwaysGave) {
  Prng random(1);
  EXPECT_EQ(random.next(), 4'768'932'952'251'265'552u);
  EXPECT_EQ(random.below(1000), 876u);
  EXPECT_EQ(random.ranked(1'000'000, 3), 43'492u);
  EXPECT_EQ(random.geometric(1'000), 5'464u);
}

TEST(Prng, StaysInItsBoundsAndNearItsMeans) {
  Prng random(7);
  uint64_t sum = 0, low = 0;
  for (int i = 0; i < 100'000; ++i) {
    ASSERT_LT(random.below(10), 10u);
    const int64_t b = random.between(-3, 3);
    ASSERT_GE(b, -3);
    ASSERT_LE(b, 3);
    const uint64_t g = random.geometric(100);
    ASSERT_GE(g, 1u);
    sum += g;
    low += random.ranked(100, 3) < 10;
  }
  EXPECT_NEAR(static_cast<double>(sum) / 100'000, 104, 5);
  EXPECT_NEAR(static_cast<double>(low) / 100'000, 0.464, 0.01);  // the cube root of 0.1
}

TEST(Workload, SameSeedSameFlowsEverywhere) {
  const auto flows = take({42, 50'000, kWorkloadStart});
  EXPECT_EQ(flows.size(), 50'000u);
  EXPECT_EQ(fingerprint(flows), fingerprint(take({42, 50'000, kWorkloadStart})));
  EXPECT_NE(fingerprint(flows), fingerprint(take({43, 50'000, kWorkloadStart})));
  // A change of this number is a change of the workload: old results no longer compare with new ones.
  EXPECT_EQ(fingerprint(flows), 17'656'057'188'867'270'003u);
}

TEST(Workload, HasTheShapeOfTheComparison) {
  const auto flows = take({1, 1'000'000, kWorkloadStart});
  std::set<IpAddress> addresses;
  uint64_t reversed = 0, syn_only = 0;
  TimestampNs last = kWorkloadStart;
  for (size_t i = 0; i < flows.size(); ++i) {
    const Flow& f = flows[i];
    ASSERT_LE(f.start, f.end);
    ASSERT_GE(f.end, kWorkloadStart);
    ASSERT_LT(f.end, kWorkloadStart + kWorkloadSpan);
    ASSERT_GE(f.end, last - 2 * kMillisecond);
    last = f.end;
    ASSERT_TRUE(f.src.is_v4() && f.dst.is_v4());
    ASSERT_GT(f.packets, 0u);
    ASSERT_GE(f.bytes, f.packets * 28);
    ASSERT_LE(f.bytes, UINT32_MAX);
    ASSERT_LE(f.src_as, UINT16_MAX);
    addresses.insert(f.src);
    addresses.insert(f.dst);
    if (i > 0) reversed += f.reply && f.src == flows[i - 1].dst && f.dst == flows[i - 1].src && f.packets > 0;
    syn_only += f.tcp_flags == kSyn;
  }
  EXPECT_NEAR(static_cast<double>(reversed) / 1e6, 0.48, 0.005);
  EXPECT_NEAR(static_cast<double>(syn_only) / 1e6, 0.04, 0.005);
  EXPECT_GT(addresses.size(), 70'000u);
  EXPECT_LT(addresses.size(), 115'000u);  // fewer new ones later: 79,300 per million over 20 million
  EXPECT_EQ(flows.back().end / kMinute, (kWorkloadStart + kWorkloadSpan - kMillisecond) / kMinute);
}

TEST(Workload, InternetAddressesAreDistinctAndPublic) {
  std::set<uint32_t> seen;
  for (uint32_t i = 0; i < 200'000; ++i) {
    const uint32_t address = internet_address(i);
    ASSERT_TRUE(seen.insert(address).second) << i;
    ASSERT_FALSE(IpAddress::v4(address).is_private()) << to_string(IpAddress::v4(address));
    ASSERT_FALSE(IpAddress::v4(address).is_multicast());
    ASSERT_LE(as_number_of(address), UINT16_MAX);
  }
}

TEST(Truth, NeedlesAreExact) {
  const auto flows = take({3, 100'000, kWorkloadStart});
  const Reporters reporters = Workload::reporters();
  Truth truth(reporters);
  for (const Flow& f : flows) truth.add(f);
  for (const auto& ip : {truth.median(), truth.nearest(20), truth.nearest(500)}) {
    ASSERT_TRUE(ip);
    Counts counted;
    for (const Flow& f : flows) {
      if (f.src != *ip && f.dst != *ip) continue;
      ++counted.flows;
      counted.bytes += f.bytes;
      counted.packets += f.packets;
    }
    EXPECT_EQ(counted.flows, truth.of_address(*ip).flows);
    EXPECT_EQ(counted.bytes, truth.of_address(*ip).bytes);
    EXPECT_EQ(counted.packets, truth.of_address(*ip).packets);
  }
  EXPECT_EQ(truth.of_address(*truth.nearest(20)).flows, 20u);
  EXPECT_EQ(truth.total().flows, 100'000u);
  EXPECT_NE(truth.json("\"seed\":3").find("{\"seed\":3,\"flows\":100000,"), std::string::npos);
}

}  // namespace
}  // namespace sluice::generate
