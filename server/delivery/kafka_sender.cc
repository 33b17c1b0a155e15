#include "server/delivery/kafka_sender.h"

#include "ingest/receive/kafka_producer.h"
#include "server/delivery/alert_shape.h"

namespace sluice::delivery {
namespace {

using ingest::KafkaOutgoing;

class KafkaSender final : public Sender {
 public:
  KafkaSender(std::unique_ptr<ingest::KafkaProducer> producer, AlertShape shape, std::function<bool()> stopping)
      : producer_(std::move(producer)), shape_(shape), stopping_(std::move(stopping)) {}

  Attempt send(std::span<const Notice> notices, TimestampNs) override {
    std::vector<KafkaOutgoing> records;
    for (const Notice& n : notices) records.push_back({n.alert.id, alert_text(n, shape_), n.id, n.at});
    return send(records);
  }
  Attempt forward(std::span<const FlowDocument> flows, TimestampNs now) override {
    std::vector<KafkaOutgoing> records;
    for (const FlowDocument& f : flows) records.push_back({"", f.body, "", now});
    return send(records);
  }

 private:
  Attempt send(const std::vector<KafkaOutgoing>& records) {
    size_t taken = 0;
    const Status sent = producer_->send(records, limits::kDeliveryTimeout, stopping_, taken);
    if (sent.ok()) return {};
    return sent.error().code == ErrorCode::too_large ? Attempt::refused_for_good(sent.error(), taken) : Attempt::failed(sent.error(), taken);
  }

  const std::unique_ptr<ingest::KafkaProducer> producer_;
  const AlertShape shape_;
  const std::function<bool()> stopping_;
};

}  // namespace

Result<MadeTarget> make_kafka(ingest::DeclaredSettings& settings) {
  SLUICE_ASSIGN(const std::string brokers, settings.required("brokers"));
  SLUICE_ASSIGN(const std::string topic, settings.required("topic"));
  if (!ingest::is_kafka_topic(topic)) return settings.error_at("topic", "not the name of a topic");
  SLUICE_ASSIGN(const AlertShape shape, read_shape(settings, AlertShape::native));
  ingest::KafkaSettings kafka{{"bootstrap.servers", brokers}};
  ingest::KafkaSecrets secrets;
  SLUICE_TRY(ingest::read_kafka_settings(settings, false, kafka, secrets));
  if (const Status good = ingest::check_kafka_producer(kafka); !good.ok()) return settings.error_at("brokers", good.error().message);
  return MadeTarget{topic + " by " + brokers, [=](const std::function<bool()>& stopping) -> Result<std::unique_ptr<Sender>> {
                      ingest::KafkaSettings with = kafka;
                      SLUICE_TRY(ingest::add_kafka_secrets(secrets, with));
                      SLUICE_ASSIGN(auto producer, ingest::open_kafka_producer(topic, with));
                      return std::unique_ptr<Sender>(std::make_unique<KafkaSender>(std::move(producer), shape, stopping));
                    }};
}

}  // namespace sluice::delivery
