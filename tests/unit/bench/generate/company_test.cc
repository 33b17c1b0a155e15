#include "bench/generate/company.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace sluice::generate {
namespace {

constexpr TimestampNs kCompanyStart = 1'767'225'600 * kSecond;  // 2026-01-01

const Company& day() {
  static const Company company = std::move(make_company({1, kCompanyStart, 24, 0.2})).value();
  return company;
}
IpAddress ip(const char* text) { return *parse_ip(text); }
TimestampNs at(double hour) { return kCompanyStart + static_cast<TimestampNs>(hour * 3'600) * kSecond; }

uint64_t fingerprint(const Company& company) {
  uint64_t h = 0;
  for (const Flow& f : company.flows) {
    for (const uint64_t v : {hash_of(f.src), hash_of(f.dst), static_cast<uint64_t>(f.start), static_cast<uint64_t>(f.end), f.bytes, f.packets,
                             uint64_t{f.src_port} << 16 | f.dst_port, uint64_t{f.tcp_flags} << 32 | f.cloud_interface}) {
      h = h * 0x9e3779b97f4a7c15ull ^ (v + (h >> 29));
    }
  }
  return h;
}

TEST(Company, SameSeedSameDay) {
  const Company again = std::move(make_company({1, kCompanyStart, 24, 0.2})).value();
  EXPECT_EQ(fingerprint(day()), fingerprint(again));
  const Company other = std::move(make_company({2, kCompanyStart, 24, 0.2})).value();
  EXPECT_NE(fingerprint(day()), fingerprint(other));
  // Also the same on every machine and compiler; a change of this number is a change of the sample.
  EXPECT_EQ(fingerprint(day()), 12'529'449'653'903'807'203u);
}

TEST(Company, FlowsAreInOrderAndInTheRange) {
  ASSERT_FALSE(day().flows.empty());
  TimestampNs last = kCompanyStart;
  std::set<uint32_t> interfaces;
  for (const Flow& f : day().flows) {
    ASSERT_GE(f.start, kCompanyStart);
    ASSERT_LE(f.start, f.end);
    ASSERT_LT(f.end, kCompanyStart + kDay);
    ASSERT_GE(f.end, last);
    ASSERT_EQ(f.start % kMillisecond, 0);
    ASSERT_GT(f.packets, 0u);
    ASSERT_GE(f.bytes, f.packets * 20) << to_string(f.src) << " " << to_string(f.dst);
    ASSERT_LE(f.bytes, f.packets * 1'500) << to_string(f.src) << " " << to_string(f.dst);
    last = f.end;
    interfaces.insert(f.cloud_interface);
    // NetFlow v5 must be able to say what its router saw.
    if (f.cloud_interface == kNoInterface && day().reporters.routers[f.router].speaks_v5) {
      ASSERT_TRUE(f.src.is_v4());
      ASSERT_LE(f.bytes, UINT32_MAX);
    }
  }
  EXPECT_EQ(interfaces.size(), day().reporters.interfaces.size());  // all but the idle one, and the routers
}

TEST(Company, ScaleChangesTheEverydayAndNotTheStories) {
  const Company small = std::move(make_company({1, kCompanyStart, 24, 0.05})).value();
  EXPECT_LT(small.flows.size(), day().flows.size() / 2);
  const auto of_scanner = [](const Company& c) {
    uint64_t n = 0;
    for (const Flow& f : c.flows) n += f.src == ip(story::kScanner);
    return n;
  };
  EXPECT_EQ(of_scanner(small), of_scanner(day()));
  EXPECT_EQ(of_scanner(small), 4'096u);
}

TEST(Company, RefusesOptionsOutOfRange) {
  EXPECT_FALSE(make_company({1, kCompanyStart, 0, 1}).ok());
  EXPECT_FALSE(make_company({1, kCompanyStart, 745, 1}).ok());
  EXPECT_FALSE(make_company({1, kCompanyStart, 24, 0}).ok());
  EXPECT_FALSE(make_company({1, kCompanyStart, 24, 51}).ok());
  EXPECT_FALSE(make_company({1, -1, 24, 1}).ok());
}

TEST(Stories, TheScanIsSynOnlyAndRejected) {
  std::set<uint16_t> ports;
  for (const Flow& f : day().flows) {
    if (f.src != ip(story::kScanner)) continue;
    EXPECT_EQ(f.tcp_flags, kSyn);
    EXPECT_EQ(f.action, FlowAction::reject);
    EXPECT_GE(f.end, at(3.16));
    EXPECT_LT(f.end, at(3.7));
    ports.insert(f.dst_port);
  }
  EXPECT_EQ(ports.size(), 1'024u);
}

TEST(Stories, TheBruteForceIsMany) {
  uint64_t tries = 0;
  for (const Flow& f : day().flows) tries += f.src == ip(story::kBruteForcer) && f.dst == ip(story::kBastion) && f.dst_port == 22;
  EXPECT_GE(tries, 2'300u);
}

TEST(Stories, TheLeakIsAtNightAndThroughTheGateway) {
  uint64_t bytes = 0, through_gateway = 0;
  for (const Flow& f : day().flows) {
    if (f.src != ip(story::kLeakingHost) || f.dst != ip(story::kLeakTarget)) continue;
    if (f.if_dst == f.dst) bytes += f.bytes; else through_gateway += f.bytes;
    EXPECT_GE(f.end, at(2));
    EXPECT_LT(f.end, at(4));
  }
  EXPECT_GT(bytes, 17'900'000'000u);
  EXPECT_EQ(bytes, through_gateway);
}

TEST(Stories, TheServiceAnswersUntilItDies) {
  uint64_t answers_before = 0, asks_after = 0;
  for (const Flow& f : day().flows) {
    const bool answers = f.src == ip(story::kDyingService) && f.src_port == story::kDyingPort;
    const bool asks = f.dst == ip(story::kDyingService) && f.dst_port == story::kDyingPort;
    if (answers) {
      EXPECT_LE(f.end, at(story::kDeathHour));
      ++answers_before;
    }
    if (asks && f.start >= at(story::kDeathHour)) {
      EXPECT_EQ(f.tcp_flags, kSyn);
      ++asks_after;
    }
  }
  EXPECT_GT(answers_before, 100u);
  EXPECT_GT(asks_after, 100u);
}

TEST(Stories, TheBeaconKeepsItsMinute) {
  TimestampNs last = 0;
  uint64_t beats = 0;
  for (const Flow& f : day().flows) {
    if (f.src != ip(story::kBeaconHost) || f.dst != ip(story::kBeaconTarget)) continue;
    if (last != 0) {
      EXPECT_NEAR(static_cast<double>(f.start - last) / kSecond, 60, 6.1);
    }
    last = f.start;
    ++beats;
  }
  EXPECT_EQ(beats, 1'440u);
}

TEST(Stories, TheNewTalkerIsNew) {
  uint64_t talks = 0;
  for (const Flow& f : day().flows) {
    if (f.src != ip(story::kNewTalker) || f.dst != ip(story::kShopDatabase)) continue;
    EXPECT_GE(f.start, at(story::kNewTalkerHour));
    ++talks;
  }
  EXPECT_GT(talks, 100u);
}

}  // namespace
}  // namespace sluice::generate
