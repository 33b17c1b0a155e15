#include "ingest/receive/kafka_producer.h"

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <optional>
#include <vector>

namespace sluice::ingest {
namespace {

ErrorCode producer_code_of(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED: return ErrorCode::unauthenticated;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return ErrorCode::forbidden;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: return ErrorCode::not_found;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: return ErrorCode::too_large;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: return ErrorCode::deadline;
    default: return ErrorCode::io;
  }
}

using Conf = std::unique_ptr<rd_kafka_conf_t, void (*)(rd_kafka_conf_t*)>;

Result<Conf> make_conf(const KafkaSettings& settings) {
  Conf conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
  char reason[512] = "";
  const auto set = [&](const std::string& name, const std::string& value) -> Status {
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), reason, sizeof reason) == RD_KAFKA_CONF_OK) return {};
    return Error{ErrorCode::invalid_argument, std::string(reason)};
  };
  const std::pair<const char*, const char*> own[] = {
      {"enable.idempotence", "true"},  // with it acks = all
      {"linger.ms", "5"},
      {"compression.type", "lz4"},
      {"ssl.endpoint.identification.algorithm", "https"},
      {"client.id", "sluice"},
  };
  for (const auto& [name, value] : own) SLUICE_TRY(set(name, value));
  for (const auto& [name, value] : settings) SLUICE_TRY(set(name, value));
  return conf;
}

// What one call waits for.
struct Batch {
  std::vector<std::optional<rd_kafka_resp_err_t>> answers;
  size_t missing = 0;
};

class Producer final : public KafkaProducer {
 public:
  explicit Producer(std::string topic) : topic_(std::move(topic)) {}
  ~Producer() override {
    if (!client_) return;
    // What is still on its way was given up by its call; its places are gone.
    rd_kafka_purge(client_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(client_, 0);
    rd_kafka_destroy(client_);
  }

  Status open(const KafkaSettings& settings) {
    SLUICE_ASSIGN(Conf conf, make_conf(settings));
    rd_kafka_conf_set_opaque(conf.get(), this);
    rd_kafka_conf_set_log_cb(conf.get(), [](const rd_kafka_t*, int, const char*, const char*) {});  // errors come below
    rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int error, const char* reason, void* self) {
      static_cast<Producer*>(self)->last_ = Error{producer_code_of(static_cast<rd_kafka_resp_err_t>(error)), std::string(reason ? reason : "").substr(0, 500)};
    });
    rd_kafka_conf_set_dr_msg_cb(conf.get(), [](rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
      static_cast<Producer*>(self)->on_answer(*message);
    });
    char reason[512] = "";
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), reason, sizeof reason);
    if (!client_) return Error{ErrorCode::invalid_argument, std::string(reason)};
    (void)conf.release();
    return {};
  }

  Status send(std::span<const KafkaOutgoing> records, DurationNs timeout, const std::function<bool()>& stopping, size_t& taken) override {
    taken = 0;
    ++call_;
    batch_.answers.assign(records.size(), std::nullopt);
    batch_.missing = 0;
    last_.reset();
    Status failed;
    for (size_t i = 0; i < records.size(); ++i) {
      const KafkaOutgoing& r = records[i];
      // Which record of which call an answer is for: those of calls that were given up are let go.
      void* const place = reinterpret_cast<void*>(static_cast<uintptr_t>(call_) << 32 | i);
      rd_kafka_headers_t* headers = nullptr;
      if (!r.id.empty()) {
        headers = rd_kafka_headers_new(1);
        rd_kafka_header_add(headers, "id", 2, r.id.data(), static_cast<ssize_t>(r.id.size()));
      }
      rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
      error = headers ? rd_kafka_producev(client_, RD_KAFKA_V_TOPIC(topic_.c_str()), RD_KAFKA_V_KEY(r.key.empty() ? nullptr : r.key.data(), r.key.size()),
                                          RD_KAFKA_V_VALUE(const_cast<char*>(r.value.data()), r.value.size()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                          RD_KAFKA_V_TIMESTAMP(r.time / kMillisecond), RD_KAFKA_V_OPAQUE(place), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END)
                      : rd_kafka_producev(client_, RD_KAFKA_V_TOPIC(topic_.c_str()), RD_KAFKA_V_KEY(r.key.empty() ? nullptr : r.key.data(), r.key.size()),
                                          RD_KAFKA_V_VALUE(const_cast<char*>(r.value.data()), r.value.size()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                          RD_KAFKA_V_TIMESTAMP(r.time / kMillisecond), RD_KAFKA_V_OPAQUE(place), RD_KAFKA_V_END);
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (headers) rd_kafka_headers_destroy(headers);  // handed over only when it went well
        failed = Error{producer_code_of(error), topic_ + ": " + rd_kafka_err2str(error)};
        break;
      }
      ++batch_.missing;
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(timeout);
    Status ended;
    while (batch_.missing > 0 && ended.ok()) {
      rd_kafka_poll(client_, 200);
      if (stopping && stopping()) ended = Error{ErrorCode::cancelled, "stopped while sending to " + topic_};
      else if (std::chrono::steady_clock::now() >= until)
        ended = Error{last_ ? last_->code : ErrorCode::deadline, topic_ + " has not acknowledged in time" + (last_ ? ": " + last_->message : std::string())};
    }
    while (taken < records.size() && batch_.answers[taken] == RD_KAFKA_RESP_ERR_NO_ERROR) ++taken;
    if (taken == records.size()) return {};
    if (const auto& answer = batch_.answers[taken]) return Error{producer_code_of(*answer), topic_ + ": " + rd_kafka_err2str(*answer)};
    return ended.ok() ? failed : ended;
  }

 private:
  void on_answer(const rd_kafka_message_t& message) {
    const auto place = reinterpret_cast<uintptr_t>(message._private);
    const size_t i = place & 0xffffffffu;
    if (static_cast<uint32_t>(place >> 32) != call_ || i >= batch_.answers.size() || batch_.answers[i]) return;
    batch_.answers[i] = message.err;
    --batch_.missing;
  }

  const std::string topic_;
  rd_kafka_t* client_ = nullptr;
  uint32_t call_ = 0;
  Batch batch_;
  std::optional<Error> last_;
};

}  // namespace

Result<std::unique_ptr<KafkaProducer>> open_kafka_producer(const std::string& topic, const KafkaSettings& settings) {
  auto producer = std::make_unique<Producer>(topic);
  SLUICE_TRY(producer->open(settings));
  return std::unique_ptr<KafkaProducer>(std::move(producer));
}

Status check_kafka_producer(const KafkaSettings& settings) {
  const auto conf = make_conf(settings);
  return conf.ok() ? Status() : Status(conf.error());
}

}  // namespace sluice::ingest
