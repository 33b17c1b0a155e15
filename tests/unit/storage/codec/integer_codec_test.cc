// Every codec of the table gives back what it was given, whole, in ranges and row by row, and takes any bytes without harm.
#include "storage/codec/integer_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "storage/codec/bitpack.h"

namespace sluice::codec {
namespace {

using Random = std::mt19937_64;
using Values = std::vector<uint64_t>;

Bytes as_bytes(const std::string& s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }

struct Distribution {
  const char* name;
  std::function<uint64_t(Random&, size_t)> value;
};

const std::vector<Distribution>& distributions() {
  static const std::vector<Distribution> all = {
      {"zeros", [](Random&, size_t) { return 0; }},
      {"largest", [](Random&, size_t) { return ~uint64_t{0}; }},
      {"both ends", [](Random& r, size_t) { return r() % 2 ? ~uint64_t{0} : 0; }},
      {"uniform", [](Random& r, size_t) { return r(); }},
      {"bytes", [](Random& r, size_t) { return r() % 256; }},
      {"ascending", [](Random& r, size_t i) { return 1'790'000'000'000'000'000 + i * 1'000'000 + r() % 3 * 1'000'000; }},
      {"descending", [](Random&, size_t i) { return 1'000'000 - i; }},
      {"around zero", [](Random& r, size_t) { return r() % 100 - 50; }},
      {"runs", [](Random&, size_t i) { return i / 700 * 1'000'003; }},
      {"long runs", [](Random&, size_t i) { return i / 20'000; }},
      {"few wide", [](Random& r, size_t) { return (r() % 7) * 0x0123456789abcdefull; }},
      {"elephants and mice", [](Random& r, size_t) { return r() % 200 ? r() % 16 : r() >> (r() % 64); }},
      {"heavy tail", [](Random& r, size_t) { return r() >> (r() % 64); }},
      {"skewed bytes", [](Random& r, size_t) { return std::min({r() % 200, r() % 200, r() % 200, r() % 200}); }},
      {"ports", [](Random& r, size_t) { return r() % 2 ? 443 : 32'768 + r() % 28'000; }},
  };
  return all;
}

const std::vector<size_t>& lengths() {
  static const std::vector<size_t> all = {1, 2, 31, 1'023, 1'024, 1'025, 8'192, 8'193, 65'535, 65'536};
  return all;
}

template <typename T>
void expect_reads(Bytes stream, const Values& values, Random& random) {
  const auto count = static_cast<uint32_t>(values.size());
  std::vector<T> out(count);
  ASSERT_TRUE(decode_integers(stream, count, 0, count, Out(out.data())).ok());
  for (uint32_t i = 0; i < count; ++i) ASSERT_EQ(out[i], static_cast<T>(values[i])) << i;
  for (int k = 0; k < 4; ++k) {
    const auto from = static_cast<uint32_t>(random() % (count + 1));
    const auto to = from + static_cast<uint32_t>(random() % (std::min<uint32_t>(count - from, 3'000) + 1));
    std::vector<T> part(to - from + 1, 77);
    ASSERT_TRUE(decode_integers(stream, count, from, to, Out(part.data())).ok());
    for (uint32_t i = from; i < to; ++i) ASSERT_EQ(part[i - from], static_cast<T>(values[i])) << from << ".." << to << " at " << i;
    ASSERT_EQ(part.back(), 77) << "wrote beyond its room";
    std::vector<uint32_t> rows;
    const uint64_t gap = 1 + random() % (k % 2 ? 3 : 900);
    for (uint64_t row = random() % gap; row < count; row += 1 + random() % gap) rows.push_back(static_cast<uint32_t>(row));
    std::vector<T> picked(rows.size() + 1, 77);
    ASSERT_TRUE(decode_integer_rows(stream, count, rows, Out(picked.data())).ok());
    for (size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(picked[i], static_cast<T>(values[rows[i]])) << rows[i];
    ASSERT_EQ(picked.back(), 77) << "wrote beyond its room";
  }
}

TEST(IntegerCodec, GivesBackWhatItWasGiven) {
  Random random(1);
  for (const Distribution& d : distributions()) {
    for (const size_t length : lengths()) {
      Values values(length);
      for (size_t i = 0; i < length; ++i) values[i] = d.value(random, i);
      for (const bool time : {false, true}) {
        const Shape shape = Shape::of(values, time);
        for (const IntegerCodec* codec : integer_codecs()) {
          const auto estimate = codec->estimate(values, shape);
          if (!estimate) continue;
          std::string stream(1, static_cast<char>(codec->id()));
          codec->encode(values, shape, stream);
          SCOPED_TRACE(std::string(d.name) + " " + std::to_string(length) + " " + std::string(codec->name()));
          expect_reads<uint64_t>(as_bytes(stream), values, random);
          // Of values that are wider than where they go, the low bits: what differences of a narrow column need.
          expect_reads<uint32_t>(as_bytes(stream), values, random);
          expect_reads<uint16_t>(as_bytes(stream), values, random);
          expect_reads<uint8_t>(as_bytes(stream), values, random);
          // The packed ones say exactly what they will take.
          if (codec->id() == CodecId::packed || codec->id() == CodecId::delta || codec->id() == CodecId::constant) {
            EXPECT_EQ(*estimate + 1, stream.size());
          }
          if (::testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(IntegerCodec, ChoosesWellAndReadsEveryWidth) {
  Random random(2);
  for (const Distribution& d : distributions()) {
    for (const size_t length : {size_t{1}, size_t{1'500}, size_t{65'536}}) {
      Values values(length);
      for (size_t i = 0; i < length; ++i) values[i] = d.value(random, i);
      SCOPED_TRACE(std::string(d.name) + " " + std::to_string(length));
      auto cut = [&](uint64_t mask) {
        Values narrow = values;
        for (uint64_t& v : narrow) v &= mask;
        return narrow;
      };
      auto encoded = [](const Values& v) {
        std::string stream;
        encode_integers(v, stream);
        // Never much beyond the plain bytes.
        EXPECT_LE(stream.size(), v.size() * 8 + 12 * (v.size() / 1'024 + 1) + 64);
        return stream;
      };
      expect_reads<uint8_t>(as_bytes(encoded(cut(0xff))), cut(0xff), random);
      expect_reads<uint16_t>(as_bytes(encoded(cut(0xffff))), cut(0xffff), random);
      expect_reads<uint32_t>(as_bytes(encoded(cut(0xffffffff))), cut(0xffffffff), random);
      expect_reads<uint64_t>(as_bytes(encoded(values)), values, random);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(IntegerCodec, ChoosesTheObviousOne) {
  Values same(10'000, 42), rising(10'000), runs(10'000), few(10'000), noise(10'000);
  Random random(3);
  for (size_t i = 0; i < same.size(); ++i) {
    rising[i] = i * 1'000'003 + random() % 3;
    runs[i] = i / 2'500 * 7'777;
    few[i] = random() % 3 << (random() % 2 ? 60 : 50);
    noise[i] = random() % 100'000;
  }
  std::string out;
  EXPECT_EQ(encode_integers(same, out), CodecId::constant);
  EXPECT_EQ(encode_integers(rising, out), CodecId::delta);
  EXPECT_EQ(encode_integers(runs, out), CodecId::runs);
  EXPECT_EQ(encode_integers(few, out), CodecId::local);
  EXPECT_EQ(encode_integers(noise, out), CodecId::packed);
}

TEST(IntegerCodec, TimesInMillisecondsCostMilliseconds) {
  Values times(1'024);
  Random random(4);
  for (uint64_t& t : times) t = 1'790'000'000'123'456'789 + random() % 4'096 * 1'000'000;
  std::string stream;
  encode_integers(times, stream, true);
  EXPECT_LE(stream.size(), 1'024 * 12 / 8 + 48u);
}

TEST(IntegerCodec, TakesAnyBytesWithoutHarm) {
  Random random(5);
  for (const Distribution& d : distributions()) {
    Values values(3'000);
    for (size_t i = 0; i < values.size(); ++i) values[i] = d.value(random, i);
    const Shape shape = Shape::of(values);
    for (const IntegerCodec* codec : integer_codecs()) {
      if (!codec->estimate(values, shape)) continue;
      std::string good(1, static_cast<char>(codec->id()));
      codec->encode(values, shape, good);
      for (int k = 0; k < 300; ++k) {
        std::string bad = good;
        if (k % 3 == 0) bad.resize(random() % bad.size());
        for (uint64_t flips = random() % 4; flips-- > 0 && !bad.empty();)
          bad[random() % (k % 2 ? bad.size() : std::min<size_t>(bad.size(), 64))] = static_cast<char>(random());
        // A copy of exactly this length, so that a sanitizer sees every byte read beyond it.
        const std::vector<uint8_t> exact(bad.begin(), bad.end());
        const auto count = static_cast<uint32_t>(k % 5 == 0 ? 1 + random() % 65'536 : values.size());
        std::vector<uint32_t> out(count);
        const auto from = static_cast<uint32_t>(random() % (count + 1));
        const Status status = decode_integers(exact, count, from, count, Out(out.data()));
        EXPECT_TRUE(status.ok() || status.error().code == ErrorCode::corrupt);
        const std::vector<uint32_t> rows = {0, count / 2, count - 1};
        (void)decode_integer_rows(exact, count, rows, Out(out.data())).ok();
      }
    }
  }
}

TEST(IntegerCodec, RefusesUnknownCodecs) {
  uint8_t out[4];
  for (int id = 0; id < 256; ++id) {
    if (find_codec(static_cast<uint8_t>(id))) continue;
    const uint8_t stream[] = {static_cast<uint8_t>(id), 0, 0, 0};
    EXPECT_FALSE(decode_integers(stream, 4, 0, 4, Out(out)).ok());
  }
  EXPECT_FALSE(decode_integers({}, 4, 0, 4, Out(out)).ok());
}

// All widths, all starts within a word, against the plain twin.
template <typename T>
void expect_unpacks() {
  Random random(6);
  for (unsigned width = 0; width <= 8 * sizeof(T); ++width) {
    Values values(700);
    const uint64_t mask = width == 64 ? ~uint64_t{0} : (uint64_t{1} << width) - 1;
    for (uint64_t& v : values) v = random() & mask;
    std::string packed;
    pack_bits(values.data(), values.size(), width, packed);
    ASSERT_EQ(packed.size(), packed_bytes(values.size(), width));
    std::vector<uint8_t> bytes(packed.begin(), packed.end());
    bytes.resize(bytes.size() + kUnpackSlack);
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(unpack_one(bytes.data(), width, i), values[i]);
    for (size_t first = 0; first < 80; ++first) {
      for (const size_t count : {size_t{0}, size_t{1}, size_t{7}, size_t{64}, size_t{129}, values.size() - first}) {
        const T add = static_cast<T>(random());
        std::vector<T> out(count + 1, 99);
        unpack_bits(bytes.data(), width, first, count, out.data(), add);
        for (size_t i = 0; i < count; ++i)
          ASSERT_EQ(out[i], static_cast<T>(values[first + i] + add)) << "width " << width << " first " << first << " at " << i;
        ASSERT_EQ(out[count], 99);
      }
    }
  }
}

TEST(Bitpack, UnpacksEveryWidth) {
  expect_unpacks<uint8_t>();
  expect_unpacks<uint16_t>();
  expect_unpacks<uint32_t>();
  expect_unpacks<uint64_t>();
}

}  // namespace
}  // namespace sluice::codec
