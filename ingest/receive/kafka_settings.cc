#include "ingest/receive/kafka_settings.h"

namespace sluice::ingest {
namespace {

struct Passed {
  std::string_view key, name;
  bool of_consumer = false;
};
constexpr Passed kPassed[] = {
    {"security_protocol", "security.protocol"},
    {"sasl_mechanism", "sasl.mechanism"},
    {"sasl_username", "sasl.username"},
    {"sasl_kerberos_service_name", "sasl.kerberos.service.name"},
    {"sasl_kerberos_principal", "sasl.kerberos.principal"},
    {"sasl_kerberos_keytab", "sasl.kerberos.keytab"},
    {"sasl_oauthbearer_method", "sasl.oauthbearer.method"},
    {"sasl_oauthbearer_client_id", "sasl.oauthbearer.client.id"},
    {"sasl_oauthbearer_scope", "sasl.oauthbearer.scope"},
    {"sasl_oauthbearer_token_endpoint_url", "sasl.oauthbearer.token.endpoint.url"},
    {"sasl_oauthbearer_extensions", "sasl.oauthbearer.extensions"},
    {"ca_file", "ssl.ca.location"},
    {"ssl_certificate_file", "ssl.certificate.location"},
    {"ssl_key_file", "ssl.key.location"},
    {"client_id", "client.id"},
    {"client_rack", "client.rack", true},
    {"group_instance_id", "group.instance.id", true},
    {"session_timeout_ms", "session.timeout.ms", true},
    {"heartbeat_interval_ms", "heartbeat.interval.ms", true},
    {"socket_timeout_ms", "socket.timeout.ms"},
    {"fetch_min_bytes", "fetch.min.bytes", true},
    {"fetch_wait_max_ms", "fetch.wait.max.ms", true},
    {"metadata_max_age_ms", "metadata.max.age.ms"},
};
constexpr Passed kSecrets[] = {
    {"sasl_password", "sasl.password"},
    {"ssl_key_password", "ssl.key.password"},
    {"sasl_oauthbearer_client_secret", "sasl.oauthbearer.client.secret"},
};

}  // namespace

Status read_kafka_settings(DeclaredSettings& declared, bool consumes, KafkaSettings& settings, KafkaSecrets& secrets) {
  for (const auto& [key, name, of_consumer] : kPassed) {
    if (of_consumer && !consumes) continue;
    SLUICE_ASSIGN(std::string value, declared.text(std::string(key)));
    if (!value.empty()) settings.emplace_back(name, std::move(value));
  }
  for (const Passed& passed : kSecrets) {
    SLUICE_ASSIGN(auto secret, declared.secret(std::string(passed.key)));
    if (secret) secrets.emplace_back(passed.name, std::move(secret));
  }
  return {};
}

Status add_kafka_secrets(const KafkaSecrets& secrets, KafkaSettings& settings) {
  for (const auto& [name, read] : secrets) {
    SLUICE_ASSIGN(std::string value, read());
    settings.emplace_back(name, std::move(value));
  }
  return {};
}

bool is_kafka_topic(std::string_view name) {
  return !name.empty() && name.size() <= 249 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == std::string_view::npos;
}

}  // namespace sluice::ingest
