// Text and null maps: round trips over shapes of content, and any bytes without harm.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "storage/codec/compress.h"
#include "storage/codec/null_map.h"
#include "storage/codec/text_codec.h"

namespace sluice::codec {
namespace {

using Random = std::mt19937_64;

Bytes bytes_of_text(const std::string& s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }

std::vector<std::string> texts(Random& random, size_t count, int kind) {
  std::vector<std::string> all(count);
  for (std::string& s : all) {
    if (kind == 0) continue;
    if (kind == 1) s = "request=" + std::to_string(random() % 1'000);
    if (kind == 2) s = std::to_string(random()) + std::to_string(random());
    if (kind == 3)
      for (uint64_t n = random() % 40; n-- > 0;) s += static_cast<char>(random());
    if (kind == 4) s.assign(random() % 2'000, 'a');
  }
  return all;
}

TEST(Text, ComesBack) {
  Random random(1);
  for (int kind = 0; kind < 5; ++kind) {
    for (const size_t count : {size_t{1}, size_t{4'095}, size_t{4'096}, size_t{4'097}, size_t{20'000}}) {
      const auto all = texts(random, count, kind);
      const std::vector<std::string_view> views(all.begin(), all.end());
      std::string payload;
      encode_text(views, payload);
      const auto n = static_cast<uint32_t>(count);
      StringVector out;
      ASSERT_TRUE(decode_text(bytes_of_text(payload), n, 0, n, out).ok());
      ASSERT_EQ(out.size(), count);
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(out[i], all[i]);
      const auto from = static_cast<uint32_t>(random() % n), to = from + static_cast<uint32_t>(random() % (n - from + 1));
      out.clear();
      ASSERT_TRUE(decode_text(bytes_of_text(payload), n, from, to, out).ok());
      ASSERT_EQ(out.size(), to - from);
      for (uint32_t i = from; i < to; ++i) ASSERT_EQ(out[i - from], all[i]);
      std::vector<uint32_t> rows;
      for (uint32_t i = static_cast<uint32_t>(random() % 50); i < n; i += 1 + static_cast<uint32_t>(random() % 3'000)) rows.push_back(i);
      out.clear();
      ASSERT_TRUE(decode_text_rows(bytes_of_text(payload), n, rows, out).ok());
      for (size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(out[i], all[rows[i]]);
    }
  }
}

TEST(Text, TakesAnyBytesWithoutHarm) {
  Random random(2);
  for (int kind = 0; kind < 5; ++kind) {
    const auto all = texts(random, 5'000, kind);
    const std::vector<std::string_view> views(all.begin(), all.end());
    std::string payload;
    encode_text(views, payload);
    for (int k = 0; k < 300; ++k) {
      std::vector<uint8_t> bad(payload.begin(), payload.end());
      if (k % 3 == 0) bad.resize(random() % bad.size());
      for (int flips = 0; flips < 3 && !bad.empty(); ++flips) bad[random() % (k % 2 ? bad.size() : std::min<size_t>(bad.size(), 48))] = static_cast<uint8_t>(random());
      StringVector out;
      const Status status = decode_text(bad, 5'000, 0, 5'000, out);
      EXPECT_TRUE(status.ok() || status.error().code == ErrorCode::corrupt);
    }
  }
}

TEST(NullMap, ComesBack) {
  Random random(3);
  for (const uint32_t rows : {1u, 63u, 64u, 65u, 1'024u, 65'535u, 65'536u}) {
    for (int kind = 0; kind < 6; ++kind) {
      Bitmap map(rows, false);
      for (uint32_t i = 0; i < rows; ++i)
        map.set(i, kind == 0 ? true : kind == 1 ? false : kind == 2 ? i % 2 == 0 : kind == 3 ? i / 3'000 % 2 == 1 : kind == 4 ? random() % 2 : random() % 1'000 != 0);
      std::string payload;
      encode_null_map(map, rows, payload);
      EXPECT_TRUE(kind >= 2 || payload.size() == 1);
      EXPECT_TRUE(kind != 3 || payload.size() <= 120);
      EXPECT_LE(payload.size(), rows / 8 + 4);
      auto back = decode_null_map(bytes_of_text(payload), rows);
      ASSERT_TRUE(back.ok()) << back.error().message;
      EXPECT_TRUE(map.count() == rows ? back->empty() : *back == map);
    }
  }
}

TEST(NullMap, TakesAnyBytesWithoutHarm) {
  Random random(4);
  for (int k = 0; k < 20'000; ++k) {
    std::vector<uint8_t> bytes(random() % 40);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random() % (k % 2 ? 256 : 8));
    if (!bytes.empty()) bytes[0] = static_cast<uint8_t>(random() % 5);
    const auto rows = 1 + static_cast<uint32_t>(random() % 300);
    auto map = decode_null_map(bytes, rows);
    EXPECT_TRUE(!map.ok() || map->empty() || map->size() == rows);
  }
}

TEST(Piece, OpensOnlyToItsSize) {
  const std::string text(10'000, 'x');
  std::string piece;
  EXPECT_NE(compress_piece(bytes_of_text(text), piece), PieceKind::stored);
  EXPECT_LT(piece.size(), 200u);
  std::vector<uint8_t> out(10'001);
  EXPECT_TRUE(expand_piece(bytes_of_text(piece), out.data(), 10'000).ok());
  EXPECT_FALSE(expand_piece(bytes_of_text(piece), out.data(), 9'999).ok());
  EXPECT_FALSE(expand_piece(bytes_of_text(piece), out.data(), 10'001).ok());
  EXPECT_FALSE(expand_piece({}, out.data(), 0).ok());
  piece[0] = 9;
  EXPECT_FALSE(expand_piece(bytes_of_text(piece), out.data(), 10'000).ok());
}

}  // namespace
}  // namespace sluice::codec
