#include "ingest/receive/ipfix_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace sluice::ingest {
namespace {

std::vector<uint8_t> message(size_t length, uint8_t fill, uint16_t version = 10) {
  std::vector<uint8_t> m(std::max<size_t>(length, 4), fill);
  m[0] = static_cast<uint8_t>(version >> 8);
  m[1] = static_cast<uint8_t>(version);
  m[2] = static_cast<uint8_t>(length >> 8);
  m[3] = static_cast<uint8_t>(length);
  return m;
}

// Feeds the bytes in pieces of at most `piece`; returns the messages, or what ended the stream.
struct Fed {
  std::vector<std::vector<uint8_t>> messages;
  std::string error;
};
Fed feed(IpfixStream& stream, std::span<const uint8_t> bytes, size_t piece) {
  Fed fed;
  while (!bytes.empty() && fed.error.empty()) {
    const std::span<uint8_t> room = stream.room();
    const size_t n = std::min({piece, room.size(), bytes.size()});
    EXPECT_GT(room.size(), 0u);
    std::copy_n(bytes.begin(), n, room.begin());
    stream.filled(n);
    bytes = bytes.subspan(n);
    while (true) {
      const auto next = stream.next();
      if (!next.ok()) fed.error = next.error().message;
      if (!next.ok() || !*next) break;
      fed.messages.emplace_back((*next)->begin(), (*next)->end());
    }
  }
  return fed;
}

TEST(IpfixStream, MessagesComeWholeHoweverTheBytesArrive) {
  std::vector<std::vector<uint8_t>> sent;
  std::vector<uint8_t> bytes;
  for (const size_t length : {16u, 17u, 1'400u, 65'535u, 16u, 65'535u, 65'535u, 20u}) {
    sent.push_back(message(length, static_cast<uint8_t>(length)));
    bytes.insert(bytes.end(), sent.back().begin(), sent.back().end());
  }
  for (const size_t piece : {1u, 2u, 3u, 5u, 16u, 1'448u, 65'534u, 65'536u, 1u << 20}) {
    IpfixStream stream;
    const Fed fed = feed(stream, bytes, piece);
    EXPECT_EQ(fed.error, "");
    EXPECT_EQ(fed.messages, sent) << piece;
    EXPECT_FALSE(stream.is_within_message());
  }
}

TEST(IpfixStream, APartIsAPart) {
  IpfixStream stream;
  const auto whole = message(40, 1);
  EXPECT_TRUE(feed(stream, std::span(whole).first(39), 100).messages.empty());
  EXPECT_TRUE(stream.is_within_message());
  EXPECT_EQ(feed(stream, std::span(whole).last(1), 100).messages.size(), 1u);
  EXPECT_FALSE(stream.is_within_message());
}

TEST(IpfixStream, WhatIsNoMessageEndsTheStream) {
  for (const auto& bad : {message(16, 0, 9), message(16, 0, 0x1603), message(15, 0), message(0, 0), message(4, 0)}) {
    IpfixStream stream;
    std::vector<uint8_t> bytes = message(16, 7);
    bytes.insert(bytes.end(), bad.begin(), bad.end());
    const Fed fed = feed(stream, bytes, 3);
    EXPECT_EQ(fed.messages.size(), 1u);  // what came before it counts
    EXPECT_NE(fed.error, "");
  }
  // Two bytes are enough to tell.
  IpfixStream stream;
  const uint8_t tls[] = {0x16, 0x03};
  EXPECT_NE(feed(stream, tls, 2).error.find("version 5635"), std::string::npos);
}

}  // namespace
}  // namespace sluice::ingest
