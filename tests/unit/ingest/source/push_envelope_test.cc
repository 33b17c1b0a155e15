// What clouds push, taken apart: a record that cannot be read costs only itself, and memory is asked for before it is used.
#include "ingest/source/push_envelope.h"

#include <gtest/gtest.h>

#include "ingest/receive/digest.h"

namespace sluice::ingest {
namespace {

// Grants up to a bound.
class Share final : public MemoryShare {
 public:
  explicit Share(size_t most = SIZE_MAX) : most_(most) {}
  ~Share() override { EXPECT_EQ(taken_, 0u); }
  Status take(size_t bytes) override {
    if (bytes > most_ - taken_) return Error{ErrorCode::full, "no more memory"};
    taken_ += bytes;
    peak_ = std::max(peak_, taken_);
    return {};
  }
  void release(size_t bytes) override { taken_ -= bytes; }
  size_t taken() const { return taken_; }
  size_t peak() const { return peak_; }

 private:
  const size_t most_;
  size_t taken_ = 0, peak_ = 0;
};

std::vector<std::string> texts(const PushedMessages& messages) {
  std::vector<std::string> out;
  size_t begin = 0;
  for (const size_t end : messages.ends) {
    out.push_back(messages.bytes.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

using Texts = std::vector<std::string>;

TEST(Firehose, ARecordThatIsNoneCostsOnlyItself) {
  const std::string body = R"({"requestId":"r","timestamp":1,"records":[{"data":"YQ=="},{"data":"%"},{},7,{"data":7},{"data":"Yg==","more":[{}]}]})";
  HeldMemory held(nullptr);
  const auto request = read_firehose(body, held);
  ASSERT_TRUE(request.ok()) << request.error().message;
  EXPECT_EQ(texts(request->records), (Texts{"a", "", "", "", "", "b"}));
  EXPECT_EQ(request->records.refused.rejected, 4u);
  ASSERT_EQ(request->records.refused.errors.size(), 4u);
  EXPECT_EQ(request->records.refused.errors[0].record, 2u);
  EXPECT_EQ(request->records.refused.errors[0].reason, "data of record 2 is not base64");
  EXPECT_EQ(request->records.refused.errors[3].record, 5u);
  // What is no JSON is no request.
  EXPECT_EQ(read_firehose(body.substr(0, body.size() - 2), held).error().code, ErrorCode::parse);
  EXPECT_EQ(read_firehose(body + "x", held).error().code, ErrorCode::parse);
}

TEST(Firehose, AsksForItsMemory) {
  const std::string body = R"({"requestId":"r","records":[{"data":")" + base64(std::string(100'000, 'x')) + "\"}]}";
  Share share;
  {
    HeldMemory held(&share);
    const auto request = read_firehose(body, held);
    ASSERT_TRUE(request.ok());
    EXPECT_GE(share.taken(), 100'000u);             // the record
    EXPECT_GE(share.peak(), 2 * body.size());       // and what parsing takes, while it does
    EXPECT_LT(share.taken(), share.peak());
  }
  // Brackets take far more than their bytes.
  Share brackets;
  {
    HeldMemory held(&brackets);
    EXPECT_FALSE(read_firehose(std::string(100'000, '['), held).ok());
  }
  EXPECT_GE(brackets.peak(), 600'000u);
  Share little(50'000);
  HeldMemory held(&little);
  EXPECT_EQ(read_firehose(body, held).error().code, ErrorCode::full);
}

struct Read {
  Status status;
  std::vector<Texts> batches;
  DecodeReport refused;
  uint64_t events = 0;
};

Read read(std::string_view body, MemoryShare* share = nullptr, const Status& of_sink = {}) {
  Read out;
  out.status = read_cloudwatch(body, share, [&](CloudWatchBatch&& batch) -> Status {
    out.batches.push_back(texts(batch.messages));
    out.events += batch.events;
    out.refused.merge(batch.messages.refused);
    return of_sink;
  }, out.refused);
  return out;
}

std::string batch(const std::string& message) { return R"({"owner":"1","logGroup":"g","logStream":"s","logEvents":[{"id":"1","message":")" + message + R"("}]})"; }
std::string kinesis_record(const std::string& data) { return R"({"kinesis":{"data":")" + data + R"("}})"; }

TEST(CloudWatch, ARecordOfAStreamThatCannotBeReadHoldsBackNobody) {
  const std::string bad[] = {kinesis_record("%%"), kinesis_record(base64("{\"logEvents\":[{")), kinesis_record(base64("\x1f\x8b\x08 no gzip")), kinesis_record(""), "{}", "7", kinesis_record(base64("{\"x\":1}")), R"({"kinesis":{"data":[]}})"};
  std::string body = R"({"Records":[)" + kinesis_record(base64(batch("a")));
  for (const std::string& b : bad) body += "," + b;
  body += "," + kinesis_record(base64(batch("b"))) + "]}";
  const Read got = read(body);
  ASSERT_TRUE(got.status.ok()) << got.status.error().message;
  EXPECT_EQ(got.batches, (std::vector<Texts>{{"a"}, {"b"}}));
  EXPECT_EQ(got.refused.rejected, std::size(bad));
  ASSERT_EQ(got.refused.errors.size(), std::size(bad));
  for (size_t i = 0; i < std::size(bad); ++i) EXPECT_EQ(got.refused.errors[i].record, i + 2) << got.refused.errors[i].reason;
}

TEST(CloudWatch, AnEventThatIsNoneCostsOnlyItself) {
  const Read got = read(R"({"logEvents":[{"id":"1","message":"a"},{"id":"2"},7,{"id":3,"message":"c"},{"id":"4","message":"d","extractedFields":{"x":"y"}}]})");
  ASSERT_TRUE(got.status.ok()) << got.status.error().message;
  EXPECT_EQ(got.batches, (std::vector<Texts>{{"a", "", "", "", "d"}}));
  EXPECT_EQ(got.events, 5u);
  EXPECT_EQ(got.refused.rejected, 3u);
}

TEST(CloudWatch, TroubleOfOursIsNotTheRecords) {
  const std::string body = R"({"Records":[)" + kinesis_record(base64(batch("a"))) + "," + kinesis_record(base64(batch("b"))) + "]}";
  const Read full = read(body, nullptr, Error{ErrorCode::full, "the disk is full"});
  EXPECT_EQ(full.status.error().code, ErrorCode::full);
  EXPECT_EQ(full.batches.size(), 1u);
  EXPECT_EQ(full.refused.rejected, 0u);
  Share share;
  ASSERT_TRUE(read(body, &share).status.ok());
  Share little(share.peak() - 1);
  const Read refused = read(body, &little);
  EXPECT_EQ(refused.status.error().code, ErrorCode::full);
  EXPECT_EQ(refused.refused.rejected, 0u);
}

TEST(PubSub, Messages) {
  Share share;
  {
    HeldMemory held(&share);
    const auto message = read_pubsub(R"({"message":{"data":"YQ==","messageId":"1"},"subscription":"s"})", held);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(message->data, "a");
    EXPECT_EQ(read_pubsub(R"({"message":{"data":"%","messageId":"1"}})", held).error().message, "data of the message is not base64");
  }
}

}  // namespace
}  // namespace sluice::ingest
