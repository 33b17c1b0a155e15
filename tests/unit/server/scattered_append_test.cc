// Flows of more partitions than one append takes, by every way in: all of them, once, also when a try ends in the middle.
#include "server/scattered_append.h"

#include "ingest/receive/limits.h"
#include "server/ingest_service.h"
#include "server/limits.h"
#include "storage/model/limits.h"
#include "tests/unit/server/intake_fixture.h"

namespace sluice::server {
namespace {

constexpr int kScattered = static_cast<int>(limits::kPartitionsPerAppendMax) + 500;
// So many partitions cannot be open at once: an append in the middle is refused until they are sealed.
constexpr int kTooMany = static_cast<int>(limits::kOpenPartitionsMax) + 500;

class ScatteredTest : public IntakeTest {
 protected:
  Result<IngestOutcome> post(std::string bytes, std::string object = {}) {
    IngestBody body;
    body.source = "aws_vpc";
    body.object = std::move(object);
    body.bytes = std::move(bytes);
    return ingest_->take(std::move(body));
  }
  Result<IngestOutcome> push(const std::string& bytes) {
    IngestMessages messages;
    messages.source = "aws_vpc";
    messages.object_key = "push/firehose/arn\nid";
    messages.bytes = bytes;
    messages.ends = {bytes.size()};
    BodyMemory memory = ingest_->memory(bytes.size());
    return ingest_->take_messages(std::move(messages), memory);
  }
  size_t keys(std::string_view prefix) {
    size_t count = 0;
    EXPECT_TRUE(store_->catalog().scan(catalog::Keyspace::objects, std::string(prefix), [&](std::string_view, std::string_view) { return ++count > 0; }).ok());
    return count;
  }
  void seal() { ASSERT_TRUE(store_->flush().ok()); }
};

TEST_F(ScatteredTest, ABodyWithoutAnIdIsWholeAndCountsEachTimeItIsSent) {
  const std::string body = hourly_lines(0, kScattered);
  for (int i = 1; i <= 2; ++i) {
    const auto outcome = post(body);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    EXPECT_EQ(outcome->rows, static_cast<uint64_t>(kScattered));
    EXPECT_EQ(rows(), static_cast<uint64_t>(i * kScattered));
    seal();
  }
  EXPECT_EQ(keys(""), 0u);
}

TEST_F(ScatteredTest, ABodyThatMeetsAFullStoreIsCompletedByItsNextTry) {
  const std::string body = hourly_lines(0, kTooMany);
  const auto refused = post(body);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::full) << refused.error().message;
  EXPECT_GT(rows(), 0u);
  seal();
  clock_.advance(kHour);
  open();  // also by another process
  const auto outcome = post(body);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_EQ(outcome->rows, static_cast<uint64_t>(kTooMany));
  EXPECT_EQ(rows(), static_cast<uint64_t>(kTooMany));
  EXPECT_EQ(keys(""), 0u);
}

TEST_F(ScatteredTest, ABodyWithAnIdCountsOnce) {
  const std::string body = hourly_lines(0, kTooMany), id(limits::kObjectKeyBytesMax, 'k');  // the longest
  EXPECT_EQ(post(body, id).error().code, ErrorCode::full);
  seal();
  const auto outcome = post(body, id);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_FALSE(outcome->duplicate);
  EXPECT_EQ(rows(), static_cast<uint64_t>(kTooMany));
  seal();
  EXPECT_TRUE(post(body, id)->duplicate);
  EXPECT_EQ(rows(), static_cast<uint64_t>(kTooMany));
}

TEST_F(ScatteredTest, APushIsTakenAndItsRetryCountsOnce) {
  const std::string body = hourly_lines(0, kTooMany);
  EXPECT_EQ(push(body).error().code, ErrorCode::full);
  seal();
  const auto outcome = push(body);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_EQ(outcome->rows, static_cast<uint64_t>(kTooMany));
  seal();
  EXPECT_TRUE(push(body)->duplicate);
  EXPECT_EQ(rows(), static_cast<uint64_t>(kTooMany));
}

TEST_F(ScatteredTest, MessagesOfOneDeliveryUnpackToABound) {
  const std::string text(60u << 20, 'x'), packed = gzipped(text);
  const size_t enough = limits::kIngestInflatedBytesMax / text.size() + 2;
  IngestMessages messages;
  messages.source = "aws_vpc";
  for (size_t i = 0; i < enough; ++i) {
    messages.bytes += packed;
    messages.ends.push_back(messages.bytes.size());
  }
  IngestMessages fewer = messages;
  fewer.ends.resize(2);
  BodyMemory memory = ingest_->memory(messages.bytes.size());
  const auto refused = ingest_->take_messages(std::move(messages), memory);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::too_large);
  EXPECT_NE(refused.error().message.find("send fewer"), std::string::npos) << refused.error().message;
  EXPECT_EQ(ingest_->take_messages(std::move(fewer), memory).error().code, ErrorCode::invalid_argument) << "lines that are too long, and no more";
}

TEST_F(ScatteredTest, AnObjectOfAFeed) {
  ingest::FeedPiece piece;
  piece.object = piece.object_key = "old";
  piece.bytes = hourly_lines(0, kScattered);
  piece.checkpoint = {{"after", "old"}};
  EXPECT_EQ(take(piece).rows, static_cast<uint64_t>(kScattered));
  EXPECT_TRUE(take(piece).duplicate);
  EXPECT_EQ(rows(), static_cast<uint64_t>(kScattered));
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"after", "old"}}));
}

// A file that is followed: killed in the middle of a piece, and grown when it is read again.
TEST_F(ScatteredTest, AFileThatGrowsIsNotDoubledWhenItsPieceEndsElsewhere) {
  const auto piece_of = [](int end, const std::string& offset) {
    ingest::FeedPiece piece;
    piece.object = "grow.log";
    piece.compression = ingest::Compression::none;
    piece.bytes = hourly_lines(0, end);
    piece.checkpoint = {{"file/1", offset}};
    return piece;
  };
  const auto first = intake_->take(piece_of(kTooMany, "x"), [] { return false; });
  ASSERT_FALSE(first.ok());
  EXPECT_EQ(first.error().code, ErrorCode::cancelled);
  EXPECT_GT(rows(), limits::kPartitionsPerAppendMax);
  seal();
  open();
  EXPECT_TRUE(checkpoint().empty());
  const auto again = intake_->take(piece_of(kTooMany + 7, "y"), [&] {
    seal();
    return true;
  });
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(rows(), static_cast<uint64_t>(kTooMany + 7));
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"file/1", "y"}}));
}

// Records of a topic: whatever batches they come in.
ingest::FeedPiece records(int begin, int end, int lines_of_each) {
  ingest::FeedPiece piece;
  piece.object = "t/0";
  piece.compression = ingest::Compression::none;
  piece.streams = {"o/t/0", "o/t/1"};
  for (int n = begin; n < end; ++n) {
    piece.bytes += hourly_lines(n * lines_of_each, (n + 1) * lines_of_each);
    ingest::FeedRecord record;
    record.end = piece.bytes.size();
    record.stream = static_cast<uint32_t>(n % 2);
    record.position = static_cast<uint64_t>(n / 2);
    piece.records.push_back(record);
  }
  piece.checkpoint = {{"o/t/0", std::to_string((end + 1) / 2)}, {"o/t/1", std::to_string(end / 2)}};
  return piece;
}

TEST_F(ScatteredTest, RecordsOfATopicCommitTheirPlacesAsTheyBecomeDurable) {
  constexpr int kRecords = 50, kLines = 100;  // 5,000 hours
  const auto first = intake_->take(records(0, kRecords, kLines), [] { return false; });
  ASSERT_FALSE(first.ok());
  EXPECT_EQ(first.error().code, ErrorCode::cancelled);
  const uint64_t durable = rows();
  ASSERT_GT(durable, limits::kPartitionsPerAppendMax);
  ASSERT_LT(durable, static_cast<uint64_t>(kRecords * kLines));
  open();
  // The places say just how far the rows go.
  uint64_t places = 0;
  for (const auto& [key, value] : checkpoint()) places += std::stoull(value);
  EXPECT_EQ(places * kLines, durable);
  // What comes again begins there, in other batches.
  const int from = static_cast<int>(places);
  for (const auto& [begin, end] : {std::pair{from, from + 3}, {from + 3, kRecords}}) {
    const auto again = intake_->take(records(begin, end, kLines), [&] {
      seal();
      return true;
    });
    ASSERT_TRUE(again.ok()) << again.error().message;
  }
  EXPECT_EQ(rows(), static_cast<uint64_t>(kRecords * kLines));
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"o/t/0", "25"}, {"o/t/1", "25"}}));
}

TEST_F(ScatteredTest, ARecordThatIsTooScatteredByItselfIsKnownByItsPlace) {
  // Killed in the middle of the large one, which comes again with other neighbours.
  const auto first = intake_->take(records(0, 2, kTooMany), [] { return false; });
  ASSERT_FALSE(first.ok());
  EXPECT_GT(rows(), 0u);
  seal();
  open();
  const auto again = intake_->take(records(0, 1, kTooMany), [&] {
    seal();
    return true;
  });
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(rows(), static_cast<uint64_t>(kTooMany));
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"o/t/0", "1"}, {"o/t/1", "0"}}));
}

TEST_F(ScatteredTest, RecordsThatInflateToMuchAreWrittenInSteps) {
  ingest::FeedPiece piece;
  piece.object = "t/0";
  piece.streams = {"o/t/0"};
  const std::string half = gzipped(std::string(limits::kMessagesTextBytesMax / 2, '\n') + line(1));
  const std::string bomb = gzipped(std::string(limits::kMessageInflatedBytesMax + 1, '\n'));
  for (const std::string* bytes : {&half, &half, &bomb, &half}) {
    piece.bytes += *bytes;
    ingest::FeedRecord record;
    record.end = piece.bytes.size();
    record.position = piece.records.size() + 10;
    piece.records.push_back(record);
  }
  piece.checkpoint = {{"o/t/0", "14"}};
  const auto result = take(std::move(piece));
  EXPECT_FALSE(result.set_aside);
  EXPECT_EQ(result.rows, 3u);
  EXPECT_EQ(result.rejected, 1u);
  EXPECT_GE(store_->stats().appends, 2u);
  EXPECT_EQ(checkpoint(), (ingest::Checkpoint{{"o/t/0", "14"}}));
}

}  // namespace
}  // namespace sluice::server
