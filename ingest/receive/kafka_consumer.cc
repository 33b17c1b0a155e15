#include "ingest/receive/kafka_consumer.h"
#include "ingest/receive/limits.h"
#include "storage/model/counted.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace sluice::ingest {
namespace {

using List = std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)>;

List make_list(size_t size) { return {rd_kafka_topic_partition_list_new(static_cast<int>(size)), rd_kafka_topic_partition_list_destroy}; }

constexpr int milliseconds(DurationNs time) { return static_cast<int>(time / kMillisecond); }

ErrorCode code_of(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED: return ErrorCode::unauthenticated;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return ErrorCode::forbidden;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: return ErrorCode::not_found;
    default: return ErrorCode::io;
  }
}

// Handed over to the client that is made of it, or destroyed.
using Conf = std::unique_ptr<rd_kafka_conf_t, void (*)(rd_kafka_conf_t*)>;

Result<Conf> make_conf(const KafkaOptions& options) {
  Conf conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
  char reason[512] = "";
  const auto set = [&](const std::string& name, const std::string& value) -> Status {
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), reason, sizeof reason) == RD_KAFKA_CONF_OK) return {};
    return Error{ErrorCode::invalid_argument, std::string(reason)};
  };
  // Ours come first, so that a declaration may change what it may name.
  const std::pair<const char*, std::string> own[] = {
      {"enable.auto.commit", "false"},        // what is durable here decides
      {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "error"},         // a jump is ours to decide, and to tell
      {"enable.partition.eof", "false"},
      {"allow.auto.create.topics", "false"},
      {"isolation.level", "read_committed"},
      {"max.poll.interval.ms", "1800000"},    // a feed waits while the store is full, and after errors
      {"queued.max.messages.kbytes", std::to_string(limits::kKafkaQueuedBytesMax / 1024)},
      {"ssl.endpoint.identification.algorithm", "https"},
      {"client.id", "sluice"},
  };
  for (const auto& [name, value] : own) SLUICE_TRY(set(name, value));
  for (const auto& [name, value] : options.settings) SLUICE_TRY(set(name, value));
  return conf;
}

class Consumer final : public KafkaConsumer {
 public:
  Consumer(KafkaOptions options, KafkaHooks hooks) : options_(std::move(options)), hooks_(std::move(hooks)) {}

  Status open() {
    SLUICE_ASSIGN(Conf conf, make_conf(options_));
    rd_kafka_conf_set_opaque(conf.get(), this);
    rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});  // errors come below
    rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int error, const char* reason, void* self) {
      static_cast<Consumer*>(self)->on_error(static_cast<rd_kafka_resp_err_t>(error), reason ? reason : "");
    });
    rd_kafka_conf_set_rebalance_cb(conf.get(), [](rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions, void* self) {
      static_cast<Consumer*>(self)->on_rebalance(error, partitions);
    });
    char reason[512] = "";
    client_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), reason, sizeof reason);
    if (!client_) return Error{ErrorCode::invalid_argument, std::string(reason)};
    (void)conf.release();
    rd_kafka_poll_set_consumer(client_);

    if (!options_.partitions.empty()) {
      const List list = make_list(options_.partitions.size());
      for (const int32_t partition : options_.partitions) rd_kafka_topic_partition_list_add(list.get(), options_.topics.front().c_str(), partition);
      pending_assignment_ = true;
      return {};
    }
    const List list = make_list(options_.topics.size());
    for (const auto& topic : options_.topics) rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    if (const auto error = rd_kafka_subscribe(client_, list.get()); error != RD_KAFKA_RESP_ERR_NO_ERROR)
      return Error{code_of(error), std::string("cannot subscribe: ") + rd_kafka_err2str(error)};
    return {};
  }

  ~Consumer() override {
    if (!client_) return;
    closing_ = true;
    rd_kafka_consumer_close(client_);
    rd_kafka_destroy(client_);
  }

  Result<size_t> poll(DurationNs timeout, size_t most, const std::function<bool(const KafkaRecord&)>& visit) override {
    if (pending_assignment_) {
      const List list = make_list(options_.partitions.size());
      for (const int32_t partition : options_.partitions) rd_kafka_topic_partition_list_add(list.get(), options_.topics.front().c_str(), partition);
      SLUICE_TRY(assign(list.get()));
      pending_assignment_ = false;
    }
    size_t count = 0;
    while (count < most) {
      const std::unique_ptr<rd_kafka_message_t, void (*)(rd_kafka_message_t*)> message(
          rd_kafka_consumer_poll(client_, count == 0 ? milliseconds(timeout) : 0), rd_kafka_message_destroy);
      if (trouble_) {
        Error error = *std::exchange(trouble_, std::nullopt);
        if (count == 0 || stuck_) return error;
        trouble_ = std::move(error);
      }
      if (!message) break;
      if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || message->err == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) continue;
        const char* topic = message->rkt ? rd_kafka_topic_name(message->rkt) : "";
        std::string text = rd_kafka_message_errstr(message.get());
        return Error{code_of(message->err), std::string(topic) + (*topic ? ": " : "") + text};
      }
      ++count;
      KafkaRecord record;
      record.topic = rd_kafka_topic_name(message->rkt);
      record.partition = message->partition;
      record.offset = message->offset;
      rd_kafka_timestamp_type_t kind;
      if (const int64_t time = rd_kafka_message_timestamp(message.get(), &kind); kind != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time > 0 && time < INT64_MAX / kMillisecond)
        record.time = time * kMillisecond;
      if (message->key) record.key = {static_cast<const char*>(message->key), message->key_len};
      if (message->payload) record.value = {static_cast<const char*>(message->payload), message->len};
      if (!options_.header.empty()) {
        rd_kafka_headers_t* headers = nullptr;
        const void* value = nullptr;
        size_t length = 0;
        if (rd_kafka_message_headers(message.get(), &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            rd_kafka_header_get_last(headers, options_.header.c_str(), &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR && value)
          record.header = std::string_view(static_cast<const char*>(value), length);
      }
      positions_[{std::string(record.topic), record.partition}] = record.offset + 1;
      if (!visit(record)) break;
    }
    return count;
  }

  void commit(const std::vector<KafkaPosition>& positions, bool wait) override {
    if (positions.empty()) return;
    const List list = make_list(positions.size());
    for (const auto& p : positions) sign(*rd_kafka_topic_partition_list_add(list.get(), p.topic.c_str(), p.partition)).offset = p.next;
    rd_kafka_commit(client_, list.get(), wait ? 0 : 1);
  }

  std::vector<KafkaLag> lag() const override {
    std::vector<KafkaLag> out;
    for (const auto& [place, next] : positions_) {
      KafkaLag lag{place.first, place.second, -1};
      int64_t low = 0, high = 0;
      // From what came with the last fetch; nothing is asked.
      if (rd_kafka_get_watermark_offsets(client_, place.first.c_str(), place.second, &low, &high) == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 && next >= 0)
        lag.records = std::max<int64_t>(0, high - next);
      out.push_back(std::move(lag));
    }
    return out;
  }

  std::vector<KafkaGap> take_gaps() override { return std::exchange(gaps_, {}); }

  std::string note() const override {
    std::string out;
    size_t told = 0;
    for (const auto& [place, note] : notes_) {
      if (++told > kNotesTold) break;
      out += (out.empty() ? "" : "; ") + place.first + "/" + std::to_string(place.second) + " " + note;
    }
    if (notes_.size() > kNotesTold) out += "; and so for " + counted(notes_.size() - kNotesTold, "more partition");
    return out;
  }

 private:
  static constexpr size_t kNotesTold = 4;

  // librdkafka frees the text with the list.
  rd_kafka_topic_partition_t& sign(rd_kafka_topic_partition_t& p) const {
    if (hooks_.member.empty() || p.metadata != nullptr) return p;
    p.metadata = ::strndup(hooks_.member.data(), hooks_.member.size());
    p.metadata_size = p.metadata == nullptr ? 0 : hooks_.member.size();
    return p;
  }
  bool is_ours(const rd_kafka_topic_partition_t& committed) const {
    return !hooks_.member.empty() && committed.metadata != nullptr && std::string_view(static_cast<const char*>(committed.metadata), committed.metadata_size) == hooks_.member;
  }

  void on_error(rd_kafka_resp_err_t error, std::string_view reason) {
    if (error == RD_KAFKA_RESP_ERR__FATAL) {
      char text[512] = "";
      error = rd_kafka_fatal_error(client_, text, sizeof text);
      trouble_ = Error{code_of(error), text};
      stuck_ = true;
      return;
    }
    // One broker of several may be away; all being away, or refusing us, is worth telling. A reason says more than "all are down".
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
      trouble_ = Error{last_ ? last_->code : ErrorCode::io, "no broker can be asked" + (last_ ? ": " + last_->message : std::string())};
    } else {
      last_ = Error{code_of(error), std::string(reason.substr(0, 500))};
      if (code_of(error) == ErrorCode::unauthenticated || code_of(error) == ErrorCode::forbidden) trouble_ = *last_;
    }
  }

  void on_rebalance(rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions) {
    if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      if (const Status status = assign(partitions); !status.ok()) {
        trouble_ = status.error();
        stuck_ = true;  // nothing of this assignment is read before somebody has decided
        rd_kafka_assign(client_, nullptr);
      }
      return;
    }
    if (!closing_ && hooks_.before_revoke) hooks_.before_revoke();
    positions_.clear();
    rd_kafka_assign(client_, nullptr);
  }

  Status assign(rd_kafka_topic_partition_list_t* partitions) {
    if (static_cast<size_t>(partitions->cnt) > limits::kKafkaPartitionsMax)
      return Error{ErrorCode::too_large, "more partitions than one feed takes: " + std::to_string(partitions->cnt)};
    const std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)> committed(
        rd_kafka_topic_partition_list_copy(partitions), rd_kafka_topic_partition_list_destroy);
    if (const auto error = rd_kafka_committed(client_, committed.get(), milliseconds(limits::kKafkaAnswerTimeout)); error != RD_KAFKA_RESP_ERR_NO_ERROR)
      return Error{code_of(error), std::string("the group's offsets cannot be read: ") + rd_kafka_err2str(error)};
    positions_.clear();
    for (int i = 0; i < partitions->cnt; ++i) {
      auto& p = partitions->elems[i];
      const std::string place = std::string(p.topic) + "/" + std::to_string(p.partition);
      const int64_t group = committed->elems[i].offset;
      const std::optional<int64_t> stored = hooks_.stored ? hooks_.stored(p.topic, p.partition) : std::nullopt;
      int64_t low = 0, high = 0;
      if (const auto error = rd_kafka_query_watermark_offsets(client_, p.topic, p.partition, &low, &high, milliseconds(limits::kKafkaAnswerTimeout));
          error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return Error{code_of(error), place + ": its range of offsets cannot be read: " + rd_kafka_err2str(error)};
      const auto gap = [&](int64_t from, int64_t to, std::string reason) { gaps_.push_back({p.topic, p.partition, from, to, std::move(reason)}); };
      const std::string go_on = "reading goes on at offset ";
      notes_.erase({p.topic, p.partition});
      int64_t next = stored ? *stored : group;
      if (stored && group > *stored) {
        if (is_ours(committed->elems[i])) {
          notes_[{p.topic, p.partition}] = "is read again from " + std::to_string(*stored) + ", where the flows kept here end, although it had been read to " + std::to_string(group);
        } else {
          next = group;
          notes_[{p.topic, p.partition}] = "goes on at " + std::to_string(group) + ": another member of the group has read " + counted(static_cast<uint64_t>(group - *stored), "record") + " from " + std::to_string(*stored) + " on";
        }
      }
      if (next < 0) {
        next = options_.start == KafkaOptions::Start::oldest ? low : high;  // new to us, and to the group
      } else if (!stored && next > high) {
        // The group's offset is of an older topic of this name.
        next = low;
        gap(next, next, "the group had read it to offset " + std::to_string(group) + ", and it ends at " + std::to_string(high) + ": it was made anew, or brokers lost records; " + go_on + std::to_string(next));
      } else if (next > high) {
        switch (options_.reset) {
          case KafkaOptions::Reset::stop:
            return Error{ErrorCode::conflict, place + " ends at " + std::to_string(high) + ", before the place where reading stopped, " + std::to_string(next) +
                                                  ": the topic was made anew, or the brokers lost records; set reset to oldest or newest to go on"};
          case KafkaOptions::Reset::oldest: next = low; break;
          case KafkaOptions::Reset::newest: next = high; break;
        }
        gap(low, next, "it was made anew, or brokers lost records; " + go_on + std::to_string(next));
        notes_[{p.topic, p.partition}] = "was made anew; read from " + std::to_string(next);
      } else if (next < low) {
        gap(next, low, "records were gone from the topic before they could be read");
        notes_[{p.topic, p.partition}] = "records " + std::to_string(next) + " to " + std::to_string(low - 1) + " were gone from the topic before they could be read";
        next = low;
      }
      p.offset = next;
      sign(p);
      positions_[{p.topic, p.partition}] = next;
    }
    if (const auto error = rd_kafka_assign(client_, partitions); error != RD_KAFKA_RESP_ERR_NO_ERROR)
      return Error{code_of(error), std::string("cannot take partitions: ") + rd_kafka_err2str(error)};
    stuck_ = false;
    // So that a partition begun at its newest record goes on there after a restart, before anything has come.
    rd_kafka_commit(client_, partitions, 1);
    return {};
  }

  const KafkaOptions options_;
  const KafkaHooks hooks_;
  rd_kafka_t* client_ = nullptr;
  bool pending_assignment_ = false, closing_ = false, stuck_ = false;
  std::optional<Error> trouble_, last_;
  std::map<std::pair<std::string, int32_t>, int64_t> positions_;
  std::map<std::pair<std::string, int32_t>, std::string> notes_;
  std::vector<KafkaGap> gaps_;
};

}  // namespace

Result<std::unique_ptr<KafkaConsumer>> open_kafka_consumer(KafkaOptions options, KafkaHooks hooks) {
  auto consumer = std::make_unique<Consumer>(std::move(options), std::move(hooks));
  SLUICE_TRY(consumer->open());
  return std::unique_ptr<KafkaConsumer>(std::move(consumer));
}

Status check_kafka_settings(const KafkaOptions& options) {
  const auto conf = make_conf(options);
  return conf.ok() ? Status() : Status(conf.error());
}

}  // namespace sluice::ingest
