// Messages decoded together: what one of them does to the others.
#include "server/message_bodies.h"

#include "server/limits.h"
#include "tests/unit/server/intake_fixture.h"

namespace sluice::server {
namespace {

struct Decoded {
  ingest::DecodeReport report;
  uint64_t rows = 0;
  size_t calls = 0;
  std::optional<Error> error;
};

Decoded decode(const std::vector<std::string>& messages, ingest::MemoryShare* memory = nullptr, std::string_view source = "aws_vpc") {
  std::string bytes;
  std::vector<size_t> ends;
  for (const std::string& m : messages) {
    bytes += m;
    ends.push_back(bytes.size());
  }
  Decoded out;
  ingest::DecodeContext context;
  context.memory = memory;
  for (size_t next = 0; next < ends.size();) {
    ++out.calls;
    auto to = decode_messages({source, bytes, ends, std::nullopt, {}}, next, context, [&](Batch&& batch) -> Status {
      out.rows += batch.rows;
      return {};
    }, out.report);
    if (!to.ok()) {
      out.error = to.error();
      return out;
    }
    EXPECT_GT(*to, next);
    next = *to;
  }
  return out;
}

// Blanks: no record, and no error.
std::string blanks(size_t bytes) {
  std::string text(bytes, ' ');
  for (size_t i = 99; i < bytes; i += 100) text[i] = '\n';
  return text;
}

TEST(DecodeMessages, OneThatInflatesBeyondItsBoundCostsOnlyItself) {
  const std::string at_bound = gzipped(blanks(limits::kMessageInflatedBytesMax)), beyond = gzipped(blanks(limits::kMessageInflatedBytesMax + 1));
  const Decoded got = decode({line(1), beyond, gzipped(line(2)), at_bound, line(3)});
  ASSERT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.rows, 3u);
  EXPECT_EQ(got.report.rejected, 1u);
  ASSERT_EQ(got.report.errors.size(), 1u);
  EXPECT_EQ(got.report.errors[0].record, 2u);
  EXPECT_NE(got.report.errors[0].reason.find("exceeds the limit"), std::string::npos) << got.report.errors[0].reason;
}

// JSON messages share a body, which such brackets would open for all behind them and be counted nowhere.
TEST(DecodeMessages, BracketsThatDoNotCloseAreRejectedAndCostNothingBehindThem) {
  const std::string record = R"({"insertId":"a","jsonPayload":{"connection":{"src_ip":"10.0.0.1","dest_ip":"10.0.0.2","src_port":40000,"dest_port":443,"protocol":6},)"
                             R"("bytes_sent":"100","packets_sent":"2","start_time":"2026-11-20T08:00:00Z","end_time":"2026-11-20T08:00:05Z","reporter":"SRC"},)"
                             R"("logName":"projects/p/logs/compute.googleapis.com%2Fvpc_flows","timestamp":"2026-11-20T08:00:06Z"})";
  const Decoded got = decode({record, "[[[[", " \n", "[]", record, "]\n", gzipped("[{"), record}, nullptr, "gcp_vpc");
  ASSERT_FALSE(got.error) << got.error->message;
  EXPECT_EQ(got.rows, 3u);
  EXPECT_EQ(got.report.rejected, 3u);
  ASSERT_EQ(got.report.errors.size(), 3u);
  EXPECT_EQ(got.report.errors[0].record, 2u);
  EXPECT_NE(got.report.errors[0].reason.find("ends inside of 4 brackets"), std::string::npos) << got.report.errors[0].reason;
  EXPECT_EQ(got.report.errors[1].record, 6u);
  EXPECT_EQ(got.report.errors[2].record, 7u);
}

TEST(DecodeMessages, MuchTextIsDecodedInSeveralSteps) {
  std::vector<std::string> messages;
  const std::string half = gzipped(blanks(limits::kMessagesTextBytesMax / 2) + "\n" + line(1));
  for (int i = 0; i < 4; ++i) messages.push_back(half);
  messages.push_back("rubbish");
  const Decoded got = decode(messages);
  EXPECT_EQ(got.calls, 3u);
  EXPECT_EQ(got.rows, 4u);
  EXPECT_EQ(got.report.rejected, 1u);
  ASSERT_EQ(got.report.errors.size(), 1u);
  EXPECT_EQ(got.report.errors[0].record, 5u);
}

TEST(DecodeMessages, TextOutOfCompressionIsTakenFromTheBudget) {
  std::atomic<size_t> in_flight{0};
  const std::string packed = gzipped(blanks(8u << 20));
  {
    BodyMemory enough(in_flight, 64u << 20, 0);
    EXPECT_FALSE(decode({packed, line(1)}, &enough).error);
    EXPECT_EQ(in_flight.load(), 0u) << "given back";
    BodyMemory little(in_flight, 4u << 20, 0);
    const Decoded refused = decode({packed, line(1)}, &little);
    ASSERT_TRUE(refused.error);
    EXPECT_EQ(refused.error->code, ErrorCode::too_large);
    EXPECT_EQ(refused.report.rejected, 0u) << "it is not the message's fault";
    in_flight = 60u << 20;  // others
    EXPECT_EQ(decode({packed}, &enough).error->code, ErrorCode::full);
    in_flight = 0;
  }
}

}  // namespace
}  // namespace sluice::server
