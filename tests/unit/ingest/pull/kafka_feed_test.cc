// The Kafka feed over a consumer that answers from memory, and the envelopes around datagrams.
#include "ingest/receive/kafka_feed.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "ingest/receive/limits.h"
#include "ingest/receive/raw_flow.h"

namespace sluice::ingest {
namespace {

struct Record {
  std::string topic;
  int32_t partition;
  std::string value, key;
  std::optional<std::string> header;
};

// Topics that outlive consumers, and what was told to the brokers.
struct Broker {
  std::map<std::pair<std::string, int32_t>, std::vector<Record>> logs;
  std::map<std::pair<std::string, int32_t>, int64_t> committed;
  int opened = 0;
  std::optional<Error> error;
  bool revoke = false;  // before the next record
  std::vector<KafkaGap> gaps;
  std::set<std::string> members;

  void put(const std::string& topic, int32_t partition, std::string value, std::string key = {}, std::optional<std::string> header = {}) {
    logs[{topic, partition}].push_back({topic, partition, std::move(value), std::move(key), std::move(header)});
  }
};

class FakeConsumer final : public KafkaConsumer {
 public:
  FakeConsumer(Broker& broker, KafkaHooks hooks) : broker_(broker), hooks_(std::move(hooks)) {
    ++broker_.opened;
    broker_.members.insert(hooks_.member);
    for (const auto& [place, log] : broker_.logs) {
      const auto group = broker_.committed.contains(place) ? broker_.committed[place] : -1;
      next_[place] = std::max<int64_t>({hooks_.stored(place.first, place.second).value_or(0), group, 0});
    }
  }
  Result<size_t> poll(DurationNs, size_t most, const std::function<bool(const KafkaRecord&)>& visit) override {
    if (std::exchange(broker_.revoke, false)) hooks_.before_revoke();
    size_t count = 0;
    for (auto& [place, next] : next_)
      for (const auto& log = broker_.logs[place]; static_cast<size_t>(next) < log.size() && count < most;) {
        const Record& r = log[static_cast<size_t>(next)];
        KafkaRecord out{r.topic, r.partition, next, next * kSecond + kSecond, r.key, r.value, std::nullopt};
        if (r.header) out.header = *r.header;
        ++next;
        ++count;
        if (!visit(out)) return count;
      }
    if (count == 0 && broker_.error) return *std::exchange(broker_.error, std::nullopt);
    return count;
  }
  void commit(const std::vector<KafkaPosition>& positions, bool) override {
    for (const auto& p : positions) broker_.committed[{p.topic, p.partition}] = p.next;
  }
  std::vector<KafkaLag> lag() const override {
    std::vector<KafkaLag> out;
    for (const auto& [place, next] : next_) out.push_back({place.first, place.second, static_cast<int64_t>(broker_.logs[place].size()) - next});
    return out;
  }
  std::vector<KafkaGap> take_gaps() override { return std::exchange(broker_.gaps, {}); }
  std::string note() const override { return {}; }

 private:
  Broker& broker_;
  KafkaHooks hooks_;
  std::map<std::pair<std::string, int32_t>, int64_t> next_;
};

class KafkaFeedTest : public testing::Test {
 protected:
  void make(KafkaFeedOptions options = {}) {
    feed_ = std::make_unique<KafkaFeed>(options, [this](KafkaHooks hooks) -> Result<std::unique_ptr<KafkaConsumer>> {
      return std::unique_ptr<KafkaConsumer>(std::make_unique<FakeConsumer>(broker, std::move(hooks)));
    });
    ASSERT_TRUE(feed_->restore(Checkpoint(checkpoint.begin(), checkpoint.end())).ok());
  }
  Result<DurationNs> poll() {
    const std::function<bool()> stopping = [] { return false; };
    const PieceSink sink = [this](FeedPiece&& piece) -> Result<PieceResult> {
      if (sink_error) return *std::exchange(sink_error, std::nullopt);
      for (const auto& [key, value] : piece.checkpoint) checkpoint[key] = value;
      objects.push_back(piece.object + (piece.fault.empty() ? "" : ": " + piece.fault));
      if (!piece.fault.empty()) return PieceResult{false, true, 0, 0};
      EXPECT_FALSE(piece.records.empty());
      size_t begin = 0;
      for (const auto& r : piece.records) {
        // Each record knows its place.
        EXPECT_LT(r.stream, piece.streams.size());
        if (r.stream < piece.streams.size()) {
          EXPECT_LT(r.position, std::stoull(checkpoint[piece.streams[r.stream]])) << piece.streams[r.stream];
        }
        got.push_back(piece.bytes.substr(begin, r.end - begin));
        senders.push_back(r.sender);
        begin = r.end;
      }
      EXPECT_EQ(begin, piece.bytes.size());
      compression.push_back(piece.compression);
      return PieceResult{};
    };
    auto result = feed_->poll({clock, stopping, kSecond}, sink);
    return result;
  }
  void again() { ASSERT_TRUE(feed_->restore(Checkpoint(checkpoint.begin(), checkpoint.end())).ok()); }

  Broker broker;
  std::unique_ptr<KafkaFeed> feed_;
  std::map<std::string, std::string> checkpoint;
  std::vector<std::string> got, objects;
  std::map<std::string, std::string> places() const {
    auto out = checkpoint;
    out.erase("member");
    return out;
  }
  std::vector<IpAddress> senders;
  std::vector<std::optional<Compression>> compression;
  std::optional<Error> sink_error;
  ManualClock clock{kDay};
};

using Texts = std::vector<std::string>;

TEST_F(KafkaFeedTest, OffsetsCommitWithRowsAndThenAtTheBroker) {
  make();
  broker.put("t", 0, "a");
  broker.put("t", 0, "b");
  broker.put("t", 1, "c");
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got, (Texts{"a", "b", "c"}));
  EXPECT_EQ(places(), (std::map<std::string, std::string>{{"o/t/0", "2"}, {"o/t/1", "1"}}));
  EXPECT_EQ(objects, (Texts{"t/0 offsets 0-1, t/1 offsets 0-0"}));
  EXPECT_EQ((broker.committed[{"t", 0}]), 2);
  EXPECT_EQ(compression[0], Compression::none);
  // A sink that fails: nothing is told to the broker, and a new consumer begins at the checkpoint.
  broker.put("t", 1, "d");
  sink_error = Error{ErrorCode::io, "disk"};
  EXPECT_EQ(poll().error().message, "disk");
  EXPECT_EQ((broker.committed[{"t", 1}]), 1);
  again();
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got, (Texts{"a", "b", "c", "d"}));
  EXPECT_EQ(broker.opened, 2);
  // A broker that was not told (a kill in between) changes nothing.
  broker.committed.clear();
  make();
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got.size(), 4u);
}

TEST_F(KafkaFeedTest, BatchesAreBounded) {
  make();
  const std::string large(limits::kKafkaBatchBytes / 2, 'x');
  for (int i = 0; i < 5; ++i) broker.put("t", 0, large);
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got.size(), 2u);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got.size(), 5u);
  got.clear();
  for (size_t i = 0; i <= limits::kKafkaBatchRecords; ++i) broker.put("u", 0, "y");
  make();
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got.size(), limits::kKafkaBatchRecords);
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got.size(), limits::kKafkaBatchRecords + 1);
}

TEST_F(KafkaFeedTest, ARevokedPartitionIsMadeDurableFirst) {
  make();
  broker.put("t", 0, "a");
  ASSERT_TRUE(poll().ok());
  broker.put("t", 0, "b");
  broker.revoke = true;
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got, (Texts{"a", "b"}));
  EXPECT_EQ(checkpoint["o/t/0"], "2");
}

TEST_F(KafkaFeedTest, AfterAnErrorANewConsumerGoesOn) {
  make();
  broker.put("t", 0, "a");
  ASSERT_TRUE(poll().ok());
  broker.error = Error{ErrorCode::io, "no broker can be asked"};
  EXPECT_FALSE(poll().ok());
  broker.put("t", 0, "b");
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got, (Texts{"a", "b"}));
  EXPECT_EQ(broker.opened, 2);
}

TEST_F(KafkaFeedTest, EmptyRecordsWaitForTheNext) {
  make();
  broker.put("t", 0, "");
  ASSERT_TRUE(poll().ok());
  EXPECT_TRUE(checkpoint.empty());
  broker.put("t", 0, "\x1f\x8bz");
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(got.size(), 1u);
  EXPECT_EQ(compression[0], std::nullopt) << "each record is looked at";
  EXPECT_EQ(checkpoint["o/t/0"], "2");
}

TEST_F(KafkaFeedTest, RecordsThatAreNotReadAreNamed) {
  make();
  broker.put("t", 0, "a");
  broker.gaps = {{"t", 0, 3, 7, "were gone"}, {"u", 1, 5, 5, "was made anew"}};
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(objects, (Texts{"t/0 offsets 3-6: were gone", "u/1: was made anew", "t/0 offsets 0-0"}));
  EXPECT_EQ(checkpoint["o/u/1"], "5");
  EXPECT_EQ(checkpoint["o/t/0"], "1");
}

TEST_F(KafkaFeedTest, AFeedKeepsItsNameInTheGroup) {
  make();
  broker.put("t", 0, "a");
  ASSERT_TRUE(poll().ok());
  ASSERT_EQ(checkpoint["member"].size(), 16u);
  again();
  broker.put("t", 0, "b");
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(broker.members, (std::set<std::string>{"sluice " + checkpoint["member"]}));
}

TEST_F(KafkaFeedTest, SendersOfDatagrams) {
  KafkaFeedOptions options;
  options.payload = KafkaFeedOptions::Payload::datagram;
  make(options);
  broker.put("t", 0, "1", "192.0.2.1");
  broker.put("t", 0, "2", "192.0.2.1", "198.51.100.1:2055");
  broker.put("t", 0, "3", "not an address");
  broker.put("t", 0, "4", std::string("\xc0\x00\x02\x04", 4));
  ASSERT_TRUE(poll().ok());
  EXPECT_EQ(senders, (std::vector<IpAddress>{*parse_ip("192.0.2.1"), *parse_ip("198.51.100.1"), IpAddress{}, *parse_ip("192.0.2.4")}));
}

TEST_F(KafkaFeedTest, Checkpoints) {
  make();
  EXPECT_EQ(feed_->restore({{"o/t/0", "x"}}).error().code, ErrorCode::corrupt);
  EXPECT_EQ(feed_->restore({{"o/t/0", "-1"}}).error().code, ErrorCode::corrupt);
  EXPECT_EQ(feed_->restore({{"o//0", "1"}}).error().code, ErrorCode::unsupported);
  EXPECT_EQ(feed_->restore({{"p/t/0", "1"}}).error().code, ErrorCode::unsupported);
}

FeedSettings declared(std::map<std::string, std::string> options) {
  FeedSettings settings;
  settings.name = "k";
  settings.kind = "kafka";
  settings.source = "aws_vpc";
  for (auto& [key, value] : options) settings.options[key] = {value, "f:1"};
  return settings;
}

TEST(KafkaSettings, OnlyWhatIsListed) {
  auto good = declared({{"brokers", "127.0.0.1:1"}, {"topics", "a, b"}, {"security_protocol", "PLAINTEXT"}, {"client_id", "x"}});
  ASSERT_TRUE(make_kafka_feed(good).ok());
  EXPECT_TRUE(good.finish().ok());
  const auto fails = [](std::map<std::string, std::string> options, const std::string& word) {
    auto settings = declared(std::move(options));
    const auto made = make_kafka_feed(settings);
    const Status status = made.ok() ? settings.finish() : Status(made.error());
    ASSERT_FALSE(status.ok()) << word;
    EXPECT_NE(status.error().message.find(word), std::string::npos) << status.error().message;
  };
  fails({{"topics", "a"}}, "brokers");
  fails({{"brokers", "b"}}, "topics");
  fails({{"brokers", "b"}, {"topics", "a/b"}}, "not the name of a topic");
  fails({{"brokers", "b"}, {"topics", "a,b"}, {"partitions", "1"}}, "one topic");
  fails({{"brokers", "b"}, {"topics", "a"}, {"partitions", "-1"}}, "not a partition");
  fails({{"brokers", "b"}, {"topics", "a"}, {"enable_auto_commit", "true"}}, "enable_auto_commit");
  fails({{"brokers", "b"}, {"topics", "a"}, {"security_protocol", "TELNET"}}, "TELNET");
  fails({{"brokers", "b"}, {"topics", "a"}, {"sasl_password", "x"}}, "does not belong into the configuration");
  fails({{"brokers", "b"}, {"topics", "a"}, {"reset", "never"}}, "reset");
}

TEST(RawFlow, Messages) {
  const std::string address = std::string(10, '\0') + "\xff\xff\xc0" + std::string(1, '\0') + "\x02\x01";
  const std::string message = std::string("\x08\x80\xe2\xcf\xaa\x06") + "\x12\x05hello" + "\x1a\x10" + address + "\x20\x01\x28\x01" + "\x39" + std::string(8, 'x') + "\x45" + std::string(4, 'x');
  const auto flow = parse_raw_flow(message);
  ASSERT_TRUE(flow.ok()) << flow.error().message;
  EXPECT_EQ(flow->payload, "hello");
  EXPECT_EQ(flow->sender, *parse_ip("192.0.2.1"));
  EXPECT_EQ(flow->received_at, (int64_t{0x62} << 7 | int64_t{0x4f} << 14 | int64_t{0x2a} << 21 | int64_t{6} << 28) * kSecond);
  for (size_t cut = 1; cut < message.size(); ++cut) (void)parse_raw_flow(message.substr(0, cut));
  for (const std::string bad : {std::string(""), std::string("\x08\x01"), std::string("\x12\x05hell"), std::string("\x12\x01x\x1a\x03xyz"), std::string("\x02\x01x", 3), std::string("\x13"), std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")})
    EXPECT_FALSE(parse_raw_flow(bad).ok()) << bad.size();
}

TEST(RawFlow, Senders) {
  EXPECT_EQ(parse_sender("192.0.2.1"), parse_ip("192.0.2.1"));
  EXPECT_EQ(parse_sender("192.0.2.1:2055"), parse_ip("192.0.2.1"));
  EXPECT_EQ(parse_sender("2001:db8::1"), parse_ip("2001:db8::1"));
  EXPECT_EQ(parse_sender("[2001:db8::1]:2055"), parse_ip("2001:db8::1"));
  EXPECT_EQ(parse_sender("router-1"), std::nullopt);
  EXPECT_EQ(parse_sender(""), std::nullopt);
}

}  // namespace
}  // namespace sluice::ingest
