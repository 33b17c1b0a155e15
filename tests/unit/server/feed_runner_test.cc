#include "server/feed_runner.h"

#include <gtest/gtest.h>

#include "ingest/receive/limits.h"
#include "server/message_bodies.h"
#include "tests/unit/server/intake_fixture.h"

namespace sluice::server {
namespace {

TEST(FeedBackoff, DoublesUpToFiveMinutesAndHalvesAtMost) {
  EXPECT_EQ(feed_backoff(1, 0), kSecond);
  EXPECT_EQ(feed_backoff(2, 0), 2 * kSecond);
  EXPECT_EQ(feed_backoff(5, 0), 16 * kSecond);
  EXPECT_EQ(feed_backoff(1'000'000'000, 0), 5 * kMinute);
  EXPECT_EQ(feed_backoff(1, 1), kSecond / 2);
}

TEST_F(IntakeTest, ADeclarationThatMakesNoSenseIsRefusedByItsKey) {
  const auto refused = [&](const char* kind, const char* source, const char* format, std::map<std::string, std::string> keys) {
    ingest::FeedSettings settings;
    settings.name = "f";
    settings.kind = kind;
    settings.source = source;
    settings.format = format;
    settings.place = "t.toml:1";
    for (const auto& [key, value] : keys) settings.options[key] = {value, "t.toml:7"};
    const auto made = FeedRunner::open({settings}, {*store_, clock_, metrics_, *losses_, *ingest_, [] {}});
    return made.ok() ? std::string("made") : made.error().message;
  };
  EXPECT_EQ(refused("folder", "aws_vpc", "${srcaddr} ${dstaddr} ${end}", {{"path", root_}}), "made");
  EXPECT_EQ(refused("folder", "aws_vpc", "${bogus} ${foo}", {{"path", root_}}).find("t.toml:1: feed 'f': format: configured format"), 0u);
  EXPECT_EQ(refused("folder", "aws_vpc", "", {{"paht", root_}}).find("t.toml:7: feed 'f': paht: is not known"), 0u);
  EXPECT_EQ(refused("folder", "aws_vpc", "", {}).find("t.toml:1: feed 'f': path: is needed"), 0u);
  EXPECT_EQ(refused("kafka", "aws_vpc", "", {{"brokers", "127.0.0.1:1"}, {"topics", "t"}, {"payload", "datagram"}}).find("t.toml:7: feed 'f': payload: "), 0u);
  EXPECT_EQ(refused("kafka", "netflow", "", {{"brokers", "127.0.0.1:1"}, {"topics", "t"}, {"payload", "datagram"}}), "made");
}

TEST_F(IntakeTest, CommitsTheCheckpointWithTheRowsAndErasesByAnEmptyValue) {
  ingest::FeedPiece piece;
  piece.object = "a";
  piece.bytes = line(1) + line(2);
  piece.checkpoint = {{"x", "1"}, {"y", "2"}};
  EXPECT_EQ(take(piece).rows, 2u);
  open();
  EXPECT_EQ(rows(), 2u);
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"x", "1"}, {"y", "2"}}));
  ingest::FeedPiece only;
  only.checkpoint = {{"x", ""}, {"z", "3"}};
  take(only);
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"y", "2"}, {"z", "3"}}));
  EXPECT_EQ(intake_->counts().pieces, 0u);
}

TEST_F(IntakeTest, AnObjectCountsOnceAndItsCheckpointEachTime) {
  ingest::FeedPiece piece;
  piece.object = "s3://b/k";
  piece.object_key = "k";
  piece.bytes = line(1);
  piece.checkpoint = {{"after", "k"}};
  EXPECT_EQ(take(piece).rows, 1u);
  open();
  piece.checkpoint = {{"after", "k2"}};
  EXPECT_TRUE(take(piece).duplicate);
  EXPECT_EQ(rows(), 1u);
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"after", "k2"}}));
}

TEST_F(IntakeTest, ALargeObjectComesInPartsWithItsHeaderAndIsNotDoubledWhenItComesAgain) {
  std::string text = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n";
  int n = 0;
  while (text.size() < 2 * limits::kFeedPartBytes + 100'000) text += line(n++ % 65'536);
  ingest::FeedPiece piece;
  piece.object = piece.object_key = "big";
  piece.bytes = text;
  EXPECT_EQ(take(piece).rows, static_cast<uint64_t>(n));
  // As after a crash behind its first parts: only the object's own key is missing.
  ASSERT_TRUE(store_->catalog().erase(catalog::Keyspace::objects, "feed/f\nbig", catalog::Sync::no).ok());
  const auto again = take(piece);
  EXPECT_EQ(again.rejected, 0u);
  ASSERT_GE(store_->stats().duplicate_objects, 2u);
}

TEST_F(IntakeTest, WhatCannotBeReadIsSetAsideByNameAndBlocksNothing) {
  ingest::FeedPiece piece;
  piece.object = piece.object_key = "bad";
  piece.bytes = "what is this\n";
  piece.checkpoint = {{"after", "bad"}};
  EXPECT_TRUE(take(piece).set_aside);
  piece = {};
  piece.object = "gone";
  piece.fault = "gone while it was read";
  EXPECT_TRUE(take(piece).set_aside);
  open();
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"after", "bad"}}));
  ASSERT_EQ(intake_->set_aside().size(), 2u);
  piece = {};
  piece.object = piece.object_key = "bad";  // a good one may come under the same key
  piece.bytes = line(1);
  EXPECT_EQ(take(piece).rows, 1u);
}

TEST_F(IntakeTest, ABadLineAtTheFrontOfALaterPartCostsOnlyItself) {
  ingest::FeedPiece piece;
  piece.object = "a";
  piece.offset = 4'096;
  piece.bytes = "rubbish\n" + line(1);
  const auto result = take(piece);
  EXPECT_EQ(result.rows, 1u);
  EXPECT_EQ(result.rejected, 1u);
}

TEST_F(IntakeTest, WhyRecordsWereRejectedIsInTheLogAndNotEachTime) {
  ingest::FeedPiece piece;
  piece.object = "a";
  piece.offset = 4'096;
  piece.bytes = "rubbish\n" + line(1);
  ::testing::internal::CaptureStderr();
  EXPECT_NE(take(piece).reason.find("record 1: "), std::string::npos);
  take(piece);
  take(piece);
  const std::string first = ::testing::internal::GetCapturedStderr();
  const size_t at = first.find("records of a feed were rejected");
  ASSERT_NE(at, std::string::npos) << first;
  EXPECT_EQ(first.find("records of a feed were rejected", at + 1), std::string::npos);
  EXPECT_NE(first.find("rubbish"), std::string::npos);
  clock_.advance(kMinute);
  ::testing::internal::CaptureStderr();
  take(piece);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("rejected=3"), std::string::npos);
}

TEST_F(IntakeTest, WhatIsSetAsideAgainIsNoNews) {
  ingest::FeedPiece piece;
  piece.object = "a";
  piece.fault = "unreadable";
  EXPECT_TRUE(take(piece).set_aside);
  piece.was_aside = true;
  EXPECT_TRUE(take(piece).set_aside);
  EXPECT_EQ(intake_->counts().set_aside, 1u);
  EXPECT_EQ(intake_->set_aside().size(), 1u);
}

TEST_F(IntakeTest, MessagesAreBodiesOfTheirOwn) {
  ingest::FeedPiece piece;
  piece.object = "topic/0";
  for (const std::string& message : {std::string("rubbish"), line(1).substr(0, line(1).size() - 1), std::string(), line(2) + line(3), std::string("\x1f\x8b\x08""bad")}) {
    piece.bytes += message;
    piece.records.push_back({piece.bytes.size(), 0, {}, 0});
  }
  piece.checkpoint = {{"0", "5"}};
  const auto result = take(piece);
  EXPECT_EQ(result.rows, 3u);
  EXPECT_EQ(result.rejected, 2u);
}

TEST(DecodeMessages, AHeaderHoldsForItsOwnMessageOnly) {
  const std::string own = "srcaddr dstaddr end bytes\n10.0.0.1 10.0.0.2 1763625600 5\n", plain = line(1);
  const std::string bytes = own + plain;
  const size_t ends[] = {own.size(), bytes.size()};
  uint64_t rows = 0;
  ingest::DecodeReport report;
  const auto next = decode_messages({"aws_vpc", bytes, ends, std::nullopt, {}}, 0, {}, [&](Batch&& batch) -> Status {
    rows += batch.rows;
    return {};
  }, report);
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(*next, 2u);
  EXPECT_EQ(rows, 2u);
  EXPECT_EQ(report.rejected, 0u);
}

}  // namespace
}  // namespace sluice::server
