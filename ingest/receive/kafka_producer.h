// A producer of records of one Kafka topic, each acknowledged by all brokers that keep it. librdkafka is included in kafka_*.cc only.
//
// Idempotent (enable.idempotence): what the library sends again within one call is there once, and in order. A call that fails, and is
// made again, may double what the brokers had; who reads them knows them by the header `id`.
//
// Thread rule: belongs to one thread. librdkafka has threads of its own behind it.
// Errors: invalid_argument for a setting that librdkafka does not take; unauthenticated, forbidden, not_found (no such topic), too_large (a
// record that the brokers do not take, and never will), deadline, cancelled, io.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "ingest/receive/kafka_settings.h"
#include "storage/model/result.h"
#include "storage/model/time.h"

namespace sluice::ingest {

struct KafkaOutgoing {
  std::string key;    // records of one key stay in order; empty: none
  std::string value;
  std::string id;     // as header `id`; empty: none
  TimestampNs time = 0;
};

class KafkaProducer {
 public:
  virtual ~KafkaProducer() = default;
  // Returns when all are acknowledged. `taken`: how many are, from the first, when not all.
  virtual Status send(std::span<const KafkaOutgoing> records, DurationNs timeout, const std::function<bool()>& stopping, size_t& taken) = 0;
};
Result<std::unique_ptr<KafkaProducer>> open_kafka_producer(const std::string& topic, const KafkaSettings& settings);
// The same check alone, for the start of the server.
Status check_kafka_producer(const KafkaSettings& settings);

}  // namespace sluice::ingest
