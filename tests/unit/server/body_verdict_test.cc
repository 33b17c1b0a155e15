// What is said of bodies of which nothing is recognized, and of columns that nobody knows.
#include "server/body_verdict.h"

#include "tests/unit/server/intake_fixture.h"

namespace sluice::server {
namespace {

class VerdictTest : public IntakeTest {
 protected:
  Result<IngestOutcome> take_body(std::string_view source, std::string bytes, std::string object = {}) {
    IngestBody body;
    body.source = source;
    body.bytes = std::move(bytes);
    body.object = std::move(object);
    return ingest_->take(std::move(body));
  }
  Metrics::IngestCounts counts(std::string_view source) const {
    const auto all = metrics_.ingest();
    const auto found = all.find(source);
    return found == all.end() ? Metrics::IngestCounts{} : found->second;
  }
};

TEST_F(VerdictTest, EverySourceRefusesABodyOfWhichNothingIsRecognized) {
  const std::string rubbish[] = {"hello world\n", "[[[[", "{", "}", "{}", "[{}]", "null", "\"x\"", "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n", "{\"a\":[1,\"]\"]", std::string("\x01\x02\x03\x04\x05", 5)};
  for (const std::string_view source : source_names())
    for (const std::string& bytes : rubbish) {
      const auto taken = take_body(source, bytes);
      ASSERT_FALSE(taken.ok()) << source << " takes " << bytes;
      EXPECT_TRUE(taken.error().code == ErrorCode::invalid_argument || taken.error().code == ErrorCode::parse || taken.error().code == ErrorCode::corrupt)
          << source << ": " << taken.error().message;
      EXPECT_FALSE(taken.error().message.empty());
    }
  EXPECT_EQ(counts("gcp_vpc").failed, std::size(rubbish));
  EXPECT_GE(counts("gcp_vpc").rejected, std::size(rubbish) - 2) << "with its records, but for those of brackets alone";
  EXPECT_EQ(rows(), 0u);
}

TEST_F(VerdictTest, NothingAtAllIsFineForEverySource) {
  for (const std::string_view source : source_names())
    for (const char* bytes : {"", " \n\n\t"}) {
      const auto taken = take_body(source, bytes);
      ASSERT_TRUE(taken.ok()) << source << ": " << taken.error().message;
      EXPECT_EQ(taken->rows, 0u);
    }
  EXPECT_TRUE(take_body("azure_vnet", "{\"records\":[]}").ok());
  EXPECT_TRUE(take_body("gcp_vpc", "[]").ok());
  EXPECT_TRUE(take_body("aws_vpc", "version srcaddr dstaddr start end\n").ok());
}

TEST_F(VerdictTest, NamesThePlaceAndUsesUpNoId) {
  const auto bad = take_body("suricata", "{\"a\":1}\n", "o");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message, "the only record cannot be read: record 1: no event_type");
  const auto brackets = take_body("gcp_vpc", "[[[[");
  ASSERT_FALSE(brackets.ok());
  EXPECT_EQ(brackets.error().message, "no record in it: byte 5: the body ends inside of 4 brackets");
  const auto deep = take_body("gcp_vpc", std::string(100'000, '['));
  ASSERT_FALSE(deep.ok());
  EXPECT_EQ(deep.error().message, "no record in it: byte 1001: brackets within more than 1000 others");
  // Whoever sends what was meant under the same id is heard.
  const std::string good = R"({"event_type":"flow","timestamp":"2025-11-20T08:00:00+0000","src_ip":"10.0.0.1","dest_ip":"10.0.0.2","proto":"TCP","flow":{"start":"2025-11-20T08:00:00+0000"}})";
  const auto taken = take_body("suricata", good, "o");
  ASSERT_TRUE(taken.ok()) << taken.error().message;
  EXPECT_EQ(taken->rows, 1u);
  EXPECT_FALSE(taken->duplicate);
  // One record that is known is enough.
  const auto mixed = take_body("suricata", "{\"a\":1}\n{\"event_type\":\"dns\"}\n");
  ASSERT_TRUE(mixed.ok());
  EXPECT_EQ(mixed->report.rejected, 1u);
}

class AzureVerdictTest : public IntakeTest {
 protected:
  AzureVerdictTest() : IntakeTest("azure_vnet") {}
};

TEST_F(AzureVerdictTest, AnObjectOfAFeedIsSetAsideByTheSameRule) {
  ingest::FeedPiece piece;
  piece.object = piece.object_key = "a";
  piece.bytes = "[[[[";
  EXPECT_TRUE(take(piece).set_aside);
  piece.object = piece.object_key = "b";
  piece.bytes = "{\"other\":1}";
  EXPECT_TRUE(take(piece).set_aside);
  ASSERT_EQ(intake_->set_aside().size(), 2u);
  EXPECT_NE(intake_->set_aside()[1].reason.find("record 1"), std::string::npos) << intake_->set_aside()[1].reason;
  piece.object = piece.object_key = "c";
  piece.bytes = "{\"records\":[]}";
  EXPECT_FALSE(take(piece).set_aside);
  // A later piece of a blob that grows is not the blob.
  piece.object = piece.object_key = "d";
  piece.bytes = "{\"records\":[{\"time\":7}]}";
  piece.offset = 4'096;
  const auto later = take(piece);
  EXPECT_FALSE(later.set_aside);
  EXPECT_EQ(later.rejected, 1u);
}

TEST_F(AzureVerdictTest, AnHourlyBlobOfTooManyPartitionsForOneWriteIsTakenWhole) {
  constexpr int kHours = 3'000;
  std::string blob = R"({"records":[)";
  for (int n = 0; n < kHours; ++n) {
    const std::string time = std::to_string((1'763'625'600 - int64_t{3'600} * n) * 1'000);
    blob += std::string(n > 0 ? "," : "") + R"({"time":"2025-11-20T08:00:00Z","category":"FlowLogFlowEvent","flowLogVersion":4,"macAddress":"00224871C205","flowRecords":{"flows":[{"aclID":"a","flowGroups":[{"rule":"r","flowTuples":[")" +
            time + R"(,10.1.0.4,20.10.127.193,57892,443,6,O,B,NX,0,0,0,0"]}]}]}})";
  }
  blob += "]}";
  ingest::FeedPiece piece;
  piece.object = piece.object_key = "PT1H.json";
  piece.bytes = blob;
  const auto taken = take(piece);
  EXPECT_FALSE(taken.set_aside);
  EXPECT_EQ(taken.rows, static_cast<uint64_t>(kHours));
  EXPECT_EQ(rows(), static_cast<uint64_t>(kHours));
  EXPECT_TRUE(take(piece).duplicate);
  IngestBody body;
  body.source = "azure_vnet";
  body.bytes = blob;
  const auto sent = ingest_->take(std::move(body));
  ASSERT_TRUE(sent.ok()) << sent.error().message;
  EXPECT_EQ(sent->rows, static_cast<uint64_t>(kHours));
}

TEST_F(VerdictTest, AColumnThatNobodyKnowsIsTold) {
  const auto taken = take_body("aws_vpc", "version srcadr dstaddr start end nonsense\n2 10.0.0.1 10.0.0.2 1763625600 1763625601 x\n");
  ASSERT_TRUE(taken.ok()) << taken.error().message;
  EXPECT_EQ(taken->rows, 1u);
  const auto warnings = column_warnings(taken->report);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0], "line 1: \"srcadr\" is no column that is known, and its values are kept in extra; did you mean 'srcaddr'?");
  EXPECT_EQ(warnings[1], "line 1: \"nonsense\" is no column that is known, and its values are kept in extra");
  const auto kept = metrics_.warnings();
  ASSERT_TRUE(kept.contains("aws_vpc"));
  EXPECT_EQ(kept.find("aws_vpc")->second.bodies, 1u);
  EXPECT_EQ(kept.find("aws_vpc")->second.text, warnings[0] + " (and 1 more)");
  EXPECT_EQ(kept.find("aws_vpc")->second.at, clock_.now());
  // Zeek's scripts add columns of their own: only what is near to one that is missing is worth a word.
  const auto zeek = take_body("zeek", "#fields\tts\tid.orig_h\tid.resp_h\tcommunity_id\torig_byts\n1763625600\t10.0.0.1\t10.0.0.2\tc\t7\n");
  ASSERT_TRUE(zeek.ok()) << zeek.error().message;
  EXPECT_EQ(column_warnings(zeek->report), (std::vector<std::string>{"line 1: \"orig_byts\" is no column that is known, and its values are kept in extra; did you mean 'orig_bytes'?"}));
}

TEST(ColumnWarnings, AreBounded) {
  ingest::DecodeReport report, part;
  for (size_t i = 0; i < 2 * limits::kUnknownColumnsMax; ++i) part.note_unknown_column({1, "c" + std::to_string(i), {}});
  part.note_unknown_column({2, "c0", {}});
  EXPECT_EQ(part.unknown_columns.size(), limits::kUnknownColumnsMax);
  report.merge(part);
  report.merge(part);
  EXPECT_EQ(column_warnings(report).size(), limits::kUnknownColumnsMax);
}

}  // namespace
}  // namespace sluice::server
