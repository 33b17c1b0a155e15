#include "ingest/receive/inflate.h"
#include "ingest/receive/limits.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <random>

namespace sluice::ingest {
namespace {

std::string deflated(std::string_view plain, bool gzip) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, gzip ? 31 : 15, 9, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::string packed(std::string_view plain, Compression compression) {
  if (compression == Compression::none) return std::string(plain);
  if (compression != Compression::zstd) return deflated(plain, compression == Compression::gzip);
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 3));
  return out;
}

std::string sample(size_t size) {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < size) text += "2 1 eni-" + std::to_string(random() % 1000) + " 10.0.0.1 ACCEPT OK\n";
  text.resize(size);
  return text;
}

constexpr Compression kAll[] = {Compression::none, Compression::gzip, Compression::zlib, Compression::zstd};
constexpr Compression kPacked[] = {Compression::gzip, Compression::zlib, Compression::zstd};

TEST(Inflate, GivesBackWhatWasPacked) {
  for (const Compression c : kAll)
    for (const size_t size : {0, 1, 1000, 262'143, 262'144, 262'145, 3'000'000}) {
      const std::string plain = sample(size);
      const std::string body = packed(plain, c);
      if (c != Compression::none) {
        EXPECT_EQ(detect_compression(body), c);
      }
      const auto out = inflate_to_string(body, c);
      ASSERT_TRUE(out.ok()) << to_string(c) << " " << size << ": " << out.error().message;
      EXPECT_TRUE(*out == plain) << to_string(c) << " " << size;
    }
  EXPECT_EQ(detect_compression("2 123 eni"), Compression::none);
  EXPECT_EQ(detect_compression(""), Compression::none);
  EXPECT_EQ(detect_compression(packed("x", Compression::zlib), false), Compression::none);
}

TEST(Inflate, ReadsAllMembersAndFrames) {
  for (const Compression c : {Compression::gzip, Compression::zstd}) {
    std::string body;
    for (int i = 0; i < 3; ++i) body += packed("member " + std::to_string(i) + "\n", c);
    body += packed("", c);
    const auto out = inflate_to_string(body, c);
    ASSERT_TRUE(out.ok()) << out.error().message;
    EXPECT_EQ(*out, "member 0\nmember 1\nmember 2\n");
    EXPECT_TRUE(inflate_to_string(body + std::string(512, '\0'), c).ok()) << "zeros up to a block are padding";
  }
}

TEST(Inflate, NamesThePlaceOfDamage) {
  for (const Compression c : kPacked) {
    const std::string plain = sample(100'000), body = packed(plain, c);
    const auto message = [&](const std::string& bytes) {
      const auto out = inflate_to_string(bytes, c);
      EXPECT_TRUE(out.ok() || out.error().code == ErrorCode::corrupt);
      return out.ok() ? std::string("fine") : out.error().message;
    };
    const std::string name(to_string(c));
    EXPECT_EQ(message(""), name + " body is empty");
    EXPECT_EQ(message(body + "trailing"), "bytes follow the end of the " + name + " body, at offset " + std::to_string(body.size()));
    for (const size_t cut : {size_t{1}, size_t{5}, body.size() / 2, body.size() - 1})
      EXPECT_EQ(message(body.substr(0, cut)), name + " body ends early, at offset " + std::to_string(cut));
    std::string damaged = body;
    damaged[0] = static_cast<char>(~damaged[0]);
    EXPECT_NE(message(damaged).find("at offset"), std::string::npos) << message(damaged);
    if (c != Compression::zstd) {  // gzip and zlib end in a checksum of what was packed
      damaged = body;
      damaged[body.size() - 3] = static_cast<char>(~damaged[body.size() - 3]);
      EXPECT_NE(message(damaged).find("damaged"), std::string::npos) << message(damaged);
    }
  }
}

TEST(Inflate, NeverCrashesOnDamage) {
  std::mt19937 random(11);
  for (const Compression c : kPacked) {
    const std::string body = packed(sample(20'000), c);
    for (int i = 0; i < 500; ++i) {
      std::string damaged = body;
      for (int j = 0; j < 3; ++j) damaged[random() % damaged.size()] = static_cast<char>(random());
      (void)inflate_to_string(damaged, c, 1u << 20);
    }
  }
}

TEST(Inflate, HoldsItsBound) {
  for (const Compression c : kAll) {
    const std::string body = packed(std::string(1'000'000, 'a'), c);
    EXPECT_TRUE(inflate_to_string(body, c, 1'000'000).ok());
    const auto out = inflate_to_string(body, c, 999'999);
    ASSERT_FALSE(out.ok());
    EXPECT_EQ(out.error().code, ErrorCode::too_large);
    EXPECT_NE(out.error().message.find("999999"), std::string::npos);
  }
}

TEST(Inflate, DefusesBombs) {
  // 1 GiB of zeros packed to about a megabyte, in pieces, so that the test does not hold it.
  for (const Compression c : {Compression::gzip, Compression::zstd}) {
    const std::string member = packed(std::string(64u << 20, '\0'), c);
    std::string bomb;
    for (int i = 0; i < 16; ++i) bomb += member;
    EXPECT_LT(bomb.size(), 2u << 20);
    size_t seen = 0, largest = 0;
    const auto result = inflate(bomb, c, [&](std::string_view piece) -> Status {
      seen += piece.size();
      largest = std::max(largest, piece.size());
      return {};
    });
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::too_large);
    EXPECT_LE(seen, limits::kIngestInflatedBytesMax);
    EXPECT_LE(largest, 256u << 10);
  }
}

TEST(Inflate, StopsWithTheSink) {
  for (const Compression c : kAll) {
    const auto result = inflate(packed(sample(1'000'000), c), c, [](std::string_view) -> Status { return Error{ErrorCode::cancelled, "enough"}; });
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::cancelled);
  }
}

TEST(Inflate, KnowsContentEncodings) {
  EXPECT_EQ(compression_of("").value(), Compression::none);
  EXPECT_EQ(compression_of("identity").value(), Compression::none);
  EXPECT_EQ(compression_of(" GZip ").value(), Compression::gzip);
  EXPECT_EQ(compression_of("x-gzip").value(), Compression::gzip);
  EXPECT_EQ(compression_of("deflate").value(), Compression::zlib);
  EXPECT_EQ(compression_of("zstd").value(), Compression::zstd);
  for (const char* bad : {"br", "gzip, gzip", "gzipp", "zst"}) {
    ASSERT_FALSE(compression_of(bad).ok());
    EXPECT_EQ(compression_of(bad).error().code, ErrorCode::unsupported);
  }
}

}  // namespace
}  // namespace sluice::ingest
