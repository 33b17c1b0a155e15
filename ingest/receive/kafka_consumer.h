// A consumer of Kafka topics: records come in batches, and what is durable here decides where reading goes on. librdkafka is
// included in kafka_consumer.cc only.
//
// Offsets. The positions that the feed has stored with its rows are the truth; the broker's group offsets are written after
// them, for the tools that watch groups, and for partitions that this server has not read yet; with them goes who wrote them. When a
// partition is assigned, reading begins at the stored position, unless another member of the group has read further: then there. (An
// offset of our own that is ahead of the stored position means that an older data directory was put back, whose rows end earlier.)
// Where neither is known, at the oldest or the newest record, as declared. A stored position that the topic does not reach
// (the topic was made anew, or a broker lost records) is an error, unless `reset` says where to go on. What is not read because it was
// gone, or was passed by for `reset`, is a gap and is told.
//
// Thread rule: belongs to one thread. librdkafka has threads of its own behind it, which only fetch.
// Errors: unauthenticated (the broker refuses the credentials, or TLS fails), not_found (no such topic), conflict (a stored
// position beyond the topic), io (no broker can be reached; librdkafka goes on trying in the background).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

// Valid during the visit only.
struct KafkaRecord {
  std::string_view topic;
  int32_t partition = 0;
  int64_t offset = 0;
  TimestampNs time = 0;  // of the record; 0: none
  std::string_view key, value;
  // Of the header asked for, its value; nullopt: the record has none.
  std::optional<std::string_view> header;
};

struct KafkaPosition {
  std::string topic;
  int32_t partition = 0;
  int64_t next = 0;  // the offset of the record to read next
};

// Records of a partition that are not read, and where reading goes on behind them.
struct KafkaGap {
  std::string topic;
  int32_t partition = 0;
  int64_t from = 0, next = 0;  // from >= next: not known which
  std::string reason;
};

struct KafkaLag {
  std::string topic;
  int32_t partition = 0;
  int64_t records = 0;  // between the position and the topic's end; -1: the end is not known yet
};

struct KafkaOptions {
  std::vector<std::string> topics;
  std::vector<int32_t> partitions;  // of the only topic, taken without a group; empty: the group assigns
  enum class Start { oldest, newest } start = Start::oldest;
  enum class Reset { stop, oldest, newest } reset = Reset::stop;
  std::string header;  // a header to read; empty: none
  // librdkafka's own names and values: "bootstrap.servers", "group.id", …
  std::vector<std::pair<std::string, std::string>> settings;
};

// What the consumer asks of its owner, from within poll and close.
struct KafkaHooks {
  std::string member;  // who we are, written with the group's offsets; at most 64 bytes
  std::function<std::optional<int64_t>(std::string_view topic, int32_t partition)> stored;
  // Partitions are about to be taken away: make durable what was read, and commit it.
  std::function<void()> before_revoke;
};

class KafkaConsumer {
 public:
  virtual ~KafkaConsumer() = default;  // leaves the group

  // Waits up to `timeout` for a record, then visits what is there, at most `most` records, until `visit` says false. Returns how
  // many.
  virtual Result<size_t> poll(DurationNs timeout, size_t most, const std::function<bool(const KafkaRecord&)>& visit) = 0;
  // Tells the broker; without waiting, or (`wait`) until it has answered. What it does not take is no error: the stored
  // positions count.
  virtual void commit(const std::vector<KafkaPosition>& positions, bool wait) = 0;
  virtual std::vector<KafkaLag> lag() const = 0;
  // Those found since the last call.
  virtual std::vector<KafkaGap> take_gaps() = 0;
  // What an operator should know of the partitions that are read. May be empty.
  virtual std::string note() const = 0;
};

// Errors: invalid_argument for a setting that librdkafka does not take. Nothing is asked of a broker yet.
Result<std::unique_ptr<KafkaConsumer>> open_kafka_consumer(KafkaOptions options, KafkaHooks hooks);
// The same check alone, for the start of the server.
Status check_kafka_settings(const KafkaOptions& options);

}  // namespace sluice::ingest
