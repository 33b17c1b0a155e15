// A dictionary of addresses beside a std::set of the same ones.
#include "storage/segment/dictionary.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/unit/storage/segment/flows.h"

namespace sluice::segment {
namespace {

using testing::below;
using testing::Random;

// Addresses of both families, those next to the IPv4 range on both sides among them.
IpAddress some_address(Random& random) {
  switch (below(random, 8)) {
    case 0: return IpAddress::from_halves(0, below(random, 4));
    case 1: return IpAddress::from_halves(0, 0xfffeffffffffull - below(random, 3));
    case 2: return IpAddress::from_halves(0, 0x1000000000000ull + below(random, 3));
    case 3: return IpAddress::from_halves(0x20010db800000000ull, below(random, 20'000));
    case 4: return IpAddress::v4(below(random, 2) ? 0 : 0xffffffff);
    default: return IpAddress::v4(0x0a000000 + static_cast<uint32_t>(below(random, 50'000)));
  }
}

TEST(IpDictionary, NumbersAreTheRanksOfTheDistinctAddresses) {
  Random random(7);
  std::vector<IpAddress> ips;
  while (ips.size() < 100'000) {
    ips.push_back(some_address(random));
    for (uint64_t repeat = below(random, 4); repeat > 0; --repeat) ips.push_back(ips.back());
  }
  IpDictionaryBuilder builder;
  std::vector<uint32_t> numbers(ips.size());
  // Some alone, some in stretches of any length.
  for (size_t at = 0; at < ips.size();) {
    const size_t count = std::min<size_t>(1 + below(random, 100), ips.size() - at);
    if (count == 1)
      numbers[at] = builder.add(ips[at]);
    else
      builder.add(std::span(ips).subspan(at, count), numbers.data() + at);
    at += count;
  }
  builder.finish();

  const std::set<IpAddress> expected(ips.begin(), ips.end());
  ASSERT_EQ(builder.size(), expected.size());
  const std::vector<IpAddress> sorted(expected.begin(), expected.end());
  for (size_t i = 0; i < ips.size(); ++i) ASSERT_EQ(sorted[builder.ranks()[numbers[i]]], ips[i]) << i;

  std::string bytes;
  builder.write(bytes);
  const auto opened = open_dictionary({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, PhysicalType::Ip, builder.size(), nullptr);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  for (uint32_t code = 0; code < sorted.size(); ++code) ASSERT_EQ((*opened)->ip_at(code), sorted[code]) << code;
}

TEST(IpDictionary, OfNothingIsEmpty) {
  IpDictionaryBuilder builder;
  builder.add({}, nullptr);
  builder.finish();
  EXPECT_EQ(builder.size(), 0u);
}

}  // namespace
}  // namespace sluice::segment
