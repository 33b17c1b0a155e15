#include "storage/model/byte_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace sluice {
namespace {

// Texts lie in memory of exactly their size, so that a sanitizer sees a byte read outside.
std::string_view view_of(const std::vector<char>& text) { return {text.data(), text.size()}; }

TEST(ByteScan, LoadsAsAWalkByBytesDoes) {
  for (size_t n = 1; n <= 8; ++n) {
    std::vector<char> text(n);
    uint64_t want = 0;
    for (size_t i = 0; i < n; ++i) {
      text[i] = static_cast<char>(0xf0 + i);
      want |= static_cast<uint64_t>(0xf0 + i) << 8 * i;
    }
    EXPECT_EQ(load_bytes(text.data(), n), want) << n;
  }
#ifdef __SSE2__
  for (size_t n = 1; n <= 16; ++n) {
    std::vector<char> text(n);
    for (size_t i = 0; i < n; ++i) text[i] = static_cast<char>(0xe0 + i);
    char got[16];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(got), load_16(text.data(), n));
    text.resize(16);
    EXPECT_TRUE(std::equal(text.begin(), text.end(), got)) << n;
  }
#endif
}

// Every byte at every place of every length that a step can be cut into, against the plain walk.
TEST(ByteScan, AgreesWithAWalkByBytes) {
  const auto printable = [](char c) { return static_cast<uint8_t>(c) >= ' ' && static_cast<uint8_t>(c) < 0x7f; };
  const auto wanted = [](char c) { return c == '\n' || c == '\\' || c == '='; };
  for (size_t n = 0; n <= 50; ++n) {
    std::vector<char> text(n, 'x');
    EXPECT_TRUE(is_printable_ascii(view_of(text))) << n;
    EXPECT_FALSE((has_byte<'\n', '\\', '='>(view_of(text)))) << n;
    for (size_t at = 0; at < n; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        text[at] = static_cast<char>(byte);
        ASSERT_EQ(is_printable_ascii(view_of(text)), std::all_of(text.begin(), text.end(), printable)) << n << " " << at << " " << byte;
        ASSERT_EQ((has_byte<'\n', '\\', '='>(view_of(text))), std::any_of(text.begin(), text.end(), wanted)) << n << " " << at << " " << byte;
      }
      text[at] = 'x';
    }
  }
}

}  // namespace
}  // namespace sluice
