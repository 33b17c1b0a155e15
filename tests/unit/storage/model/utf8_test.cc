#include "storage/model/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace sluice {
namespace {

std::string encoded(uint32_t code) {
  std::string out;
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
  return out;
}

TEST(Utf8, TakesEveryCodePointButSurrogates) {
  for (uint32_t code = 0; code < 0x120000; ++code) {
    const std::string text = encoded(code);
    const bool is_good = code < 0x110000 && !(code >= 0xd800 && code < 0xe000);
    ASSERT_EQ(utf8_length(text + "x"), is_good ? text.size() : 0u) << code;
    ASSERT_EQ(is_utf8("a" + text), is_good) << code;
    // Cut short it is none.
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(utf8_length(std::string_view(text).substr(0, cut)), 0u) << code;
    }
  }
}

TEST(Utf8, RefusesOtherBytes) {
  EXPECT_TRUE(is_utf8(""));
  for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf5\x80\x80\x80", "\xff", "\xe2\x28\xa1", "ok\xc3"}) EXPECT_FALSE(is_utf8(bad));
}

}  // namespace
}  // namespace sluice
