#include "server/geo_keeper.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "server/limits.h"
#include "tests/unit/server/small_mmdb.h"

namespace sluice::server {
namespace {

namespace m = small_mmdb;

struct GeoKeeperTest : testing::Test {
  void SetUp() override {
    char name[] = "/tmp/sluice-geo-XXXXXX";
    directory = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(directory); }
  std::string write(const std::string& name, const std::string& bytes) {
    // As operators do it: a new file in the place of the old one.
    const std::string path = directory + "/" + name;
    std::ofstream(path + ".new", std::ios::binary) << bytes;
    std::filesystem::rename(path + ".new", path);
    return path;
  }
  static std::string country(const std::string& code) { return m::map({{"country", m::map({{"iso_code", m::text(code)}})}}); }
  static std::string network(uint32_t number, const std::string& name) {
    return m::map({{"autonomous_system_number", m::number(number)}, {"autonomous_system_organization", m::text(name)}});
  }
  static std::string said(const query::GeoBook& book, const char* ip) { return std::string(book.country(*parse_ip(ip)).value_or("-")); }

  std::string directory;
  ManualClock clock{1'000 * kSecond};
};

TEST_F(GeoKeeperTest, FindsAddressesOfBothFamilies) {
  const std::string long_name(120, 'n');
  const std::string countries = write("country.mmdb", m::database({{"10.0.0.0/8", country("DE")},
                                                                   {"192.0.2.128/25", country("FR")},
                                                                   {"2001:db8::/32", m::map({{"registered_country", m::map({{"iso_code", m::text("JP")}})}})},
                                                                   {"198.51.100.7", m::map({{"country_code", m::text("US")}})},
                                                                   {"198.51.100.8", m::map({{"country", m::text("not a map")}})}}));
  const std::string networks = write("asn.mmdb", m::database({{"10.0.0.0/9", network(64500, long_name)},
                                                              {"2001:db8::/33", network(4'200'000'000, "Two")},
                                                              {"192.0.2.0/24", m::map({{"asn", m::text("AS64501")}, {"as_name", m::text("One")}})},
                                                              {"198.51.100.0/24", m::map({{"asn", m::text("AS")}, {"as_name", m::text(std::string(limits::kGeoTextBytesMax, 'x'))}})},
                                                              {"203.0.113.0/24", m::map({{"as_name", m::text(std::string(limits::kGeoTextBytesMax + 1, 'x'))}})}}));
  auto keeper = GeoKeeper::open(countries, networks, clock);
  ASSERT_TRUE(keeper.ok()) << keeper.error().message;
  const auto book = (*keeper)->book();
  EXPECT_TRUE(book->has_countries() && book->has_networks());
  EXPECT_EQ(said(*book, "10.0.0.0"), "DE");
  EXPECT_EQ(said(*book, "10.255.255.255"), "DE");
  EXPECT_EQ(said(*book, "11.0.0.0"), "-");
  EXPECT_EQ(said(*book, "192.0.2.127"), "-");
  EXPECT_EQ(said(*book, "192.0.2.128"), "FR");
  EXPECT_EQ(said(*book, "2001:db8:ffff::1"), "JP");
  EXPECT_EQ(said(*book, "2001:db9::"), "-");
  EXPECT_EQ(said(*book, "198.51.100.7"), "US");
  EXPECT_EQ(said(*book, "198.51.100.8"), "-");
  const auto number = [&](const char* ip) { return book->as_number(*parse_ip(ip)).value_or(0); };
  EXPECT_EQ(number("10.1.2.3"), 64500u);
  EXPECT_EQ(number("10.128.0.0"), 0u);
  EXPECT_EQ(number("192.0.2.1"), 64501u);
  EXPECT_EQ(number("2001:db8::1"), 4'200'000'000u);
  EXPECT_EQ(number("198.51.100.1"), 0u);
  EXPECT_EQ(book->as_name(*parse_ip("10.1.2.3")), long_name);
  EXPECT_EQ(book->as_name(*parse_ip("192.0.2.1")), "One");
  EXPECT_EQ(book->as_name(*parse_ip("198.51.100.1"))->size(), limits::kGeoTextBytesMax);
  EXPECT_FALSE(book->as_name(*parse_ip("203.0.113.1"))) << "longer than a name may be";
}

TEST_F(GeoKeeperTest, WithoutFilesNothingIsKnown) {
  auto keeper = GeoKeeper::open("", "", clock);
  ASSERT_TRUE(keeper.ok());
  const auto book = (*keeper)->book();
  EXPECT_FALSE(book->has_countries() || book->has_networks());
  EXPECT_EQ(said(*book, "10.0.0.1"), "-");
  EXPECT_FALSE(book->as_number(*parse_ip("10.0.0.1")));
  EXPECT_FALSE(book->as_name(*parse_ip("10.0.0.1")));
}

TEST_F(GeoKeeperTest, AFileThatIsNoDatabaseStopsTheStart) {
  const auto missing = GeoKeeper::open(directory + "/none.mmdb", "", clock);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find(directory + "/none.mmdb"), std::string::npos);
  const auto text = GeoKeeper::open("", write("text", "country,code\n"), clock);
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().code, ErrorCode::corrupt);
  EXPECT_FALSE(GeoKeeper::open(directory, "", clock).ok());
  EXPECT_FALSE(GeoKeeper::open(write("empty", ""), "", clock).ok());
}

TEST_F(GeoKeeperTest, AChangedFileIsReadAnewAndABrokenOneLeavesTheFormer) {
  const std::string path = write("country.mmdb", m::database({{"10.0.0.0/8", country("DE")}}));
  auto keeper = GeoKeeper::open(path, "", clock);
  ASSERT_TRUE(keeper.ok()) << keeper.error().message;
  const auto first = (*keeper)->book();
  write("country.mmdb", m::database({{"10.0.0.0/8", country("FR")}}));
  EXPECT_EQ(said(*(*keeper)->book(), "10.0.0.1"), "DE") << "looked at again too early";
  clock.advance(limits::kGeoLookEvery);
  const auto second = (*keeper)->book();
  EXPECT_EQ(said(*second, "10.0.0.1"), "FR");
  EXPECT_EQ(said(*first, "10.0.0.1"), "DE") << "a query asks one book from its beginning to its end";

  write("country.mmdb", "broken");
  clock.advance(limits::kGeoLookEvery);
  EXPECT_EQ(said(*(*keeper)->book(), "10.0.0.1"), "FR");
  std::filesystem::remove(path);
  clock.advance(limits::kGeoLookEvery);
  EXPECT_EQ(said(*(*keeper)->book(), "10.0.0.1"), "FR");
  write("country.mmdb", m::database({{"10.0.0.0/8", country("US")}}));
  clock.advance(limits::kGeoLookEvery);
  EXPECT_EQ(said(*(*keeper)->book(), "10.0.0.1"), "US");
  // Cut short where it lies, under who has read it.
  const auto last = (*keeper)->book();
  std::filesystem::resize_file(path, 0);
  EXPECT_EQ(said(*last, "10.0.0.1"), "US");
}

// The metadata at the end is whole, and a block of data in the middle is not there: refused, and the former stays.
TEST_F(GeoKeeperTest, APartThatLeadsNowhereIsNotTakenForUnknownAddresses) {
  const std::string path = write("country.mmdb", m::database({{"10.0.0.0/8", country("DE")}}));
  auto keeper = GeoKeeper::open(path, "", clock);
  ASSERT_TRUE(keeper.ok()) << keeper.error().message;
  const std::string whole = m::database({{"10.0.0.0/8", country("FR")}, {"192.0.2.0/24", country("JP")}, {"2001:db8::/32", country("US")}});
  const size_t data_ends = whole.find("\xab\xcd\xefMaxMind.com");
  ASSERT_NE(data_ends, std::string::npos);
  for (const size_t cut : {20u, 25u, 30u}) {  // the last record, in part or whole
    std::string damaged = whole;
    damaged.erase(data_ends - cut, cut);
    const auto refused = GeoKeeper::open(write("cut.mmdb", damaged), "", clock);
    ASSERT_FALSE(refused.ok()) << cut;
    EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
    EXPECT_NE(refused.error().message.find("cut.mmdb is damaged"), std::string::npos) << refused.error().message;
    write("country.mmdb", damaged);
    clock.advance(limits::kGeoLookEvery);
    EXPECT_EQ(said(*(*keeper)->book(), "10.0.0.1"), "DE");
  }
  // A node that points beyond the tree and the data.
  std::string lost = whole;
  lost.replace(0, 3, "\xff\xff\xfe");
  EXPECT_FALSE(GeoKeeper::open(write("lost.mmdb", lost), "", clock).ok());
  write("country.mmdb", whole);
  clock.advance(limits::kGeoLookEvery);
  EXPECT_EQ(said(*(*keeper)->book(), "10.0.0.1"), "FR");
}

// Whatever is in a file: an error, or answers.
TEST_F(GeoKeeperTest, DamagedDatabasesAnswerOrAreRefused) {
  const std::string whole = m::database({{"10.0.0.0/8", country("DE")}, {"192.0.2.0/24", network(64500, "One")}, {"2001:db8::/32", country("FR")}});
  size_t opened = 0;
  for (size_t at = 0; at < whole.size(); ++at)
    for (uint8_t flip : {uint8_t{0x01}, uint8_t{0x80}, uint8_t{0xff}}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      auto keeper = GeoKeeper::open(write("d.mmdb", damaged), write("d.mmdb", damaged), clock);
      if (!keeper.ok()) continue;
      ++opened;
      const auto book = (*keeper)->book();
      for (const char* ip : {"10.0.0.1", "192.0.2.1", "2001:db8::1", "255.255.255.255"}) {
        (void)book->country(*parse_ip(ip));
        (void)book->as_number(*parse_ip(ip));
        (void)book->as_name(*parse_ip(ip));
      }
    }
  EXPECT_GT(opened, whole.size() / 2);
}

}  // namespace
}  // namespace sluice::server
