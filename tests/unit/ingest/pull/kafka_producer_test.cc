#include "ingest/receive/kafka_producer.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <set>

#include "ingest/receive/kafka_consumer.h"

namespace sluice::ingest {
namespace {

// librdkafka's own brokers for tests, which speak the protocol over real sockets.
struct KafkaProducerTest : testing::Test {
  void SetUp() override {
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    ASSERT_NE(owner, nullptr);
    cluster = rd_kafka_mock_cluster_new(owner, 1);
    ASSERT_NE(cluster, nullptr);
    brokers = rd_kafka_mock_cluster_bootstraps(cluster);
    rd_kafka_mock_topic_create(cluster, "alerts", 1, 1);
  }
  void TearDown() override {
    if (cluster) rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(owner);
  }
  std::unique_ptr<KafkaProducer> producer(KafkaSettings more = {}) {
    KafkaSettings settings{{"bootstrap.servers", brokers}};
    for (auto& m : more) settings.push_back(m);
    auto made = open_kafka_producer("alerts", settings);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return std::move(*made);
  }
  std::vector<std::string> read(size_t count) {
    KafkaOptions options;
    options.topics = {"alerts"};
    options.partitions = {0};
    options.header = "id";
    options.settings = {{"bootstrap.servers", brokers}, {"group.id", "g"}};
    auto consumer = std::move(*open_kafka_consumer(options, {}));
    std::vector<std::string> out;
    for (int i = 0; i < 100 && out.size() < count; ++i)
      (void)consumer->poll(kSecond / 5, 1'000, [&](const KafkaRecord& r) {
        out.push_back(std::string(r.key) + "|" + std::string(r.value) + "|" + std::string(r.header.value_or("-")));
        return true;
      });
    return out;
  }

  rd_kafka_t* owner = nullptr;
  rd_kafka_mock_cluster_t* cluster = nullptr;
  std::string brokers;
};

TEST_F(KafkaProducerTest, RecordsArriveInOrderWithKeysAndIds) {
  auto p = producer();
  const KafkaOutgoing records[] = {{"a", "one", "id1", 1'700'000'000 * kSecond}, {"a", std::string("tw\0o", 4), "id2", 0}, {"", "three", "", 0}};
  size_t taken = 0;
  const Status sent = p->send(records, 20 * kSecond, {}, taken);
  ASSERT_TRUE(sent.ok()) << sent.error().message;
  EXPECT_EQ(taken, 3u);
  EXPECT_EQ(read(3), (std::vector<std::string>{"a|one|id1", std::string("a|tw\0o|id2", 10), "|three|-"}));
}

TEST_F(KafkaProducerTest, WhatBrokersSayNoToForAWhileArrivesOnce) {
  auto p = producer();
  const KafkaOutgoing first[] = {{"a", "warm", "0", 0}};
  size_t taken = 0;
  ASSERT_TRUE(p->send(first, 20 * kSecond, {}, taken).ok());
  rd_kafka_mock_push_request_errors(cluster, 0 /* Produce */, 2, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
  const KafkaOutgoing records[] = {{"a", "one", "1", 0}, {"a", "two", "2", 0}};
  const Status sent = p->send(records, 20 * kSecond, {}, taken);
  ASSERT_TRUE(sent.ok()) << sent.error().message;
  EXPECT_EQ(read(3), (std::vector<std::string>{"a|warm|0", "a|one|1", "a|two|2"}));
}

TEST_F(KafkaProducerTest, SilenceEndsInTimeAndStoppingEndsItAtOnce) {
  auto p = producer();
  rd_kafka_mock_broker_set_down(cluster, 1);
  const KafkaOutgoing records[] = {{"a", "one", "1", 0}};
  size_t taken = 9;
  const Status sent = p->send(records, kSecond / 2, {}, taken);
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(taken, 0u);
  const Status stopped = p->send(records, 60 * kSecond, [] { return true; }, taken);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
}

TEST_F(KafkaProducerTest, ARecordThatIsTooLargeIsSaidToBe) {
  auto p = producer({{"message.max.bytes", "2000"}});
  const KafkaOutgoing records[] = {{"a", "fits", "1", 0}, {"a", std::string(5'000, 'x'), "2", 0}, {"a", "fits too", "3", 0}};
  size_t taken = 0;
  const Status sent = p->send(records, 20 * kSecond, {}, taken);
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(sent.error().code, ErrorCode::too_large) << sent.error().message;
  EXPECT_EQ(taken, 1u);
}

TEST(KafkaProducerSettings, AreCheckedBeforeAnythingIsAsked) {
  EXPECT_TRUE(check_kafka_producer({{"bootstrap.servers", "b:9092"}}).ok());
  EXPECT_EQ(check_kafka_producer({{"security.protocol", "shouting"}}).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(is_kafka_topic("a.b-C_9"));
  for (const char* bad : {"", "a b", "a/b"}) EXPECT_FALSE(is_kafka_topic(bad));
  EXPECT_TRUE(is_kafka_topic(std::string(249, 'a')));
  EXPECT_FALSE(is_kafka_topic(std::string(250, 'a')));
}

}  // namespace
}  // namespace sluice::ingest
