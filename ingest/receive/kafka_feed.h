// Kafka feed: records of topics become durable in batches, and each batch commits with the offsets that follow it. The brokers
// are told afterwards. So a kill at any moment costs nothing and doubles nothing.
//
// What a record holds is declared: a body of the feed's source; a raw datagram (NetFlow, IPFIX, sFlow) whose exporter is in a header
// or in the key; or Akvorado's envelope around one (raw_flow.h).
//
// Thread rule and errors: as feed.h says.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "ingest/receive/feed.h"
#include "ingest/receive/kafka_consumer.h"

namespace sluice::ingest {

Result<std::unique_ptr<Feed>> make_kafka_feed(FeedSettings& settings);

struct KafkaFeedOptions {
  enum class Payload { body, datagram, rawflow } payload = Payload::body;
  bool sender_in_key = true;  // of datagrams, where the header has none
};

class KafkaFeed final : public Feed {
 public:
  // Tests answer in the consumer's place.
  using Open = std::function<Result<std::unique_ptr<KafkaConsumer>>(KafkaHooks hooks)>;
  KafkaFeed(KafkaFeedOptions options, Open open) : options_(options), open_(std::move(open)) {}

  Status restore(const Checkpoint& checkpoint) override;
  Result<DurationNs> poll(const FeedPoll& poll, const PieceSink& sink) override;
  FeedBacklog backlog() const override;

 private:
  using Place = std::pair<std::string, int32_t>;
  void add(const KafkaRecord& record);
  Status flush(const PieceSink& sink, bool wait_for_commit);
  Status tell_gaps(const PieceSink& sink);
  void note_backlog();

  const KafkaFeedOptions options_;
  const Open open_;
  std::unique_ptr<KafkaConsumer> consumer_;
  std::map<Place, int64_t> stored_;  // durable: where each partition goes on
  std::string member_;               // who we are in the group's offsets; made once
  bool member_is_kept_ = false;      // in the checkpoint
  FeedPiece batch_;
  struct Range {
    int64_t first = 0, next = 0;
    uint32_t stream = 0;  // of batch_.streams
  };
  std::map<Place, Range> batch_ranges_;
  bool batch_compressed_ = false;
  TimestampNs last_time_ = 0;  // of the newest record that is durable
  uint64_t unreadable_ = 0;
  std::function<void()> before_revoke_;  // while a poll runs

  mutable std::mutex mutex_;
  FeedBacklog backlog_;
};

}  // namespace sluice::ingest
