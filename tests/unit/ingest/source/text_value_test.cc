#include "ingest/source/text_value.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "ingest/source/key_table.h"

namespace sluice::ingest {
namespace {

// In memory of exactly its size, so that a sanitizer sees a byte read outside.
class Exact {
 public:
  explicit Exact(const std::string& text) : bytes_(text.begin(), text.end()) {}
  std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::vector<char> bytes_;
};

void same_number(const std::string& text, uint64_t max) {
  const Exact word(text);
  uint64_t fast = 0, plain = 0;
  const bool is_fast = parse_number(word.view(), max, fast), is_plain = parse_number_plain(word.view(), max, plain);
  ASSERT_EQ(is_fast, is_plain) << text << " " << max;
  if (is_fast) {
    ASSERT_EQ(fast, plain) << text;
  }
}

TEST(TextValue, NumbersAreThoseOfThePlainReader) {
  for (const uint64_t max : {uint64_t{255}, uint64_t{65'535}, uint64_t{UINT32_MAX}, UINT64_MAX}) {
    for (const char* text : {"", "0", "00", "255", "256", "65535", "65536", "99999999", "100000000", "9999999999999999", "10000000000000000", "18446744073709551615",
                             "18446744073709551616", "99999999999999999999", "000000000000000000001", "-1", "+1", "1.0", " 1", "1 "})
      same_number(text, max);
    // Each byte at each place.
    for (size_t n = 1; n <= 21; ++n)
      for (size_t at = 0; at < n; ++at)
        for (int byte = 0; byte < 256; ++byte) {
          std::string text(n, '7');
          text[at] = static_cast<char>(byte);
          same_number(text, max);
        }
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t value = random() >> random() % 64;
    uint64_t read = 0;
    ASSERT_TRUE(parse_number(Exact(std::to_string(value)).view(), UINT64_MAX, read));
    ASSERT_EQ(read, value);
  }
}

void same_address(const std::string& text) {
  const Exact word(text);
  IpAddress fast, plain;
  const bool is_fast = parse_address(word.view(), fast), is_plain = parse_address_plain(word.view(), plain);
  ASSERT_EQ(is_fast, is_plain) << text;
  if (is_fast) {
    ASSERT_EQ(fast, plain) << text;
  }
}

TEST(TextValue, AddressesAreThoseOfThePlainReader) {
  for (const char* text : {"", "0.0.0.0", "255.255.255.255", "256.1.1.1", "1.256.1.1", "1.1.1.256", "01.1.1.1", "1.1.1.01", "00.0.0.0", "1.1.1", "1.1.1.", ".1.1.1", "1..1.1",
                           "1.1.1.1.", "1.1.1.1.1", "1.1.1.1 ", "1.1.1.1a", "1111.1.1.1", "a.b.c.d", "::", "::1", "2001:db8::1", "::ffff:10.0.0.1", "fe80::1%eth0", "2001:db8:0:0:0:0:0:1"})
    same_address(text);
  for (int part = 0; part < 4; ++part)
    for (int value = 0; value < 1'100; ++value) {
      std::string parts[] = {"10", "2", "33", "104"};
      parts[part] = std::to_string(value);
      same_address(parts[0] + "." + parts[1] + "." + parts[2] + "." + parts[3]);
    }
  for (const std::string& base : {std::string("1.2.3.4"), std::string("10.20.30.40"), std::string("192.168.100.200"), std::string("8.8.8.800")})
    for (size_t at = 0; at < base.size(); ++at)
      for (int byte = 0; byte < 256; ++byte) {
        std::string text = base;
        text[at] = static_cast<char>(byte);
        same_address(text);
        same_address(text.substr(0, at) + text.substr(at + 1));
      }
  std::mt19937 random(4);
  for (int i = 0; i < 100'000; ++i) {
    const IpAddress ip = IpAddress::v4(random());
    IpAddress read;
    ASSERT_TRUE(parse_address(Exact(to_string(ip)).view(), read));
    ASSERT_EQ(read, ip);
  }
}

TEST(KeyTable, FindsItsNamesAndNoOthers) {
  static constexpr std::string_view kNames[] = {"a", "id", "ts", "uid", "proto", "orig_bytes", "resp_bytes", "cumulative_bytes_from_initiator", "cumulative_bytes_from_targetor0",
                                               "cumulative_packs_from_initiator", "exactly8", "exactly_sixteen_"};
  static constexpr json::KeyTable<int> kTable{{kNames[0], 0}, {kNames[1], 1}, {kNames[2], 2}, {kNames[3], 3}, {kNames[4], 4},   {kNames[5], 5},
                                              {kNames[6], 6}, {kNames[7], 7}, {kNames[8], 8}, {kNames[9], 9}, {kNames[10], 10}, {kNames[11], 11}};
  for (size_t i = 0; i < std::size(kNames); ++i) {
    const int* found = kTable.find(Exact(std::string(kNames[i])).view());
    ASSERT_NE(found, nullptr) << kNames[i];
    EXPECT_EQ(*found, static_cast<int>(i));
    // One byte changed, one less, one more: none is a name here.
    for (size_t at = 0; at < kNames[i].size(); ++at) {
      std::string other(kNames[i]);
      other[at] = '#';
      EXPECT_EQ(kTable.find(Exact(other).view()), nullptr) << other;
    }
    EXPECT_EQ(kTable.find(kNames[i].substr(0, kNames[i].size() - 1)), nullptr);
    EXPECT_EQ(kTable.find(std::string(kNames[i]) + "x"), nullptr);
  }
  EXPECT_EQ(kTable.find(""), nullptr);
}

}  // namespace
}  // namespace sluice::ingest
