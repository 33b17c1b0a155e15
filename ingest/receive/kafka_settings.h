// What a declaration may say of librdkafka: how to reach brokers and how to prove who we are. Nothing that changes what is read or written once.
//
// Thread rule: functions share nothing.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/receive/declared_settings.h"

namespace sluice::ingest {

// librdkafka's own names and values.
using KafkaSettings = std::vector<std::pair<std::string, std::string>>;
using KafkaSecrets = std::vector<std::pair<std::string, DeclaredSettings::Secret>>;

// Reads the keys that there are, and adds them. `consumes`: those that only a consumer has, too.
Status read_kafka_settings(DeclaredSettings& declared, bool consumes, KafkaSettings& settings, KafkaSecrets& secrets);
// Read for each connection, so that a password that is renewed is taken up.
Status add_kafka_secrets(const KafkaSecrets& secrets, KafkaSettings& settings);

// Kafka's own rule for names.
bool is_kafka_topic(std::string_view name);

}  // namespace sluice::ingest
