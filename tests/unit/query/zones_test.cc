#include "query/zones.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::query {
namespace {

std::shared_ptr<const ListBook> book_of(const std::vector<std::pair<std::string, std::vector<std::string>>>& lists) {
  std::shared_ptr<const ListBook> book = std::make_shared<ListBook>();
  for (const auto& [name, items] : lists) book = book->with(std::make_shared<WatchList>(*make_watch_list(name, items)));
  return book;
}

TEST(Zones, TheSmallestBlockDecides) {
  const auto lists = book_of({{"zone_internal", {"10.0.0.0/8", "2001:db8::/32"}}, {"zone_dmz", {"10.9.0.0/16", "192.0.2.7"}}, {"ZONE_Core", {"10.9.8.0/24", "10.0.0.5-10.0.0.9"}},
                              {"zone_", {"10.9.8.1"}}, {"tor", {"10.9.8.2"}}});
  const ZoneBook zones(lists.get());
  const auto of = [&](const char* ip) { return std::string(zones.zone_of(*parse_ip(ip))); };
  EXPECT_EQ(of("10.1.2.3"), "internal");
  EXPECT_EQ(of("10.255.255.255"), "internal");
  EXPECT_EQ(of("11.0.0.0"), "external");
  EXPECT_EQ(of("9.255.255.255"), "external");
  EXPECT_EQ(of("10.9.0.0"), "dmz");
  EXPECT_EQ(of("10.9.8.1"), "core");
  EXPECT_EQ(of("10.9.8.2"), "core");
  EXPECT_EQ(of("10.9.9.0"), "dmz");
  EXPECT_EQ(of("10.10.0.0"), "internal");
  EXPECT_EQ(of("10.0.0.4"), "internal");
  EXPECT_EQ(of("10.0.0.5"), "core");
  EXPECT_EQ(of("10.0.0.9"), "core");
  EXPECT_EQ(of("10.0.0.10"), "internal");
  EXPECT_EQ(of("192.0.2.7"), "dmz");
  EXPECT_EQ(of("2001:db8::1"), "internal");
  // Somebody said what is internal, so private addresses elsewhere are not.
  EXPECT_EQ(of("192.168.0.1"), "external");
}

TEST(Zones, WithoutAnyPrivateIsInternal) {
  const ZoneBook zones(nullptr);
  EXPECT_EQ(zones.zone_of(*parse_ip("192.168.0.1")), "internal");
  EXPECT_EQ(zones.zone_of(*parse_ip("8.8.8.8")), "external");
}

// Against looking through all of them.
TEST(Zones, AgreeWithTheSimpleWay) {
  std::mt19937_64 dice(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::pair<std::string, std::vector<std::string>>> said;
    std::vector<std::tuple<Prefix, std::string>> all;
    for (const char* name : {"a", "b", "c"}) {
      std::vector<std::string> items;
      for (int i = 0; i < 6; ++i) {
        const auto prefix = Prefix::of(IpAddress::v4(static_cast<uint32_t>(dice() % 64)), static_cast<uint8_t>(122 + dice() % 7));
        items.push_back(to_string(prefix));
        all.emplace_back(prefix, name);
      }
      // Both ends of everything.
      if (round % 7 == 0) items.push_back("::/0"), all.emplace_back(Prefix{}, name);
      said.emplace_back(std::string("zone_") + name, items);
    }
    const auto lists = book_of(said);
    const ZoneBook zones(lists.get());
    for (uint32_t n = 0; n < 80; ++n) {
      const IpAddress ip = IpAddress::v4(n);
      int longest = -1;
      std::string expected = ip.is_private() ? "internal" : "external";
      for (const auto& [prefix, name] : all)
        if (prefix.contains(ip) && static_cast<int>(prefix.length) > longest) longest = prefix.length, expected = name;
      EXPECT_EQ(zones.zone_of(ip), expected) << round << " " << n;
    }
    IpAddress last;
    last.bytes.fill(255);
    if (round % 7 == 0) EXPECT_EQ(zones.zone_of(last), "a");
  }
}

}  // namespace
}  // namespace sluice::query
