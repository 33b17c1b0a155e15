#include "ingest/receive/kafka_feed.h"

#include <algorithm>
#include <charconv>
#include <random>

#include "ingest/receive/digest.h"
#include "ingest/receive/kafka_settings.h"
#include "ingest/receive/limits.h"
#include "ingest/receive/raw_flow.h"
#include "storage/model/counted.h"
#include "storage/model/limits.h"

namespace sluice::ingest {
namespace {

// Keys of the checkpoint: "o/TOPIC/PARTITION", where a partition goes on (a topic's name has no slash); "member", by which the group's
// offsets that this feed wrote are known.
constexpr std::string_view kMember = "member";

std::string key_of(const std::pair<std::string, int32_t>& place) { return "o/" + place.first + "/" + std::to_string(place.second); }

template <typename T>
bool read_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

Status KafkaFeed::restore(const Checkpoint& checkpoint) {
  // What the consumer has read ahead is not durable: a new one begins where the checkpoint ends.
  consumer_.reset();
  batch_ = {};
  batch_ranges_.clear();
  batch_compressed_ = false;
  stored_.clear();
  member_.clear();
  for (const auto& [key, value] : checkpoint) {
    if (key == kMember) {
      member_ = value;
      continue;
    }
    const size_t slash = key.rfind('/');
    int32_t partition = 0;
    int64_t next = 0;
    if (!key.starts_with("o/") || slash < 3) return Error{ErrorCode::unsupported, "an entry is of a newer version: " + key};
    if (!read_number(std::string_view(key).substr(slash + 1), partition) || !read_number(std::string_view(value), next) || next < 0)
      return Error{ErrorCode::corrupt, "an entry cannot be read: " + key};
    stored_[{key.substr(2, slash - 2), partition}] = next;
  }
  return {};
}

void KafkaFeed::add(const KafkaRecord& record) {
  const Place place(std::string(record.topic), record.partition);
  const auto range = batch_ranges_.try_emplace(place, Range{record.offset, record.offset + 1, static_cast<uint32_t>(batch_.streams.size())});
  if (range.second) batch_.streams.push_back(key_of(place));
  range.first->second.next = record.offset + 1;
  if (batch_.records.empty()) batch_.offset = static_cast<uint64_t>(record.offset);
  batch_.time = std::max(batch_.time, record.time);
  FeedRecord entry;
  entry.time = record.time;
  entry.stream = range.first->second.stream;
  entry.position = static_cast<uint64_t>(record.offset);
  std::string_view bytes = record.value;
  if (options_.payload == KafkaFeedOptions::Payload::rawflow) {
    if (const auto flow = parse_raw_flow(record.value); flow.ok()) {
      bytes = flow->payload;
      entry.sender = flow->sender;
      if (flow->received_at != 0) entry.time = flow->received_at;
    } else {
      // Counted, and passed by like any record that cannot be read: its offset commits with the batch.
      ++unreadable_;
      return;
    }
  } else if (options_.payload == KafkaFeedOptions::Payload::datagram) {
    std::optional<IpAddress> sender;
    if (record.header) sender = parse_sender(*record.header);
    if (!sender && options_.sender_in_key && !record.key.empty()) sender = parse_sender(record.key);
    if (sender) entry.sender = *sender;
  }
  if (bytes.empty()) return;  // a tombstone
  batch_compressed_ |= detect_compression(bytes, false) != Compression::none;
  batch_.bytes.append(bytes);
  entry.end = batch_.bytes.size();
  batch_.records.push_back(entry);
}

Status KafkaFeed::flush(const PieceSink& sink, bool wait_for_commit) {
  // Positions behind records that hold nothing wait for the next that does.
  if (batch_.records.empty()) return {};
  FeedPiece piece = std::move(batch_);
  batch_ = {};
  const auto ranges = std::move(batch_ranges_);
  batch_ranges_.clear();
  std::vector<KafkaPosition> positions;
  for (const auto& [place, range] : ranges) {
    piece.checkpoint.emplace_back(key_of(place), std::to_string(range.next));
    positions.push_back({place.first, place.second, range.next});
    // For people, and for the name of what is set aside: "topic/3 offsets 10-19".
    const std::string named = place.first + "/" + std::to_string(place.second) + " offsets " + std::to_string(range.first) + "-" + std::to_string(range.next - 1);
    if (piece.object.size() + named.size() + 8 < limits::kObjectKeyBytesMax) piece.object += (piece.object.empty() ? "" : ", ") + named;
    else if (!piece.object.ends_with("…")) piece.object += ", …";
  }
  if (!member_is_kept_) piece.checkpoint.emplace_back(kMember, member_);
  // Lines that are not compressed are read together.
  if (!std::exchange(batch_compressed_, false)) piece.compression = Compression::none;
  const TimestampNs time = piece.time;
  SLUICE_TRY(sink(std::move(piece)));
  member_is_kept_ = true;
  for (const auto& [place, range] : ranges) stored_[place] = range.next;
  last_time_ = std::max(last_time_, time);
  if (consumer_) consumer_->commit(positions, wait_for_commit);
  return {};
}

// Records that are not read are named with the objects that could not be.
Status KafkaFeed::tell_gaps(const PieceSink& sink) {
  for (KafkaGap& gap : consumer_->take_gaps()) {
    FeedPiece piece;
    piece.object = gap.topic + "/" + std::to_string(gap.partition);
    if (gap.from < gap.next) piece.object += " offsets " + std::to_string(gap.from) + "-" + std::to_string(gap.next - 1);
    piece.fault = std::move(gap.reason);
    const Place place(gap.topic, gap.partition);
    // Records behind it may be in the batch already; they commit their own place.
    piece.checkpoint = {{key_of(place), std::to_string(gap.next)}};
    SLUICE_TRY(sink(std::move(piece)));
    stored_[place] = gap.next;
  }
  return {};
}

Result<DurationNs> KafkaFeed::poll(const FeedPoll& poll, const PieceSink& sink) {
  Status revoked;
  before_revoke_ = [&] {
    if (revoked.ok()) revoked = flush(sink, true);
  };
  const auto guard = std::unique_ptr<void, std::function<void(void*)>>(this, [this](void*) { before_revoke_ = nullptr; });
  if (!consumer_) {
    member_is_kept_ = !member_.empty();
    if (member_.empty()) {
      std::random_device random;
      for (int i = 0; i < 2; ++i) member_ += hex(std::string{static_cast<char>(random()), static_cast<char>(random()), static_cast<char>(random()), static_cast<char>(random())});
    }
    KafkaHooks hooks;
    hooks.member = "sluice " + member_;
    hooks.stored = [this](std::string_view topic, int32_t partition) -> std::optional<int64_t> {
      const auto at = stored_.find({std::string(topic), partition});
      return at == stored_.end() ? std::nullopt : std::optional(at->second);
    };
    hooks.before_revoke = [this] {
      if (before_revoke_) before_revoke_();
    };
    SLUICE_ASSIGN(consumer_, open_(std::move(hooks)));
  }
  const TimestampNs started = poll.clock.now();
  DurationNs timeout = std::max<DurationNs>(poll.patience, 100 * kMillisecond);
  while (!poll.stopping()) {
    const auto got = consumer_->poll(timeout, limits::kKafkaBatchRecords - std::min(limits::kKafkaBatchRecords - 1, batch_.records.size()),
                                     [this](const KafkaRecord& record) {
                                       add(record);
                                       return batch_.bytes.size() < limits::kKafkaBatchBytes;
                                     });
    if (!revoked.ok()) return std::move(revoked).error();
    if (const Status told = tell_gaps(sink); !told.ok()) return told.error();
    if (!got.ok()) {
      // What was read before is good. The next poll begins with a new consumer: this one may have no partitions any more.
      const Status status = flush(sink, false);
      consumer_.reset();
      if (!status.ok()) return std::move(status).error();
      return got.error();
    }
    timeout = 50 * kMillisecond;
    if (batch_.records.size() >= limits::kKafkaBatchRecords || batch_.bytes.size() >= limits::kKafkaBatchBytes ||
        poll.clock.now() - started >= limits::kKafkaBatchAge || *got == 0)
      break;
  }
  SLUICE_TRY(flush(sink, false));
  note_backlog();
  return DurationNs{0};
}

void KafkaFeed::note_backlog() {
  FeedBacklog now;
  uint64_t unknown = 0;
  for (const KafkaLag& lag : consumer_->lag()) {
    ++now.watched;
    if (lag.records < 0) ++unknown;
    else now.objects += static_cast<uint64_t>(lag.records);
  }
  // The oldest record that waits came after the newest that is durable.
  if (now.objects > 0) now.oldest = last_time_;
  now.note = counted(now.watched, "partition");
  if (unknown > 0) now.note += ", the end of " + std::to_string(unknown) + " not known yet";
  if (unreadable_ > 0) now.note += "; " + counted(unreadable_, "record is no RawFlow message", "records are no RawFlow messages");
  if (const std::string note = consumer_->note(); !note.empty()) now.note += "; " + note;
  std::lock_guard lock(mutex_);
  backlog_ = std::move(now);
}

FeedBacklog KafkaFeed::backlog() const {
  std::lock_guard lock(mutex_);
  return backlog_;
}

Result<std::unique_ptr<Feed>> make_kafka_feed(FeedSettings& settings) {
  KafkaOptions kafka;
  KafkaFeedOptions options;
  SLUICE_ASSIGN(const std::string brokers, settings.required("brokers"));
  SLUICE_ASSIGN(kafka.topics, settings.list("topics"));
  SLUICE_ASSIGN(const auto partitions, settings.list("partitions"));
  if (kafka.topics.empty()) return settings.error_at("topics", "is needed: the names of topics");
  if (kafka.topics.size() > limits::kKafkaTopicsMax) return settings.error_at("topics", "are more than " + std::to_string(limits::kKafkaTopicsMax));
  for (const std::string& topic : kafka.topics)
    if (!is_kafka_topic(topic))
      return settings.error_at("topics", "not the name of a topic: '" + topic.substr(0, 100) + "'");
  for (const std::string& text : partitions) {
    int32_t partition = 0;
    if (!read_number(std::string_view(text), partition) || partition < 0) return settings.error_at("partitions", "not a partition: '" + text.substr(0, 100) + "'");
    kafka.partitions.push_back(partition);
  }
  if (!kafka.partitions.empty() && kafka.topics.size() > 1) return settings.error_at("partitions", "goes with one topic");
  if (kafka.partitions.size() > limits::kKafkaPartitionsMax) return settings.error_at("partitions", "are more than " + std::to_string(limits::kKafkaPartitionsMax));
  SLUICE_ASSIGN(const std::string group, settings.text("group", "sluice-" + settings.name));
  constexpr std::string_view kStarts[] = {"oldest", "newest"}, kResets[] = {"stop", "oldest", "newest"}, kPayloads[] = {"body", "datagram", "rawflow"};
  SLUICE_ASSIGN(const size_t start, settings.choice("start", kStarts, 0));
  SLUICE_ASSIGN(const size_t reset, settings.choice("reset", kResets, 0));
  SLUICE_ASSIGN(const size_t payload, settings.choice("payload", kPayloads, 0));
  kafka.start = start == 0 ? KafkaOptions::Start::oldest : KafkaOptions::Start::newest;
  kafka.reset = static_cast<KafkaOptions::Reset>(reset);
  options.payload = static_cast<KafkaFeedOptions::Payload>(payload);
  SLUICE_ASSIGN(kafka.header, settings.text("exporter_header", options.payload == KafkaFeedOptions::Payload::datagram ? "exporter" : ""));
  SLUICE_ASSIGN(options.sender_in_key, settings.flag("exporter_in_key", true));

  kafka.settings = {{"bootstrap.servers", brokers}, {"group.id", group}};
  KafkaSecrets secrets;
  SLUICE_TRY(read_kafka_settings(settings, true, kafka.settings, secrets));
  if (const Status status = check_kafka_settings(kafka); !status.ok()) return settings.error_at("brokers", status.error().message);
  return std::unique_ptr<Feed>(std::make_unique<KafkaFeed>(options, [kafka, secrets](KafkaHooks hooks) -> Result<std::unique_ptr<KafkaConsumer>> {
    KafkaOptions with = kafka;
    SLUICE_TRY(add_kafka_secrets(secrets, with.settings));
    return open_kafka_consumer(std::move(with), std::move(hooks));
  }));
}

}  // namespace sluice::ingest
